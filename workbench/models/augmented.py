"""A deep Boltzmann machine as a network on an augmented input (Section 2.4; Salakhutdinov and Hinton 2009).

    x' = [v, q(h_2 | v), q(h_3 | v), …]            q from mean field, computed once by the machine as it was

    h_1 = s(W1 v + A1 q(h_2) + c1)  →  h_2 = s(W2 h_1 + A2 q(h_3) + c2)  →  …  →  h_L = s(WL h_{L-1} + cL)  →  y

Every hidden layer hears from above through the augmented input, so that before the first step of fine-tuning one pass
is one sweep of mean field, from the bottom up. The A begin at the machine's own weights and then learn by themselves.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from workbench.models.dbm import DBM
from workbench.models.initialization import initialize
from workbench.models.layer_graph import LABEL, LayerGraph


class AugmentedLayers(nn.Module):
    """The part that is fine-tuned: augmented vectors (B, V + Q) → outputs (B, K), or (B,) of a single one.

    Training it on vectors that :meth:`AugmentedNetwork.augment` made once saves the mean field of every step.

    Args:
        machine: without offsets; its weights are copied.
        n_outputs: K.
        seed: of the output layer.
    """

    def __init__(self, machine: DBM, n_outputs: int, seed: int) -> None:
        super().__init__()
        graph = machine.graph
        for name in graph.hidden:
            if graph.kind(name) != "bernoulli":
                raise ValueError(f"an augmented network needs bernoulli hidden units; {name} is {graph.kind(name)}")
        self.n_outputs = n_outputs
        self.order, self.tops, self.augmenting = bottom_up(graph), tops(graph), augmenting(graph)
        self.below = {name: lower_neighbors(graph, name) for name in self.order}
        self.above = {name: upper_neighbors(graph, name) for name in self.order}
        self.slots = {name: graph.sizes[name] for name in (*graph.inputs, *self.augmenting)}
        self._inputs = graph.inputs
        self.hidden = nn.ModuleDict({name: self._copied(machine, name) for name in self.order})
        self.output = nn.Linear(sum(graph.sizes[name] for name in self.tops), n_outputs)
        initialize(self.output, "glorot", torch.Generator().manual_seed(seed))
        self.output.to(machine.biases[graph.top])

    def features(self, augmented: Tensor) -> Tensor:
        """Give the top hidden activations (B, M) of augmented vectors (B, V + Q)."""
        if augmented.shape[1:] != (sum(self.slots.values()),):
            raise ValueError(f"augmented vectors have {sum(self.slots.values())} elements; got {augmented.shape[1:]}")
        given = dict(zip(self.slots, augmented.split(list(self.slots.values()), 1), strict=True))
        state = {name: given[name] for name in self._inputs}
        for name in self.order:
            parts = [state[n] for n in self.below[name]] + [given[n] for n in self.above[name]]
            state[name] = torch.sigmoid(self.hidden[name](torch.cat(parts, 1)))
        return torch.cat([state[name] for name in self.tops], 1)

    def forward(self, augmented: Tensor) -> Tensor:
        """Give the outputs of augmented vectors (B, V + Q)."""
        y = self.output(self.features(augmented))
        return y.squeeze(1) if self.n_outputs == 1 else y

    def _copied(self, machine: DBM, name: str) -> nn.Linear:
        """Give [W of the layers below, A of those above] with the machine's weights."""
        weights = [machine.weight(other, name) for other in (*self.below[name], *self.above[name])]
        weight, bias = torch.cat(weights, 1).detach(), machine.biases[name].detach()
        layer = nn.Linear(weight.shape[1], weight.shape[0]).to(weight)
        with torch.no_grad():
            layer.weight.copy_(weight)
            layer.bias.copy_(bias)
        return layer


class AugmentedNetwork(nn.Module):
    """Infer the posterior of the upper layers by the frozen machine, and compute outputs from it and the input.

    Args:
        machine: copied and kept as it is; fine-tuning changes ``trained`` alone, whose layers have no offsets.
        n_outputs: K classes, or numbers.
        n_iterations: at most so many sweeps of mean field.
        tolerance: largest change of a mean that ends them.
        seed: of the output layer.
    """

    def __init__(
        self, machine: DBM, n_outputs: int, *, n_iterations: int = 30, tolerance: float = 1e-6, seed: int = 0
    ) -> None:
        super().__init__()
        self.n_iterations, self.tolerance, self.n_outputs = n_iterations, tolerance, n_outputs
        self.posterior = copy.deepcopy(machine).requires_grad_(False)
        self.trained = AugmentedLayers(machine.uncentered(), n_outputs, seed)

    def augment(self, x: Tensor) -> Tensor:
        """Give [v, q(h_2 | v), …] (B, V + Q) of inputs (B, *shape), laid out as vectors; without gradient.

        Several inputs of a machine stand side by side in a vector, in the order of its graph.
        """
        graph, v = self.posterior.graph, x.flatten(1)
        n_inputs = [graph.sizes[name] for name in graph.inputs]
        if v.shape[1] != sum(n_inputs):
            raise ValueError(f"inputs with {sum(n_inputs)} elements were expected; got {v.shape[1]}")
        clamped = dict(zip(graph.inputs, v.split(n_inputs, 1), strict=True))
        found = self.posterior.mean_field(clamped, n_iterations=self.n_iterations, tolerance=self.tolerance).state
        return torch.cat([v, *(found[name] for name in self.trained.augmenting)], 1)

    def features(self, x: Tensor) -> Tensor:
        """Give the top hidden activations (B, M) of inputs (B, *shape)."""
        return self.trained.features(self.augment(x))

    def forward(self, x: Tensor) -> Tensor:
        """Give the outputs (B, K), or (B,) of a single one, of inputs (B, *shape)."""
        return self.trained(self.augment(x))


def lower_neighbors(graph: LayerGraph, layer: str) -> tuple[str, ...]:
    """Give the layers that a layer stands on; the label is not one of them."""
    return tuple(a for a, b in graph.edges if b == layer and a != LABEL)


def upper_neighbors(graph: LayerGraph, layer: str) -> tuple[str, ...]:
    """Give the layers above one: those that stand on it, and the label when it is joined to it."""
    return tuple(n for n in graph.neighbors(layer) if n not in lower_neighbors(graph, layer))


def augmenting(graph: LayerGraph) -> tuple[str, ...]:
    """Give the layers whose posterior is part of the augmented input, in the graph's order."""
    needed = {name for layer in graph.hidden for name in upper_neighbors(graph, layer)}
    return tuple(name for name in graph.sizes if name in needed)


def tops(graph: LayerGraph) -> tuple[str, ...]:
    """Give the hidden layers with no hidden layer above them: what the output layer sees."""
    return tuple(n for n in graph.hidden if not any(u in graph.hidden for u in upper_neighbors(graph, n)))


def bottom_up(graph: LayerGraph) -> tuple[str, ...]:
    """Order the hidden layers so that each comes after those that it stands on."""
    order = list(graph.inputs)
    while missing := [name for name in graph.hidden if name not in order]:
        ready = [name for name in missing if set(lower_neighbors(graph, name)) <= set(order)]
        if not ready:
            raise ValueError(f"the edges of {', '.join(missing)} go round in a circle, so none of them is the lowest")
        order += ready
    return tuple(order[len(graph.inputs) :])
