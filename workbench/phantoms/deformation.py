"""Random diffeomorphisms with their inverse: a stationary velocity field, scaling and squaring.

A smooth random velocity field v is drawn; the map is its flow for unit time, exp(v), and the inverse is exp(-v)
(Arsigny 2006; the diffeomorphic demons of the review's Reference 87 search among the same maps). Because v is drawn on
a lattice of 8 mm whatever the spacing of the image, one seed gives one deformation at every spacing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.interpolate import make_interp_spline
from scipy.ndimage import gaussian_filter

from workbench.imaging import displacements

CONTROL_MM = 8.0
BORDER_MM = 16.0
N_SQUARINGS = 6


class Deformation(NamedTuple):
    """A map and its inverse as displacements on one lattice.

    Attributes:
        warp: (3, X, Y, Z) float32 mm RAS; a voxel of the subject at x lies in the template at x + warp(x).
        inverse_warp: (3, X, Y, Z) float32 mm RAS; a voxel of the template at y lies in the subject at y + inverse(y).
    """

    warp: np.ndarray
    inverse_warp: np.ndarray


def random_deformation(
    brain: np.ndarray, spacing_mm: float, *, largest_mm: float, scale_mm: float, rng: np.random.Generator
) -> Deformation:
    """Draw a deformation.

    Args:
        brain: (X, Y, Z) bool, where the largest displacement is counted.
        spacing_mm: edge of a voxel.
        largest_mm: length of the largest velocity in the brain, close to the largest displacement.
        scale_mm: standard deviation of the Gaussian that smooths the velocity; larger is smoother.
        rng: the only source of chance.
    """
    # each component vanishes where it would cross the border, so the field of view maps onto itself
    velocity = np.stack(
        [smooth_field(brain.shape, spacing_mm, scale_mm, rng) * _fade(brain.shape, spacing_mm, a) for a in range(3)]
    )
    largest = np.sqrt((velocity[:, brain] ** 2).sum(axis=0)).max()
    velocity *= largest_mm / largest
    return Deformation(exponential(velocity, spacing_mm), exponential(-velocity, spacing_mm))


def exponential(velocity: np.ndarray, spacing_mm: float) -> np.ndarray:
    """Integrate a stationary velocity (3, X, Y, Z) in mm for unit time: the displacement in mm."""
    return displacements.exponential(velocity / np.float32(spacing_mm), N_SQUARINGS) * np.float32(spacing_mm)


def pull(maps: np.ndarray, displacement: np.ndarray, spacing_mm: float) -> np.ndarray:
    """Give maps (K, X, Y, Z) at x + displacement(x), linearly; displacement (3, X, Y, Z) in mm, borders extended."""
    return displacements.pull(np.asarray(maps, np.float32), displacement / np.float32(spacing_mm))


def smooth_field(shape: Sequence[int], spacing_mm: float, scale_mm: float, rng: np.random.Generator) -> np.ndarray:
    """Draw Gaussian noise smoothed by a Gaussian of scale_mm, on the lattice: (X, Y, Z) float32, unit variance.

    The noise lies on control points 8 mm apart, whose number depends on the extent in mm alone.
    """
    extent = [(n - 1) * spacing_mm for n in shape]
    reach = int(np.ceil(3 * scale_mm / CONTROL_MM))
    # to the next 16 mm, because the last voxel of a coarse lattice lies a little before that of a fine one
    counts = [int(e // 16 + 1) * 2 + 2 for e in extent]
    noise = rng.standard_normal([c + 2 * reach for c in counts])
    field = gaussian_filter(noise, scale_mm / CONTROL_MM, truncate=3)
    field /= np.sqrt(_energy(scale_mm / CONTROL_MM))
    for axis, n in enumerate(shape):
        at = (np.arange(field.shape[axis]) - reach) * CONTROL_MM
        field = make_interp_spline(at, field, k=3, axis=axis)(np.arange(n) * spacing_mm)
        field = field.astype(np.float32)
    return field


def jacobian_determinant(displacement: np.ndarray, spacing_mm: float) -> np.ndarray:
    """Give det(I + ∂u/∂x) of a displacement (3, X, Y, Z) in mm by central differences: (X, Y, Z); > 0 if unfolded."""
    return displacements.jacobian_determinant(displacement / spacing_mm)


def _energy(sigma: float) -> float:
    """Variance that white noise of unit variance keeps after a Gaussian in three dimensions."""
    line = np.zeros(2 * int(np.ceil(3 * sigma)) + 9)
    line[len(line) // 2] = 1
    return float((gaussian_filter(line, sigma, truncate=3) ** 2).sum() ** 3)


def _fade(shape: Sequence[int], spacing_mm: float, axis: int) -> np.ndarray:
    """1 inside, to 0 over the last 16 mm before both ends of an axis, shaped to broadcast over the volume."""
    n = shape[axis]
    depth = np.minimum(np.arange(n), n - 1 - np.arange(n)) * spacing_mm / BORDER_MM
    line = np.sin(np.minimum(depth, 1) * np.pi / 2) ** 2
    return line.astype(np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
