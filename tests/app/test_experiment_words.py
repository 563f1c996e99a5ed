"""What is said of a comparison follows from its intervals, and the figure's tables say the same."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from workbench import workflow
from workbench.app.experiment_recipes import RECIPES
from workbench.app.experiment_words import FEWEST_SEEDS, frames, summary, verdicts


def row(variant: str, difference: tuple[float, float, float], n_pairs: int = 10, n_labels: int = 0) -> SimpleNamespace:
    return SimpleNamespace(
        variant=variant, n_labels=n_labels, n_pairs=n_pairs, mean=0.8, reference_mean=0.7, difference=difference
    )


def table(rows: list[SimpleNamespace], n_seeds: int = 10) -> Any:
    names = ["off", *dict.fromkeys(r.variant for r in rows)]
    pairs = pd.DataFrame(
        {"variant": name, "n_labels": 0, "seed": seed, "value": 0.7 + 0.01 * seed}
        for name in reversed(names)
        for seed in range(n_seeds)
    )
    return SimpleNamespace(score="accuracy", reference="off", rows=rows, pairs=pairs)


@pytest.mark.parametrize(
    ("difference", "n_pairs", "said"),
    [
        ((0.05, 0.01, 0.09), 10, "helps"),
        ((-0.05, -0.09, -0.01), 10, "hurts"),
        ((0.01, -0.02, 0.04), 10, "no difference shown"),
        ((0.05, 0.01, 0.09), FEWEST_SEEDS - 1, "too few seeds"),
        ((0.05, np.nan, np.nan), 10, "too few seeds"),
    ],
)
def test_verdict_follows_from_the_interval(difference: tuple[float, float, float], n_pairs: int, said: str) -> None:
    (line,) = verdicts(table([row("on", difference, n_pairs)]))
    assert f"[**{said}" in line and line.startswith("**on** with all")


def test_the_reference_comes_first_in_the_figure_whatever_the_order_of_rows() -> None:
    scores, means, differences = frames(table([row("on", (0.05, 0.01, 0.09)), row("more", (0.0, -0.1, 0.1))]), 1437)
    assert list(dict.fromkeys(scores["variant"])) == ["off", "on", "more"]
    assert list(means["variant"]) == ["off", "on", "more"] and set(differences["variant"]) == {"on", "more"}


def test_means_lie_in_their_intervals() -> None:
    _, means, _ = frames(table([row("on", (0.05, 0.01, 0.09))]), 1437)
    assert ((means["low"] < means["mean"]) & (means["mean"] < means["high"])).all()


def test_summary_has_one_row_a_variant_and_number_of_labels() -> None:
    found = summary(table([row("on", (0.05, 0.01, 0.09), n_labels=100), row("on", (0.0, -0.1, 0.1))]))
    assert list(found["Labels"]) == ["100", "all"] and list(found["Difference"]) == [0.05, 0.0]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: r.title)
def test_every_recipe_has_settings_that_its_system_takes(recipe: Any) -> None:
    for changes in recipe.variants.values():
        settings = workflow.check_settings(recipe.system, {**recipe.needs, **recipe.sizes, **changes, "n_labels": 100})
        assert settings["n_labels"] == 100
