"""How much two masks have in common, at one threshold or at many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from workbench.errors import CohortError, GeometryError


@dataclass(frozen=True)
class Overlap:
    """What two masks share; a share of nothing is NaN.

    With TP, FP, FN and TN voxels that are in both masks, only in the prediction, only in the truth, and in neither:

    Attributes:
        dice: 2 TP / (2 TP + FP + FN) (Dice, Ecology 1945). NaN when both masks are empty, 0 when one is.
        jaccard: TP / (TP + FP + FN), which is dice / (2 - dice).
        sensitivity: TP / (TP + FN), the share of the truth that was found; NaN without truth.
        specificity: TN / (TN + FP), the share of the rest that was left alone. It grows with the empty air about a
            head: compare it only inside one mask.
        ppv: TP / (TP + FP), the share of the prediction that is right; NaN without prediction.
        relative_volume_difference: (predicted - true) / true volume; above 0 is too much, NaN without truth.
        n_true: voxels of the truth.
        n_predicted: voxels of the prediction.
    """

    dice: float
    jaccard: float
    sensitivity: float
    specificity: float
    ppv: float
    relative_volume_difference: float
    n_true: int
    n_predicted: int


class ThresholdRow(NamedTuple):
    """The scores of ``probability >= threshold``; NaN as in :class:`Overlap`."""

    threshold: float
    dice: float
    sensitivity: float
    specificity: float
    ppv: float


def overlap(predicted: np.ndarray, truth: np.ndarray, within: np.ndarray | None = None) -> Overlap:
    """Compare two masks voxel by voxel.

    Args:
        predicted: (X, Y, Z) bool; of other types, what is not 0 is inside.
        truth: the same of the truth.
        within: the same of the voxels to look at; all without it.
    """
    predicted, truth, inside = _masks(predicted, truth, within)
    if inside is None:
        n, both = truth.size, predicted & truth
    else:
        n, truth = _n(inside), truth & inside
        predicted = predicted & inside
        both = predicted & truth
    return overlap_of_counts(_n(both), _n(predicted), _n(truth), n)


def overlap_of_counts(n_both: int, n_predicted: int, n_true: int, n: int) -> Overlap:
    """Give the scores of two masks of which ``n_both`` of ``n`` voxels are in both."""
    return Overlap(
        dice=_share(2 * n_both, n_predicted + n_true),
        jaccard=_share(n_both, n_predicted + n_true - n_both),
        sensitivity=_share(n_both, n_true),
        specificity=_share(n - n_predicted - n_true + n_both, n - n_true),
        ppv=_share(n_both, n_predicted),
        relative_volume_difference=_share(n_predicted - n_true, n_true),
        n_true=n_true,
        n_predicted=n_predicted,
    )


def threshold_sweep(
    probability: np.ndarray, truth: np.ndarray, thresholds: Sequence[float], within: np.ndarray | None = None
) -> list[ThresholdRow]:
    """Give the scores of ``probability >= threshold`` for each threshold, in their order.

    The voxels are counted between thresholds once, true and others apart; sums from above give the counts at every
    threshold. A threshold is compared in the number format of the probabilities, as ``>=`` does it.

    Args:
        probability: (X, Y, Z) of being inside, or any score of which more is surer.
        truth: (X, Y, Z) mask.
        thresholds: any numbers, not NaN.
        within: (X, Y, Z) mask of the voxels to look at; all without it.
    """
    same_shape(probability, truth, within)
    scores = np.asarray(probability)
    if not np.issubdtype(scores.dtype, np.floating):
        scores = scores.astype(float)
    levels = np.asarray(thresholds, scores.dtype)
    if levels.size == 0 or np.isnan(levels).any():
        raise ValueError(f"expected thresholds that are numbers; got {list(thresholds)}")
    true = as_mask(truth, "true mask")
    if within is not None:
        inside = as_mask(within, "mask to score within")
        scores, true = scores[inside], true[inside]
    if np.isnan(scores).any():
        raise CohortError(
            f"{np.isnan(scores).sum()} of {scores.size} probabilities are not numbers (NaN); score inside a mask of "
            "the voxels that were predicted, or predict again."
        )
    order = np.argsort(levels, kind="stable")
    bin_of = np.searchsorted(levels[order], scores.ravel(), side="right")  # how many thresholds a voxel reaches
    counts = [np.bincount(bin_of[part.ravel()], minlength=len(levels) + 1) for part in (true, ~true)]
    n_hits, n_false = (count[::-1].cumsum()[::-1][1:] for count in counts)
    n_true = int(counts[0].sum())
    rows: dict[int, ThresholdRow] = {}
    for place, hits, false in zip(order.tolist(), n_hits.tolist(), n_false.tolist(), strict=True):
        at = overlap_of_counts(hits, hits + false, n_true, scores.size)
        rows[place] = ThresholdRow(float(thresholds[place]), at.dice, at.sensitivity, at.specificity, at.ppv)
    return [rows[place] for place in range(len(levels))]


def same_shape(predicted: np.ndarray, truth: np.ndarray, within: np.ndarray | None = None) -> None:
    """Make sure that what is compared lies on one grid, as far as shapes tell.

    Raises:
        GeometryError: the shapes differ.
    """
    for what, array in (("prediction", predicted), ("mask to score within", within)):
        if array is not None and np.shape(array) != np.shape(truth):
            raise GeometryError(
                f"The {what} has {_times(np.shape(array))} voxels but the truth has {_times(np.shape(truth))}; "
                "resample it onto the grid of the truth without interpolation first."
            )


def as_mask(array: np.ndarray, what: str) -> np.ndarray:
    """Give where an array is not 0.

    Raises:
        CohortError: the array holds NaN, which is neither inside nor outside.
    """
    values = np.asarray(array)
    if values.dtype == bool:
        return values
    if np.issubdtype(values.dtype, np.floating) and np.isnan(values).any():
        raise CohortError(
            f"The {what} holds {np.isnan(values).sum()} voxels that are not numbers (NaN), so neither inside nor "
            "outside; export it with 0 there."
        )
    return values != 0


def _masks(
    predicted: np.ndarray, truth: np.ndarray, within: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    same_shape(predicted, truth, within)
    inside = None if within is None else as_mask(within, "mask to score within")
    return as_mask(predicted, "predicted mask"), as_mask(truth, "true mask"), inside


def _n(mask: np.ndarray) -> int:
    return int(np.count_nonzero(mask))


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


def _times(shape: tuple[int, ...]) -> str:
    return " × ".join(str(n) for n in shape)
