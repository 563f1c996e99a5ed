"""Label maps: every structure as its masks alone, summaries as the mean of subjects, worst cases first."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from workbench.errors import CohortError, GeometryError, SettingsError
from workbench.metrics.intervals import mean_interval
from workbench.metrics.lesions import lesion_scores
from workbench.metrics.overlap import overlap
from workbench.metrics.segmentation import (
    BRATS_COMPOSITES,
    BRATS_NAMES,
    SCORES,
    n_scored,
    score_label_maps,
    summarize_scores,
    worst_first,
)
from workbench.metrics.surface_distance import surface_distances

SPACING = (0.8, 1.0, 2.5)


def maps(n_labels: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw smooth label maps with label 0 about them, the prediction moved and spoilt a little."""
    rng = np.random.default_rng(seed)
    truth = np.zeros((16, 14, 12), np.int16)
    truth[2:-2, 2:-2, 2:-2] = rng.integers(1, n_labels + 1, (3, 5, 4)).repeat(4, 0).repeat(2, 1).repeat(2, 2)
    predicted = np.roll(truth, 1, 0)
    spoilt = rng.random(truth.shape) < 0.05
    predicted[spoilt] = rng.integers(0, n_labels + 1, int(spoilt.sum()))
    return predicted, truth


@pytest.mark.parametrize("masked", [False, True])
def test_each_structure_is_scored_as_its_masks_alone(masked: bool):
    predicted, truth = maps()
    inside = np.random.default_rng(1).random(truth.shape) < 0.8 if masked else None
    scored = score_label_maps(
        predicted, truth, SPACING, BRATS_NAMES, composites=BRATS_COMPOSITES, lesions=True, within=inside
    )
    members = {name: (value,) for value, name in BRATS_NAMES.items()} | dict(BRATS_COMPOSITES)
    assert list(scored) == list(members)
    for name, values in members.items():
        masks = [np.isin(labels, values) & (True if inside is None else inside) for labels in (predicted, truth)]
        common, far = overlap(*masks, inside), surface_distances(*masks, SPACING)
        counted = lesion_scores(*masks, SPACING)
        expected = {score: getattr(common, score) for score in vars(common) if score in SCORES} | {
            "volume_difference": abs(common.relative_volume_difference),
            "true_ml": common.n_true * 0.002,
            "predicted_ml": common.n_predicted * 0.002,
            "mean_surface_mm": far.mean_mm,
            "hd95_mm": far.hd95_mm,
            "ltpr": counted.ltpr,
            "lfpr": counted.lfpr,
            "n_true_lesions": counted.n_true,
            "n_false_lesions": counted.n_false,
        }
        assert scored[name] == pytest.approx(expected) and set(scored[name]) == set(SCORES)
        assert 0 < scored[name]["dice"] < 1 and scored[name]["hd95_mm"] > 0


def test_regions_of_a_tumor_by_hand():
    truth = np.array([0, 1, 2, 2, 3, 4, 4, 0]).reshape(2, 2, 2)
    predicted = np.array([0, 1, 2, 0, 2, 4, 1, 0]).reshape(2, 2, 2)
    scored = score_label_maps(predicted, truth, SPACING, {}, composites=BRATS_COMPOSITES)
    assert scored["complete tumor"]["dice"] == pytest.approx(2 * 5 / 11)
    assert scored["tumor core"]["dice"] == pytest.approx(2 * 3 / 7)
    assert scored["enhancing tumor"]["dice"] == pytest.approx(2 * 1 / 3) == scored["4"]["dice"]
    assert list(scored)[:4] == ["1", "2", "3", "4"]


def test_a_confused_label_costs_its_own_structures_only():
    _, truth = maps()
    predicted = np.where(truth == 1, 3, truth)
    scored = score_label_maps(predicted, truth, SPACING, BRATS_NAMES, composites=BRATS_COMPOSITES)
    right = {name for name, scores in scored.items() if scores["dice"] == 1 and scores["hd95_mm"] == 0}
    assert right == {"edema", "enhancing", "complete tumor", "tumor core", "enhancing tumor"}
    assert scored["necrosis"]["dice"] == 0 and scored["non-enhancing"]["sensitivity"] == 1


def test_the_order_of_axes_is_nothing_to_the_scores():
    predicted, truth = maps()
    turned = score_label_maps(predicted.transpose(2, 0, 1)[::-1], truth.transpose(2, 0, 1)[::-1], (2.5, 0.8, 1.0), {})
    plain = score_label_maps(predicted, truth, SPACING, {})
    for name, scores in plain.items():
        assert turned[name] == pytest.approx(scores)


