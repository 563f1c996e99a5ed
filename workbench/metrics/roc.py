"""ROC curves of held-out scores, over folds, with a band that draws whole subjects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from workbench.errors import CohortError
from workbench.metrics.intervals import Interval

_Part = tuple[np.ndarray, np.ndarray, np.ndarray]  # rows of a fold, their order, where equal scores end


class RocCurve(NamedTuple):
    """One curve, from (0, 0) to (1, 1).

    Attributes:
        false_positive_rate: (P,) share of class 0 that scores at least the threshold, rising.
        true_positive_rate: (P,) share of class 1.
        thresholds: (P,) falling; the first is infinite.
    """

    false_positive_rate: np.ndarray
    true_positive_rate: np.ndarray
    thresholds: np.ndarray


@dataclass(frozen=True, eq=False)
class RocBand:
    """A curve on a grid with its uncertainty.

    Attributes:
        false_positive_rate: (G,) the grid, 0 to 1.
        true_positive_rate: (G,) mean over the folds.
        low: (G,) lower end of the pointwise interval; NaN with a single subject.
        high: (G,) upper end.
        auc: area under the curve, mean over the folds, with its interval.
        n_folds: folds that hold both classes and so have a curve.
    """

    false_positive_rate: np.ndarray
    true_positive_rate: np.ndarray
    low: np.ndarray
    high: np.ndarray
    auc: Interval
    n_folds: int


def roc_curve(target: np.ndarray, scores: np.ndarray) -> RocCurve:
    """Give the curve of (N,) classes 0 or 1 and (N,) scores that are high for class 1; ties are one point.

    Raises:
        CohortError: there is one class only.
    """
    target, scores = _two_classes(target, scores)
    order, ends = _order(scores)
    false, true = _rates(target, order, ends, np.ones(len(target)))
    return RocCurve(false, true, np.append(np.inf, scores[order][ends]))


def roc_band(
    target: np.ndarray,
    scores: np.ndarray,
    subjects: Sequence[object] | None = None,
    folds: Sequence[object] | None = None,
    *,
    level: float = 0.95,
    n_boot: int = 1000,
    seed: int = 0,
    n_grid: int = 101,
) -> RocBand:
    """Give the cross-validated curve: true positive rates averaged over folds at each false positive rate.

    Scores of models that were fitted in different folds need not be on one scale, so each fold has its own curve
    (vertical averaging, Fawcett 2006). The band is pointwise and draws whole subjects with replacement; a fold that
    comes to hold one class only is left out of that draw. It holds the chance of which subjects were scored, not of
    which ones the models were trained on.

    Args:
        target: (N,) classes 0 or 1.
        scores: (N,) high for class 1, each held out from the training of its model.
        subjects: (N,) whom each example belongs to; each is its own without it.
        folds: (N,) which model scored it; one for all without it.
        level: how often the interval should cover the truth, at each point.
        n_boot: draws.
        seed: of the draws.
        n_grid: points of the grid.

    Raises:
        CohortError: no fold holds both classes.
    """
    target, scores = _two_classes(target, scores)
    unit, fold = _numbers(subjects, len(target)), _numbers(folds, len(target), alone=False)
    rows = [np.flatnonzero(fold == f) for f in range(fold.max() + 1)]
    parts = [(r, *_order(scores[r])) for r in rows if len(set(target[r])) == 2]
    if not parts:
        raise CohortError("No fold holds both classes, so none has a ROC curve; use fewer folds, or none.")
    grid = np.linspace(0, 1, n_grid)

    curve, area = _mean_curve(parts, target, np.ones(len(target)), grid)
    n_units, rng = int(unit.max()) + 1, np.random.default_rng(seed)
    draws = []
    for _ in range(n_boot if n_units > 1 else 0):
        weight = np.bincount(rng.integers(0, n_units, n_units), minlength=n_units)[unit]
        draws.append(np.append(*_mean_curve(parts, target, weight, grid)))
    known = [d for d in draws if not np.isnan(d[-1])]
    low, high = np.full((2, n_grid + 1), np.nan)
    if len(known) > 1:
        low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2], axis=0)
    interval = Interval(area, float(low[-1]), float(high[-1]))
    return RocBand(grid, curve, low[:-1], high[:-1], interval, len(parts))


def _mean_curve(
    parts: list[_Part], target: np.ndarray, weight: np.ndarray, grid: np.ndarray
) -> tuple[np.ndarray, float]:
    """Give the mean curve (G,) and area over the folds whose weighted examples are of both classes; NaN if none."""
    curves, areas = [], []
    for rows, order, ends in parts:
        if len(set(target[rows][weight[rows] > 0])) == 2:
            false, true = _rates(target[rows], order, ends, weight[rows])
            curves.append(np.interp(grid, false, true))  # the last of equal abscissae counts: the top of a step
            areas.append(np.trapezoid(true, false))
    if not curves:
        return np.full(len(grid), np.nan), float("nan")
    return np.mean(curves, axis=0), float(np.mean(areas))


def _order(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give examples in falling order of score, and the last place of each run of equal scores."""
    order = np.argsort(-scores, kind="stable")
    return order, np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)


def _rates(
    target: np.ndarray, order: np.ndarray, ends: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Give false and true positive rates (P,) of weighted examples."""
    positive = target[order] == 1
    true = np.cumsum(weight[order] * positive)[ends]
    false = np.cumsum(weight[order] * ~positive)[ends]
    return np.append(0.0, false / false[-1]), np.append(0.0, true / true[-1])


def _two_classes(target: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    target, scores = np.asarray(target), np.asarray(scores, float)
    if target.shape != scores.shape or target.ndim != 1 or np.isnan(scores).any():
        raise ValueError(f"expected (N,) targets and scores without NaN; got {target.shape} and {scores.shape}")
    if not np.isin(target, [0, 1]).all():
        raise ValueError(f"a ROC curve is of classes 0 and 1; got {np.unique(target)}")
    if len(set(target.tolist())) < 2:
        raise CohortError("A ROC curve compares two classes, but there is one only; score a part that holds both.")
    return target, scores


def _numbers(names: Sequence[object] | None, n: int, *, alone: bool = True) -> np.ndarray:
    """Give each name's number; without names each example is its own, or all are one."""
    if names is None:
        return np.arange(n) if alone else np.zeros(n, int)
    if len(names) != n:
        raise ValueError(f"expected a name for each of {n} examples; got {len(names)}")
    return np.unique([str(name) for name in names], return_inverse=True)[1]
