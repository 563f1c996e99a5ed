"""One modality over all subjects of a cohort: usual sizes, extremes, and intensities in common bins."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from workbench.imaging.facts import ImageFacts, number

N_COMMON_BINS = 100


@dataclass(frozen=True)
class Histogram:
    """Intensities of one modality over all subjects, the voxels that are 0 left out.

    Attributes:
        modality: which.
        low, high: outer edges of equal bins, in the image's unit.
        counts: voxels in each bin, all subjects together.
        subjects: (name, share of its voxels in each bin), one a subject.
    """

    modality: str
    low: float
    high: float
    counts: tuple[float, ...]
    subjects: tuple[tuple[str, tuple[float, ...]], ...]


@dataclass(frozen=True)
class ModalitySummary:
    """One modality over all subjects.

    Attributes:
        modality: which.
        n_subjects: how many have it.
        median_shape, smallest_shape, largest_shape: voxels along X, Y, Z, each axis by itself.
        median_spacing_mm, smallest_spacing_mm, largest_spacing_mm: likewise.
        codes: stored orientations that occur.
        intensity_range: lowest 0.5 % and highest 99.5 % percentile.
    """

    modality: str
    n_subjects: int
    median_shape: tuple[float, ...]
    smallest_shape: tuple[float, ...]
    largest_shape: tuple[float, ...]
    median_spacing_mm: tuple[float, ...]
    smallest_spacing_mm: tuple[float, ...]
    largest_spacing_mm: tuple[float, ...]
    codes: tuple[str, ...]
    intensity_range: tuple[float, float]


def summarize(images: list[ImageFacts]) -> tuple[ModalitySummary, ...]:
    """Summarize each modality, in order of first appearance."""
    return tuple(_summary(modality, members) for modality, members in _by_modality(images).items())


def histograms(images: list[ImageFacts]) -> tuple[Histogram, ...]:
    """Bring the histograms of each modality to common bins, in order of first appearance."""
    return tuple(_histogram(modality, members) for modality, members in _by_modality(images).items())


def _by_modality(images: list[ImageFacts]) -> dict[str, list[ImageFacts]]:
    grouped: dict[str, list[ImageFacts]] = defaultdict(list)
    for facts in images:
        grouped[facts.modality].append(facts)
    return grouped


def _summary(modality: str, images: list[ImageFacts]) -> ModalitySummary:
    shapes = np.array([facts.shape for facts in images], float)
    spacings = np.array([facts.spacing_mm for facts in images])

    def each(values: np.ndarray) -> tuple[float, ...]:
        return tuple(number(v) for v in values)

    return ModalitySummary(
        modality,
        len(images),
        each(np.median(shapes, 0)),
        each(shapes.min(0)),
        each(shapes.max(0)),
        each(np.median(spacings, 0)),
        each(spacings.min(0)),
        each(spacings.max(0)),
        tuple(sorted({facts.codes for facts in images})),
        (min(facts.percentiles[0] for facts in images), max(facts.percentiles[-1] for facts in images)),
    )


def _histogram(modality: str, images: list[ImageFacts]) -> Histogram:
    """Bring the histograms of all subjects to common bins: each own bin is spread evenly over those it touches."""
    low = min(facts.bins[0] for facts in images)
    high = max(facts.bins[1] for facts in images)
    high = high if high > low else low + 1.0
    edges = np.linspace(low, high, N_COMMON_BINS + 1)
    total = np.zeros(N_COMMON_BINS)
    subjects = []
    for facts in images:
        own_low, own_high, counts = facts.bins
        own_edges = np.linspace(
            own_low, own_high if own_high > own_low else math.nextafter(own_low, math.inf), len(counts) + 1
        )
        cumulative = np.concatenate([[0.0], np.cumsum(counts, dtype=float)])
        common = np.diff(np.interp(edges, own_edges, cumulative))
        total += common
        subjects.append((facts.subject, tuple(number(c) for c in common / max(common.sum(), 1.0))))
    return Histogram(modality, number(low), number(high), tuple(number(c) for c in total), tuple(subjects))
