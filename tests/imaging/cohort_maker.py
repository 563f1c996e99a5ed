"""Small images and cohorts on disk for tests."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np

from workbench.imaging.cohort import Cohort, write_cohort
from workbench.imaging.subject import Subject

SECRET = b"Doe^Jane 1970"


def nifti(path: Path, array: np.ndarray | None = None, affine: np.ndarray | None = None, seed: int = 0) -> Path:
    """Write an image, of 4 × 5 × 6 random voxels if none are given, with a patient's name in its header."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if array is None:
        array = np.random.default_rng(seed).normal(100, 20, (4, 5, 6)).astype(np.float32)
    image = nib.Nifti1Image(array, np.eye(4) if affine is None else affine)
    image.header["descrip"], image.header["aux_file"], image.header["db_name"] = SECRET, b"Doe.par", b"Doe"
    image.header["intent_name"] = b"Jane"
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", SECRET))
    nib.save(image, path)
    return path


def labels(path: Path, array: np.ndarray | None = None, affine: np.ndarray | None = None) -> Path:
    """Write a label map; without an array the left half is 1 and one corner 2."""
    if array is None:
        array = np.zeros((4, 5, 6), np.uint8)
        array[:2], array[3, 4, 5] = 1, 2
    return nifti(path, array, affine)


def table_cohort(folder: Path, rows: list[dict[str, str]]) -> Cohort:
    """Make a cohort without files: names, targets, groups, splits."""
    folder.mkdir(parents=True, exist_ok=True)
    return write_cohort(folder, [Subject(row.pop("name"), **row) for row in [dict(r) for r in rows]])  # type: ignore[arg-type]


def image_cohort(folder: Path, n_subjects: int = 3) -> Cohort:
    """Make a cohort of T1 images with label maps."""
    subjects = []
    for i in range(n_subjects):
        image = nifti(folder / f"s{i}" / "T1.nii.gz", seed=i)
        subjects.append(Subject(f"s{i}", {"T1": image}, label=labels(folder / f"s{i}" / "label.nii.gz"), folder=folder))
    return write_cohort(folder, subjects)
