"""What phantoms of volumes share when they are written: how many subjects, and the files of one patient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from workbench.errors import SettingsError
from workbench.imaging.nifti import write_array


def check_numbers(n_subjects: int, seed: int) -> None:
    """Make sure that a cohort can be made of this.

    Raises:
        SettingsError: a number out of its bounds.
    """
    if not 1 <= n_subjects <= 999:
        raise SettingsError(f"A phantom has from 1 to 999 subjects; got {n_subjects}.")
    check_seed(seed)


def check_seed(seed: int) -> None:
    """Make sure that a seed can be drawn from.

    Raises:
        SettingsError: it is negative.
    """
    if seed < 0:
        raise SettingsError(f"The seed must be 0 or more; got {seed}.")


def check_dials(plan: object, most: Mapping[str, float]) -> None:
    """Make sure that dials of a plan, name → largest value, stand between 0 and that.

    Raises:
        SettingsError: one does not.
    """
    for name, largest in most.items():
        value = getattr(plan, name)
        if not 0 <= value <= largest:
            raise SettingsError(f"{name} must be from 0 to {largest}; got {value:g}.")


def write_patient(
    home: Path, sequences: Sequence[str], images: np.ndarray, labels: np.ndarray, mask: np.ndarray, affine: np.ndarray
) -> dict[str, Path]:
    """Write a patient's folder as scanners do, in whole numbers of 16 bits.

    Args:
        home: the new folder.
        sequences: names of the images.
        images: (S, X, Y, Z), 0 or more; what is too large for 16 bits becomes the largest number.
        labels: (X, Y, Z), 0 to 255.
        mask: (X, Y, Z) bool.
        affine: (4, 4), voxel index → mm RAS.

    Returns:
        Sequence → file; ``label.nii.gz`` and ``mask.nii.gz`` lie beside them.
    """
    home.mkdir()
    files = {sequence: home / f"{sequence}.nii.gz" for sequence in sequences}
    for image, file in zip(images, files.values(), strict=True):
        whole = np.minimum(np.rint(image), np.iinfo(np.int16).max)
        write_array(whole, affine, file, dtype=np.int16)
    for array, what in ((labels, "label"), (mask, "mask")):
        write_array(array.astype(np.uint8), affine, home / f"{what}.nii.gz", dtype=np.uint8)
    return files
