"""Tables beside the images: targets, groups and covariates of subjects that a column names."""

from __future__ import annotations

import csv
import re
from pathlib import Path

from workbench.imaging.cohort import PATH_COLUMNS, TEXT_COLUMNS
from workbench.imaging.drafts import Draft, Plan
from workbench.imaging.tree import suffix

MAX_TABLE_BYTES = 16_000_000
MAX_COLUMNS = 200
MIN_SHARE = 0.5  # of the subjects, before a column is believed to hold their names
MIN_FOUND = 3  # cells, where most rows of the table are of nobody here
CLASSES = set(
    """benign malignant normal abnormal healthy control controls patient patients positive negative disease cancer tumor
    tumour ad mci emci lmci cn hc nc smc asd tc td sz scz adhd pd ms ftd covid pneumonia""".split()  # noqa: SIM905
)
DIAGNOSES = {"diagnosis", "dx", "class", *CLASSES} - {"normal", "abnormal", "positive", "negative"}
MAX_CLASSES = 10
RESERVED = {"subject", *PATH_COLUMNS}


def attach_tables(tables: list[Path], drafts: list[Draft], plan: Plan) -> set[Path]:
    """Attach CSV and TSV tables that name at least half of the subjects, and give those that did.

    Columns ``target``, ``group`` and ``split`` keep their meaning; every other one becomes a covariate. What is
    attached is written into ``drafts``, what was done into ``plan.notes``.
    """
    used = set()
    by_name = {draft.name: draft for draft in drafts}
    for table in tables:
        rows = read_table(table)
        key = _key_column(rows, set(by_name))
        if key is None:
            continue
        used.add(table)
        target = _target_column(rows, key)
        matched = [(by_name[row[key]], row) for row in rows if row.get(key) in by_name]
        for draft, row in matched:
            _attach(draft, {("target" if c == target else c): v for c, v in row.items() if c != key})
        plan.notes.append(
            f"{table.name} names {len(matched)} of {len(drafts)} subjects in its column {key}; its other columns were "
            "taken over. See that none of them tells who a person is."
            + (f" {target} became the target; rename columns in cohort.csv to choose another." if target else "")
        )
    return used


def classes_from_names(drafts: list[Draft], plan: Plan) -> None:
    """Where every name begins with a word for a diagnosis, or every file lies in such a folder, make it the target."""
    words = [re.split(r"[_\-. (]", draft.name)[0].lower() for draft in drafts]
    if len(set(words)) < 2 or not set(words) <= CLASSES or any(draft.target for draft in drafts):
        return
    for draft, word in zip(drafts, words, strict=True):
        draft.target = word
    plan.notes.append(f"Names begin with {', '.join(sorted(set(words)))}: that became the target.")


def read_table(path: Path) -> list[dict[str, str]]:
    """Read a CSV or TSV table with a header as rows of stripped text; nothing if it is none or too large."""
    try:
        if suffix(path).lower() not in (".csv", ".tsv") or path.stat().st_size > MAX_TABLE_BYTES:
            return []
        with path.open(newline="", encoding="utf-8-sig", errors="replace") as stream:
            head = stream.readline()
            stream.seek(0)
            delimiter = max(",\t;", key=head.count)
            rows = list(csv.DictReader(stream, delimiter=delimiter))
    except (csv.Error, OSError):
        return []
    if not rows or len(rows[0]) > MAX_COLUMNS:
        return []
    return [
        {(k or "").strip(): v.strip() for k, v in row.items() if isinstance(k, str) and isinstance(v, str)}
        for row in rows
    ]


def _key_column(rows: list[dict[str, str]], names: set[str]) -> str | None:
    """Find the column whose cells are subjects' names, each at most once."""
    for column in rows[0] if rows else ():
        cells = [row.get(column, "") for row in rows]
        found = [cell for cell in cells if cell in names]
        is_enough = len(found) >= max(1, MIN_SHARE * len(names))
        if is_enough and len(found) == len(set(found)) >= min(MIN_FOUND, MIN_SHARE * len(rows)):
            return column
    return None


def _target_column(rows: list[dict[str, str]], key: str) -> str | None:
    """Find the one column that is called after a diagnosis and holds a few classes, where none is called target."""
    columns = [c for c in rows[0] if c and c != key]
    if any(c.lower() == "target" for c in columns):
        return None
    named = [c for c in columns if c.lower() in DIAGNOSES]
    classes = [c for c in named if 2 <= len({row[c] for row in rows if row.get(c)} - {"n/a"}) <= MAX_CLASSES]
    return classes[0] if len(classes) == 1 else None


def _attach(draft: Draft, cells: dict[str, str]) -> None:
    for column, value in cells.items():
        if not column or value in ("", "n/a"):
            continue
        if column in TEXT_COLUMNS:
            setattr(draft, column, value)
        elif column in RESERVED or re.match(r"(image|features):", column):
            draft.covariates[f"table_{column}"] = value
        else:
            draft.covariates.setdefault(column, value)
