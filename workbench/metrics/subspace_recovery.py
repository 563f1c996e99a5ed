"""How far found subspaces are from the true ones (the index of Amari, Cichocki, Yang, NIPS 1996, for subspaces)."""

from __future__ import annotations

import numpy as np


def subspace_index(filters: np.ndarray, truth: np.ndarray, subspace_size: int) -> float:
    """Give 0 where every found subspace is one of the true ones, 1 where each lies evenly across all of them.

    Neither the order of the subspaces nor the choice of axes within them counts.

    Args:
        filters: (M, K) orthonormal rows; each ``subspace_size`` in turn span a found subspace.
        truth: (M, K) orthonormal rows of the true ones.
        subspace_size: d.
    """
    if filters.shape != truth.shape or len(filters) % subspace_size or len(filters) == subspace_size:
        raise ValueError(
            f"expected two equal shapes with two or more subspaces of {subspace_size}; got {filters.shape} and "
            f"{truth.shape}"
        )
    n = len(filters) // subspace_size
    blocks = np.square(filters @ truth.T).reshape(n, subspace_size, n, subspace_size)
    shares = blocks.sum((1, 3)) / subspace_size  # (n, n): how much of a found one lies in a true one
    spill = sum(float((s.sum(axis) / s.max(axis) - 1).sum()) for s, axis in ((shares, 0), (shares, 1)))
    return spill / (2 * n * (n - 1))
