"""A table with one row a subject: its numbers become a feature vector, its words covariates and target."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from workbench.errors import UnreadableFile
from workbench.imaging.covariates import RESERVED, read_table
from workbench.imaging.drafts import Draft, Plan, Source
from workbench.imaging.tree import safe_name, stem

MAX_ROWS = 20_000
IDS = (
    "subject",
    "subject_id",
    "participant_id",
    "participant",
    "id",
    "case",
    "case_id",
    "name",
    "rid",
    "ptid",
    "sub_id",
    "code",
)
TARGETS = ("target", "diagnosis", "class", "dx", "label", "outcome", "y")
PERSONAL = (
    "age",
    "sex",
    "gender",
    "male",
    "female",
    "site",
    "center",
    "education",
    "group",
    "split",
    "visit",
    "session",
)
EMPTY = ("", "n/a", "na", "nan", "null", "none", ".")


def is_feature_table(path: Path) -> bool:
    """Say whether a table names its rows, a target, or a person's age or sex: a time series does none of these."""
    rows = read_table(path)
    names = {column.lower() for column in rows[0]} if rows else set()
    return bool(names & {*IDS, *TARGETS, *PERSONAL}) or any(
        not _is_numeric(rows, column) for column in (rows[0] if rows else ())
    )


def read_feature_table(path: Path, layout: str = "file") -> Plan:
    """Plan a cohort from a CSV or TSV table with a header and a row a subject.

    The first column with a name such as ``subject`` or ``id`` names the subjects, else they are numbered; ``target``,
    ``diagnosis`` or ``class`` is the target; other columns of numbers become ``features:<file>``, with nan where a
    cell is empty; the rest, age, sex and site become covariates.

    Raises:
        UnreadableFile: no table, no numbers, or too many rows.
    """
    rows = read_table(path)
    if not rows or len(rows) > MAX_ROWS:
        raise UnreadableFile(
            f"{path.name} was expected to be a table with a header and 1 to {MAX_ROWS:,} rows, one a subject; it has "
            f"{len(rows)} that can be read."
        )
    columns = list(rows[0])
    key = next((c for c in columns if c.lower() in IDS and len({row.get(c) for row in rows}) == len(rows)), None)
    target = next((c for word in TARGETS for c in columns if c.lower() == word), None)
    words = [c for c in columns if c not in (key, target) and (c.lower() in PERSONAL or not _is_numeric(rows, c))]
    numbers = [c for c in columns if c not in (key, target, *words)]
    if not numbers:
        raise UnreadableFile(
            f"{path.name} has no column of numbers; a table of features has one row a subject and one column a feature."
        )
    plan = Plan(layout)
    name = safe_name(stem(path), "table")
    for index, row in enumerate(rows, start=1):
        draft = Draft(row[key] if key and row.get(key) else f"{name}-{index:04d}", target=_cell(row, target) or None)
        draft.files[f"features:{name}"] = Source(path, shown=f"{path.name}, row {index}", text=_vector(row, numbers))
        draft.covariates = {_column(c): value for c in words if (value := _cell(row, c))}
        plan.drafts.append(draft)
    plan.notes.append(
        f"{path.name}: {len(numbers)} columns of numbers became features"
        + (f", {target} the target" if target else "")
        + (f", {', '.join(words)} covariates" if words else "")
        + "."
    )
    return plan


def _cell(row: dict[str, str], column: str | None) -> str:
    value = row.get(column or "", "")
    return "" if value.lower() in EMPTY else value


def _column(name: str) -> str:
    reserved = name.lower() in (*RESERVED, "group", "split") or name.startswith(("image:", "features:"))
    return f"table_{name}" if reserved else name


def _is_numeric(rows: list[dict[str, str]], column: str) -> bool:
    """Say whether every cell that is not empty is a number, and at least one is."""
    cells = [cell for row in rows if (cell := _cell(row, column))]
    try:
        for cell in cells:
            float(cell)
    except ValueError:
        return False
    return bool(cells)


def _vector(row: dict[str, str], columns: list[str]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerow([_cell(row, column) or "nan" for column in columns])
    return text.getvalue()
