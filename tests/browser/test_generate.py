"""The Generate page, clicked: from nothing to samples of one modality given the other, and to samples of a class."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from clicks import no_faults, settled

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]
TRAINED_MS, MADE_MS = 150_000, 60_000
ONLY_TEN_ROWS = "document.querySelectorAll('.js-plotly-plot .ytick text').length === 10"


@pytest.fixture(scope="module")
def page(browser: Any, server: str) -> Iterator[Any]:
    """Open the page in an app without data and note every error of the browser."""
    tab = browser.new_page(viewport={"width": 1440, "height": 1200})
    tab.faults = []
    tab.on("pageerror", lambda error: tab.faults.append(str(error)))
    tab.set_default_timeout(60_000)
    yield tab
    tab.close()


def metric(page: Any, label: str) -> float:
    """Give the number under a label."""
    found = page.locator("[data-testid=stMetric]").filter(has_text=label)
    found.wait_for()
    return float(found.locator("[data-testid=stMetricValue]").inner_text())


def train_quickly(page: Any, server: str, query: str, preset: str, epochs: dict[str, int]) -> None:
    """Start a training on the Train page with fewer epochs than the preset has, and wait for its end."""
    page.goto(f"{server}/train?{query}")
    page.get_by_role("heading", name="Train").wait_for()
    page.get_by_text(preset, exact=True).first.click()
    settled(page)
    page.get_by_text("Training", exact=True).last.click()
    for label, number in epochs.items():
        box = page.get_by_label(label, exact=True)
        box.fill(str(number))
        box.press("Enter")
        settled(page)
    page.get_by_role("button", name="Start training").click()
    done = page.get_by_text(re.compile("(Finished|Failed)$")).first
    done.wait_for(timeout=TRAINED_MS)
    assert done.inner_text().endswith("Finished"), page.locator("[data-testid=stMain]").inner_text()


def make_phantom(page: Any, server: str, kind: str, name: str, n_subjects: int) -> None:
    """Make a phantom on the Data page and wait until it is there."""
    page.goto(f"{server}/data")
    page.get_by_role("heading", name="Data").wait_for()
    bring = page.get_by_role("tab", name="Bring images")
    bring.or_(page.get_by_role("tab", name="Make a phantom")).first.wait_for()
    if bring.count():
        bring.click()
    page.get_by_role("tab", name="Make a phantom").click()
    page.get_by_text(kind, exact=True).click()
    settled(page)
    box = page.get_by_label("Subjects", exact=True)
    box.fill(str(n_subjects))
    box.press("Enter")
    settled(page)
    page.get_by_role("button", name="Make it").click()
    there = "name => location.search.includes(name) || document.body.innerText.includes('The cohort is ready.')"
    page.wait_for_function(there, arg=f"cohort={name}-phantom", timeout=MADE_MS)


def test_without_a_run_the_page_offers_two_ways_to_one(page: Any, server: str) -> None:
    page.goto(f"{server}/generate")
    page.get_by_role("button", name="Make MRI and PET, and train").wait_for()
    assert page.get_by_role("button", name="Make digits, and train").is_visible()
    no_faults(page)


def test_a_machine_with_two_pathways_learns_from_tables(page: Any, server: str) -> None:
    make_phantom(page, server, "MRI and PET tables", "paired", 60)
    epochs = {"Epochs of pretraining": 2, "Epochs together": 2}
    train_quickly(page, server, "system=dbm&cohort=paired-phantom", "Two pathways", epochs)
    no_faults(page)


def test_what_cannot_be_trained_is_a_sentence_on_the_page(page: Any, server: str) -> None:
    page.goto(f"{server}/train?system=cnn&cohort=paired-phantom")
    page.get_by_role("button", name="Start training").click()
    alert = page.locator("[data-testid=stAlertContentError]").first
    alert.wait_for()
    assert "A table has no neighbors to convolve" in alert.inner_text()


def test_mri_is_held_fixed_and_pet_sampled(page: Any, server: str) -> None:
    page.goto(f"{server}/generate")
    page.get_by_role("tab", name="One modality from the other").click()
    assert metric(page, "Held-out examples") >= 3
    assert metric(page, "Error, share of the mean's") < 2
    page.get_by_text("MRI is held fixed and PET runs from noise").wait_for()
    page.locator(".js-plotly-plot").nth(1).wait_for()
    page.get_by_text("PET", exact=True).first.click()
    page.get_by_text("PET is held fixed and MRI runs from noise").wait_for()
    settled(page)
    no_faults(page)


def test_one_more_step_moves_every_chain_on(page: Any, server: str) -> None:
    page.goto(f"{server}/generate")
    page.get_by_role("tab", name="Step by step").click()
    drawn = page.locator(".js-plotly-plot .ytick text, .js-plotly-plot .ytick2 text")
    page.locator(".js-plotly-plot").get_by_text("step 9", exact=True).first.wait_for()
    settled(page)
    before = drawn.count()
    page.get_by_role("button", name="One more step").click()
    page.locator(".js-plotly-plot").get_by_text("step 10", exact=True).first.wait_for()
    settled(page)
    assert page.locator(".js-plotly-plot").get_by_text("step 0", exact=True).count() == 0, "the columns move on"
    assert drawn.count() == before
    no_faults(page)


def test_digits_with_labels_give_samples_of_each_class(page: Any, server: str) -> None:
    make_phantom(page, server, "Digits", "digits", 200)
    train_quickly(page, server, "system=rbm&cohort=digits-phantom", "Labels", {"Epochs": 2})
    page.goto(f"{server}/generate")
    page.get_by_role("tab", name="Samples of a class").click()
    page.get_by_text("The label units are held fixed").wait_for()
    page.wait_for_function(ONLY_TEN_ROWS)  # charts of the tab that was open before stay until the page has run
    rows = page.locator(".js-plotly-plot .ytick text")
    assert sorted(rows.all_text_contents()) == [str(i) for i in range(10)]
    settled(page)
    no_faults(page)
