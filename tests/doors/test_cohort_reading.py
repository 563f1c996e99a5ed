"""A cohort is read once for each state of its file, and its tables are told in sentences."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from workbench import workflow
from workbench.errors import CohortError
from workbench.imaging.cohort import Cohort, write_cohort
from workbench.imaging.feature_vectors import write_feature_vector


@pytest.fixture
def paired() -> Cohort:
    return workflow.make_phantom("paired", "paired", n_subjects=20)


def test_an_unchanged_cohort_is_not_read_again(paired: Cohort, monkeypatch: pytest.MonkeyPatch) -> None:
    first = workflow.open_cohort("paired")
    monkeypatch.setattr("workbench.imaging.cohort._table", lambda file: pytest.fail(f"{file} was read again"))
    assert workflow.open_cohort("paired") is first and workflow.open_cohort(paired.path.parent) is first
    assert workflow.list_cohorts() == [first]


def test_a_change_is_seen_at_once_even_of_the_same_size_and_time(paired: Cohort) -> None:
    before, stat = workflow.open_cohort("paired"), paired.path.stat()
    swap = {"control": "patient", "patient": "control"}
    write_cohort(paired.path.parent, [replace(s, target=swap[s.target or ""]) for s in before])
    os.utime(paired.path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    after = workflow.open_cohort("paired")
    assert [swap[s.target or ""] for s in before] == [s.target for s in after]


def test_a_cohort_that_became_unreadable_or_went_away_is_said(paired: Cohort) -> None:
    workflow.open_cohort("paired")
    paired.path.write_text("name\nx\n", encoding="utf-8")
    for _ in range(2):
        assert list(workflow.list_broken_cohorts()) == ["paired"]
    workflow.delete_cohort("paired")
    with pytest.raises(CohortError, match="There is no cohort at paired"):
        workflow.open_cohort("paired")


def test_tables_are_told_in_rows_columns_missing_cells_classes_and_groups(paired: Cohort, tmp_path: Path) -> None:
    names, values = paired.subjects[0].feature_vector("MRI")
    values[:3] = np.nan
    write_feature_vector(paired.subjects[0].features["MRI"], names, values)
    subjects = [replace(s, group=f"g{i % 4}", target=None if i == 5 else s.target) for i, s in enumerate(paired)]
    cohort = write_cohort(paired.path.parent, subjects)
    n_controls = sum(s.target == "control" for s in subjects)
    assert workflow.describe_tables(cohort) == [
        "MRI: 20 rows × 48 columns, 3 of 960 cells missing.",
        "PET: 20 rows × 48 columns, no cell missing.",
        f"2 classes: control {n_controls}, patient {19 - n_controls}; 1 without a target; 4 groups.",
    ]


def test_a_cohort_without_targets_or_groups_says_so(paired: Cohort) -> None:
    cohort = write_cohort(paired.path.parent, [replace(s, group=None, target=None) for s in paired])
    assert workflow.describe_tables(cohort)[-1] == "No targets; every subject a group of its own."
