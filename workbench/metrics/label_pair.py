"""Two label maps counted against each other once, and cut to the box of each structure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.ndimage import find_objects

from workbench.errors import CohortError
from workbench.metrics.overlap import Overlap, overlap_of_counts

MOST_CODES = 1 << 22  # label values farther apart than this are looked up by search, not by a table


class LabelPair(NamedTuple):
    """Two label maps in codes: 0 for what nobody asked for, i + 1 for ``known[i]``.

    Attributes:
        known: label values, ascending.
        codes: (X, Y, Z) of prediction and truth.
        table: (n + 1, n + 1) voxels with each pair of codes, rows the prediction.
        boxes: the box of each code from 1 in either map, None where it is missing.
    """

    known: list[int]
    codes: tuple[np.ndarray, np.ndarray]
    table: np.ndarray
    boxes: tuple[list[tuple[slice, ...] | None], ...]

    @classmethod
    def of(cls, maps: tuple[np.ndarray, np.ndarray], known: list[int], inside: np.ndarray | None) -> LabelPair:
        """Count two maps of whole numbers; outside the mask both are empty and nothing is counted."""
        first, second = (_codes(labels, known, inside) for labels in maps)
        n = len(known) + 1
        table = np.bincount((first.astype(np.int64) * n + second).ravel(), minlength=n * n).reshape(n, n)
        if inside is not None:
            table[0, 0] -= np.count_nonzero(~inside)
        return cls(known, (first, second), table, (find_objects(first, n - 1), find_objects(second, n - 1)))

    def rows(self, members: Sequence[int]) -> np.ndarray:
        """Give the codes of some label values, each once."""
        return np.searchsorted(self.known, np.unique(np.asarray(members, np.int64))) + 1

    def overlap(self, members: Sequence[int]) -> Overlap:
        """Give what both maps share of the structure that joins some label values."""
        rows = self.rows(members)
        both, predicted, true = self.table[np.ix_(rows, rows)], self.table[rows], self.table[:, rows]
        return overlap_of_counts(int(both.sum()), int(predicted.sum()), int(true.sum()), int(self.table.sum()))

    def masks(self, members: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Give both masks of a structure, cut to the box that holds them and a voxel of margin where there is one."""
        rows = self.rows(members)
        boxes = [found[row - 1] for found in self.boxes for row in rows]
        present = [box for box in boxes if box is not None]
        box = tuple(
            slice(max(0, min(part[axis].start for part in present) - 1), max(part[axis].stop for part in present) + 1)
            if present
            else slice(0, 1)
            for axis in range(self.codes[0].ndim)
        )
        belongs = np.zeros(len(self.known) + 1, bool)
        belongs[rows] = True
        return belongs[self.codes[0][box]], belongs[self.codes[1][box]]


def label_values(*maps: np.ndarray) -> list[int]:
    """Give the label values that occur in whole-numbered maps, ascending, without 0.

    Beside the values that have a name it tells what a map holds that nobody scores, such as a rater's 255.
    """
    values: set[int] = set()
    for labels in maps:
        low, high = int(labels.min(initial=0)), int(labels.max(initial=0))
        if high - low < MOST_CODES:
            seen = np.zeros(high - low + 1, bool)
            seen[labels.astype(np.int64) - low if low else labels] = True
            values |= set((np.flatnonzero(seen) + low).tolist())
        else:
            values |= set(np.unique(labels).tolist())
    return sorted(values - {0})


def whole_numbers(labels: np.ndarray, what: str) -> np.ndarray:
    """Give a label map as integers.

    Raises:
        CohortError: it holds something else.
    """
    values = np.asarray(labels)
    if values.dtype == bool:
        return values.view(np.uint8)
    if np.issubdtype(values.dtype, np.integer):
        return values
    with np.errstate(invalid="ignore"):
        whole = values.astype(np.int64)
    wrong = whole != values
    if wrong.any():
        raise CohortError(
            f"The {what} holds {values[wrong][0]:g}, but labels are whole numbers; give the labels themselves, not "
            "probabilities or interpolated labels."
        )
    return whole


def _codes(labels: np.ndarray, known: list[int], inside: np.ndarray | None) -> np.ndarray:
    """Give i + 1 where a map holds ``known[i]`` inside the mask, and 0 elsewhere."""
    kind = np.uint8 if len(known) < 256 else np.int32
    low, high = int(labels.min(initial=0)), int(labels.max(initial=0))
    if high - low < MOST_CODES:
        code_of = np.zeros(high - low + 1, kind)
        for code, value in enumerate(known, 1):
            if low <= value <= high:
                code_of[value - low] = code
        codes = code_of[labels.astype(np.int64) - low if low else labels]
    elif not known:
        codes = np.zeros(labels.shape, kind)
    else:
        place = np.searchsorted(known, labels).clip(max=len(known) - 1)
        codes = np.where(np.asarray(known)[place] == labels, place + 1, 0).astype(kind)
    if inside is not None:
        codes[~inside] = 0
    return codes
