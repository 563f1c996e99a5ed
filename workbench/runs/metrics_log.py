"""metrics.csv: one row a value, appended while training and readable at any moment."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.runs.folder import write_file

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("time", "stage", "epoch", "step", "name", "value")


def append_metrics(path: Path, stage: str, epoch: int, step: int, values: Mapping[str, float]) -> None:
    """Append values of one moment.

    Args:
        path: the metrics.csv; begun when missing.
        stage: name of the stage.
        epoch: epoch of the stage, from 1.
        step: batches done in the stage.
        values: by metric name; names of values within an epoch end in ``_step``.
    """
    now = f"{time.time():.3f}"
    text = _lines([now, stage, epoch, step, name, f"{value:.9g}"] for name, value in values.items())
    header = "" if path.exists() and path.stat().st_size else _lines([COLUMNS])
    with path.open("a", encoding="utf-8", newline="") as file:
        file.write(header + text)


def rewind_metrics(path: Path, keep: Callable[[str, int], bool]) -> None:
    """Drop the rows that a resumed run is about to write again, and a half-written last line.

    Args:
        path: the metrics.csv; may be missing.
        keep: gets the stage and step of a row.
    """
    if not path.exists():
        return
    rows = [row for row in _whole_rows(path) if keep(row[1], int(row[3]))]
    text = _lines([COLUMNS, *rows])
    write_file(path, lambda partial: partial.write_text(text, encoding="utf-8", newline=""))


def read_metrics(path: Path) -> pd.DataFrame:
    """Read every whole row: time (s since 1970), stage, epoch, step, name, value; empty when there is no file."""
    import pandas as pd

    rows = _whole_rows(path) if path.exists() else []
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    kinds = {"time": "float64", "stage": "str", "epoch": "int64", "step": "int64", "name": "str", "value": "float64"}
    return table.astype(kinds)


def _whole_rows(path: Path) -> list[list[str]]:
    """Give the rows that are complete; the last line counts only with its line end."""
    text = path.read_bytes().decode("utf-8", errors="replace")
    text = text[: text.rfind("\n") + 1]
    return [row for row in csv.reader(io.StringIO(text)) if _is_row(row)]


def _is_row(row: list[str]) -> bool:
    if len(row) != len(COLUMNS):
        return False
    try:
        float(row[0]), int(row[2]), int(row[3]), float(row[5])
    except ValueError:
        return False
    return True


def _lines(rows: object) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)  # type: ignore[arg-type]
    return buffer.getvalue()
