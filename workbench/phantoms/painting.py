"""Shapes painted over one another into several images at once, with soft edges where they cut a voxel.

A shape is a signed distance in mm, negative inside. Its share of a voxel falls linearly from 1 to 0 over one voxel
about the surface, and what was painted before shows through the rest: partial volume. Distances are taken in the space
of an atlas, at ``points``, the place in the atlas of every voxel, so that one description serves deformed subjects.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch.nn.functional import grid_sample

Everywhere = tuple[slice, slice, slice]
Place = Sequence[float] | np.ndarray
ALL: Everywhere = (slice(None), slice(None), slice(None))


class Canvas:
    """Images of M contrasts and a map of the substances, all air at first.

    Attributes:
        points: (3, X, Y, Z) float32, atlas mm of each voxel.
        images: (M, X, Y, Z) float32.
        substance: (X, Y, Z) uint8, place in ``names`` of what was last to fill more than half of the voxel.
        names: the substances that can be painted; the first is what the canvas is made of.
        limit: (X, Y, Z), distance in mm from a shape that nothing painted may leave, or None.
    """

    def __init__(self, points: np.ndarray, edge_mm: float, signals: Mapping[str, np.ndarray]) -> None:
        self.points = points
        self.edge_mm = edge_mm
        self.signals = {name: np.asarray(s, np.float32) for name, s in signals.items()}
        self.names = tuple(signals)
        self.limit: np.ndarray | None = None
        shape = points.shape[1:]
        ground = self.signals[self.names[0]]
        self.images = np.broadcast_to(ground[:, None, None, None], (len(ground), *shape)).copy()
        self.substance = np.zeros(shape, np.uint8)
        others = [tuple(b for b in range(3) if b != a) for a in range(3)]
        self._lows = [points[a].min(others[a]) for a in range(3)]
        self._highs = [points[a].max(others[a]) for a in range(3)]

    def paint(self, name: str, distance: np.ndarray, where: Everywhere = ALL) -> None:
        """Fill the inside of a shape with a substance.

        Args:
            name: one of ``names``.
            distance: mm, negative inside; (X, Y, Z), or of the box ``where``.
            where: the box of voxels that the distance was taken in.
        """
        if self.limit is not None:
            distance = np.maximum(distance, self.limit[where])
        self.paint_share(name, np.clip(0.5 - distance / self.edge_mm, 0, 1), where)

    def paint_share(self, name: str, share: np.ndarray, where: Everywhere = ALL) -> None:
        """Fill a share (0 to 1) of every voxel with a substance."""
        touched = share > 0
        part = share[touched].astype(np.float32)
        for image, signal in zip(self.images, self.signals[name], strict=True):
            view = image[where]
            view[touched] += part * (signal - view[touched])
        self.substance[where][share > 0.5] = self.names.index(name)

    def ellipsoid(self, name: str, center: Place, radii: Place) -> None:
        """Paint an ellipsoid, its axes along those of the atlas, mm."""
        where = self.box(center, radii)
        self.paint(name, ellipsoid(self.points[(slice(None), *where)], center, radii), where)

    def tube(self, name: str, start: Place, end: Place, radius: float) -> None:
        """Paint a straight tube with round ends, mm."""
        middle = [(a + b) / 2 for a, b in zip(start, end, strict=True)]
        where = self.box(middle, [abs(a - b) / 2 + radius for a, b in zip(start, end, strict=True)])
        self.paint(name, tube(self.points[(slice(None), *where)], start, end, radius), where)

    def box(self, center: Place, radii: Place) -> Everywhere:
        """Give the slices of all voxels that may lie in a box of the atlas, a voxel more on each side."""
        found = []
        for low, high, middle, radius in zip(self._lows, self._highs, center, radii, strict=True):
            inside = (high >= middle - radius - self.edge_mm) & (low <= middle + radius + self.edge_mm)
            places = np.flatnonzero(inside)
            found.append(slice(int(places[0]), int(places[-1]) + 1) if len(places) else slice(0, 0))
        return found[0], found[1], found[2]


def ellipsoid(points: np.ndarray, center: Place, radii: Place) -> np.ndarray:
    """Give the distance (..., ) of points (3, ...) from an ellipsoid in mm, exact to first order at its surface."""
    squares = np.float32(1e-8)  # not 0, for the sake of the center
    slopes = squares / np.float32(max(radii) ** 2)
    for x, c, r in zip(points, center, radii, strict=True):
        scaled = ((x - np.float32(c)) / np.float32(r)) ** 2
        squares, slopes = squares + scaled, slopes + scaled / np.float32(r * r)
    length = np.sqrt(squares)
    return length * (length - 1) / np.sqrt(slopes)


def tube(points: np.ndarray, start: Place, end: Place, radius: float) -> np.ndarray:
    """Give the distance of points (3, ...) from a straight tube with round ends, mm."""
    axis = np.subtract(end, start).astype(np.float32)
    offsets = [x - np.float32(s) for x, s in zip(points, start, strict=True)]
    along = sum(o * a for o, a in zip(offsets, axis, strict=True)) / (axis @ axis)
    along = np.clip(along, 0, 1)
    return np.sqrt(sum((o - along * a) ** 2 for o, a in zip(offsets, axis, strict=True))) - np.float32(radius)


def blend(a: np.ndarray, b: np.ndarray, width_mm: float) -> np.ndarray:
    """Join two shapes with a fillet about as wide as ``width_mm``: min(a, b), rounded where they are alike."""
    near = np.maximum(width_mm - np.abs(a - b), 0) / width_mm
    return np.minimum(a, b) - near**2 * (width_mm / 4)


def sample(maps: np.ndarray, affine: np.ndarray, points: np.ndarray, *, extend: bool = False) -> np.ndarray:
    """Give maps (K, X', Y', Z') of a lattice without rotation at points (3, X, Y, Z) in mm, linearly: (K, X, Y, Z).

    Args:
        maps: what to look up.
        affine: voxel → mm of the maps, diagonal and shift.
        points: where.
        extend: continue the border outside the lattice; otherwise it is 0 there.
    """
    span = torch.tensor([n - 1 for n in maps.shape[1:]], dtype=torch.float32)
    steps = torch.from_numpy(np.diag(affine)[:3].astype(np.float32))
    start = torch.from_numpy(affine[:3, 3].astype(np.float32))
    place = (torch.from_numpy(points).permute(1, 2, 3, 0) - start) / steps
    grid = (place * (2 / span) - 1).flip(-1)[None]  # grid_sample wants the fastest axis first
    padding = "border" if extend else "zeros"
    source = torch.from_numpy(np.array(maps, np.float32))[None]  # a copy: the template's arrays are read-only
    return grid_sample(source, grid, mode="bilinear", padding_mode=padding, align_corners=True)[0].numpy()
