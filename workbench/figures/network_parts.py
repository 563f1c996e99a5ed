"""What a drawing of a network is made of, and where its units stand; the figure and the live view share both.

Layers stand on levels, the data at the bottom (Figures 1 and 2). Layers without anything below them (the modalities of
a multimodal model, the labels beside a hidden layer) start pathways side by side; a layer above several stands over
their middle.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

Direction = Literal["up", "down", "both", "none"]
WIDTH = 100.0
LEVEL = 18.0
"""Height between two levels in the units of :data:`WIDTH`."""
LABEL_ROOM, MOST_PITCH, LEAST_PITCH = 13.0, 7.0, 2.2
STRONGEST_LINKS = 72
NAMES = {
    "mlp": "Feed-forward network",
    "sae": "Stacked auto-encoder",
    "rbm": "Restricted Boltzmann machine",
    "dbn": "Deep belief network",
    "dbm": "Deep Boltzmann machine",
    "multimodal dbm": "Multimodal deep Boltzmann machine",
}
WAYS = {"up": "directed upwards", "down": "directed downwards", "both": "upwards and back", "none": "undirected"}


@dataclass(frozen=True, eq=False)
class LayerParts:
    """One layer and the units of it that are drawn.

    Attributes:
        name: as links and ``receptive`` name it.
        n_units: how many there are.
        shown: indices of the drawn ones, from left to right; 9 to 15 read best.
        units: their kind (``"sigmoid"``, ``"Gaussian"``), written beneath the name.
        title: how the layer is called in the drawing; empty for ``name``, where ``h1`` becomes h⁽¹⁾.
    """

    name: str
    n_units: int
    shown: Sequence[int]
    units: str = ""
    title: str = ""

    @property
    def heading(self) -> str:
        """What the drawing calls the layer."""
        return self.title or raised(self.name)


@dataclass(frozen=True, eq=False)
class LinkParts:
    """The weights between two layers.

    Attributes:
        below, above: names of the layers.
        weights: (n above shown, n below shown), between the drawn units in their order.
        directed: what the arrows say: ``"up"`` recognition or prediction, ``"down"`` generation (the lower layers of a
            belief network), ``"both"`` an auto-encoder, ``"none"`` undirected.
        title: what the weights are called, such as ``"W⁽¹⁾"``.
    """

    below: str
    above: str
    weights: np.ndarray
    directed: Direction = "none"
    title: str = ""


@dataclass(frozen=True, eq=False)
class NetworkParts:
    """A live network, cut down to what one can see.

    Attributes:
        kind: a key of :data:`NAMES`.
        layers: from the data upwards.
        blocks: pairs of layers that are linked.
        receptive: layer → the pattern each drawn unit answers to, in input space: (n shown, C, X, Y[, Z]), or
            (n shown, V) for inputs that are no image; layers without an entry have plain circles.
        activations: layer → (n shown,), how active each drawn unit is, 0 to 1; without it all are alike.
    """

    kind: str
    layers: Sequence[LayerParts]
    blocks: Sequence[LinkParts]
    receptive: Mapping[str, np.ndarray] = field(default_factory=dict)
    activations: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in NAMES:
            raise LookupError(f"kind must be one of {', '.join(NAMES)}; got {self.kind!r}")
        shown = {layer.name: len(layer.shown) for layer in self.layers}
        if len(shown) < len(self.layers) or not all(shown.values()):
            raise ValueError(f"layers need different names and a unit each; got {[la.name for la in self.layers]}")
        for block in self.blocks:
            if missing := {block.below, block.above} - set(shown):
                raise LookupError(f"a link names {', '.join(sorted(missing))}; the layers are {', '.join(shown)}")
            if block.directed not in WAYS:
                raise LookupError(f"directed must be one of {', '.join(WAYS)}; got {block.directed!r}")
            if block.weights.shape != (shown[block.above], shown[block.below]):
                wanted = (shown[block.above], shown[block.below])
                raise ValueError(f"weights {block.below}–{block.above} are {block.weights.shape}; expected {wanted}")
        for what, arrays in (("receptive", self.receptive), ("activations", self.activations)):
            for name, array in arrays.items():
                if name not in shown or len(array) != shown[name]:
                    raise ValueError(f"{what}[{name!r}] has {len(array)} rows; {shown.get(name, 0)} units are drawn")

    @property
    def alt(self) -> str:
        """A sentence for those who cannot see the drawing."""
        layers = ", ".join(f"{la.heading} {la.n_units}" + (f" {la.units}" if la.units else "") for la in self.layers)
        called = {layer.name: layer.heading for layer in self.layers}
        links = "; ".join(f"{called[b.below]}–{called[b.above]} {WAYS[b.directed]}" for b in self.blocks)
        return f"{NAMES[self.kind]}: units {layers}; links {links}."


@dataclass(frozen=True, eq=False)
class Placement:
    """Where everything stands, x to the right and y upwards, both in units of :data:`WIDTH` across.

    Attributes:
        at: layer → (n shown, 2) x, y of its units.
        label: layer → x, y and the side (``"right"`` or ``"left"``) to which its name runs.
        size: side of a unit.
        height: of the whole; the lowest level is at 0.
    """

    at: Mapping[str, np.ndarray]
    label: Mapping[str, tuple[float, float, Literal["left", "right"]]]
    size: float
    height: float


def place(parts: NetworkParts) -> Placement:
    """Say where the units of a network stand."""
    level, middle, room = _levels(parts), *_slots(parts)
    pitch = {}
    for layer in parts.layers:
        n = len(layer.shown) + (1 if layer.n_units > len(layer.shown) else 0)
        pitch[layer.name] = float(np.clip((room[layer.name] - LABEL_ROOM) / n, LEAST_PITCH, MOST_PITCH))
    at: dict[str, np.ndarray] = {}
    label: dict[str, tuple[float, float, Literal["left", "right"]]] = {}
    for layer in parts.layers:
        x = _row(layer, pitch[layer.name]) + middle[layer.name]
        y = LEVEL * level[layer.name]
        at[layer.name] = np.stack([x, np.full(len(x), y)], 1)
        side: Literal["left", "right"] = "left" if middle[layer.name] <= WIDTH / 2 + 12 else "right"
        edge = x[0] - 0.6 * MOST_PITCH if side == "left" else x[-1] + 0.6 * MOST_PITCH
        label[layer.name] = (float(edge), y, side)
    return Placement(at, label, 0.76 * min(pitch.values()), LEVEL * max(level.values()))


def strongest(weights: np.ndarray, most: int = STRONGEST_LINKS) -> np.ndarray:
    """Give the links worth drawing as (n, 2) rows of unit above, unit below, the weakest first.

    The ``most`` heaviest, and for every unit its own heaviest, so that none stands alone.
    """
    size = np.abs(weights)
    kept = np.zeros(size.shape, bool)
    kept.ravel()[np.argsort(size, axis=None)[max(size.size - most, 0) :]] = True
    kept[np.arange(size.shape[0]), size.argmax(1)] = True
    kept[size.argmax(0), np.arange(size.shape[1])] = True
    pairs = np.argwhere(kept & (size > 0))
    return pairs[np.argsort(size[pairs[:, 0], pairs[:, 1]], kind="stable")]


def spread(n_units: int, most: int = 13) -> np.ndarray:
    """Choose which units of a layer to draw when nothing else decides: ``most`` of them, evenly apart."""
    return np.unique(np.linspace(0, n_units - 1, min(n_units, most)).round().astype(int))


def raised(name: str) -> str:
    """Write ``h2`` as h⁽²⁾, the review's way; other names stay."""
    found = re.fullmatch(r"([A-Za-z])(\d+)", name)
    digits = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
    return f"{found[1]}⁽{found[2].translate(digits)}⁾" if found else name


