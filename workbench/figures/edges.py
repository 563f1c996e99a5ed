"""What the figures of brain networks share: regions, which connections are shown, the colours of networks and signs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from workbench.figures.theme import MUTED, Theme, label_color

POSITIVE = {"light": "#D9731A", "dark": "#F7A55B"}
NEGATIVE = {"light": "#2F7FBF", "dark": "#63B3EE"}
UNNAMED = "no network"
WIDTHS_PX = (0.8, 1.3, 2.0, 3.0)


@dataclass(frozen=True, eq=False)
class Regions:
    """Regions in the order of a matrix's rows.

    Attributes:
        names: (R,).
        coordinates_mm: (R, 3) RAS; NaN where a region has no known place: it is listed but not drawn on a brain.
        networks: (R,) names of networks, ``""`` where unknown; empty for no networks at all.
        voxel_mm: edge of the cubes where the regions are voxels on one lattice, which are drawn as a map.
    """

    names: Sequence[str]
    coordinates_mm: np.ndarray | None = None
    networks: Sequence[str] = ()
    voxel_mm: float | None = None

    def __post_init__(self) -> None:
        n = len(self.names)
        if self.networks and len(self.networks) != n:
            raise ValueError(f"there are {n} regions but {len(self.networks)} networks")
        if self.coordinates_mm is not None and np.shape(self.coordinates_mm) != (n, 3):
            raise ValueError(f"coordinates must be ({n}, 3) mm; got {np.shape(self.coordinates_mm)}")

    @property
    def places(self) -> np.ndarray:
        """(R, 3) mm, NaN where unknown."""
        if self.coordinates_mm is None:
            return np.full((len(self.names), 3), np.nan)
        return np.asarray(self.coordinates_mm, float)

    @property
    def placed(self) -> np.ndarray:
        """(R,) bool: which regions can be drawn on a brain."""
        return np.isfinite(self.places).all(1)

    @property
    def groups(self) -> list[str]:
        """(R,) names of networks, never empty."""
        return [str(n) or UNNAMED for n in self.networks] if self.networks else [UNNAMED] * len(self.names)


class Edges(NamedTuple):
    """Connections from the weakest to the strongest by |value|.

    Attributes:
        first: (E,) region.
        second: (E,) region, smaller than ``first``.
        value: (E,).
    """

    first: np.ndarray
    second: np.ndarray
    value: np.ndarray


def shown_edges(
    matrix: np.ndarray, density: float | None = None, value: float | None = None, most: int | None = None
) -> Edges:
    """Pick the connections to show from the lower triangle of a symmetric matrix; the diagonal never is one.

    Args:
        matrix: (R, R); NaN is no connection.
        density: share (0 to 1) of all R (R − 1) / 2 connections, the strongest by |value|.
        value: the smallest |value|; used instead of ``density``. Neither shows all but zeros.
        most: at most so many, the strongest.
    """
    if density is not None and value is not None:
        raise ValueError("give density or value, not both")
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"a connectivity matrix is (R, R); got {matrix.shape}")
    first, second = np.tril_indices(len(matrix), -1)
    found = np.nan_to_num(np.asarray(matrix, float)[first, second])
    order = np.argsort(np.abs(found), kind="stable")
    keep = np.abs(found[order]) >= max(value or 0.0, np.finfo(float).tiny)
    n = round(density * len(found)) if density is not None else len(found)
    order = order[keep][max(0, int(keep.sum()) - min(n, most if most is not None else n)) :]
    return Edges(first[order], second[order], found[order])


def strengths(edges: Edges, n_regions: int) -> np.ndarray:
    """Give (R,) sums of |value| over the shown connections of each region."""
    total = np.bincount(edges.first, np.abs(edges.value), n_regions)
    return total + np.bincount(edges.second, np.abs(edges.value), n_regions)


def network_colors(networks: Sequence[str], theme: Theme) -> dict[str, str]:
    """Give each network its colour, in the order in which networks first appear; regions without one are gray."""
    names = [n for n in dict.fromkeys(networks) if n and n != UNNAMED]
    colors = {name: label_color(i + 1) for i, name in enumerate(names)}
    return colors | {UNNAMED: MUTED[theme]}


def network_order(regions: Regions) -> np.ndarray:
    """Give (R,) regions sorted by network in the order in which networks appear, the unnamed last."""
    groups = regions.groups
    rank = {name: i for i, name in enumerate(n for n in dict.fromkeys(groups) if n != UNNAMED)}
    return np.argsort([rank.get(g, len(rank)) for g in groups], kind="stable")


def width_classes(edges: Edges) -> list[tuple[bool, float, np.ndarray]]:
    """Sort edges into a few line widths: (is positive, width in px, indices), thin ones first.

    Widths grow from the weakest to the strongest of the edges that are shown.

    A browser draws a handful of long broken lines much faster than a thousand short ones.
    """
    size = np.abs(edges.value)
    low, high = (float(size.min()), float(size.max())) if size.size else (0.0, 1.0)
    share = (size - low) / (high - low) if high > low else np.full(size.shape, 0.5)
    step = np.minimum((share * len(WIDTHS_PX)).astype(int), len(WIDTHS_PX) - 1)
    classes = [
        (sign, WIDTHS_PX[k], np.flatnonzero((step == k) & ((edges.value > 0) == sign)))
        for k in range(len(WIDTHS_PX))
        for sign in (False, True)
    ]
    return [(sign, width, picked) for sign, width, picked in classes if picked.size]


def broken_lines(points: np.ndarray, edges: Edges, picked: np.ndarray) -> np.ndarray:
    """Give the ends of the picked edges as one line, (3 n, D), a row of NaN after each edge; ``points`` is (R, D)."""
    lines = np.full((len(picked), 3, points.shape[1]), np.nan)
    lines[:, 0], lines[:, 1] = points[edges.first[picked]], points[edges.second[picked]]
    return lines.reshape(-1, points.shape[1])
