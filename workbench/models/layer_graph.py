"""Which layers a Boltzmann machine has and which of them are joined (Section 2.3.3, Figure 2c).

Layers fall into two sides, and only layers of different sides are joined. All of one side can then be drawn, or be
updated, at once, given the other: the chain of Figure 2c, two modalities with a shared layer, and a label layer are
instances of one machine.

    chain         v ── h1 ── h2 ── label

    multimodal    MRI ── MRI_h1 ──┐
                                  ├── shared ── label
                  PET ── PET_h1 ──┘
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

LABEL = "label"
SHARED = "shared"

_UNITS = ("bernoulli", "gaussian", "softmax")


@dataclass(frozen=True)
class LayerGraph:
    """Layers, the edges between them, and what is observed.

    Attributes:
        sizes: units of each layer. The hidden layer listed last is the top, the code of the machine.
        edges: pairs (lower, upper) of joined layers; the weight of an edge is (units of upper, units of lower).
        units: kind of a layer's units: bernoulli (the default), softmax (one of its units is on), or gaussian (unit
            variance; visible layers only).
        visible: layers that data can be put into; a label layer is one of them.
    """

    sizes: Mapping[str, int]
    edges: tuple[tuple[str, str], ...]
    units: Mapping[str, str] = field(default_factory=dict)
    visible: tuple[str, ...] = ("v",)

    def __post_init__(self) -> None:
        _check_names(self)
        if not self.hidden:
            raise ValueError("a machine needs a hidden layer; every layer of this one is visible")
        sides = _sides(self)
        for a, b in self.edges:
            if sides[a] == sides[b]:
                raise ValueError(f"layers fall into two sides, but {a} and {b} are joined and on the same one")
        object.__setattr__(self, "_sides", sides)

    @property
    def odd(self) -> tuple[str, ...]:
        """Layers of the side that does not hold the first visible layer."""
        return tuple(name for name in self.sizes if self._side(name) == 1)

    @property
    def even(self) -> tuple[str, ...]:
        """Layers of the side that holds the first visible layer."""
        return tuple(name for name in self.sizes if self._side(name) == 0)

    @property
    def hidden(self) -> tuple[str, ...]:
        """Layers that are never observed, in their order."""
        return tuple(name for name in self.sizes if name not in self.visible)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Visible layers other than the label."""
        return tuple(name for name in self.visible if name != LABEL)

    @property
    def top(self) -> str:
        """The hidden layer listed last."""
        return self.hidden[-1]

    @property
    def n_classes(self) -> int:
        """Units of the label layer; 0 without one."""
        return self.sizes[LABEL] if LABEL in self.visible else 0

    def kind(self, layer: str) -> str:
        """Name the units of a layer."""
        return self.units.get(layer, "bernoulli")

    def neighbors(self, layer: str) -> tuple[str, ...]:
        """Give the layers that are joined to this one, in the order of the edges.

        Raises:
            LookupError: there is no such layer.
        """
        if layer not in self.sizes:
            raise LookupError(f"there is no layer {layer!r}; this machine has {', '.join(self.sizes)}")
        return tuple(b if a == layer else a for a, b in self.edges if layer in (a, b))

    def outward(self, start: Iterable[str]) -> tuple[str, ...]:
        """Order all other layers by their distance from those of ``start``, nearest first."""
        found = list(start)
        n_start = len(found)
        for layer in found:  # grows while it is walked
            found += [name for name in self.neighbors(layer) if name not in found]
        return tuple(found[n_start:])

    def route(self, start: str, end: str) -> tuple[str, ...]:
        """Give the layers on a shortest way from ``start`` to ``end``, both included."""
        ways: dict[str, tuple[str, ...]] = {start: (start,)}
        for layer in (start, *self.outward([start])):
            for name in self.neighbors(layer):
                ways.setdefault(name, (*ways[layer], name))
        if end not in ways:
            raise LookupError(f"there is no layer {end!r}; this machine has {', '.join(self.sizes)}")
        return ways[end]

    def _side(self, layer: str) -> int:
        sides: dict[str, int] = self.__dict__["_sides"]
        return sides[layer]


