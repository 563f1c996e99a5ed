"""The regions of a cohort's time series: names, places and networks, in ``regions.csv`` beside cohort.csv.

Columns ``region,x,y,z[,network]``, a row a region in the order of the series; x, y, z in mm RAS+ (MNI, or the images'
own space) and empty where unknown.
"""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from workbench.errors import CohortError
from workbench.imaging.cohort import Cohort
from workbench.imaging.guard import check_file, reading, writing

REGIONS_FILE, ATLAS_FILE = "regions.csv", "atlas.nii.gz"
MAX_REGIONS = 250_000
MAX_MM = 1000.0  # no head is as large
AXES = ("x", "y", "z")


@dataclass(frozen=True, eq=False)
class RegionTable:
    """Regions in the order of the columns of every series.

    Attributes:
        regions: (R,) names, none twice.
        coordinates_mm: (R, 3) float32 RAS+, NaN where unknown.
        networks: (R,) the network that each belongs to; "" where unknown.
    """

    regions: tuple[str, ...]
    coordinates_mm: np.ndarray
    networks: tuple[str, ...]

    def __post_init__(self) -> None:
        n = len(self.regions)
        if self.coordinates_mm.shape != (n, 3) or len(self.networks) != n:
            raise ValueError(f"{n} regions do not fit {self.coordinates_mm.shape} and {len(self.networks)} networks")

    @property
    def has_coordinates(self) -> bool:
        """Whether every region has a place."""
        return bool(np.isfinite(self.coordinates_mm).all())

    @property
    def has_networks(self) -> bool:
        """Whether any region belongs to a network."""
        return any(self.networks)

    def only(self, regions: tuple[str, ...]) -> RegionTable:
        """Give the rows of these regions, in this order."""
        at = {name: i for i, name in enumerate(self.regions)}
        rows = [at[name] for name in regions]
        return RegionTable(tuple(regions), self.coordinates_mm[rows], tuple(self.networks[i] for i in rows))


def read_region_table(path: Path) -> RegionTable:
    """Read a ``regions.csv``.

    Raises:
        FileError: absent or damaged.
        CohortError: no column ``region``, a name given twice, or coordinates that are no places in a head.
    """
    check_file(path, "a table of regions")
    with reading(path, "a table of regions"), path.open(newline="", encoding="utf-8-sig") as stream:
        head = stream.readline()
        stream.seek(0)
        reader = csv.DictReader(stream, delimiter=max(",\t;", key=head.count))
        columns = [(name or "").strip().lower() for name in reader.fieldnames or []]
        reader.fieldnames = columns
        rows = [{k: v.strip() for k, v in row.items() if k and isinstance(v, str)} for row in reader]
    if "region" not in columns or not rows or len(rows) > MAX_REGIONS:
        raise CohortError(
            f"{path.name} was expected to have the columns region, x, y, z and 1 to {MAX_REGIONS} rows; it has "
            f"{', '.join(columns) or 'no columns'} and {len(rows)} rows."
        )
    names = tuple(row.get("region", "") for row in rows)
    wrong = [name or "without a name" for name, n in Counter(names).items() if n > 1 or not name]
    if wrong:
        raise CohortError(f"{path.name} lists the region {wrong[0]!r} more than once; give every region its own name.")
    coordinates = np.array([[_coordinate(row, axis, path) for axis in AXES] for row in rows], np.float32)
    return RegionTable(names, coordinates, tuple(row.get("network", "") for row in rows))


def write_region_table(path: Path, table: RegionTable) -> None:
    """Write a ``regions.csv``, at once or not at all."""
    with writing(path) as partial, partial.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["region", *AXES, *(["network"] if table.has_networks else [])])
        for name, place, network in zip(table.regions, table.coordinates_mm.tolist(), table.networks, strict=True):
            cells = ["" if not np.isfinite(v) else f"{v:.9g}" for v in place]
            writer.writerow([name, *cells, *([network] if table.has_networks else [])])


def region_table_of(cohort: Cohort) -> RegionTable | None:
    """Read the ``regions.csv`` beside a cohort's table; None where there is none.

    Raises:
        FileError, CohortError: it is there and cannot be used.
    """
    path = cohort.path.parent / REGIONS_FILE
    return read_region_table(path) if path.is_file() else None


def _coordinate(row: dict[str, str], axis: str, path: Path) -> float:
    text = row.get(axis, "")
    if text.lower() in ("", "nan", "n/a"):
        return float("nan")
    try:
        value = float(text)
    except ValueError:
        value = float("inf")
    if not abs(value) <= MAX_MM:
        raise CohortError(
            f"{path.name} has {axis} = {text[:40]!r} for the region {row.get('region')}; expected mm between "
            f"{-MAX_MM:g} and {MAX_MM:g}, or an empty cell."
        )
    return value
