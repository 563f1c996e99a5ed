"""Planted edges: connections whose correlation differs between patients and controls by a shift of Fisher's z.

For diagnosis from connectivity (Kim et al. 2016, NeuroImage 124:127-146; Section 3.5, Reference 121). A subject of
severity s has::

    C = C0 + s D        x_t = phi x_(t-1) + e_t,  e_t ~ N(0, (1 - phi²) C)        so that Cov(x_t) = C

C0 is the controls' correlation matrix, with networks; D moves the planted edges alone, to z0 ± effect at s = 1.
Controls have severities around 0 and patients around 1. In the basis that makes both C0 and D diagonal all classes
are independent components, so the exact likelihood ratio, and with it the best accuracy, costs almost nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy.linalg import eigh
from scipy.signal import lfilter
from scipy.special import logsumexp
from scipy.stats import norm

from workbench.errors import SettingsError
from workbench.phantoms.bold_best import best_scores
from workbench.phantoms.bold_networks import N_NETWORKS, block_members

PERSISTENCE = 0.5  # phi
OWN = 0.6  # share of a region's variance that is its own, which keeps C positive definite
EDGE_SHARE, EDGES_A_REGION = 40 / 1770, 2 / 3
SEVEREST = 2.0  # severities are cut at so many standard deviations
SMALLEST = 0.02  # eigenvalue of C in units of C0


@dataclass(frozen=True, eq=False)
class Edges:
    """What is planted; R regions, n edges.

    Attributes:
        base: C0, (R, R), the controls' correlations.
        shift: D, (R, R), zero but at the planted edges.
        pairs: (n, 2) int, the regions of each edge, the first below the second.
        signs: (n,) 1 or -1.
        spread: standard deviation of the severity.
    """

    base: np.ndarray
    shift: np.ndarray
    pairs: np.ndarray
    signs: np.ndarray
    spread: float

    def correlation(self, severity: float) -> np.ndarray:
        """Give C of a severity, (R, R)."""
        return self.base + severity * self.shift

    @cached_property
    def modes(self) -> np.ndarray:
        """Eigenvalues of D in units of C0, (R,)."""
        return eigh(self.shift, self.base, eigvals_only=True)


class PlantedEdges(NamedTuple):
    """Subjects and their truth.

    Attributes:
        values: (N, T, R) float32.
        target: (N,) int, 1 for patients.
        severity: (N,).
        edges: what is planted.
    """

    values: np.ndarray
    target: np.ndarray
    severity: np.ndarray
    edges: Edges


def draw_edges(seed: int, members: np.ndarray, effect: float, spread: float = 0.3, n_edges: int | None = None) -> Edges:
    """Draw the controls' correlations and the planted edges, of which no region has more than two.

    Args:
        seed: equal seeds give equal edges.
        members: (R,) int, network of each region, -1 for none.
        effect: shift of Fisher's z.
        spread: standard deviation of the severity.
        n_edges: n; None for 40 in 1,770 edges, but at most two for three regions.

    Raises:
        SettingsError: the effect or the spread is so large that there is no such correlation matrix.
    """
    rng = np.random.default_rng([seed, 0])
    n_regions = len(members)
    most = int(EDGES_A_REGION * n_regions)
    wanted = round(EDGE_SHARE * n_regions * (n_regions - 1) / 2) if n_edges is None else n_edges
    base = _network_correlations(rng, members)
    pairs = _sparse_pairs(rng, n_regions)[: max(1, min(wanted, most))]
    signs = rng.permutation(np.where(np.arange(len(pairs)) % 2, -1, 1))
    before = base[pairs[:, 0], pairs[:, 1]]
    shift = np.zeros_like(base)
    moved = np.tanh(signs * effect)
    shift[pairs[:, 0], pairs[:, 1]] = moved * (1 - before**2) / (1 + before * moved)  # tanh(z + effect) - tanh(z)
    found = Edges(base, shift + shift.T, pairs, signs, spread)
    extremes = np.array([-SEVEREST * spread, 1 + SEVEREST * spread])
    if (1 + extremes[:, None] * found.modes).min() < SMALLEST:
        raise SettingsError(
            f"Edges that differ by {effect:g} with a spread of {spread:g} leave no valid correlation matrix for the "
            "severest subjects; choose a smaller effect (0.175 is usual) or a smaller spread."
        )
    return found


def draw_severity(rng: np.random.Generator, edges: Edges, is_patient: bool) -> float:
    """Draw s: around 1 for a patient, around 0 for a control."""
    return float(is_patient + edges.spread * _severities(rng.random()))


def draw_edge_series(rng: np.random.Generator, edges: Edges, severity: float, n_volumes: int) -> np.ndarray:
    """Draw (T, R) float64 of the stationary autoregression."""
    factor = np.linalg.cholesky(edges.correlation(severity)).T
    drawn = rng.normal(size=(n_volumes, len(factor))) @ factor
    drawn[1:] *= np.sqrt(1 - PERSISTENCE**2)  # the first volume has the stationary law itself
    return lfilter([1.0], [1.0, -PERSISTENCE], drawn, axis=0)


def best_from_edges(edges: Edges, n_volumes: int, n_drawn: int = 10_000) -> dict[str, float]:
    """Compute the best accuracy and area under the ROC curve of series of a length, when the law is known.

    In the common basis a subject is R sums of squares q_j ~ (1 + s l_j) χ²(T), whose likelihood is averaged over the
    severities of each class.

    Args:
        edges: what is planted.
        n_volumes: T.
        n_drawn: subjects of each class that are drawn.
    """
    rng = np.random.default_rng(0)
    grid, weights = _severity_grid(edges, n_volumes)
    ratios = []
    for is_patient in (0, 1):
        severity = is_patient + edges.spread * _severities(rng.random(n_drawn))
        squares = rng.chisquare(n_volumes, (n_drawn, len(edges.modes))) * (1 + severity[:, None] * edges.modes)
        evidence = []
        for center in (0, 1):
            variances = 1 + (center + grid)[:, None] * edges.modes  # (G, R)
            likelihood = -(n_volumes * np.log(variances).sum(axis=1) + squares @ (1 / variances).T) / 2
            evidence.append(logsumexp(likelihood, axis=1, b=weights))
        ratios.append(evidence[1] - evidence[0])
    return best_scores(*ratios)


def planted_edges(
    n_subjects: int,
    *,
    seed: int = 0,
    n_volumes: int = 200,
    n_regions: int = 60,
    effect: float = 0.175,
    spread: float = 0.3,
) -> PlantedEdges:
    """Draw subjects, controls and patients in turn; 60 regions have 1,770 edges, of which 40 are planted.

    Raises:
        SettingsError: there is no such correlation matrix.
    """
    edges = draw_edges(seed, block_members(n_regions), effect, spread)
    values, severity = np.empty((n_subjects, n_volumes, n_regions), np.float32), np.empty(n_subjects)
    for i in range(n_subjects):
        rng = np.random.default_rng([seed, 1, i])
        severity[i] = draw_severity(rng, edges, bool(i % 2))
        values[i] = draw_edge_series(rng, edges, severity[i], n_volumes)
    return PlantedEdges(values, np.arange(n_subjects) % 2, severity, edges)


def _severities(uniform: np.ndarray | float) -> np.ndarray:
    """Turn uniform numbers into standard normal ones, cut at ±SEVEREST."""
    low, high = norm.cdf([-SEVEREST, SEVEREST])
    return norm.ppf(low + (high - low) * np.asarray(uniform))


def _severity_grid(edges: Edges, n_volumes: int) -> tuple[np.ndarray, np.ndarray]:
    """Give deviations of the severity, (G,), finer than T volumes can tell apart, and the density of each, (G,)."""
    if not edges.spread:
        return np.zeros(1), np.ones(1)
    severest = 1 + SEVEREST * edges.spread * np.array([-1, 1])[:, None]
    information = n_volumes / 2 * ((edges.modes / (1 + severest * edges.modes)) ** 2).sum(axis=1).max()
    deviations = np.linspace(-SEVEREST, SEVEREST, int(np.clip(4 * SEVEREST * edges.spread * information**0.5, 33, 999)))
    return edges.spread * deviations, norm.pdf(deviations)


def _network_correlations(rng: np.random.Generator, members: np.ndarray) -> np.ndarray:
    """Correlate regions by 0.4 within a network, and by that times the networks' correlation between two."""
    factors = rng.normal(size=(N_NETWORKS, 2 * N_NETWORKS))
    factors /= np.linalg.norm(factors, axis=1, keepdims=True)
    loadings = np.zeros((len(members), 2 * N_NETWORKS))
    loadings[members >= 0] = factors[members[members >= 0]]
    correlations = (1 - OWN) * loadings @ loadings.T
    np.fill_diagonal(correlations, 1.0)
    return (correlations + correlations.T) / 2  # products round differently on the two sides


def _sparse_pairs(rng: np.random.Generator, n_regions: int) -> np.ndarray:
    """Draw edges in random order, (n, 2), from two random pairings of all regions."""
    even = n_regions // 2 * 2
    pairings = [np.sort(rng.permutation(n_regions)[:even].reshape(-1, 2), axis=1) for _ in range(2)]
    return rng.permutation(np.unique(np.concatenate(pairings), axis=0))
