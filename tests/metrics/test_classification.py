"""Scores against counting by hand and against scikit-learn, calibration of known truth, intervals over subjects."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics as peer

from workbench.errors import CohortError
from workbench.metrics.classification import (
    accuracy,
    auc,
    balanced_accuracy,
    calibration_error,
    confusion_matrix,
    reliability_table,
    score,
    statistic_interval,
)

TARGET = np.array([0, 0, 0, 0, 1, 1])
PREDICTED = np.array([0, 0, 0, 1, 1, 0])


def random_scores(seed: int, n: int = 60, n_classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    target = rng.integers(0, n_classes, n)
    logits = rng.normal(size=(n, n_classes)) + 1.5 * np.eye(n_classes)[target]
    return target, np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


def test_shares_by_hand() -> None:
    assert accuracy(TARGET, PREDICTED) == 4 / 6
    assert balanced_accuracy(TARGET, PREDICTED) == (3 / 4 + 1 / 2) / 2
    assert confusion_matrix(TARGET, PREDICTED, 3).tolist() == [[3, 1, 0], [1, 1, 0], [0, 0, 0]]


def test_the_auc_is_the_share_of_ordered_pairs_with_ties_as_halves() -> None:
    scores = np.array([0.1, 0.4, 0.4, 0.8, 0.4, 0.9])
    pairs = [(scores[j] > scores[i]) + 0.5 * (scores[j] == scores[i]) for i in range(4) for j in (4, 5)]
    assert auc(TARGET, scores) == pytest.approx(np.mean(pairs))
    assert auc(TARGET, np.stack([1 - scores, scores], 1)) == pytest.approx(np.mean(pairs))
    assert auc(TARGET, np.exp(5 * scores)) == pytest.approx(np.mean(pairs)), "any increasing function gives the same"
    assert auc(1 - TARGET, scores) == pytest.approx(1 - np.mean(pairs))


@pytest.mark.parametrize("seed", range(3))
def test_scikit_learn_agrees(seed: int) -> None:
    target, probabilities = random_scores(seed)
    predicted = probabilities.argmax(1)
    assert accuracy(target, predicted) == pytest.approx(peer.accuracy_score(target, predicted))
    assert balanced_accuracy(target, predicted) == pytest.approx(peer.balanced_accuracy_score(target, predicted))
    assert auc(target, probabilities) == pytest.approx(peer.roc_auc_score(target, probabilities, multi_class="ovr"))
    assert (confusion_matrix(target, predicted, 3) == peer.confusion_matrix(target, predicted)).all()


def test_a_missing_class_leaves_the_others_their_auc() -> None:
    target, probabilities = random_scores(0)
    some = target != 1
    ones = [peer.roc_auc_score(target[some] == k, probabilities[some, k]) for k in (0, 2)]
    assert auc(target[some], probabilities[some]) == pytest.approx(np.mean(ones))


def test_calibration_by_hand() -> None:
    """Four examples at 0.75, three of them right; two at 0.95, one of them right."""
    confidence = np.array([0.75, 0.75, 0.75, 0.75, 0.95, 0.95])
    rows = reliability_table(np.array([1, 1, 1, 0, 1, 0]), confidence, 10)
    assert [row.n for row in rows] == [0, 0, 0, 0, 0, 0, 0, 4, 0, 2]
    assert rows[7].confidence == rows[7].accuracy == 0.75 and math.isnan(rows[0].accuracy)
    assert calibration_error(np.array([1, 1, 1, 0, 1, 0]), confidence) == pytest.approx(2 / 6 * 0.45)


def test_predictions_that_mean_what_they_say_are_calibrated_and_overconfident_ones_are_not() -> None:
    rng = np.random.default_rng(0)
    p = rng.uniform(size=20_000)
    target = (rng.uniform(size=20_000) < p).astype(int)
    assert calibration_error(target, p) < 0.02
    logits = 3 * np.log(p / (1 - p))
    assert calibration_error(target, 1 / (1 + np.exp(-logits))) > 0.1


def test_edges_of_confidence_have_a_bin() -> None:
    rows = reliability_table(np.array([0, 1, 1]), np.array([0.0, 1.0, 0.5]), 4)
    assert [row.n for row in rows] == [0, 1, 0, 2] and rows[-1].high == 1


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    """The AUC of N(0, 1) against N(1, 1) is Phi(1 / sqrt 2) = 0.760."""
    rng, covered = np.random.default_rng(1), 0
    for seed in range(60):
        target = rng.integers(0, 2, 60)
        interval = statistic_interval(auc, target, rng.normal(size=60) + target, n_boot=100, seed=seed)
        covered += interval.low <= 0.760 <= interval.high
    assert covered >= 50, covered  # 57 expected of 95 %, 3.7 standard deviations below


def test_examples_of_one_subject_are_drawn_together() -> None:
    """Copies of an example add no information: by subject the interval stays, without it becomes narrower."""
    target, probabilities = random_scores(2, n=40, n_classes=2)
    copies, subjects = np.repeat(np.arange(40), 9), np.repeat([f"s{i}" for i in range(40)], 9)
    one = statistic_interval(auc, target, probabilities, seed=1)
    by_subject = statistic_interval(auc, target[copies], probabilities[copies], subjects, seed=1)
    alone = statistic_interval(auc, target[copies], probabilities[copies], seed=1)
    assert by_subject.mean == pytest.approx(one.mean)
    assert (by_subject.high - by_subject.low) == pytest.approx(one.high - one.low, rel=0.25)
    assert (alone.high - alone.low) < 0.5 * (by_subject.high - by_subject.low)


def test_one_class_is_said_and_leaves_the_rest_of_the_score() -> None:
    target, probabilities = np.ones(4, int), np.array([0.9, 0.8, 0.2, 0.7])
    sentence = "The AUC compares classes, but all 4 examples are of class 1; score a part of the cohort"
    with pytest.raises(CohortError, match=sentence):
        auc(target, probabilities)
    result = score(target, probabilities)
    assert result.accuracy.mean == 0.75 and math.isnan(result.auc.mean) and math.isnan(result.balanced_accuracy.low)
    assert len(result.notes) == 2 and result.notes[1].startswith(sentence)
    with pytest.raises(CohortError, match="There is no example to score"):
        score(np.array([], int), np.array([]))


def test_a_score_holds_everything_by_subject() -> None:
    target, probabilities = random_scores(3)
    subjects = np.repeat(np.arange(20), 3)
    result = score(target, probabilities, subjects, n_boot=100)
    assert (result.n, result.n_subjects, result.notes) == (60, 20, ())
    assert result.confusion.sum() == 60 and result.confusion.shape == (3, 3)
    for interval in (result.accuracy, result.balanced_accuracy, result.auc):
        assert interval.low < interval.mean < interval.high
    assert result.accuracy.mean == accuracy(target, probabilities.argmax(1))


def test_a_single_subject_has_no_interval() -> None:
    target, probabilities = random_scores(4)
    interval = statistic_interval(auc, target, probabilities, ["one"] * 60)
    assert interval.mean == auc(target, probabilities) and math.isnan(interval.low)


def test_draws_of_one_class_are_left_out() -> None:
    target = np.array([0, 0, 0, 0, 0, 1])
    interval = statistic_interval(auc, target, np.linspace(0, 1, 6), seed=0)
    assert interval.mean == 1 and interval.low == 1 and not math.isnan(interval.high)
