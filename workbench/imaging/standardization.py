"""Intensities of one meaning in all scans: landmarks of histograms (Nyúl and Udupa, Magn Reson Med 1999).

    learn    each training image's percentiles inside its mask, mapped so that the outer two fall on one range, averaged
    apply    an image's own percentiles are moved onto the learnt values, and what lies between them linearly

Beyond the outer landmarks the first and the last line go on, so that no two values become one there. The map never
falls: of two voxels the brighter one stays the brighter one, unless landmarks coincide.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from workbench.errors import GeometryError, WorkbenchError
from workbench.imaging.limits import times

PERCENTILES = (1.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 99.0)
"""Landmarks of Nyúl, Udupa, and Zhang 2000: the ends and the deciles."""
RANGE = (0.0, 100.0)
"""What the outer landmarks of every training image are mapped to."""


@dataclass(frozen=True)
class Landmarks:
    """A standard histogram: which value each percentile shall have.

    Attributes:
        percentiles: rising, 0 to 100.
        values: one for each, never falling, in units of the standard scale.
    """

    percentiles: tuple[float, ...]
    values: tuple[float, ...]

    def __post_init__(self) -> None:
        _check_percentiles(self.percentiles)
        if len(self.values) != len(self.percentiles) or not np.isfinite(self.values).all():
            raise ValueError(f"expected {len(self.percentiles)} finite values; got {self.values}")
        if any(b < a for a, b in pairwise(self.values)) or not self.values[0] < self.values[-1]:
            raise ValueError(f"landmarks must not fall and must span a range; got {self.values}")

    def apply(self, array: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
        """Move an image's intensities onto the standard scale.

        Args:
            array: (X, Y, Z), or any shape that the mask has.
            mask: non-zero where percentiles are measured; everywhere without it. Values outside are mapped too.

        Returns:
            float32 of the same shape. What is not a finite number stays as it is.

        Raises:
            GeometryError: the mask is empty or of another shape.
            WorkbenchError: the image is constant inside the mask, or holds no finite numbers there.
        """
        own = _percentiles(array, mask, self.percentiles, "the image")
        at, values = _without_ties(own, np.array(self.values))
        return _piecewise_linear(array, at, values)

    def to_lists(self) -> dict[str, list[float]]:
        """Give plain lists, as they go into a JSON file."""
        return {"percentiles": list(self.percentiles), "values": list(self.values)}

    @classmethod
    def from_lists(cls, lists: Mapping[str, Any]) -> Landmarks:
        """Read what :meth:`to_lists` gave."""
        return cls(tuple(map(float, lists["percentiles"])), tuple(map(float, lists["values"])))


def learn_landmarks(
    images: Iterable[tuple[np.ndarray, np.ndarray | None]], percentiles: Sequence[float] = PERCENTILES
) -> Landmarks:
    """Learn the standard histogram of one modality from training images.

    Args:
        images: (array, mask) of each, taken one at a time; a mask is non-zero where the histogram is measured.
        percentiles: of the landmarks, rising.

    Returns:
        the mean of the images' landmarks, after the outer two of each were mapped to 0 and 100.

    Raises:
        GeometryError: a mask is empty or of another shape.
        WorkbenchError: there are no images, or one is constant or without finite numbers inside its mask.
    """
    _check_percentiles(percentiles)
    rows = [
        landmark_row(array, mask, f"training image {number}", percentiles)
        for number, (array, mask) in enumerate(images, start=1)
    ]
    return mean_landmarks(rows, percentiles)


def landmark_row(
    array: np.ndarray, mask: np.ndarray | None, what: str, percentiles: Sequence[float] = PERCENTILES
) -> np.ndarray:
    """Give the landmarks of one image, the outer two mapped to 0 and 100: (n,).

    Args:
        array: (X, Y, Z).
        mask: non-zero where the histogram is measured.
        what: the image is called in messages.
        percentiles: of the landmarks, rising.

    Raises:
        GeometryError: the mask is empty or of another shape.
        WorkbenchError: the image is constant or without finite numbers inside its mask.
    """
    low, high = RANGE
    own = _percentiles(array, mask, percentiles, what)
    return low + (own - own[0]) * ((high - low) / (own[-1] - own[0]))


def mean_landmarks(rows: Sequence[np.ndarray], percentiles: Sequence[float] = PERCENTILES) -> Landmarks:
    """Give the standard histogram whose landmarks are the means of :func:`landmark_row` of several images.

    Raises:
        WorkbenchError: there are no images.
    """
    if not rows:
        raise WorkbenchError("Landmarks are learnt from at least one training image, but none came; choose some.")
    mean = np.maximum.accumulate(np.mean(rows, axis=0))  # rounding may make equal landmarks fall
    return Landmarks(tuple(map(float, percentiles)), tuple(mean.tolist()))


def scale_by(array: np.ndarray, mask: np.ndarray | None, center: float, spread: float) -> np.ndarray:
    """Subtract a center and divide by a spread inside a mask; what lies outside becomes 0, the center's new value.

    With the mean and deviation of a training set this makes those 0 and 1 (Pereira et al., IEEE TMI 2016).

    Args:
        array: (X, Y, Z), or any shape that the mask has.
        mask: non-zero inside; everywhere without it.
        center: subtracted.
        spread: divided by.

    Raises:
        GeometryError: the mask is of another shape.
        WorkbenchError: the spread is not a positive number.
    """
    if not (np.isfinite(center) and np.isfinite(spread) and spread > 0):
        raise WorkbenchError(
            f"Intensities cannot be divided by a spread of {spread:g} about {center:g}; the images are constant or "
            "hold values that are not numbers."
        )
    out = (array.astype(np.float32) - np.float32(center)) / np.float32(spread)
    return _clear_outside(out, array, mask)


def scale_range(array: np.ndarray, mask: np.ndarray | None, low: float = 0.0, high: float = 1023.0) -> np.ndarray:
    """Map the least and the greatest value inside a mask to a range (Moeskops et al., IEEE TMI 2016: 0 to 1023).

    Args:
        array: (X, Y, Z), or any shape that the mask has.
        mask: non-zero inside; everywhere without it. What lies outside becomes ``low``.
        low: what the least value becomes.
        high: what the greatest value becomes.

    Raises:
        GeometryError: the mask is empty or of another shape.
        WorkbenchError: the image is constant inside the mask, or holds no finite numbers there.
    """
    least, greatest = _percentiles(array, mask, (0.0, 100.0), "the image")
    out = (low + (array.astype(np.float64) - least) * ((high - low) / (greatest - least))).astype(np.float32)
    return _clear_outside(out, array, mask, low)


def _check_percentiles(percentiles: Sequence[float]) -> None:
    if len(percentiles) < 2 or any(b <= a for a, b in pairwise(percentiles)):
        raise ValueError(f"expected at least two rising percentiles; got {tuple(percentiles)}")
    if percentiles[0] < 0 or percentiles[-1] > 100:
        raise ValueError(f"percentiles lie between 0 and 100; got {tuple(percentiles)}")


def _percentiles(array: np.ndarray, mask: np.ndarray | None, percentiles: Sequence[float], what: str) -> np.ndarray:
    """Measure percentiles (n,) float64 of the finite values inside a mask, which must not be all the same."""
    inside = array.ravel() if mask is None else array[_same_shape(array, mask) != 0]
    if inside.size == 0:
        raise GeometryError(f"The mask of {what} is empty, so nothing can be measured in it; draw it again.")
    finite = inside[np.isfinite(inside)]
    if finite.size == 0:
        raise WorkbenchError(f"Inside its mask {what} holds no finite numbers; check how it was made.")
    found = np.percentile(finite.astype(np.float64, copy=False), percentiles)
    if not found[0] < found[-1]:
        raise WorkbenchError(
            f"Intensities of {what} are {found[0]:g} from percentile {percentiles[0]:g} to {percentiles[-1]:g} inside "
            "its mask; a histogram needs values that differ. Check the image and its mask."
        )
    return found


def _same_shape(array: np.ndarray, mask: np.ndarray) -> np.ndarray:
    if mask.shape != array.shape:
        raise GeometryError(
            f"The mask has {times(mask.shape)} voxels but the image has {times(array.shape)}; resample it first."
        )
    return mask


def _without_ties(at: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give each place once, with the mean of the values that share it: where a histogram has a peak."""
    places, which = np.unique(at, return_inverse=True)
    return places, np.bincount(which, values) / np.bincount(which)


def _piecewise_linear(array: np.ndarray, at: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Map ``at`` to ``values`` and what lies between linearly; beyond the ends the outer lines go on."""
    slopes = np.diff(values) / np.diff(at)
    x = array.astype(np.float64, copy=False)
    out = np.interp(x, at, values)
    below, above = x < at[0], x > at[-1]
    out[below] = values[0] + (x[below] - at[0]) * slopes[0]
    out[above] = values[-1] + (x[above] - at[-1]) * slopes[-1]
    finite = np.isfinite(x)
    return np.where(finite, out, x).astype(np.float32)


def _clear_outside(out: np.ndarray, array: np.ndarray, mask: np.ndarray | None, value: float = 0.0) -> np.ndarray:
    if mask is not None:
        out[_same_shape(array, mask) == 0] = value
    return out
