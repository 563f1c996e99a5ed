"""Patches back to a volume: the inverse of :func:`workbench.patches.samplers.grid`.

Where patches overlap, ``crop`` keeps each voxel from the patch in whose interior it lies deepest, ``average`` takes
the mean, ``hann`` a mean that falls off towards the borders of each patch, where networks see least context. A border
of a patch that is also the border of the volume counts as interior: nothing better is to be had there.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Literal

import numpy as np

OverlapMode = Literal["crop", "average", "hann"]


class Aggregator:
    """Collects patches about centers into one volume.

    Args:
        shape: voxels of the volume along X, Y, Z.
        size: voxels of each patch.
        overlap_mode: ``"crop"``, ``"average"`` or ``"hann"``.
    """

    def __init__(self, shape: Sequence[int], size: Sequence[int], overlap_mode: OverlapMode = "average") -> None:
        if overlap_mode not in ("crop", "average", "hann"):
            raise LookupError(f"overlap_mode is crop, average or hann; got {overlap_mode!r}")
        self.shape = tuple(int(s) for s in shape)
        self.size = tuple(int(s) for s in size)
        self.overlap_mode = overlap_mode
        self._sum: np.ndarray | None = None
        self._weight = np.zeros(self.shape, np.float32)

    def add(self, patches: np.ndarray, centers: np.ndarray) -> None:
        """Add patches (n, C, *size) about centers (n, 3); what reaches beyond the volume is dropped."""
        if patches.ndim != 5 or patches.shape[2:] != self.size:
            raise ValueError(f"expected patches (n, C, {', '.join(map(str, self.size))}); got {patches.shape}")
        if self._sum is None:
            self._sum = np.zeros((patches.shape[1], *self.shape), np.float32)
        starts = np.asarray(centers, np.int64) - np.asarray(self.size) // 2
        for patch, start in zip(patches, starts, strict=True):
            self._add_one(patch, [int(s) for s in start])

    def volume(self) -> np.ndarray:
        """Give (C, X, Y, Z) float32; voxels that no patch covered are 0."""
        if self._sum is None:
            raise ValueError("no patch was added, so the number of channels is not known")
        if self.overlap_mode == "crop":
            return self._sum.copy()
        return self._sum / np.where(self._weight > 0, self._weight, 1)

    def _add_one(self, patch: np.ndarray, start: list[int]) -> None:
        window = self._window(start)
        inside = [slice(max(0, -a), min(s, n - a)) for a, s, n in zip(start, self.size, self.shape, strict=True)]
        if any(i.start >= i.stop for i in inside):
            return
        there = tuple(slice(a + i.start, a + i.stop) for a, i in zip(start, inside, strict=True))
        patch, window = patch[(slice(None), *inside)], window[tuple(inside)]
        assert self._sum is not None
        if self.overlap_mode == "crop":
            deeper = window > self._weight[there]
            self._sum[(slice(None), *there)][:, deeper] = patch[:, deeper]
            self._weight[there][deeper] = window[deeper]
        else:
            self._sum[(slice(None), *there)] += patch * window
            self._weight[there] += window

    def _window(self, start: list[int]) -> np.ndarray:
        if self.overlap_mode == "average":
            return np.ones(self.size, np.float32)
        if self.overlap_mode == "hann":
            return _outer(np.multiply, [np.hanning(s + 2)[1:-1] for s in self.size])
        return _outer(np.minimum, [_depth(a, s, n) for a, s, n in zip(start, self.size, self.shape, strict=True)])


def _outer(operation: np.ufunc, lines: list[np.ndarray]) -> np.ndarray:
    return reduce(operation.outer, lines).astype(np.float32)


def _depth(start: int, size: int, length: int) -> np.ndarray:
    """Voxels to the nearer end of the patch along one axis, counting an end at the volume's border as far away."""
    far = size + length
    left = np.arange(1, size + 1) if start > 0 else np.full(size, far)
    right = np.arange(size, 0, -1) if start + size < length else np.full(size, far)
    return np.minimum(left, right)
