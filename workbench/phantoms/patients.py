"""What phantoms of volumes share when they are written: how many subjects, a patient's files, a cohort of patients."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from workbench.errors import SettingsError
from workbench.imaging.cohort import Cohort, read_cohort, write_cohort, write_label_names
from workbench.imaging.nifti import write_array
from workbench.imaging.subject import Subject
from workbench.phantoms.new_folder import new_folder
from workbench.progress import Progress


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


def write_patients(
    out: Path,
    kind: str,
    n_subjects: int,
    write: Callable[[Path, str, int], tuple[Subject, dict[str, Any]]],
    label_names: dict[int, str],
    told: Mapping[str, Any],
    progress: Progress,
) -> Cohort:
    """Write a cohort of patients, one in memory at a time, with ``labels.json`` and ``truth.json``.

    Args:
        out: the cohort's folder; must not exist, or be empty.
        kind: patients are ``<kind>-01``, ``<kind>-02``, …
        n_subjects: how many.
        write: writes a patient, told the cohort's folder, the name and the number from 0; gives the subject and its
            truth.
        label_names: value → name.
        told: what ``truth.json`` says of all, before the truth of each.
        progress: told of each subject; may cancel, which removes everything.

    Raises:
        CohortError: the folder is in use.
    """
    with new_folder(out) as partial:
        subjects, truth = [], {}
        for i in range(n_subjects):
            name = f"{kind}-{i + 1:02d}"
            progress(i / n_subjects, f"Making {name}, {i + 1} of {n_subjects}")
            subject, truth[name] = write(partial, name, i)
            subjects.append(subject)
        write_cohort(partial, subjects)
        write_label_names(partial, label_names)
        content = {**told, "subjects": truth}
        (partial / "truth.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        progress(1.0, f"Made {n_subjects} patients")
    return read_cohort(Path(out).absolute())
