"""What is measured of a time series, and what is wrong with those of a cohort."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from workbench.imaging.cohort import Cohort
from workbench.imaging.facts import number
from workbench.imaging.files import NIFTI_SUFFIXES, suffix_of
from workbench.imaging.region_table import region_table_of
from workbench.imaging.regional_series import numbered, some
from workbench.imaging.repetition_time import repetition_time
from workbench.imaging.scrub import check_nifti
from workbench.imaging.subject import Subject

LENGTH_RATIO = 1.2  # between the longest and the shortest series
TR_TOLERANCE_S = 1e-3
END_BYTES = 2**21


@dataclass(frozen=True)
class SeriesFacts:
    """A 4-D image, of which only the header is looked at, or a table of regional time series.

    Attributes:
        subject: whose.
        shape: stored voxels and volumes of an image; (T, R) of a table, once rows are time.
        n_times: T.
        n_regions: R; 0 of an image.
        tr_s: repetition time in s; None where unknown.
        regions: hash of the names, equal where they are; "" of an image, and where the file has none.
        missing: regions without a number.
        constant: regions whose signal never changes.
        n_gaps: time points at which a region that is not missing has no number.
        digest: of the values; of an image, of its file's size and ends.
        notes: sentences of the reader.
    """

    subject: str
    shape: tuple[int, ...]
    n_times: int
    n_regions: int
    tr_s: float | None
    regions: str
    missing: tuple[str, ...]
    constant: tuple[str, ...]
    n_gaps: int
    digest: str
    notes: tuple[str, ...]

    @property
    def is_image(self) -> bool:
        """Whether regions have still to be extracted."""
        return self.n_regions == 0


def series_facts(subject: Subject, n_regions: int | None = None) -> SeriesFacts:
    """Measure the series of a subject.

    Args:
        subject: has a series.
        n_regions: of the cohort's regions.csv.

    Raises:
        FileError, GeometryError: it cannot be read.
    """
    assert subject.series is not None
    if suffix_of(subject.series) in NIFTI_SUFFIXES:
        shape = check_nifti(subject.series)
        tr, note = repetition_time(subject.series)
        n_times = shape[3] if len(shape) > 3 else 1
        digest, notes = _hash(_ends(subject.series)), (note,) if note else ()
        return SeriesFacts(subject.name, shape, n_times, 0, subject.tr_s or tr, "", (), (), 0, digest, notes)
    series = subject.regional_series(n_regions)
    missing = np.isnan(series.values).all(axis=0)
    has_names = series.regions != tuple(numbered(series.n_regions))
    return SeriesFacts(
        subject.name,
        series.values.shape,
        series.n_times,
        series.n_regions,
        None if series.tr_s is None else number(series.tr_s),
        _hash("\n".join(series.regions).encode()) if has_names else "",
        series.missing,
        series.constant,
        int(np.isnan(series.values[:, ~missing]).any(axis=1).sum()),
        _hash(np.ascontiguousarray(series.values).tobytes()),
        series.notes,
    )


def table_size(cohort: Cohort) -> int | None:
    """Give the number of regions in the cohort's regions.csv; None where there is none."""
    table = region_table_of(cohort)
    return None if table is None else len(table.regions)


def find_series_problems(series: Sequence[SeriesFacts], n_regions: int | None = None) -> list[str]:
    """Give a sentence for everything that keeps the series of a cohort from being compared.

    Args:
        series: of all subjects.
        n_regions: of the cohort's regions.csv.
    """
    tables = [s for s in series if not s.is_image]
    sentences = [*_kinds(series), *_regions(tables, n_regions), *_lengths(series)]
    for words, todo, lacking in (
        ("no signal at all", "they are left out for all", [(s.subject, s.missing) for s in tables]),
        ("a signal that never changes", "they are left out for all", [(s.subject, s.constant) for s in tables]),
    ):
        who = [name for name, regions in lacking if regions]
        regions = sorted({r for _, found in lacking for r in found})
        if who:
            sentences.append(
                f"{_subjects(who)} with {words} in {some(regions)}; {todo}, or leave the subject out to keep them."
            )
    gaps = [s.subject for s in tables if s.n_gaps]
    if gaps:
        sentences.append(
            f"{_subjects(gaps)} with time points that hold no number (NaN); they are left out of the series."
        )
    return sentences


def _kinds(series: Sequence[SeriesFacts]) -> list[str]:
    single = [s.subject for s in series if s.is_image and s.n_times < 2]
    images = [s.subject for s in series if s.is_image]
    sentences = []
    if single:
        sentences.append(f"The series of {_subjects(single)} is an image without time; give the 4-D image.")
    if 0 < len(images) < len(series):
        sentences.append(
            f"The series of {_subjects(images)} is a 4-D image but that of others is a table; extract the regions of "
            "all with one atlas."
        )
    return sentences


def _regions(tables: Sequence[SeriesFacts], n_regions: int | None) -> list[str]:
    by_size: dict[int, list[str]] = defaultdict(list)
    for one in tables:
        by_size[one.n_regions].append(one.subject)
    if n_regions is not None and (off := [n for size, names in by_size.items() if size != n_regions for n in names]):
        return [f"regions.csv has {n_regions} regions, but the series of {_subjects(off)} another number; correct it."]
    if len(by_size) > 1:
        usual = max(by_size, key=lambda n: len(by_size[n]))
        off = [name for size, names in by_size.items() if size != usual for name in names]
        return [
            f"The series of {_subjects(off)} has another number of regions than the others, which have {usual}; "
            "extract all with one atlas, or leave subjects out."
        ]
    names = Counter(one.regions for one in tables)
    if len(names) > 1:
        usual_names = names.most_common(1)[0][0]
        off = [one.subject for one in tables if one.regions != usual_names]
        return [
            f"The regions of {_subjects(off)} have other names, or another order, than those of the others; give every "
            "subject the same."
        ]
    return []


def _lengths(series: Sequence[SeriesFacts]) -> list[str]:
    sentences = []
    lengths = {s.subject: s.n_times for s in series}
    if lengths and max(lengths.values()) > LENGTH_RATIO * min(lengths.values()):
        short, long = min(lengths, key=lengths.__getitem__), max(lengths, key=lengths.__getitem__)
        sentences.append(
            f"Series differ in length ({short} has {lengths[short]} time points, {long} {lengths[long]}); correlations "
            "of short ones are noisier, so see that no group has the shorter ones."
        )
    few = [s.subject for s in series if 1 < s.n_times <= s.n_regions]
    if few:
        sentences.append(
            f"{_subjects(few)} with no more time points than regions; use a shrunk covariance for partial correlations."
        )
    times = {s.subject: s.tr_s for s in series if s.tr_s is not None}
    if times and max(times.values()) - min(times.values()) > TR_TOLERANCE_S:
        sentences.append(
            f"Repetition times differ, from {min(times.values()):g} to {max(times.values()):g} s; what is counted in "
            "time points does not compare between subjects."
        )
    return sentences


def _subjects(names: Sequence[str]) -> str:
    if len(names) == 1:
        return f"subject {names[0]}"
    return f"{len(names)} subjects ({some(list(names), 3)})"


def _ends(path: Path) -> bytes:
    """Give the size of a file with its first and last bytes: of copies of one image these are the same."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        first = stream.read(END_BYTES)
        stream.seek(max(0, size - END_BYTES))
        return str(size).encode() + first + stream.read(END_BYTES)


def _hash(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=10).hexdigest()
