"""What a cohort holds and what is wrong with it, read one subject at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from workbench.errors import FileError, GeometryError, WorkbenchError
from workbench.imaging.cohort import Cohort
from workbench.imaging.facts import (
    ImageFacts,
    LabelFacts,
    LabelValue,
    image_facts,
    label_facts,
    label_intensities,
    number,
)
from workbench.imaging.files import NIFTI_SUFFIXES, read_volume, suffix_of
from workbench.imaging.nifti import read_stored
from workbench.imaging.problems import find_problems, same_grid, straddling
from workbench.imaging.series_facts import SeriesFacts, find_series_problems, series_facts, table_size
from workbench.imaging.splits import Split
from workbench.imaging.subject import Subject
from workbench.imaging.summaries import Histogram, ModalitySummary, histograms, summarize
from workbench.imaging.volume import Volume
from workbench.progress import Progress, silent


@dataclass(frozen=True)
class Fingerprint:
    """A cohort in numbers; see :func:`fingerprint`.

    Attributes:
        name: of the cohort.
        digest: of the cohort when it was read.
        n_subjects: rows.
        images: one for each image that could be read.
        labels: one for each label map and mask.
        series: one for each time series.
        columns: modalities, then ``label``, ``mask``, ``points``, ``series``, ``target`` where anybody has one.
        missing: (subject, which of ``columns`` it has) for every subject, in the cohort's order.
        summaries: one a modality.
        histograms: one a modality.
        label_names: (value, name) where the cohort tells.
        duplicates: groups of ``(subject, modality)`` with the same voxels, or the same values of a ``series``.
        problems: sentences, each with what to do.
    """

    name: str
    digest: str
    n_subjects: int
    images: tuple[ImageFacts, ...]
    labels: tuple[LabelFacts, ...]
    series: tuple[SeriesFacts, ...]
    columns: tuple[str, ...]
    missing: tuple[tuple[str, tuple[bool, ...]], ...]
    summaries: tuple[ModalitySummary, ...]
    histograms: tuple[Histogram, ...]
    label_names: tuple[tuple[int, str], ...]
    duplicates: tuple[tuple[tuple[str, str], ...], ...]
    problems: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Give plain dicts, lists, numbers and text, as JSON holds them."""
        return _plain(asdict(self))

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Fingerprint:
        """Read what :meth:`to_dict` wrote, also after it went through JSON."""
        parts = {key: _frozen(value) for key, value in content.items()}
        of: dict[str, Callable[..., Any]] = {
            "images": ImageFacts,
            "series": SeriesFacts,
            "summaries": ModalitySummary,
            "histograms": Histogram,
        }
        for key, kind in of.items():
            parts[key] = tuple(kind(**{k: _frozen(v) for k, v in one.items()}) for one in content[key])
        parts["labels"] = tuple(_label(one) for one in content["labels"])
        return cls(**parts)

    def leaks(self, split: Split) -> list[str]:
        """Give a sentence for every image that lies in several parts of a split under different names."""
        part_of = {name: part for part in ("train", "validation", "test") for name in split.part(part)}
        return straddling(self.duplicates, part_of)


def fingerprint(cohort: Cohort, progress: Progress = silent) -> Fingerprint:
    """Read every image of a cohort once and describe it; what cannot be read becomes a problem, never an error.

    One subject's label map and one image are in memory at a time.

    Raises:
        Cancelled: as ``progress`` asked.
    """
    images: list[ImageFacts] = []
    labels: list[LabelFacts] = []
    series: list[SeriesFacts] = []
    unreadable: list[str] = []
    n_regions = _n_regions(cohort, unreadable)
    for index, subject in enumerate(cohort):
        progress(index / len(cohort), f"{subject.name} ({index + 1} of {len(cohort)})")
        _read_subject(subject, images, labels, unreadable)
        _read_series(subject, n_regions, series, unreadable)
    progress(1.0, f"{len(images)} images of {len(cohort)} subjects")
    duplicates = _duplicates(images, series)
    columns, missing = _missing(cohort)
    return Fingerprint(
        cohort.name,
        cohort.digest,
        len(cohort),
        tuple(images),
        tuple(labels),
        tuple(series),
        columns,
        missing,
        summarize(images),
        histograms(images),
        tuple(sorted(cohort.label_names.items())),
        duplicates,
        (*unreadable, *find_problems(cohort, images, labels, duplicates), *find_series_problems(series, n_regions)),
    )


