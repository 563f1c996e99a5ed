"""The table of a benchmark that goes on where it was cut off: what was done is kept row by row."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd


def append(out: Path, rows: Sequence[dict[str, Any]], columns: Sequence[str], digits: int = 4) -> None:
    """Add rows in one write, with a header where the table is new."""
    text = pd.DataFrame(rows, columns=list(columns)).round(digits).to_csv(index=False, header=not out.exists())
    with out.open("a", encoding="utf-8") as stream:
        stream.write(text)


def has_row(out: Path, **values: str) -> bool:
    """Say whether the table has a row with these values, column by column."""
    if not out.exists():
        return False
    table = pd.read_csv(out, dtype=dict.fromkeys(values, str))
    return bool((table[list(values)] == pd.Series(values)).all(axis=1).any())
