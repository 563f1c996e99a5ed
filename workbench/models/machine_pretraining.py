"""Put separately trained RBMs together into one Boltzmann machine (Section 2.3.3; Salakhutdinov and Hinton 2009).

In a machine an inner layer hears from below *and* from above, but in its RBM from one side only. So an RBM is trained
with that input doubled, x = 2 W s + b, and the two RBMs of a layer are averaged: half the weights of each, half the
biases of each. What an RBM of edge (a, b) contributes follows from its factors f and from the number n of RBMs that
touch each end:

    weight of (a, b) = W f_up / n_b = W f_down / n_a         bias of a layer = mean of its RBMs' biases

    RBM       f_up  f_down   n_a  n_b      scale
    bottom     2      1       1    2       1
    middle     1      1       2    2       1/2     (or 2, 2: scale 1)
    top        1      2       2    1       1

The biases stand outside the doubling. Where they are inside, x = 2 (W s + b), an RBM's own bias is 2 b and the mean
becomes the sum. The law that is tested: the machine's net input is the mean of the net inputs of its RBMs.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from workbench.models.boltzmann_machine import BoltzmannMachine
from workbench.models.class_rbm import ClassRBM
from workbench.models.layer_graph import LABEL
from workbench.models.rbm import RBM

RBMs = Mapping[tuple[str | tuple[str, ...], str], RBM]
"""RBM by (lower layer, upper layer). The lower end may be several layers side by side, as under a shared layer."""


@torch.no_grad()
def compose(machine: BoltzmannMachine, rbms: RBMs) -> None:
    """Overwrite weights and biases of a machine by those of its RBMs.

    Every edge must be covered by one, but for that of the label, which then keeps its first weights. The class
    weights of a :class:`ClassRBM` belong to the edge from ``label`` to its upper layer; since the label hears from
    there alone, it is not doubled. Centered RBMs are uncentered first. Offsets of a centered machine stay where they
    are, and its biases make up.

    Args:
        machine: is changed in place.
        rbms: by layers.
    """
    weights, biases, factors = _collect(machine, rbms)
    missing = [edge for edge in machine.graph.edges if edge not in weights and LABEL not in edge]
    if missing:
        raise ValueError(f"every edge needs its RBM; there is none for {', '.join(f'{a} - {b}' for a, b in missing)}")
    for (lower, upper), weight in weights.items():
        f_up, f_down = factors[lower, upper]
        scale, other = f_up / len(biases[upper]), f_down / len(biases[lower])
        if scale != other:
            raise ValueError(
                f"the RBM of {lower} - {upper} is doubled by {f_up:g} upwards and {f_down:g} downwards, which does not "
                f"fit {len(biases[upper])} RBMs at {upper} and {len(biases[lower])} at {lower}"
            )
        machine.weight(lower, upper).copy_(scale * weight)
    for layer, found in biases.items():
        if found:
            machine.biases[layer].copy_(torch.stack(found).mean(0))
    for edge in weights:  # the RBMs' net inputs are those of values without offsets
        for layer, other_layer in (edge, edge[::-1]):
            machine.biases[layer] += machine.weight(other_layer, layer) @ machine.offset(other_layer)


def _collect(
    machine: BoltzmannMachine, rbms: RBMs
) -> tuple[dict[tuple[str, str], Tensor], dict[str, list[Tensor]], dict[tuple[str, str], tuple[float, float]]]:
    """Cut each RBM's parameters into those of the machine's edges and layers."""
    weights: dict[tuple[str, str], Tensor] = {}
    factors: dict[tuple[str, str], tuple[float, float]] = {}
    biases: dict[str, list[Tensor]] = {layer: [] for layer in machine.graph.sizes}
    for (lower, upper), given in rbms.items():
        rbm = given.uncentered()
        names = (lower,) if isinstance(lower, str) else lower
        parts = _parts(rbm, [machine.graph.sizes[name] for name in names])
        down = [rbm.down_factor] * len(names)
        if isinstance(rbm, ClassRBM):
            names, parts = (*names, LABEL), [*parts, (rbm.label_weight, rbm.label_bias)]
            down.append(getattr(rbm, "label_down_factor", rbm.down_factor))
        biases[upper].append(rbm.hidden_bias)
        for name, (weight, bias), f_down in zip(names, parts, down, strict=True):
            if (name, upper) not in machine.graph.edges:
                raise LookupError(f"{name} - {upper} is not an edge; the edges are {machine.graph.edges}")
            weights[name, upper] = weight
            factors[name, upper] = (rbm.up_factor, f_down)
            biases[name].append(bias)
    return weights, biases, factors


def _parts(rbm: RBM, sizes: list[int]) -> list[tuple[Tensor, Tensor]]:
    if sum(sizes) != rbm.n_visible:
        raise ValueError(
            f"an RBM on layers of {sizes} units has {sum(sizes)} visible units; this one has {rbm.n_visible}"
        )
    if rbm.visible == "gaussian" and not bool((rbm.sigma == 1).all()):
        raise ValueError("Gaussian layers of a machine have sigma 1; standardize the data and train the RBM with that")
    return list(zip(rbm.weight.split(sizes, 1), rbm.visible_bias.split(sizes), strict=True))