def test_labels_of_one_name_are_one_structure_and_values_without_one_are_not_scored():
    predicted, truth = maps()
    scored = score_label_maps(predicted, truth, SPACING, {1: "white", 3: "white", 2: "gray"})
    both = score_label_maps(np.isin(predicted, (1, 3)), np.isin(truth, (1, 3)), SPACING, {1: "white"})
    assert list(scored) == ["white", "gray"] and scored["white"] == pytest.approx(both["white"])


def test_background_may_be_a_structure():
    predicted, truth = maps()
    scored = score_label_maps(predicted, truth, SPACING, {0: "outside", 1: "inside"})
    assert scored["outside"]["dice"] == pytest.approx(overlap(predicted == 0, truth == 0).dice)


def test_labels_that_are_missing():
    predicted, truth = maps(3)
    predicted[predicted == 2] = 0
    scored = score_label_maps(predicted, truth, SPACING, {1: "a", 2: "b", 9: "c"}, lesions=True)
    assert scored["b"]["dice"] == 0 and scored["b"]["ltpr"] == 0 and np.isnan(scored["b"]["hd95_mm"])
    assert np.isnan(scored["c"]["dice"]) and np.isnan(scored["c"]["ltpr"]) and scored["c"]["true_ml"] == 0
    assert scored["c"]["specificity"] == 1 and np.isfinite(scored["a"]["hd95_mm"])
    assert score_label_maps(np.zeros((3, 3, 3)), np.zeros((3, 3, 3)), SPACING, {}) == {}


def test_one_voxel_and_stored_number_types():
    truth = np.zeros((9, 9, 9), np.uint8)
    predicted = np.zeros((9, 9, 9), np.float32)
    truth[4, 4, 4], predicted[4, 4, 5] = 7, 7
    scored = score_label_maps(predicted, truth, SPACING, {}, lesions=True)["7"]
    assert (scored["dice"], scored["mean_surface_mm"], scored["hd95_mm"], scored["ltpr"]) == (0, 2.5, 2.5, 0)


def test_one_slice_is_scored_as_a_picture():
    predicted, truth = (labels[..., 5:6] for labels in maps())
    thick, flat = (
        score_label_maps(predicted, truth, SPACING, {}),
        {str(k): surface_distances(predicted[..., 0] == k, truth[..., 0] == k, SPACING[:2]) for k in (1, 2, 3, 4)},
    )
    for name, distances in flat.items():
        assert thick[name]["mean_surface_mm"] == pytest.approx(distances.mean_mm)


def test_what_a_user_brings_wrong_is_a_sentence():
    predicted, truth = maps()
    with pytest.raises(GeometryError, match="prediction has 16 × 14 × 11 voxels but the truth has 16 × 14 × 12"):
        score_label_maps(predicted[..., 1:], truth, SPACING, {})
    with pytest.raises(GeometryError, match="mask to score within"):
        score_label_maps(predicted, truth, SPACING, {}, within=truth[1:] > 0)
    with pytest.raises(CohortError, match=r"predicted label map holds \d\.5"):
        score_label_maps(predicted * 0.5, truth, SPACING, {})
    with pytest.raises(CohortError, match="true label map holds nan"):
        score_label_maps(predicted, np.where(truth == 1, np.nan, truth), SPACING, {})
    with pytest.raises(GeometryError, match="have no volume"):
        score_label_maps(predicted, truth, (1, 1, 0), {})
    with pytest.raises(SettingsError, match="'tumor core'"):
        score_label_maps(predicted, truth, SPACING, {1: "tumor core"}, composites=BRATS_COMPOSITES)


def cohort(n: int = 7) -> dict[str, dict[str, dict[str, float]]]:
    return {f"s{i}": score_label_maps(*maps(seed=i), SPACING, {1: "a", 2: "b"}) for i in range(n)}


def test_a_summary_is_the_mean_of_subjects_with_its_interval():
    by_subject = cohort()
    summary = summarize_scores(by_subject, seed=3)
    for structure in ("a", "b"):
        for score in ("dice", "hd95_mm"):
            values = [scores[structure][score] for scores in by_subject.values()]
            assert summary[structure][score] == pytest.approx(mean_interval(values, clusters=list(by_subject), seed=3))
            assert min(values) < summary[structure][score].low < summary[structure][score].high < max(values)
    assert summary == summarize_scores(by_subject, seed=3) != summarize_scores(by_subject, seed=4)


