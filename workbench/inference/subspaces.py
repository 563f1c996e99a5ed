"""Encode every voxel of a mask by stacked independent subspaces, equal to encoding patch by patch.

Patches about neighboring voxels share their sub-patches, so first-layer responses are computed once a place. They are
kept for the few planes that a patch spans, in a ring: a plane is filled, the voxels whose patches end there are
encoded, and the oldest plane is written over.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from torch import Tensor

from workbench.inference.boxes import Triple, pad_about, triple
from workbench.inference.dense import as_voxels
from workbench.models.layers import normalize_patches
from workbench.models.stacked_isa import StackedISA
from workbench.progress import Progress, silent

ROW_BYTES = 16 * 2**20
"""How much gathered input is in the air at once."""


def encode_subspaces(
    stack: StackedISA,
    image: np.ndarray,
    voxels: np.ndarray,
    *,
    out: np.ndarray | None = None,
    progress: Progress = silent,
) -> np.ndarray:
    """Give the code of each voxel's patch; what lies outside the image is 0.

    Args:
        stack: trained.
        image: (1, X, Y, Z), prepared as its training images were. Stacks for pictures see axial planes.
        voxels: (N, 3) voxel indices in any order, or an (X, Y, Z) bool mask, whose voxels are taken in C order.
        out: where to write, (N, M) of any float type, for example a float16 memory map; float32 in memory without it.
        progress: told after each plane.

    Returns:
        (N, M), ``out`` if it was given.

    Raises:
        ValueError: the image, the voxels or ``out`` do not fit.
    """
    if image.ndim != 4 or len(image) != 1:
        raise ValueError(f"expected an image (1, X, Y, Z); got an array {image.shape}")
    places = as_voxels(voxels, triple(image.shape[1:]))
    shape = (len(places), stack.code_size)
    if out is None:
        out = np.empty(shape, np.float32)
    elif out.shape != shape:
        raise ValueError(f"expected an output array {shape}; got {out.shape}")
    if len(places):
        with torch.no_grad():
            _Planes(stack, image, places).encode(out, progress)
    return out


class _Planes:
    """The ring of first-layer planes over the box of the wanted voxels."""

    def __init__(self, stack: StackedISA, image: np.ndarray, places: np.ndarray) -> None:
        size = triple(stack.patch_shape[1:])
        self.stack, low = stack, places.min(0)
        self.kernel = triple([stack.sub_patch_size] * (len(stack.patch_shape) - 1))
        self.offsets = [_three(offset) for offset in stack.offsets]
        self.middle = _three(stack.middle)
        self.places = places - low
        self.order = np.argsort(self.places[:, 0], kind="stable")
        extent = self.places.max(0) + 1
        padded = pad_about(image.astype(np.float32, copy=False), size)[0]
        box = tuple(slice(a, a + n + s - 1) for a, n, s in zip(low, extent, size, strict=True))
        self.windows = sliding_window_view(padded[box], self.kernel)  # (X₁, Y₁, Z₁, *sub-patch), nothing copied
        self.wanted = self._wanted()
        self.span = size[0] - self.kernel[0] + 1
        self.ring = torch.zeros((self.span, *self.windows.shape[1:3], stack.layer(0).n_units))

    def encode(self, out: np.ndarray, progress: Progress) -> None:
        """Fill ``out`` plane by plane."""
        begins = np.searchsorted(self.places[self.order, 0], np.arange(self.windows.shape[0] + 1))
        for plane in range(self.windows.shape[0]):
            self._fill(plane)
            x = plane - self.span + 1  # the patches about this plane of voxels end here
            if x < 0:
                continue
            rows = self.order[begins[x] : begins[x + 1]]
            n_rows = max(64, ROW_BYTES // (4 * self.stack.layer(1).mean.numel()))
            for start in range(0, len(rows), n_rows):
                some = rows[start : start + n_rows]
                out[some] = self._codes(self.places[some]).numpy()
            progress(begins[x + 1] / len(self.order), f"encoded {begins[x + 1]:,} of {len(self.order):,} voxels")

    def _wanted(self) -> np.ndarray:
        """Mark where first-layer responses are needed, (X₁, Y₁, Z₁) bool."""
        wanted = np.zeros(self.windows.shape[:3], bool)
        for offset in (*self.offsets, self.middle):
            wanted[tuple((self.places + offset).T)] = True
        return wanted

    def _fill(self, plane: int) -> None:
        """Compute the first layer's responses at the wanted places of a plane."""
        first = self.stack.layer(0)
        y, z = np.nonzero(self.wanted[plane])
        n_rows = max(64, ROW_BYTES // (4 * first.mean.numel()))
        for start in range(0, len(y), n_rows):
            some = slice(start, start + n_rows)
            rows = torch.from_numpy(self.windows[plane, y[some], z[some]].reshape(len(y[some]), -1))
            self.ring[plane % self.span, y[some], z[some]] = first(normalize_patches(rows, self.stack.normalization))

    def _codes(self, places: np.ndarray) -> Tensor:
        """Give the codes (n, M) of voxels whose planes are all in the ring."""
        near = torch.cat([self._at(places, offset) for offset in self.offsets], 1)
        return torch.cat([self._at(places, self.middle), self.stack.layer(1)(near)], 1)

    def _at(self, places: np.ndarray, offset: Triple) -> Tensor:
        x, y, z = torch.from_numpy((places + offset).T)
        return self.ring[x % self.span, y, z]


def _three(offset: tuple[int, ...]) -> Triple:
    """Give an offset along three axes, 0 along a missing one."""
    x, y, z = (*offset, 0)[:3]
    return x, y, z
