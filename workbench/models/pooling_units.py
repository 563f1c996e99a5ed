"""Hidden units with probabilistic max pooling (Lee et al., ICML 2009; Section 2.3.2's RBM made convolutional).

A block of p^d neighboring units of a map has at most one unit on, so that its states are "off" and one per unit:

    P(h_j = 1) = exp(x_j) / (1 + sum_i exp(x_i)),    P(pooled = 1) = 1 - P(off),    P(off) = 1 / (1 + sum_i exp(x_i))

The pooled unit of a block is on when any of its units is. With that, pooling has a way back: no unpooling is chosen
by hand. In block form a map (B, K, n p, m p) is (B, K, n, m, p²).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from workbench.models.units import Units


class MaxPooled(Units):
    """Blocks of ``pool`` units along each axis of maps (B, K, *map), at most one on in each.

    Args:
        pool: units along each axis of a block; it must divide the map. With 1 these are Bernoulli units.
    """

    name = "max_pooled"

    def __init__(self, pool: int) -> None:
        if pool < 1:
            raise ValueError(f"a block has at least 1 unit along each axis; got {pool}")
        self.pool = pool

    def mean(self, x: Tensor) -> Tensor:
        """Give P(h = 1) of each unit, (B, K, *map)."""
        return from_blocks(_with_off(x, self.pool).softmax(-1)[..., :-1], self.pool)

    def sample(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        """Draw one state a block: zeros and at most one 1, (B, K, *map)."""
        edges = _with_off(x, self.pool).softmax(-1)[..., :-1].cumsum(-1)
        draw = torch.rand(edges.shape[:-1], generator=generator, device=x.device, dtype=x.dtype)[..., None]
        below = (draw < edges).to(x.dtype)  # 0 … 0 1 … 1, the first 1 at the unit that is on
        return from_blocks(torch.diff(below, dim=-1, prepend=torch.zeros_like(draw)), self.pool)

    def log_partition(self, x: Tensor) -> Tensor:
        """Give log(1 + sum exp(x)) of each block, (B, K, *pooled)."""
        return _with_off(x, self.pool).logsumexp(-1)

    def entropy(self, x: Tensor) -> Tensor:
        """Give the entropy of each block's state in nats, (B, K, *pooled)."""
        return torch.special.entr(_with_off(x, self.pool).softmax(-1)).sum(-1)

    def base_energy(self, u: Tensor) -> Tensor:
        """Give 0 for blocks (B, K, *pooled) with at most one unit on, infinity for others: they cannot be."""
        n_on = to_blocks(u, self.pool).sum(-1)
        return torch.zeros_like(n_on).masked_fill(n_on > 1.5, torch.inf)

    def input_of(self, mean: Tensor) -> Tensor:
        """Give net inputs (B, K, *map) under which the units have these means; those of a block sum to below 1."""
        blocks, tiny = to_blocks(mean, self.pool), torch.finfo(mean.dtype).eps
        off = (1 - blocks.sum(-1, keepdim=True)).clamp_min(tiny)
        return from_blocks(blocks.clamp_min(tiny).log() - off.log(), self.pool)

    def pooled_mean(self, x: Tensor) -> Tensor:
        """Give P(pooled = 1) of each block, (B, K, *pooled), precise near 0 as well as near 1."""
        on = to_blocks(x, self.pool).logsumexp(-1)  # log sum exp(x), so that P(on) = sigmoid
        return torch.sigmoid(on)

    def unpool(self, pooled: Tensor) -> Tensor:
        """Give means of units (B, K, *map) for pooled ones (B, K, *pooled), without an image below.

        Where in the block the unit is on is then unknown: each has an equal share.
        """
        for axis in range(2, pooled.ndim):
            pooled = pooled.repeat_interleave(self.pool, axis) / self.pool
        return pooled

    def with_top_down(self, x: Tensor, top_down: Tensor) -> Tensor:
        """Give net inputs (B, K, *map) that also hold what a layer above sends to the pooled units, (B, K, *pooled).

        It favors every "on" state of a block alike and leaves "off" as it is.
        """
        for axis in range(2, x.ndim):
            top_down = top_down.repeat_interleave(self.pool, axis)
        return x + top_down


def to_blocks(x: Tensor, pool: int) -> Tensor:
    """Give (B, K, *map / pool, pool^d) of maps (B, K, *map)."""
    n_axes = x.ndim - 2
    if any(n % pool for n in x.shape[2:]):
        raise ValueError(f"blocks of {pool} do not divide a map of {tuple(x.shape[2:])}")
    split = x.reshape(*x.shape[:2], *[k for n in x.shape[2:] for k in (n // pool, pool)])  # (B, K, n, p, m, p, …)
    order: Sequence[int] = [*range(2, 2 + 2 * n_axes, 2), *range(3, 3 + 2 * n_axes, 2)]
    return split.permute(0, 1, *order).flatten(2 + n_axes)


def from_blocks(blocks: Tensor, pool: int) -> Tensor:
    """Give maps (B, K, *map) of (B, K, *map / pool, pool^d)."""
    n_axes = blocks.ndim - 3
    split = blocks.reshape(*blocks.shape[:-1], *[pool] * n_axes)
    order = [a for axis in range(2, 2 + n_axes) for a in (axis, axis + n_axes)]
    return split.permute(0, 1, *order).reshape(*blocks.shape[:2], *[n * pool for n in blocks.shape[2:-1]])


def _with_off(x: Tensor, pool: int) -> Tensor:
    """Give the energies of all states of each block, "off" (0) last: softmax then subtracts the maximum over both."""
    return F.pad(to_blocks(x, pool), (0, 1))
