"""Overlap: by hand, by its laws, against MONAI and scikit-learn, and a loop over thresholds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from workbench.errors import CohortError, GeometryError
from workbench.metrics.overlap import overlap, threshold_sweep

SHAPE = (7, 6, 5)


def masks(seed: int, share: float = 0.4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.random(SHAPE) < share, rng.random(SHAPE) < share


def test_by_hand():
    predicted = np.array([1, 1, 1, 0, 0, 0, 0, 0], bool).reshape(2, 2, 2)
    truth = np.array([0, 1, 1, 1, 1, 0, 0, 0], bool).reshape(2, 2, 2)
    score = overlap(predicted, truth)
    assert (score.n_true, score.n_predicted) == (4, 3)
    assert score.dice == pytest.approx(4 / 7) and score.jaccard == pytest.approx(2 / 5)
    assert score.sensitivity == pytest.approx(2 / 4) and score.specificity == pytest.approx(3 / 4)
    assert score.ppv == pytest.approx(2 / 3) and score.relative_volume_difference == pytest.approx(-1 / 4)


@pytest.mark.parametrize("seed", range(5))
def test_as_scikit_learn_counts_it(seed: int):
    predicted, truth = masks(seed)
    (tn, fp), (fn, tp) = confusion_matrix(truth.ravel(), predicted.ravel())
    score = overlap(predicted, truth)
    assert score.sensitivity == pytest.approx(tp / (tp + fn)) and score.specificity == pytest.approx(tn / (tn + fp))
    assert score.ppv == pytest.approx(tp / (tp + fp)) and score.dice == pytest.approx(2 * tp / (2 * tp + fp + fn))
    assert score.jaccard == pytest.approx(score.dice / (2 - score.dice))


def test_as_monai_counts_it():
    import torch
    from monai.metrics import compute_dice, compute_iou

    predicted, truth = masks(0)
    pair = [torch.from_numpy(mask)[None, None].float() for mask in (predicted, truth)]
    score = overlap(predicted, truth)
    assert score.dice == pytest.approx(float(compute_dice(*pair)), abs=1e-6)
    assert score.jaccard == pytest.approx(float(compute_iou(*pair)), abs=1e-6)


def test_prediction_and_truth_in_exchange():
    predicted, truth = masks(1, 0.3)
    one, other = overlap(predicted, truth), overlap(truth, predicted)
    assert one.dice == other.dice and one.sensitivity == other.ppv and one.ppv == other.sensitivity
    assert one.sensitivity != one.ppv


def test_equal_masks_are_perfect_and_the_opposite_is_not():
    mask, _ = masks(2)
    best, worst = overlap(mask, mask), overlap(~mask, mask)
    assert (best.dice, best.sensitivity, best.specificity, best.ppv, best.relative_volume_difference) == (1, 1, 1, 1, 0)
    assert (worst.dice, worst.sensitivity, worst.specificity, worst.ppv) == (0, 0, 0, 0)


def test_a_share_of_nothing_is_no_number():
    some, none = masks(3)[0], np.zeros(SHAPE, bool)
    missed, made_up, both = overlap(none, some), overlap(some, none), overlap(none, none)
    assert missed.dice == 0 and missed.sensitivity == 0 and np.isnan(missed.ppv) and missed.specificity == 1
    assert missed.relative_volume_difference == -1
    assert made_up.dice == 0 and made_up.ppv == 0 and np.isnan(made_up.sensitivity)
    assert np.isnan(made_up.relative_volume_difference)
    assert np.isnan(both.dice) and np.isnan(both.jaccard) and both.specificity == 1
    assert np.isnan(overlap(~none, ~none).specificity)


def test_within_a_mask_is_the_score_of_its_voxels_alone():
    predicted, truth = masks(4)
    inside = np.random.default_rng(9).random(SHAPE) < 0.5
    assert overlap(predicted, truth, inside) == overlap(predicted[inside], truth[inside]) != overlap(predicted, truth)


def test_air_about_a_head_raises_specificity_and_nothing_else():
    predicted, truth = masks(5)
    wide = [np.pad(mask, 4) for mask in (predicted, truth)]
    one, other = overlap(predicted, truth), overlap(*wide)
    assert other.specificity > one.specificity and other.dice == one.dice and other.ppv == one.ppv


def test_masks_of_numbers_are_what_is_not_0():
    predicted, truth = masks(6)
    assert overlap(predicted * 255, truth * 0.5) == overlap(predicted, truth)


def test_other_shapes_and_values_that_are_none_are_sentences():
    mask = np.ones((4, 4, 3), bool)
    with pytest.raises(GeometryError, match="prediction has 4 × 4 × 3 voxels but the truth has 4 × 4; resample"):
        overlap(mask, mask[..., 0])
    with pytest.raises(GeometryError, match="mask to score within has 4 × 4 × 2"):
        overlap(mask, mask, mask[..., :2])
    hole = np.where(np.arange(48).reshape(4, 4, 3) == 5, np.nan, 1.0)
    with pytest.raises(CohortError, match="predicted mask holds 1 voxels that are not numbers"):
        overlap(hole, mask)
    with pytest.raises(CohortError, match="true mask"):
        overlap(mask, hole)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_a_sweep_is_a_loop_over_thresholds(kind: type):
    rng = np.random.default_rng(0)
    probability = rng.integers(0, 11, SHAPE).astype(kind) / kind(10)  # voxels exactly at thresholds
    truth, inside = rng.random(SHAPE) < 0.4, rng.random(SHAPE) < 0.7
    thresholds = [0.5, 0.7, 0.0, 1.0, 0.3, 0.3, 1.5, -1.0, 0.95]
    for within in (None, inside):
        rows = threshold_sweep(probability, truth, thresholds, within)
        assert [row.threshold for row in rows] == thresholds
        for row in rows:
            one = overlap(probability >= kind(row.threshold), truth, within)
            assert np.array_equal(row[1:], [one.dice, one.sensitivity, one.specificity, one.ppv], equal_nan=True)
    assert np.isnan(threshold_sweep(probability, truth, [1.5])[0].ppv)


def test_raising_the_threshold_trades_sensitivity_for_specificity():
    rng = np.random.default_rng(1)
    rows = threshold_sweep(rng.random(SHAPE, np.float32), rng.random(SHAPE) < 0.3, np.linspace(0, 1, 41))
    sensitivity, specificity = np.array([(row.sensitivity, row.specificity) for row in rows]).T
    assert (np.diff(sensitivity) <= 0).all() and (np.diff(specificity) >= 0).all()
    assert (sensitivity[0], specificity[0], sensitivity[-1], specificity[-1]) == (1, 0, 0, 1)


def test_a_sweep_wants_numbers_where_it_looks():
    probability, truth = np.full(SHAPE, 0.5, np.float32), np.ones(SHAPE, bool)
    probability[0] = np.nan
    with pytest.raises(CohortError, match="30 of 210 probabilities are not numbers"):
        threshold_sweep(probability, truth, [0.5])
    assert threshold_sweep(probability, truth, [0.5], ~np.isnan(probability))[0].dice == 1
    with pytest.raises(ValueError, match="expected thresholds"):
        threshold_sweep(probability, truth, [])


@pytest.mark.real
def test_best_thresholds_of_real_images_are_those_found_before(real_data: Path):
    from workbench.imaging.nifti import read_nifti

    known = {  # best Dice of any threshold on FLAIR, as noted beside the data when they were gathered
        ("ms_ljubljana/patient19_FLAIR", "ms_ljubljana/patient19_lesion"): 0.64,
        ("brats2015_deepmedic/pat3_Flair", "brats2015_deepmedic/pat3_seg"): 0.88,
    }
    for (image, labels), dice in known.items():
        flair, truth = (read_nifti(real_data / f"{name}.nii.gz").data[0] for name in (image, labels))
        rows = threshold_sweep(flair, truth, np.linspace(flair.min(), flair.max(), 400))
        assert max(row.dice for row in rows) == pytest.approx(dice, abs=0.006)
