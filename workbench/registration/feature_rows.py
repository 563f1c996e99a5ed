"""Feature vectors of the voxels of an image, and how two of them are compared.

Whatever drives the registration of Section 3.1 — hand-made attributes, raw patches, SIFT, the codes of a sparse
auto-encoder or of convolutional ISA — arrives here as one row for each voxel of a mask, so that HAMMER never knows
which it is. That is the review's point: better features change nothing but the rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

Similarity = Literal["correlation", "attributes", "l2"]
ROWS_AT_ONCE = 65536


@dataclass(frozen=True, eq=False)
class FeatureRows:
    """The described voxels of one image.

    Attributes:
        mask: (X, Y, Z) bool, the voxels that are described.
        rows: (N, K) float32 or float16 in the order of ``np.nonzero(mask)``.
        similarity: ``"correlation"``: the scalar product of rows that are centered and of unit length (see
            :func:`unit_rows`), -1 to 1. ``"l2"``: 1 minus half the squared distance, in units of the mean squared
            length of both images' rows. ``"attributes"``: 0 where the first columns, the edge types, differ, otherwise
            the product of 1 - |a - b| over the other columns, which are fractions.
    """

    mask: np.ndarray
    rows: np.ndarray
    similarity: Similarity = "correlation"

    def __post_init__(self) -> None:
        if self.mask.ndim != 3 or self.mask.dtype != bool:
            raise ValueError(f"a mask is (X, Y, Z) bool; got {self.mask.shape} {self.mask.dtype}")
        n = int(np.count_nonzero(self.mask))
        if self.rows.ndim != 2 or len(self.rows) != n:
            raise ValueError(f"the mask has {n} voxels, so the rows must be ({n}, K); got {self.rows.shape}")
        if self.similarity not in get_args(Similarity):
            raise ValueError(f"the similarity is one of {get_args(Similarity)}; got {self.similarity!r}")


def unit_rows(rows: np.ndarray) -> np.ndarray:
    """Take the mean out of each row (N, K) and scale it to length 1; rows without contrast become 0.

    Returns a new array of the same float type; the scalar product of two such rows is their correlation.
    """
    out = np.empty_like(rows)
    for start in range(0, len(rows), ROWS_AT_ONCE):
        part = rows[start : start + ROWS_AT_ONCE].astype(np.float32)
        part -= part.mean(axis=1, keepdims=True)
        length = np.linalg.norm(part, axis=1, keepdims=True)
        out[start : start + ROWS_AT_ONCE] = part / np.where(length > 1e-6, length, np.inf)
    return out


def patch_rows(image: np.ndarray, mask: np.ndarray, size: int = 9) -> FeatureRows:
    """Describe each voxel by the raw cube about it, compared by correlation.

    Args:
        image: (X, Y, Z); beyond the border its last values go on.
        mask: (X, Y, Z) bool.
        size: edge of the cube in voxels, odd.

    Returns:
        Rows (N, size³) float32.
    """
    if size < 1 or size % 2 == 0:
        raise ValueError(f"a patch has an odd number of voxels along its edge; got {size}")
    half = size // 2
    padded = np.pad(np.asarray(image, np.float32), half, mode="edge")
    cubes = np.lib.stride_tricks.sliding_window_view(padded, (size,) * 3)  # (X, Y, Z, size, size, size)
    rows = np.empty((int(np.count_nonzero(mask)), size**3), np.float32)
    done = 0
    for x in np.flatnonzero(mask.any(axis=(1, 2))):  # plane by plane, so that no second copy of all cubes is made
        plane = cubes[x][mask[x]].reshape(-1, size**3)
        rows[done : done + len(plane)] = unit_rows(plane)
        done += len(plane)
    return FeatureRows(mask, rows, "correlation")
