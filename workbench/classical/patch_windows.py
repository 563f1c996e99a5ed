"""Feature rows by place, and the nearest of them in search windows, a block of voxels at a time.

Voxels of one block of 4³ have windows that overlap almost wholly. The rows of the union are gathered once an image, and
one matrix product gives all distances: some ten times less memory traffic than a window a voxel.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch

Normalization = Literal["none", "unit", "centered"]
BLOCK = 4


class PatchTable(NamedTuple):
    """Features of the voxels of one image.

    Attributes:
        rows: (N, F) float16 or float32, memory-mapped if need be.
        row_of: (X, Y, Z) int32, the row of each voxel, −1 where there is none.
    """

    rows: np.ndarray
    row_of: np.ndarray


class Block(NamedTuple):
    """Voxels whose windows are searched together.

    Attributes:
        places: (n,) int, which of the asked voxels.
        target: (n, F) float32 their normalized rows.
        union: (U + 1, F) float32 normalized rows of all atlases in reach; the last is 0.
        at: (n, M) int, the row of the union at each atom, −1 (the last) where there is none. Atom m is offset m % W of
            atlas m // W, W offsets in C order.
    """

    places: np.ndarray
    target: np.ndarray
    union: np.ndarray
    at: np.ndarray


def table_of_mask(mask: np.ndarray, rows: np.ndarray) -> PatchTable:
    """Make the table of rows (N, F) that stand in np.nonzero order of a mask (X, Y, Z)."""
    if len(rows) != np.count_nonzero(mask):
        raise ValueError(f"the mask has {np.count_nonzero(mask)} voxels and there are {len(rows)} rows")
    row_of = np.full(mask.shape, -1, np.int32)
    row_of[mask] = np.arange(len(rows))
    return PatchTable(rows, row_of)


def table_of_volume(features: np.ndarray) -> PatchTable:
    """Make the table of a feature volume (F, X, Y, Z), a copy with channels last."""
    shape = features.shape[1:]
    rows = np.ascontiguousarray(np.moveaxis(features, 0, -1)).reshape(-1, len(features))  # (X·Y·Z, F)
    return PatchTable(rows, np.arange(len(rows), dtype=np.int32).reshape(shape))


def normalized_rows(rows: np.ndarray, kind: Normalization) -> np.ndarray:
    """Give rows (N, F) as float32 as they are, of unit length, or centered and of unit length; rows of 0 stay 0."""
    rows = torch.from_numpy(rows).float().numpy() if rows.dtype == np.float16 else rows.astype(np.float32)
    if kind == "none":
        return rows
    if kind == "centered":
        rows = rows - rows.mean(1, keepdims=True)
    length = np.sqrt(np.einsum("nf,nf->n", rows, rows))[:, None]
    return np.divide(rows, length, out=np.zeros_like(rows), where=length > 1e-6)


def window_offsets(window: Sequence[int]) -> np.ndarray:
    """Give the offsets (W, 3) int of a window with odd edges, in C order."""
    half = [edge // 2 for edge in window]
    axes = [np.arange(-h, h + 1) for h in half]
    return np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)


def blocks(
    target: PatchTable,
    atlases: Sequence[PatchTable],
    voxels: np.ndarray,
    window: Sequence[int],
    normalization: Normalization,
) -> Iterator[Block]:
    """Yield all voxels (N, 3), block by block; each of them must have a row in the target."""
    half = np.array(window) // 2
    keys, inverse = np.unique(voxels // BLOCK, axis=0, return_inverse=True)
    order = np.argsort(inverse.ravel(), kind="stable")
    ends = np.cumsum(np.bincount(inverse.ravel(), minlength=len(keys)))
    for key, places in zip(keys, np.split(order, ends[:-1]), strict=True):
        own = voxels[places]
        corner, size = key * BLOCK - half, BLOCK + 2 * half
        union, at_box = _union(atlases, corner, size, normalization)
        inside = (own - key * BLOCK)[:, None] + window_offsets(window) + half  # (n, W, 3) places in the box
        at = at_box[:, *np.moveaxis(inside, -1, 0)]  # (A, n, W)
        at = np.moveaxis(at, 0, 1).reshape(len(own), -1)  # (n, A·W)
        rows = np.asarray(target.rows[target.row_of[*own.T]])
        yield Block(places, normalized_rows(rows, normalization), union, at)


def nearest(block: Block, n_nearest: int) -> tuple[np.ndarray, np.ndarray]:
    """Give atoms (n, K) int32, nearest first, −1 where there are fewer, and their Euclidean distances (n, K)."""
    target, union = block.target, block.union
    squared = np.square(target).sum(1)[:, None] + np.square(union).sum(1) - 2 * (target @ union.T)  # (n, U + 1)
    squared[:, -1] = np.inf
    at = block.at if block.at.min(initial=0) >= 0 else np.where(block.at < 0, len(union) - 1, block.at)
    candidates = torch.from_numpy(np.take_along_axis(squared, at, 1))
    found = torch.topk(candidates, min(n_nearest, at.shape[1]), dim=1, largest=False)
    distance = found.values.numpy()
    atoms = np.where(np.isinf(distance), -1, found.indices.numpy()).astype(np.int32)
    return atoms, np.sqrt(np.maximum(distance, 0))


def dictionaries(block: Block, atoms: np.ndarray) -> np.ndarray:
    """Give the rows (n, K, F) of atoms (n, K) of a block's voxels, 0 where an atom is −1."""
    at = np.where(atoms < 0, -1, np.take_along_axis(block.at, np.maximum(atoms, 0), 1))
    return block.union[at]


def _union(
    atlases: Sequence[PatchTable], corner: np.ndarray, size: np.ndarray, normalization: Normalization
) -> tuple[np.ndarray, np.ndarray]:
    """Gather the rows of all atlases in a box: (U + 1, F), the last 0, and where they stand (A, *size), −1 for none."""
    rows, at, n_rows = [], np.full((len(atlases), *size), -1), 0
    for a, atlas in enumerate(atlases):
        low, high = np.maximum(corner, 0), np.minimum(corner + size, atlas.row_of.shape)
        part = atlas.row_of[tuple(map(slice, low, high))]
        known = part >= 0
        rows.append(np.asarray(atlas.rows[part[known]]))
        numbers = np.full(part.shape, -1)
        numbers[known] = n_rows + np.arange(len(rows[-1]))
        at[a][tuple(map(slice, low - corner, high - corner))] = numbers
        n_rows += len(rows[-1])
    rows.append(np.zeros((1, rows[0].shape[1]), rows[0].dtype))
    return normalized_rows(np.concatenate(rows), normalization), at
