"""Tissue fractions of an image whose bright-dark order is unknown: the segmentation under HAMMER's attributes.

A mixture of Gaussians of one width is fitted to the intensities inside the mask (with widths of their own the dark
class swallows the borders of the others), and a voxel's share of each class also listens to its six neighbors (mean-
field approximation of a Potts model; Zhang, Brady and Smith, IEEE TMI 2001). A slow field of brightness is taken out
between rounds. Classes are numbered by their brightness: in a T1 image of a brain without skull cerebrospinal fluid,
grey and white matter; elsewhere, as in a crop about the hippocampus, simply dark, middle and bright.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import gaussian_filter

N_CLASSES = 3
BIAS_MM = 30.0
MOST_SAMPLES = 200_000


def tissue_fractions(
    image: np.ndarray, mask: np.ndarray, spacing: Sequence[float] = (1.0, 1.0, 1.0), *, n_rounds: int = 12,
    neighbor_weight: float = 0.4, remove_bias: bool = True,
) -> np.ndarray:  # fmt: skip
    """Segment an image into three classes of brightness.

    Args:
        image: (X, Y, Z).
        mask: (X, Y, Z) bool, the brain, or the whole of a crop.
        spacing: mm along X, Y, Z.
        n_rounds: of expectation and maximization.
        neighbor_weight: how much each of the six neighbors counts; 0 leaves every voxel alone.
        remove_bias: whether to take out a smooth field of brightness, of 30 mm.

    Returns:
        (3, X, Y, Z) float32, dark to bright, each voxel of the mask summing to 1; 0 outside.
    """
    fractions = np.zeros((N_CLASSES, *mask.shape), np.float32)
    if not mask.any():
        return fractions
    values = _scaled(np.asarray(image, np.float32), mask)
    means = _first_means(values[mask])
    spreads, shares = np.full(N_CLASSES, max(np.ptp(means) / 6, 1e-3)), np.full(N_CLASSES, 1 / N_CLASSES)
    bias = np.zeros(mask.shape, np.float32)
    for turn in range(n_rounds):
        inside = (values - bias)[mask]
        around = neighbor_weight * _neighbor_sums(fractions)[:, mask] if turn else 0.0
        posterior = _posterior(inside, means, spreads, shares, around)
        fractions[:, mask] = posterior
        mass = posterior.sum(axis=1) + 1e-6
        means = (posterior * inside).sum(axis=1) / mass
        variance = float((posterior * (inside - means[:, None]) ** 2).sum() / mass.sum())
        spreads = np.full(N_CLASSES, np.sqrt(variance) + 1e-3)
        if remove_bias and 2 <= turn < n_rounds - 2:
            bias = _bias(values, mask, fractions, means, spreads, spacing)
    return fractions[np.argsort(means)]


def _scaled(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Bring the 1st and 99th percentile inside the mask to 0 and 1, and cut beyond by a fifth."""
    low, high = np.percentile(image[mask], [1, 99])
    return np.clip((image - low) / max(high - low, 1e-6), -0.2, 1.2).astype(np.float32)


def _first_means(values: np.ndarray) -> np.ndarray:
    """Three-means of the intensities, from the tertiles on."""
    some = values[:: max(1, len(values) // MOST_SAMPLES)]
    means = np.percentile(some, [15, 50, 85])
    for _ in range(30):
        owner = np.abs(some[:, None] - means).argmin(axis=1)
        means = np.array([some[owner == k].mean() if (owner == k).any() else means[k] for k in range(N_CLASSES)])
    return np.sort(means)


def _posterior(
    values: np.ndarray, means: np.ndarray, spreads: np.ndarray, shares: np.ndarray, around: np.ndarray | float
) -> np.ndarray:
    """Give the share of each class (3, N)."""
    z = (values - means[:, None]) / spreads[:, None]
    log = np.log(shares / spreads)[:, None] - 0.5 * z**2 + around
    log -= log.max(axis=0)
    posterior = np.exp(log)
    result: np.ndarray = (posterior / posterior.sum(axis=0)).astype(np.float32)
    return result


def _neighbor_sums(maps: np.ndarray) -> np.ndarray:
    """Sum each map (K, X, Y, Z) over the six neighbors."""
    total = np.zeros_like(maps)
    for axis in (1, 2, 3):
        ahead = [slice(None)] * 4
        behind = [slice(None)] * 4
        ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
        total[tuple(behind)] += maps[tuple(ahead)]
        total[tuple(ahead)] += maps[tuple(behind)]
    return total


def _bias(
    values: np.ndarray, mask: np.ndarray, fractions: np.ndarray, means: np.ndarray, spreads: np.ndarray,
    spacing: Sequence[float],
) -> np.ndarray:  # fmt: skip
    """Smooth what the class means do not explain, precise classes counting more (Wells, IEEE TMI 1996)."""
    precision = 1 / spreads**2
    weight = np.tensordot(precision, fractions, 1)
    residual = values * weight - np.tensordot(precision * means, fractions, 1)
    sigma = [BIAS_MM / s for s in spacing]
    top = gaussian_filter(np.where(mask, residual, 0), sigma, mode="constant")
    bottom = gaussian_filter(np.where(mask, weight, 0), sigma, mode="constant")
    bias: np.ndarray = (top / np.maximum(bottom, 1e-6)).astype(np.float32)
    return bias - bias[mask].mean()
