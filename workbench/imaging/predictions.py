"""Predictions as files, all of them or none: a NIfTI a subject on the lattice of its input, or one table of rows."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

from workbench.errors import CohortError
from workbench.imaging.cohort import Cohort
from workbench.imaging.nifti import write_result
from workbench.imaging.subject import Subject
from workbench.imaging.volume import Volume
from workbench.progress import Progress, silent

Row = dict[str, float | str]
TABLE = "predictions.csv"


def write_predictions(
    cohort: Cohort, predict: Callable[[Subject], Volume | Row], out: Path, progress: Progress = silent
) -> list[Path]:
    """Predict every subject and write what came.

    Args:
        cohort: whom to predict.
        predict: gives a Volume, written as ``<subject>.nii.gz``, or a row of named numbers and words (scores, a
            class), written with the subject's name into ``predictions.csv``.
        out: the new folder.
        progress: told before each subject.

    Returns:
        The files: the volumes in the cohort's order, then the table.

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
        names: list[str] = []
        rows: list[Row] = []
        for i, subject in enumerate(cohort):
            progress(i / len(cohort), f"Predicting {subject.name}, {i + 1} of {len(cohort)}")
            made = predict(subject)
            if isinstance(made, Volume):
                names.append(f"{subject.name}.nii.gz")
                write_result(made, partial / names[-1])
            else:
                rows.append({"subject": subject.name, **made})
        if rows:
            names.append(TABLE)
            _write_rows(rows, partial / TABLE)
        progress(1.0, f"Predicted {len(cohort)} subjects")
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return [out / name for name in names]


def _write_rows(rows: list[Row], path: Path) -> None:
    """Write rows under all columns that any of them has; what a row lacks stays empty."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
