"""Which tables of a source are time series, and which tell of subjects."""

from __future__ import annotations

import csv
import zlib
from collections.abc import Collection
from pathlib import Path

import numpy as np

from workbench.errors import FileError
from workbench.imaging.feature_tables import IDS, PERSONAL, TARGETS, is_feature_table
from workbench.imaging.limits import open_stream
from workbench.imaging.series_text import read_text_table
from workbench.imaging.tree import stem
from workbench.imaging.words import split_role

MIN_ROWS = 20
SLOW = 0.3  # lag-1 autocorrelation; of rows that are people, it lies around 0
MAX_LINE = 1_000_000


def series_name(path: Path) -> str:
    """Give the subject's name: the stem, without a word that only says that it is a series."""
    name = stem(path)
    found = split_role(name)
    return found[0] if found and found[0] and found[1].kind == "series" else name


def is_series_table(path: Path) -> bool:
    """Say whether a CSV or TSV by itself is a time series: by its name, or because its rows change slowly."""
    found = split_role(stem(path))
    if found is not None and found[1].kind == "series":
        return True
    if is_feature_table(path):
        return False
    try:
        values = read_text_table(path).values.astype(np.float64)
    except FileError:
        return False
    if len(values) < MIN_ROWS or values.shape[1] < 2 or not np.isfinite(values).all():
        return False
    x = values - values.mean(axis=0)
    power = (x * x).sum(axis=0)
    return bool((power > 0).any() and np.mean((x[1:] * x[:-1]).sum(axis=0)[power > 0] / power[power > 0]) > SLOW)


def tells_of_subjects(path: Path, names: Collection[str] = ()) -> bool:
    """Say whether the first two lines of a text table hold names of subjects, classes or other words of people.

    Args:
        path: the table.
        names: that subjects may have, for those that are numbers.
    """
    try:
        with open_stream(path) as stream:
            lines = [stream.readline(MAX_LINE).decode("utf-8-sig", "replace") for _ in range(2)]
    except (OSError, EOFError, zlib.error):
        return False
    delimiter = max(",\t;", key=lines[0].count)
    rows = [[c.strip() for c in next(csv.reader([line], delimiter=delimiter), [])] for line in lines]
    if delimiter not in lines[0].strip():
        rows = [line.split() for line in lines]
    if {c.lower() for c in rows[0]} & {*IDS, *TARGETS, *PERSONAL}:
        return True
    if any(cell in names for cell in rows[1]):
        return True
    return any(not _is_number(cell) for cell in rows[1] or rows[0] if cell)


def _is_number(cell: str) -> bool:
    try:
        return bool(float(cell) or True)
    except ValueError:
        return cell.lower() in ("nan", "n/a", "na", "null", "none", ".")
