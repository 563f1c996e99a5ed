"""A user's two NIfTI files, by clicking alone: uploaded, registered, compared, and everything taken home."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from clicks import no_faults, settled
from scipy.ndimage import affine_transform, gaussian_filter, map_coordinates

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]
REGISTERED_MS = 150_000
ENERGY_MS = 60_000
FIXED_AFFINE = np.array([[0, -2.0, 0, 40], [0, 0, 2.0, -30], [2.0, 0, 0, -20], [0, 0, 0, 1]])
"""Axes in another order and direction than the program's own."""
MOVING_AFFINE = np.array([[2.5, 0, 0, -32.0], [0, 2.0, 0, -28], [0, 0, 2.0, -19], [0, 0, 0, 1]])
LPS = np.array([-1.0, -1.0, 1.0])


@pytest.fixture(scope="module")
def page(browser: Any, server: str) -> Iterator[Any]:
    """Open a page in an app without data and note every error of the browser."""
    tab = browser.new_page(viewport={"width": 1360, "height": 1500})
    tab.faults = []
    tab.on("pageerror", lambda error: tab.faults.append(str(error)))
    tab.set_default_timeout(60_000)
    yield tab
    tab.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Make a head of three ellipsoids and the same head elsewhere and larger, each with a label map."""
    folder = tmp_path_factory.mktemp("pair")
    made = {}
    for name, affine, shape, center, size in (
        ("alice", FIXED_AFFINE, (24, 34, 30), (3.0, -2.0, 2.0), 1.0),
        ("bob", MOVING_AFFINE, (28, 30, 26), (6.0, 2.0, 4.0), 1.12),
    ):
        voxels = np.indices(shape).reshape(3, -1).T
        mm = voxels @ affine[:3, :3].T + affine[:3, 3] - center
        parts = [((mm / (np.array(axes) * size)) ** 2).sum(1) < 1 for axes in ((24, 22, 18), (17, 16, 12), (8, 9, 6))]
        labels = np.sum(parts, 0).reshape(shape).astype(np.int16)
        image = gaussian_filter(np.array([0, 300, 600, 900.0])[labels], 0.7).astype(np.float32)
        for what, array in (("image", image), ("label", labels)):
            made[f"{name}-{what}"] = folder / f"{name}_{what}.nii.gz"
            nib.save(nib.Nifti1Image(array, affine), made[f"{name}-{what}"])
    return made


def way_button(page: Any, name: str) -> Any:
    """Give the viewer's own button of a way to compare."""
    return page.locator(".viewer").first.get_by_role("radio", name=name, exact=True)


def test_two_files_are_registered_and_their_dice_grows(page: Any, server: str, files: dict[str, Path]) -> None:
    page.goto(f"{server}/register")
    inputs = page.locator("input[type=file]")
    inputs.nth(3).wait_for(state="attached")
    for index, name in enumerate(("alice-image", "alice-label", "bob-image", "bob-label")):
        inputs.nth(index).set_input_files(str(files[name]))
        settled(page)
    page.get_by_role("button", name="Bring them in").click()
    go = page.get_by_role("button", name="Register", exact=True)
    go.wait_for()
    settled(page)
    page.get_by_text("Demons", exact=True).first.click()
    settled(page)
    go.click()
    page.get_by_text("Mean Dice").wait_for(timeout=REGISTERED_MS)
    page.locator(".viewer canvas").first.wait_for()
    settled(page)
    no_faults(page)
    shown = page.locator("[data-testid=stMetric]").first.inner_text()
    dice, gain = (float(x) for x in re.findall(r"[-+]?\d\.\d+", shown)[:2])
    assert dice > 0.85 and gain > -0.02


def test_every_way_to_compare_draws_another_picture(page: Any) -> None:
    canvas = page.locator(".viewer canvas").first
    seen = {}
    ways = ("Side by side", "Blend", "Checkerboard", "Wipe", "Fixed", "Registered", "Deformed grid", "Jacobian",
            "Displacement")  # fmt: skip
    for way in ways:
        way_button(page, way).click()
        page.wait_for_timeout(250)
        seen[way] = canvas.screenshot()
    assert len(set(seen.values())) == len(ways)
    way_button(page, "Flicker").click()
    page.wait_for_timeout(200)
    turns = set()
    for _ in range(6):
        turns.add(canvas.screenshot())
        page.wait_for_timeout(400)
    assert len(turns) == 2
    no_faults(page)


