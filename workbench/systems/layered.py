"""A trained network as layers of units: what the filters, the diagrams and the unit statistics are made from.

Families wrap their networks in a :class:`Layered`; everything drawn of a family comes from here, so that a new one
shows all of it by saying what its layers are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from workbench.figures.network_parts import Direction, LayerParts, LinkParts, NetworkParts, spread
from workbench.models.layers import DEAD_BELOW
from workbench.runs.run import Run
from workbench.systems.examples_base import ExampleLearning, Record, as_pictures
from workbench.systems.views import FilterBank

N_DRAWN = 13


@dataclass(frozen=True, eq=False)
class Link:
    """The weights between two layers.

    Attributes:
        below, above: names of layers, of the data or of units.
        weight: (n above, n below).
        directed: what Figure 1 or 2 says of it.
    """

    below: str
    above: str
    weight: Tensor
    directed: Direction = "none"


class Layered(Protocol):
    """What a family says of its trained network.

    Attributes:
        kind: which drawing it is, a key of :data:`workbench.figures.network_parts.NAMES`.
        data: names and sizes of the layers that hold an example.
        sizes: names and sizes of the layers of units above, from the data upwards.
        unit_names: layer → what its units are, such as ``"sigmoid"``.
    """

    kind: str
    data: dict[str, int]
    sizes: dict[str, int]
    unit_names: dict[str, str]

    def patterns(self, name: str) -> Tensor:
        """Give what each unit of a layer answers to, (n, *shape): weights, or their linear product back to the data."""

    def activations(self, x: Tensor, name: str) -> Tensor:
        """Give how active the units of a layer are, (B, n), for examples (B, *shape); 0 to 1 for sigmoid units."""

    def links(self) -> Sequence[Link]:
        """Give the weights between layers."""


class LayerViews(ExampleLearning):
    """For families whose network has layers of units: filters and a diagram of the live network."""

    def layers(self, run: Run) -> Layered:
        """Give the trained network as layers of units."""
        raise NotImplementedError  # abstract

    def filter_bank(self, run: Run, depth: int) -> FilterBank:
        """Give the patterns of a layer, counted from 1; a depth beyond the last gives the last."""
        target = getattr(self, "sparsity_target", None)
        return filter_bank(self.layers(run), self.record(run), run, depth, target or None)

    def network_parts(self, run: Run) -> NetworkParts:
        """Give what Figure 1 or 2 draws, from the live network."""
        return network_parts(self.layers(run), self.record(run), run.load_arrays("units"))


@torch.no_grad()
def unit_use(layered: Layered, x: Tensor) -> dict[str, np.ndarray]:
    """Give the mean activation of every unit over examples (N, *shape), (n,) by layer."""
    return {
        name: torch.cat([layered.activations(part, name).abs() for part in x.split(512)]).mean(0).float().numpy()
        for name in layered.sizes
    }


def filter_bank(layered: Layered, record: Record, run: Run, depth: int, sparsity_target: float | None) -> FilterBank:
    """Give the patterns of a layer, counted from 1; a depth beyond the last gives the last."""
    names = list(layered.sizes)
    depth = min(max(1, depth), len(names))
    patterns = record.scaling.pattern(layered.patterns(names[depth - 1]).detach().cpu().float())
    weights = as_pictures(patterns).numpy()
    use = run.load_arrays("units")[names[depth - 1]]
    return FilterBank(
        weights=weights,
        mean_activation=use,
        dead=use < DEAD_BELOW,
        norms=np.sqrt((weights.reshape(len(weights), -1) ** 2).sum(1)),
        spacing_mm=record.source.spacing_mm if record.source.kind == "patches" else 0.0,
        layers=[f"{name} ({size} units)" for name, size in layered.sizes.items()],
        depth=depth,
        sparsity_target=sparsity_target,
        linear=names[depth - 1] in first_layers(layered),
    )


def first_layers(layered: Layered) -> set[str]:
    """Give the layers that stand directly on the data."""
    return {link.above for link in layered.links() if link.below in layered.data}


def network_parts(layered: Layered, record: Record, use: Mapping[str, np.ndarray]) -> NetworkParts:
    """Give what Figures 1 and 2 draw: the most used units of each layer, their links and what they answer to.

    Args:
        layered: the trained network.
        record: how it saw its examples.
        use: layer → (n,) the mean activation of its units.
    """
    shown = {name: spread(n, N_DRAWN) for name, n in layered.data.items()}
    for name, n in layered.sizes.items():
        order = np.argsort(-use[name], kind="stable")[: min(n, N_DRAWN)]
        shown[name] = np.sort(order)
    sizes: dict[str, Any] = {**layered.data, **layered.sizes}
    receptive = {}
    for name in layered.sizes:
        patterns = record.scaling.pattern(layered.patterns(name).detach().cpu().float()[torch.from_numpy(shown[name])])
        receptive[name] = patterns.numpy()
    return NetworkParts(
        kind=layered.kind,
        layers=[LayerParts(n, size, shown[n].tolist(), layered.unit_names.get(n, "")) for n, size in sizes.items()],
        blocks=[
            LinkParts(
                link.below, link.above, link.weight.detach()[shown[link.above]][:, shown[link.below]].cpu().numpy(),
                link.directed,
            )
            for link in layered.links()
        ],
        receptive=receptive,
        activations={name: _bounded(use[name][shown[name]]) for name in layered.sizes},
    )  # fmt: skip


def _bounded(rates: np.ndarray) -> np.ndarray:
    """Give rates in 0..1; those of unbounded units are shares of the layer's largest."""
    top = float(rates.max(initial=0.0))
    return rates / top if top > 1 else rates
