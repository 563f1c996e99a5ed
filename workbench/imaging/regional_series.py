"""Time series of regions as tables: the (T, R) matrix behind every functional network (Section 3.5).

Rows are time. A file that stores the regions as rows is turned: by the number of region names where it has them, by
the number of regions that its cohort has, else by what tells time from regions in :mod:`workbench.imaging.time_axis`.
What was turned, dropped or odd is said in ``notes``.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from workbench.errors import FileError, UnreadableFile
from workbench.imaging.arrays import ALONE, ARRAY_SUFFIXES, Header, read_array, read_headers
from workbench.imaging.guard import check_file, writing
from workbench.imaging.series_text import read_text_table
from workbench.imaging.time_axis import time_axis
from workbench.imaging.tree import suffix

TEXT_SUFFIXES = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz")
SERIES_SUFFIXES = (*TEXT_SUFFIXES, *ARRAY_SUFFIXES)
KEYS = ("tc", "series", "timeseries", "values", "data", "ts")  # of the array in an .npz, the first that is there
NAME_KEYS, TR_KEYS = ("names", "regions"), ("tr", "tr_s")
FLAT = 1e-6  # of the largest magnitude: what varies less is constant in float32
N_SHOWN = 5


@dataclass(frozen=True, eq=False)
class RegionalSeries:
    """Mean signals of regions over time.

    Attributes:
        values: (T, R) float32 in the units of the file; NaN where nothing is known.
        regions: (R,) names, none twice; ``region 1``, ``region 2``, … where the file has none.
        tr_s: seconds from one row to the next; None where unknown.
        source: the file's name.
        notes: sentences on what was done on the way and what is odd.
    """

    values: np.ndarray
    regions: tuple[str, ...]
    tr_s: float | None = None
    source: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.values.shape[1] != len(self.regions):
            raise ValueError(f"(T, R) values with R names expected; got {self.values.shape} and {len(self.regions)}")

    @property
    def n_times(self) -> int:
        """Rows, T."""
        return int(self.values.shape[0])

    @property
    def n_regions(self) -> int:
        """Columns, R."""
        return int(self.values.shape[1])

    @property
    def missing(self) -> tuple[str, ...]:
        """Regions without a single number."""
        return self._named(np.isnan(self.values).all(axis=0))

    @property
    def constant(self) -> tuple[str, ...]:
        """Regions whose signal never changes, so that they correlate with nothing."""
        return self._named(is_constant(self.values))

    def only(self, regions: tuple[str, ...]) -> RegionalSeries:
        """Give the same series with these regions alone, in this order."""
        at = {name: i for i, name in enumerate(self.regions)}
        return replace(self, values=self.values[:, [at[name] for name in regions]], regions=tuple(regions))

    def _named(self, which: np.ndarray) -> tuple[str, ...]:
        return tuple(name for name, yes in zip(self.regions, which, strict=True) if yes)


class _Table(NamedTuple):
    """What a file holds before it is checked: values as stored, names or None, TR or None, notes, rows are time."""

    values: np.ndarray
    names: list[str] | None
    tr_s: float | None
    notes: list[str]
    is_settled: bool


def read_regional_series(path: Path, n_regions: int | None = None) -> RegionalSeries:
    """Read a table of regional time series.

    Args:
        path: CSV, TSV, text in columns (any of them also gzipped), ``.npy``, or ``.npz`` with the array ``tc``,
            ``series``, ``timeseries``, ``values``, ``data``, ``ts``, or a single matrix that is not symmetric; there
            also ``names`` or ``regions`` and ``tr`` (s).
        n_regions: where it is known, decides which axis is time.

    Raises:
        FileError: absent, damaged, too large, pickled, complex, infinite; fewer than 2 regions or time points.
    """
    path = Path(path)
    ending = suffix(path).lower()
    if ending not in SERIES_SUFFIXES:
        raise UnreadableFile(
            f"{path.name} was expected to be a table of regional time series and to end in one of "
            f"{', '.join(SERIES_SUFFIXES)}; of a 4-D image, extract the regions first."
        )
    table = _from_arrays(path) if ending in ARRAY_SUFFIXES else _from_text(path)
    values, notes = _turned(table, n_regions, path.name)
    n_times, n_found = values.shape
    if n_found < 2 or n_times < 2:
        raise UnreadableFile(
            f"{path.name} has {n_times} time points of {n_found} regions; at least 2 of each are needed for a network."
        )
    if np.isinf(values).any():
        raise UnreadableFile(f"{path.name} holds infinite values; replace them, or leave their cells empty.")
    if table.names is not None and len(table.names) != n_found:
        raise UnreadableFile(f"{path.name} has {len(table.names)} names for {n_found} regions; give each one name.")
    names, named = unique_regions(table.names or numbered(n_found))
    series = RegionalSeries(values, names, table.tr_s, path.name)
    return replace(series, notes=(*notes, *named, *gaps_of(series)))


def has_series(path: Path) -> bool:
    """Say whether a file of arrays holds one that can be a table of time series, by name or as its only matrix."""
    try:
        _chosen(path, read_headers(path))
    except FileError:
        return False
    return True


def write_regional_series(path: Path, series: RegionalSeries) -> None:
    """Write a CSV or TSV with a header of region names, every float32 exactly, or an ``.npz`` that keeps the TR too.

    The file appears at once or not at all.

    Raises:
        FileError: it cannot be written.
    """
    ending = suffix(path).lower()
    if ending not in (".csv", ".tsv", ".npz"):
        raise ValueError(f"a regional series is written as .csv, .tsv or .npz; got {path.name}")
    with writing(path) as partial:
        if ending == ".npz":
            tr = np.array(np.nan if series.tr_s is None else series.tr_s)
            with partial.open("wb") as file:
                np.savez_compressed(file, values=series.values, names=np.array(series.regions), tr=tr)
            return
        with partial.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream, delimiter="\t" if ending == ".tsv" else ",", lineterminator="\n")
            writer.writerow(series.regions)
            writer.writerows([f"{v:.9g}" for v in row] for row in series.values.tolist())


def is_constant(values: np.ndarray) -> np.ndarray:
    """Say of each column of (T, R) whether all of its numbers are one; False where there is none."""
    known = np.isfinite(values)
    high = np.where(known, values, -np.inf).max(axis=0)
    low = np.where(known, values, np.inf).min(axis=0)
    some = known.any(axis=0)
    high, low = np.where(some, high, 1.0), np.where(some, low, 0.0)
    return high - low <= FLAT * np.maximum(np.abs(high), np.abs(low))


def gaps_of(series: RegionalSeries) -> list[str]:
    """Give sentences on regions that are missing or constant, and on time points without a number."""
    notes = []
    if series.missing:
        notes.append(f"No signal at all in {some(series.missing)}.")
    if series.constant:
        notes.append(f"The signal of {some(series.constant)} never changes.")
    partly = np.isnan(series.values[:, ~np.isnan(series.values).all(axis=0)]).any(axis=1)
    if partly.any():
        times = [str(t + 1) for t in np.flatnonzero(partly)]
        notes.append(f"Values are missing at time point {some(times)}.")
    return notes


def some(names: tuple[str, ...] | list[str], limit: int = N_SHOWN) -> str:
    """Name a few, and count the others."""
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")


def numbered(n: int) -> list[str]:
    """Give the names of regions that have none."""
    return [f"region {i}" for i in range(1, n + 1)]


def unique_regions(names: list[str]) -> tuple[tuple[str, ...], list[str]]:
    """Fill empty names and number those that appear twice; also give a sentence on what was changed."""
    found: list[str] = []
    twice: list[str] = []
    taken = {name.strip() for name in names}
    used: set[str] = set()
    for i, raw in enumerate(names, start=1):
        base = name = raw.strip() or f"region {i}"
        number = 2
        while name in used or (name != base and name in taken):
            name, number = f"{base} ({number})", number + 1
        twice += [base] if name != base else []
        used.add(name)
        found.append(name)
    return tuple(found), [f"The name {some(twice)} appears more than once; the later ones were numbered."] * bool(twice)


def _turned(table: _Table, n_regions: int | None, name: str) -> tuple[np.ndarray, list[str]]:
    """Give (T, R) with what was done, by the first rule that decides."""
    values, notes = table.values, list(table.notes)
    rows, columns = values.shape
    known = len(table.names) if table.names is not None else n_regions
    if table.is_settled or rows == columns == known:
        return values, notes
    if known is not None and known in (rows, columns):
        turn, why = known == rows, f"there are {known} regions"
    else:
        axis, why = time_axis(values)
        turn = axis == 1
    if turn:
        notes.append(f"The {columns} columns were taken for time and the {rows} rows for regions, because {why}.")
        return np.ascontiguousarray(values.T), notes
    return values, notes


def _from_text(path: Path) -> _Table:
    table = read_text_table(path)
    return _Table(table.values, table.names, None, table.notes, table.names is not None)


def _from_arrays(path: Path) -> _Table:
    check_file(path, "a table of regional time series")
    headers = read_headers(path)
    chosen, notes = _chosen(path, headers)
    names_in = next((n for n in NAME_KEYS if n in headers and headers[n].dtype.kind == "U"), None)
    names = None if names_in is None else [str(n) for n in read_array(path, names_in).reshape(-1)]
    tr_in = next((n for n in TR_KEYS if n in headers and headers[n].dtype.kind in "iuf"), None)
    tr = float("nan") if tr_in is None else read_array(path, tr_in).reshape(-1)[:1].astype(float).sum()
    values = read_array(path, chosen)
    values = values.reshape(values.shape[-2:]).astype(np.float32)  # (T, R) or (R, T)
    return _Table(values, names, float(tr) if np.isfinite(tr) and tr > 0 else None, notes, False)


def _chosen(path: Path, headers: dict[str, Header]) -> tuple[str, list[str]]:
    """Choose the array of time series by name, or as the only matrix that is not symmetric; say what is passed over."""
    matrices = [n for n, h in headers.items() if h.dtype.kind in "biuf" and _is_matrix(h.shape)]
    named = next((n for n in (ALONE, *KEYS) if n in matrices), None)
    candidates = [n for n in matrices if n == named or not _is_symmetric(path, n, headers[n].shape)]
    chosen = named if named is not None else candidates[0] if len(candidates) == 1 else None
    if chosen is None:
        held = ", ".join(f"{n} ({' × '.join(map(str, h.shape))})" for n, h in headers.items()) or "none"
        raise UnreadableFile(
            f"{path.name} has the arrays {held}; expected one matrix of time × regions, or one named "
            f"{', '.join(KEYS[:-1])} or {KEYS[-1]}."
        )
    others = [f"{n} ({' × '.join(map(str, headers[n].shape))})" for n in matrices if n != chosen]
    return chosen, [f"Besides {chosen}, the matrix {', '.join(others)} was not used."] if others else []


def _is_matrix(shape: tuple[int, ...]) -> bool:
    return len(shape) == 2 or (len(shape) == 3 and shape[0] == 1)


def _is_symmetric(path: Path, name: str, shape: tuple[int, ...]) -> bool:
    if shape[-1] != shape[-2]:
        return False
    matrix = read_array(path, name).reshape(shape[-2:])
    return bool(np.allclose(matrix, matrix.T, equal_nan=True))
