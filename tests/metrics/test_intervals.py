"""Intervals: by coverage, by hand, and against published values."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.metrics.intervals import mean_interval, paired_difference_interval, wilson_interval


def test_covers_the_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = 0
    for seed in range(200):
        _, low, high = mean_interval(rng.normal(5, 2, 40), 0.9, n_boot=400, seed=seed)
        hits += low <= 5 <= high
    assert 0.83 <= hits / 200 <= 0.95


def test_clusters_widen_the_interval_of_values_that_belong_together():
    rng = np.random.default_rng(0)
    subject = np.repeat(np.arange(12), 50)
    values = rng.normal(size=12)[subject] + 0.1 * rng.normal(size=600)
    alone, together = mean_interval(values), mean_interval(values, clusters=subject)
    assert together.mean == alone.mean == pytest.approx(values.mean())
    assert together.high - together.low > 4 * (alone.high - alone.low)


def test_clusters_of_one_are_the_plain_bootstrap():
    values = np.random.default_rng(0).normal(size=30)
    names = [f"s{i:02}" for i in range(30)]
    assert mean_interval(values, clusters=names) == mean_interval(values)


def test_clusters_weigh_by_their_size():
    _, low, high = mean_interval([0, 0, 0, 1], clusters=["a", "a", "a", "b"], level=0.999)
    assert (low, high) == (0, 1)


def test_equal_values_have_no_spread_and_one_unit_none_that_is_known():
    assert mean_interval([2.0] * 5) == (2, 2, 2)
    assert np.isnan(mean_interval([2.0, 3.0], clusters=["a", "a"]).low)


def test_same_seed_same_interval():
    values = np.random.default_rng(0).normal(size=30)
    assert mean_interval(values, seed=3) == mean_interval(values, seed=3) != mean_interval(values, seed=4)


def test_paired_difference_ignores_what_units_share():
    rng = np.random.default_rng(0)
    unit = rng.normal(0, 10, 50)
    a, b = unit + 1 + 0.1 * rng.normal(size=50), unit + 0.1 * rng.normal(size=50)
    mean, low, high = paired_difference_interval(a, b)
    assert 0.9 < low < mean < high < 1.1
    assert paired_difference_interval(b, a).mean == -mean


@pytest.mark.parametrize(
    ("n", "of", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_agrees_with_newcombe_1998(n, of, low, high):
    share, lower, upper = wilson_interval(n, of)  # Newcombe, Statistics in Medicine 17:857, Table I, method 3
    assert share == n / of
    assert (lower, upper) == pytest.approx((low, high), abs=5e-5)


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="1 NaN"):
        mean_interval([1.0, float("nan")])
    with pytest.raises(ValueError, match="0 to n successes"):
        wilson_interval(3, 2)
    with pytest.raises(ValueError, match="between 0 and 1"):
        mean_interval([1.0, 2.0], 95)
    with pytest.raises(ValueError, match="a cluster for each of 2"):
        mean_interval([1.0, 2.0], clusters=["a"])
    with pytest.raises(ValueError, match="equal numbers"):
        paired_difference_interval([1.0, 2.0], [1.0])
