"""Cross-validation by group, the linear machine beside it, and what must not leak."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from workbench.errors import CohortError
from workbench.imaging.cohort import Cohort
from workbench.imaging.subject import Subject
from workbench.systems.regional_cv import class_of, deal, linear_scores, site_accuracy, summary


def cohort(targets: list[str], groups: list[str] | None = None, tmp: Path = Path()) -> Cohort:
    subjects = [
        Subject(f"s{i:02d}", target=t, group=None if groups is None else groups[i], covariates={"sex": "fm"[i % 2]})
        for i, t in enumerate(targets)
    ]
    return Cohort(tmp / "cohort.csv", tuple(subjects))


def dealt(data: Cohort, n_folds: int = 4, **more):  # type: ignore[no-untyped-def]
    return deal(data, [s.name for s in data], more.pop("target", ""), n_folds, 0, **({"permute": False} | more))


def test_folds_hold_each_subject_out_once_with_classes_in_proportion() -> None:
    found = dealt(cohort(["control", "patient"] * 20))
    assert found.classes == ("control", "patient") and found.n_folds == 4
    for i in range(4):
        held = found.fold == i
        assert held.sum() == 10 and found.target[held].sum() == 5


def test_a_group_is_never_on_both_sides_and_may_be_ignored_on_purpose() -> None:
    groups = [f"site-{i % 5}" for i in range(40)]
    data = cohort(["a", "b", "b", "a"] * 10, groups)
    found = dealt(data, 5)
    for i in range(5):
        held = {g for g, f in zip(found.groups, found.fold, strict=True) if f == i}
        rest = {g for g, f in zip(found.groups, found.fold, strict=True) if f != i}
        assert not held & rest
    assert dealt(data, 5, by_group=False).groups[0] == "s00"


def test_one_group_for_all_holds_out_single_subjects_and_says_so() -> None:
    found = dealt(cohort(["a", "b"] * 8, ["PITT"] * 16))
    assert "single subjects" in found.notes[0] and len(set(found.groups)) == 16


def test_as_many_folds_as_subjects_leave_one_out() -> None:
    found = dealt(cohort(["a", "b"] * 6), 100)
    assert sorted(found.fold) == list(range(12))


@pytest.mark.parametrize(
    ("targets", "said"),
    [(["a"] * 8, "have 1: a"), (["a", "b", "c"] * 5, "have 3"), (["a"] * 10 + ["b"] * 3, "Class b has 3"),
     (["a", "b", ""] * 5, "has no target")],
)  # fmt: skip
def test_what_cannot_be_told_apart_is_said(targets: list[str], said: str) -> None:
    with pytest.raises(CohortError, match=said):
        dealt(cohort(targets))


def test_a_covariate_can_be_the_target() -> None:
    found = dealt(cohort(["a"] * 12), target="sex")
    assert found.classes == ("f", "m")
    with pytest.raises(CohortError, match="no value of age"):
        class_of(cohort(["a"]).subjects[0], "age")


def test_shuffling_keeps_the_number_of_each_class_and_is_said() -> None:
    data = cohort(["a", "b"] * 15)
    plain, shuffled = dealt(data), dealt(data, permute=True)
    assert shuffled.target.sum() == plain.target.sum() and (shuffled.target != plain.target).any()
    assert any("control" in note for note in shuffled.notes)


def edges_of(target: np.ndarray, effect: float, seed: int, n_edges: int = 300) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(len(target), n_edges))
    x[:, :10] += effect * target[:, None]
    return x.astype(np.float32)


def test_the_linear_machine_finds_what_is_there() -> None:
    found = dealt(cohort(["a", "b"] * 30))
    scores = linear_scores(edges_of(found.target, 1.5, 0), found.target, found.fold)
    table = summary(found, {"own": scores})
    assert table["own: auc"][0] > 0.9 and table["own: p"][0] < 0.01
    assert table["own: accuracy"][1] <= table["own: accuracy"][0] <= table["own: accuracy"][2]


def test_without_an_effect_scores_are_at_chance_over_many_seeds() -> None:
    """The normalization and the penalty are learnt in the training part; a leak would lift the mean above one half."""
    areas = []
    for seed in range(12):
        found = deal(cohort(["a", "b"] * 15), [f"s{i:02d}" for i in range(30)], "", 5, seed, permute=False)
        scores = linear_scores(edges_of(found.target, 0.0, seed), found.target, found.fold, seed)
        areas.append(summary(found, {"own": scores})["own: auc"][0])
    error = np.std(areas, ddof=1) / np.sqrt(len(areas))
    assert abs(np.mean(areas) - 0.5) < 3 * error + 0.03


def test_sites_are_told_where_there_are_several() -> None:
    rng = np.random.default_rng(0)
    sites = [f"site-{i % 3}" for i in range(45)]
    x = rng.normal(size=(45, 200)).astype(np.float32)
    assert site_accuracy(x, ["one"] * 45) is None
    chance = site_accuracy(x, sites)
    told = site_accuracy(x + 2 * np.array([int(s[-1]) for s in sites])[:, None].astype(np.float32), sites)
    assert chance is not None and told is not None and chance[0] < 0.6 < told[0]


@pytest.mark.slow
def test_widened_intervals_cover_chance_about_as_often_as_they_say() -> None:
    """Without any difference, 60 cohorts of 40: 0.5 lies in at least 85 of 100 intervals; unwidened in 83 or so."""
    covered = []
    for seed in range(60):
        found = deal(cohort(["a", "b"] * 20), [f"s{i:02d}" for i in range(40)], "", 5, seed, permute=False)
        scores = linear_scores(edges_of(found.target, 0.0, seed, 100), found.target, found.fold, seed)
        _, low, high = summary(found, {"own": scores})["own: auc"]
        covered.append(low <= 0.5 <= high)
    assert np.mean(covered) >= 0.85
