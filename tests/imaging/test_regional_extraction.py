"""A cohort of 4-D images becomes one of tables: complete or not at all, everything else kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from bold_maker import N_VOLUMES, SHAPE, atlas_image, bold
from cohort_maker import nifti

from workbench.errors import Cancelled, CohortError
from workbench.imaging.atlases import Atlas, atlas_of, read_label_atlas
from workbench.imaging.bold import Cleaning, extract_regions
from workbench.imaging.cohort import Cohort, write_cohort
from workbench.imaging.regional_cohort import regional_cohort
from workbench.imaging.regional_extraction import extract_cohort, read_extraction
from workbench.imaging.subject import Subject


@pytest.fixture
def atlas(tmp_path: Path) -> Atlas:
    return read_label_atlas(atlas_image(tmp_path / "aal.nii.gz"), {3: "l", 5: "r", 7: "u", 9: "v"}, {3: "visual"})


def images(folder: Path, n_broken: int = 0) -> Cohort:
    """Make three subjects with a 4-D image, a T1, confounds, target and age; some have one volume only."""
    subjects = []
    for i in range(3):
        home = folder / f"s{i}"
        series = bold(home / "b.nii.gz", i, data=np.ones(SHAPE, "f4") if i < n_broken else None)
        np.savetxt(home / "motion.txt", np.random.default_rng(i).normal(0, 0.01, (N_VOLUMES, 6)))
        cells = {"age": str(60 + i), "confounds": f"s{i}/motion.txt", "site:x": "7.5"}
        t1 = nifti(home / "T1.nii.gz")
        subjects.append(
            Subject(f"s{i}", {"T1": t1}, series=series, target="AD", group="g", split="train", covariates=cells)
        )
    return write_cohort(folder, subjects)


def test_every_series_is_that_of_its_image_and_all_else_is_kept(tmp_path: Path, atlas: Atlas) -> None:
    cohort = images(tmp_path / "in")
    found = extract_cohort(cohort, atlas, tmp_path / "out", Cleaning())
    assert found.name == "out" and [s.name for s in found] == ["s0", "s1", "s2"]
    for old, new in zip(cohort, found, strict=True):
        assert old.series is not None
        expected = extract_regions(old.series, atlas, Cleaning(), confounds=tmp_path / "in" / old.name / "motion.txt")
        np.testing.assert_array_equal(new.regional_series().values, expected.values)
        assert (new.target, new.group, new.split, new.tr_s) == ("AD", "g", "train", 2.0)
        assert new.covariates["age"] == old.covariates["age"] and new.covariates["site:x"] == "7.5"
        np.testing.assert_array_equal(new.volume("T1").data, old.volume("T1").data)
        kept = tmp_path / "out" / new.covariates["confounds"]
        assert kept.read_bytes() == (tmp_path / "in" / old.name / "motion.txt").read_bytes()
    together = regional_cohort(found)
    assert together.table is not None and together.table.networks[0] == "visual" and together.regions == atlas.regions
    beside = atlas_of(found)
    assert beside is not None and beside.regions == atlas.regions
    told = read_extraction(found)
    assert told["atlas"] == "aal" and told["cleaning"]["low_pass_hz"] == 0.1 and told["left_out"] == {}  # type: ignore[index]
    assert "6 confounds of motion.txt" in told["notes"]["s1"][0]  # type: ignore[index]
    assert read_extraction(cohort) == {}


def test_a_subject_that_fails_stops_everything_or_is_left_out(tmp_path: Path, atlas: Atlas) -> None:
    cohort = images(tmp_path / "in", 1)
    with pytest.raises(CohortError, match=r"regions of s0 could not be extracted: b.nii.gz holds one volume"):
        extract_cohort(cohort, atlas, tmp_path / "out", Cleaning())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["aal.nii.gz", "in"]
    found = extract_cohort(cohort, atlas, tmp_path / "out", Cleaning(), on_error="leave out")
    assert [s.name for s in found] == ["s1", "s2"] and not (tmp_path / "out" / "s0").exists()
    assert "one volume" in read_extraction(found)["left_out"]["s0"]  # type: ignore[index]
    with pytest.raises(CohortError, match="No subject of none could be extracted; s0"):
        extract_cohort(images(tmp_path / "none", 3), atlas, tmp_path / "x", Cleaning(), on_error="leave out")
    with pytest.raises(CohortError, match="already something at"):
        extract_cohort(cohort, atlas, tmp_path / "out", Cleaning())


def test_tables_and_subjects_without_a_series_are_named(tmp_path: Path, atlas: Atlas) -> None:
    done = extract_cohort(images(tmp_path / "in"), atlas, tmp_path / "out", Cleaning())
    with pytest.raises(CohortError, match=r"s0 could not be extracted: series.csv is a table of regions already"):
        extract_cohort(done, atlas, tmp_path / "again", Cleaning())
    without = write_cohort(tmp_path / "in", [Subject("s0", {"T1": tmp_path / "in" / "s0" / "T1.nii.gz"})])
    with pytest.raises(CohortError, match="it has no series, only T1"):
        extract_cohort(without, atlas, tmp_path / "again", Cleaning())


def test_a_stop_leaves_nothing_behind(tmp_path: Path, atlas: Atlas) -> None:
    def stop(fraction: float, message: str) -> None:
        if message.startswith("s1"):
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        extract_cohort(
            images(tmp_path / "in"), atlas, tmp_path / "out", Cleaning(), progress=stop, on_error="leave out"
        )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["aal.nii.gz", "in"]


def test_an_image_is_no_table(tmp_path: Path) -> None:
    cohort = images(tmp_path / "in")
    with pytest.raises(CohortError, match=r"series of s0 is a 4-D image \(b.nii.gz\); extract its regions"):
        regional_cohort(cohort)
