"""One row of numbers with their names: what a column ``features:<name>`` of a cohort leads to."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np

from workbench.errors import UnreadableFile
from workbench.imaging.arrays import ALONE, ARRAY_SUFFIXES, read_array, read_headers
from workbench.imaging.guard import check_file, check_size, reading

MAX_BYTES = 64_000_000
EMPTY = ("", "n/a", "na", "nan", "null", "none", ".")
NAMES, VALUES = ("names", "columns", "features"), ("values", "features", "x", "data")


class FeatureVector(NamedTuple):
    """Numbers with their names.

    Attributes:
        names: (V,) of the columns; x1, x2, … where the file has none.
        values: (V,) float32, in the units of the file; NaN where a cell is empty.
    """

    names: tuple[str, ...]
    values: np.ndarray


def read_feature_vector(path: Path) -> FeatureVector:
    """Read one row of numbers.

    Args:
        path: a CSV or TSV of a header and one row, or of one row of numbers alone; an ``.npy``; or an ``.npz`` with
            one array of numbers and, if it likes, an array ``names`` of as many texts.

    Raises:
        FileError: absent, damaged, too large, several rows, or cells that are no numbers.
    """
    found = _from_arrays(path) if path.suffix.lower() in ARRAY_SUFFIXES else _from_table(path)
    if not len(found.values):
        raise UnreadableFile(f"{path.name} holds no numbers; a feature vector has one row with at least one number.")
    if np.isinf(found.values).any():
        raise UnreadableFile(f"{path.name} holds infinite values; replace them, or leave their cells empty.")
    return found


def write_feature_vector(path: Path, names: tuple[str, ...] | list[str], values: np.ndarray) -> None:
    """Write a CSV of a header and one row, every float32 exactly."""
    if len(names) != len(values):
        raise ValueError(f"{len(names)} names do not fit {len(values)} values")
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, lineterminator="\n").writerows([names, [f"{v:.9g}" for v in values.tolist()]])


def _from_table(path: Path) -> FeatureVector:
    kind = "a table of one row"
    check_file(path, kind)
    check_size(path)
    with reading(path, kind), path.open(newline="", encoding="utf-8-sig") as stream:
        text = stream.read(MAX_BYTES + 1)
    if len(text) > MAX_BYTES:
        raise UnreadableFile(f"{path.name} is longer than {MAX_BYTES // 10**6} MB; a feature vector has one row.")
    lines = text.splitlines()
    delimiter = max(",\t;", key=lines[0].count) if lines else ","
    rows = [row for row in csv.reader(lines, delimiter=delimiter) if any(cell.strip() for cell in row)]
    has_header = len(rows) > 1 or not rows or not all(_is_number(cell) for cell in rows[0])
    names, numbers = (rows[0] if rows else [], rows[1:]) if has_header else (_numbered(len(rows[0])), rows)
    if len(numbers) != 1 or len(numbers[0]) != len(names):
        raise UnreadableFile(
            f"{path.name} was expected to have a header and one row of as many numbers, but has {len(numbers)} rows "
            f"under {len(names)} columns; write one file a subject."
        )
    wrong = [f"{name} = {cell!r}" for name, cell in zip(names, numbers[0], strict=True) if not _is_number(cell)]
    if wrong:
        raise UnreadableFile(
            f"{path.name} should hold numbers, but {', '.join(wrong[:3])}; make words covariates, or leave cells empty."
        )
    values = [float("nan") if cell.strip().lower() in EMPTY else float(cell) for cell in numbers[0]]
    return FeatureVector(tuple(name.strip() for name in names), np.asarray(values, np.float32))


def _from_arrays(path: Path) -> FeatureVector:
    headers = read_headers(path)
    numeric = [name for name, header in headers.items() if header.dtype.kind in "biuf"]
    texts = [name for name, header in headers.items() if header.dtype.kind == "U"]
    chosen = next((n for n in (ALONE, *VALUES) if n in numeric), numeric[0] if len(numeric) == 1 else None)
    if chosen is None:
        raise UnreadableFile(
            f"{path.name} has the arrays {', '.join(headers) or 'none'}; expected one array of numbers, or one named "
            f"{VALUES[0]}."
        )
    shape = headers[chosen].shape
    if sum(n > 1 for n in shape) > 1:
        raise UnreadableFile(f"{path.name} has an array of shape {shape}; a feature vector has one row of numbers.")
    values = read_array(path, chosen).astype(np.float32).reshape(-1)
    names_in = next((n for n in NAMES if n in texts), None)
    names = _numbered(len(values)) if names_in is None else [str(n) for n in read_array(path, names_in).reshape(-1)]
    if len(names) != len(values):
        raise UnreadableFile(f"{path.name} has {len(names)} names for {len(values)} numbers; give one name a number.")
    return FeatureVector(tuple(names), values)


def _is_number(cell: str) -> bool:
    if cell.strip().lower() in EMPTY:
        return True
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _numbered(n: int) -> list[str]:
    return [f"x{i}" for i in range(1, n + 1)]
