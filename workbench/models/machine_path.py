"""Sums over the states of a Boltzmann machine: exact by enumeration, and the path that annealing walks (Section 2.3.3).

Both use that one side of the graph can be summed out given the other. For a chain v, h1, h2 the path keeps h1 alone:

    log p*_beta(h1) = beta c1.h1 + sum softplus((1-beta) b_A + beta (b + W1' h1)) + sum softplus(beta (c2 + W2 h1))

with b_A the biases of the base, which come from the data's means (Salakhutdinov and Murray, ICML 2008). A base
without them is legal and can be wrong by many nats although its chains agree.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from workbench.errors import SettingsError
from workbench.models.boltzmann_machine import BoltzmannMachine, State
from workbench.models.layer_graph import LayerGraph
from workbench.models.units import Units

MAX_STATES = 2**22
_CHUNK = 2**14


class MachinePath:
    """What annealed importance sampling needs of a machine; states are its odd layers side by side, (n, n_units).

    Weights are copied to float64 on the CPU, so that later training does not change the path.

    Args:
        machine: the model at beta = 1.
        base_rates: mean of each unit of some layers; the others are uniform in the base.
    """

    def __init__(self, machine: BoltzmannMachine, base_rates: Mapping[str, Tensor]) -> None:
        self._odd, self._even = (_Side(machine, side, base_rates) for side in (machine.graph.odd, machine.graph.even))
        self.n_units = len(self._odd.bias)
        self._weight = torch.zeros(len(self._even.bias), self.n_units, dtype=torch.float64)
        for a, b in machine.graph.edges:
            odd, even = (a, b) if a in self._odd.places else (b, a)
            place = (self._even.places[even], self._odd.places[odd])
            self._weight[place] = machine.weight(odd, even).detach().double().cpu()
        self._last: tuple[Tensor, Tensor] | None = None

    def base_log_z(self) -> Tensor:
        """Give log Z at beta = 0, where all units are independent: a float64 scalar."""
        return torch.stack(
            [side.log_partition(side.base[None], side.base)[0] for side in (self._odd, self._even)]
        ).sum()

    def base_sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw ``n`` states (n, n_units) at beta = 0."""
        return self._odd.sample(self._odd.base.expand(n, -1), generator)

    def log_weight(self, x: Tensor, beta: float) -> Tensor:
        """Give log p*_beta of odd states (n, n_units), the even layers summed out: (n,)."""
        sent, bias = self._to_even(x), self._even.bias_at(beta)
        log_p = self._even.log_partition(torch.add(bias, sent, alpha=beta), bias)
        return log_p - self._odd.energy(x, self._odd.bias_at(beta)) - beta * (sent @ self._even.offset)

    def step(self, x: Tensor, beta: float, generator: torch.Generator) -> Tensor:
        """Draw the even layers given odd ones (n, n_units), and the odd layers again, at ``beta``."""
        even = self._even.sample(torch.add(self._even.bias_at(beta), self._to_even(x), alpha=beta), generator)
        sent = (even - self._even.offset) @ self._weight
        return self._odd.sample(torch.add(self._odd.bias_at(beta), sent, alpha=beta), generator)

    def pack(self, state: Mapping[str, Tensor]) -> Tensor:
        """Put the odd layers of a machine's state side by side: (n, n_units) float64."""
        return torch.cat([state[layer] for layer in self._odd.places], 1).double().cpu()

    def _to_even(self, x: Tensor) -> Tensor:
        """Give what states send to the even side; kept, since every state is asked for it three times."""
        if self._last is None or self._last[0] is not x:
            self._last = (x, (x - self._odd.offset) @ self._weight.T)
        return self._last[1]