def _levels(parts: NetworkParts) -> dict[str, int]:
    """Count levels from the data; a layer with nothing below it stands one below what it feeds."""
    level = {layer.name: 0 for layer in parts.layers}
    for _ in parts.layers:
        for block in parts.blocks:
            level[block.above] = max(level[block.above], level[block.below] + 1)
    for name in _sources(parts):
        above = [level[b.above] for b in parts.blocks if b.below == name]
        level[name] = min(above, default=1) - 1
    return level


def _sources(parts: NetworkParts) -> list[str]:
    fed = {block.above for block in parts.blocks}
    return [layer.name for layer in parts.layers if layer.name not in fed]


def _slots(parts: NetworkParts) -> tuple[dict[str, float], dict[str, float]]:
    """Share the width by pathway: give each layer's middle and the room it has."""
    below: dict[str, set[str]] = {name: {name} for name in _sources(parts)}
    for _ in parts.layers:
        for block in parts.blocks:
            below.setdefault(block.above, set()).update(below.get(block.below, set()))
    widest = {s: max(len(la.shown) for la in parts.layers if below[la.name] == {s}) + 3.0 for s in _sources(parts)}
    total, start, middle, room = sum(widest.values()), 0.0, {}, {}
    for source, share in widest.items():
        middle[source], room[source] = start + WIDTH * share / total / 2, WIDTH * share / total
        start += room[source]
    for layer in parts.layers:
        own = sorted(below[layer.name], key=list(widest).index)
        middle[layer.name] = float(np.mean([middle[s] for s in own]))
        room[layer.name] = sum(widest[s] for s in own) / total * WIDTH
    return middle, room


def _row(layer: LayerParts, pitch: float) -> np.ndarray:
    """Give x of a layer's units about 0, with a gap in the middle for dots where not all are drawn."""
    n = len(layer.shown)
    gap = np.zeros(n) if layer.n_units == n else np.where(np.arange(n) < (n + 1) // 2, 0.0, 1.0)
    x = pitch * (np.arange(n) + gap)
    return x - (x[0] + x[-1]) / 2
