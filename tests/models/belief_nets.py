"""Small belief networks far from their start, for the tests of ``dbn``, ``belief_likelihood`` and ``up_down``."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from workbench.models.belief_likelihood import log_z_by_enumeration
from workbench.models.dbn import DBN
from workbench.models.rbm import RBM


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_rbm(n_visible: int, n_hidden: int, seed: int = 0, **kinds: object) -> RBM:
    """Give an RBM in double precision with weights and biases (and offsets, when centered) far from 0."""
    rbm = RBM(n_visible, n_hidden, seed=seed, init_scale=1.0, **kinds).double()  # type: ignore[arg-type]
    generator = draw(seed + 100)
    with torch.no_grad():
        for bias in (rbm.visible_bias, rbm.hidden_bias):
            bias.copy_(0.5 * torch.randn(bias.shape, generator=generator, dtype=torch.float64))
        if rbm.centered:
            for offset in (rbm.visible_offset, rbm.hidden_offset):
                offset.copy_(torch.rand(offset.shape, generator=generator, dtype=torch.float64))
    return rbm


def small(sizes: tuple[int, ...] = (8, 6, 4), seed: int = 0, centered: bool = False, **first: object) -> DBN:
    rbms = [
        random_rbm(below, above, seed + index, centered=centered, **(first if index == 0 else {}))
        for index, (below, above) in enumerate(itertools.pairwise(sizes))
    ]
    return DBN(rbms, (sizes[0],))


def states(n: int) -> Tensor:
    """Every state of n binary units, drawn up by itertools alone."""
    return torch.tensor(list(itertools.product((0.0, 1.0), repeat=n)), dtype=torch.float64)


def bernoulli(u: Tensor, p: Tensor) -> Tensor:
    return torch.where(u == 1, p, 1 - p).prod(-1)


def exact_bound(net: DBN, v: Tensor) -> Tensor:
    """The bound of a net with three levels with q(h1 | v) summed over all its states."""
    h1, q = states(net.sizes[1]), net.layer(0).hidden_mean(v)
    log_q = bernoulli(h1[None], q[:, None]).log()  # (v, h1)
    log_p = bernoulli(v[:, None], net.layer(0).visible_mean(h1)[None]).log() - net.top.free_energy(h1)
    return (log_q.exp() * (log_p - log_q)).sum(1) - log_z_by_enumeration(net.top)
