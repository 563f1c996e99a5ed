"""Means, differences and shares with their uncertainty."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

N_BOOT_AT_ONCE = 256


class Interval(NamedTuple):
    """An estimate and the interval about it.

    Attributes:
        mean: the estimate: a mean, a mean difference or a share.
        low: lower end; NaN when there is only one unit to draw from, which says nothing of the spread.
        high: upper end, likewise.
    """

    mean: float
    low: float
    high: float


def mean_interval(
    values: Sequence[float] | np.ndarray,
    level: float = 0.95,
    clusters: Sequence[object] | np.ndarray | None = None,
    *,
    n_boot: int = 2000,
    seed: int = 0,
) -> Interval:
    """Give the mean with a percentile bootstrap interval (Efron and Tibshirani 1993, chapter 13).

    Values that belong together (points of one subject, subjects of one site) are drawn together: without ``clusters``
    the interval of such values is too narrow.

    Args:
        values: (N,), without NaN.
        level: how often the interval should cover the truth, for example 0.95.
        clusters: (N,) which unit each value belongs to; each value is its own without it.
        n_boot: draws.
        seed: of the draws.
    """
    sample = np.asarray(values, float).reshape(-1)
    _check_level(level)
    if len(sample) == 0 or np.isnan(sample).any():
        raise ValueError(f"expected numbers to average; got {len(sample)} with {np.isnan(sample).sum()} NaN")
    if clusters is None:
        unit = np.arange(len(sample))
    else:
        if len(clusters) != len(sample):
            raise ValueError(f"expected a cluster for each of {len(sample)} values; got {len(clusters)}")
        unit = np.unique(np.asarray([str(c) for c in clusters]), return_inverse=True)[1]
    totals, sizes = np.bincount(unit, sample), np.bincount(unit).astype(float)
    mean = float(sample.mean())
    if len(sizes) < 2:
        return Interval(mean, float("nan"), float("nan"))
    rng = np.random.default_rng(seed)
    means = np.empty(n_boot)
    for start in range(0, n_boot, N_BOOT_AT_ONCE):  # in pieces, so that many values do not fill the memory
        drawn = rng.integers(0, len(sizes), (min(N_BOOT_AT_ONCE, n_boot - start), len(sizes)))
        means[start : start + len(drawn)] = totals[drawn].sum(1) / sizes[drawn].sum(1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(mean, float(low), float(high))


def paired_difference_interval(
    a: Sequence[float] | np.ndarray,
    b: Sequence[float] | np.ndarray,
    level: float = 0.95,
    clusters: Sequence[object] | np.ndarray | None = None,
    *,
    n_boot: int = 2000,
    seed: int = 0,
) -> Interval:
    """Give the mean of a - b, two measurements of the same N units, with its interval as :func:`mean_interval`."""
    first, second = np.asarray(a, float), np.asarray(b, float)
    if first.shape != second.shape:
        raise ValueError(f"paired values come in equal numbers; got {first.shape} and {second.shape}")
    return mean_interval(first - second, level, clusters, n_boot=n_boot, seed=seed)


def wilson_interval(n_successes: int, n_trials: int, level: float = 0.95) -> Interval:
    """Give a share with Wilson's score interval (JASA 1927), which stays in 0..1 and is right for few trials too."""
    _check_level(level)
    if not 0 <= n_successes <= n_trials or n_trials == 0:
        raise ValueError(f"expected 0 to n successes of n > 0 trials; got {n_successes} of {n_trials}")
    z2 = NormalDist().inv_cdf((1 + level) / 2) ** 2
    share = n_successes / n_trials
    center = (share + z2 / (2 * n_trials)) / (1 + z2 / n_trials)
    half = (z2 * (share * (1 - share) / n_trials + z2 / (4 * n_trials**2))) ** 0.5 / (1 + z2 / n_trials)
    return Interval(share, max(0.0, center - half), min(1.0, center + half))


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"a level lies between 0 and 1; got {level}")
