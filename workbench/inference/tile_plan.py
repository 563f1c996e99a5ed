"""Into which boxes a volume is cut so that each fits in memory and the shared margins cost least.

A box of n voxels along an axis needs n + r - 1 voxels of the image, r being the receptive field. Two boxes side by
side therefore compute some of the maps between them twice: the larger the boxes, the less is wasted. Every voxel
lies in exactly one box, and what is computed for it does not depend on the boxes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from workbench.inference.boxes import Triple, triple

START_COST = 2e6
"""Worth of starting a tile, in multiply-adds."""
Cost = Callable[[np.ndarray], np.ndarray]
"""From shapes of tiles (n, 3) to the multiply-adds of each (n,)."""


@dataclass(frozen=True)
class Tile:
    """A box of voxels.

    Attributes:
        low: its first voxel.
        high: the one behind its last, so that ``slice(low, high)`` is the box along an axis.
    """

    low: Triple
    high: Triple

    @property
    def shape(self) -> Triple:
        """Voxels along each axis."""
        return triple([b - a for a, b in zip(self.low, self.high, strict=True)])

    @property
    def index(self) -> tuple[slice, ...]:
        """What to index an (X, Y, Z) array with."""
        return tuple(slice(a, b) for a, b in zip(self.low, self.high, strict=True))


@dataclass(frozen=True)
class TilePlan:
    """Boxes that cover a volume and do not overlap.

    Attributes:
        shape: of the volume, in voxels.
        tile: shape of a box; those at the far border are smaller.
        n_bytes: estimated working memory of one box.
    """

    shape: Triple
    tile: Triple
    n_bytes: float

    def __iter__(self) -> Iterator[Tile]:
        """Give the boxes, those along Z after each other."""
        counts = [-(-n // t) for n, t in zip(self.shape, self.tile, strict=True)]
        for at in np.ndindex(*counts):
            low = [i * t for i, t in zip(at, self.tile, strict=True)]
            high = [min(a + t, n) for a, t, n in zip(low, self.tile, self.shape, strict=True)]
            yield Tile((low[0], low[1], low[2]), (high[0], high[1], high[2]))

    def within(self, mask: np.ndarray | None) -> list[Tile]:
        """Give the boxes, each shrunk to the voxels of a mask (X, Y, Z) that lie in it; empty ones are left out."""
        if mask is None:
            return list(self)
        inside = ((tile, bounds(mask[tile.index])) for tile in self)
        return [
            Tile(_moved(found.low, tile.low), _moved(found.high, tile.low))
            for tile, found in inside
            if found is not None
        ]


def tile_plan(
    shape: Sequence[int],
    receptive_field: Sequence[int],
    n_features: float,
    memory_bytes: float,
    cost: Cost | None = None,
) -> TilePlan:
    """Give the boxes of the least cost among those that fit in memory; single voxels if nothing fits.

    Args:
        shape: voxels of the volume along X, Y, Z.
        receptive_field: voxels that one voxel's scores depend on, along X, Y, Z.
        n_features: float32 numbers held at once for each voxel of the image that a box needs.
        memory_bytes: how much working memory a box may take.
        cost: of boxes; without it that of maps which shrink evenly from the image to the scores.
    """
    lengths = triple(shape)
    field = np.array(triple(receptive_field))
    sizes = [np.unique([-(-n // k) for k in range(1, n + 1)]) for n in lengths]
    tiles = np.stack(np.meshgrid(*sizes, indexing="ij"), -1).reshape(-1, 3)
    n_bytes = 4.0 * n_features * np.prod(tiles + field - 1.0, axis=1)
    fits = n_bytes <= memory_bytes
    fits[0] |= not fits.any()  # the first is one voxel
    tiles, n_bytes = tiles[fits], n_bytes[fits]
    each = np.prod(tiles + (field - 1) / 2, axis=1) if cost is None else cost(tiles)
    n_tiles = np.prod(-(-np.array(lengths) // tiles), axis=1)
    best = int(np.argmin(n_tiles * (each + START_COST)))
    return TilePlan(lengths, triple(tiles[best].tolist()), float(n_bytes[best]))


def bounds(mask: np.ndarray) -> Tile | None:
    """Give the smallest box about the voxels of a mask (X, Y, Z); none if it is empty."""
    ends = []
    for axis in range(3):
        found = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        if len(found) == 0:
            return None
        ends.append((int(found[0]), int(found[-1]) + 1))
    (x, x_end), (y, y_end), (z, z_end) = ends
    return Tile((x, y, z), (x_end, y_end, z_end))


def _moved(voxel: Triple, by: Triple) -> Triple:
    return voxel[0] + by[0], voxel[1] + by[1], voxel[2] + by[2]
