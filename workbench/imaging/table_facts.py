"""What the feature tables of a cohort hold: columns, subjects, empty cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workbench.errors import FileError
from workbench.imaging.cohort import Cohort
from workbench.progress import Progress, silent

EVERY = 50


@dataclass(frozen=True, eq=False)
class TableFacts:
    """One feature table, a row a subject.

    Attributes:
        name: as in ``features:<name>``.
        columns: (V,) names.
        subjects: (N,) whose row could be read and has these columns.
        targets: (N,) their targets as written; empty text where there is none.
        values: (N, V) float32, NaN where a cell is empty.
        problems: sentences on rows that were left out.
    """

    name: str
    columns: tuple[str, ...]
    subjects: tuple[str, ...]
    targets: tuple[str, ...]
    values: np.ndarray
    problems: tuple[str, ...]

    @property
    def n_missing(self) -> int:
        """How many cells are empty."""
        return int(np.isnan(self.values).sum())


def table_facts(cohort: Cohort, progress: Progress = silent) -> list[TableFacts]:
    """Read every feature table of a cohort; the columns are those of the first subject who has it."""
    names = dict.fromkeys(name for subject in cohort for name in subject.features)
    return [_facts(cohort, name, progress) for name in names]


def _facts(cohort: Cohort, name: str, progress: Progress) -> TableFacts:
    columns: tuple[str, ...] = ()
    rows: list[np.ndarray] = []
    subjects: list[str] = []
    targets: list[str] = []
    problems: list[str] = []
    for i, subject in enumerate(cohort):
        if i % EVERY == 0:
            progress(i / len(cohort), f"Reading {name} of {subject.name}, {i + 1} of {len(cohort)}")
        if name not in subject.features:
            continue
        try:
            found = subject.feature_vector(name)
        except FileError as error:
            problems.append(str(error))
            continue
        columns = columns or found.names
        if found.names != columns:
            problems.append(
                f"{name} of {subject.name} has other columns than that of {subjects[0]} ({len(found.names)} and "
                f"{len(columns)}); give every subject the same."
            )
            continue
        rows.append(found.values)
        subjects.append(subject.name)
        targets.append(subject.target or "")
    values = np.stack(rows) if rows else np.zeros((0, len(columns)), np.float32)
    return TableFacts(name, columns, tuple(subjects), tuple(targets), values, tuple(problems))