def test_less_motion_means_no_flicker_and_the_space_bar_changes(page: Any) -> None:
    page.emulate_media(reduced_motion="reduce")
    way_button(page, "Blend").click()
    way_button(page, "Flicker").click()
    page.get_by_text("Less motion is asked for").first.wait_for()
    canvas = page.locator(".viewer canvas").first
    page.wait_for_timeout(300)
    first = canvas.screenshot()
    page.wait_for_timeout(1500)
    assert canvas.screenshot() == first
    canvas.focus()
    page.keyboard.press("Space")
    page.wait_for_timeout(300)
    assert canvas.screenshot() != first
    page.emulate_media(reduced_motion="no-preference")


def test_a_click_shows_the_correspondence(page: Any) -> None:
    canvas = page.locator(".viewer canvas").first
    told = page.get_by_text("is moving").first
    before = told.inner_text()
    box = canvas.bounding_box()
    canvas.click(position={"x": box["width"] * 0.22, "y": box["height"] * 0.2})
    page.wait_for_function("old => !document.body.innerText.includes(old)", arg=before)
    settled(page)
    no_faults(page)
    assert page.locator(".viewer canvas").nth(1).get_attribute("data-voxel")


def test_what_is_saved_agrees_with_itself(page: Any, files: dict[str, Path], tmp_path: Path) -> None:
    page.get_by_role("button", name="Save").first.click()
    for name in ("warped.nii.gz", "field.nii.gz", "report.html"):
        with page.expect_download() as download:
            page.get_by_role("button", name=re.compile(re.escape(name))).click()
        download.value.save_as(tmp_path / name)
    page.keyboard.press("Escape")
    warped, fixed, moving = (
        nib.load(f) for f in (tmp_path / "warped.nii.gz", files["alice-image"], files["bob-image"])
    )
    assert warped.shape == fixed.shape
    np.testing.assert_allclose(warped.affine, fixed.affine, atol=1e-4)
    field = nib.load(tmp_path / "field.nii.gz")
    assert field.get_fdata().shape[3:] == (1, 3) and field.header.get_intent()[0] == "vector"
    places = nib.affines.apply_affine(field.affine, np.moveaxis(np.indices(field.shape[:3]), 0, -1))
    lead = places + LPS * field.get_fdata()[..., 0, :]  # ITK's vectors point left and back
    voxels = nib.affines.apply_affine(np.linalg.inv(moving.affine), lead)
    pulled = map_coordinates(moving.get_fdata(), np.moveaxis(voxels, -1, 0), order=1, mode="nearest")
    to_field = np.linalg.inv(warped.affine) @ field.affine  # both lattices hold the same voxels
    same = affine_transform(warped.get_fdata(), to_field[:3, :3], to_field[:3, 3], field.shape[:3], order=1)
    inside = np.all([(v > 1) & (v < n - 2) for v, n in zip(np.moveaxis(voxels, -1, 0), moving.shape, strict=True)], 0)
    assert inside.mean() > 0.5
    assert np.abs(pulled - same)[inside].max() < 5.0  # of 900
    report = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "esearch use only" in report and "plotly" in report and "alice" in report


def test_the_energy_is_watched_and_what_is_cancelled_is_gone(page: Any) -> None:
    choice = page.get_by_role("combobox", name=re.compile("Registration"))
    before = choice.input_value()
    page.get_by_text("Register a pair").first.click()
    page.get_by_text("HAMMER, raw patches", exact=True).first.click()
    settled(page)
    page.get_by_text("More settings").first.click()
    for name, value in (("Rounds", "8"), ("Patch", "9")):  # slow enough to be canceled on any machine
        field = page.get_by_role("spinbutton", name=name)
        field.fill(value)
        field.press("Enter")
        settled(page)
    page.get_by_role("button", name="Register", exact=True).click()
    page.get_by_text(re.compile("round 1, stage 1 of")).first.wait_for(timeout=ENERGY_MS)
    page.get_by_role("button", name="Cancel").click()
    page.get_by_text("It was cancelled").wait_for(timeout=ENERGY_MS)
    settled(page)
    assert page.get_by_text(re.compile("round 1, stage 1 of")).count() == 0 and choice.input_value() == before
    no_faults(page)
