"""Gibbs chains of RBMs and deep belief networks, kept step by step, and what can be held fixed in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from workbench.models.belief_net import BeliefNet
from workbench.models.class_rbm import ClassRBM


@torch.no_grad()
def belief_chains(
    net: BeliefNet,
    start: Tensor | None,
    n_chains: int,
    steps: Sequence[int],
    generator: torch.Generator,
    *,
    classes: Tensor | None = None,
    clamped: Mapping[tuple[int, int], Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """Run the top RBM's chain and pass each kept state down.

    Args:
        net: trained.
        start: (n_chains, *shape) where the chains begin, or None for noise.
        n_chains: chains.
        steps: rising; 0 is the start.
        generator: of every draw.
        classes: (n_chains,) held fixed at the label group of the top.
        clamped: bounds in the flattened example → values (n_chains, n) held fixed; for a single RBM only, where they
            are visible units of the chain itself.

    Returns:
        Visible means (n_chains, n_steps, *shape), and the top's free energy (n_chains, n_steps) in nats.
    """
    if clamped and net.n_layers > 1:
        raise ValueError("only visible units of a single RBM can be held fixed; a belief network is directed")
    net.eval()
    if classes is not None and not isinstance(net.top, ClassRBM):
        raise ValueError("classes can be held fixed only where the top has a label group")
    v = _first(net, start, n_chains, generator, classes)
    shown, free, done = [], [], 0
    for step in steps:
        while done < step:
            v = _labelled(net, net.top.gibbs(_held(v, clamped), 1, generator), classes)
            done += 1
        v = _held(v, clamped)
        means = start.flatten(1) if step == 0 and start is not None else _means(net, v, generator)
        shown.append(_held(means, clamped).reshape(n_chains, *net.patch_shape))
        free.append(_free(net, v))
    return torch.stack(shown, 1), torch.stack(free, 1)


def _first(
    net: BeliefNet, start: Tensor | None, n_chains: int, generator: torch.Generator, classes: Tensor | None
) -> Tensor:
    """Give the visible values of the top RBM at the start: recognized from data, or a fair coin's."""
    top = net.top
    if start is not None:
        v = net.layer_input(start, net.n_layers - 1, generator)
    else:
        coins = (torch.rand(n_chains, top.n_hidden, generator=generator) < 0.5).to(top.weight.dtype)
        v = top.sample_visible(coins, generator)
    if isinstance(top, ClassRBM):
        v = top.complete(v[:, : top.n_visible], classes, generator)
    return v


def _labelled(net: BeliefNet, v: Tensor, classes: Tensor | None) -> Tensor:
    """Put the classes that are held fixed back into joint states."""
    top = net.top
    return v if classes is None or not isinstance(top, ClassRBM) else top.joint(v[:, : top.n_visible], classes)


def _means(net: BeliefNet, v: Tensor, generator: torch.Generator) -> Tensor:
    """Give what the image would be: means of the lowest units given a draw of those above."""
    if net.n_layers == 1:
        return net.generative_units(0).mean(net.top.visible_input(net.top.sample_hidden(v, generator)))
    v = v[:, : net.top.n_visible]
    for index in reversed(range(net.n_layers - 1)):
        units, x = net.generative_units(index), net.down_input(index, v)
        v = units.sample(x, generator) if index else units.mean(x)
    return v


def _held(v: Tensor, clamped: Mapping[tuple[int, int], Tensor] | None) -> Tensor:
    if not clamped:
        return v
    v = v.clone()
    for (begin, end), values in clamped.items():
        v[:, begin:end] = values
    return v


def _free(net: BeliefNet, v: Tensor) -> Tensor:
    top = net.top
    if top.up_factor != top.down_factor or top.hidden == "noisy_relu":
        return torch.full((len(v),), float("nan"))
    return top.free_energy(v)
