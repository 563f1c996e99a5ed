"""Feature vectors: one row of numbers with names, from a table or from arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from workbench.errors import CohortError, FileError, UnreadableFile
from workbench.imaging.feature_vectors import read_feature_vector, write_feature_vector
from workbench.imaging.importers import import_cohort
from workbench.imaging.subject import Subject


def test_writing_and_reading_gives_the_same_numbers(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=50).astype(np.float32) * 1e-5
    values[3] = np.nan
    names = [f"region {i}, left" for i in range(50)]
    write_feature_vector(tmp_path / "a.csv", names, values)
    found = read_feature_vector(tmp_path / "a.csv")
    assert found.names == tuple(names) and found.values.dtype == np.float32
    np.testing.assert_array_equal(found.values, values)


def test_a_table_of_subjects_comes_back_by_subject(tmp_path: Path) -> None:
    (tmp_path / "volumes.csv").write_text("id,left,right,age,dx\na,1.5,2,60,AD\nb,,4,61,NC\n")
    cohort = import_cohort(tmp_path / "volumes.csv", tmp_path / "out")
    a, b = (cohort[n].feature_vector("volumes") for n in "ab")
    assert a.names == b.names == ("left", "right")
    assert a.values.tolist() == [1.5, 2] and np.isnan(b.values[0]) and b.values[1] == 4


@pytest.mark.parametrize(
    ("text", "values"),
    [("1,2,3\n", [1, 2, 3]), ("a\tb\n1\t2\n", [1, 2]), ("a;b\n1;2", [1, 2]), ("\ufeffa\n7\n\n", [7]), ("5", [5])],
)
def test_tables_in_other_dress(tmp_path: Path, text: str, values: list[float]) -> None:
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    assert read_feature_vector(tmp_path / "a.csv").values.tolist() == values


def test_arrays_with_and_without_names(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([[1, 2, 3]]))
    np.savez(tmp_path / "b.npz", values=np.array([1.0, 2]), names=np.array(["left", "right"]), n=np.array(3))
    np.savez(tmp_path / "c.npz", anything=np.array([4.0]))
    assert read_feature_vector(tmp_path / "a.npy").names == ("x1", "x2", "x3")
    assert read_feature_vector(tmp_path / "b.npz").names == ("left", "right")
    assert read_feature_vector(tmp_path / "c.npz").values.tolist() == [4.0]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a,b\n1,yes\n", "should hold numbers, but b = 'yes'"),
        ("a,b\n1,2\n3,4\n", "has 2 rows under 2 columns"),
        ("a,b\n1\n", "has 1 rows under 2 columns"),
        ("a,b\n", "has 0 rows under 2 columns"),
        ("a\ninf\n", "infinite"),
        ("a\n1e60\n", "infinite"),
        ("a\0b", "."),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow")
def test_what_is_no_vector_is_said(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(UnreadableFile, match=sentence):
        read_feature_vector(tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"a": np.zeros(2), "b": np.zeros(2)}, "expected one array of numbers, or one named values"),
        ({"a": np.zeros((2, 2))}, r"shape \(2, 2\)"),
        ({"a": np.zeros(2), "names": np.array(["x"])}, "1 names for 2 numbers"),
        ({"names": np.array(["x"])}, "expected one array of numbers"),
    ],
)
def test_what_arrays_are_no_vector_is_said(tmp_path: Path, arrays: dict[str, np.ndarray], sentence: str) -> None:
    np.savez(tmp_path / "a.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(UnreadableFile, match=sentence):
        read_feature_vector(tmp_path / "a.npz")


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    subject = Subject("p1", features={"PET": tmp_path / "absent.csv"})
    with pytest.raises(CohortError, match="p1 has no features 'MRI'; it has PET"):
        subject.feature_vector("MRI")
    with pytest.raises(FileError, match=r"no file absent\.csv"):
        subject.feature_vector("PET")
    (tmp_path / "empty.csv").touch()
    with pytest.raises(FileError, match="is empty"):
        read_feature_vector(tmp_path / "empty.csv")
