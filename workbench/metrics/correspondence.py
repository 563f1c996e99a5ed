"""How well one similarity vector finds the true match of a point (the review's Figure 5, in numbers).

Rank and share use nothing but the order of the similarities, so they can be compared between measures of different
scales; a share of candidates "above 0.8 of the range" cannot, for it changes under any monotone rescaling.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Correspondence:
    """What one point's similarity vector is worth.

    Attributes:
        rank: of the true match among the candidates, 1 is best; ties share their mean rank.
        share_above: of the other candidates that score above the true match, ties counted half: 0 is best, 0.5 is
            chance, and what a constant similarity gets. The same under every strictly increasing change of the
            similarities.
        distance_mm: from the best candidate to the true point; the mean over candidates that tie for best.
        peak_ratio: (s1 - median) / (s2 - median) of the best score s1 and the best score s2 farther than the
            exclusion radius from it: how much the peak stands out, 1 is not at all. The same under increasing
            straight-line changes of the similarities only. NaN when no candidate is that far or no score is above
            the median, infinite when s2 is the median.
    """

    rank: float
    share_above: float
    distance_mm: float
    peak_ratio: float


def correspondence(
    similarity: np.ndarray, coordinates_mm: np.ndarray, truth_mm: Sequence[float] | np.ndarray, exclusion_mm: float = 10
) -> Correspondence:
    """Judge one similarity vector; the true match is the candidate nearest to the true point.

    Args:
        similarity: (N,), higher is better, without NaN.
        coordinates_mm: (N, 3) where the candidates are.
        truth_mm: (3,) where the match really is.
        exclusion_mm: how near the best candidate a second peak is still the same peak.
    """
    coordinates_mm = np.asarray(coordinates_mm, float)
    if similarity.ndim != 1 or coordinates_mm.shape != (len(similarity), 3) or len(similarity) == 0:
        raise ValueError(f"expected N > 0 similarities and (N, 3) mm; got {similarity.shape}, {coordinates_mm.shape}")
    if np.isnan(similarity).any():
        raise ValueError(f"{np.isnan(similarity).sum()} similarities are NaN; leave those candidates out")
    to_truth = _distances(coordinates_mm, truth_mm)
    truth = int(to_truth.argmin())
    return Correspondence(
        rank_of_truth(similarity, truth),
        share_above(similarity, truth),
        float(to_truth[similarity == similarity.max()].mean()),
        peak_ratio(similarity, coordinates_mm, exclusion_mm),
    )


def rank_of_truth(similarity: np.ndarray, truth: int) -> float:
    """Give the mid-rank of candidate ``truth`` among (N,) similarities, 1 for the highest."""
    n_above = np.count_nonzero(similarity > similarity[truth])
    n_tied = np.count_nonzero(similarity == similarity[truth]) - 1
    return 1 + n_above + n_tied / 2


def share_above(similarity: np.ndarray, truth: int) -> float:
    """Give the share of the other candidates that score above candidate ``truth``, ties counted half."""
    return (rank_of_truth(similarity, truth) - 1) / max(1, len(similarity) - 1)


def peak_ratio(similarity: np.ndarray, coordinates_mm: np.ndarray, exclusion_mm: float = 10) -> float:
    """Give (s1 - median) / (s2 - median), s2 the best score farther than ``exclusion_mm`` from the best candidate."""
    scores = similarity.astype(np.float64)
    best = int(scores.argmax())
    far = scores[_distances(coordinates_mm, coordinates_mm[best]) > exclusion_mm]
    median = float(np.median(scores))
    if len(far) == 0 or scores[best] <= median:
        return float("nan")
    second = float(far.max()) - median
    return float((scores[best] - median) / second) if second > 0 else float("inf")


def _distances(coordinates_mm: np.ndarray, point_mm: Sequence[float] | np.ndarray) -> np.ndarray:
    return np.sqrt(np.square(coordinates_mm - np.asarray(point_mm, float)).sum(1))
