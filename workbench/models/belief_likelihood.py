"""How probable a belief network finds data: a lower bound, a tighter one, and for tiny networks the exact value.

    log p(v) >= E_q [ log p(v | h_1) + … + log p*(h_{L-1}) ] + H(q) - log Z_top,     q = prod_l q(h_{l+1} | h_l)

with p*(h_{L-1}) = exp(-F), F the free energy of the top RBM (Hinton, Osindero and Teh 2006, Section 5; Salakhutdinov
and Murray, ICML 2008). Everything is computed in double precision and given in nats.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from workbench.errors import SettingsError
from workbench.models.belief_layers import BeliefLayers
from workbench.models.rbm import RBM
from workbench.models.units import Units

MAX_ENUMERATED = 16
"""Units of a level whose states are enumerated for an exact likelihood: 65,536 states."""

_TABLE_CELLS = 2**23
_Net = TypeVar("_Net", bound=BeliefLayers)


def log_probability(units: Units, value: Tensor, net_input: Tensor) -> Tensor:
    """Give log p(value | net_input) (B,), summed over the units, in nats; values and net inputs are (B, n)."""
    energy = units.base_energy(value) - units.precision * value * net_input
    return -energy.sum(1) - units.log_partition(net_input).sum(1)


def log_probability_table(units: Units, values: Tensor, net_inputs: Tensor) -> Tensor:
    """Give log p of each value (N, n) under each net input (S, n): (N, S)."""
    products = (units.precision * values) @ net_inputs.T
    return products - units.base_energy(values).sum(1)[:, None] - units.log_partition(net_inputs).sum(1)


@torch.no_grad()
def bound(
    net: BeliefLayers, x: Tensor, log_z_top: float | Tensor, generator: torch.Generator, n_samples: int
) -> Tensor:
    """Estimate the variational bound on log p of each patch, (B,) float64.

    The entropy of each level is exact given the sample below, so only the energies are averaged over samples.

    Args:
        net: with densities at every level (:func:`check_densities`).
        x: (B, C, *spatial).
        log_z_top: log partition function of the top RBM, its labels included if it has some.
        generator: draws q.
        n_samples: samples of q for each patch; a hundred or more.
    """
    net, v = _in_double(net, x)
    total = torch.zeros(len(v), dtype=torch.float64, device=v.device)
    for _ in range(_at_least_one(n_samples)):
        total += _log_weight(net, v, generator, lambda units, h, net_input: -units.entropy(net_input).sum(1))
    return total / n_samples - log_z_top


@torch.no_grad()
def importance_weighted(
    net: BeliefLayers, x: Tensor, log_z_top: float | Tensor, generator: torch.Generator, n_samples: int
) -> Tensor:
    """Estimate log p of each patch by the log mean of p*(v, h) / q(h | v) over samples of q, (B,) float64.

    Its expectation lies between the bound and log p(v) and rises with ``n_samples`` (Burda et al., ICLR 2016). A
    single estimate may by chance lie above log p(v). Arguments as of :func:`bound`.
    """
    net, v = _in_double(net, x)
    total = torch.full((len(v),), -torch.inf, dtype=torch.float64, device=v.device)
    for _ in range(_at_least_one(n_samples)):
        total = torch.logaddexp(total, _log_weight(net, v, generator, log_probability))
    return total - math.log(n_samples) - log_z_top


@torch.no_grad()
def exact_log_likelihood(net: BeliefLayers, x: Tensor) -> Tensor:
    """Give log p of each patch exactly, (B,) float64, by Equation 4 summed over every state of the hidden levels.

    Raises:
        SettingsError: a level has more than ``MAX_ENUMERATED`` units.
    """
    net, v = _in_double(net, x)
    last = net.n_layers - 1
    if last == 0:
        return -net.top.free_energy(v) - log_z_by_enumeration(net.top)
    for level in range(1, net.n_layers):
        _check_binary(net.generative_units(level), level)
    states = binary_states(net.sizes[last], like=v)
    log_p = -net.top.free_energy(states)
    log_p = log_p - log_p.logsumexp(0)
    for level in reversed(range(last)):
        targets = binary_states(net.sizes[level], like=v) if level else v
        units, net_inputs = net.generative_units(level), net.down_input(level, states)
        n_rows = max(1, _TABLE_CELLS // len(states))
        tables = (log_probability_table(units, rows, net_inputs) + log_p for rows in targets.split(n_rows))
        states, log_p = targets, torch.cat([table.logsumexp(1) for table in tables])
    return log_p


@torch.no_grad()
def log_z_by_enumeration(rbm: RBM) -> Tensor:
    """Give the log partition function of a small RBM exactly, a scalar, by all states of its smaller binary side."""
    sides: list[tuple[int, Callable[[Tensor], Tensor]]] = []
    if rbm.visible_units.name == "bernoulli":
        sides.append((rbm.n_visible, lambda v: -rbm.free_energy(v)))
    if rbm.hidden_units.name == "bernoulli":
        sides.append((rbm.n_hidden, rbm.log_marginal_hidden))
    if not sides:
        raise SettingsError("The exact partition function needs Bernoulli units on one side; estimate it by AIS.")
    n_units, log_p = min(sides, key=lambda side: side[0])
    return log_p(binary_states(n_units, like=rbm.weight)).logsumexp(0)


def binary_states(n_units: int, *, like: Tensor) -> Tensor:
    """Give every state of binary units, (2^n, n), in the type and on the device of a tensor."""
    if n_units > MAX_ENUMERATED:
        raise SettingsError(
            f"The exact likelihood enumerates at most {MAX_ENUMERATED} units of a level, but one has {n_units}; "
            "use the bound with log Z by AIS."
        )
    places = torch.arange(n_units, device=like.device)
    return ((torch.arange(2**n_units, device=like.device)[:, None] >> places) & 1).to(like.dtype)


def check_densities(net: BeliefLayers) -> None:
    """Refuse networks whose hidden levels are not drawn from the distribution that they are scored by.

    Raises:
        SettingsError: a level that is recognized as one kind of unit and generated as another, or has no density.
    """
    for level in range(1, net.n_layers):
        drawn, scored = net.recognition_units(level).name, net.generative_units(level).name
        if drawn != scored or drawn == "noisy_relu":
            raise SettingsError(
                f"The likelihood needs one kind of unit with a density at each hidden level; level {level} is "
                f"recognized as {drawn} and generated as {scored}. Use bernoulli units."
            )


def _log_weight(
    net: BeliefLayers, v: Tensor, generator: torch.Generator, log_q: Callable[[Units, Tensor, Tensor], Tensor]
) -> Tensor:
    """Draw h from q and give log p*(v, h) - log q(h | v), (B,), with the second term as ``log_q`` gives it."""
    h, total = v, v.new_zeros(len(v))
    for index in range(net.n_layers - 1):
        units, up = net.recognition_units(index + 1), net.up_input(index, h)
        above = units.sample(up, generator)
        total += log_probability(net.generative_units(index), h, net.down_input(index, above)) - log_q(units, above, up)
        h = above
    return total - net.top.free_energy(h)


def _in_double(net: _Net, x: Tensor) -> tuple[_Net, Tensor]:
    """Give the net and its flat input in double precision."""
    check_densities(net)
    double = net if net.top.weight.dtype == torch.float64 else copy.deepcopy(net).double()
    return double, double.flatten(x.double())


def _at_least_one(n_samples: int) -> int:
    if n_samples < 1:
        raise ValueError(f"n_samples is at least 1; got {n_samples}")
    return n_samples


def _check_binary(units: Units, level: int) -> None:
    if units.name != "bernoulli":
        raise SettingsError(f"The exact likelihood enumerates Bernoulli units, but level {level} has {units.name}.")
