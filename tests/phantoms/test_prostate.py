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
from scipy.ndimage import label
from skimage.filters import threshold_multiotsu, threshold_otsu

from workbench.errors import SettingsError
from workbench.imaging.cohort import Cohort
from workbench.imaging.nifti import read_nifti
from workbench.phantoms.prostate import LANDMARKS, ProstateCase, ProstatePlan, make_prostate, prostate_arrays
from workbench.phantoms.prostate_appearance import KINDS, kind_of

SMALL = ProstatePlan(spacing_mm=2.0)
FINE = ProstatePlan(spacing_mm=1.25, slice_mm=1.25, noise=0.0, bias=0.0)  # thin slices, so that lines stay sharp


@lru_cache(maxsize=16)
def case_of(plan: ProstatePlan, subject: int) -> ProstateCase:
    return prostate_arrays(plan, subject)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return make_prostate(tmp_path_factory.mktemp("phantom") / "prostates", n_subjects=3, spacing_mm=3.0)


def planted(cohort: Cohort) -> dict[str, Any]:
    return json.loads((cohort.path.parent / "truth.json").read_text())


def digests(folder: Path) -> dict[str, str]:
    files = sorted(f for f in folder.rglob("*") if f.is_file())
    return {f.relative_to(folder).as_posix(): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * float((a & b).sum()) / float(a.sum() + b.sum())


def about(case: ProstateCase) -> tuple[np.ndarray, np.ndarray]:
    """Image and gland within a box 12 mm wider than the gland on each side."""
    gland = case.labels > 0
    places, more = np.argwhere(gland), np.ceil(12 / np.diag(case.affine)[:3]).astype(int)
    low, high = np.maximum(places.min(0) - more, 0), places.max(0) + more + 1
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    return case.image[box], gland[box]


def test_the_cohort_has_one_sequence_thick_slices_and_one_label(cohort: Cohort) -> None:
    assert cohort.modalities == ["T2"] and cohort.label_names == {0: "background", 1: "prostate"}
    for subject in cohort:
        image = subject.volume("T2")
        assert image.spacing == pytest.approx((3.0, 3.0, 3.0))
        labels = subject.label_map(image)
        assert labels is not None and set(np.unique(labels)) == {0, 1}
    np.testing.assert_allclose(np.diag(case_of(SMALL, 0).affine), [2, 2, 3, 1])


@pytest.mark.parametrize("subject", range(6))
def test_the_gland_is_one_piece_of_a_real_volume_away_from_the_border(subject: int) -> None:
    case = case_of(SMALL, subject)
    gland = case.labels > 0
    assert label(gland)[1] == 1
    assert 18 < case.truth["volume_ml"] < 85
    assert case.truth["volume_ml"] == pytest.approx(gland.sum() * 12 / 1000, abs=1e-3)
    low, high = np.argwhere(gland).min(0), np.array(gland.shape) - 1 - np.argwhere(gland).max(0)
    assert min(low.min(), high.min()) >= 1


def test_volumes_spread_over_the_real_range() -> None:
    volumes = [case_of(SMALL, i).truth["volume_ml"] for i in range(6)]
    assert max(volumes) > 1.4 * min(volumes) and 25 < np.median(volumes) < 65


def test_a_spread_of_zero_leaves_one_shape() -> None:
    plan = replace(SMALL, spacing_mm=3.0, shape_spread=0.0)
    cases = [prostate_arrays(plan, i) for i in range(2)]
    assert all(v == 0 for case in cases for v in case.truth["shape"].values())
    assert cases[0].truth["volume_ml"] == pytest.approx(cases[1].truth["volume_ml"], rel=0.06)


@pytest.mark.parametrize("subject", range(4))
def test_no_threshold_finds_the_gland(subject: int) -> None:
    image, gland = about(case_of(SMALL, subject))
    otsu, steps = threshold_otsu(image), threshold_multiotsu(image, 3)
    guesses = [image > otsu, image <= otsu, *(np.digitize(image, steps) == k for k in range(3))]
    assert max(dice(guess, gland) for guess in guesses) < 0.65
    levels = np.quantile(image, np.linspace(0, 1, 21))  # chosen with the truth: the best there is
    best = max(dice((image >= a) & (image <= b), gland) for k, a in enumerate(levels) for b in levels[k + 1 :])
    assert best < 0.7


@pytest.mark.parametrize("subject", [0, 1])
def test_capsule_sectors_show_what_the_truth_says(subject: int) -> None:
    case = case_of(FINE, subject)
    states = np.array([s for level in ("apex", "middle", "base") for s in case.truth["capsule"][level]])
    right = []
    for k, state in enumerate(states, start=1):
        mine, away = case.sectors == k, np.abs(case.distance_mm)
        on, off = case.image[mine & (away < 0.7)], case.image[mine & (away > 2.0)]
        if state != "absent" and len(on) > 20:
            right.append((on.mean() > off.mean()) == (state == "bright"))
    assert len(right) >= 12 and np.mean(right) > 0.9


def test_an_absent_capsule_takes_the_edge_with_it() -> None:
    steps = {}
    for share in (0.0, 1.0):
        case = case_of(replace(FINE, absent_share=share), 0)
        near = (np.abs(case.distance_mm) < 2.0) & (case.sectors > 0)
        edge = [np.gradient(case.image / case.image.max(), axis=a) for a in range(3)]
        steps[share] = float(np.sqrt(sum(e**2 for e in edge))[near].mean())
    assert steps[1.0] < 0.5 * steps[0.0]


def test_sectors_and_distance_agree_with_the_label() -> None:
    case = case_of(FINE, 0)
    assert set(np.unique(case.sectors)) == set(range(25))
    np.testing.assert_array_equal(case.sectors > 0, np.abs(case.distance_mm) < 3.0)
    assert ((case.distance_mm < 0) == (case.labels > 0)).mean() > 0.9999


def test_patients_are_of_two_kinds_one_of_each_in_every_two() -> None:
    drawn = [[kind_of(seed, i) for i in range(20)] for seed in range(4)]
    for kinds in drawn:
        assert all({kinds[2 * k], kinds[2 * k + 1]} == set(KINDS) for k in range(10))
        assert len(set(kinds[::2])) == 2  # in an order that is drawn


def test_the_kinds_differ_in_which_zone_is_brighter() -> None:
    plan = replace(SMALL, structures="zones", noise=0.0, bias=0.0, absent_share=0.0)
    found = {}
    for subject in (0, 1):
        case = prostate_arrays(plan, subject)
        deep = case.distance_mm < -2
        central, outer = (np.median(case.image[deep & (case.labels == k)]) for k in (1, 2))
        found[case.truth["kind"]] = outer / central
    assert found[KINDS[0]] > 1.3 and found[KINDS[1]] < 1.0


def test_zones_divide_the_gland() -> None:
    whole, zones = case_of(SMALL, 0), case_of(replace(SMALL, structures="zones"), 0)
    np.testing.assert_array_equal(zones.labels > 0, whole.labels > 0)
    np.testing.assert_array_equal(zones.image, whole.image)
    inner = (zones.labels == 1).sum() / (zones.labels > 0).sum()
    assert 0.15 < inner < 0.65
    back, front = (np.argwhere(zones.labels == k)[:, 1].mean() for k in (2, 1))
    assert back < front  # the peripheral zone lies behind


def test_landmarks_are_the_outermost_points(cohort: Cohort) -> None:
    truth = planted(cohort)["subjects"]
    for subject in cohort:
        assert subject.points is not None
        with subject.points.open(newline="") as stream:
            rows = list(csv.DictReader(stream))
        assert [int(r["class"]) for r in rows] == [1, 2, 3, 4, 5, 6]
        points = np.array([[float(r[a]) for a in "xyz"] for r in rows])
        np.testing.assert_allclose(points, [truth[subject.name]["landmarks_mm"][k] for k in LANDMARKS], atol=1e-3)
        image, labels = subject.volume("T2"), subject.label_map()
        assert labels is not None
        places = np.argwhere(labels > 0) @ image.affine[:3, :3].T + image.affine[:3, 3]
        for axis in range(3):  # the label counts voxels that are at least half full
            assert points[2 * axis, axis] == pytest.approx(places[:, axis].min(), abs=4.6)
            assert points[2 * axis + 1, axis] == pytest.approx(places[:, axis].max(), abs=4.6)


def test_headers_do_not_say_where_the_gland_is_and_poses_differ() -> None:
    cases = [case_of(SMALL, i) for i in range(4)]
    voxels = np.array([np.argwhere(c.labels > 0).mean(0) * [2, 2, 3] for c in cases])
    world = voxels + np.array([c.affine[:3, 3] for c in cases])
    assert np.ptp(voxels, axis=0).min() > 1 and np.ptp(world, axis=0).max() > 12
    assert np.ptp([c.truth["turn_deg"] for c in cases], axis=0).max() > 4


def test_sectors_are_written_and_found_from_the_table(cohort: Cohort) -> None:
    plan = ProstatePlan(spacing_mm=3.0)
    for i, subject in enumerate(cohort):
        written = read_nifti(subject.folder / subject.covariates["sectors"]).data[0]
        case = prostate_arrays(plan, i)
        np.testing.assert_array_equal(written, case.sectors)
        assert np.abs(subject.volume("T2").data[0] - case.image).max() <= 0.5 + 1e-3
        assert planted(cohort)["subjects"][subject.name] == case.truth
        assert subject.covariates["kind"] == case.truth["kind"]


def test_same_seed_same_bytes_whatever_stands_beside(cohort: Cohort, tmp_path: Path) -> None:
    mine = digests(cohort.path.parent / "prostate-01")
    fewer = make_prostate(tmp_path / "fewer", n_subjects=1, spacing_mm=3.0)
    assert digests(fewer.path.parent / "prostate-01") == mine
    other = make_prostate(tmp_path / "other", n_subjects=1, spacing_mm=3.0, seed=1)
    assert not set(digests(other.path.parent / "prostate-01").values()) & set(mine.values())


def test_one_seed_gives_one_anatomy_at_every_spacing() -> None:
    coarse, fine = case_of(replace(SMALL, spacing_mm=4.0), 0), case_of(SMALL, 0)
    assert coarse.truth["shape"] == fine.truth["shape"] and coarse.truth["capsule"] == fine.truth["capsule"]
    np.testing.assert_array_equal(coarse.affine[:3, 3], fine.affine[:3, 3])
    assert dice(coarse.labels > 0, fine.labels[::2, ::2] > 0) > 0.93


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"n_subjects": 0}, "from 1 to 999 subjects; got 0"),
        ({"seed": -1}, "seed must be 0 or more"),
        ({"structures": "lobes"}, "are gland or zones; got 'lobes'"),
        ({"spacing_mm": 8.0}, "0.5 to 4 mm in the plane; got 8"),
        ({"slice_mm": 0.1}, "0.5 to 8 mm thick; got 0.1"),
        ({"absent_share": 1.5}, "absent_share must be from 0 to 1; got 1.5"),
        ({"noise": -0.1}, "noise must be from 0 to 1"),
    ],
)
def test_settings_out_of_bounds_are_sentences(tmp_path: Path, settings: dict, sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        make_prostate(tmp_path / "x", **settings)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_thirty_glands_are_within_the_real_range() -> None:
    volumes = [prostate_arrays(replace(SMALL, seed=5), i).truth["volume_ml"] for i in range(30)]
    assert 18 < min(volumes) < 32 and 55 < max(volumes) < 85 and 33 < np.median(volumes) < 52
