"""How well classes are told apart: accuracy, AUC, calibration, and intervals that draw whole subjects.

Targets and predictions are (N,) classes from 0; probabilities (N, K) with rows that sum to 1, or (N,) of class 1.
What has no meaning for the examples at hand (an AUC of one class) is a ``CohortError`` with the reason; ``score``
turns it into NaN and a note.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata

from workbench.errors import CohortError
from workbench.metrics.intervals import Interval, mean_interval

Statistic = Callable[[np.ndarray, np.ndarray], float]


class ReliabilityBin(NamedTuple):
    """Examples whose confidence lies in one interval.

    Attributes:
        low: lower end of the interval, 0 to 1.
        high: upper end.
        n: examples.
        confidence: their mean confidence; NaN without examples.
        accuracy: their share of right classes, likewise.
    """

    low: float
    high: float
    n: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Score:
    """What one set of predictions is worth, each with an interval over subjects.

    Attributes:
        n: examples.
        n_subjects: subjects.
        accuracy: share of right classes.
        balanced_accuracy: mean over classes of the share of their examples that were found.
        auc: area under the ROC curve; mean over classes, one against the rest.
        calibration_error: expected calibration error.
        confusion: (K, K) counts, rows are the true classes.
        notes: why a value is NaN.
    """

    n: int
    n_subjects: int
    accuracy: Interval
    balanced_accuracy: Interval
    auc: Interval
    calibration_error: float
    confusion: np.ndarray
    notes: tuple[str, ...]


def accuracy(target: np.ndarray, predicted: np.ndarray) -> float:
    """Give the share of right classes of (N,) targets and predictions."""
    return float((_examples(target) == predicted).mean())


def balanced_accuracy(target: np.ndarray, predicted: np.ndarray) -> float:
    """Give the mean over the classes that occur of the share of their examples that were found.

    Raises:
        CohortError: there is one class only, of which always saying it would find everything.
    """
    classes = _classes(target, "Balanced accuracy")
    return float(np.mean([(predicted[target == k] == k).mean() for k in classes]))


def auc(target: np.ndarray, probabilities: np.ndarray) -> float:
    """Give the area under the ROC curve: how often an example of a class scores higher than one of another.

    Ties count half. With more than two classes it is the mean over the classes that occur, each against the rest.

    Args:
        target: (N,).
        probabilities: (N, K), or (N,) of class 1; any increasing function of them gives the same.

    Raises:
        CohortError: there is one class only.
    """
    classes = _classes(target, "The AUC")
    scores = np.asarray(probabilities)
    if scores.ndim == 2 and scores.shape[1] == 2:
        scores = scores[:, 1]
    if scores.ndim == 1:
        return _area(target == 1, scores)
    return float(np.mean([_area(target == k, scores[:, k]) for k in classes]))


def confusion_matrix(target: np.ndarray, predicted: np.ndarray, n_classes: int) -> np.ndarray:
    """Give counts (K, K) int64: row the true class, column the predicted one."""
    pairs = np.asarray(target) * n_classes + np.asarray(predicted)
    return np.bincount(pairs, minlength=n_classes**2).reshape(n_classes, n_classes)


def reliability_table(target: np.ndarray, probabilities: np.ndarray, n_bins: int = 10) -> list[ReliabilityBin]:
    """Compare how sure predictions are with how often they are right, in bins of equal width.

    The confidence is the probability of the predicted class. A confidence on an edge belongs to the bin below.
    """
    table = _two_columns(probabilities)
    confidence, right = table.max(1), table.argmax(1) == _examples(target)
    edges = np.linspace(0, 1, n_bins + 1)
    place = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, n_bins - 1)
    rows = []
    for index in range(n_bins):
        at = place == index
        n = int(at.sum())
        means = (float(confidence[at].mean()), float(right[at].mean())) if n else (float("nan"),) * 2
        rows.append(ReliabilityBin(float(edges[index]), float(edges[index + 1]), n, *means))
    return rows


def calibration_error(target: np.ndarray, probabilities: np.ndarray, n_bins: int = 10) -> float:
    """Give the expected calibration error, sum_b n_b / N |accuracy_b - confidence_b| (Naeini et al., AAAI 2015)."""
    rows = [row for row in reliability_table(target, probabilities, n_bins) if row.n]
    return sum(row.n * abs(row.accuracy - row.confidence) for row in rows) / sum(row.n for row in rows)


def statistic_interval(
    statistic: Statistic,
    target: np.ndarray,
    predicted: np.ndarray,
    subjects: Sequence[object] | np.ndarray | None = None,
    *,
    level: float = 0.95,
    n_boot: int = 500,
    seed: int = 0,
) -> Interval:
    """Give a statistic with its percentile bootstrap interval, drawing whole subjects with replacement.

    Draws for which the statistic has no meaning, as they hold one class only, are left out.

    Args:
        statistic: of (N,) targets and what was predicted, such as :func:`auc`.
        target: (N,).
        predicted: (N,) or (N, K).
        subjects: (N,) whom each example belongs to; each is its own without it.
        level: how often the interval should cover the truth.
        n_boot: draws.
        seed: of the draws.

    Raises:
        CohortError: the statistic has no meaning for the examples as they are.
    """
    names = np.arange(len(target)) if subjects is None else np.asarray([str(s) for s in subjects])
    unit = np.unique(names, return_inverse=True)[1]
    n_units = int(unit.max()) + 1
    rows = np.split(np.argsort(unit, kind="stable"), np.cumsum(np.bincount(unit))[:-1])
    value = statistic(target, predicted)
    rng, values = np.random.default_rng(seed), []
    for _ in range(n_boot if n_units > 1 else 0):
        drawn = np.concatenate([rows[i] for i in rng.integers(0, n_units, n_units)])
        try:
            values.append(statistic(target[drawn], predicted[drawn]))
        except CohortError:
            continue
    if len(values) < 2:
        return Interval(value, float("nan"), float("nan"))
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high))


def score(
    target: np.ndarray,
    probabilities: np.ndarray,
    subjects: Sequence[object] | np.ndarray | None = None,
    *,
    n_boot: int = 500,
    seed: int = 0,
) -> Score:
    """Give everything about one set of predictions.

    Args:
        target: (N,) classes.
        probabilities: (N, K), or (N,) of class 1.
        subjects: (N,) whom each example belongs to; each is its own without it.
        n_boot: draws of the intervals.
        seed: of the draws.
    """
    target, table, notes = _examples(target), _two_columns(probabilities), []
    predicted = table.argmax(1)

    def interval(statistic: Statistic, values: np.ndarray) -> Interval:
        try:
            return statistic_interval(statistic, target, values, subjects, n_boot=n_boot, seed=seed)
        except CohortError as error:
            notes.append(str(error))
            return Interval(float("nan"), float("nan"), float("nan"))

    return Score(
        n=len(target),
        n_subjects=len(target) if subjects is None else len({str(s) for s in subjects}),
        accuracy=mean_interval((predicted == target).astype(float), clusters=subjects, n_boot=n_boot, seed=seed),
        balanced_accuracy=interval(balanced_accuracy, predicted),
        auc=interval(auc, table),
        calibration_error=calibration_error(target, table),
        confusion=confusion_matrix(target, predicted, table.shape[1]),
        notes=tuple(notes),
    )


def _area(is_class: np.ndarray, scores: np.ndarray) -> float:
    """Give the AUC of one class by the ranks of its examples (Mann and Whitney 1947)."""
    n, n_others = int(is_class.sum()), int((~is_class).sum())
    return float((rankdata(scores)[is_class].sum() - n * (n + 1) / 2) / (n * n_others))


def _examples(target: np.ndarray) -> np.ndarray:
    if len(target) == 0:
        raise CohortError("There is no example to score; choose a part of the cohort that has targets.")
    return np.asarray(target)


def _classes(target: np.ndarray, what: str) -> np.ndarray:
    """Give the classes that occur, at least two."""
    classes = np.unique(_examples(target))
    if len(classes) < 2:
        raise CohortError(
            f"{what} compares classes, but all {len(target)} examples are of class {classes[0]}; "
            "score a part of the cohort that holds at least two classes."
        )
    return classes


def _two_columns(probabilities: np.ndarray) -> np.ndarray:
    """Give (N, K) of (N, K), or of (N,) for class 1."""
    table = np.asarray(probabilities, float)
    return np.stack([1 - table, table], 1) if table.ndim == 1 else table
