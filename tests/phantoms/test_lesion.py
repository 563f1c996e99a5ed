from __future__ import annotations

import csv
import hashlib
import json
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skimage.measure import label as skimage_label

from workbench.errors import SettingsError
from workbench.imaging.cohort import Cohort
from workbench.phantoms.lesion import (
    COLUMNS,
    SEQUENCES,
    LesionCase,
    LesionPlan,
    lesion_arrays,
    lesion_table,
    make_lesion,
)

COARSE = LesionPlan(spacing_mm=5.0)
CLEAN = replace(COARSE, load=(0.02, 0.02), bias=0.0, noise=0.0, mimics=0.0, halo=0.0)


@lru_cache(maxsize=16)
def case_of(plan: LesionPlan, subject: int) -> LesionCase:
    return lesion_arrays(plan, subject)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return make_lesion(tmp_path_factory.mktemp("phantom") / "lesions", n_subjects=3, spacing_mm=5.0)


def digests(folder: Path) -> dict[str, str]:
    files = sorted(f for f in folder.rglob("*") if f.is_file())
    return {f.relative_to(folder).as_posix(): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def best_dice(image: np.ndarray, truth: np.ndarray) -> float:
    """The best Dice over all thresholds: voxels in order of falling intensity, counted up."""
    hits = np.cumsum(truth[np.argsort(-image, kind="stable")])
    return float((2 * hits / (np.arange(1, len(hits) + 1) + truth.sum())).max())


def test_the_cohort_has_four_sequences_and_one_label(cohort: Cohort) -> None:
    assert cohort.modalities == list(SEQUENCES)
    assert cohort.label_names == {0: "background", 1: "lesion"}
    for subject in cohort:
        image = subject.volume("FLAIR")
        labels, mask = subject.label_map(image), subject.mask_array(image)
        assert labels is not None and mask is not None
        assert set(np.unique(labels)) == {0, 1} and not labels[~mask].any() and not image.data[0][~mask].any()


def test_load_is_within_bounds_and_told(cohort: Cohort) -> None:
    truth = json.loads((cohort.path.parent / "truth.json").read_text())
    for subject in cohort:
        labels, mask = subject.label_map(), subject.mask_array()
        assert labels is not None and mask is not None
        load = labels.sum() / mask.sum()
        assert 0.0008 < load < 0.031
        assert truth["subjects"][subject.name]["load"] == pytest.approx(load, abs=1e-5)
        assert float(subject.covariates["volume_ml"]) == pytest.approx(labels.sum() * 0.125, abs=1e-3)


def test_points_list_each_component_with_its_size(cohort: Cohort) -> None:
    for subject in cohort:
        labels = subject.label_map()
        assert labels is not None and subject.points is not None
        with subject.points.open(newline="") as stream:
            rows = list(csv.DictReader(stream))
        assert tuple(rows[0]) == COLUMNS
        named = skimage_label(labels, connectivity=3)
        to_voxel = np.linalg.inv(subject.volume("FLAIR").affine)
        found = set()
        for row in rows:
            voxel = np.rint(to_voxel @ [float(row["x"]), float(row["y"]), float(row["z"]), 1])[:3].astype(int)
            which = named[tuple(voxel)]
            volume = np.pi / 6 * float(row["diameter"]) ** 3
            assert which > 0 and volume == pytest.approx((named == which).sum() * 125, rel=1e-3)
            found.add(which)
        assert found == set(range(1, named.max() + 1)) and len(rows) == len(found)


def test_a_table_by_hand() -> None:
    labels = np.zeros((6, 6, 6), np.uint8)
    labels[0, 0, 0] = labels[1, 1, 1] = 1  # one lesion across a corner
    labels[4, 4, 2:5] = 1
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = (-10, 0, 5)
    sizes = [round((6 * n * 8 / np.pi) ** (1 / 3), 3) for n in (3, 2)]
    assert lesion_table(labels, affine) == [(-2.0, 8.0, 11.0, 1, sizes[0]), (-10.0, 0.0, 5.0, 1, sizes[1])]
    assert lesion_table(np.zeros((3, 3, 3)), affine) == []


def test_same_seed_same_bytes_whatever_stands_beside(cohort: Cohort, tmp_path: Path) -> None:
    again = make_lesion(tmp_path / "again", n_subjects=1, spacing_mm=5.0)
    mine = digests(again.path.parent / "lesion-01")
    assert mine == digests(cohort.path.parent / "lesion-01")
    other = make_lesion(tmp_path / "other", n_subjects=1, spacing_mm=5.0, seed=1)
    assert not set(digests(other.path.parent / "lesion-01").values()) & set(mine.values())


def test_files_hold_what_the_arrays_hold(cohort: Cohort) -> None:
    case = case_of(LesionPlan(spacing_mm=5.0), 1)
    for k, sequence in enumerate(SEQUENCES):
        assert np.abs(cohort["lesion-02"].volume(sequence).data[0] - case.images[k]).max() <= 0.5 + 1e-3
    assert np.array_equal(np.asarray(cohort["lesion-02"].label_map()), case.labels)


def test_lesions_have_the_contrasts_of_white_matter_disease() -> None:
    case = case_of(CLEAN, 0)
    lesion, healthy = case.labels > 0, case.mask & (case.labels == 0)
    bright = {s: float(np.median(i[lesion])) for s, i in zip(SEQUENCES, case.images, strict=True)}
    for k, sequence in enumerate(SEQUENCES):
        light, dark = np.percentile(case.images[k][healthy], (80, 20))  # white matter is lightest on T1
        assert (bright[sequence] < light) if sequence == "T1" else (bright[sequence] > 1.2 * dark)
    assert bright["FLAIR"] > np.percentile(case.images[3][healthy], 95)
    assert bright["T2"] < np.percentile(case.images[1][healthy], 99.5)  # CSF is brighter


def test_mimics_are_bright_on_flair_alone() -> None:
    plain, with_mimics = (case_of(replace(CLEAN, mimics=m), 0) for m in (0.0, 1.0))
    assert np.array_equal(plain.labels, with_mimics.labels)
    assert np.array_equal(plain.images[:3], with_mimics.images[:3])
    added = (with_mimics.images[3] - plain.images[3])[case_outside(plain)]
    assert added.min() > -1e-3 and added.max() > 60  # of 400 for signal 1


def test_mimics_cost_a_threshold_what_they_should() -> None:
    lost = []
    for i in range(3):
        plan = replace(CLEAN, load=(0.002, 0.002))
        cases = [case_of(replace(plan, mimics=m), i) for m in (0.0, 1.0)]
        plain, mimicked = (best_dice(c.images[3][c.mask], c.labels[c.mask] > 0) for c in cases)
        lost.append(plain - mimicked)
    assert min(lost) > 0 and np.mean(lost) > 0.04, lost


def case_outside(case: Any) -> np.ndarray:
    return case.mask & (case.labels == 0)


def test_a_halo_is_bright_and_not_lesion() -> None:
    none, halo = (case_of(replace(CLEAN, halo=h), 0) for h in (0.0, 1.0))
    gained = halo.images[3] - none.images[3]
    assert np.array_equal(none.labels, halo.labels)
    assert gained.min() > -1e-3 and gained[case_outside(none)].max() > 15


def test_no_global_threshold_on_flair_solves_it() -> None:
    """Even chosen with the truth for each subject; the upper limit that the module's docstring states at 2 mm."""
    scores = []
    for i in range(4):
        case = case_of(COARSE, i)
        scores.append(best_dice(case.images[3][case.mask], case.labels[case.mask] > 0))
    assert 0.3 < np.mean(scores) < 0.75, scores


@pytest.mark.slow
def test_no_global_threshold_on_flair_solves_it_at_two_millimeters() -> None:
    cases = [case_of(LesionPlan(), i) for i in range(5)]
    scores = [best_dice(c.images[3][c.mask], c.labels[c.mask] > 0) for c in cases]
    assert 0.45 < np.mean(scores) < 0.7, scores
    diameters = np.array([row[4] for c in cases for row in c.table])
    assert np.median(diameters) < 7 and 15 < diameters.max() < 40


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"n_subjects": 1000}, "from 1 to 999 subjects; got 1000"),
        ({"seed": -1}, "seed must be 0 or more"),
        ({"load": (0.03, 0.001)}, "the smaller first; got"),
        ({"load": (0.001, 0.5)}, "from 0.0005 to 0.05"),
        ({"n_scanners": 0}, "from 1 to 99 scanners; got 0"),
        ({"halo": -1.0}, "halo must be from 0 to 2; got -1"),
        ({"spacing_mm": 9.0}, "from 1 to 8 mm"),
    ],
)
def test_settings_out_of_bounds_are_sentences(tmp_path: Path, settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        make_lesion(tmp_path / "x", **settings)
    assert list(tmp_path.iterdir()) == []
