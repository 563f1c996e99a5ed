"""Machines small enough to be enumerated, and their joint distribution by brute force."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from workbench.models.boltzmann_machine import State
from workbench.models.dbm import DBM


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def disturbed(dbm: DBM, scale: float = 0.8, seed: int = 0) -> DBM:
    """Give the machine in float64 with random weights, biases and, when centered, offsets."""
    g = draw(seed)
    dbm.double()
    with torch.no_grad():
        for parameter in dbm.parameters():
            parameter.copy_(scale * torch.randn(parameter.shape, generator=g, dtype=torch.float64))
        for layer in dbm.graph.sizes if dbm.centered else ():
            dbm.offset(layer).copy_(torch.rand(dbm.graph.sizes[layer], generator=g, dtype=torch.float64))
    return dbm


def chain(centered: bool = False) -> DBM:
    return disturbed(DBM.chain(4, [3, 2], centered=centered))


def deep(centered: bool = False) -> DBM:
    return disturbed(DBM.chain(3, [2, 3, 2], centered=centered))


def labeled(centered: bool = False) -> DBM:
    return disturbed(DBM.chain(3, [3, 2], n_classes=3, centered=centered))


def multimodal(centered: bool = False) -> DBM:
    return disturbed(DBM.multimodal({"MRI": (2, [2]), "PET": (1, [1, 1])}, 2, n_classes=2, centered=centered))


MACHINES = [chain, deep, labeled, multimodal]
every_machine = pytest.mark.parametrize("make", MACHINES)
either_centering = pytest.mark.parametrize("centered", [False, True])


def everything(dbm: DBM) -> State:
    """Give all joint states, one a row, by counting through the layers' own states."""
    rows: list[list[tuple[float, ...]]] = []
    for layer, n in dbm.graph.sizes.items():
        states = itertools.product((0.0, 1.0), repeat=n)
        rows.append([s for s in states if dbm.graph.kind(layer) == "bernoulli" or sum(s) == 1])
    columns = zip(*itertools.product(*rows), strict=True)
    return {layer: torch.tensor(column).double() for layer, column in zip(dbm.graph.sizes, columns, strict=True)}


def brute_energy(dbm: DBM, state: State) -> Tensor:
    """The module's equation, unit by unit in numbers."""
    total = torch.zeros(len(next(iter(state.values()))), dtype=torch.float64)
    for layer, x in state.items():
        for i in range(x.shape[1]):
            total -= dbm.biases[layer][i].detach() * x[:, i]
    for a, b in dbm.graph.edges:
        w = dbm.weights[f"{a}>{b}"].detach()
        for i, j in itertools.product(range(w.shape[1]), range(w.shape[0])):
            total -= w[j, i] * (state[a][:, i] - dbm.offset(a)[i]) * (state[b][:, j] - dbm.offset(b)[j])
    return total


def probabilities(dbm: DBM) -> tuple[State, Tensor]:
    states = everything(dbm)
    return states, torch.softmax(-brute_energy(dbm, states), 0)


def some_data(dbm: DBM, n: int = 6, seed: int = 3) -> State:
    g = draw(seed)
    sizes = {layer: dbm.graph.sizes[layer] for layer in dbm.graph.inputs}
    return {layer: (torch.rand(n, k, generator=g) < 0.5).double() for layer, k in sizes.items()}


def rows_equal(states: State, values: State) -> Tensor:
    """Say which joint states have these values (1, n) in the layers that are named."""
    masks = [(states[layer] == value).all(1) for layer, value in values.items()]
    return torch.stack(masks).all(0)
