"""A user's own NIfTI pairs, by clicking alone: uploaded, trained on, segmented, and the label map taken home."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from clicks import settled

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]
TRAINED_MS, SEGMENTED_MS = 300_000, 150_000
AFFINE = np.array([[0, -3.0, 0, 40], [0, 0, 3.0, -30], [3.0, 0, 0, -20], [0, 0, 0, 1]])
"""Axes in another order and direction than the program's own."""


@pytest.fixture(scope="module")
def page(browser: Any, server: str) -> Iterator[Any]:
    """Open a page in an app without data."""
    tab = browser.new_page(viewport={"width": 1360, "height": 1400})
    tab.set_default_timeout(60_000)
    yield tab
    tab.close()


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Make four images of blocks in three intensities, with the label maps that name them 0, 4 and 7."""
    folder, files = tmp_path_factory.mktemp("own"), []
    for i in range(4):
        rng = np.random.default_rng(i)
        part = rng.integers(0, 3, (4, 4, 4)).repeat(5, 0).repeat(5, 1).repeat(5, 2)
        image = (100 + 200 * part + rng.normal(0, 10, part.shape)).astype(np.float32)
        for what, array in (("T1", image), ("label", np.array([0, 4, 7], np.int16)[part])):
            files.append(folder / f"sub-{i:02d}_{what}.nii.gz")
            nib.save(nib.Nifti1Image(array, AFFINE), files[-1])
    return files


def test_own_pairs_become_a_label_map_on_their_own_lattice(
    page: Any, server: str, pairs: list[Path], tmp_path: Path
) -> None:
    page.goto(f"{server}/data")
    bring = page.get_by_role("tab", name="Bring images")
    bring.or_(page.get_by_role("tab", name="Upload files")).first.wait_for()
    if bring.count():
        bring.click()
    page.locator("input[type=file]").first.set_input_files([str(f) for f in pairs])
    settled(page)
    name = page.get_by_label("Name", exact=False).first
    name.fill("mine")
    name.press("Enter")
    settled(page)
    page.get_by_role("button", name="Import the files").click()
    ready = "() => location.search.includes('mine') || document.body.innerText.includes('The cohort is ready.')"
    page.wait_for_function(ready)

    page.goto(f"{server}/train?system=zhang2015&cohort=mine")
    page.get_by_role("heading", name="Train").wait_for()
    page.get_by_text("Quick", exact=True).first.click()
    settled(page)
    page.get_by_role("button", name="Start training").click()
    done = page.get_by_text(re.compile("(Finished|Failed)$")).first
    done.wait_for(timeout=TRAINED_MS)
    assert done.inner_text().endswith("Finished"), page.locator("[data-testid=stMain]").inner_text()

    page.goto(f"{server}/segment?cohort=mine&subject=sub-03")
    page.get_by_role("button", name=re.compile(r"^Segment .*\d$")).first.click()
    page.get_by_text(re.compile(r"[1-9]\d* of \d+ subjects of")).wait_for(timeout=SEGMENTED_MS)
    page.locator(".viewer canvas:visible").first.wait_for()
    settled(page)
    page.get_by_role("button", name="Save").first.click()
    with page.expect_download() as download:
        page.get_by_role("button", name=re.compile("labels.nii.gz")).click()
    download.value.save_as(tmp_path / "labels.nii.gz")
    made, given = nib.load(tmp_path / "labels.nii.gz"), nib.load(pairs[-2])
    np.testing.assert_allclose(made.affine, given.affine, atol=1e-4)
    assert made.shape == given.shape and np.issubdtype(made.get_data_dtype(), np.integer)
    assert set(np.unique(np.asarray(made.dataobj))) <= {0, 4, 7}