def _read_subject(
    subject: Subject,
    images: list[ImageFacts],
    labels: list[LabelFacts],
    unreadable: list[str],
) -> None:
    facts: LabelFacts | None = None
    values: np.ndarray | None = None
    for column, path in (("mask", subject.mask), ("label", subject.label)):
        volume = None if path is None else _read(path, column, subject, unreadable)
        if volume is not None:
            facts, values = label_facts(volume[0], subject.name, column)
            labels.append(facts)
    found: dict[int, list[tuple[str, float, float]]] = defaultdict(list)
    for modality, path in subject.images.items():
        read = _read(path, modality, subject, unreadable)
        if read is None:
            continue
        volume_, bad_share = read
        images.append(image_facts(volume_, subject.name, bad_share))
        if facts is not None and values is not None and same_grid(facts, images[-1]):
            for value, (mean, std) in label_intensities(values, volume_).items():
                found[value].append((modality, mean, std))
    if facts is not None and found:
        labels[-1] = replace(facts, values=tuple(replace(v, intensities=tuple(found[v.value])) for v in facts.values))


def _n_regions(cohort: Cohort, unreadable: list[str]) -> int | None:
    try:
        return table_size(cohort)
    except WorkbenchError as error:
        unreadable.append(str(error))
        return None


def _read_series(subject: Subject, n_regions: int | None, series: list[SeriesFacts], unreadable: list[str]) -> None:
    if subject.series is None:
        return
    try:
        series.append(series_facts(subject, n_regions))
    except WorkbenchError as error:
        unreadable.append(f"The series of {subject.name} cannot be read: {error}")


def _read(path: Path, what: str, subject: Subject, unreadable: list[str]) -> tuple[Volume, float | None] | None:
    """Read an image and the share of its voxels that are no numbers, or note why it cannot be read."""
    try:
        try:
            return read_volume(path, what), 0.0
        except FileError:
            volume = read_volume(path, what, non_finite="zero")  # raises again unless NaN was all that was wrong
        if suffix_of(path) not in NIFTI_SUFFIXES:
            return volume, None
        stored = read_stored(path).array
        return volume, number(1 - np.count_nonzero(np.isfinite(stored)) / stored.size)
    except (FileError, GeometryError) as error:
        unreadable.append(f"The {what} of {subject.name} cannot be read: {error}")
        return None


def _duplicates(images: list[ImageFacts], series: list[SeriesFacts]) -> tuple[tuple[tuple[str, str], ...], ...]:
    same: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for facts in images:
        if not facts.is_constant:
            same[facts.digest].append((facts.subject, facts.modality))
    for one in series:
        same[one.digest].append((one.subject, "series"))
    return tuple(tuple(members) for members in same.values() if len(members) > 1)


def _missing(cohort: Cohort) -> tuple[tuple[str, ...], tuple[tuple[str, tuple[bool, ...]], ...]]:
    others = [
        c for c in ("label", "mask", "points", "series", "target") if any(getattr(s, c) is not None for s in cohort)
    ]
    features = list(dict.fromkeys(n for s in cohort for n in s.features))
    rows = tuple(
        (
            s.name,
            (
                *(m in s.images for m in cohort.modalities),
                *(getattr(s, c) is not None for c in others),
                *(n in s.features for n in features),
            ),
        )
        for s in cohort
    )
    return (*cohort.modalities, *others, *(f"features:{n}" for n in features)), rows


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(v) for key, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value


def _frozen(value: Any) -> Any:
    return tuple(_frozen(v) for v in value) if isinstance(value, list | tuple) else value


def _label(content: dict[str, Any]) -> LabelFacts:
    values = tuple(LabelValue(**{k: _frozen(v) for k, v in one.items()}) for one in content["values"])
    return LabelFacts(**{**{k: _frozen(v) for k, v in content.items()}, "values": values})
