"""The list that names the values of a label image, in any of the usual shapes."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np

from workbench.errors import UnreadableFile
from workbench.imaging.guard import check_file, reading

MAX_CHARACTERS = 4_000_000
NETWORK_WORDS = ("network", "networks", "system", "lobe", "community")


class RegionNames(NamedTuple):
    """Names of label values.

    Attributes:
        names: value → name.
        networks: value → network, where the list has one.
    """

    names: dict[int, str]
    networks: dict[int, str]


def read_region_names(path: Path, values: np.ndarray) -> RegionNames:
    """Read which value has which name.

    The column of values is the one of whole numbers that holds most of ``values``, so that lists such as
    ``1 Precentral_L 2001`` fit both images numbered 1, 2, … and 2001, 2002, …. The first column of words is the name;
    one called network, system or lobe, or else the second column of words, is the network. Lines that begin with
    ``#`` are passed over.

    Args:
        path: CSV, TSV, or text in columns.
        values: (R,) of the label image.

    Raises:
        FileError: damaged, no columns of values and names, or a list of other values.
    """
    check_file(path, "a list of regions")
    with reading(path, "a list of regions"), path.open(newline="", encoding="utf-8-sig") as stream:
        text = stream.read(MAX_CHARACTERS)
    rows = _rows(text)
    header = None
    if rows and len(rows) > 1 and not any(_is_whole(c) for c in rows[0]):
        header, rows = [c.lower() for c in rows[0]], rows[1:]
    width = min((len(row) for row in rows), default=0)
    whole = [c for c in range(width) if all(_is_whole(row[c]) for row in rows)]
    words = [c for c in range(width) if c not in whole and not all(_is_number(row[c]) for row in rows)]
    wanted = set(values.tolist())
    key = max(whole, key=lambda c: len(wanted & {int(float(row[c])) for row in rows}), default=None)
    if key is None or not words:
        raise UnreadableFile(
            f"{path.name} was expected to have a row a region with its value and its name, such as `1,Precentral_L`; "
            f"it has {len(rows)} rows of {width} columns."
        )
    at = [int(float(row[key])) for row in rows]
    if not wanted & set(at):
        raise UnreadableFile(
            f"{path.name} names the values {', '.join(map(str, at[:3]))} …, but the label image has "
            f"{', '.join(map(str, values[:3].tolist()))} …; give the list that belongs to this image."
        )
    named = [c for c in words if header is not None and header[c] in NETWORK_WORDS]
    network = named[0] if named else words[1] if len(words) > 1 else None
    name = next((c for c in words if c != network), words[0])
    networks = {} if network is None or network == name else dict(zip(at, (r[network] for r in rows), strict=True))
    return RegionNames(dict(zip(at, (row[name] for row in rows), strict=True)), networks)


def _rows(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    delimiter = max(",\t;", key=lines[0].count) if lines else ","
    if lines and delimiter in lines[0]:
        return [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=delimiter)]
    return [line.split() for line in lines]


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _is_whole(cell: str) -> bool:
    return _is_number(cell) and abs(float(cell)) < 2**31 and float(cell) == int(float(cell))
