"""Judging a similarity vector: by hand, and by laws."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.metrics.correspondence import correspondence, peak_ratio, rank_of_truth, share_above

LINE = np.stack([np.arange(6.0) * 8, np.zeros(6), np.zeros(6)], axis=1)  # candidates 8 mm apart


def test_every_number_by_hand():
    #                 0    8    16   24   32   40 mm; truth at 15 mm is candidate 2
    scores = np.array([0.0, 0.9, 0.5, 0.7, 0.1, 0.3])
    found = correspondence(scores, LINE, (15, 0, 0), exclusion_mm=10)
    assert found.rank == 3
    assert found.share_above == 2 / 5
    assert found.distance_mm == pytest.approx(7)  # from 8 to 15
    # the peak at 8 mm excludes 0..18 mm, so the second is 0.7; the median is 0.4
    assert found.peak_ratio == pytest.approx((0.9 - 0.4) / (0.7 - 0.4))


def test_ties_share_their_mean_rank():
    assert rank_of_truth(np.array([3.0, 1, 1, 1, 0]), 1) == 3
    assert share_above(np.array([3.0, 1, 1, 1, 0]), 1) == 0.5


def test_a_constant_similarity_is_chance():
    found = correspondence(np.ones(6), LINE, (0, 0, 0))
    assert found.share_above == 0.5
    assert found.distance_mm == pytest.approx(LINE[:, 0].mean())
    assert np.isnan(found.peak_ratio)


@pytest.mark.parametrize("change", [np.exp, np.cbrt, lambda s: 7 * s - 3, lambda s: 1 / (1 + np.exp(-s))])
def test_rank_and_share_do_not_change_under_increasing_functions(change):
    rng = np.random.default_rng(0)
    places = rng.uniform(0, 60, (300, 3))
    scores = rng.integers(-20, 20, 300) / 10  # with ties
    before = correspondence(scores, places, (30, 30, 30))
    after = correspondence(change(scores), places, (30, 30, 30))
    assert (before.rank, before.share_above, before.distance_mm) == (after.rank, after.share_above, after.distance_mm)


def test_peak_ratio_does_not_change_under_straight_lines():
    rng = np.random.default_rng(1)
    places, scores = rng.uniform(0, 60, (300, 3)), rng.normal(size=300)
    assert peak_ratio(5 * scores - 11, places) == pytest.approx(peak_ratio(scores, places))


def test_peak_ratio_without_a_second_place_is_nan():
    assert np.isnan(peak_ratio(np.array([1.0, 2.0]), LINE[:2], exclusion_mm=10))


def test_a_single_candidate_is_the_truth():
    found = correspondence(np.array([1.0]), LINE[:1], (3, 4, 0))
    assert (found.rank, found.share_above, found.distance_mm) == (1, 0, 5)


def test_nan_is_refused():
    with pytest.raises(ValueError, match="1 similarities are NaN"):
        correspondence(np.array([1.0, np.nan]), LINE[:2], (0, 0, 0))


def test_shapes_are_checked():
    with pytest.raises(ValueError, match=r"expected N > 0 similarities"):
        correspondence(np.ones(3), LINE, (0, 0, 0))
