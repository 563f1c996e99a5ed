"""Centers of patches: where in a volume to look.

Every sampler gives ``(n, 3) int64`` voxel indices and draws with replacement from the generator it is handed.
:func:`uniform`, :func:`inside`, :func:`balanced` and :func:`weighted` look at one volume. Training draws again and
again from many, so the work splits into tables made once (:func:`candidates`, :func:`candidates_by_label`,
:func:`cumulative_weights`, one after the other for all subjects) and the draws :func:`among`, :func:`among_labels`
and :func:`among_weighted`, which take ``which`` (n,), the subject of each center, and cost O(n log voxels).

Importance sampling, with probability proportional to the gradient magnitude, is that of Wu 2016 (Section 3.1,
Reference 28), who take about 10,000 patches an image where something is to be seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from workbench.errors import SettingsError

Shape = Sequence[int]


def size_in_voxels(size_mm: float | Sequence[float], spacing: Sequence[float]) -> tuple[int, int, int]:
    """Give the odd number of voxels on each axis that is nearest to a size in mm, at least 1.

    Args:
        size_mm: edge of the patch in mm, one for all axes or three.
        spacing: voxel size along X, Y, Z in mm.
    """
    edges = np.broadcast_to(np.asarray(size_mm, float), (3,))
    if not (edges > 0).all() or not np.isfinite(edges).all():
        raise SettingsError(f"The patch size must be greater than 0 mm on every axis; got {size_mm}.")
    x, y, z = (max(1, 2 * round((e / s - 1) / 2) + 1) for e, s in zip(edges, spacing, strict=True))
    return x, y, z


def uniform(shape: Shape | np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Draw n centers anywhere in a volume of this shape, or of a shape (n, 3) for each: (n, 3) int64."""
    return rng.integers(0, np.asarray(shape), size=(n, 3))