def chain_graph(
    n_visible: int, n_hidden: Sequence[int], *, n_classes: int = 0, visible: str = "bernoulli"
) -> LayerGraph:
    """Give v ── h1 ── h2 ── …, with a label layer on the top one when there are classes."""
    names = ["v", *(f"h{i}" for i in range(1, len(n_hidden) + 1))]
    sizes = dict(zip(names, (n_visible, *n_hidden), strict=True))
    edges = list(pairwise(names))
    return _with_label(sizes, edges, {"v": visible}, ["v"], n_classes)


def multimodal_graph(
    paths: Mapping[str, tuple[int, Sequence[int]]], n_shared: int, *, n_classes: int = 0, visible: str = "bernoulli"
) -> LayerGraph:
    """Give one way of layers for each modality, joined at their tops by a shared layer.

    Args:
        paths: name → (units of its visible layer, units of its hidden layers from below); layers are called
            ``name``, ``name_h1``, ``name_h2``, …
        n_shared: units of ``shared``.
        n_classes: units of ``label`` on the shared layer; 0 for none.
        visible: kind of the visible units.
    """
    sizes: dict[str, int] = {}
    edges: list[tuple[str, str]] = []
    for name, (n_visible, n_hidden) in paths.items():
        names = [name, *(f"{name}_h{i}" for i in range(1, len(n_hidden) + 1))]
        sizes |= dict(zip(names, (n_visible, *n_hidden), strict=True))
        edges += zip(names, [*names[1:], SHARED], strict=True)
    sizes[SHARED] = n_shared
    return _with_label(sizes, edges, dict.fromkeys(paths, visible), list(paths), n_classes)


def _with_label(
    sizes: dict[str, int], edges: list[tuple[str, str]], units: dict[str, str], visible: list[str], n_classes: int
) -> LayerGraph:
    if n_classes:
        edges = [*edges, (LABEL, list(sizes)[-1])]
        sizes, units, visible = sizes | {LABEL: n_classes}, units | {LABEL: "softmax"}, [*visible, LABEL]
    return LayerGraph(sizes, tuple(edges), units, tuple(visible))


def _check_names(graph: LayerGraph) -> None:
    for name, size in graph.sizes.items():
        if not re.fullmatch(r"[A-Za-z0-9][\w-]*", name):
            raise ValueError(f"a layer's name has letters, digits, - and _ only; got {name!r}")
        if size < 1:
            raise ValueError(f"layer {name} has {size} units; it needs at least 1")
    ends = [name for edge in graph.edges for name in edge]
    for name in (*ends, *graph.units, *graph.visible):
        if name not in graph.sizes:
            raise LookupError(f"there is no layer {name!r}; this machine has {', '.join(graph.sizes)}")
    if len({frozenset(edge) for edge in graph.edges}) < len(graph.edges):
        raise ValueError("two layers are joined by at most one edge")
    for name, kind in graph.units.items():
        if kind not in _UNITS:
            raise LookupError(f"no units of a Boltzmann machine are called {kind!r}; known are {', '.join(_UNITS)}")
        if kind == "gaussian" and name not in graph.visible:
            raise ValueError(f"gaussian units are for visible layers only; {name} is hidden")
    if not graph.visible or set(graph.visible) == {LABEL}:
        raise ValueError("a machine needs a visible layer beside its label")


def _sides(graph: LayerGraph) -> dict[str, int]:
    first = graph.visible[0]
    sides = {first: 0}
    for layer in graph.outward([first]):
        sides[layer] = 1 - next(sides[name] for name in graph.neighbors(layer) if name in sides)
    lonely = [name for name in graph.sizes if name not in sides]
    if lonely:
        raise ValueError(f"every layer must be joined to the others; {', '.join(lonely)} is not")
    return sides
