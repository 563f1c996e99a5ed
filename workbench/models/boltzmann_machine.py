"""The joint distribution of a Boltzmann machine on any graph of layers: energy, conditionals, Gibbs sampling.

    E(x) = - sum_l b_l . x_l - sum_(a,b) (x_b - o_b)' W_ab (x_a - o_a)                   (Section 2.3.3, biases kept)

A layer given its neighbors has independent units with net input b + sum_n W (x_n - o_n), whose means are the review's
Eq. 5-7. The offsets o are zero unless the machine is centered (Montavon and Müller 2012; Melchior et al. 2016): they
change how it learns, not what it can say. Gaussian layers have (x - b)² / 2 in place of - b . x: unit variance, so
their data must be standardized.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from workbench.models.layer_graph import LayerGraph
from workbench.models.units import units

State = dict[str, Tensor]
"""A value (B, n) for each layer by name: samples, or means under mean field."""

_INIT_SCALE = 0.01


class BoltzmannMachine(nn.Module):
    """Layers of units joined along the edges of a graph.

    Weights are drawn from N(0, 0.01²) and biases begin at 0.

    Args:
        graph: layers, edges and what is visible.
        centered: whether offsets are used; they begin at the means of units without input (0.5 for binary ones).
        seed: of the weights.
    """

    def __init__(self, graph: LayerGraph, *, centered: bool = False, seed: int = 0) -> None:
        super().__init__()
        self.graph, self.centered = graph, centered
        self.kinds = {name: units(graph.kind(name)) for name in graph.sizes}
        self._links = {name: [_link(graph, other, name) for other in graph.neighbors(name)] for name in graph.sizes}
        generator = torch.Generator().manual_seed(seed)
        self.weights = nn.ParameterDict()
        for lower, upper in graph.edges:
            shape = (graph.sizes[upper], graph.sizes[lower])
            self.weights[edge_key(lower, upper)] = nn.Parameter(_INIT_SCALE * torch.randn(shape, generator=generator))
        self.biases = nn.ParameterDict({name: nn.Parameter(torch.zeros(n)) for name, n in graph.sizes.items()})
        self.offsets = nn.Module()
        for name, n in graph.sizes.items():
            zero = torch.zeros(1, n)
            start = units(graph.kind(name)).mean(zero) if centered else zero
            self.offsets.register_buffer(name, start[0].clone())

    def weight(self, a: str, b: str) -> Tensor:
        """Give the weight that carries layer ``a`` to layer ``b``: (units of b, units of a)."""
        if (a, b) in self.graph.edges:
            return self.weights[edge_key(a, b)]
        if (b, a) in self.graph.edges:
            return self.weights[edge_key(b, a)].T
        raise LookupError(f"layers {a!r} and {b!r} are not joined; {a} is joined to {self.graph.neighbors(a)}")

    def offset(self, layer: str) -> Tensor:
        """Give a layer's offset (n,)."""
        return self.offsets.get_buffer(layer)

    def net_input(self, layer: str, state: Mapping[str, Tensor]) -> Tensor:
        """Give what a layer gets from its neighbors and its bias (Eq. 5-7 before the sigmoid): (B, n)."""
        x: Tensor = self.biases[layer]
        for other, key, upward in self._links[layer]:
            weight = self.weights[key]
            x = torch.addmm(x, self._minus_offset(other, state), weight.T if upward else weight)
        return x

    def energy(self, state: Mapping[str, Tensor]) -> Tensor:
        """Give E(x) (B,) of states that name every layer; of means it is the mean energy, less Gaussian variance."""
        energy = sum(self._layer_energy(layer, state[layer]) for layer in self.graph.sizes)
        for a, b in self.graph.edges:
            carried = F.linear(self._minus_offset(a, state), self.weight(a, b))
            energy = energy - (carried * self._minus_offset(b, state)).sum(1)
        return torch.as_tensor(energy)

    def log_marginal(self, state: Mapping[str, Tensor], out: Collection[str]) -> Tensor:
        """Give the log of the unnormalized probability of some layers, the others summed out: (B,).

        Args:
            state: values of the layers that are kept.
            out: the layers that are summed out; no two of them are joined.
        """
        kept = [layer for layer in self.graph.sizes if layer not in out]
        log_p = -sum((self._layer_energy(layer, state[layer]) for layer in kept), torch.zeros(()))
        for a, b in self.graph.edges:
            if a in kept and b in kept:
                carried = F.linear(self._minus_offset(a, state), self.weight(a, b))
                log_p = log_p + (carried * self._minus_offset(b, state)).sum(1)
        for layer in out:
            kind, bias, x = self.kinds[layer], self.biases[layer], self.net_input(layer, state)
            log_p = log_p + kind.log_partition(x).sum(1) - kind.base_energy(bias).sum()
            log_p = log_p - (x - bias) @ self.offset(layer)
        return log_p

    @torch.no_grad()
    def gibbs(
        self, state: Mapping[str, Tensor], n_steps: int, generator: torch.Generator, clamped: Iterable[str] = ()
    ) -> State:
        """Run block Gibbs sampling: all odd layers given the even ones, then all even ones given the odd.

        Args:
            state: where each chain begins, (B, n) for each layer.
            n_steps: sweeps.
            generator: draws the samples.
            clamped: layers that keep their values.
        """
        state, fixed = dict(state), set(clamped)
        sides = [[layer for layer in side if layer not in fixed] for side in (self.graph.odd, self.graph.even)]
        for _ in range(n_steps):
            for side in sides:
                state |= {n: self.kinds[n].sample(self.net_input(n, state), generator) for n in side}
        return state

    @torch.no_grad()
    def initial_state(self, n: int, generator: torch.Generator) -> State:
        """Draw ``n`` states as if there were no weights: random chains from which sampling begins."""
        return {layer: self.kinds[layer].sample(bias.expand(n, -1), generator) for layer, bias in self.biases.items()}

    def set_base_rates(self, rates: Tensor | Mapping[str, Tensor]) -> None:
        """Set biases, and offsets of a centered machine, to what the mean of the data (n,) asks for without weights.

        Args:
            rates: mean of each unit of a layer, by name; a single tensor is for the one input layer.
        """
        for layer, mean in self.by_layer(rates).items():
            mean = mean.to(self.biases[layer])
            with torch.no_grad():
                self.biases[layer].copy_(self.kinds[layer].input_of(mean))
                if self.centered:
                    self.offset(layer).copy_(mean)

    @torch.no_grad()
    def move_offsets(self, means: Mapping[str, Tensor], rate: float) -> None:
        """Move offsets (n,) towards means by a share ``rate``; biases make up for it, the distribution stays.

        A layer's net input must not change when a neighbor's offset moves by d, so its bias grows by W d.
        """
        if not self.centered:
            raise ValueError("this machine is not centered, so its offsets stay at zero")
        moves = {layer: rate * (mean - self.offset(layer)) for layer, mean in means.items()}
        self._shift_offsets(moves)

    @torch.no_grad()
    def uncentered(self) -> Self:
        """Give a copy with the same distribution and all offsets at zero. Its log Z differs by a constant."""
        other = type(self)(self.graph, centered=False)
        other.to(next(self.parameters())).load_state_dict(self.state_dict())
        other._shift_offsets({layer: -other.offset(layer) for layer in self.graph.sizes})
        return other

    def observed(self, values: Tensor | Mapping[str, Tensor]) -> State:
        """Give visible values by layer: a single tensor (B, V) is for the one input layer, each else by its name."""
        state = self.by_layer(values)
        for layer, value in state.items():
            if layer not in self.graph.visible:
                raise LookupError(f"layer {layer!r} is not visible; data go into {', '.join(self.graph.visible)}")
            if value.ndim != 2 or value.shape[1] != self.graph.sizes[layer]:
                raise ValueError(f"layer {layer} takes (B, {self.graph.sizes[layer]}); got {tuple(value.shape)}")
        return state

    def by_layer(self, values: Tensor | Mapping[str, Tensor]) -> State:
        """Name the layer of a single tensor, which is possible when there is one input layer."""
        if not isinstance(values, Tensor):
            return dict(values)
        if len(self.graph.inputs) != 1:
            raise ValueError(f"this machine has several inputs; give a dict with {', '.join(self.graph.inputs)}")
        return {self.graph.inputs[0]: values}

    def _shift_offsets(self, moves: Mapping[str, Tensor]) -> None:
        for layer, move in moves.items():
            for other in self.graph.neighbors(layer):
                self.biases[other] += self.weight(layer, other) @ move
            self.offset(layer).add_(move)

    def _minus_offset(self, layer: str, state: Mapping[str, Tensor]) -> Tensor:
        return state[layer] - self.offset(layer) if self.centered else state[layer]

    def _layer_energy(self, layer: str, x: Tensor) -> Tensor:
        """Give the part of the energy that a layer (B, n) has by itself: (B,)."""
        kind, bias = self.kinds[layer], self.biases[layer]
        return (kind.base_energy(x) + kind.base_energy(bias) - x * bias).sum(1)


def edge_key(lower: str, upper: str) -> str:
    """Give the name under which the weight of an edge is stored."""
    return f"{lower}>{upper}"


def _link(graph: LayerGraph, a: str, b: str) -> tuple[str, str, bool]:
    """Give what carries layer ``a`` to its neighbor ``b``: a, the weight's name, and whether b is the upper end."""
    return (a, edge_key(a, b), True) if (a, b) in graph.edges else (a, edge_key(b, a), False)
