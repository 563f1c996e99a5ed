"""The Segment page, clicked: from nothing to a label map on the subject's own lattice, scored, compared and saved."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clicks import no_faults, settled

from workbench.imaging.files import read_volume

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]
TRAINED_MS, SEGMENTED_MS = 300_000, 150_000


@pytest.fixture(scope="module")
def page(browser: Any, server: str) -> Iterator[Any]:
    """Open a page in an app without data and note every error of the browser."""
    tab = browser.new_page(viewport={"width": 1360, "height": 1400})
    tab.faults = []
    tab.on("pageerror", lambda error: tab.faults.append(str(error)))
    tab.set_default_timeout(60_000)
    yield tab
    tab.close()


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give where the label map of the first test is kept for the second."""
    return tmp_path_factory.mktemp("saved") / "labels.nii.gz"


def test_one_click_trains_another_segments_and_the_label_map_is_saved(page: Any, server: str, saved: Path) -> None:
    page.goto(f"{server}/segment")
    page.get_by_role("button", name="Make infants, and train on patches").click()
    ready = page.get_by_role("button", name=re.compile(r"^Segment .*\d$")).first
    ready.or_(page.get_by_role("button", name="Try again")).first.wait_for(timeout=TRAINED_MS)
    assert ready.is_visible(), page.locator("[data-testid=stMain]").inner_text()
    ready.click()
    page.get_by_text(re.compile(r"[1-9]\d* of \d+ subjects of")).wait_for(timeout=SEGMENTED_MS)
    page.locator(".viewer canvas").wait_for()
    settled(page)
    no_faults(page)
    page.get_by_role("button", name="Save").first.click()
    with page.expect_download() as download:
        page.get_by_role("button", name=re.compile("labels.nii.gz")).click()
    download.value.save_as(saved)
    page.keyboard.press("Escape")
    values = np.unique(read_volume(saved, "labels").data)
    assert values[0] == 0 and len(values) > 1 and np.array_equal(values, np.rint(values))


def test_what_was_saved_agrees_with_itself_as_another_rater(page: Any, saved: Path) -> None:
    page.get_by_role("tab", name="Reference").click()
    page.locator("input[type=file]").set_input_files(str(saved))
    page.get_by_text("which the table takes as the truth").wait_for()
    page.locator(".viewer canvas").wait_for()
    settled(page)
    no_faults(page)


def test_the_outline_and_the_threshold_answer_in_the_browser(page: Any) -> None:
    page.get_by_role("tab", name="Slices").click()
    outline = page.locator(".viewer [data-tool=outline]:visible")
    outline.wait_for()
    assert outline.get_attribute("aria-pressed") == "false"
    outline.click()
    assert outline.get_attribute("aria-pressed") == "true"
    page.get_by_role("tab", name="Threshold").click()
    before = page.locator("[data-testid=stMetricValue]").first.inner_text()
    page.get_by_role("slider").first.press("Home")
    page.wait_for_function(
        "old => document.querySelector('[data-testid=stMetricValue]')?.innerText !== old", arg=before
    )  # fmt: skip
    settled(page)
    no_faults(page)


@pytest.mark.parametrize("tab", ["Surfaces", "Cohort"])
def test_every_other_tab_draws(tab: str, page: Any) -> None:
    page.get_by_role("tab", name=tab).click()
    page.locator("[data-testid=stPlotlyChart]").first.wait_for()
    settled(page)
    no_faults(page)
