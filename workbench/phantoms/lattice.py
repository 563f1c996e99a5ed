"""A lattice of any spacing over a box in mm, and where its voxels lie in an atlas after a random deformation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from workbench.phantoms.deformation import exponential, smooth_field


@dataclass(frozen=True)
class Lattice:
    """Voxels over a box.

    Attributes:
        low: center of the first voxel, mm RAS.
        extent: from there to the last voxel of the finest lattice, mm; 8 more than a multiple of 16, so that one seed
            draws the same fields at every spacing.
    """

    low: tuple[float, float, float]
    extent: tuple[float, float, float]

    def shape(self, spacing_mm: float) -> tuple[int, int, int]:
        """Count the voxels."""
        x, y, z = (int(e / spacing_mm + 1e-6) + 1 for e in self.extent)
        return x, y, z

    def affine(self, spacing_mm: float) -> np.ndarray:
        """Give voxel → mm RAS, (4, 4)."""
        affine = np.diag([spacing_mm, spacing_mm, spacing_mm, 1.0])
        affine[:3, 3] = self.low
        return affine

    def points(self, spacing_mm: float) -> np.ndarray:
        """Give the place of every voxel, (3, X, Y, Z) float32 mm."""
        axes = [
            (low + spacing_mm * np.arange(n)).astype(np.float32)
            for low, n in zip(self.low, self.shape(spacing_mm), strict=True)
        ]
        return np.stack(np.meshgrid(*axes, indexing="ij"))


def deformed_points(
    lattice: Lattice, spacing_mm: float, warps: Sequence[tuple[float, float]], rng: np.random.Generator
) -> np.ndarray:
    """Draw a diffeomorphism of several scales; give where each voxel lies before it, (3, X, Y, Z) mm.

    Args:
        lattice: the box.
        spacing_mm: edge of a voxel.
        warps: (standard deviation of the smoothing, about the largest displacement), mm, of each scale.
        rng: the only source of chance.
    """
    shape = lattice.shape(spacing_mm)
    velocity = np.zeros((3, *shape), np.float32)
    for scale_mm, largest_mm in warps:
        part = np.stack([smooth_field(shape, spacing_mm, scale_mm, rng) for _ in range(3)])
        velocity += part * np.float32(largest_mm * rng.uniform(0.7, 1.0) / 3)  # the largest is about three sigma
    return lattice.points(spacing_mm) + exponential(velocity, spacing_mm)
