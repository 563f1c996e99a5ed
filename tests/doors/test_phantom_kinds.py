"""Phantoms by kind: from Python, from the command line, and in a process of their own."""

from __future__ import annotations

import inspect
import json
import time
from pathlib import Path

import numpy as np
import pytest

from workbench import cli
from workbench.doors import cohorts
from workbench.errors import SettingsError
from workbench.imaging.cohort import read_cohort
from workbench.runs.job import read_job

KINDS = [("digits", 30), ("paired", 6), ("levels", 40), *((kind, 4) for kind in cohorts.BOLD_PLANS)]


@pytest.mark.parametrize(("kind", "n"), KINDS)
def test_each_kind_makes_a_cohort_with_targets(kind: str, n: int, data_root: Path) -> None:
    made = cohorts.make_phantom(kind, "mine", n_subjects=n)
    assert made.path == data_root / "cohorts" / "mine" / "cohort.csv" and len(made) == n
    assert all(s.target is not None for s in made)


def test_every_kind_has_a_sentence_and_a_usual_number() -> None:
    assert (
        set(cohorts.PHANTOM_KINDS)
        == set(cohorts.PHANTOM_SIZES)
        == {"digits", "paired", "levels", *cohorts.BOLD_PLANS, *cohorts.SPACED_PHANTOMS}
    )
    assert all(text.endswith(".") for text in cohorts.PHANTOM_KINDS.values())


@pytest.mark.parametrize("kind", ["head", "infant", "infant-regions", "tumor", "lesion", "brain7t"])
def test_phantoms_to_be_segmented_have_the_wanted_voxels_and_labels_with_names(kind: str, data_root: Path) -> None:
    made = cohorts.make_phantom(kind, "mine", n_subjects=1, spacing_mm=6.0)
    subject = made.subjects[0]
    image = subject.volume(made.modalities[0])
    labels = subject.label_map(image)
    assert labels is not None and image.spacing == pytest.approx((6.0, 6.0, 6.0), abs=1e-3)
    assert {int(v) for v in np.unique(labels)} - {0} <= set(made.label_names), "every value has a name"


@pytest.mark.parametrize(("given", "wide"), [({}, 1.0), ({"spacing_mm": 3.0}, 3.0)])
def test_prostates_have_thick_slices_and_the_wanted_width(given: dict, wide: float, data_root: Path) -> None:
    made = cohorts.make_phantom("prostate", "mine", n_subjects=1, **given)
    assert made.subjects[0].volume("T2").spacing == pytest.approx((wide, wide, 3.0), abs=1e-3)
    assert made.label_names == {0: "background", 1: "prostate"}


@pytest.mark.parametrize("kind", ["digits", "paired"])
@pytest.mark.parametrize(
    ("change", "said"), [({"spacing_mm": 2.0}, "voxel size belongs"), ({"difficulty": "easy"}, "difficulty belongs")]
)
def test_a_setting_of_others_is_refused(kind: str, change: dict, said: str, data_root: Path) -> None:
    with pytest.raises(SettingsError, match=f"{said}.*{kind} has none"):
        cohorts.make_phantom(kind, "mine", n_subjects=30, **change)
    assert not (data_root / "cohorts").exists()


def test_an_unknown_kind_lists_the_known_ones() -> None:
    for make in (lambda: cohorts.make_phantom("heart", "x"), lambda: cohorts.start_phantom("x", kind="heart")):
        with pytest.raises(SettingsError, match="no phantom 'heart'; known ones are brain, digits, paired"):
            make()


def test_the_command_line_gives_the_same_cohort(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["phantom", "paired", str(tmp_path / "a"), "--subjects", "5", "--seed", "3", "--json"])
    assert not end.value.code and json.loads(capsys.readouterr().out)["subjects"] == 5
    here = cohorts.make_phantom("paired", tmp_path / "b", n_subjects=5, seed=3)
    assert here.path.read_bytes() == read_cohort(tmp_path / "a").path.read_bytes()
    with pytest.raises(SystemExit) as end:
        cli.main(["phantom", "digits", str(tmp_path / "c"), "--spacing", "2"])
    assert end.value.code == 2 and "voxel size belongs to phantoms of volumes" in capsys.readouterr().err


def test_start_and_make_take_the_same_settings() -> None:
    made, started = (set(inspect.signature(f).parameters) for f in (cohorts.make_phantom, cohorts.start_phantom))
    assert made - {"out", "progress"} == started - {"name"}


@pytest.mark.slow
def test_a_process_of_its_own_makes_it(data_root: Path) -> None:
    job = cohorts.start_phantom("mine", kind="digits", n_subjects=40, seed=2)
    end = time.monotonic() + 60
    while read_job(job.id).state == "running" and time.monotonic() < end:
        time.sleep(0.1)
    assert read_job(job.id).state == "finished", read_job(job.id)
    assert len(cohorts.open_cohort("mine")) == 40
