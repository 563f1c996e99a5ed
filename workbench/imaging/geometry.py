"""Volumes on other lattices: resample, crop, pad, put back, warp.

Every function keeps each voxel at its place in mm; the affine follows. A result that no longer lies on the lattice
of its file forgets it (``grid`` is None). Interpolation is ``order`` 0 (nearest: label maps), 1 (linear) or 3 (cubic).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from workbench.errors import GeometryError
from workbench.imaging.limits import check_header, times
from workbench.imaging.orientation import TOLERANCE_MM
from workbench.imaging.volume import Volume

SLAB_VOXELS = 2**21  # of a warp, whose coordinates need 24 bytes a voxel
INSIDE = 0.5 + 1e-6  # a volume reaches half a voxel beyond the centres of its outer voxels


def resample(volume: Volume, spacing_mm: Sequence[float], order: int = 1) -> Volume:
    """Resample to another voxel size, along the same axes and around the same centre.

    The extent is kept to within half a new voxel. Nothing is smoothed first: to go to much coarser voxels without
    aliasing, smooth before.

    Args:
        volume: any.
        spacing_mm: new voxel size along X, Y, Z.
        order: of interpolation.

    Raises:
        TooLarge: the result would not fit the limits.
    """
    new = np.asarray(spacing_mm, float)
    if new.shape != (3,) or not np.isfinite(new).all() or new.min() <= 0:
        raise ValueError(f"spacing_mm must be three positive numbers; got {spacing_mm}")
    old, shape = np.array(volume.spacing), np.array(volume.shape)
    n = np.maximum(np.rint(np.minimum(shape * old / new, 1e9)), 1).astype(int)
    check_header([volume.n_channels, *n], 4, f"The resampled {volume.modality}")
    if (n == shape).all() and np.allclose(old, new, rtol=1e-6):
        return volume
    affine = volume.affine.copy()
    affine[:3, :3] *= new / old
    affine[:3, 3] += volume.affine[:3, :3] @ ((shape - 1) / 2) - affine[:3, :3] @ ((n - 1) / 2)  # centre on centre
    data = _sample(volume, (int(n[0]), int(n[1]), int(n[2])), affine, order)
    return Volume(data, affine, volume.modality)


def resample_like(volume: Volume, like: Volume, order: int = 1, fill: float = 0.0) -> Volume:
    """Resample onto the lattice of another Volume.

    Args:
        volume: what is resampled.
        like: whose lattice (and stored grid) the result has.
        order: of interpolation; 0 for label maps.
        fill: the value where ``volume`` does not reach.
    """
    if same_lattice(volume, like):
        return Volume(volume.data, like.affine, volume.modality, like.grid)
    data = _sample(volume, like.shape, like.affine, order)
    outside = _outside(volume, like)
    data[:, outside] = fill
    return Volume(data, like.affine, volume.modality, like.grid)


def same_lattice(a: Volume, b: Volume) -> bool:
    """Say whether two Volumes have the same voxels, to 0.01 mm at the far corner."""
    far = np.array([[0, 0, 0], a.shape, *np.diag(a.shape)], float)
    return a.shape == b.shape and bool(np.abs(a.to_mm(far) - b.to_mm(far)).max() <= TOLERANCE_MM)


def crop(volume: Volume, low: Sequence[int], high: Sequence[int]) -> Volume:
    """Keep the voxels from ``low`` (included) to ``high`` (excluded), both (x, y, z)."""
    if any(not 0 <= a < b <= n for a, b, n in zip(low, high, volume.shape, strict=True)):
        raise ValueError(f"crop from {tuple(low)} to {tuple(high)} does not lie inside {volume.shape}")
    x, y, z = (slice(a, b) for a, b in zip(low, high, strict=True))
    return Volume(np.ascontiguousarray(volume.data[:, x, y, z]), _shifted(volume, low), volume.modality)


def crop_to_mask(volume: Volume, mask: np.ndarray, margin: int | Sequence[int] = 0) -> Volume:
    """Crop to the smallest box around a mask.

    Args:
        volume: any.
        mask: (X, Y, Z), non-zero inside.
        margin: voxels kept around the box on each side, one number or (x, y, z); cut off at the border.

    Raises:
        GeometryError: the mask is empty, or of another shape.
    """
    if mask.shape != volume.shape:
        raise GeometryError(
            f"The mask has {times(mask.shape)} voxels but {volume.modality} has {times(volume.shape)}; resample it "
            "first."
        )
    if not mask.any():
        raise GeometryError(f"The mask of {volume.modality} is empty, so there is nothing to crop to; draw it again.")
    around = np.broadcast_to(margin, 3)
    low, high = [], []
    for axis, n in enumerate(volume.shape):
        inside = np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis})))
        low.append(max(int(inside[0] - around[axis]), 0))
        high.append(min(int(inside[-1] + 1 + around[axis]), n))
    return crop(volume, low, high)


def pad(volume: Volume, before: Sequence[int], after: Sequence[int], value: float = 0.0) -> Volume:
    """Add voxels of ``value``: ``before`` (x, y, z) at the low end of each axis, ``after`` at the high end."""
    if min(*before, *after) < 0:
        raise ValueError(f"padding cannot be negative; got {tuple(before)} and {tuple(after)}")
    check_header(
        [volume.n_channels, *(sum(t) for t in zip(volume.shape, before, after, strict=True))],
        4,
        f"The padded {volume.modality}",
    )
    widths = [(0, 0), *((int(b), int(a)) for b, a in zip(before, after, strict=True))]
    data = np.pad(volume.data, widths, constant_values=np.float32(value))
    return Volume(data, _shifted(volume, [-int(b) for b in before]), volume.modality)


def put_back(volume: Volume, like: Volume, fill: float = 0.0) -> Volume:
    """Put a cropped or padded Volume back on the lattice it was cut from, by its affine.

    Args:
        volume: on the lattice of ``like``, shifted by whole voxels.
        like: the original.
        fill: the value where ``volume`` has no voxels.

    Raises:
        GeometryError: the voxels do not coincide.
    """
    exact = like.to_voxels(volume.affine[:3, 3])
    shift = np.rint(exact).astype(int)
    far = np.array(volume.shape, float)
    apart = np.abs(volume.to_mm(far) - like.to_mm(far + shift)).max()
    if np.abs(exact - shift).max() > 1e-2 or apart > TOLERANCE_MM:
        raise GeometryError(
            f"{volume.modality} does not lie on the voxels of {like.modality} (they are {apart:.3g} mm apart); "
            "resample it like that image."
        )
    data = np.full((volume.n_channels, *like.shape), fill, np.float32)
    low = np.maximum(shift, 0)
    high = np.minimum(shift + volume.shape, like.shape)
    if (high > low).all():
        there = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        here = tuple(slice(a, b) for a, b in zip(low - shift, high - shift, strict=True))
        data[:, *there] = volume.data[:, *here]
    return Volume(data, like.affine, volume.modality, like.grid)


def warp(volume: Volume, field: np.ndarray, order: int = 1, *, like: Volume | None = None, fill: float = 0.0) -> Volume:
    """Warp by a displacement field: out(x) = in(x + u(x)).

    Args:
        volume: the moving image.
        field: (3, X, Y, Z) in mm RAS, one vector for each output voxel.
        order: of interpolation; 0 for label maps.
        like: whose lattice the field and the output have; ``volume`` itself without it.
        fill: the value where x + u(x) lies outside ``volume``.

    Raises:
        GeometryError: the field has not the output's voxels.
    """
    from scipy.ndimage import map_coordinates

    target = like or volume
    if field.shape != (3, *target.shape):
        raise GeometryError(
            f"The field has {times(field.shape[1:])} vectors but {target.modality} has {times(target.shape)} voxels; "
            "resample the field first."
        )
    data = np.empty((volume.n_channels, *target.shape), np.float32)
    n = np.array(volume.shape)[:, None, None, None]
    for x in _slabs(target.shape):
        voxels = np.stack(np.meshgrid(np.arange(x.start, x.stop), *map(np.arange, target.shape[1:]), indexing="ij"), -1)
        points = target.to_mm(voxels) + np.moveaxis(field[:, x], 0, -1)
        where = np.moveaxis(volume.to_voxels(points), -1, 0)  # (3, slab, Y, Z)
        outside = ((where < -INSIDE) | (where > n - 1 + INSIDE)).any(0)
        for channel, image in zip(data, volume.data, strict=True):
            channel[x] = map_coordinates(image, where, order=order, mode="nearest", output=np.float32)
            channel[x][outside] = fill
    return Volume(data, target.affine, volume.modality, target.grid)


def _sample(volume: Volume, shape: tuple[int, int, int], affine: np.ndarray, order: int) -> np.ndarray:
    """Interpolate at the voxels of another lattice; beyond the border the outermost value goes on."""
    from scipy.ndimage import affine_transform

    to_old = np.linalg.inv(volume.affine) @ affine
    data = np.empty((volume.n_channels, *shape), np.float32)
    for out, image in zip(data, volume.data, strict=True):
        affine_transform(image, to_old[:3, :3], to_old[:3, 3], shape, out, order=order, mode="nearest")
    return data


def _outside(volume: Volume, like: Volume) -> np.ndarray:
    """Mark the voxels (X, Y, Z) of ``like`` that ``volume`` does not cover, one coordinate at a time."""
    to_old = np.linalg.inv(volume.affine) @ like.affine
    x, y, z = np.ogrid[: like.shape[0], : like.shape[1], : like.shape[2]]
    outside = np.zeros(like.shape, bool)
    for row, n in zip(to_old[:3], volume.shape, strict=True):
        where = row[0] * x + row[1] * y + row[2] * z + row[3]
        outside |= (where < -INSIDE) | (where > n - 1 + INSIDE)
    return outside


def _shifted(volume: Volume, low: Sequence[int]) -> np.ndarray:
    affine = volume.affine.copy()
    affine[:3, 3] = volume.to_mm(np.asarray(low))
    return affine


def _slabs(shape: tuple[int, int, int]) -> Iterator[slice]:
    thickness = max(SLAB_VOXELS // (shape[1] * shape[2]), 1)
    for start in range(0, shape[0], thickness):
        yield slice(start, min(start + thickness, shape[0]))
