"""The repetition time (TR) of a 4-D image: whether its fourth axis is time, and whether its header can be meant so."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from workbench.errors import WorkbenchError
from workbench.imaging.files import NIFTI_SUFFIXES
from workbench.imaging.guard import reading
from workbench.imaging.nifti import SECONDS_PER_UNIT
from workbench.imaging.scrub import check_nifti
from workbench.imaging.tree import stem, suffix

LEAST_S, MOST_S = 0.02, 50.0  # of any functional series
MANY = 20  # volumes: more than an image has channels


def repetition_time(path: Path) -> tuple[float | None, str]:
    """Read the time from one volume to the next from a NIfTI header.

    Scanners' programs write milliseconds under the unit of seconds, and the other way round; a time that no scanner
    has is therefore read in the other unit.

    Returns:
        Seconds, or None where the header gives none; and a sentence where it was not taken as written, else "".

    Raises:
        FileError, GeometryError: no NIfTI image that can be used.
    """
    import nibabel as nib

    shape = check_nifti(path)
    if len(shape) < 4 or shape[3] < 2:
        return None, ""
    with reading(path, "a NIfTI image"):
        header = nib.load(path).header
        step = float(header["pixdim"][4])  # type: ignore[index]
        unit = int(header["xyzt_units"]) & 56  # type: ignore[index]
    if not np.isfinite(step) or step <= 0:
        return None, f"The header gives no repetition time ({step:g})."
    seconds = step * SECONDS_PER_UNIT.get(unit, 1.0)
    if LEAST_S <= seconds <= MOST_S:
        return seconds, ""
    other = step * (1e-3 if seconds > MOST_S else 1.0)
    if LEAST_S <= other <= MOST_S:
        return other, f"The header's repetition time of {seconds:g} s cannot be; it was taken for {other:g} s."
    return None, f"The header's repetition time of {seconds:g} s cannot be."


def is_bold(path: Path) -> bool:
    """Say whether a file is a 4-D image over time, by its header: many volumes, or a repetition time that is not 1.

    Diffusion images, which have gradients (``.bval``) beside them, are none.
    """
    if suffix(path).lower() not in NIFTI_SUFFIXES:
        return False
    if any(path.with_name(stem(path) + ending).exists() for ending in (".bval", ".bvec", ".bvals", ".bvecs")):
        return False
    try:
        shape = check_nifti(path)
        if len(shape) < 4 or shape[3] < 2:
            return False
        return shape[3] >= MANY or repetition_time(path)[0] not in (None, 1.0)
    except WorkbenchError:
        return False
