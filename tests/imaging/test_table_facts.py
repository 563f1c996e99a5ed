from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from workbench.imaging.cohort import Cohort, read_cohort
from workbench.imaging.table_facts import table_facts


@pytest.fixture
def cohort(tmp_path: Path) -> Cohort:
    """Make four subjects: a good row, one with an empty cell, one with other columns, one without a table."""
    (tmp_path / "a.csv").write_text("left,right\n1,2\n")
    (tmp_path / "b.csv").write_text("left,right\n3,\n")
    (tmp_path / "c.csv").write_text("left\n5\n")
    rows = "a,a.csv,patient\nb,b.csv,control\nc,c.csv,control\nd,,control\n"
    (tmp_path / "cohort.csv").write_text("subject,features:MRI,target\n" + rows)
    return read_cohort(tmp_path)


def test_rows_columns_and_empty_cells_are_counted(cohort: Cohort) -> None:
    (found,) = table_facts(cohort)
    assert found.name == "MRI" and found.columns == ("left", "right")
    assert found.subjects == ("a", "b") and found.targets == ("patient", "control")
    assert np.array_equal(found.values, [[1, 2], [3, np.nan]], equal_nan=True) and found.n_missing == 1


def test_a_row_with_other_columns_is_left_out_and_said(cohort: Cohort) -> None:
    (found,) = table_facts(cohort)
    assert len(found.problems) == 1 and "MRI of c has other columns than that of a" in found.problems[0]


def test_a_table_that_cannot_be_read_is_a_sentence(cohort: Cohort) -> None:
    (cohort.path.parent / "a.csv").write_text("left,right\none,two\n")
    (found,) = table_facts(cohort)
    assert "a" not in found.subjects and any("a.csv" in p for p in found.problems)


def test_a_cohort_without_tables_has_none(tmp_path: Path) -> None:
    (tmp_path / "cohort.csv").write_text("subject\nx\n")
    assert table_facts(read_cohort(tmp_path)) == []
