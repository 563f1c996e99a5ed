"""Permutation tests: their p is uniform where there is nothing, small where there is something, and never 0."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from workbench.errors import CohortError, SettingsError
from workbench.metrics.classification import auc
from workbench.metrics.permutation import permutation_test, permutation_test_of


@pytest.mark.parametrize("statistic", ["auc", "correlation"])
def test_p_is_uniform_where_there_is_nothing(statistic):
    rng = np.random.default_rng(0)
    target = np.arange(30) % 2
    p = np.array([permutation_test(target, rng.normal(size=30), statistic, n=99, seed=s).p for s in range(200)])
    for level in (0.05, 0.1, 0.2, 0.5):
        assert abs((p <= level).mean() - level) < 3 * np.sqrt(level * (1 - level) / 200) + 0.005
    assert p.min() >= 0.01 and p.max() <= 1


def test_p_is_never_0_and_small_where_there_is_something():
    target = np.arange(40) % 2
    test = permutation_test(target, target + 0.01 * np.arange(40) / 40, n=199)
    assert test.observed == 1 and test.p == 1 / 200 and len(test.null) == 199
    assert permutation_test(target, -target.astype(float), n=199).p == 1


def test_agrees_with_all_orders():
    target, scores = np.array([0, 0, 0, 1, 1, 1]), np.array([0.1, 0.5, 0.3, 0.4, 0.9, 0.7])
    every = [auc(target[list(order)], scores) for order in permutations(range(6))]
    exact = np.mean(np.array(every) >= auc(target, scores) - 1e-12)
    assert permutation_test(target, scores, n=5000).p == pytest.approx(exact, abs=0.02)


def test_examples_of_a_subject_move_together():
    rng = np.random.default_rng(0)
    subject = np.repeat(np.arange(8), 40)
    of_subject = np.arange(8) % 2
    p = {"alone": [], "together": []}
    for seed in range(40):  # each subject has a level of its own that says nothing of its class
        scores = rng.normal(size=8)[subject] + 0.1 * rng.normal(size=320)
        p["alone"].append(permutation_test(of_subject[subject], scores, n=99, seed=seed).p)
        p["together"].append(permutation_test(of_subject[subject], scores, subjects=subject, n=99, seed=seed).p)
    assert np.mean(np.array(p["alone"]) <= 0.05) > 0.3  # far too often
    assert np.mean(np.array(p["together"]) <= 0.05) <= 0.15


def test_within_sites_a_difference_of_sites_is_no_finding():
    rng = np.random.default_rng(0)
    site = np.repeat(["a", "b"], 40)
    target = np.concatenate([rng.permutation(40) < 30, rng.permutation(40) < 10]).astype(int)  # more patients in a
    scores = (site == "a") + 0.3 * rng.normal(size=80)  # which tell the site, not the disease
    assert permutation_test(target, scores, n=199).p <= 0.02
    assert permutation_test(target, scores, within=site, n=199).p > 0.02


def test_a_whole_evaluation_can_be_tested():
    x = np.random.default_rng(0).normal(size=(40, 3))
    target = (x[:, 0] > 0).astype(int)
    seen: list[float] = []

    def distance(shuffled: np.ndarray) -> float:
        return float(np.linalg.norm(x[shuffled == 1].mean(0) - x[shuffled == 0].mean(0)))

    test = permutation_test_of(distance, target, n=99, seed=1, progress=lambda fraction, _: seen.append(fraction))
    assert test.p == 0.01 and test.observed == distance(target) and seen[-1] == 1
    again = permutation_test_of(distance, target, n=99, seed=1)
    assert np.array_equal(again.null, test.null)


def test_accuracies_take_predicted_classes():
    target = np.arange(30) % 2
    assert permutation_test(target, target, "accuracy", n=99).observed == 1
    assert permutation_test(target, np.zeros(30, int), "balanced_accuracy", n=99).p == 1


def test_mistakes_are_named():
    target, scores = np.arange(6) % 2, np.arange(6.0)
    with pytest.raises(SettingsError, match="no statistic 'f1'"):
        permutation_test(target, scores, "f1")
    with pytest.raises(CohortError, match="Targets differ within a subject"):
        permutation_test(target, scores, subjects=["a", "a", "b", "b", "c", "c"])
    with pytest.raises(CohortError, match="nothing to shuffle"):
        permutation_test(target, scores, within=target)
    with pytest.raises(CohortError, match="in two strata"):
        permutation_test(np.array([0, 0, 1]), scores[:3], subjects=["a", "a", "b"], within=["x", "y", "x"])
    with pytest.raises(SettingsError, match="at least 1 shuffle"):
        permutation_test(target, scores, n=0)
    with pytest.raises(ValueError, match="a score for each of 6"):
        permutation_test(target, scores[:4])
