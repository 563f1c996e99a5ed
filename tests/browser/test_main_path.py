"""The main path, clicked: from an empty data folder to similarity maps that follow the cross."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from clicks import no_faults, settled

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(900)]
TRAINED_S = 420


@pytest.fixture(scope="module")
def page(browser: Any, server: str) -> Iterator[Any]:
    """Open the app and note every error of the browser."""
    tab = browser.new_page(viewport={"width": 1440, "height": 900})
    tab.faults = []
    tab.on("pageerror", lambda error: tab.faults.append(str(error)))
    tab.set_default_timeout(60_000)
    tab.goto(server)
    yield tab
    tab.close()


def canvas(page: Any, number: int) -> Any:
    """Give the canvas of a viewer once it has drawn."""
    found = page.locator("canvas[data-voxel]").nth(number)
    found.wait_for()
    return found


def wait_until(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Wait for a condition."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)


def test_the_first_page_is_usable_within_ten_seconds(page: Any, server: str) -> None:
    begin = time.monotonic()
    page.get_by_role("button", name="Make brains and train").wait_for()
    assert time.monotonic() - begin < 10
    no_faults(page)


def test_one_click_makes_data_and_a_trained_network(page: Any) -> None:
    page.get_by_role("button", name="Make brains and train").click()
    done = page.get_by_role("button", name="See its filters")
    done.or_(page.get_by_role("button", name="Try again").first).first.wait_for(timeout=TRAINED_S * 1000)
    assert done.is_visible(), page.locator("[data-testid=stMain]").inner_text()
    no_faults(page)


def test_its_filters_are_shown(page: Any) -> None:
    page.get_by_role("button", name="See its filters").click()
    page.get_by_role("heading", name="Filters").wait_for()
    page.locator(".js-plotly-plot").first.wait_for()
    page.get_by_role("tab", name="The stack").click()
    page.get_by_text("Encoder and decoder").wait_for()
    page.locator(".js-plotly-plot").first.wait_for()
    settled(page)
    no_faults(page)


def test_a_click_moves_the_cross_and_the_maps_follow(page: Any) -> None:
    page.get_by_role("link", name="Similarity").click()
    page.get_by_role("heading", name="Similarity").wait_for()
    template = canvas(page, 0)
    settled(page)
    before, subject_before = template.get_attribute("data-voxel"), canvas(page, 1).get_attribute("data-voxel")
    box = template.bounding_box()
    template.click(position={"x": box["width"] * 0.3, "y": box["height"] * 0.3})
    page.wait_for_function("new URL(location).searchParams.has('point')")
    settled(page)
    assert canvas(page, 0).get_attribute("data-voxel") != before
    wait_until(lambda: canvas(page, 1).get_attribute("data-voxel") != subject_before)
    no_faults(page)


def test_keys_scroll_and_the_help_sheet_opens(page: Any) -> None:
    template = canvas(page, 0)
    template.focus()
    before = template.get_attribute("data-voxel")
    page.keyboard.press("ArrowUp")
    page.wait_for_timeout(200)
    assert template.get_attribute("data-voxel") != before
    page.keyboard.press("?")
    page.get_by_text("right-drag").first.wait_for()
    page.keyboard.press("Escape")


def test_a_link_opens_the_same_point(page: Any, browser: Any) -> None:
    other = browser.new_page(viewport={"width": 1440, "height": 900})
    other.goto(page.url)
    found = canvas(other, 0)
    point = re.search(r"point=([^&]+)", page.url)
    assert point is not None
    other.get_by_role("heading", name="Similarity").wait_for()
    assert found.get_attribute("data-voxel") is not None
    other.close()


@pytest.mark.parametrize("name", ["Data", "Volume", "Train", "Runs", "Home"])
def test_every_other_page_opens(page: Any, name: str) -> None:
    page.get_by_role("link", name=name, exact=True).first.click()
    page.get_by_role("heading", level=1).wait_for()
    settled(page)
    no_faults(page)
