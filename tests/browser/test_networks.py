"""The Networks page, clicked: from nothing to states, a diagnosis and saved networks; from 4-D images to regions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from clicks import no_faults, settled

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]
TRAINED_MS, MADE_MS = 120_000, 60_000


@pytest.fixture(scope="module")
def page(browser: Any, server: str) -> Iterator[Any]:
    """Open a page in an app without data and note every error of the browser."""
    tab = browser.new_page(viewport={"width": 1360, "height": 1400})
    tab.faults = []
    tab.on("pageerror", lambda error: tab.faults.append(str(error)))
    tab.set_default_timeout(30_000)
    yield tab
    tab.close()


def test_one_click_leads_from_nothing_to_networks(page: Any, server: str) -> None:
    page.goto(f"{server}/networks")
    page.get_by_role("button", name="Make states, and train").click()
    opened = page.get_by_role("tab", name="States")
    opened.or_(page.get_by_role("button", name="Try again")).first.wait_for(timeout=TRAINED_MS)
    assert opened.is_visible(), page.locator("[data-testid=stMain]").inner_text()
    page.locator(".connectome[data-selection]").wait_for(state="attached")
    settled(page)
    no_faults(page)


def test_a_cell_marks_both_of_its_regions_and_the_network_is_saved(page: Any) -> None:
    matrix = page.locator("canvas.matrix")
    matrix.scroll_into_view_if_needed()
    box = matrix.bounding_box()
    page.mouse.click(box["x"] + 0.3 * box["width"], box["y"] + 0.8 * box["height"])
    page.locator(".row[aria-selected=true]").nth(1).wait_for(state="attached")
    page.get_by_role("button", name="Save").last.click()
    with page.expect_download() as download:
        page.get_by_role("button", name=re.compile("edges.csv")).click()
    lines = Path(download.value.path()).read_text(encoding="utf-8").splitlines()
    assert lines[0] == "region,region_2,weight" and len(lines) == 1 + round(0.05 * 116 * 115 / 2)
    page.keyboard.press("Escape")
    no_faults(page)


def test_a_click_on_a_state_highlights_it_everywhere(page: Any) -> None:
    page.get_by_role("tab", name="States").click()
    page.get_by_text("of every state").wait_for()
    circle = page.locator("[class*='st-key-chart-transitions'] .scatterlayer .points path.point").last
    circle.scroll_into_view_if_needed()
    settled(page)
    circle.click(force=True)
    page.get_by_text("of state 3").first.wait_for()
    page.get_by_text("into and out of state 3").wait_for()
    page.wait_for_function("location.search.includes('state=3')")
    settled(page)
    no_faults(page)


def test_the_diagnosis_says_what_it_shows_and_the_link_opens_it(page: Any) -> None:
    page.get_by_role("tab", name="Diagnosis").click()
    page.get_by_text("of the shuffles").or_(
        page.get_by_text("shuffles of the classes among all subjects")
    ).first.wait_for()
    settled(page)
    page.reload()
    page.get_by_text("shuffles of the classes among all subjects").wait_for()
    assert page.get_by_role("tab", name="Diagnosis").get_attribute("aria-selected") == "true"
    no_faults(page)


def test_images_become_regions_of_a_new_cohort(page: Any, server: str) -> None:
    page.goto(f"{server}/data")
    page.get_by_role("tab", name="Bring images").click()
    page.get_by_role("tab", name="Make a phantom").click()
    page.get_by_text("BOLD: 4-D images", exact=True).click()
    settled(page)
    page.get_by_role("button", name="Make it").click()
    there = "document.body.innerText.includes('The cohort is ready.')"
    page.wait_for_function(there, timeout=MADE_MS)
    page.goto(f"{server}/data?cohort=bold-images-phantom")
    page.get_by_text("6 of 6 series are 4-D images").wait_for()
    page.get_by_role("tab", name="Regions").click()
    box = page.get_by_label("Repetition time (s)")
    box.wait_for()
    settled(page)
    page.get_by_role("button", name="Extract the regions").click()
    page.wait_for_function("location.search.includes('cohort=bold-images-phantom-regions')", timeout=MADE_MS)
    page.get_by_text("Repetition time (s)").first.wait_for()
    settled(page)
    assert page.get_by_role("tab", name="Regions").count() == 0, "tables need no extraction"
    no_faults(page)
