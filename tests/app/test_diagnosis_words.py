"""Sentences about scores claim what the intervals show and no more."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from workbench.app import diagnosis_words as words
from workbench.app.diagnosis_view import ends, reached
from workbench.app.diagnosis_words import Measured

SUMMARY = {
    "own: auc": [0.8, 0.7, 0.9], "own: accuracy": [0.75, 0.6, 0.85], "own: p": [0.0005],
    "linear machine on connectivity: auc": [0.6, 0.45, 0.75],
    "site by a linear machine: balanced accuracy": [0.9, 0.8, 1.0],
}  # fmt: skip


@pytest.mark.parametrize(("area", "p", "claim", "said"), [
    (Measured(0.8, 0.7, 0.9), 0.001, True, "above 0.5"),
    (Measured(0.8, 0.7, 0.9), None, True, "above 0.5"),
    (Measured(0.53, 0.52, 0.56), 0.42, False, "0.42 of the shuffles"),
    (Measured(0.6, 0.45, 0.75), 0.2, False, "covers 0.5"),
    (Measured(0.5, 0.5, 0.5), 1.0, False, "covers 0.5"),
    (Measured(0.2, 0.1, 0.4), 1.0, False, "wrong way round"),
    (Measured(0.8, np.nan, np.nan), 0.01, False, "nothing follows"),
])  # fmt: skip
def test_better_than_chance_is_said_only_where_interval_and_shuffles_agree(
    area: Measured, p: float | None, claim: bool, said: str
) -> None:
    sentence = words.verdict("own", area, p)
    assert ("the classes better than chance" in sentence) == claim and said in sentence


def test_a_difference_to_the_baseline_is_claimed_only_without_overlap() -> None:
    low, middle, high = Measured(0.3, 0.2, 0.4), Measured(0.5, 0.35, 0.6), Measured(0.8, 0.7, 0.9)
    assert "lies above" in words.beside_baseline(high, low) and "lies below" in words.beside_baseline(low, high)
    for a, b in ((low, middle), (middle, low)):
        assert "no difference" in words.beside_baseline(a, b)


def test_the_table_has_a_row_a_method_and_one_of_the_site() -> None:
    table = words.methods_table(SUMMARY, ["own", "linear machine on connectivity"])
    assert table["Method"].tolist() == ["own", "linear machine on connectivity", "site by a linear machine"]
    assert table["AUC"].tolist() == ["0.80 (0.70 to 0.90)", "0.60 (0.45 to 0.75)", "–"]
    assert table["p"].tolist() == ["0.0005", "–", "–"]
    assert table["Balanced accuracy"].tolist()[-1] == "0.90 (0.80 to 1.00)"


def test_saved_numbers_are_those_of_the_run() -> None:
    table = words.numbers_table(SUMMARY)
    assert len(table) == len(SUMMARY)
    row = table[(table["method"] == "own") & (table["measure"] == "auc")].iloc[0]
    assert row[["value", "low", "high"]].tolist() == [0.8, 0.7, 0.9]
    assert np.isnan(table[table["measure"] == "p"].iloc[0]["low"])


def test_methods_and_measures_of_any_name_make_a_table() -> None:
    found = {"RBM: explained variance": [0.3, 0.2, 0.4], "PCA: reproducibility": [0.5, 0.4, 0.6]}
    table = words.wide_table(found)
    assert list(table.columns) == ["Method", "Explained variance", "Reproducibility"]
    assert table.iloc[0].tolist() == ["RBM", "0.300 (0.200 to 0.400)", "–"]


@pytest.mark.parametrize(("site", "said"), [
    (Measured(0.9, 0.8, 1.0), "can be told"), (Measured(0.4, 0.3, 0.5), "stays open")
])  # fmt: skip
def test_a_site_is_called_told_only_above_its_chance(site: Measured, said: str) -> None:
    assert said in words.told_of_site(site, 3) and "0.33" in words.told_of_site(site, 3)


def test_shuffles_are_counted_and_a_large_p_is_no_evidence() -> None:
    assert "no evidence" in words.tested(0.3, 2000, within_site=True)
    assert "within sites" in words.tested(0.3, 2000, within_site=True)
    assert "no evidence" not in words.tested(0.01, 2000, within_site=False)


def test_every_subject_has_its_row() -> None:
    found = SimpleNamespace(
        subjects=("a", "b"), target=np.array([1, 0]), classes=("control", "patient"), fold=np.array([0, 1]),
        site=("x", "y"), scores={"own": np.array([0.5, -0.5])},
    )  # fmt: skip
    table = words.score_table(found)
    assert table.iloc[0].tolist() == ["a", "patient", 1, "x", 0.5]


def test_a_control_has_reached_its_target_only_within_the_tolerance() -> None:
    def trace(measure: str, target: float, *values: float) -> SimpleNamespace:
        return SimpleNamespace(layer="h", measure=measure, target=target, values=np.array(values), betas=np.zeros(2))

    assert reached([trace("nonzero", 0.2, 1.0, 0.209), trace("nonzero", 0.2, 0.2, 0.22)]).startswith("**1 of 2**")
    assert reached([trace("hoyer", 0.5, 0.1, 0.52)]).startswith("**1 of 1**")
    assert ends([trace("nonzero", 0.2, 1.0, 0.3)])["Difference"].iloc[0] == pytest.approx(0.1)
