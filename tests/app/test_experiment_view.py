"""What is said of a comparison follows from its intervals, and the figure draws the same numbers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from workbench import workflow
from workbench.app.experiment_recipes import RECIPES, expected_seconds, own_recipe, parse_labels
from workbench.app.experiment_words import (
    FEWEST_SEEDS,
    NOTHING_SHOWN,
    TOO_FEW,
    failures,
    first_score,
    frames,
    number_for_all,
    summary,
    verdict,
    verdicts,
)
from workbench.errors import SettingsError
from workbench.figures.experiments import paired_experiment


def row(variant: str, difference: tuple[float, float, float], n_pairs: int = 10, n_labels: int = 0) -> SimpleNamespace:
    return SimpleNamespace(
        variant=variant, n_labels=n_labels, n_pairs=n_pairs, mean=0.8, reference_mean=0.7, difference=difference
    )


def table(rows: list[SimpleNamespace], n_seeds: int = 10) -> Any:
    names = ["off", *dict.fromkeys(r.variant for r in rows)]
    pairs = pd.DataFrame(
        {"variant": name, "n_labels": n, "seed": seed, "value": 0.7 + 0.01 * seed + 0.001 * names.index(name)}
        for name in reversed(names)
        for n in dict.fromkeys(r.n_labels for r in rows)
        for seed in range(n_seeds)
    )
    return SimpleNamespace(score="accuracy", reference="off", rows=rows, pairs=pairs)


ON, MORE = row("on", (0.05, 0.01, 0.09)), row("more", (0.0, -0.1, 0.1))


@pytest.mark.parametrize(
    ("score", "interval", "said"),
    [
        ("accuracy", (0.01, 0.09), "helps"),
        ("accuracy", (-0.09, -0.01), "hurts"),
        ("mae", (0.01, 0.09), "hurts"),
        ("mae", (-0.09, -0.01), "helps"),
        ("log_likelihood", (0.01, 0.09), "helps"),
        ("dead_layers", (0.01, 0.09), "raises"),
        ("dead_layers", (-0.09, -0.01), "lowers"),
        ("accuracy", (-0.02, 0.04), NOTHING_SHOWN),
        ("accuracy", (0.0, 0.04), NOTHING_SHOWN),
        ("accuracy", (np.nan, np.nan), TOO_FEW),
    ],
)
def test_verdict_follows_from_the_interval(score: str, interval: tuple[float, float], said: str) -> None:
    assert verdict(score, 10, (sum(interval) / 2, *interval)) == said


def test_no_verdict_on_so_few_seeds_that_chance_alone_gives_them_one_sign() -> None:
    difference = (0.05, 0.01, 0.09)
    assert verdict("accuracy", FEWEST_SEEDS - 1, difference) == TOO_FEW
    assert verdict("accuracy", FEWEST_SEEDS, difference) == "helps"
    assert 2 * 0.5**FEWEST_SEEDS < 0.05 <= 2 * 0.5 ** (FEWEST_SEEDS - 1)


def test_lines_name_variant_labels_and_interval_and_keep_markdown_out_of_names() -> None:
    first, last = verdicts(table([row("n_hidden=[8]", (0.05, 0.01, 0.09)), row("on", (-0.05, -0.09, -0.01), 10, 100)]))
    assert first.startswith("**on** with 100 labels") and "hurts" in first and "−0.09 to −0.01" in first
    assert r"n\_hidden=\[8\]" in last and "all labels" in last and "10 seeds" in last


def test_summary_has_one_row_a_variant_and_number_of_labels_few_first() -> None:
    found = summary(table([ON, row("on", (0.0, -0.1, 0.1), n_labels=100)]))
    assert list(found["Labels"]) == ["100", "all"] and list(found["Difference"]) == [0.0, 0.05]
    assert list(found["Verdict"]) == [NOTHING_SHOWN, "helps"]


@pytest.mark.parametrize("labels", [(0,), (100,), (100, 0), (20, 100, 0)])
def test_the_figure_draws_every_number_of_labels_with_all_of_them_last(labels: tuple[int, ...]) -> None:
    made = table([row(v, (0.001, -0.1, 0.1), n_labels=n) for n in labels for v in ("on", "more")])
    drawn_at = number_for_all(made, 240)
    fig = paired_experiment(*frames(made, drawn_at))
    titles = [a.text for a in fig.layout.annotations if a.text.endswith("labels")]
    assert titles == ([] if labels == (0,) else [f"{n or 240} labels" for n in labels])


@pytest.mark.parametrize(("known", "drawn_at"), [(240, 240), (0, 101), (100, 101)])
def test_all_labels_never_fall_together_with_a_number_that_was_asked_for(known: int, drawn_at: int) -> None:
    made = table([row("on", (0.0, -0.1, 0.1), n_labels=n) for n in (100, 0)])
    assert number_for_all(made, known) == drawn_at
    assert set(frames(made, drawn_at)[0]["labels"]) == {100, drawn_at}


def test_the_reference_comes_first_in_the_figure_whatever_the_order_of_rows() -> None:
    scores, means, differences = frames(table([ON, MORE]), 1)
    assert list(dict.fromkeys(scores["variant"])) == ["off", "on", "more"]
    assert list(means["variant"]) == ["off", "on", "more"] and set(differences["variant"]) == {"on", "more"}


def test_means_lie_in_their_intervals_and_one_seed_has_none() -> None:
    _, means, _ = frames(table([ON]), 1)
    assert ((means["low"] < means["mean"]) & (means["mean"] < means["high"])).all()
    _, alone, _ = frames(table([ON], n_seeds=1), 1)
    assert alone["mean"].notna().all() and alone[["low", "high"]].isna().all(axis=None)


def test_a_failed_training_is_told_with_its_sentence() -> None:
    rows = pd.DataFrame(
        [("on", 0, 0, "finished"), ("on", 1, 0, "failed"), ("on", 1, 50, "failed"), ("off", 2, 0, "failed")],
        columns=["variant", "seed", "n_labels", "state"],
    )
    log = ["2026-01-01 10:00:00  started", "2026-01-01 10:00:01  on · seed 1 failed: No memory; take fewer units."]
    log += ["2026-01-01 10:00:02  on · seed 1 · 50 labels failed: All of one class: 3 failed: 4."]
    found = failures(rows, log)
    assert list(found["Training"]) == ["on · seed 1", "on · seed 1 · 50 labels", "off · seed 2"]
    assert list(found["Why"])[:2] == ["No memory; take fewer units.", "All of one class: 3 failed: 4."]
    assert found["Why"].iloc[2] == "see the log of its run"


def test_the_score_shown_first_is_the_one_that_trainings_are_judged_by() -> None:
    assert first_score(["auc", "balanced_accuracy", "accuracy"]) == 2
    assert first_score(["mse", "log_likelihood"]) == 1
    assert first_score(["something"]) == 0


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: r.title)
@pytest.mark.parametrize("preset", ["quick", "cpu"])
def test_every_recipe_has_settings_that_its_system_takes(recipe: Any, preset: str) -> None:
    for base in (recipe.needs, {**recipe.needs, **recipe.sizes}):
        made = [workflow.check_settings(recipe.system, {**base, **c}, preset) for c in recipe.variants.values()]
        assert all(a != b for i, a in enumerate(made) for b in made[:i]), "variants that are the same"


def test_every_device_of_section_2_6_and_the_comparison_of_2_3_1_are_prepared() -> None:
    varied = {key for recipe in RECIPES for changes in recipe.variants.values() for key in changes}
    assert varied >= {
        "start", "initialization", "optimizer", "activation", "corruption", "dropout", "dropconnect", "batch_norm",
    }  # fmt: skip
    first = RECIPES[0]
    assert [c["start"] for c in first.variants.values()] == ["scratch", "auto-encoders", "joint"]


def test_expected_time_grows_with_seeds_labels_and_variants() -> None:
    recipe = own_recipe("mlp", "Multilayer perceptrons", {"dropout": "0, 0.5"})
    one = expected_seconds(recipe, {}, "quick", (0,), 2)
    assert expected_seconds(recipe, {}, "quick", (0,), 4) > one
    assert expected_seconds(recipe, {}, "quick", (50, 0), 2) > one
    more = own_recipe("mlp", "", {"dropout": "0, 0.25, 0.5", "batch_norm": "false, true"})
    assert len(more.variants) == 6 and expected_seconds(more, {}, "quick", (0,), 2) > one
    whole = expected_seconds(recipe, {}, "cpu", (0,), 2, n_examples=100)
    assert whole < expected_seconds(recipe, {}, "cpu", (0,), 2), "20,000 patches take longer than 100 pictures"


@pytest.mark.parametrize("values", ["", "0.5", "0.5,"])
def test_one_value_is_no_comparison(values: str) -> None:
    with pytest.raises(SettingsError):
        own_recipe("mlp", "", {"dropout": values})


def test_lists_are_values_too() -> None:
    recipe = own_recipe("mlp", "", {"n_hidden": "[200], [100, 50]"})
    assert [c["n_hidden"] for c in recipe.variants.values()] == [[200], [100, 50]]


@pytest.mark.parametrize(
    ("chosen", "numbers"), [(["100", "all"], (100, 0)), ([], (0,)), (["all", "50", "20", "50"], (20, 50, 0))]
)
def test_labels_are_read_few_first(chosen: list[str], numbers: tuple[int, ...]) -> None:
    assert parse_labels(chosen) == numbers


@pytest.mark.parametrize("wrong", ["many", "-5", "0", "1.5"])
def test_a_wrong_number_of_labels_is_a_sentence(wrong: str) -> None:
    with pytest.raises(SettingsError, match="whole number"):
        parse_labels([wrong])