def test_subjects_of_one_group_are_drawn_together():
    by_subject = {f"p{i}-{j}": {"a": {"dice": 0.1 * i + 0.001 * j}} for i in range(5) for j in range(20)}
    alone = summarize_scores(by_subject)["a"]["dice"]
    together = summarize_scores(by_subject, groups={s: s.split("-")[0] for s in by_subject})["a"]["dice"]
    assert alone.mean == pytest.approx(together.mean)
    assert together.high - together.low > 3 * (alone.high - alone.low)
    some = {"s1": {"a": {"dice": 0.0}}, "s2": {"a": {"dice": 1.0}}}
    assert np.isnan(summarize_scores(some, groups=dict.fromkeys(some, "x"))["a"]["dice"].low)
    a_group_called_as_a_subject = summarize_scores(some, groups={"s1": "s2"})["a"]["dice"]
    assert (a_group_called_as_a_subject.low, a_group_called_as_a_subject.high) == (0, 1)


def test_scores_without_meaning_leave_the_mean_and_are_counted():
    nan = float("nan")
    by_subject = {
        "s1": {"a": {"dice": 0.5, "hd95_mm": 4.0}},
        "s2": {"a": {"dice": 0.0, "hd95_mm": nan}, "b": {"dice": nan}},
        "s3": {"a": {"dice": 0.7, "hd95_mm": 2.0}},
    }
    summary = summarize_scores(by_subject)
    assert summary["a"]["hd95_mm"].mean == 3 and summary["a"]["dice"].mean == pytest.approx(0.4)
    assert np.isnan(summary["b"]["dice"]).all()
    assert n_scored(by_subject) == {"a": {"dice": 3, "hd95_mm": 2}, "b": {"dice": 0}}


def test_worst_first():
    nan = float("nan")
    columns = {
        "good": (0.9, 1.0, 0.1),
        "too small": (0.6, 3.0, -0.6),
        "too large": (0.7, 9.0, 0.5),
        "missed": (0.0, nan, -1.0),
        "nothing there": (nan, nan, nan),
    }
    names = ("dice", "hd95_mm", "relative_volume_difference")
    by_subject = {who: {"a": dict(zip(names, values, strict=True))} for who, values in columns.items()}
    by_subject["unlabelled"] = {"b": {"dice": 0.1, "true_ml": 3.0}}

    def order(score: str) -> list[str]:
        return [who for who, _ in worst_first(by_subject, "a", score)]

    assert order("dice") == ["missed", "too small", "too large", "good", "nothing there"]
    assert order("hd95_mm") == ["missed", "too large", "too small", "good", "nothing there"]
    assert order("relative_volume_difference") == order("dice")
    assert worst_first(by_subject, "a", "dice")[1] == ("too small", 0.6)
    with pytest.raises(LookupError, match="nobody has a 'ppv' of 'a'"):
        worst_first(by_subject, "a", "ppv")
    with pytest.raises(LookupError, match="no value of 'true_ml' is better"):
        worst_first(by_subject, "b", "true_ml")


@pytest.mark.slow
def test_eight_structures_of_a_whole_head_take_seconds():
    truth = np.zeros((256, 256, 256), np.uint8)
    coordinate = np.ogrid[:256, :256, :256]
    for value in range(1, 9):
        center = [64 + 128 * (value - 1 >> i & 1) for i in range(3)]
        distance = sum((axis - at) ** 2 for axis, at in zip(coordinate, center, strict=True))
        truth[distance < 50**2] = value
    predicted = np.roll(truth, (3, 2, 1), (0, 1, 2))
    start = time.process_time()
    scored = score_label_maps(predicted, truth, (1, 1, 1), {}, lesions=True)
    assert time.process_time() - start < 12  # about 1.5 s on a core that has nothing else to do
    shift = np.sqrt(14)
    assert len(scored) == 8 and all(0 < scores["mean_surface_mm"] < shift for scores in scored.values())


@pytest.mark.real
def test_vertebrae_as_panoptica_published_them(real_data: Path):
    from workbench.imaging.nifti import read_nifti

    folder = real_data / "metrics_panoptica_spine"
    predicted, truth = (read_nifti(folder / f"matched_instance_{which}.nii.gz") for which in ("pred", "ref"))
    scored = score_label_maps(predicted.data[0], truth.data[0], truth.affine, {})
    assert len(scored) == 22
    matched = [scores for scores in scored.values() if scores["jaccard"] >= 0.5]
    assert len(matched) == 19
    jaccard, dice = (np.array([scores[name] for scores in matched]) for name in ("jaccard", "dice"))
    # SQ and its DSC form, as the tool's own tutorial prints them
    assert (jaccard.mean(), jaccard.std()) == pytest.approx((0.8328184295330798, 0.15186064004517466))
    assert (dice.mean(), dice.std()) == pytest.approx((0.900292616009954, 0.10253566174957332))
