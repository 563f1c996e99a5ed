"""Boxes about every voxel: the zero margin they need, sums over them, and the growth of a mask by them.

A box of size s about voxel c begins at c - s // 2, as patches do (``patches/gather.py``). After the margin of
:func:`pad_about` it begins at index c of the padded array, so nothing else here needs to know about centers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Triple = tuple[int, int, int]


def triple(size: Sequence[int]) -> Triple:
    """Give a patch size as (x, y, z); a size of two axes is that of a picture, one voxel thick."""
    sizes = [int(s) for s in size]
    if len(sizes) not in (2, 3) or min(sizes) < 1:
        raise ValueError(f"a patch has 2 or 3 sizes, each at least 1; got {tuple(size)}")
    x, y, z = [*sizes, 1][:3]
    return x, y, z


def pad_about(image: np.ndarray, size: Triple) -> np.ndarray:
    """Surround (C, X, Y, Z) by zeros so that the box about voxel c begins at index c: (C, X + sx - 1, …)."""
    return np.pad(image, [(0, 0), *((s // 2, s - 1 - s // 2) for s in size)])


def box_sums(array: np.ndarray, size: Triple) -> np.ndarray:
    """Sum over the box that begins at each position, by running sums.

    Args:
        array: (X, Y, Z).
        size: the box in voxels.

    Returns:
        (X - sx + 1, Y - sy + 1, Z - sz + 1) float64. Running sums lose digits; subtract a typical value from the
        array first where sums of squares follow.
    """
    sums = np.asarray(array, np.float64)
    for axis, length in enumerate(size):
        if length > 1:
            running = np.cumsum(sums, axis=axis)
            running = np.concatenate([np.zeros_like(running.take([0], axis)), running], axis)
            n = running.shape[axis]
            sums = running.take(range(length, n), axis) - running.take(range(n - length), axis)
    return sums


def box_moments(padded: np.ndarray, size: Triple) -> tuple[np.ndarray, np.ndarray]:
    """Give mean and variance (biased) over all channels and voxels of the box that begins at each position.

    Args:
        padded: (C, X + sx - 1, Y + sy - 1, Z + sz - 1), as from :func:`pad_about`.
        size: the box in voxels.

    Returns:
        mean (X, Y, Z) and variance (X, Y, Z), float64; the variance is never negative.
    """
    typical = float(padded.mean(dtype=np.float64))
    shifted = padded.astype(np.float64) - typical
    n_elements = len(padded) * int(np.prod(size))
    mean = box_sums(shifted.sum(0), size) / n_elements
    square = box_sums(np.square(shifted).sum(0), size) / n_elements
    return mean + typical, np.maximum(square - mean * mean, 0)


def grow(wanted: np.ndarray, size: Triple, step: Triple) -> np.ndarray:
    """Mark everything that the boxes beginning at marked positions touch.

    Args:
        wanted: (X, Y, Z) bool.
        size: voxels of the box along each axis.
        step: voxels between neighbors of the box (à trous); 1 is a solid box.

    Returns:
        (X + (sx - 1) tx, …) bool.
    """
    for axis, (length, stride) in enumerate(zip(size, step, strict=True)):
        if length > 1:
            shape = list(wanted.shape)
            shape[axis] += (length - 1) * stride
            grown = np.zeros(shape, bool)
            for offset in range(0, length * stride, stride):
                np.moveaxis(grown, axis, 0)[offset : offset + wanted.shape[axis]] |= np.moveaxis(wanted, axis, 0)
            wanted = grown
    return wanted
