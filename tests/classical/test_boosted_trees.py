"""Trees as arrays against scikit-learn's own."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from workbench.classical import boosted_trees
from workbench.classical.boosted_trees import MIN_LEAF, BoostedTrees, fit_boosted_trees


def rows_and_classes(n_classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(1500, 9)).astype(np.float32)
    rows[:, 3] = np.round(rows[:, 3])  # ties at thresholds
    score = rows[:, :n_classes] + 0.5 * rng.normal(size=(1500, n_classes))
    return rows, score.argmax(1).astype(np.int32)


@pytest.mark.parametrize("n_classes", [2, 3, 5])
def test_walk_equals_scikit_learn(n_classes: int) -> None:
    rows, classes = rows_and_classes(n_classes)
    model = HistGradientBoostingClassifier(
        max_iter=12, learning_rate=0.2, max_leaf_nodes=7, l2_regularization=1.0, min_samples_leaf=MIN_LEAF,
        early_stopping=False, random_state=4,
    ).fit(rows[:1000], classes[:1000])  # fmt: skip
    trees = fit_boosted_trees(
        rows[:1000], classes[:1000], n_classes, n_rounds=12, learning_rate=0.2, max_leaves=7,
        seed=4,
    )  # fmt: skip
    new = np.concatenate([rows[1000:], np.full((1, 9), 1e6, np.float32), np.full((1, 9), -1e6, np.float32)])
    np.testing.assert_allclose(trees.probabilities(new), model.predict_proba(new), atol=1e-6)


def test_rows_in_pieces_are_the_same_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, classes = rows_and_classes(3)
    trees = fit_boosted_trees(rows, classes, 3, n_rounds=5)
    whole = trees.probabilities(rows)
    monkeypatch.setattr(boosted_trees, "ROWS_AT_ONCE", 100)
    np.testing.assert_array_equal(trees.probabilities(rows), whole)


def test_class_that_never_occurred_has_probability_0() -> None:
    rows, classes = rows_and_classes(2)
    found = fit_boosted_trees(rows, np.where(classes == 1, 3, 0), 5, n_rounds=20).probabilities(rows)
    assert (found[:, [1, 2, 4]] == 0).all()
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-6)
    assert ((found[:, 3] > 0.5) == (classes == 1)).mean() > 0.8


def test_a_single_class_is_certain() -> None:
    rows, _ = rows_and_classes(2)
    found = fit_boosted_trees(rows, np.full(len(rows), 2), 3).probabilities(rows)
    np.testing.assert_array_equal(found, np.tile([0, 0, 1], (len(rows), 1)))


@pytest.mark.parametrize("n_classes", [2, 3])
def test_shift_changes_the_odds_by_the_factors(n_classes: int) -> None:
    rows, classes = rows_and_classes(n_classes)
    trees = fit_boosted_trees(rows, classes, n_classes, n_rounds=5)
    factors = np.array([2.0, 0.5, 3.0])[:n_classes]
    before, after = trees.probabilities(rows), trees.shifted(factors).probabilities(rows)
    expected = before * factors
    np.testing.assert_allclose(after, expected / expected.sum(1, keepdims=True), atol=1e-6)


def test_arrays_say_everything() -> None:
    rows, classes = rows_and_classes(3)
    trees = fit_boosted_trees(rows, classes, 3, n_rounds=5)
    again = BoostedTrees.from_arrays(trees.to_arrays())
    np.testing.assert_array_equal(again.probabilities(rows), trees.probabilities(rows))
