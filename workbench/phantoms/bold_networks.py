"""Planted networks: overlapping sets of regions, each with a time course of its own.

The generator of the recovery table (Plis et al. 2014; Section 3.5, Reference 120)::

    X = S W + noise        S (T, K) standardized courses      W (K, R) planted weights

Each network is a block of regions of weights U(0.6, 1.2), of which 15 % are negative, and reaches into as many other
regions as 20 % of its block, with weights U(0.4, 0.8).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from workbench.phantoms.bold_plan import Sources
from workbench.phantoms.bold_sources import draw_sources, haemodynamic_response, standardized

N_NETWORKS = 8
BLOCK_WEIGHTS, REACH_WEIGHTS = (0.6, 1.2), (0.4, 0.8)
NEGATIVE, REACH = (
    0.15,
    0.2,
)  # share of a block's members whose sign is flipped; regions outside, as a share of its block


@dataclass(frozen=True)
class Networks:
    """What is planted.

    Attributes:
        maps: W, (K, R); zero where a region takes no part.
        members: (R,) int, the block of each region, -1 for none.
    """

    maps: np.ndarray
    members: np.ndarray

    @property
    def signal_sd(self) -> float:
        """Root mean square of the signal over regions: white noise of this standard deviation is "SNR 1"."""
        return float(np.sqrt((self.maps**2).sum(axis=0).mean()))


class PlantedNetworks(NamedTuple):
    """One series and its truth.

    Attributes:
        values: (T, R) float32, standardized regions.
        maps: W, (K, R).
        courses: S, (T, K).
    """

    values: np.ndarray
    maps: np.ndarray
    courses: np.ndarray


def block_members(n_regions: int, n_networks: int = N_NETWORKS) -> np.ndarray:
    """Give disjoint blocks of equal size and some regions that belong to none, (R,) int: 8 of 13 in 116 regions."""
    size = round(n_regions / (n_networks + 1))
    members = np.full(n_regions, -1)
    members[: size * n_networks] = np.repeat(np.arange(n_networks), size)
    return members


def draw_networks(seed: int, members: np.ndarray) -> Networks:
    """Draw the weights of blocks.

    Args:
        seed: equal seeds give equal weights.
        members: (R,) int, block of each region, -1 for none.
    """
    rng = np.random.default_rng([seed, 0])
    maps = np.zeros((int(members.max()) + 1, len(members)))
    for k, weights in enumerate(maps):
        block = np.flatnonzero(members == k)
        weights[block] = rng.uniform(*BLOCK_WEIGHTS, len(block))
        weights[rng.permutation(block)[: round(NEGATIVE * len(block))]] *= -1
        outside = rng.permutation(np.flatnonzero(members != k))[: round(REACH * len(block))]
        weights[outside] = rng.uniform(*REACH_WEIGHTS, len(outside))
    return Networks(maps, members)


def planted_networks(
    n_volumes: int = 1000,
    *,
    seed: int = 0,
    n_regions: int = 116,
    sources: Sources = "events",
    noise: float | None = 1.0,
    tr_s: float = 2.0,
) -> PlantedNetworks:
    """Draw one long series of planted networks, as the recovery table asks for.

    Args:
        n_volumes: T.
        seed: of the weights, the courses and the noise.
        n_regions: R.
        sources: events are convolved with the haemodynamic response, the others are not.
        noise: standard deviation in units of the weights; None for that of the signal (SNR 1).
        tr_s: time between volumes in s.
    """
    networks = draw_networks(seed, block_members(n_regions))
    rng = np.random.default_rng([seed, 1])
    response = haemodynamic_response(tr_s) if sources == "events" else None
    courses = draw_sources(rng, n_volumes, len(networks.maps), sources, response)
    sd = networks.signal_sd if noise is None else noise
    values = courses @ networks.maps + rng.normal(0, sd, (n_volumes, n_regions))
    return PlantedNetworks(standardized(values).astype(np.float32), networks.maps, courses)
