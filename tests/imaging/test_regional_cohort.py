"""Everybody's series over the same regions: what is left out for all, and differences by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from workbench.errors import CohortError
from workbench.imaging.cohort import Cohort, write_cohort
from workbench.imaging.regional_cohort import cohort_series, regional_cohort
from workbench.imaging.regional_series import RegionalSeries, write_regional_series
from workbench.imaging.subject import Subject

NAMES = ("a", "b", "c", "d")


def values(seed: int, n_times: int = 30, n_regions: int = 4) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n_times, n_regions)).astype(np.float32)


def cohort_of(folder: Path, series: dict[str, RegionalSeries], **cells: str) -> Cohort:
    subjects = []
    for name, one in series.items():
        (folder / name).mkdir(parents=True)
        write_regional_series(folder / name / "series.csv", one)
        subjects.append(Subject(name, series=folder / name / "series.csv", covariates=dict(cells)))
    return write_cohort(folder, subjects)


def plain(**tables: np.ndarray) -> dict[str, RegionalSeries]:
    return {name: RegionalSeries(v, NAMES[: v.shape[1]]) for name, v in tables.items()}


def test_series_come_in_the_order_of_the_cohort(tmp_path: Path) -> None:
    cohort = cohort_of(tmp_path / "c", plain(s2=values(2), s1=values(1, 40)), tr_s="2.2")
    found = regional_cohort(cohort)
    assert found.subjects == ("s2", "s1") and found.n_times == (30, 40) and found.regions == NAMES
    assert found.tr_s == 2.2 and found.table is None and found.dropped == () and found.notes == ()
    np.testing.assert_array_equal(cohort_series(cohort)[1].values, values(1, 40))


def test_regions_without_signal_in_anybody_are_left_out_for_all(tmp_path: Path) -> None:
    one, two = values(1), values(2)
    one[:, 1], two[:, 3] = np.nan, 7
    two[5, 0] = np.nan
    cohort = cohort_of(tmp_path / "c", plain(s1=one, s2=two))
    (tmp_path / "c" / "regions.csv").write_text(
        "region,x,y,z\n" + "".join(f"{r},{i},0,0\n" for i, r in enumerate("abcd"))
    )
    found = regional_cohort(cohort)
    assert found.regions == ("a", "c") and found.dropped == ("b", "d")
    assert found.table is not None and found.table.coordinates_mm[:, 0].tolist() == [0, 2]
    assert "b (s1), d (s2)" in found.notes[0] and "s2 without a number were left out: 6" in found.notes[1]
    assert found.n_times == (30, 29) and all(np.isfinite(s.values).all() for s in found.series)


def test_differing_regions_are_named(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match="series of s2 has 3 regions but s1 has 4"):
        regional_cohort(cohort_of(tmp_path / "n", plain(s1=values(1), s2=values(2, 30, 3))))
    other = {"s1": RegionalSeries(values(1), NAMES), "s2": RegionalSeries(values(2), ("a", "c", "b", "d"))}
    with pytest.raises(CohortError, match=r"Region 2 of s2 is 'c' but that of s1 is 'b'. They are the same regions in"):
        regional_cohort(cohort_of(tmp_path / "o", other))
    cohort = cohort_of(tmp_path / "t", plain(s1=values(1)))
    (tmp_path / "t" / "regions.csv").write_text("region\nx\ny\n")
    with pytest.raises(CohortError, match=r"s1 has 4 regions but regions.csv has 2"):
        regional_cohort(cohort)


def test_the_number_that_all_share_is_that_of_regions(tmp_path: Path) -> None:
    """White noise tells nothing of time, but lengths differ and regions do not."""
    folder = tmp_path / "c"
    folder.mkdir()
    tables = {"s1": values(1, 50, 8), "s2": values(2, 60, 8).T, "s3": values(3, 70, 8)}
    for name, table in tables.items():
        np.save(folder / f"{name}.npy", table)
    cohort = write_cohort(folder, [Subject(n, series=folder / f"{n}.npy") for n in tables])
    assert [s.values.shape for s in cohort_series(cohort)] == [(50, 8), (60, 8), (70, 8)]


def test_a_table_names_regions_that_have_no_names(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    folder.mkdir()
    np.save(folder / "s.npy", values(0))
    (folder / "regions.csv").write_text("region\nw\nx\ny\nz\n")
    assert regional_cohort(write_cohort(folder, [Subject("s", series=folder / "s.npy")])).regions == (
        "w",
        "x",
        "y",
        "z",
    )


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    flat = np.ones((30, 4), np.float32)
    with pytest.raises(CohortError, match="Only 0 of 4 regions have a signal"):
        regional_cohort(cohort_of(tmp_path / "flat", plain(s1=values(1), s2=flat)))
    holes = values(2, 30, 25)
    holes[np.arange(25), np.arange(25)] = np.nan  # a region here, another there, so that no region is missing
    many = {"s1": RegionalSeries(holes, tuple(f"r{i}" for i in range(25)))}
    with pytest.raises(CohortError, match="25 of 30 time points of s1 have no number somewhere"):
        regional_cohort(cohort_of(tmp_path / "holes", many))
    cohort = write_cohort(tmp_path / "flat", [Subject("nobody")])
    with pytest.raises(CohortError, match=r"1 of 1 subjects of flat have no series \(nobody\)"):
        regional_cohort(cohort)
    cohort = cohort_of(tmp_path / "tr", plain(s1=values(1)), tr_s="soon")
    with pytest.raises(CohortError, match="tr_s = 'soon'; expected the seconds"):
        regional_cohort(cohort)
