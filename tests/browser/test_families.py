"""The Families page, clicked: from nothing to a live network, its likelihood, and a comparison that finishes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from clicks import no_faults, settled

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]
TRAINED_MS = 150_000


@pytest.fixture(scope="module")
def page(browser: Any, server: str) -> Iterator[Any]:
    """Open the page in an app without data and note every error of the browser."""
    tab = browser.new_page(viewport={"width": 1440, "height": 1400})
    tab.faults = []
    tab.on("pageerror", lambda error: tab.faults.append(str(error)))
    tab.set_default_timeout(60_000)
    tab.goto(f"{server}/families")
    tab.get_by_role("heading", name="Families").wait_for()
    yield tab
    tab.close()


def choose(page: Any, label: str, option: str) -> None:
    """Pick an option of a select box."""
    page.get_by_role("combobox", name=label).click()
    page.get_by_role("option", name=option, exact=True).click()
    settled(page)


def test_one_click_makes_digits_and_trains_a_belief_network_which_opens_by_itself(page: Any) -> None:
    page.get_by_role("button", name="Train a belief network").click()
    drawn = page.get_by_text("the review's Figure 2b")
    drawn.or_(page.get_by_role("button", name="Try again")).first.wait_for(timeout=TRAINED_MS)
    assert drawn.is_visible(), page.locator("[data-testid=stMain]").inner_text()
    assert page.get_by_test_id("stAlert").count() == 0, "a sound training raises no alarm"
    no_faults(page)


def test_pointing_at_a_unit_shows_what_it_answers_to_and_a_click_keeps_it(page: Any) -> None:
    unit = page.locator("g.unit").nth(20)
    unit.wait_for()
    settled(page)
    unit.hover()
    tip = page.locator(".tip").first
    assert tip.is_visible() and "h⁽¹⁾, unit" in tip.inner_text()
    assert tip.locator("canvas").bounding_box()["width"] > 40
    unit.click()
    page.get_by_text("Kept:").wait_for()
    page.wait_for_function("new URL(location).searchParams.has('unit')")
    page.locator(".js-plotly-plot").first.wait_for()
    no_faults(page)


def test_a_link_opens_the_same_unit(page: Any, browser: Any) -> None:
    kept = page.get_by_text("Kept:").inner_text()
    other = browser.new_page(viewport={"width": 1440, "height": 1400})
    other.goto(page.url)
    other.get_by_text(kept).wait_for(timeout=60_000)
    other.locator("g.unit.chosen").wait_for()
    assert other.locator("g.unit.chosen").count() == 1
    other.close()


def test_its_likelihood_is_estimated_from_both_sides(page: Any) -> None:
    page.get_by_role("tab", name="Likelihood").click()
    page.get_by_role("button", name="Estimate").click()
    bound = page.get_by_test_id("stMetric").filter(has_text="bound on log p, held-out")
    bound.wait_for(timeout=TRAINED_MS)
    value = bound.get_by_test_id("stMetricValue").inner_text().replace("−", "-")
    assert -64 < float(value.split()[0]) < 0, "64 fair coins cost 44 nats, and a digit is more regular than that"
    page.get_by_test_id("stMetric").filter(has_text="reverse − forward").wait_for()
    page.locator(".js-plotly-plot").first.wait_for()
    no_faults(page)


def test_a_comparison_of_two_variants_finishes(page: Any) -> None:
    page.get_by_role("tab", name="Compare").click()
    page.get_by_role("combobox", name="What to compare").click()
    page.get_by_role("option", name="Batch normalization (2.6, device 5)").click()
    settled(page)
    choose(page, "Cohort", "sample-digits")
    choose(page, "Size", "Quick")
    page.get_by_role("button", name="Remove all", exact=True).click()
    settled(page)
    seeds = page.get_by_label("Seeds", exact=True)
    seeds.fill("2")
    seeds.press("Enter")
    page.get_by_text("= 4 trainings").wait_for()
    page.get_by_role("button", name="Start", exact=True).click()
    page.get_by_text("4 of 4 trainings").wait_for(timeout=TRAINED_MS)
    page.get_by_text("too few seeds to say").first.wait_for()
    page.locator(".js-plotly-plot").first.wait_for()
    settled(page)
    no_faults(page)


def test_a_comparison_is_deleted_after_a_question(page: Any) -> None:
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("button", name="Delete it").click()
    page.get_by_role("combobox", name="What to compare").wait_for()
    settled(page)
    no_faults(page)
