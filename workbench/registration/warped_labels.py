"""Label maps read between voxels.

Linear interpolation of a label map interpolates the indicator of each label and takes the largest. Only the eight
voxels around a place have a share, so their labels are compared with each other, however many labels there are.
"""

from __future__ import annotations

from itertools import product
from typing import Literal

import numpy as np

INSIDE = 0.5 + 1e-4  # an image reaches half a voxel beyond the centers of its outer voxels
SLAB_VOXELS = 2**19  # whose eight corners are held at once


def labels_at(labels: np.ndarray, positions: np.ndarray, mode: Literal["nearest", "linear"] = "nearest") -> np.ndarray:
    """Read a label map at fractional voxels.

    Args:
        labels: (X, Y, Z) integers.
        positions: (3, …) voxels.
        mode: ``nearest``, or ``linear``: the label with the largest share, the smaller one of two that are equal.

    Returns:
        (…) int32; 0 more than half a voxel beyond the border.
    """
    flat = positions.reshape(3, -1)
    out = np.empty(flat.shape[1], np.int32)
    read = _nearest if mode == "nearest" else _largest_share
    last = np.array(labels.shape)[:, None] - 1
    for low in range(0, flat.shape[1], SLAB_VOXELS):
        where = flat[:, low : low + SLAB_VOXELS]
        part = read(labels, np.clip(where, 0, last))
        part[((where < -INSIDE) | (where > last + INSIDE)).any(0)] = 0
        out[low : low + SLAB_VOXELS] = part
    return out.reshape(positions.shape[1:])


def _nearest(labels: np.ndarray, where: np.ndarray) -> np.ndarray:
    """The label of the nearest voxel, for positions (3, n) inside the lattice."""
    x, y, z = np.floor(where + 0.5).astype(np.int64)
    return labels[x, y, z].astype(np.int32)


def _largest_share(labels: np.ndarray, where: np.ndarray) -> np.ndarray:
    """The label with the largest linear weight, for positions (3, n) inside the lattice."""
    low = np.floor(where).astype(np.int64)
    high = np.minimum(low + 1, np.array(labels.shape)[:, None] - 1)
    part = where - low
    corners, weights = [], []
    for corner in product((0, 1), repeat=3):
        x, y, z = (high[a] if c else low[a] for a, c in enumerate(corner))
        corners.append(labels[x, y, z].astype(np.int32))
        weights.append(np.prod([part[a] if c else 1 - part[a] for a, c in enumerate(corner)], axis=0))
    best, most = corners[0].copy(), np.full(where.shape[1], -1.0)
    mixed = np.flatnonzero(np.any([c != corners[0] for c in corners[1:]], axis=0))
    names, shares = np.stack(corners)[:, mixed], np.stack(weights)[:, mixed]  # (8, mixed)
    winner, most = names[0].copy(), np.full(len(mixed), -1.0)
    for name in names:
        share = (shares * (names == name)).sum(0)
        better = (share > most) | ((share == most) & (name < winner))
        winner, most = np.where(better, name, winner), np.maximum(share, most)
    best[mixed] = winner
    return best
