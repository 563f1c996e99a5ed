"""Random smooth shapes: ellipsoids in any direction, tubes along curves, soft edges."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import gaussian_filter


def voxel_centers(shape: Sequence[int], affine: np.ndarray) -> np.ndarray:
    """Give where each voxel lies: (3, X, Y, Z) float32 mm, for an affine without rotation."""
    lines = [affine[a, a] * np.arange(n) + affine[a, 3] for a, n in enumerate(shape)]
    return np.stack(np.meshgrid(*lines, indexing="ij")).astype(np.float32)


def random_rotation(rng: np.random.Generator) -> np.ndarray:
    """Draw a rotation (3, 3), uniform over all of them: QR of a Gaussian matrix (Stewart 1980)."""
    q, r = np.linalg.qr(rng.standard_normal((3, 3)))
    q *= np.sign(np.diag(r))
    return q if np.linalg.det(q) > 0 else q[:, [1, 0, 2]]


def frame_along(direction: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw a rotation (3, 3) whose first column is ``direction``."""
    first = direction / np.linalg.norm(direction)
    second = np.cross(first, rng.standard_normal(3))
    second /= np.linalg.norm(second)
    return np.stack([first, second, np.cross(first, second)], axis=1)


def ellipsoid_radius(
    centers: np.ndarray, middle_mm: np.ndarray, radii_mm: np.ndarray, rotation: np.ndarray
) -> np.ndarray:
    """Give the radius of each point relative to an ellipsoid's surface: 0 in its middle, 1 on it.

    Args:
        centers: (3, X, Y, Z) mm.
        middle_mm: (3,).
        radii_mm: (3,), half axes.
        rotation: (3, 3), column k is the direction of half axis k.

    Returns:
        (X, Y, Z) float32.
    """
    to_sphere = (rotation / radii_mm).T.astype(np.float32)
    offset = centers - np.asarray(middle_mm, np.float32).reshape(3, 1, 1, 1)
    return np.sqrt((np.tensordot(to_sphere, offset, 1) ** 2).sum(axis=0))


def soft(signed_mm: np.ndarray, width_mm: float) -> np.ndarray:
    """Give 1 inside (negative distance), 0 outside, a logistic edge of ``width_mm`` between; 0.5 at distance 0."""
    return 1 / (1 + np.exp(np.clip(signed_mm / width_mm, -30, 30)))


def fine_field(shape: Sequence[int], spacing_mm: float, scale_mm: float, rng: np.random.Generator) -> np.ndarray:
    """Draw Gaussian noise smoothed on the lattice itself: (X, Y, Z) float32 of unit variance."""
    field = gaussian_filter(rng.standard_normal(shape, dtype=np.float32), scale_mm / spacing_mm)
    return field / field.std()


def paint_curve(volume: np.ndarray, affine: np.ndarray, curve_mm: np.ndarray, radius_mm: float) -> None:
    """Add a tube to ``volume`` in place: its share of each voxel, the larger where tubes meet.

    Args:
        volume: (X, Y, Z), changed.
        affine: (4, 4) without rotation.
        curve_mm: (N, 3) corners of the curve.
        radius_mm: of the tube.
    """
    spacing = float(affine[0, 0])
    width = np.sqrt(radius_mm**2 / 2 + (spacing / 2.35) ** 2)
    peak = min(1, 2 * (radius_mm**2 / 2) / width**2)  # a thin tube fills a small share of a wide voxel
    reach = int(np.ceil(2.5 * width / spacing))
    around = np.arange(-reach, reach + 1)
    for point in _dense(curve_mm, spacing / 2):
        voxel = (point - affine[:3, 3]) / spacing
        nearest = np.rint(voxel).astype(int)
        lines = [nearest[a] + around for a in range(3)]
        lines = [line[(line >= 0) & (line < n)] for line, n in zip(lines, volume.shape, strict=True)]
        if min(map(len, lines)) == 0:
            continue
        parts = [np.exp(-(((line - v) * spacing / width) ** 2) / 2) for line, v in zip(lines, voxel, strict=True)]
        share = peak * parts[0][:, None, None] * parts[1][None, :, None] * parts[2][None, None, :]
        where = tuple(slice(line[0], line[-1] + 1) for line in lines)
        volume[where] = np.maximum(volume[where], share)


def _dense(curve_mm: np.ndarray, step_mm: float) -> np.ndarray:
    """Points along a polygon, about ``step_mm`` apart."""
    length = np.r_[0, np.cumsum(np.linalg.norm(np.diff(curve_mm, axis=0), axis=1))]
    at = np.linspace(0, length[-1], int(length[-1] / step_mm) + 2)
    return np.stack([np.interp(at, length, curve_mm[:, a]) for a in range(3)], axis=1)
