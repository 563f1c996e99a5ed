"""What a drawing of a convolutional network is made of, which part of it a unit sees, and where its maps stand.

Positions on a map are indices along the two drawn axes of the array, x first: on a picture x runs to the right and y
downwards; of a volume the axial slice is drawn as everywhere, the patient's right on the left and anterior at the top.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

WIDTH = 100.0
LEAST_SIDE, SHRINKING, OFFSET, GAP = 4.0, 0.55, 1.5, 4.5
MOST_CARDS = 4
ONES: tuple[int, ...] = (1, 1)
NOUGHTS = (0.0, 0.0)
Position = tuple[int, int, int]
"""Layer (0 for the first above the input), then index along x and y."""


@dataclass(frozen=True, eq=False)
class MapLayer:
    """One layer of a convolutional network and the maps of it that are drawn.

    Attributes:
        name: as the network calls it.
        kind: ``"convolution"``, ``"pooling"``, ``"fully connected"``, ….
        map_shape: (X, Y[, Z]) of each map; () or ones for fully connected units.
        n_maps: how many there are.
        maps: (n shown, X, Y) activations for this input; of a 3-D map one axial slice.
        shown: (n shown,) which maps these are.
        size: along x and y (and z), how many voxels of the input a unit sees.
        jump: along each axis, voxels of the input between the fields of neighbouring units.
        start: along each axis, the center of what unit 0 sees, counted from the center of the first voxel.
        kernel: along each axis; () where there is none.
        stride: along each axis; () where there is none.
        kernels: (n shown, x, y) weights of the drawn maps for one map below, middle slice of 3-D ones; None for none.
    """

    name: str
    kind: str
    map_shape: tuple[int, ...]
    n_maps: int
    maps: np.ndarray
    shown: Sequence[int]
    size: tuple[int, ...]
    jump: tuple[int, ...]
    start: tuple[float, ...]
    kernel: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    kernels: np.ndarray | None = None

    @property
    def first(self) -> tuple[float, float]:
        """Along x and y the first voxel that unit 0 sees; below 0 where the network pads."""
        x, y = (self.start[axis] - (self.size[axis] - 1) / 2 for axis in (0, 1))
        return x, y

    @property
    def caption(self) -> tuple[str, str]:
        """Name with the maps' number and size, and what the layer does."""
        sizes = " × ".join(str(n) for n in self.map_shape if n > 1)
        kernel = " × ".join(str(k) for k in self.kernel)
        does = self.kind + (f" {kernel}" if kernel and max(self.kernel) > 1 else "")
        if self.stride and (max(self.stride) > 1 or self.kind == "pooling"):
            does += f", stride {self.stride[0]}"
        return f"{self.n_maps} × {sizes}" if sizes else f"{self.n_maps} units", does


@dataclass(frozen=True, eq=False)
class ConvolutionParts:
    """A live convolutional network on one input.

    Attributes:
        image: (X, Y) what the network looks at: a picture or the axial slice of a volume.
        layers: from the input onwards.
        spatial_dims: 2 for pictures, 3 for volumes, which are drawn in the radiological convention.
        title: what the input is, such as ``"T1 patch"``.
    """

    image: np.ndarray
    layers: Sequence[MapLayer]
    spatial_dims: int = 2
    title: str = "input"

    def __post_init__(self) -> None:
        if not self.layers or self.image.ndim != 2:
            raise ValueError(f"a drawing needs a layer and an input (X, Y); got {len(self.layers)}, {self.image.shape}")
        for layer in self.layers:
            if layer.maps.ndim != 3 or len(layer.maps) != len(layer.shown) or not len(layer.maps):
                raise ValueError(f"{layer.name} has maps {layer.maps.shape} for {len(layer.shown)} shown ones")
            if layer.map_shape[:2] not in ((), layer.maps.shape[1:]) and max(layer.map_shape) > 1:
                raise ValueError(f"{layer.name} has maps {layer.maps.shape[1:]}; expected {layer.map_shape[:2]}")

    @property
    def alt(self) -> str:
        """A sentence for those who cannot see the drawing."""
        layers = "; ".join(f"{la.name}: {', '.join(la.caption)}" for la in self.layers)
        return f"Convolutional network on {self.title} of {' × '.join(map(str, self.image.shape))}: {layers}."


