"""What a trained deep Boltzmann machine shows of itself: chains, Figure 9, the use of its layers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from workbench.models.dbm import LayerLife
from workbench.models.layer_graph import LABEL
from workbench.models.pathway_machine import PathwayMachine
from workbench.patches.examples import Examples
from workbench.runs.run import Run
from workbench.systems.examples_base import Record, as_pictures
from workbench.systems.views import Chains, TwoBlocks


@torch.no_grad()
def machine_chains(
    net: PathwayMachine, record: Record, held: Tensor, steps: Sequence[int], seed: int, *, start: str, clamp: str,
    label: str, place: int | None,
) -> Chains:  # fmt: skip
    """Run Gibbs chains, from held-out examples (n_chains, *shape) or from noise, parts or a class held fixed."""
    generator, machine = torch.Generator().manual_seed(seed), net.machine
    from_data = start == "data" and not clamp
    state = machine.initial_state(len(held), generator)
    known = net.codes(held, [clamp] if clamp else None) if from_data or clamp else {}
    state |= {n: (torch.rand(c.shape, generator=generator) < c).to(c.dtype) for n, c in known.items()}
    if place is not None:
        state[LABEL] = F.one_hot(torch.full((len(held),), place), machine.graph.n_classes).to(held.dtype)
    fixed = ([clamp] if clamp else []) + ([LABEL] if place is not None else [])
    if from_data:
        state = machine.gibbs(state, 1, generator, clamped=[*known, *fixed])
    frames, done = [], 0
    for step in steps:
        state = machine.gibbs(state, step - done, generator, clamped=fixed) if step > done else state
        done = step
        means = known if step == 0 and from_data else net.visible_means(state)
        frames.append(net.image(means | ({clamp: known[clamp]} if clamp else {})))
    pictures = torch.stack(frames, 1)
    shown = as_pictures(record.scaling.undo(pictures.flatten(0, 1)))
    return Chains(
        states=shown.reshape(len(held), len(steps), *shown.shape[1:]).numpy(),
        steps=list(steps),
        free_energy=np.zeros((len(held), 0)),
        start="held-out examples" if from_data else "noise",
        labels=[label] * len(held) if label else [],
        clamped=(clamp,) if clamp else (),
        truth=as_pictures(record.scaling.undo(held)).numpy() if clamp else None,
    )


def two_blocks(net: PathwayMachine, record: Record, run: Run, n: int) -> list[TwoBlocks]:
    """Give for each modality the n most used units of the first weights, and of the layer above them."""
    use, found = run.load_arrays("units"), []
    for name, (begin, end) in net.blocks.items():
        first, second = _first_two(net, name)
        banks: list[np.ndarray] = []
        units: list[list[int]] = []
        for layer in (first, second):
            key = f"{layer} code" if layer in net.coders else layer
            order = np.argsort(-use[key], kind="stable")[:n]
            patterns = record.scaling.pattern(net.back_projection(layer)[torch.from_numpy(order.copy())])
            banks.append(as_pictures(_part(patterns, begin, end)).numpy())
            units.append(order.tolist())
        found.append(TwoBlocks(name, banks[0], banks[1], units[0], units[1]))
    return found


def dead_layers(net: PathwayMachine, x: Tensor) -> dict[str, LayerLife]:
    """Say of each hidden layer whether data reach it."""
    return net.machine.dead_layers(net.codes(x))


def accuracy(net: PathwayMachine, examples: Examples) -> dict[str, float]:
    """Give the share of examples whose likeliest class is the true one; nothing without a label layer."""
    if not net.machine.graph.n_classes or examples.target is None:
        return {}
    p = torch.cat([net.machine.class_probabilities(net.codes(part)) for part in examples.x.split(1024)])
    return {"accuracy": float((p.argmax(1) == examples.target).double().mean())}


def _first_two(net: PathwayMachine, name: str) -> tuple[str, str]:
    """Give the layer of first weights above a part, and the next one."""
    above = net.machine.graph.route(name, net.machine.graph.top)[1:]
    return (name, above[0]) if name in net.coders else (above[0], above[min(1, len(above) - 1)])


def _part(patterns: Tensor, begin: int, end: int) -> Tensor:
    """Cut one modality out of patterns (n, C, *spatial), whose parts are channels, or (n, V)."""
    if patterns.ndim == 2:
        return patterns[:, begin:end]
    size = int(np.prod(patterns.shape[2:]))
    return patterns[:, begin // size : -(-end // size)]
