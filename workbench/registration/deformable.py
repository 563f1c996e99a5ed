"""A linear map, then an engine of deformable registration, then the total field both ways in mm."""

from __future__ import annotations

import time

import numpy as np
from scipy.ndimage import affine_transform

from workbench.errors import GeometryError
from workbench.imaging.displacements import folded_share, lattice_positions, pull_at, to_mm
from workbench.imaging.volume import Volume
from workbench.progress import Progress, part_of, silent
from workbench.registration.itk_images import check_image
from workbench.registration.linear import Kind, LinearMap, find_linear, overlap
from workbench.registration.match import Engine, Match
from workbench.registration.registered import Registered, linear_fields

LINEAR_SHARE = 0.2  # of the progress, when an engine follows


def register(
    fixed: Volume,
    moving: Volume,
    *,
    method: str = "affine",
    linear: Kind | str | np.ndarray = "affine",
    deform: Engine | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> Registered:
    """Bring one image onto another, by their first channels.

    Args:
        fixed: the image that stays.
        moving: the image that is brought onto it; any lattice.
        method: its name, kept in the result.
        linear: ``none`` (the images lie together already), ``moments``, ``rigid``, ``affine``, or a (4, 4) matrix
            from mm RAS of the fixed to mm RAS of the moving image, for example of `find_linear`.
        deform: called with the fixed image and the linearly moved one, both (X, Y, Z) on the fixed lattice, the
            spacing in mm and a Progress; without it the linear map is all.
        seed: of the linear map.
        progress: told often; may cancel.

    Raises:
        FileError: an image is constant or not finite.
        GeometryError: an image is too small, or the images do not overlap.
    """
    begun = time.perf_counter()
    share = LINEAR_SHARE if deform else 1.0
    found = _linear(fixed, moving, linear, seed, part_of(progress, 0, share))
    match = None
    if deform:
        brought = moved_linearly(moving, fixed, found.matrix)
        check_image(brought, "linearly moved")
        match = deform(fixed.data[0], brought, fixed.spacing, part_of(progress, share, 1))
    field, inverse = total_fields(fixed, moving, found.matrix, match)
    folded = folded_share(match.forward) if match else 0.0
    notes = found.notes
    if folded > 0:
        notes = (*notes, f"The map folds in {folded:.3%} of the voxels, where its inverse is only the nearest fit.")
    progress(1.0, "registered")
    return Registered(
        method=method,
        fixed=fixed,
        moving=moving,
        linear=found.matrix,
        field=field,
        inverse=inverse,
        folded_share=folded,
        energy=match.energy if match else (),
        points_mm=_points_mm(fixed, found.matrix, match),
        seconds=time.perf_counter() - begun,
        notes=notes,
    )


def moved_linearly(moving: Volume, fixed: Volume, linear: np.ndarray) -> np.ndarray:
    """Give the first channel of the moving image on the fixed lattice, (X, Y, Z) float32.

    Beyond its border the outermost value goes on: a cut through tissue makes no edge that an engine would follow.
    """
    matrix = np.linalg.inv(moving.affine) @ linear @ fixed.affine
    out = np.empty(fixed.shape, np.float32)
    affine_transform(moving.data[0], matrix[:3, :3], matrix[:3, 3], fixed.shape, out, order=1, mode="nearest")
    return out


def total_fields(
    fixed: Volume, moving: Volume, linear: np.ndarray, match: Match | None
) -> tuple[np.ndarray, np.ndarray]:
    """Join a linear map and an engine's fields: x → linear(x + d(x)), and back.

    Args:
        fixed: gives the lattice of the first field.
        moving: gives the lattice of the second.
        linear: (4, 4), mm RAS of the fixed → mm RAS of the moving image.
        match: in voxels of the fixed lattice; without it both fields are linear.

    Returns:
        field (3, X, Y, Z) and inverse (3, X', Y', Z'), float32 mm RAS.
    """
    field, inverse = linear_fields(fixed, moving, linear)
    if match:
        back = np.linalg.inv(linear)
        field += to_mm(match.forward, linear @ fixed.affine)
        places = lattice_positions(moving.shape, np.linalg.inv(fixed.affine) @ back @ moving.affine)
        inverse += to_mm(pull_at(np.asarray(match.inverse, np.float32), places), fixed.affine)
    return field, inverse


def _linear(fixed: Volume, moving: Volume, linear: Kind | str | np.ndarray, seed: int, progress: Progress) -> LinearMap:
    """The linear map that was asked for; one that was given must leave the images on each other."""
    if isinstance(linear, str) and linear in ("moments", "rigid", "affine"):
        return find_linear(fixed, moving, linear, seed=seed, progress=progress)  # type: ignore[arg-type]
    if isinstance(linear, str) and linear != "none":
        raise LookupError(f"a linear map is none, moments, rigid, affine or a matrix; got {linear!r}")
    check_image(fixed.data[0], "fixed")
    check_image(moving.data[0], "moving")
    matrix = np.eye(4) if isinstance(linear, str) else np.asarray(linear, float)
    if matrix.shape != (4, 4):
        raise ValueError(f"a linear map is (4, 4); got {matrix.shape}")
    covered = overlap(fixed, np.ones(fixed.shape, bool), moving, matrix)
    if covered == 0:
        raise GeometryError(
            "The two images do not overlap in space, so nothing can be matched; let a linear map bring them together "
            "first (moments, rigid or affine)."
        )
    return LinearMap(matrix, "affine", covered, ())


def _points_mm(fixed: Volume, linear: np.ndarray, match: Match | None) -> np.ndarray | None:
    """Driving voxels as places in mm, (N, 6)."""
    if match is None or match.points is None:
        return None
    here = fixed.to_mm(match.points[:, :3])
    there = fixed.to_mm(match.points[:, 3:]) @ linear[:3, :3].T + linear[:3, 3]
    return np.concatenate([here, there], axis=1).astype(np.float32)
