"""How many lesions were found, and how many that were found are none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy.ndimage import generate_binary_structure, label

from workbench.metrics.overlap import as_mask, same_shape
from workbench.metrics.surface_distance import grid_steps

FOUND, MISSED, TOUCHING, FALSE = 1, 2, 3, 4


class SizeBand(NamedTuple):
    """The lesions of one range of volumes: true ones by their own volume, predicted ones by theirs.

    Attributes:
        low_mm3: smallest volume, itself included.
        high_mm3: end of the range, itself left out; infinite for the last one.
        ltpr: share of the true lesions that were found; NaN without any.
        lfpr: share of the predicted lesions that are false; NaN without any.
        n_true: true lesions.
        n_found: of them, found.
        n_predicted: predicted lesions.
        n_false: of them, false.
    """

    low_mm3: float
    high_mm3: float
    ltpr: float
    lfpr: float
    n_true: int
    n_found: int
    n_predicted: int
    n_false: int


@dataclass(frozen=True)
class LesionScores:
    """Lesion-wise scores, as of the MICCAI 2008 and ISBI 2015 challenges and Brosch et al. (TMI 2016).

    A lesion is a piece of a mask whose voxels hang together by a face, an edge or a corner (26 neighbors). One shared
    voxel is enough to be found, however many true lesions one predicted piece covers.

    Attributes:
        ltpr: lesion true positive rate: the share of true lesions that the prediction touches; NaN without any.
        lfpr: lesion false positive rate: the share of predicted lesions that touch no truth; NaN without any.
        n_true: true lesions.
        n_found: of them, touched by the prediction.
        n_predicted: predicted lesions.
        n_false: of them, without any truth.
        by_size: the same for each range of volumes, smallest first; empty when none were asked for.
    """

    ltpr: float
    lfpr: float
    n_true: int
    n_found: int
    n_predicted: int
    n_false: int
    by_size: tuple[SizeBand, ...]


def lesion_scores(
    predicted: np.ndarray,
    truth: np.ndarray,
    spacing_mm: Sequence[float] | np.ndarray,
    *,
    min_volume_mm3: float = 0.0,
    sizes_mm3: Sequence[float] | None = None,
) -> LesionScores:
    """Count lesions that were found, missed and made up.

    Volumes decide only which lesions are counted: whether one is touched is judged against everything in the other
    mask. So a prediction that touches a true lesion too small to count is not false, and small lesions are no loss.

    Args:
        predicted: (X, Y, Z) bool; of other types, what is not 0 is inside.
        truth: the same of the truth.
        spacing_mm: voxel size along each axis, or the affine (4, 4) of both.
        min_volume_mm3: lesions below it, true or predicted, are not counted.
        sizes_mm3: volumes that part the ranges of ``by_size``, ascending: (10, 100) gives below 10, 10 to 100 and more.
    """
    edges = [] if sizes_mm3 is None else [float(size) for size in sizes_mm3]
    bounds = [float(min_volume_mm3), *edges, float("inf")]
    if any(not low < high for low, high in pairwise(bounds)):
        raise ValueError(f"expected ascending volumes above {min_volume_mm3} mm³; got {edges}")
    same_shape(predicted, truth)
    inside = as_mask(predicted, "predicted mask"), as_mask(truth, "true mask")
    exact = abs(np.linalg.det(grid_steps(spacing_mm, inside[0].ndim)))
    voxel_mm3 = float(f"{exact:.6g}")  # headers hold float32: 3 voxels of 0.9999999 mm³ are a lesion of 3 mm³
    guessed, touching = _lesions(inside[0], inside[1])
    true, found = _lesions(inside[1], inside[0])
    volumes = true[1:] * voxel_mm3, guessed[1:] * voxel_mm3

    def band(low: float, high: float) -> SizeBand:
        at_true, at_guessed = ((low <= volume) & (volume < high) for volume in volumes)
        n_true, n_found = int(at_true.sum()), int(found[1:][at_true].sum())
        n_predicted, n_false = int(at_guessed.sum()), int((~touching[1:][at_guessed]).sum())
        ltpr = n_found / n_true if n_true else float("nan")
        lfpr = n_false / n_predicted if n_predicted else float("nan")
        return SizeBand(low, high, ltpr, lfpr, n_true, n_found, n_predicted, n_false)

    bands = tuple(band(low, high) for low, high in pairwise(bounds)) if edges else ()
    return LesionScores(*band(float(min_volume_mm3), float("inf"))[2:], bands)


def lesion_map(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Give uint8 (X, Y, Z) for an overlay that tells the fate of each lesion.

    FOUND (1) is a true lesion that was touched, whole; MISSED (2) one that was not; TOUCHING (3) what a prediction that
    touches a true lesion has besides it; FALSE (4) a prediction that touches none; 0 the rest.
    """
    same_shape(predicted, truth)
    guess, true = as_mask(predicted, "predicted mask"), as_mask(truth, "true mask")
    fate = np.zeros(true.shape, np.uint8)
    for mask, other, yes, no in ((guess, true, TOUCHING, FALSE), (true, guess, FOUND, MISSED)):
        pieces, _ = label_pieces(mask)
        touched = np.zeros(int(pieces.max(initial=0)) + 1, bool)
        touched[pieces[other]] = True
        fate[mask] = np.where(touched, yes, no)[pieces[mask]]
    return fate


def label_pieces(mask: np.ndarray) -> tuple[np.ndarray, int]:
    """Number the pieces of a mask, from 1, that hang together by a face, an edge or a corner; and say how many."""
    pieces, n_pieces = label(mask, generate_binary_structure(mask.ndim, mask.ndim))
    return pieces, int(n_pieces)


def _lesions(mask: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give, with the outside first, the voxels of each piece of a mask and whether the other mask touches it."""
    pieces, n_pieces = label_pieces(mask)
    sizes = np.bincount(pieces[mask], minlength=n_pieces + 1)
    touched = np.zeros(n_pieces + 1, bool)
    touched[pieces[mask & other]] = True
    return sizes, touched
