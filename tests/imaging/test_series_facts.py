"""What a fingerprint tells of time series, and of what keeps them from being compared."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from bold_maker import bold

from workbench.imaging.cohort import Cohort, write_cohort
from workbench.imaging.fingerprint import Fingerprint, fingerprint
from workbench.imaging.series_facts import find_series_problems, series_facts
from workbench.imaging.subject import Subject


def walk(seed: int, n_times: int = 60, n_regions: int = 5) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (1000 * np.arange(1, n_regions + 1) + rng.normal(size=(n_times, n_regions))).astype(np.float32)


def cohort_of(folder: Path, **tables: np.ndarray) -> Cohort:
    folder.mkdir()
    for name, table in tables.items():
        np.save(folder / f"{name}.npy", table)
    return write_cohort(folder, [Subject(n, series=folder / f"{n}.npy") for n in tables])


def problems(folder: Path, **tables: np.ndarray) -> str:
    return " ".join(fingerprint(cohort_of(folder, **tables)).problems)


def test_tables_and_images_are_measured(tmp_path: Path) -> None:
    values = walk(0).T.copy()
    values[1], values[2], values[3, 4] = np.nan, 5, np.nan
    np.save(tmp_path / "s.npy", values)
    facts = series_facts(Subject("a", series=tmp_path / "s.npy", covariates={"tr_s": "2"}), 5)
    assert (facts.shape, facts.n_times, facts.n_regions, facts.tr_s) == ((60, 5), 60, 5, 2.0)
    assert (facts.missing, facts.constant, facts.n_gaps) == (("region 2",), ("region 3",), 1) and not facts.is_image
    image = series_facts(Subject("a", series=bold(tmp_path / "b.nii.gz", tr=2000)))
    assert image.is_image and image.n_times == 60 and image.tr_s == 2.0 and "cannot be" in image.notes[0]


def test_a_good_cohort_has_no_problems_and_goes_through_json(tmp_path: Path) -> None:
    found = fingerprint(cohort_of(tmp_path / "c", a=walk(0), b=walk(1)))
    assert found.problems == () and len(found.series) == 2
    assert Fingerprint.from_dict(found.to_dict()) == found


def test_what_keeps_series_from_being_compared_is_said(tmp_path: Path) -> None:
    broken = walk(1)
    broken[:, 0], broken[:, 1], broken[7, 2] = 3, np.nan, np.nan
    text = problems(tmp_path / "1", a=walk(0), b=broken)
    assert "subject b with no signal at all in region 2" in text and "never changes in region 1" in text
    assert "subject b with time points that hold no number" in text
    assert "series of subject c has another number of regions than the others, which have 5" in problems(
        tmp_path / "2", a=walk(0), b=walk(1), c=walk(2, 60, 4)
    )
    assert "a has 20 time points, b 60" in problems(tmp_path / "3", a=walk(0, 20), b=walk(1))
    assert "subject a with no more time points than regions" in problems(tmp_path / "4", a=walk(0, 5, 8))
    assert "a series, b series have the same voxels" in problems(tmp_path / "5", a=walk(0), b=walk(0))


def test_images_among_tables_and_other_times_are_said(tmp_path: Path) -> None:
    np.save(tmp_path / "s.npy", walk(0))
    table = series_facts(Subject("a", series=tmp_path / "s.npy", covariates={"tr_s": "2"}))
    image = series_facts(Subject("b", series=bold(tmp_path / "b.nii.gz", tr=3)))
    text = " ".join(find_series_problems([table, image]))
    assert "series of subject b is a 4-D image but that of others is a table" in text
    assert "Repetition times differ, from 2 to 3 s" in text
    other = dataclasses.replace(table, subject="c", regions="other")
    assert "regions of subject c have other names" in " ".join(find_series_problems([table, table, other]))
    flat = series_facts(Subject("d", series=bold(tmp_path / "d.nii.gz", data=np.ones((3, 3, 3), "f4"))))
    assert "subject d is an image without time" in find_series_problems([flat])[0]


def test_a_wrong_table_of_regions_is_a_problem_not_an_error(tmp_path: Path) -> None:
    cohort = cohort_of(tmp_path / "c", a=walk(0))
    (tmp_path / "c" / "regions.csv").write_text("region\nx\ny\n")
    assert "regions.csv has 2 regions, but the series of subject a another number" in " ".join(
        fingerprint(cohort).problems
    )
    (tmp_path / "c" / "regions.csv").write_text("nothing\n")
    assert "expected to have the columns region" in fingerprint(cohort).problems[0]
