"""A subject reads what it is asked for and says what it lacks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cohort_maker import labels, nifti

from workbench.errors import CohortError, FileError, GeometryError
from workbench.imaging.subject import Subject

MOVED = np.array([[1, 0, 0, 5], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])


def test_volume_label_and_mask_are_read(tmp_path: Path) -> None:
    subject = Subject(
        "a", {"T1": nifti(tmp_path / "t1.nii.gz")}, labels(tmp_path / "l.nii.gz"), labels(tmp_path / "m.nii.gz")
    )
    volume = subject.volume("T1")
    label, mask = subject.label_map(volume), subject.mask_array(volume)
    assert volume.modality == "T1" and label is not None and mask is not None
    assert label.dtype == np.int32 and set(np.unique(label)) == {0, 1, 2}
    assert mask.dtype == bool and mask.sum() == 2 * 5 * 6 + 1


def test_absent_labels_are_none() -> None:
    assert Subject("a").label_map() is None and Subject("a").mask_array() is None


def test_a_missing_modality_lists_the_others(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match="Subject a has no T2 image; it has T1"):
        Subject("a", {"T1": tmp_path / "t1.nii.gz"}).volume("T2")
    with pytest.raises(CohortError, match="it has no image at all"):
        Subject("a").volume("T2")


def test_a_label_map_elsewhere_is_refused(tmp_path: Path) -> None:
    subject = Subject("a", {"T1": nifti(tmp_path / "t1.nii.gz")}, labels(tmp_path / "l.nii.gz", affine=MOVED))
    with pytest.raises(GeometryError, match=r"The label map of a has .* resample the label map like the image first"):
        subject.label_map(subject.volume("T1"))


def test_a_deleted_file_is_told_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"There is no file gone\.nii\.gz"):
        Subject("a", {"T1": tmp_path / "gone.nii.gz"}).volume("T1")
