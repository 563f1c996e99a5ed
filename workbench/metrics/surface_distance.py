"""How far apart the surfaces of two masks lie, in mm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_erosion, distance_transform_edt, find_objects, generate_binary_structure
from scipy.spatial import KDTree

from workbench.errors import GeometryError
from workbench.metrics.overlap import as_mask, same_shape

DENSE = 1 / 20  # from this share of surface voxels in the box on, a distance map of the box is faster than a tree


@dataclass(frozen=True)
class SurfaceDistances:
    """Distances between two surfaces; all NaN when a mask is empty, for then there is none.

    A surface is the voxels of a mask with a face on the outside, the border of the grid included; on a grid of one
    slice it is the outline. From the center of each voxel of either surface one measures to the nearest of the other.

    Attributes:
        mean_mm: symmetric mean surface distance: the mean over the voxels of both surfaces together.
        hd95_mm: 95 % Hausdorff distance: the larger of the two directed 95th percentiles, interpolated linearly.
        max_mm: Hausdorff distance: the largest of all.
    """

    mean_mm: float
    hd95_mm: float
    max_mm: float


def surface_distances(
    predicted: np.ndarray, truth: np.ndarray, spacing_mm: Sequence[float] | np.ndarray
) -> SurfaceDistances:
    """Give mean, 95 % and largest distance between the surfaces of two masks.

    Args:
        predicted: (X, Y, Z) bool; of other types, what is not 0 is inside.
        truth: the same of the truth.
        spacing_mm: voxel size along each axis, or the affine (4, 4) of both.
    """
    there, back = directed_distances(predicted, truth, spacing_mm)
    if len(there) == 0 or len(back) == 0:
        return SurfaceDistances(float("nan"), float("nan"), float("nan"))
    return SurfaceDistances(
        mean_mm=float(np.concatenate([there, back]).mean()),
        hd95_mm=float(max(np.percentile(there, 95), np.percentile(back, 95))),
        max_mm=float(max(there.max(), back.max())),
    )


def directed_distances(
    predicted: np.ndarray, truth: np.ndarray, spacing_mm: Sequence[float] | np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Give the distances in mm from each voxel of the predicted surface to the true one, and the other way round.

    Both are empty when a mask is. Arguments as for :func:`surface_distances`.
    """
    same_shape(predicted, truth)
    masks = as_mask(predicted, "predicted mask"), as_mask(truth, "true mask")
    steps = grid_steps(spacing_mm, masks[0].ndim)
    if not (masks[0].any() and masks[1].any()):
        return np.empty(0), np.empty(0)
    box = find_objects((masks[0] | masks[1]).view(np.uint8), 1)[0]
    a, b = (_surface(mask[box], tuple(n == 1 for n in mask.shape)) for mask in masks)
    gram = steps.T @ steps
    sizes = np.sqrt(np.diag(gram))
    sheared = np.abs(gram / np.outer(sizes, sizes) - np.eye(len(sizes))).max() > 1e-4
    if sheared or np.count_nonzero(a) + np.count_nonzero(b) < DENSE * a.size:
        points_a, points_b = np.argwhere(a) @ steps.T, np.argwhere(b) @ steps.T
        return KDTree(points_b).query(points_a)[0], KDTree(points_a).query(points_b)[0]
    return distance_transform_edt(~b, sizes)[a], distance_transform_edt(~a, sizes)[b]


def grid_steps(spacing_mm: Sequence[float] | np.ndarray, n_axes: int) -> np.ndarray:
    """Give the matrix (n_axes, n_axes) whose column i is one step along axis i in mm, of a spacing or an affine.

    Raises:
        GeometryError: a step has no length, or the steps lie in one plane.
    """
    given = np.asarray(spacing_mm, float)
    if given.shape == (n_axes,):
        steps = np.diag(given)
    elif given.shape == (n_axes + 1, n_axes + 1):
        steps = given[:n_axes, :n_axes]
    else:
        raise ValueError(f"expected {n_axes} voxel sizes or an affine for as many axes; got shape {given.shape}")
    lengths = np.sqrt((steps**2).sum(0))
    flat = not np.isfinite(steps).all() or (lengths <= 0).any() or abs(np.linalg.det(steps / lengths)) < 1e-6
    if flat or (given.ndim == 1 and (given <= 0).any()):
        sizes = ", ".join(f"{size:g}" for size in (given if given.ndim == 1 else lengths))
        raise GeometryError(
            f"Voxels of ({sizes}) mm have no volume, so distances in mm have no meaning; correct the spacing in the "
            "header of the images."
        )
    return steps


def _surface(mask: np.ndarray, thin: tuple[bool, ...]) -> np.ndarray:
    """Give the voxels of a mask that have a face on the outside, across axes that are not thin."""
    cross = generate_binary_structure(mask.ndim, 1)
    return mask & ~binary_erosion(mask, cross[tuple(slice(1, 2) if flat else slice(None) for flat in thin)])
