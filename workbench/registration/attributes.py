"""HAMMER's hand-made attribute vectors: what tissue a voxel is, what edge it lies on, what surrounds it.

The edge types and the share of each tissue in balls about the voxel follow the public ITK form of HAMMER; Shen and
Davatzikos (IEEE TMI 2002) use geometric moment invariants of the tissue maps at several scales, of which those shares
are the zeroth order. The first order, how far the tissue's center of mass lies from the voxel, is added: like the
zeroth it does not change when the image is turned.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.signal import fftconvolve

from workbench.registration.feature_rows import FeatureRows
from workbench.registration.tissue import tissue_fractions

RADII_MM = (2.0, 4.0, 8.0)
EDGE_TYPES = ("none", "middle-bright", "dark-bright", "dark-middle")  # in a T1 brain: WM-GM, WM-CSF, GM-CSF
LEAST_OF_NEIGHBORS = 1.0  # the tissue of an edge's other side, summed over the six neighbors


def attribute_rows(
    image: np.ndarray, mask: np.ndarray, spacing: Sequence[float] = (1.0, 1.0, 1.0), *,
    radii_mm: Sequence[float] = RADII_MM, fractions: np.ndarray | None = None,
) -> FeatureRows:  # fmt: skip
    """Describe each voxel of a mask by hand-made attributes.

    Args:
        image: (X, Y, Z).
        mask: (X, Y, Z) bool.
        spacing: mm along X, Y, Z.
        radii_mm: of the balls.
        fractions: (3, X, Y, Z), dark to bright, if the tissues are known already; otherwise they are segmented.

    Returns:
        Rows (N, 1 + 3 + 5 len(radii)): edge type 0 to 3; the three fractions; for each ball the shares of dark,
        middle and bright, and how far the centers of mass of dark and bright lie off, in radii.
    """
    if fractions is None:
        fractions = tissue_fractions(image, mask, spacing)
    if fractions.shape != (3, *mask.shape):
        raise ValueError(f"fractions are (3, X, Y, Z) like the mask {mask.shape}; got {fractions.shape}")
    columns = [edge_types(fractions)[mask].astype(np.float32), *fractions[:, mask]]
    for radius in radii_mm:
        columns += ball_moments(fractions, mask, radius, spacing)
    return FeatureRows(mask, np.stack(columns, axis=1).astype(np.float32), "attributes")


def edge_types(fractions: np.ndarray) -> np.ndarray:
    """Give the edge that each voxel lies on, an index into ``EDGE_TYPES``: (X, Y, Z) uint8.

    A voxel lies on an edge when another tissue than its own sums to at least 1 over its six neighbors; of two such
    tissues the larger counts. Outside the mask no voxel has any tissue and none is an edge.
    """
    inside = fractions.sum(axis=0) > 0
    own = fractions.argmax(axis=0)
    padded = np.pad(fractions, ((0, 0), (1, 1), (1, 1), (1, 1)))
    middle = slice(1, -1)
    sums = sum(
        padded[:, *[slice(1 + shift, padded.shape[a + 1] - 1 + shift) if a == axis else middle for a in range(3)]]
        for axis in range(3)
        for shift in (-1, 1)
    )
    others = np.where(own == np.arange(3)[:, None, None, None], -1.0, sums)
    other = others.argmax(axis=0)
    names = np.array([[0, 3, 2], [3, 0, 1], [2, 1, 0]], np.uint8)  # own tissue × other tissue
    return np.where(inside & (others.max(axis=0) >= LEAST_OF_NEIGHBORS), names[own, other], 0).astype(np.uint8)


def ball_moments(
    fractions: np.ndarray, mask: np.ndarray, radius_mm: float, spacing: Sequence[float]
) -> list[np.ndarray]:
    """Give the moments of the tissues in a ball about every voxel of a mask.

    Returns:
        Five columns (N,), 0 to 1: the shares of the three tissues; the distance of the center of mass of the darkest
        and of the brightest from the voxel, times its share, in radii.
    """
    reach = [int(radius_mm / s) for s in spacing]
    axes = [np.arange(-n, n + 1) * s for n, s in zip(reach, spacing, strict=True)]
    offsets = np.stack(np.meshgrid(*axes, indexing="ij")).astype(np.float32)  # (3, x, y, z) mm
    ball = ((offsets**2).sum(axis=0) <= radius_mm**2 + 1e-6).astype(np.float32)
    size = ball.sum()
    columns = [np.clip(_around(f, ball)[mask] / size, 0, 1) for f in fractions]
    for tissue in (fractions[0], fractions[2]):
        arms = [_around(tissue, ball * offset)[mask] / (size * radius_mm) for offset in offsets]
        columns.append(np.clip(np.sqrt(sum(a * a for a in arms)), 0, 1))
    return columns


def _around(values: np.ndarray, window: np.ndarray) -> np.ndarray:
    """Sum values times a window laid about each voxel: (X, Y, Z)."""
    summed: np.ndarray = fftconvolve(values, window[::-1, ::-1, ::-1], mode="same").astype(np.float32)
    return summed
