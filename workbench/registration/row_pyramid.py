"""Feature rows on coarser lattices: the levels of HAMMER's pyramid.

A block of shrink³ voxels becomes one node that holds the mean of its rows. For raw patches that is the patch of the
averaged image, for codes an average pooling: noise falls, the context of a neighborhood of nodes grows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from workbench.registration.feature_rows import FeatureRows, Similarity

N_EDGE_TYPES = 4


@dataclass(frozen=True, eq=False)
class RowLevel:
    """The rows of one image on a lattice of blocks.

    Node i along an axis covers the voxels i shrink … (i + 1) shrink - 1; its center lies at i shrink + (shrink - 1)/2.

    Attributes:
        rows: (N + 1, K) float32; the last row is 0 and stands for whatever lies outside.
        places: (X', Y', Z') int64, the row of each node, N where there is none.
        shrink: edge of a block in voxels.
        similarity: how rows compare.
    """

    rows: torch.Tensor
    places: torch.Tensor
    shrink: int
    similarity: Similarity


def row_level(features: FeatureRows, shrink: int, scale: float = 1.0) -> RowLevel:
    """Average rows over blocks.

    Args:
        features: at full resolution.
        shrink: edge of a block in voxels; 1 keeps every voxel.
        scale: rows are divided by it first; for ``"l2"`` see :func:`l2_scale`.
    """
    shape = tuple(-(-n // shrink) for n in features.mask.shape)
    blocks = np.stack(np.nonzero(features.mask)) // shrink
    node = np.ravel_multi_index(tuple(blocks), shape)  # (N,)
    used, owner, counts = numbered(node)
    # a block that lies outside by more than half would mix its few rows with nothing: it is left out
    keep = counts * 2 >= shrink**3
    target = np.where(keep, np.cumsum(keep) - 1, keep.sum())
    rows = _means(features, torch.from_numpy(target[owner]), int(keep.sum()), scale)
    places = torch.full((int(np.prod(shape)),), int(keep.sum()), dtype=torch.int64)
    places[torch.from_numpy(used[keep])] = torch.arange(int(keep.sum()))
    return RowLevel(rows, places.reshape(shape), shrink, features.similarity)


def numbered(cells: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Number the cells that hold something, from 0 on.

    The same as ``numpy.unique`` with its inverse and counts, without its sorting.

    Args:
        cells: (N,) not negative, of a lattice that fits into memory.

    Returns:
        The cells that occur, in order; the number of each entry's (N,); and how often each occurs.
    """
    counts = np.bincount(cells)
    used = np.flatnonzero(counts)
    number = np.zeros(len(counts), np.int64)
    number[used] = np.arange(len(used))
    return used, number[cells], counts[used]


def l2_scale(fixed: FeatureRows, moving: FeatureRows) -> float:
    """Give the root mean squared length of both images' rows, the unit of ``"l2"``."""
    means = [float(np.einsum("nk,nk->n", part, part).mean()) for part in (_sample(fixed.rows), _sample(moving.rows))]
    return float(np.sqrt(np.mean(means))) or 1.0


def _sample(rows: np.ndarray) -> np.ndarray:
    return rows[:: max(1, len(rows) // 20000)].astype(np.float32)


def _means(features: FeatureRows, owner: torch.Tensor, n: int, scale: float) -> torch.Tensor:
    """Average the rows of each of n owners: (n + 1, K), the last row 0. Owner n is dropped."""
    rows = torch.from_numpy(np.ascontiguousarray(features.rows))
    out = torch.zeros(n + 1, rows.shape[1])
    step = max(1, 2**24 // max(rows.shape[1], 1))
    for start in range(0, len(rows), step):
        out.index_add_(0, owner[start : start + step], rows[start : start + step].float())
    out[n] = 0
    counts = torch.bincount(owner, minlength=n + 1).clamp(min=1)[:, None]
    out /= counts * scale
    if features.similarity == "correlation":
        out /= out.norm(dim=1, keepdim=True).clamp(min=1e-6)
    elif features.similarity == "attributes":
        out[:n, 0] = _commonest_edge(rows[:, 0].long(), owner, n)
        out[n, 0] = -1.0  # no edge type equals it, so nothing matches what lies outside
    return out


def _commonest_edge(types: torch.Tensor, owner: torch.Tensor, n: int) -> torch.Tensor:
    """Give the commonest edge type of each block, 0 only where it has no edge at all."""
    counts = torch.bincount(owner * N_EDGE_TYPES + types, minlength=(n + 1) * N_EDGE_TYPES)
    counts = counts[: n * N_EDGE_TYPES].reshape(n, N_EDGE_TYPES)
    edges = counts[:, 1:].argmax(dim=1) + 1
    return torch.where(counts[:, 1:].sum(dim=1) > 0, edges, 0).float()


def level_shape(shape: Sequence[int], shrink: int) -> tuple[int, ...]:
    """Give the nodes along each axis."""
    return tuple(-(-n // shrink) for n in shape)
