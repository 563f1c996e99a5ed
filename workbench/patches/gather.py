"""Patches about centers, in one fancy index.

A strided view names every patch of a volume without copying a voxel; indexing that view with the centers copies only
the patches asked for, in runs along Z. ``benchmarks/patches.py`` measures it
beside the peers.

    volume  . . . . . . .        view[x, y, z] is the patch that begins at (x, y, z)
            . a a a . . .        a patch of size s about center c begins at c - s // 2:
            . a c a . . .        odd sizes have c in the middle, even sizes just above it
            . a a a . . .
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import as_strided


def gather(volume: np.ndarray, centers: np.ndarray, size: Sequence[int], margin: int = 0) -> np.ndarray:
    """Copy the patches about centers; what lies outside the volume is zero.

    Args:
        volume: (C, X, Y, Z), with ``margin`` voxels of zeros around X, Y, Z when margin > 0.
        centers: (n, 3) integer voxel indices, counted from the first voxel inside the margin.
        size: voxels of the patch along X, Y, Z.
        margin: how wide the stored rim is. A patch that reaches beyond it is still right, at the cost of a padded copy.

    Returns:
        (n, C, *size), of the volume's dtype, contiguous.
    """
    starts = np.asarray(centers, np.int64).reshape(-1, 3) + (margin - np.asarray(size) // 2)
    volume, starts = _within(volume, starts, size)
    return _patches(volume[None], np.zeros(len(starts), np.int64), starts, size)


def gather_stacked(
    volumes: np.ndarray, which: np.ndarray, centers: np.ndarray, size: Sequence[int], margin: int
) -> np.ndarray:
    """Copy patches from many volumes at once.

    Args:
        volumes: (S, C, X, Y, Z) of one shape, each with ``margin`` voxels of zeros around it.
        which: (n,) volume of each patch.
        centers: (n, 3), counted from the first voxel inside the margin, none beyond it.
        size: voxels of the patch; at most 2 margin + 1.
        margin: how wide the stored rim is.

    Returns:
        (n, C, *size).
    """
    if max(size) // 2 > margin:
        raise ValueError(f"patches of {tuple(size)} reach beyond the margin of {margin} voxels")
    return _patches(volumes, which, np.asarray(centers) + (margin - np.asarray(size) // 2), size)


def gather_plane(
    volume: np.ndarray, centers: np.ndarray, size: Sequence[int], axis: int, margin: int = 0
) -> np.ndarray:
    """Copy the planes through centers that are perpendicular to an axis.

    Args:
        volume: (C, X, Y, Z).
        centers: (n, 3) voxel indices.
        size: voxels along the two remaining axes, in the order X, Y, Z.
        axis: 0 sagittal (gives Y, Z), 1 coronal (X, Z), 2 axial (X, Y).
        margin: as in :func:`gather`.

    Returns:
        (n, C, *size) with two spatial axes.
    """
    if axis not in (0, 1, 2) or len(size) != 2:
        raise ValueError(f"a plane has an axis of 0, 1 or 2 and two sizes; got axis {axis}, size {tuple(size)}")
    flat = [*size[:axis], 1, *size[axis:]]
    return gather(volume, centers, flat, margin).squeeze(2 + axis)


def gather_scales(
    volume: np.ndarray, centers: np.ndarray, size: Sequence[int], factors: Sequence[int], margin: int = 0
) -> np.ndarray:
    """Copy patches of several scales about one center, all of one size in voxels.

    At factor f a patch spans f times the size and each of its voxels is the mean of an f³ block (one along axes where
    the size is 1, so a picture stays one), so the coarse patch sees the surroundings without aliasing.

    Args:
        volume: (C, X, Y, Z).
        centers: (n, 3) voxel indices.
        size: voxels of each patch along X, Y, Z.
        factors: odd whole numbers, so that the middle block lies on the center at every scale.
        margin: as in :func:`gather`.

    Returns:
        (n, n_factors, C, *size).
    """
    if any(f < 1 or f % 2 == 0 for f in factors):
        raise ValueError(f"scale factors must be odd and positive, so that they share a center; got {tuple(factors)}")
    return np.stack([_block_means(volume, centers, size, f, margin) for f in factors], axis=1)


def _block_means(volume: np.ndarray, centers: np.ndarray, size: Sequence[int], factor: int, margin: int) -> np.ndarray:
    fx, fy, fz = (factor if s > 1 else 1 for s in size)
    sx, sy, sz = size
    # an even size has its middle just above the center; its blocks must begin at c - f * s // 2 + f // 2
    offset = [(f * s) // 2 - f * (s // 2) - f // 2 for f, s in zip((fx, fy, fz), size, strict=True)]
    patches = gather(volume, np.asarray(centers) + np.asarray(offset), (fx * sx, fy * sy, fz * sz), margin)
    blocks = patches.reshape(*patches.shape[:2], sx, fx, sy, fy, sz, fz)  # (n, C, sx, fx, sy, fy, sz, fz)
    return blocks.mean(axis=(3, 5, 7), dtype=volume.dtype)


def _patches(volumes: np.ndarray, which: np.ndarray, starts: np.ndarray, size: Sequence[int]) -> np.ndarray:
    n_volumes, n_channels, *extent = volumes.shape
    by_volume, by_channel, *by_voxel = volumes.strides
    x, y, z = (e - s + 1 for e, s in zip(extent, size, strict=True))
    # channels move behind the position, so that indexing gives (n, C, *size) without a transposition
    strides = (by_volume, *by_voxel, by_channel, *by_voxel)
    view = as_strided(volumes, (n_volumes, x, y, z, n_channels, *size), strides, writeable=False)
    return view[which, starts[:, 0], starts[:, 1], starts[:, 2]]


def _within(volume: np.ndarray, starts: np.ndarray, size: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Pad with zeros where a patch would leave the array; most calls return what came."""
    extent = np.asarray(volume.shape[1:])
    low, high = (starts.min(axis=0), starts.max(axis=0)) if len(starts) else (np.zeros(3, int), np.zeros(3, int))
    before = np.maximum(0, -low)
    after = np.maximum(0, high + np.asarray(size) - extent)
    if not before.any() and not after.any():
        return volume, starts
    rim = [(0, 0), *((int(b), int(a)) for b, a in zip(before, after, strict=True))]
    return np.pad(volume, rim), starts + before
