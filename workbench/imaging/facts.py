"""What is measured of one image, one label map: numbers and text only."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.imaging.volume import Volume

PERCENTILES = (0.5, 25.0, 50.0, 75.0, 99.5)
N_BINS = 128
MAX_SAMPLE = 8_000_000  # voxels; percentiles of larger images are of every n-th voxel
MAX_INDEX = 2**20  # label values up to here are counted without sorting
MAX_VALUES = 2000  # different values, before a label map is taken for an image


@dataclass(frozen=True)
class ImageFacts:
    """One modality of one subject.

    Attributes:
        subject, modality: whose, and which.
        shape: voxels along X, Y, Z.
        n_channels: channels or time points.
        spacing_mm: along X, Y, Z.
        codes: the directions in which the file stores its axes.
        affine: the first three rows, voxel → mm, rounded to 1 µm.
        minimum, maximum, mean, std: of all voxels that are numbers.
        percentiles: 0.5, 25, 50, 75, 99.5 % of these.
        foreground: the same percentiles of the voxels that are not 0.
        bad_share: of voxels NaN or infinite; None when there are some and the format hides how many.
        zero_share: of voxels exactly 0.
        bins: (low, high, counts): histogram of the voxels that are not 0 between their outer percentiles.
        digest: of the voxels; equal images have equal digests whatever their headers.
    """

    subject: str
    modality: str
    shape: tuple[int, int, int]
    n_channels: int
    spacing_mm: tuple[float, float, float]
    codes: str
    affine: tuple[tuple[float, ...], ...]
    minimum: float
    maximum: float
    mean: float
    std: float
    percentiles: tuple[float, ...]
    foreground: tuple[float, ...]
    bad_share: float | None
    zero_share: float
    bins: tuple[float, float, tuple[int, ...]]
    digest: str

    @property
    def is_constant(self) -> bool:
        """Whether every voxel has one value."""
        return self.minimum == self.maximum


@dataclass(frozen=True)
class LabelValue:
    """One value of a label map.

    Attributes:
        value: the number.
        n_voxels: how many voxels have it.
        volume_ml: their volume; of a picture, its area in mm² / 1000.
        intensities: (modality, mean, standard deviation) of the images on the same grid.
    """

    value: int
    n_voxels: int
    volume_ml: float
    intensities: tuple[tuple[str, float, float], ...] = ()


@dataclass(frozen=True)
class LabelFacts:
    """A label map or mask.

    Attributes:
        subject: whose.
        column: ``"label"`` or ``"mask"``.
        shape, spacing_mm, affine: as in :class:`ImageFacts`.
        n_channels: 1 unless several maps lie in one file.
        values: without 0; empty if nothing is labelled, or if these are no labels.
        is_integer: whether every voxel is a whole number and there are not too many of them.
    """

    subject: str
    column: str
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    affine: tuple[tuple[float, ...], ...]
    n_channels: int
    values: tuple[LabelValue, ...]
    is_integer: bool


def image_facts(volume: Volume, subject: str, bad_share: float | None = 0.0) -> ImageFacts:
    """Measure an image whose voxels are all numbers."""
    data = volume.data
    sample = data.reshape(-1)[:: max(1, data.size // MAX_SAMPLE)]
    foreground = sample[sample != 0]
    percentiles = np.percentile(sample, PERCENTILES)
    inner = np.percentile(foreground, PERCENTILES) if foreground.size else np.zeros(len(PERCENTILES))
    low, high = float(inner[0]), float(inner[-1])
    counts, _ = np.histogram(foreground, N_BINS, (low, high if high > low else low + 1.0))
    return ImageFacts(
        subject,
        volume.modality,
        volume.shape,
        volume.n_channels,
        _floats(volume.spacing),
        _codes(volume),
        rounded_affine(volume),
        number(data.min()),
        number(data.max()),
        number(data.mean(dtype=np.float64)),
        number(data.std(dtype=np.float64)),
        _floats(percentiles),
        _floats(inner),
        bad_share,
        number(np.count_nonzero(data == 0) / data.size),
        (number(low), number(high), tuple(int(c) for c in counts)),
        voxel_digest(volume),
    )


def label_facts(volume: Volume, subject: str, column: str) -> tuple[LabelFacts, np.ndarray | None]:
    """Measure a label map; also give its values as (X, Y, Z) int64, or None if these are no labels."""
    data = volume.data[0]
    labels = np.rint(data).astype(np.int64)
    values, counts = _count(labels)
    is_integer = bool(np.array_equal(labels, data)) and len(values) <= MAX_VALUES
    ml = abs(float(np.linalg.det(volume.affine[:3, :3]))) / 1000
    listed = tuple(LabelValue(int(v), int(n), number(n * ml)) for v, n in zip(values, counts, strict=True) if v != 0)
    facts = LabelFacts(
        subject,
        column,
        volume.shape,
        _floats(volume.spacing),
        rounded_affine(volume),
        volume.n_channels,
        listed if is_integer else (),
        is_integer,
    )
    return facts, labels if is_integer else None


def label_intensities(labels: np.ndarray, volume: Volume) -> dict[int, tuple[float, float]]:
    """Give label value → (mean, standard deviation) of an image on the same grid, its channels averaged."""
    image = volume.data[0] if volume.n_channels == 1 else volume.data.mean(axis=0)
    image = image.reshape(-1)
    flat = labels.reshape(-1)
    low = int(flat.min())
    if int(flat.max()) - low < MAX_INDEX:
        values, index = np.arange(low, int(flat.max()) + 1), flat - low  # much faster than sorting
    else:
        values, index = np.unique(flat, return_inverse=True)
    n = np.bincount(index)
    present = n > 0
    mean = np.bincount(index, image) / np.maximum(n, 1)
    # Squares of what is left after the mean: no cancellation for CT's large offsets.
    variance = np.bincount(index, (image - mean[index]) ** 2) / np.maximum(n, 1)
    found = zip(values[present], mean[present], variance[present], strict=True)
    return {int(v): (number(m), number(math.sqrt(s))) for v, m, s in found}


def voxel_digest(volume: Volume) -> str:
    """Hash voxels and shape, not the affine."""
    state = hashlib.blake2b(repr(volume.data.shape).encode(), digest_size=10)
    state.update(np.ascontiguousarray(volume.data).data)
    return state.hexdigest()


def rounded_affine(volume: Volume) -> tuple[tuple[float, ...], ...]:
    """Give the first three rows of the affine, rounded to 1 µm."""
    return tuple(tuple(float(x) for x in row) for row in np.round(volume.affine[:3], 3) + 0.0)


def number(value: Any) -> float:
    """Give a finite float with 7 significant digits, as JSON can hold."""
    value = float(value)
    return float(f"{value:.7g}") if math.isfinite(value) else 0.0


def _floats(values: Any) -> Any:
    return tuple(number(v) for v in values)


def _codes(volume: Volume) -> str:
    return volume.grid.codes if volume.grid else "RAS"


def _count(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    flat = labels.reshape(-1)
    if flat.min() >= 0 and flat.max() < MAX_INDEX:
        counts = np.bincount(flat)
        values = np.flatnonzero(counts)
        return values, counts[values]
    return np.unique(flat, return_counts=True)
