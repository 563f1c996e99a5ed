"""A cohort of BOLD series: the files hold what was drawn, equal plans give equal bytes, null classes are one class."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from workbench.errors import SettingsError
from workbench.imaging.atlases import atlas_of
from workbench.imaging.cohort import Cohort
from workbench.imaging.region_table import region_table_of
from workbench.imaging.regional_series import read_regional_series
from workbench.phantoms.bold import make_bold
from workbench.phantoms.bold_plan import BoldPlan
from workbench.phantoms.bold_regions import planted_members, real_regions
from workbench.phantoms.bold_subjects import draw_signal, draw_subject, draw_world, network_amplitudes

SMALL = {"n_subjects": 6, "n_volumes": 60, "n_regions": 24}
FULL = {"site_effect": 0.3, "motion": 5.0, "confounding": 0.5}
KINDS = ("networks", "edges", "states", "null")


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def truth(cohort: Cohort) -> tuple[dict, dict[str, np.ndarray]]:
    folder = cohort.path.parent
    with np.load(folder / "truth.npz") as arrays:
        return json.loads((folder / "truth.json").read_text()), dict(arrays)


@pytest.mark.parametrize(("kind", "images"), [*((kind, False) for kind in KINDS), ("states", True)])
def test_equal_plans_give_equal_bytes_and_subjects_do_not_depend_on_how_many(
    tmp_path: Path, kind: str, images: bool
) -> None:
    plan = {**SMALL, **FULL, "n_subjects": 5, "kind": kind, "images": images, "format": "npz"}
    first, second = (contents(make_bold(tmp_path / n, **plan).path.parent) for n in ("a", "b"))
    assert first == second
    fewer = contents(make_bold(tmp_path / "c", **{**plan, "n_subjects": 4}).path.parent)
    own = {name: data for name, data in fewer.items() if name.startswith("subject-")}
    assert own and all(first[name] == data for name, data in own.items())
    other = contents(make_bold(tmp_path / "d", **{**plan, "seed": 1}).path.parent)
    assert all(other[name] != data for name, data in own.items() if "truth" not in name)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("responds", [False, True])
def test_without_an_effect_both_classes_are_drawn_alike(kind: str, responds: bool) -> None:
    members = planted_members(real_regions(24))
    for effect in (0.0, 0.1):
        plan = BoldPlan(
            n_volumes=400, n_regions=24, kind=kind, effect=effect, spread=0.0, haemodynamic=responds, differ="pattern"
        )
        world = draw_world(plan, members)
        drawn = [draw_signal(plan, world, p, np.random.default_rng(3))[0] for p in (False, True)]
        assert np.array_equal(*drawn) == (effect == 0 or kind == "null")


@pytest.mark.parametrize("format", ["csv", "npz"])
def test_files_hold_the_drawn_series_and_names(tmp_path: Path, format: str) -> None:
    cohort = make_bold(tmp_path / "p", **SMALL, kind="states", format=format, n_sites=3)
    plan = BoldPlan(**SMALL, kind="states", format=format, n_sites=3)
    world = draw_world(plan, planted_members(real_regions(24)))
    table = region_table_of(cohort)
    assert table is not None and table.regions == real_regions(24).regions
    for i, subject in enumerate(cohort):
        drawn = draw_subject(plan, world, i)
        found = read_regional_series(subject.series)
        np.testing.assert_array_equal(found.values, drawn.series)
        assert found.regions == table.regions and not found.notes
        assert subject.target == ("patient" if drawn.is_patient else "control")
        assert subject.group == subject.covariates["site"] == f"site-{i // 2 % 3 + 1:02d}"
        with np.load(subject.series.parent / "truth.npz") as own:
            np.testing.assert_array_equal(own["path"], drawn.truth["path"])
    assert format == "csv" or found.tr_s == 2.0


def test_default_mode_courses_are_weaker_in_patients_alone(tmp_path: Path) -> None:
    cohort = make_bold(tmp_path / "p", **SMALL, effect=0.5, noise=0.0)
    words, arrays = truth(cohort)
    assert words["weakened"] == "DefaultMode" and words["settings"]["effect"] == 0.5
    assert [words["planted"][k] if k >= 0 else "" for k in arrays["members"]] == [
        n if n in words["planted"] else "" for n in words["networks"]
    ]
    for subject in cohort:
        with np.load(subject.series.parent / "truth.npz") as own:
            courses = own["courses"]
        expected = [0.5 if subject.target == "patient" else 1.0, *[1.0] * 7]
        np.testing.assert_allclose(courses.std(axis=0), expected, rtol=1e-4)
        np.testing.assert_allclose(read_regional_series(subject.series).values, courses @ arrays["maps"], atol=1e-4)
    np.testing.assert_array_equal(network_amplitudes(BoldPlan(kind="null"), 8), 1)


def test_truth_of_edges_names_them_and_knows_the_noise(tmp_path: Path) -> None:
    words, arrays = truth(make_bold(tmp_path / "p", **SMALL, kind="edges", noise=1.0))
    assert len(words["edges"]) == len(arrays["pairs"]) and 0.5 < words["best"]["auc"] <= 1
    for edge, (a, b), sign in zip(words["edges"], arrays["pairs"], arrays["signs"], strict=True):
        assert (edge["a"], edge["b"]) == (words["regions"][a], words["regions"][b])
        assert edge["z_control"] == pytest.approx(np.arctanh(arrays["control"][a, b]))
        assert np.sign(edge["z_patient"] - edge["z_control"]) == sign == edge["sign"]
    plan = BoldPlan(**{**SMALL, "n_volumes": 5000}, kind="edges", noise=1.0, spread=0.0)
    world = draw_world(plan, planted_members(real_regions(24)))
    found = np.mean([np.corrcoef(draw_subject(plan, world, i).series.T) for i in (0, 2, 4)], axis=0)
    np.testing.assert_allclose(found, arrays["control"], atol=0.05)


def test_truth_of_states_says_what_is_equal(tmp_path: Path) -> None:
    words, arrays = truth(make_bold(tmp_path / "p", **SMALL, kind="states"))
    assert words["volumes_have_one_law"] and arrays["patterns"].shape == (2, 3, 24)
    np.testing.assert_allclose(words["dwell_volumes"], [[20] * 3, [5] * 3])
    np.testing.assert_allclose(words["stationary"], 1 / 3)
    for i, change in enumerate(({"haemodynamic": True}, {"differ": "pattern"})):
        assert not truth(make_bold(tmp_path / f"q{i}", **SMALL, kind="states", **change))[0]["volumes_have_one_law"]


def test_confounds_are_written_where_heads_move(tmp_path: Path) -> None:
    cohort = make_bold(tmp_path / "p", **SMALL, motion=5.0, kind="null")
    for subject in cohort:
        path = cohort.path.parent / subject.covariates["confounds"]
        with path.open(newline="") as stream:
            rows = list(csv.DictReader(stream, delimiter="\t"))
        assert len(rows) == 60 and rows[0]["framewise_displacement"] == "n/a"
        displacement = np.array([0.0] + [float(r["framewise_displacement"]) for r in rows[1:]])
        with np.load(subject.series.parent / "truth.npz") as own:
            np.testing.assert_array_equal(np.flatnonzero(displacement > 0.3), own["spikes"])
    assert "confounds" not in make_bold(tmp_path / "q", **SMALL).subjects[0].covariates


def test_images_have_an_atlas_a_mask_and_the_time_step(tmp_path: Path) -> None:
    cohort = make_bold(tmp_path / "p", **{**SMALL, "n_subjects": 4}, images=True, tr_s=1.5, noise=0.2)
    atlas, table = atlas_of(cohort), region_table_of(cohort)
    assert atlas is not None and atlas.regions == table.regions == real_regions(24).regions
    subject = cohort.subjects[1]
    image = nib.load(subject.series)
    assert image.shape == (26, 30, 25, 60) and image.header.get_zooms() == (8, 8, 8, 1.5)
    mask = subject.mask_array()
    labels = np.asarray(nib.load(cohort.path.parent / "atlas.nii.gz").dataobj)
    assert mask[labels > 0].all()
    _, arrays = truth(cohort)
    with np.load(subject.series.parent / "truth.npz") as own:
        planted = own["courses"] @ arrays["voxel_maps"][mask].T
    grey = np.asarray(image.dataobj)[mask].T
    assert np.std((grey - 10_000) / 100 - planted) == pytest.approx(0.2, rel=0.05)


def test_an_impossible_effect_is_said(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no valid correlation matrix"):
        make_bold(tmp_path / "p", **SMALL, kind="edges", effect=1.0)
    assert list(tmp_path.iterdir()) == []
