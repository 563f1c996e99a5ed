"""Lesions: by hand, by their laws, and against counting with scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.measure import label

from workbench.errors import GeometryError
from workbench.metrics.lesions import FALSE, FOUND, MISSED, TOUCHING, label_pieces, lesion_map, lesion_scores

ISOTROPIC = (1, 1, 1)


def drawn(*boxes: tuple[slice, slice]) -> np.ndarray:
    mask = np.zeros((12, 12, 3), bool)
    for box in boxes:
        mask[(*box, 1)] = True
    return mask


def scene() -> tuple[np.ndarray, np.ndarray]:
    """Draw a lesion of 4 voxels that is found by a piece of 4, one of 9 that is missed, and a false piece of 1."""
    truth = drawn(np.s_[1:3, 1:3], np.s_[7:10, 7:10])
    predicted = drawn(np.s_[2:4, 2:4], np.s_[1:2, 8:9])
    return predicted, truth


def noise(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.random((16, 15, 14)) < 0.04, rng.random((16, 15, 14)) < 0.05


def test_by_hand():
    scores = lesion_scores(*scene(), ISOTROPIC)
    assert (scores.n_true, scores.n_found, scores.n_predicted, scores.n_false) == (2, 1, 2, 1)
    assert (scores.ltpr, scores.lfpr, scores.by_size) == (0.5, 0.5, ())


@pytest.mark.parametrize("seed", range(3))
def test_as_counting_piece_by_piece(seed: int):
    predicted, truth = noise(seed)
    guessed, true = label(predicted, connectivity=3), label(truth, connectivity=3)
    scores = lesion_scores(predicted, truth, ISOTROPIC)
    assert scores.n_true == true.max() and scores.n_predicted == guessed.max()
    assert scores.n_found == sum(predicted[true == i].any() for i in range(1, true.max() + 1)) > 0
    assert scores.n_false == sum(not truth[guessed == i].any() for i in range(1, guessed.max() + 1)) > 0
    assert scores.ltpr == scores.n_found / true.max() and scores.lfpr == scores.n_false / guessed.max()


def test_a_corner_holds_a_lesion_together():
    mask = np.zeros((4, 4, 4), bool)
    mask[0, 0, 0] = mask[1, 1, 1] = mask[2, 2, 1] = mask[2, 3, 1] = True
    assert label_pieces(mask)[1] == 1
    mask[1, 1, 1] = False
    assert label_pieces(mask)[1] == 2


def test_prediction_and_truth_in_exchange():
    predicted, truth = noise(3)
    one, other = lesion_scores(predicted, truth, ISOTROPIC), lesion_scores(truth, predicted, ISOTROPIC)
    assert one.n_found == other.n_predicted - other.n_false and one.n_false == other.n_true - other.n_found
    assert one.ltpr == pytest.approx(1 - other.lfpr)


def test_one_piece_may_find_several_and_several_may_find_one():
    two, across = drawn(np.s_[1:3, 1:3], np.s_[1:3, 6:8]), drawn(np.s_[2:3, 2:7])
    wide = lesion_scores(across, two, ISOTROPIC)
    assert (wide.n_found, wide.n_predicted, wide.n_false) == (2, 1, 0)
    split = lesion_scores(two, across, ISOTROPIC)
    assert (split.n_true, split.n_found, split.n_predicted, split.n_false) == (1, 1, 2, 0)


def test_nothing_to_find_and_nothing_found():
    some, none = scene()[1], np.zeros((12, 12, 3), bool)
    missed, made_up = lesion_scores(none, some, ISOTROPIC), lesion_scores(some, none, ISOTROPIC)
    assert missed.ltpr == 0 and np.isnan(missed.lfpr) and missed.n_predicted == 0
    assert made_up.lfpr == 1 and np.isnan(made_up.ltpr) and made_up.n_true == 0
    both = lesion_scores(none, none, ISOTROPIC)
    assert np.isnan(both.ltpr) and np.isnan(both.lfpr)


def test_each_range_of_volumes_counts_its_own():
    predicted, truth = scene()
    small, large = lesion_scores(predicted, truth, (1, 1, 2), sizes_mm3=(10,)).by_size
    assert small[:4] == (0, 10, 1, 0.5) and small[4:] == (1, 1, 2, 1)  # 4 voxels are 8 mm³
    assert large[:3] == (10, np.inf, 0) and np.isnan(large.lfpr) and large[4:] == (1, 0, 0, 0)
    at_the_edge, above = lesion_scores(predicted, truth, (1, 1, 2), sizes_mm3=(8,)).by_size
    assert at_the_edge.n_true == 0 and above.n_true == 2  # a range begins at its lower end


def test_a_volume_at_the_limit_counts_although_the_header_is_rounded():
    predicted, truth = scene()
    assert lesion_scores(predicted, truth, (0.99999994, 1, 1), min_volume_mm3=4) == lesion_scores(
        predicted, truth, ISOTROPIC, min_volume_mm3=4
    )


def test_ranges_add_up_and_the_affine_gives_the_volume():
    predicted, truth = noise(4)
    turned = np.diag([0.0, 0, 0, 1])
    turned[0, 1], turned[1, 0], turned[2, 2] = 2, -0.5, 3
    scores = lesion_scores(predicted, truth, turned, min_volume_mm3=2, sizes_mm3=(4, 7, 20))
    assert scores == lesion_scores(predicted, truth, (2, 0.5, 3), min_volume_mm3=2, sizes_mm3=(4, 7, 20))
    for field in ("n_true", "n_found", "n_predicted", "n_false"):
        assert sum(getattr(band, field) for band in scores.by_size) == getattr(scores, field)
    assert len({band.n_true for band in scores.by_size}) > 1


def test_small_lesions_are_neither_missed_nor_false_but_still_found():
    predicted, truth = scene()
    scores = lesion_scores(predicted, truth, ISOTROPIC, min_volume_mm3=2)
    assert (scores.n_true, scores.n_predicted, scores.n_false) == (2, 1, 0)
    speck = truth & predicted  # one true voxel, too small to count, under a prediction of 4
    scores = lesion_scores(predicted, speck, ISOTROPIC, min_volume_mm3=2)
    assert scores.n_true == 0 and (scores.n_predicted, scores.n_false) == (1, 0)


def test_the_map_shows_what_the_scores_count():
    predicted, truth = scene()
    fate = lesion_map(predicted, truth)
    assert fate.dtype == np.uint8
    assert fate[:4, :4, 1].tolist() == [[0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 1, 3], [0, 0, 3, 3]]
    assert (fate[7:10, 7:10, 1] == MISSED).all() and fate[1, 8, 1] == FALSE
    assert (fate > 0).sum() == (predicted | truth).sum()
    for seed in range(3):
        predicted, truth = noise(seed)
        fate, scores = lesion_map(predicted, truth), lesion_scores(predicted, truth, ISOTROPIC)
        n = {code: label_pieces(fate == code)[1] for code in (FOUND, MISSED, FALSE)}
        assert n[MISSED] == scores.n_true - scores.n_found and n[FOUND] == scores.n_found
        assert n[FALSE] == scores.n_false
        assert (np.isin(fate, (FOUND, MISSED)) == truth).all()
        assert (np.isin(fate, (TOUCHING, FALSE)) == (predicted & ~truth)).all()


def test_what_cannot_be_counted_is_said():
    predicted, truth = scene()
    with pytest.raises(GeometryError, match="12 × 12 × 2"):
        lesion_scores(predicted[..., :2], truth, ISOTROPIC)
    with pytest.raises(GeometryError, match="have no volume"):
        lesion_scores(predicted, truth, (1, 1, 0))
    for sizes in ((10, 5), (0.5, 5), (1, 1)):
        with pytest.raises(ValueError, match="ascending"):
            lesion_scores(predicted, truth, ISOTROPIC, min_volume_mm3=1, sizes_mm3=sizes)
