from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from workbench.errors import SettingsError
from workbench.imaging.cohort import Cohort
from workbench.phantoms.tumor import SEQUENCES, TumorCase, TumorPlan, make_tumor, tumor_arrays

COARSE = TumorPlan(spacing_mm=5.0)
CLEAN = replace(COARSE, bias=0.0, noise=0.0, mimics=0.0, n_scanners=1)


@lru_cache(maxsize=16)
def case_of(plan: TumorPlan, subject: int) -> TumorCase:
    return tumor_arrays(plan, subject)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return make_tumor(tmp_path_factory.mktemp("phantom") / "tumors", n_subjects=3, spacing_mm=5.0)


def digests(folder: Path) -> dict[str, str]:
    files = sorted(f for f in folder.rglob("*") if f.is_file())
    return {f.relative_to(folder).as_posix(): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def best_dice(image: np.ndarray, truth: np.ndarray) -> float:
    """The best Dice over all thresholds: voxels in order of falling intensity, counted up."""
    hits = np.cumsum(truth[np.argsort(-image, kind="stable")])
    return float((2 * hits / (np.arange(1, len(hits) + 1) + truth.sum())).max())


def test_the_cohort_has_four_sequences_labels_and_scanners(cohort: Cohort) -> None:
    assert cohort.modalities == list(SEQUENCES)
    assert [s.group for s in cohort] == ["tumor-01", "tumor-02", "tumor-03"]
    assert [s.covariates["scanner"] for s in cohort] == ["scanner-1", "scanner-2", "scanner-1"]
    assert cohort.label_names == {
        0: "background",
        1: "necrosis",
        2: "edema",
        3: "non-enhancing tumor",
        4: "enhancing tumor",
    }


def test_images_labels_and_mask_share_a_lattice_and_the_outside_is_zero(cohort: Cohort) -> None:
    for subject in cohort:
        for sequence in SEQUENCES:
            image = subject.volume(sequence)
            labels, mask = subject.label_map(image), subject.mask_array(image)
            assert labels is not None and mask is not None
            assert not image.data[0][~mask].any() and not labels[~mask].any()
            assert image.data[0][mask].mean() > 50


def test_truth_says_the_volumes_of_the_label_map(cohort: Cohort) -> None:
    truth = json.loads((cohort.path.parent / "truth.json").read_text())
    assert truth["plan"]["spacing_mm"] == 5.0 and len(truth["scanners"]) == 2
    for subject in cohort:
        labels = subject.label_map()
        assert labels is not None
        for value, name in cohort.label_names.items():
            if value:
                told = truth["subjects"][subject.name]["volume_ml"][name]
                assert told == pytest.approx((labels == value).sum() * 0.125, abs=1e-3)


def test_same_seed_same_bytes_whatever_stands_beside(cohort: Cohort, tmp_path: Path) -> None:
    again = make_tumor(tmp_path / "again", n_subjects=1, spacing_mm=5.0)
    mine = digests(again.path.parent / "tumor-01")
    assert mine == digests(cohort.path.parent / "tumor-01")
    other = make_tumor(tmp_path / "other", n_subjects=1, spacing_mm=5.0, seed=1)
    assert not set(digests(other.path.parent / "tumor-01").values()) & set(mine.values())


def test_files_hold_what_the_arrays_hold(cohort: Cohort) -> None:
    case = case_of(TumorPlan(spacing_mm=5.0), 1)
    for k, sequence in enumerate(SEQUENCES):
        assert np.abs(cohort["tumor-02"].volume(sequence).data[0] - case.images[k]).max() <= 0.5 + 1e-3
    assert np.array_equal(np.asarray(cohort["tumor-02"].label_map()), case.labels)


def test_contrasts_are_those_of_gliomas() -> None:
    case = case_of(CLEAN, 2)
    healthy = case.mask & (case.labels == 0)
    mean = {s: [np.median(i[case.labels == k]) for k in range(5)] for s, i in zip(SEQUENCES, case.images, strict=True)}
    assert mean["T1c"][4] > max(mean["T1c"][1:4]) and mean["T1c"][4] > np.percentile(case.images[1][healthy], 99)
    assert mean["T1"][1] < mean["T1"][2] < np.median(case.images[0][healthy])
    assert min(mean["FLAIR"][2:]) > np.percentile(case.images[3][healthy], 75)
    # CSF on T2 is as bright as edema, so that T2 alone cannot find it
    assert np.percentile(case.images[2][healthy], 99) > mean["T2"][2]


def test_an_enhancing_rim_is_edema_to_all_but_t1c() -> None:
    case = case_of(CLEAN, 2)
    rim, edema = case.labels == 4, case.labels == 2
    for k, sequence in enumerate(SEQUENCES):
        image = case.images[k]
        apart = abs(image[rim].mean() - image[edema].mean()) / np.sqrt((image[rim].var() + image[edema].var()) / 2)
        assert (apart > 2.5) if sequence == "T1c" else (apart < 2.5), (sequence, apart)


def test_no_global_threshold_solves_it() -> None:
    """Even chosen with the truth for each subject; upper limits on a coarse lattice, where vessels are blurred."""
    scores = {"whole": [], "enhancing": []}  # type: dict[str, list[float]]
    for i in range(4):
        case = case_of(COARSE, i)
        labels = case.labels[case.mask]
        scores["whole"].append(best_dice(case.images[3][case.mask], labels > 0))
        scores["enhancing"].append(best_dice(case.images[1][case.mask], labels == 4))
    assert 0.4 < np.mean(scores["whole"]) < 0.88, scores
    assert 0.1 < np.mean(scores["enhancing"]) < 0.85, scores


@pytest.mark.slow
def test_no_global_threshold_solves_it_at_two_millimeters() -> None:
    cases = [case_of(TumorPlan(), i) for i in range(5)]
    whole = [best_dice(c.images[3][c.mask], c.labels[c.mask] > 0) for c in cases]
    enhancing = [best_dice(c.images[1][c.mask], c.labels[c.mask] == 4) for c in cases]
    assert 0.6 < np.mean(whole) < 0.83 and 0.4 < np.mean(enhancing) < 0.65, (whole, enhancing)


def test_mimics_bias_and_noise_are_what_makes_it_hard() -> None:
    easy, usual = (case_of(plan, 2) for plan in (CLEAN, COARSE))
    assert np.array_equal(easy.labels, usual.labels)
    scores = [best_dice(c.images[3][c.mask], c.labels[c.mask] > 0) for c in (easy, usual)]
    assert scores[0] > scores[1] + 0.05


def test_scanners_change_the_appearance_only_and_only_by_their_dial() -> None:
    one, two = (case_of(replace(CLEAN, n_scanners=n), 1) for n in (1, 2))
    assert np.array_equal(one.labels, two.labels)
    for a, b in zip(one.images, two.images, strict=True):
        order = np.argsort(a[a > 0])
        there = b[a > 0][order]
        assert np.all(np.diff(there) > -1e-3 * there.max())  # monotone, so that histogram matching can undo it
        line = np.polyfit(a[a > 0], b[a > 0], 1)
        assert np.abs(np.polyval(line, a[a > 0]) - b[a > 0]).max() > 0.03 * b.max()  # but no scale and offset can
    alike = case_of(replace(CLEAN, n_scanners=2, scanner_difference=0.0), 1)
    also = case_of(replace(CLEAN, n_scanners=1, scanner_difference=0.0), 1)
    assert np.array_equal(alike.images, also.images)


def test_mixed_grades_alternate() -> None:
    cases = [case_of(TumorPlan(spacing_mm=5.0, grade="mixed"), i) for i in range(3)]
    assert [c.truth["grade"] for c in cases] == ["high", "low", "high"]
    assert not any((c.labels == 1).any() for c in cases[1::2])
    assert all((c.labels == 4).any() for c in cases[::2])


def test_mass_effect_is_a_dial() -> None:
    pushed, still = (case_of(replace(COARSE, mass_effect=m), 0).truth for m in (1.0, 0.0))
    assert still["largest_push_mm"] == 0 < 1 < pushed["largest_push_mm"]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"n_subjects": 0}, "from 1 to 999 subjects; got 0"),
        ({"seed": -1}, "seed must be 0 or more"),
        ({"grade": "III"}, "high, low or mixed; got 'III'"),
        ({"n_scanners": 0}, "from 1 to 99 scanners; got 0"),
        ({"bias": 3.0}, "bias must be from 0 to 2; got 3"),
        ({"noise": float("nan")}, "noise must be from 0 to 1; got nan"),
        ({"spacing_mm": 0.2}, "from 1 to 8 mm"),
    ],
)
def test_settings_out_of_bounds_are_sentences(tmp_path: Path, settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        make_tumor(tmp_path / "x", **settings)
    assert list(tmp_path.iterdir()) == []
