"""Predictions as files: one NIfTI a subject, on the lattice of its input, all of them or none."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from workbench.errors import CohortError
from workbench.imaging.cohort import Cohort
from workbench.imaging.nifti import write_nifti
from workbench.imaging.subject import Subject
from workbench.imaging.volume import Volume
from workbench.progress import Progress, silent


def write_predictions(
    cohort: Cohort, predict: Callable[[Subject], Volume], out: Path, progress: Progress = silent
) -> list[Path]:
    """Predict every subject and write ``<subject>.nii.gz``.

    Raises:
        CohortError: ``out`` exists already.
        Cancelled: ``progress`` said so; nothing is left behind.
    """
    if out.exists():
        raise CohortError(f"{out} exists already; name a new folder for the predictions.")
    partial = out.with_name(f"{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        names = []
        for i, subject in enumerate(cohort):
            progress(i / len(cohort), f"Predicting {subject.name}, {i + 1} of {len(cohort)}")
            names.append(f"{subject.name}.nii.gz")
            write_nifti(predict(subject), partial / names[-1])
        progress(1.0, f"Predicted {len(names)} subjects")
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return [out / name for name in names]
