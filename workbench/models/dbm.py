"""The deep Boltzmann machine (Section 2.3.3, Equations 5-8, Figure 2c; Salakhutdinov and Hinton, AISTATS 2009).

    v ── h1 ── h2 ── … (── label)          all edges undirected

Given v, the hidden layers depend on each other, so their posterior is approximated by independent units with means mu:

    mean field     mu1 = s(W1 v + W2' mu2 + c1),  mu2 = s(W2 mu1 + c2), …         one side after the other
    bound          log p(v) >= -E(v, mu) + H(mu) - log Z
    gradient       Eq. 8: data-dependent statistics from mu, data-independent ones from Markov chains

The same holds on any graph of layers with two sides: two modalities with a shared layer, a label layer on the top.
Trained jointly from small weights, upper layers tend to stay unused and the machine is an RBM; :meth:`DBM.dead_layers`
tells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from workbench.models.boltzmann_machine import BoltzmannMachine, State, edge_key
from workbench.models.layer_graph import LABEL, chain_graph, multimodal_graph
from workbench.models.machine_path import MachinePath, log_sum
from workbench.models.machine_pretraining import RBMs, compose

DEAD_BELOW_SD = 0.02
"""A layer whose units vary less than this over the data, on average, carries nothing."""

DEAD_BELOW_WEIGHT = 0.02
"""Nor does one whose weights have a smaller mean absolute value; they begin at 0.008."""


class MeanField(NamedTuple):
    """An approximate posterior.

    Attributes:
        state: means (B, n) of the free layers, and the given values of the clamped ones.
        n_iterations: sweeps over both sides that were made.
        change: largest change of a mean in the last sweep.
    """

    state: State
    n_iterations: int
    change: float


class LayerLife(NamedTuple):
    """Whether a hidden layer is of use.

    Attributes:
        mean_abs_weight: mean absolute weight of the edges to the layers nearer to the input.
        sd_of_mu: standard deviation over the data of each unit's mean, averaged over units.
        dead: either is too small for the layer to tell inputs apart.
    """

    mean_abs_weight: float
    sd_of_mu: float
    dead: bool


class DBM(BoltzmannMachine):
    """A Boltzmann machine with data: mean field, bound, learning gradient, classes.

    Visible values are given as (B, V) where there is one input layer, else as a dict by layer name; a layer that is
    left out is inferred, be it a label or a missing modality.
    """

    @classmethod
    def chain(
        cls,
        n_visible: int,
        n_hidden: Sequence[int],
        *,
        n_classes: int = 0,
        visible: str = "bernoulli",
        centered: bool = False,
        seed: int = 0,
    ) -> Self:
        """Make v ── h1 ── h2 ── …, with a label layer on the top one when there are classes."""
        return cls(chain_graph(n_visible, n_hidden, n_classes=n_classes, visible=visible), centered=centered, seed=seed)

    @classmethod
    def multimodal(
        cls,
        paths: Mapping[str, tuple[int, Sequence[int]]],
        n_shared: int,
        *,
        n_classes: int = 0,
        visible: str = "bernoulli",
        centered: bool = False,
        seed: int = 0,
    ) -> Self:
        """Make one path of layers for each modality, {name: (V, [M1, …])}, joined at a shared layer."""
        graph = multimodal_graph(paths, n_shared, n_classes=n_classes, visible=visible)
        return cls(graph, centered=centered, seed=seed)

    @torch.no_grad()
    def mean_field(
        self, clamped: Tensor | Mapping[str, Tensor], *, n_iterations: int = 30, tolerance: float = 1e-6
    ) -> MeanField:
        """Approximate the posterior of all free layers; no sweep raises the variational free energy.

        It begins with a pass outwards from the data in which layers that will also hear from beyond have their input
        doubled. Then all free odd layers are updated, then all even ones, until no mean changes by the tolerance.

        Args:
            clamped: visible values by layer.
            n_iterations: at most so many sweeps.
            tolerance: largest change that ends them.
        """
        given = self.observed(clamped)
        state = self._first_pass(given)
        sides = [[layer for layer in side if layer not in given] for side in (self.graph.odd, self.graph.even)]
        change, done = float("inf"), 0
        while done < n_iterations and change >= tolerance:
            old = dict(state)
            for side in sides:
                state |= {layer: self.kinds[layer].mean(self.net_input(layer, state)) for layer in side}
            moved = [(state[layer] - old[layer]).abs().max() for side in sides for layer in side]
            change, done = float(torch.stack(moved).max()), done + 1
        return MeanField(state, done, change)

    def variational_free_energy(self, state: Mapping[str, Tensor], clamped: Mapping[str, Tensor]) -> Tensor:
        """Give E(mu) - H(mu), an upper bound of -log p*(clamped values): (B,)."""
        entropy = sum(self._entropy(layer, state[layer]) for layer in self.graph.sizes if layer not in clamped)
        return self.energy(state) - entropy

    def free_energy(self, v: Tensor | Mapping[str, Tensor]) -> Tensor:
        """Give the variational free energy of visible values after mean field: (B,), nats."""
        clamped = self.observed(v)
        return self.variational_free_energy(self.mean_field(clamped).state, clamped)

    def bound(self, clamped: Tensor | Mapping[str, Tensor], log_z: float | Tensor) -> Tensor:
        """Give a lower bound of log p(clamped values) in nats: (B,). It is as good as ``log_z`` is."""
        return -self.free_energy(clamped) - log_z

    def log_likelihood(self, clamped: Tensor | Mapping[str, Tensor]) -> Tensor:
        """Give log p(clamped values) exactly, (B,) float64, for machines small enough to be enumerated."""
        return log_sum(self, self.observed(clamped)) - self.exact_log_z()

    def exact_log_z(self) -> Tensor:
        """Give log Z exactly, a float64 scalar; a SettingsError says when there are too many states."""
        return log_sum(self)[0]

    def annealed(self, base_rates: Tensor | Mapping[str, Tensor] | None) -> MachinePath:
        """Give the path for annealed importance sampling from independent units with these means of the data (n,).

        Without means the base is uniform, from which estimates can be wrong by many nats.
        """
        return MachinePath(self, {} if base_rates is None else self.by_layer(base_rates))

    def load_pretrained(self, rbms: RBMs) -> None:
        """Take over the weights of RBMs that were trained with doubled inputs; see ``machine_pretraining``."""
        compose(self, rbms)

    @torch.no_grad()
    def gradient(self, positive: Mapping[str, Tensor], negative: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Give d/dtheta of mean E(positive) - mean E(negative), by parameter name: Eq. 8 with its sign turned.

        A step *against* it raises the likelihood, as an optimizer does. Odd layers of the negative states are
        replaced by their means given the even ones, which changes no expectation and takes away noise.

        Args:
            positive: mean-field states of the data, (B, n) by layer.
            negative: states of the chains, (M, n) by layer.
        """
        smooth = {layer: self.kinds[layer].mean(self.net_input(layer, negative)) for layer in self.graph.odd}
        data, model = self._centered(positive), self._centered(dict(negative) | smooth)
        result = {}
        for a, b in self.graph.edges:
            key = f"weights.{edge_key(a, b)}"
            result[key] = model[b].T @ model[a] / len(model[b]) - data[b].T @ data[a] / len(data[b])
        for layer in self.graph.sizes:
            result[f"biases.{layer}"] = model[layer].mean(0) - data[layer].mean(0)
        return result

    def encode(self, v: Tensor | Mapping[str, Tensor]) -> Tensor:
        """Give the mean-field means of the top hidden layer, (B, M)."""
        return self.mean_field(v).state[self.graph.top]

    @torch.no_grad()
    def class_probabilities(
        self, v: Tensor | Mapping[str, Tensor], method: Literal["bounds", "mean_field"] = "bounds"
    ) -> Tensor:
        """Give p(class | v), (B, K).

        Args:
            v: visible values without the label.
            method: ``bounds`` clamps each class in turn and compares the bounds, which is exact when the hidden
                layers given v and class are independent (one hidden layer); ``mean_field`` leaves the label free, K
                times faster and too sure of itself.
        """
        if not self.graph.n_classes:
            raise ValueError("this machine has no label layer; make it with n_classes")
        clamped = self.observed(v)
        if method == "mean_field":
            return self.mean_field(clamped).state[LABEL]
        if method != "bounds":
            raise LookupError(f"no method is called {method!r}; known are bounds, mean_field")
        n = len(next(iter(clamped.values())))
        classes = torch.eye(self.graph.n_classes).to(self.biases[LABEL])
        free = [self.free_energy(clamped | {LABEL: one.expand(n, -1)}) for one in classes]
        return torch.softmax(-torch.stack(free, 1), 1)

    def dead_layers(self, v: Tensor | Mapping[str, Tensor]) -> dict[str, LayerLife]:
        """Say of each hidden layer whether data (B, V) reach it; a dead one should raise an alarm."""
        return self.life_of(self.mean_field(v).state)

    @torch.no_grad()
    def life_of(self, state: Mapping[str, Tensor]) -> dict[str, LayerLife]:
        """Say the same from the mean-field state of a batch."""
        order, result = [*self.graph.inputs, *self.graph.outward(self.graph.inputs)], {}
        for layer in self.graph.hidden:
            below = [name for name in order[: order.index(layer)] if name in self.graph.neighbors(layer)]
            weight = float(torch.cat([self.weight(name, layer).abs().flatten() for name in below]).mean())
            sd = float(state[layer].std(0, correction=0).mean())
            result[layer] = LayerLife(weight, sd, sd < DEAD_BELOW_SD or weight < DEAD_BELOW_WEIGHT)
        return result

    @torch.no_grad()
    def back_projection(self, layer: str, visible: str | None = None) -> Tensor:
        """Give a layer's units as visible patterns: the product of the weights between, (units, V).

        Args:
            layer: any layer.
            visible: which input, needed when there are several.
        """
        if visible is None and len(self.graph.inputs) != 1:
            raise ValueError(f"this machine has several inputs; name one of {', '.join(self.graph.inputs)}")
        route = self.graph.route(visible or self.graph.inputs[0], layer)
        product = torch.eye(self.graph.sizes[route[0]]).to(self.biases[layer])
        for a, b in pairwise(route):
            product = self.weight(a, b) @ product
        return product

    def _first_pass(self, clamped: State) -> State:
        if not clamped:
            raise ValueError("mean field needs values of at least one visible layer")
        state, n = dict(clamped), len(next(iter(clamped.values())))
        for layer in self.graph.outward(clamped):
            near = [other for other in self.graph.neighbors(layer) if other in state]
            beyond = [other for other in self.graph.neighbors(layer) if other not in state]
            x = self.biases[layer].expand(n, -1)
            factor = 2 if any(other in self.graph.hidden for other in beyond) else 1
            for other in near:
                x = x + factor * F.linear(self._minus_offset(other, state), self.weight(other, layer))
            state[layer] = self.kinds[layer].mean(x)
        return state

    def _entropy(self, layer: str, mu: Tensor) -> Tensor:
        """Give the entropy of independent units with means mu (B, n), less the energy of Gaussian variance: (B,)."""
        kind = self.graph.kind(layer)
        if kind == "gaussian":
            return self.kinds[layer].log_partition(torch.zeros_like(mu)).sum(1)
        entropy = torch.special.entr(mu).sum(1)
        return entropy if kind == "softmax" else entropy + torch.special.entr(1 - mu).sum(1)

    def _centered(self, state: Mapping[str, Tensor]) -> State:
        return {layer: self._minus_offset(layer, state) for layer in self.graph.sizes}
