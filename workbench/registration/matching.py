"""Correspondence of neighborhoods: every candidate is scored, and the scores become soft assignments.

A key point x of one image and a candidate y of the other are as similar as their whole neighborhoods are,

    m(x, y) = Σ_z ε(z) s(A(x + z), B(y + z)) / Σ_z ε(z)

(HAMMER matches sub-volumes, not voxels: Shen and Davatzikos, TMI 2002). Assignments are soft (TPS-HAMMER, NeuroImage
2010): π_xy ∝ exp(-(1 - m)/r) exp(-|y - x|²/2s²), Σ_y π_xy = 1. The temperature r falls until one candidate holds all.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from workbench.registration.feature_rows import Similarity

VALUES_AT_ONCE = 2**22


@dataclass(frozen=True, eq=False)
class SearchPlan:
    """Offsets, in nodes, of a neighborhood and of the candidates, and how they share rows.

    Attributes:
        neighbors: (Z, 3) int64; the first is 0.
        shares: (Z,) float32, ε(z), summing to 1.
        candidates: (C, 3) int64; the first is 0.
        reached: (T, 3) int64, every different candidate + neighbor.
        index: (C, Z) int64, the place of candidate + neighbor in ``reached``.
    """

    neighbors: torch.Tensor
    shares: torch.Tensor
    candidates: torch.Tensor
    reached: torch.Tensor
    index: torch.Tensor

    @property
    def reach(self) -> int:
        """The largest offset along any axis."""
        return int(self.reached.abs().max())

    @cached_property
    def sums(self) -> torch.Tensor:
        """(Z · T, C) float32, 1 where neighbor z of candidate c is the reached node t."""
        n_candidates, n_neighbors = self.index.shape
        ones = torch.zeros(n_neighbors, len(self.reached), n_candidates)
        ones[torch.arange(n_neighbors), self.index, torch.arange(n_candidates)[:, None]] = 1
        return ones.flatten(0, 1)


def search_plan(radius: float, neighbor_radius: float, neighbor_step: int) -> SearchPlan:
    """Plan a search.

    Args:
        radius: candidates lie in the ball of this radius, in nodes.
        neighbor_radius: so do the neighbors, in steps; 0 compares single nodes, 1 the center and its 6 neighbors.
        neighbor_step: nodes between neighbors.
    """
    neighbors = _ball(neighbor_radius)
    shares = torch.exp(-(neighbors**2).sum(dim=1) / (2 * max(neighbor_radius, 1.0) ** 2))
    neighbors = neighbors * neighbor_step
    candidates = _ball(radius)
    sums = (candidates[:, None] + neighbors[None]).reshape(-1, 3)
    reached, index = torch.unique(sums, dim=0, return_inverse=True)
    return SearchPlan(neighbors, shares / shares.sum(), candidates, reached, index.reshape(len(candidates), -1))


def similarities(
    rows: torch.Tensor, other: torch.Tensor, places: torch.Tensor, other_places: torch.Tensor, nodes: torch.Tensor,
    plan: SearchPlan, similarity: Similarity,
) -> torch.Tensor:  # fmt: skip
    """Score every candidate of every key point.

    Args:
        rows: (N + 1, K) of the key points' image, the last standing for the outside.
        other: (M + 1, K) of the image that is searched.
        places: (X, Y, Z) int64, the row that lies at each node of the common lattice.
        other_places: likewise for ``other``.
        nodes: (P, 3) int64, the key points.
        plan: what is searched.
        similarity: how two rows compare.

    Returns:
        (P, C) float32. Neighbors that the key point's image does not describe are left out of its mean.
    """
    if not len(nodes):
        return torch.zeros(0, len(plan.candidates))
    pad = plan.reach
    mine, strides = _padded(places, pad, len(rows) - 1)
    theirs, _ = _padded(other_places, pad, len(other) - 1)
    base = ((nodes + pad) * strides).sum(dim=1)
    near = (plan.neighbors * strides).sum(dim=1)
    far = (plan.reached * strides).sum(dim=1)
    compare = _by_attributes if similarity == "attributes" else _by_product
    width = len(far) if similarity != "attributes" else len(plan.candidates)
    at_once = max(1, VALUES_AT_ONCE // (width * rows.shape[1]))
    out = []
    for part in base.split(at_once):
        here, there = mine[part[:, None] + near], theirs[part[:, None] + far]  # (B, Z), (B, T)
        shares = plan.shares * (here != len(rows) - 1)
        shares = shares / shares.sum(dim=1, keepdim=True).clamp(min=1e-6)
        out.append(compare(rows, other, here, there, shares, plan))
        if similarity == "l2":
            out[-1] += 1 - 0.5 * _mean_squares(rows, other, here, there, shares, plan)
    return torch.cat(out)


@dataclass(frozen=True, eq=False)
class Correspondence:
    """Soft assignments of key points.

    Attributes:
        offset: (P, 3) float32, the expected candidate Σ_y π_xy (y - x), in the unit of the positions given.
        best: (P,) float32, the highest similarity.
        now: (P,) float32, the similarity at offset 0.
        certainty: (P,) float32, 1 minus the entropy of π over ln C: 1 is one-to-one, 0 undecided.
    """

    offset: torch.Tensor
    best: torch.Tensor
    now: torch.Tensor
    certainty: torch.Tensor


def assign(
    scores: torch.Tensor, positions: torch.Tensor, temperature: float, reach: float, plan: SearchPlan, pitch: float
) -> Correspondence:
    """Turn similarities into soft assignments.

    Args:
        scores: (P, C), from :func:`similarities`; candidate 0 is where the point lies now.
        positions: (P, C, 3), each candidate's place relative to the key point.
        temperature: r, in the unit of the scores.
        reach: s, the Gaussian about the present place, in the unit of the positions.
        plan: of the candidates.
        pitch: distance between candidates, in the unit of the positions.

    Once one candidate holds all, the offset could take no other value than a candidate's; so the candidate that holds
    most is moved to the top of the parabola through its score and those beside it.
    """
    exponent = (scores - scores.max(dim=1, keepdim=True).values) / temperature
    exponent = exponent - (positions**2).sum(dim=2) / (2 * reach**2)
    shares = torch.softmax(exponent, dim=1)
    entropy = -torch.xlogy(shares, shares).sum(dim=1)
    certainty = 1 - entropy / np.log(max(scores.shape[1], 2))
    offset = (shares[:, None] @ positions)[:, 0]
    most, best = shares.max(dim=1)
    offset = offset + most[:, None] * pitch * _parabola_top(scores, best, plan)
    return Correspondence(offset, scores.max(dim=1).values, scores[:, 0], certainty)


def spread(scores: torch.Tensor) -> float:
    """Give the mean standard deviation of a key point's scores: the natural unit of the temperature."""
    return float(scores.std(dim=1).mean()) if len(scores) else 0.0


