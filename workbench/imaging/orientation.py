"""From the lattice a file is stored on to RAS+ order and back, by permuting and flipping axes only.

No voxel is interpolated, so the way back is exact: voxels, and the affine bit by bit.
"""

from __future__ import annotations

import numpy as np

from workbench.errors import GeometryError
from workbench.imaging.limits import times
from workbench.imaging.volume import Grid, Volume

# Voxels of an image with any other size are an error of units or a broken header.
SPACING_BOUNDS_MM = (1e-6, 1e4)
# |det| over the product of the spacings: 1 for right angles, 0 when two axes fall together.
MIN_SKEW = 1e-3
TOLERANCE_MM = 1e-2


def check_affine(affine: np.ndarray, name: str) -> np.ndarray:
    """Check that an affine (4, 4) places voxels in space.

    Raises:
        GeometryError: it is not finite, a spacing is zero or absurd, or two axes point the same way.
    """
    if not np.isfinite(affine).all():
        raise GeometryError(
            f"The affine of {name} has entries that are not numbers; set the orientation again in the program that "
            "wrote it."
        )
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    sizes = " × ".join(f"{s:.3g}" for s in spacing)
    low, high = SPACING_BOUNDS_MM
    if spacing.min() < low or spacing.max() > high:
        raise GeometryError(
            f"{name} has voxels of {sizes} mm; expected sizes between {low:g} and {high:g} mm. Correct its affine."
        )
    if np.abs(affine[:3, 3]).max() > 1e9 or abs(np.linalg.det(affine[:3, :3] / spacing)) < MIN_SKEW:
        raise GeometryError(
            f"The affine of {name} does not span space: its axes (of {sizes} mm) fall together; set the orientation "
            "again."
        )
    return affine


def to_ras(array: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bring stored axes to RAS+ order.

    Args:
        array: (…, I, J, K); the last three axes are the stored lattice.
        affine: (4, 4), stored voxel → mm.

    Returns:
        A view (…, X, Y, Z) and its affine.
    """
    from nibabel.orientations import inv_ornt_aff, io_orientation

    order = io_orientation(affine)  # row i: which RAS axis the stored axis i is, and its sign
    shape = array.shape[-3:]
    return _apply(array, order), affine @ inv_ornt_aff(order, shape)


def from_ras(array: np.ndarray, grid: Grid) -> np.ndarray:
    """Bring RAS+ axes (…, X, Y, Z) back to the stored order of ``grid``, as a view (…, I, J, K)."""
    from nibabel.orientations import io_orientation

    order = io_orientation(grid.affine)
    axes = order[:, 0].astype(int)
    lead = array.ndim - 3
    array = array.transpose(*range(lead), *(lead + axes))
    flips = [slice(None, None, int(sign)) for sign in order[:, 1]]
    return array[..., flips[0], flips[1], flips[2]]


def place(array: np.ndarray, affine: np.ndarray, modality: str, name: str) -> Volume:
    """Make a Volume of stored voxels (C, I, J, K) and their affine, and remember the stored lattice.

    Raises:
        GeometryError: the affine is unusable.
    """
    affine = check_affine(np.asarray(affine, float), name)
    i, j, k = array.shape[1:]
    data, ras = to_ras(array, affine)
    return Volume(np.ascontiguousarray(data, dtype=np.float32), ras, modality, grid_of((i, j, k), affine))


def grid_of(shape: tuple[int, int, int], affine: np.ndarray) -> Grid:
    """Describe a stored lattice."""
    from nibabel.orientations import aff2axcodes

    return Grid(shape, affine, "".join(aff2axcodes(affine)))


def check_on_grid(volume: Volume, grid: Grid) -> None:
    """Check that a Volume lies on a stored lattice, so that it can be written there without interpolation.

    Raises:
        GeometryError: other counts of voxels, or corners more than 0.01 mm apart.
    """
    from nibabel.orientations import inv_ornt_aff, io_orientation

    order = io_orientation(grid.affine)
    shape = [0, 0, 0]
    for stored, axis in enumerate(order[:, 0].astype(int)):
        shape[axis] = grid.shape[stored]
    affine = grid.affine @ inv_ornt_aff(order, grid.shape)
    corners = np.array([[x, y, z] for x in (0, shape[0]) for y in (0, shape[1]) for z in (0, shape[2])], float)
    there = corners @ affine[:3, :3].T + affine[:3, 3]
    if tuple(shape) != volume.shape or np.abs(volume.to_mm(corners) - there).max() > TOLERANCE_MM:
        raise GeometryError(
            f"The {volume.modality} volume has {times(volume.shape)} voxels of {_mm(volume.affine)} mm, but the "
            "file's grid has "
            f"{times(shape)} of {_mm(affine)} mm, or lies elsewhere; resample it like the original first."
        )


def _apply(array: np.ndarray, order: np.ndarray) -> np.ndarray:
    flips = [slice(None, None, int(sign)) for sign in order[:, 1]]
    lead = array.ndim - 3
    axes = np.argsort(order[:, 0])  # RAS axis a was stored as axis axes[a]
    return array[..., flips[0], flips[1], flips[2]].transpose(*range(lead), *(lead + axes))


def _mm(affine: np.ndarray) -> str:
    return " × ".join(f"{s:.3g}" for s in np.linalg.norm(affine[:3, :3], axis=0))
