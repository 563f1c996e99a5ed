from __future__ import annotations

import numpy as np
import pytest

from workbench.errors import CohortError, SettingsError
from workbench.imaging.nifti import write_nifti
from workbench.imaging.subject import Subject
from workbench.imaging.volume import Volume
from workbench.systems.label_classes import LabelClasses, classes_of, parse_classes


def test_values_are_joined_and_everything_else_is_background() -> None:
    classes = parse_classes("WM=2,41; GM = 3, 42;ignore=85")
    assert classes is not None and classes.all_names == ("background", "WM", "GM")
    labels = np.array([0, 2, 41, 3, 42, 85, 7]).reshape(7, 1, 1)
    assert classes.encode(labels).ravel().tolist() == [0, 1, 1, 2, 2, -1, 0]


@pytest.mark.parametrize("text", ["WM=2,41; GM=3,42; CSF=24", "a=7", "b=3;a=1"])
def test_decoding_gives_a_value_that_is_encoded_alike(text: str) -> None:
    classes = parse_classes(text)
    assert classes is not None
    every = np.arange(classes.n_classes).reshape(-1, 1, 1)
    np.testing.assert_array_equal(classes.encode(classes.decode(every)), every)


def test_a_star_takes_whatever_is_not_zero() -> None:
    classes = parse_classes("brain=*")
    assert classes is not None and classes.values == (0, 1)
    assert classes.encode(np.array([0, 1, 17, -3]).reshape(4, 1, 1)).ravel().tolist() == [0, 1, 1, 1]


def test_arrays_bring_classes_back() -> None:
    for text in ("WM=2,41; GM=3,42; ignore=85,77", "brain=*", "brain=mask"):
        classes = parse_classes(text)
        assert classes is not None
        assert LabelClasses.from_arrays(classes.to_arrays()) == classes


def test_unions_of_values_become_unions_of_classes() -> None:
    classes = parse_classes("edema=2; core=1,4")
    assert classes is not None
    wanted = {"all": (1, 2, 4), "center": (1, 4), "five": (5,), "part": (2, 5)}
    assert classes.joined(wanted) == {"all": (1, 2), "center": (2,)}
    assert "core" not in classes.joined({"core": (1, 4)}), "it is a class, which is scored under that name anyway"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("WM", "read like"), ("WM=two", "read like"), ("WM=2; WM=3", "name of its own"), ("a=1; b=1", "one class"),
        ("a=0", "one class"), ("a=*; b=2", "stands alone"), ("ignore=3", "names no class"),
        ("background=1", "name of its own"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_a_sentence(text: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        parse_classes(text)


def test_the_cohort_decides_where_nothing_is_said(tmp_path) -> None:  # type: ignore[no-untyped-def]
    subjects = []
    for i, values in enumerate([(0, 5), (0, 2, 5)]):
        array = np.resize(np.array(values, np.float32), (4, 4, 4))
        write_nifti(Volume.from_array(array), tmp_path / f"{i}.nii.gz")
        subjects.append(Subject(str(i), label=tmp_path / f"{i}.nii.gz", folder=tmp_path))
    assert parse_classes("  ") is None
    found = classes_of(subjects, {5: "five"})
    assert found.names == ("label 2", "five") and found.groups == ((2,), (5,))
    assert classes_of(subjects[:1], {}).names == ("label 5",), "values of others are not looked at"
    with pytest.raises(CohortError, match="label map"):
        classes_of([Subject("x")], {})
