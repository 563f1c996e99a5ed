"""Two Volumes at several resolutions as SimpleITK images, for linear registration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from workbench.imaging.volume import Volume
from workbench.registration.itk_images import to_itk

if TYPE_CHECKING:
    import SimpleITK as sitk

FINEST_VOXELS = 500_000  # of the finest level
COARSER = (4.0, 2.0, 1.0)  # edges of the levels' voxels, in those of the finest
FEWEST_LAYERS = 12  # of a level's voxels along the shortest extent


@dataclass(frozen=True)
class Resolution:
    """Both images, and the mask, at one resolution."""

    fixed: sitk.Image
    moving: sitk.Image
    mask: sitk.Image | None


def resolutions(fixed: Volume, moving: Volume, fixed_mask: np.ndarray | None) -> list[Resolution]:
    """Both images from coarse to fine; fewer levels for small ones."""
    import SimpleITK as sitk

    extent = np.array(fixed.shape) * fixed.spacing
    finest = max(float(np.prod(fixed.spacing)) ** (1 / 3), float(np.prod(extent) / FINEST_VOXELS) ** (1 / 3))
    edges = [max(min(c * finest, float(extent.min()) / FEWEST_LAYERS), finest) for c in COARSER]
    edges = [e for e, finer in zip(edges, [*edges[1:], 0.0], strict=True) if e > 1.3 * finer]
    levels = []
    for edge in edges:
        mask = None if fixed_mask is None else _shrunk(fixed, (fixed_mask != 0).astype(np.float32), edge)
        levels.append(
            Resolution(
                _shrunk(fixed, fixed.data[0], edge),
                _shrunk(moving, moving.data[0], edge),
                None if mask is None else mask > min(0.5, float(sitk.GetArrayViewFromImage(mask).max()) / 2),
            )
        )
    return levels


def _shrunk(volume: Volume, image: np.ndarray, edge: float) -> sitk.Image:
    """An image (X, Y, Z) averaged over voxels of about this edge in mm."""
    import SimpleITK as sitk

    factors = [
        int(min(max(round(edge / s), 1), max(n // FEWEST_LAYERS, 1)))
        for s, n in zip(volume.spacing, volume.shape, strict=True)
    ]
    # not Shrink, which takes voxels half a new voxel beside the place that it gives them when a factor is even
    return sitk.BinShrink(to_itk(image.astype(np.float32), volume.affine), factors)