def inside(mask: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Draw n centers among the non-zero voxels of a mask (X, Y, Z): (n, 3) int64."""
    flat = candidates(mask)
    return among(flat, np.array([0, flat.size]), _alone(mask), np.zeros(n, int), rng)


def balanced(labels: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Draw n centers so that each label present in a map (X, Y, Z) is equally likely: (n, 3) int64."""
    flat, begins = candidates_by_label(labels)
    bounds = np.append(begins, flat.size)
    return among_labels(flat, bounds, np.array([0, len(begins)]), _alone(labels), np.zeros(n, int), rng)


def weighted(weights: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Draw n centers with probability proportional to non-negative weights (X, Y, Z): (n, 3) int64."""
    flat, total = cumulative_weights(weights)
    return among_weighted(flat, total, np.array([0, flat.size]), _alone(weights), np.zeros(n, int), rng)


def grid(shape: Shape, size: Shape, overlap: Shape | int = 0) -> np.ndarray:
    """Give the centers of patches that cover a volume, neighbours sharing at least ``overlap`` voxels.

    The last patch of each axis is moved back to end with the volume, so no patch leaves it unless the patch is larger
    than the volume; then there is one, in the middle.

        shape 7, size 4, overlap 1:   0 1 2 3
                                            3 4 5 6

    Returns:
        (n, 3) int64, X slowest.
    """
    steps = np.asarray(size) - np.broadcast_to(overlap, (3,))
    if (steps < 1).any() or (np.asarray(overlap) < 0).any():
        raise ValueError(f"overlap must be from 0 to less than the patch {tuple(size)}; got {overlap}")
    axes = [_positions(*lengths) for lengths in zip(shape, size, steps, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)


def candidates(mask: np.ndarray) -> np.ndarray:
    """Give the flat indices of a mask's non-zero voxels, (k,) int64; never empty.

    Raises:
        ValueError: the mask is empty.
    """
    flat = np.flatnonzero(mask)
    if flat.size == 0:
        raise ValueError("the mask is empty, so no center can be drawn inside it")
    return flat


def candidates_by_label(labels: np.ndarray, mask: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Sort voxels by label.

    Args:
        labels: (X, Y, Z) integers; every value counts as a label, 0 too.
        mask: (X, Y, Z), where voxels may be; None for everywhere.

    Returns:
        The flat indices (k,) int64 ordered by label, and the place (n_labels,) where each label begins among them.
    """
    flat = np.arange(labels.size) if mask is None else candidates(mask)
    values = labels.reshape(-1)[flat]
    order = np.argsort(values, kind="stable")
    begins = np.flatnonzero(np.diff(values[order], prepend=values[order[0]] - 1))
    return flat[order], begins


def cumulative_weights(weights: np.ndarray, mask: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Give the flat indices (k,) int64 of voxels with a weight, and their cumulative weight (k,) float64, last 1.

    Raises:
        ValueError: a weight is negative or not finite, or all are zero.
    """
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise ValueError("weights must be finite and not negative")
    flat = candidates(weights if mask is None else (weights > 0) & (mask != 0))
    total = np.cumsum(weights.reshape(-1)[flat], dtype=np.float64)
    return flat, total / total[-1]


def among(
    flat: np.ndarray, begins: np.ndarray, shapes: np.ndarray, which: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Draw a center for each entry of ``which``, every candidate of its subject equally likely: (n, 3) int64.

    Args:
        flat: (k,) flat indices, subject after subject.
        begins: (S + 1,), where each subject begins in ``flat``, and its length.
        shapes: (S, 3) voxels of each subject.
        which: (n,) subject of each center.
        rng: the only source of chance.
    """
    return unravel(flat[rng.integers(begins[which], begins[which + 1])], shapes[which])


def among_labels(
    flat: np.ndarray,
    bounds: np.ndarray,
    firsts: np.ndarray,
    shapes: np.ndarray,
    which: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Draw first a label of the subject, then one of its voxels: (n, 3) int64.

    Args:
        flat: (k,) flat indices, subject after subject, label after label.
        bounds: (L + 1,), where each label of each subject begins in ``flat``, and its length.
        firsts: (S + 1,), where each subject begins in ``bounds``, and L.
        shapes: (S, 3).
        which: (n,).
        rng: the only source of chance.
    """
    label = rng.integers(firsts[which], firsts[which + 1])
    return unravel(flat[rng.integers(bounds[label], bounds[label + 1])], shapes[which])


def shares_of_labels(
    values: np.ndarray, firsts: np.ndarray, shares: Mapping[int, float] | None
) -> tuple[np.ndarray, list[int]]:
    """Say how probable each label of each subject is, for :func:`among_shares`.

    A label that a subject lacks leaves its share to the labels that it has, in proportion to theirs. A negative label
    is never drawn, nor is one without a share.

    Args:
        values: (L,) label of each entry, subject after subject.
        firsts: (S + 1,), where each subject begins in ``values``, and L.
        shares: label to its probability up to a factor; None for all alike.

    Returns:
        (L,) cumulative probability within each subject, exactly 1 from the last label with a share, and the subjects
        that have no label with a share.
    """
    given = values >= 0 if shares is None else np.array([max(0.0, shares.get(int(v), 0.0)) for v in values])
    total = np.where(values >= 0, given, 0.0)
    without = []
    for i, (begin, end) in enumerate(pairwise(firsts)):
        own = np.cumsum(total[begin:end])
        if len(own) == 0 or own[-1] == 0:
            without.append(i)
        else:
            total[begin:end] = own / own[-1]
    return total, without


def among_shares(
    flat: np.ndarray,
    bounds: np.ndarray,
    total: np.ndarray,
    firsts: np.ndarray,
    shapes: np.ndarray,
    which: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Draw first a label of the subject by its share, then one of its voxels: (n, 3) int64.

    Args:
        flat: (k,) flat indices, subject after subject, label after label.
        bounds: (L + 1,), where each label of each subject begins in ``flat``, and its length.
        total: (L,) of :func:`shares_of_labels`.
        firsts: (S + 1,), where each subject begins in ``bounds``, and L.
        shapes: (S, 3).
        which: (n,).
        rng: the only source of chance.
    """
    ascending = total + np.repeat(np.arange(len(firsts) - 1), np.diff(firsts))
    aimed = np.minimum(which + rng.random(len(which)), np.nextafter(which + 1.0, 0.0))  # the sum may round up
    label = np.searchsorted(ascending, aimed, side="right")  # never one without a share: it ends where it begins
    return unravel(flat[rng.integers(bounds[label], bounds[label + 1])], shapes[which])


def some_of_each(
    bounds: np.ndarray, values: np.ndarray, n: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw up to n voxels of each label of each subject, none twice; all where there are fewer, none of a negative one.

    Args:
        bounds: (L + 1,), where each label of each subject begins in the flat indices.
        values: (L,) labels.
        n: voxels of each.
        rng: the only source of chance.

    Returns:
        (k,) places in the flat indices, label after label, and (k,) the entry of ``values`` each belongs to.
    """
    entries = np.flatnonzero(values >= 0)
    drawn = []
    for i in entries:
        length = int(bounds[i + 1] - bounds[i])
        own = np.arange(length) if length <= n else rng.choice(length, n, replace=False, shuffle=False)
        drawn.append(bounds[i] + own)
    counts = [len(own) for own in drawn]
    return np.concatenate([np.empty(0, np.int64), *drawn]), np.repeat(entries, counts)


def among_weighted(
    flat: np.ndarray,
    total: np.ndarray,
    begins: np.ndarray,
    shapes: np.ndarray,
    which: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Draw by inversion of the cumulative weight: (n, 3) int64.

    Args:
        flat: (k,) flat indices, subject after subject.
        total: (k,) subject number plus the cumulative weight within it, so ascending over all subjects.
        begins: (S + 1,), where each subject begins in ``flat``, and its length.
        shapes: (S, 3).
        which: (n,).
        rng: the only source of chance.
    """
    found = np.searchsorted(total, which + rng.random(len(which)), side="right")
    return unravel(flat[np.clip(found, begins[which], begins[which + 1] - 1)], shapes[which])


def unravel(flat: np.ndarray, shapes: np.ndarray) -> np.ndarray:
    """Give the voxel indices (n, 3) int64 of flat indices (n,) into volumes of shapes (n, 3)."""
    rows, z = np.divmod(np.asarray(flat, np.int64), shapes[:, 2])
    x, y = np.divmod(rows, shapes[:, 1])
    return np.stack([x, y, z], axis=1)


def _alone(volume: np.ndarray) -> np.ndarray:
    return np.array([volume.shape])


def _positions(length: int, size: int, step: int) -> np.ndarray:
    """Centers along one axis; a patch of size s about c begins at c - s // 2."""
    if size >= length:
        return np.array([length // 2], np.int64)
    starts = np.arange(0, length - size, step)
    return np.append(starts, length - size).astype(np.int64) + size // 2
