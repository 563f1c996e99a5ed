"""Numbers in columns of text, with or without a header: CSV, TSV, and blanks, gzipped or not."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from workbench.errors import TooLarge, UnreadableFile
from workbench.imaging.guard import check_file, reading
from workbench.imaging.limits import in_words, open_stream

MAX_CHARACTERS = 256_000_000  # once unpacked
MAX_COLUMNS = 20_000
EMPTY = ("", "n/a", "na", "nan", "null", "none", ".")
INDEX_NAMES = ("", "index", "time", "t", "volume", "frame", "scan", "tr", "unnamed: 0")


class TextTable(NamedTuple):
    """Columns of numbers.

    Attributes:
        values: (rows, columns) float32, NaN where a cell is empty.
        names: of the columns; None where the file has no header.
        notes: sentences on what was taken for what.
    """

    values: np.ndarray
    names: list[str] | None
    notes: list[str]


def read_text_table(path: Path) -> TextTable:
    """Read columns of numbers apart from each other by commas, tabs, semicolons or blanks.

    The first row is a header if a cell of it is no number, or if it holds different whole numbers (the labels of an
    atlas) above numbers that are not whole. A first column that only counts is left out.

    Raises:
        UnreadableFile: rows of different lengths, or cells that are no numbers.
        TooLarge: more text or columns than are read.
    """
    check_file(path, "a table of numbers")
    with reading(path, "a table of numbers"), open_stream(path) as binary:
        lines = _lines(io.TextIOWrapper(binary, encoding="utf-8-sig"), path.name)
        first = next(lines, "")
        cells = _split(itertools.chain([first], lines), first)
        names, values = _numbers(cells, path.name)
    if values.size == 0:
        raise UnreadableFile(f"{path.name} holds no numbers; expected a row for each time point.")
    notes: list[str] = []
    if names is None and _is_label_row(values):
        names, values = [f"{v:.0f}" for v in values[0]], values[1:]
        notes.append("The first row holds whole numbers, each once, and was taken for the names of the regions.")
    counts = values.shape[1] > 1 and _counts(values[:, 0])
    if names is not None and counts and names[0].strip().lower() in INDEX_NAMES:
        notes.append(f"The first column ({names[0].strip() or 'without a name'}) only counts and was left out.")
        names, values = names[1:], values[:, 1:]
    return TextTable(np.ascontiguousarray(values, np.float32), names, notes)


def _lines(stream: io.TextIOWrapper, name: str) -> Iterator[str]:
    """Give the lines that are not empty, up to the limit; the mark ``#`` before a header is dropped."""
    n = 0
    is_first = True
    while line := stream.readline(MAX_CHARACTERS // 8):
        n += len(line)
        if n > MAX_CHARACTERS:
            raise TooLarge(
                f"{name} holds more than {in_words(MAX_CHARACTERS)} of text; save it as a .npy of float32 instead."
            )
        if line.strip():
            yield line.lstrip("# ") if is_first else line
            is_first = False


def _split(lines: Iterator[str], first: str) -> Iterator[list[str]]:
    delimiter = max(",\t;", key=first.count)
    if delimiter in first.strip():
        yield from csv.reader(lines, delimiter=delimiter)
    else:
        yield from (line.split() for line in lines)


def _numbers(rows: Iterator[list[str]], name: str) -> tuple[list[str] | None, np.ndarray]:
    """Read the header, where there is one, and float64 rows of one length."""
    names: list[str] | None = None
    numbers: list[np.ndarray] = []
    width = 0
    for index, row in enumerate(rows):
        row = row[:-1] if len(row) == width + 1 and not row[-1].strip() else row  # a delimiter at the line's end
        if index == 0:
            width = len(row)
            if width > MAX_COLUMNS:
                raise TooLarge(f"{name} has {width} columns; at most {MAX_COLUMNS} regions are read.")
            if not all(_is_number(cell) for cell in row):
                names = [cell.strip() for cell in row]
                continue
        if len(row) != width:
            raise UnreadableFile(
                f"{name} has {len(row)} cells in row {index + 1} but {width} in the first; give every row the same."
            )
        numbers.append(_row(row, index, name))
    return names, np.stack(numbers) if numbers else np.zeros((0, width))


def _row(row: list[str], index: int, name: str) -> np.ndarray:
    try:
        return np.array([float(cell) for cell in row])
    except ValueError:
        pass
    wrong = next((cell for cell in row if not _is_number(cell)), None)
    if wrong is not None:
        raise UnreadableFile(
            f"{name} should hold numbers, but row {index + 1} has {wrong.strip()[:40]!r}; only the first row may have "
            "names."
        )
    return np.array([float("nan") if cell.strip().lower() in EMPTY else float(cell) for cell in row])


def _is_number(cell: str) -> bool:
    if cell.strip().lower() in EMPTY[1:]:
        return True
    try:
        float(cell)
    except ValueError:
        return not cell.strip()
    return True


def _is_label_row(values: np.ndarray) -> bool:
    """Say whether the first row names the columns by numbers: whole, each once, above values that are not whole."""
    first, rest = values[0], values[1:]
    if len(rest) < 2 or not np.isfinite(first).all() or np.any(first != np.rint(first)) or np.any(first < 0):
        return False
    known = rest[np.isfinite(rest)]
    return len(set(first)) == len(first) > 1 and bool(np.mean(known != np.rint(known)) > 0.5)


def _counts(column: np.ndarray) -> bool:
    """Say whether a column goes up by equal steps."""
    steps = np.diff(column)
    return len(steps) > 1 and bool(steps[0] > 0 and np.allclose(steps, steps[0], rtol=1e-3))
