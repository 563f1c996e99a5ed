"""Which layout a source is taken for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cohort_maker import nifti
from dicom_maker import write_series

from workbench.errors import FileError, UnreadableFile
from workbench.imaging.layouts import detect_layout

STACK = np.zeros((2, 4, 5), np.int16)


def test_the_majority_decides_between_dicom_and_files(tmp_path: Path) -> None:
    write_series(tmp_path / "d", STACK, (0, 5))
    nifti(tmp_path / "export.nii.gz")
    assert detect_layout(tmp_path) == "dicom"
    nifti(tmp_path / "a.nii.gz")
    nifti(tmp_path / "b.nii.gz")
    assert detect_layout(tmp_path) == "folder"


def test_dicom_without_endings_is_found(tmp_path: Path) -> None:
    for number, path in enumerate(write_series(tmp_path, STACK, (0, 5))):
        path.rename(tmp_path / f"IM{number}")
    assert detect_layout(tmp_path) == "dicom"


def test_a_cohort_is_known_by_its_table(tmp_path: Path) -> None:
    (tmp_path / "cohort.csv").write_text("subject\na\n")
    assert detect_layout(tmp_path) == detect_layout(tmp_path / "cohort.csv") == "cohort"


def test_a_dataset_json_of_something_else_is_a_folder(tmp_path: Path) -> None:
    nifti(tmp_path / "a.nii.gz")
    (tmp_path / "dataset.json").write_text('{"name": "x"}')
    assert detect_layout(tmp_path) == "folder"


def test_wrapped_folders_are_entered(tmp_path: Path) -> None:
    nifti(tmp_path / "a" / "b" / "sub-01" / "anat" / "sub-01_T1w.nii.gz")
    assert detect_layout(tmp_path) == "bids"


def test_nothing_of_use_is_told(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="holds 0 files and none is an image"):
        detect_layout(tmp_path)
    with pytest.raises(FileError, match="There is nothing at"):
        detect_layout(tmp_path / "gone")
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04")
    with pytest.raises(FileError):
        detect_layout(tmp_path / "broken.zip")


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "layout"), [("nodules_lidc", "dicom"), ("hippocampus_msd", "folder"), ("fmri_abide_aal116", "folder")]
)
def test_real_layouts(real_data: Path, name: str, layout: str) -> None:
    assert detect_layout(real_data / name) == layout
