"""Coarser copies of images over the same extent, and intensities that engines can compare."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch.nn.functional import interpolate

from workbench.imaging.displacements import smooth

FEWEST_VOXELS = 8  # along an axis that is made coarser


class Level(NamedTuple):
    """Both images at one resolution.

    Attributes:
        fixed: (C, X, Y, Z) float32.
        moving: (C, X, Y, Z) float32.
        spacing: mm.
    """

    fixed: np.ndarray
    moving: np.ndarray
    spacing: tuple[float, float, float]


def pyramid(fixed: np.ndarray, moving: np.ndarray, spacing: Sequence[float], n_levels: int) -> list[Level]:
    """Give both images (C, X, Y, Z) from coarse to fine, the last as they came.

    Each level's voxels have twice the edge of the next. An axis whose voxels are long already is not made coarser
    until the others have caught up, and a short one keeps eight voxels; levels that would be equal are left out.
    """
    levels: list[Level] = []
    for halvings in range(n_levels):
        edge = min(spacing) * 2**halvings
        shape = [
            max(round(n * min(s / edge, 1)), min(n, FEWEST_VOXELS))
            for n, s in zip(fixed.shape[1:], spacing, strict=True)
        ]
        if levels and tuple(shape) == levels[-1].fixed.shape[1:]:
            continue
        x, y, z = (float(s * n / m) for s, n, m in zip(spacing, fixed.shape[1:], shape, strict=True))
        levels.append(Level(_coarser(fixed, shape), _coarser(moving, shape), (x, y, z)))
    return levels[::-1]


def comparable(fixed: np.ndarray, moving: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shift and scale both images (C, X, Y, Z) by the same numbers, so that the fixed one spans about 0 to 1.

    Thresholds of demons are absolute; this gives them a meaning at every scale of intensities.
    """
    some = fixed.reshape(fixed.shape[0], -1)[:, :: max(fixed[0].size // 100_000, 1)]
    low, high = np.percentile(some, (1, 99), axis=1)
    width = float((high - low).max()) or float(np.ptp(fixed)) or 1.0
    shift = low.astype(np.float32).reshape(-1, 1, 1, 1)
    return (fixed - shift) / np.float32(width), (moving - shift) / np.float32(width)


def _coarser(image: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Smooth by half a new voxel and sample at the centers of the new ones."""
    if tuple(shape) == image.shape[1:]:
        return image
    sigma = [0.5 * n / m if m < n else 0.0 for n, m in zip(image.shape[1:], shape, strict=True)]
    soft = torch.from_numpy(smooth(image, sigma))
    return interpolate(soft[None], size=tuple(shape), mode="trilinear", align_corners=False)[0].numpy()