class Field(NamedTuple):
    """What a unit sees on one layer (-1: the input): first and last index + 1 along x and y, cut at the map's edge."""

    layer: int
    low: tuple[int, int]
    high: tuple[int, int]


class Card(NamedTuple):
    """Where one map stands: its layer (-1: input), which map, its lower left corner and its size; y upwards."""

    layer: int
    map: int
    x: float
    y: float
    width: float
    height: float


def fields(parts: ConvolutionParts, unit: Position) -> list[Field]:
    """Give what a unit sees on the input and on every layer below its own, the input first, itself last.

    A unit at p covers ``size`` voxels of the input from first + p · jump on; on a layer below these are the units whose
    own fields lie inside (Section 2.5; the calculus composes kernel sizes and strides).
    """
    index, *at = unit
    if not 0 <= index < len(parts.layers):
        raise LookupError(f"unit {unit} is in layer {index}; there are layers 0 to {len(parts.layers) - 1}")
    own = parts.layers[index]
    if any(not 0 <= p < n for p, n in zip(at, own.maps.shape[1:], strict=True)):
        raise LookupError(f"unit {unit} is outside the {own.maps.shape[1:]} map of {own.name}")
    found = []
    for layer in range(-1, index + 1):
        if layer < 0:
            size, jump, first, shape = ONES, ONES, NOUGHTS, parts.image.shape
        else:
            below = parts.layers[layer]
            size, jump, first, shape = below.size, below.jump, below.first, below.maps.shape[1:]
        low, high = [0, 0], [0, 0]
        for axis in (0, 1):
            begin = (own.first[axis] + at[axis] * own.jump[axis] - first[axis]) / jump[axis]
            count = (own.size[axis] - size[axis]) / jump[axis] + 1
            low[axis] = int(np.clip(round(begin), 0, shape[axis] - 1))
            high[axis] = int(np.clip(round(begin + count), low[axis] + 1, shape[axis]))
        found.append(Field(layer, (low[0], low[1]), (high[0], high[1])))
    return found


def place_maps(parts: ConvolutionParts) -> tuple[list[Card], float]:
    """Say where the input and the maps stand, the hindmost first of each layer, and how high it all is.

    Maps shrink more slowly than they do, so that the last can still be seen; single units stand in a column.
    """
    sides = np.array([parts.image.shape] + [layer.maps.shape[1:] for layer in parts.layers], float)
    largest = float(sides[0].max())
    sides = sides / largest * (sides.max(1) / largest)[:, None] ** (SHRINKING - 1)  # side ∝ (side / input's) ** 0.55
    single = [layer.maps[0].size == 1 for layer in parts.layers]
    cards = [1] + [1 if s else min(len(la.maps), MOST_CARDS) for s, la in zip(single, parts.layers, strict=True)]
    fixed = sum(GAP + OFFSET * (n - 1) for n in cards) - GAP + LEAST_SIDE * sum(single)
    scale = min((WIDTH - fixed) / sum(w for (w, _), s in zip(sides, [False, *single], strict=True) if not s), 34.0)
    height = max(float(sides[0, 1]) * scale + 2, 26.0)
    found, x = [], 0.0
    for index, (width, tall) in enumerate(sides * scale):
        if index and single[index - 1]:
            found += _column(parts.layers[index - 1], index - 1, x, height)
            x += LEAST_SIDE + GAP
            continue
        width, tall = max(width, LEAST_SIDE), max(tall, LEAST_SIDE)
        back = OFFSET * (cards[index] - 1)
        bottom = height / 2 - (tall + back) / 2
        found += [
            Card(index - 1, i, x + OFFSET * i, bottom + OFFSET * i, width, tall) for i in reversed(range(cards[index]))
        ]
        x += width + back + GAP
    shift = (WIDTH - (x - GAP)) / 2
    return [card._replace(x=card.x + shift) for card in found], height


def _column(layer: MapLayer, index: int, x: float, height: float) -> list[Card]:
    n = len(layer.maps)
    pitch = min(height / n, LEAST_SIDE * 1.15)
    side = pitch / 1.15
    low = height / 2 - pitch * (n - 1) / 2 - side / 2
    return [Card(index, i, x + (LEAST_SIDE - side) / 2, low + pitch * (n - 1 - i), side, side) for i in range(n)]