class _Side:
    """The layers of one side as one vector; layers of binary units are next to each other and computed at once."""

    def __init__(self, machine: BoltzmannMachine, layers: Sequence[str], base_rates: Mapping[str, Tensor]) -> None:
        graph = machine.graph
        layers = sorted(layers, key=lambda layer: graph.kind(layer) != "bernoulli")
        self.places: dict[str, slice] = {}
        self.groups: list[tuple[Units, slice]] = []
        begin = 0
        for layer in layers:
            self.places[layer] = slice(begin, begin := begin + graph.sizes[layer])
            if graph.kind(layer) == "bernoulli" and self.groups:
                self.groups[0] = (self.groups[0][0], slice(0, begin))
            else:
                self.groups.append((machine.kinds[layer], self.places[layer]))
        zeros = {layer: torch.zeros(graph.sizes[layer]) for layer in layers}
        means = {layer: base_rates[layer].double().cpu() for layer in layers if layer in base_rates}
        self.base = _joined(zeros | {layer: machine.kinds[layer].input_of(mean) for layer, mean in means.items()})
        self.bias = _joined({layer: machine.biases[layer].detach() for layer in layers})
        self.offset = _joined({layer: machine.offset(layer) for layer in layers})

    def bias_at(self, beta: float) -> Tensor:
        return torch.lerp(self.base, self.bias, beta)

    def energy(self, x: Tensor, bias: Tensor) -> Tensor:
        """Give what the layers (n, units) have by themselves: (n,)."""
        energy = -(x @ bias)
        for kind, place in self._others():
            energy = energy + (kind.base_energy(x[:, place]) + kind.base_energy(bias[place])).sum(1)
        return energy

    def log_partition(self, x: Tensor, bias: Tensor) -> Tensor:
        """Sum the layers out given their net input (n, units): (n,)."""
        total = torch.zeros(len(x), dtype=x.dtype)
        for kind, place in self.groups:
            total = total + kind.log_partition(x[:, place]).sum(1)
        for kind, place in self._others():
            total = total - kind.base_energy(bias[place]).sum()
        return total

    def sample(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Draw the layers given their net input (n, units)."""
        draws = [kind.sample(x[:, place], generator) for kind, place in self.groups]
        return torch.cat(draws, 1) if len(draws) > 1 else draws[0]

    def _others(self) -> list[tuple[Units, slice]]:
        """Give the layers whose units have an energy of their own."""
        return [group for group in self.groups if group[0].name == "gaussian"]


def _joined(parts: Mapping[str, Tensor]) -> Tensor:
    return torch.cat([part.double().cpu() for part in parts.values()])


@torch.no_grad()
def log_sum(machine: BoltzmannMachine, clamped: Mapping[str, Tensor] | None = None) -> Tensor:
    """Sum exp(-E) over all states in which some layers have given values, in log: (B,) float64, or (1,) with none.

    Without values it is log Z; with the visible layers it is log p*(v), and log p(v) is the difference. The free side
    with fewer states is enumerated and the other one summed out.

    Args:
        machine: any graph; Gaussian layers must be clamped or be summed out.
        clamped: values (B, n) by layer.

    Raises:
        SettingsError: more than 2^22 states on the smaller side.
    """
    exact = _double(machine)
    given = {layer: value.double() for layer, value in (clamped or {}).items()}
    sides = [[layer for layer in side if layer not in given] for side in (machine.graph.odd, machine.graph.even)]
    walked, out = sorted(sides, key=lambda side: _n_states(machine.graph, side))
    n_states = _n_states(machine.graph, walked)
    if n_states > MAX_STATES:
        raise SettingsError(
            f"The exact sum runs over all states of at most {math.log2(MAX_STATES):.0f} binary units, but the layers "
            f"{', '.join(walked)} have {_text(n_states)}; take annealed importance sampling, or smaller layers."
        )
    n = len(next(iter(given.values()))) if given else 1
    sums = []
    for states in _states(machine.graph, walked, max(1, _CHUNK // n)):
        n_here = len(next(iter(states.values()))) if states else 1
        rows = {layer: value.repeat_interleave(n_here, 0) for layer, value in given.items()}
        rows |= {layer: value.repeat(n, 1) for layer, value in states.items()}
        sums.append(exact.log_marginal(rows, out).expand(n * n_here).view(n, n_here).logsumexp(1))
    return torch.stack(sums).logsumexp(0)


def _double(machine: BoltzmannMachine) -> BoltzmannMachine:
    copy = BoltzmannMachine(machine.graph, centered=machine.centered).double()
    copy.load_state_dict(machine.state_dict())
    return copy


def _radix(graph: LayerGraph, layer: str) -> float:
    """Give how many states a layer has."""
    if graph.kind(layer) == "gaussian":
        return math.inf
    return graph.sizes[layer] if graph.kind(layer) == "softmax" else 2.0 ** graph.sizes[layer]


def _n_states(graph: LayerGraph, layers: Collection[str]) -> float:
    return math.prod(_radix(graph, layer) for layer in layers)


def _text(n_states: float) -> str:
    return "infinitely many" if math.isinf(n_states) else f"2^{math.log2(n_states):.0f}"


def _states(graph: LayerGraph, layers: Collection[str], chunk: int) -> Iterator[State]:
    """Go through all states of some layers, ``chunk`` at a time; without layers there is one empty state."""
    for numbers in torch.arange(int(_n_states(graph, layers))).split(chunk):
        state: State = {}
        for layer in layers:
            index, numbers = numbers % int(_radix(graph, layer)), numbers // int(_radix(graph, layer))
            places = torch.arange(graph.sizes[layer])
            one_hot = graph.kind(layer) == "softmax"
            state[layer] = (index[:, None] == places if one_hot else (index[:, None] >> places) & 1).double()
        yield state
