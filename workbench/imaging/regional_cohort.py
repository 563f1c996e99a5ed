"""The regional time series of all subjects of a cohort, made comparable: the same regions in the same order."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from workbench.errors import CohortError
from workbench.imaging.cohort import Cohort
from workbench.imaging.region_table import REGIONS_FILE, RegionTable, region_table_of
from workbench.imaging.regional_series import RegionalSeries, numbered, some
from workbench.progress import Progress, silent

MIN_SHARE_OF_TIMES = 0.5  # of a subject's time points, that must hold numbers
MAX_SHARE_OF_GAPS = 0.1  # of a region's time points without a number, before the region counts as missing


@dataclass(frozen=True, eq=False)
class RegionalCohort:
    """Series of several subjects over the same regions, every value a number.

    Attributes:
        series: one a subject, all with ``regions``.
        subjects: their names.
        regions: (R,) names.
        table: places and networks of these regions; None where the cohort has no regions.csv.
        dropped: regions that were missing or constant in anybody, and so left out for all.
        notes: sentences on what was left out, and in whom.
    """

    series: tuple[RegionalSeries, ...]
    subjects: tuple[str, ...]
    regions: tuple[str, ...]
    table: RegionTable | None
    dropped: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def n_times(self) -> tuple[int, ...]:
        """Time points of each subject."""
        return tuple(one.n_times for one in self.series)

    @property
    def tr_s(self) -> float | None:
        """The repetition time that all subjects have; None where it is unknown or they differ."""
        found = {one.tr_s for one in self.series}
        return found.pop() if len(found) == 1 else None


def regional_cohort(cohort: Cohort, progress: Progress = silent) -> RegionalCohort:
    """Read every subject's series and make them comparable.

    Regions without signal, or whose signal is constant, in anybody are left out for all, since a network needs the
    same regions in everyone; time points at which a region that stays has no number are left out of that subject.

    Raises:
        CohortError: a subject without a series or with a 4-D image, regions that differ, or too little that is left.
        FileError: a series cannot be read.
        Cancelled: as ``progress`` asked.
    """
    without = [s.name for s in cohort if s.series is None]
    if without or not len(cohort):
        raise CohortError(
            f"{len(without)} of {len(cohort)} subjects of {cohort.name} have no series ({some(without)}); use a cohort "
            "in which everyone has one."
        )
    table = region_table_of(cohort)
    names = tuple(s.name for s in cohort)
    series = _read(cohort, None if table is None else len(table.regions), progress)
    series = _same_axis(series, cohort, table is not None)
    series = _named(series, table)
    _check_regions(series, names, table)
    dropped, notes = _lacking(series, names)
    kept = tuple(r for r in series[0].regions if r not in set(dropped))
    if len(kept) < 2:
        raise CohortError(
            f"Only {len(kept)} of {len(series[0].regions)} regions have a signal in every subject of {cohort.name}; "
            f"leave subjects out. {' '.join(notes)}"
        )
    whole = []
    for name, one in zip(names, series, strict=True):
        found, note = _without_gaps(one.only(kept), name)
        whole.append(found)
        notes += note
    return RegionalCohort(tuple(whole), names, kept, None if table is None else table.only(kept), dropped, tuple(notes))


def cohort_series(cohort: Cohort, progress: Progress = silent) -> list[RegionalSeries]:
    """Give the series of :func:`regional_cohort` alone, in the cohort's order."""
    return list(regional_cohort(cohort, progress).series)


def _read(cohort: Cohort, n_regions: int | None, progress: Progress) -> list[RegionalSeries]:
    series = []
    for index, subject in enumerate(cohort):
        progress(index / len(cohort), f"Reading the series of {subject.name}, {index + 1} of {len(cohort)}")
        series.append(subject.regional_series(n_regions))
    return series


def _same_axis(series: list[RegionalSeries], cohort: Cohort, is_settled: bool) -> list[RegionalSeries]:
    """Where subjects differ in their number of regions, read them again with the one number that fits all."""
    if is_settled or len({one.n_regions for one in series}) == 1:
        return series
    common = set.intersection(*({one.n_regions, one.n_times} for one in series))
    return _read(cohort, common.pop(), silent) if len(common) == 1 else series


def _named(series: list[RegionalSeries], table: RegionTable | None) -> list[RegionalSeries]:
    """Name regions after the table where the file of a series has no names."""
    if table is None:
        return series
    n = len(table.regions)
    bare = tuple(numbered(n))
    return [replace(one, regions=table.regions) if one.regions == bare else one for one in series]


def _check_regions(series: list[RegionalSeries], names: tuple[str, ...], table: RegionTable | None) -> None:
    expected, of = (series[0].regions, names[0]) if table is None else (table.regions, REGIONS_FILE)
    for name, one in zip(names, series, strict=True):
        if difference := regions_differ(expected, of, one.regions, name):
            raise CohortError(difference)


def regions_differ(expected: tuple[str, ...], of: str, found: tuple[str, ...], name: str) -> str:
    """Give a sentence on how the regions of one differ from those of another; "" where they do not."""
    if found == expected:
        return ""
    if len(found) != len(expected):
        return (
            f"The series of {name} has {len(found)} regions but {of} has {len(expected)}; extract all with one atlas, "
            "or leave the subject out."
        )
    at = next(i for i, (a, b) in enumerate(zip(expected, found, strict=True)) if a != b)
    same = " They are the same regions in another order." if set(found) == set(expected) else ""
    return (
        f"Region {at + 1} of {name} is {found[at]!r} but that of {of} is {expected[at]!r}.{same} Give every subject "
        "the same regions in the same order."
    )


def _lacking(series: list[RegionalSeries], names: tuple[str, ...]) -> tuple[tuple[str, ...], list[str]]:
    """Give the regions that anybody lacks, in order, and a sentence on each kind of lack."""
    who: dict[str, list[str]] = {}
    for name, one in zip(names, series, strict=True):
        share = np.isnan(one.values).mean(axis=0)
        gaps = {r for r, s in zip(one.regions, share, strict=True) if s > MAX_SHARE_OF_GAPS}
        for region in gaps | set(one.constant):
            who.setdefault(region, []).append(name)
    dropped = tuple(r for r in series[0].regions if r in who)
    if not dropped:
        return (), []
    shown = [f"{region} ({some(who[region], 3)})" for region in dropped]
    return dropped, [f"Left out for all, because somebody has no changing signal there: {some(shown)}."]


def _without_gaps(series: RegionalSeries, name: str) -> tuple[RegionalSeries, list[str]]:
    known = np.isfinite(series.values).all(axis=1)
    if known.all():
        return series, []
    times = [str(t + 1) for t in np.flatnonzero(~known)]
    if known.sum() < max(2, MIN_SHARE_OF_TIMES * len(known)):
        raise CohortError(
            f"{len(times)} of {len(known)} time points of {name} have no number somewhere; leave the subject out."
        )
    note = f"Time points of {name} without a number were left out: {some(times)}."
    return replace(series, values=series.values[known], notes=(*series.notes, note)), [note]