def _parabola_top(scores: torch.Tensor, best: torch.Tensor, plan: SearchPlan) -> torch.Tensor:
    """Give how far beside the best candidate the top lies along each axis, in nodes: (P, 3), -½ to ½.

    0 along an axis where a candidate beside it is missing or is better.
    """
    beside = _beside(plan.candidates)  # (C, 3, 2)
    low, high = beside[best].unbind(dim=2)  # (P, 3)
    known = (low >= 0) & (high >= 0)
    middle = scores.gather(1, best[:, None])
    below, above = (scores.gather(1, i.clamp(min=0)) for i in (low, high))
    curve = below + above - 2 * middle
    known &= curve < -1e-9
    return torch.where(known, 0.5 * (below - above) / torch.where(known, curve, -1.0), 0.0).clamp(-0.5, 0.5)


def _beside(candidates: torch.Tensor) -> torch.Tensor:
    """Give the candidates one node below and above each along each axis: (C, 3, 2), -1 where there is none."""
    step = torch.eye(3, dtype=torch.int64)
    wanted = candidates[:, None, None] + torch.stack([-step, step], dim=1)  # (C, 3, 2, 3)
    equal = (wanted[..., None, :] == candidates).all(dim=-1)  # (C, 3, 2, C)
    return torch.where(equal.any(dim=-1), equal.long().argmax(dim=-1), -1)


def _ball(radius: float) -> torch.Tensor:
    """Give the integer offsets within a ball, nearest first: (n, 3) int64."""
    n = int(radius)
    offsets = torch.cartesian_prod(*[torch.arange(-n, n + 1)] * 3)
    squared = (offsets**2).sum(dim=1)
    order = torch.sort(squared, stable=True).indices
    return offsets[order][squared[order] <= radius**2 + 1e-6]


def _padded(places: torch.Tensor, pad: int, outside: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Give the flat padded places and the strides (3,) of its axes."""
    padded = torch.nn.functional.pad(places, (pad,) * 6, value=outside)
    return padded.reshape(-1), torch.tensor(padded.stride())


def _by_product(
    rows: torch.Tensor, other: torch.Tensor, here: torch.Tensor, there: torch.Tensor, shares: torch.Tensor,
    plan: SearchPlan,
) -> torch.Tensor:  # fmt: skip
    """Σ_z ε(z) <A(x+z), B(y+z)>: every product of a neighbor and a reached row once, then sums along candidates."""
    a = rows.index_select(0, here.reshape(-1)).view(*here.shape, -1) * shares[..., None]  # (B, Z, K)
    b = other.index_select(0, there.reshape(-1)).view(*there.shape, -1)  # (B, T, K)
    return torch.bmm(a, b.transpose(1, 2)).flatten(1) @ plan.sums


def _by_attributes(
    rows: torch.Tensor, other: torch.Tensor, here: torch.Tensor, there: torch.Tensor, shares: torch.Tensor,
    plan: SearchPlan,
) -> torch.Tensor:  # fmt: skip
    """Σ_z ε(z) [same edge] Π_k (1 - |a_k - b_k|)."""
    total = torch.zeros(len(here), len(plan.candidates))
    for z in range(len(plan.neighbors)):
        a = rows[here[:, z]][:, None]  # (B, 1, K)
        b = other[there[:, plan.index[:, z]]]  # (B, C, K)
        alike = (1 - (a[..., 1:] - b[..., 1:]).abs()).prod(dim=2) * (a[..., 0] == b[..., 0])
        total += shares[:, z, None] * alike
    return total


def _mean_squares(
    rows: torch.Tensor, other: torch.Tensor, here: torch.Tensor, there: torch.Tensor, shares: torch.Tensor,
    plan: SearchPlan,
) -> torch.Tensor:  # fmt: skip
    """Σ_z ε(z) (|A(x+z)|² + |B(y+z)|²): what turns scalar products into squared distances."""
    own = (shares * (rows**2).sum(dim=1)[here]).sum(dim=1, keepdim=True)
    lengths = (other**2).sum(dim=1)[there]  # (B, T)
    return own + torch.einsum("bz,bcz->bc", shares, lengths[:, plan.index])
