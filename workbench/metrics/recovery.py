"""Whether what was planted was found: maps, states, networks and edges up to the order and sign they come in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment


class Matching(NamedTuple):
    """Which found map stands for which true one.

    Attributes:
        pairs: (M, 2) rows of found and truth, in the order of the truth; M = min(K1, K2).
        correlation: (K2,) absolute correlation of each true map with its partner; 0 for one without.
        sign: (K2,) of that correlation, 1 or -1.
    """

    pairs: np.ndarray
    correlation: np.ndarray
    sign: np.ndarray


class StateMatch(NamedTuple):
    """Which found state stands for which true one.

    Attributes:
        accuracy: share of frames in the right state then.
        permutation: (K1,) true state of each found one; -1 for one too many.
    """

    accuracy: float
    permutation: np.ndarray


class NetworkOverlap(NamedTuple):
    """Which network of a reference atlas each unit's strongest regions make.

    Attributes:
        names: (P,) the networks, in the order of their first region.
        dice: (M, P) overlap of a unit's strongest regions with each network's, 0 to 1.
        best: (M,) place in ``names`` of the largest.
        purity: (M,) share of the unit's strongest regions that lie in the best network.
    """

    names: tuple[str, ...]
    dice: np.ndarray
    best: np.ndarray
    purity: np.ndarray


def match(found: np.ndarray, truth: np.ndarray) -> Matching:
    """Assign found maps (K1, R) to true ones (K2, R) so that the sum of absolute correlations is largest.

    Kuhn's Hungarian method (1955). The same for any order and sign of either; a constant map correlates with nothing.
    """
    if found.ndim != 2 or truth.ndim != 2 or found.shape[1] != truth.shape[1]:
        raise ValueError(f"expected maps (K1, R) and (K2, R); got {found.shape} and {truth.shape}")
    r = _correlations(found, truth)
    rows, columns = linear_sum_assignment(np.abs(r), maximize=True)
    order = np.argsort(columns)
    pairs = np.stack([rows, columns], 1)[order]
    correlation, sign = np.zeros(len(truth)), np.ones(len(truth))
    values = r[pairs[:, 0], pairs[:, 1]]
    correlation[pairs[:, 1]] = np.abs(values)
    sign[pairs[:, 1]] = np.where(values < 0, -1, 1)
    return Matching(pairs, correlation, sign)


def mean_matched(found: np.ndarray, truth: np.ndarray) -> float:
    """Give the mean absolute correlation of the true maps with their partners, 0 to 1."""
    return float(match(found, truth).correlation.mean())


def match_states(path: np.ndarray, truth: np.ndarray) -> StateMatch:
    """Assign found states to true ones so that as many frames as possible agree.

    Args:
        path: (T,) found states from 0; paths of several recordings one after another.
        truth: (T,) true states from 0.
    """
    path, truth = np.asarray(path, np.int64), np.asarray(truth, np.int64)
    if path.shape != truth.shape or path.ndim != 1 or len(path) == 0:
        raise ValueError(f"expected two paths of one length; got {path.shape} and {truth.shape}")
    n_found, n_true = int(path.max()) + 1, int(truth.max()) + 1
    counts = np.bincount(path * n_true + truth, minlength=n_found * n_true).reshape(n_found, n_true)
    rows, columns = linear_sum_assignment(counts, maximize=True)
    permutation = np.full(n_found, -1)
    permutation[rows] = columns
    return StateMatch(float(counts[rows, columns].sum() / len(path)), permutation)


def dice_networks(weights: np.ndarray, networks: Sequence[str], top: int = 10) -> NetworkOverlap:
    """Name units by the network that their strongest regions overlap with most.

    Args:
        weights: (M, R) of units; the absolute values count.
        networks: (R,) network of each region, "" where unknown: such regions belong to none.
        top: how many regions stand for a unit. Fewer stand for it where the others' weights are 0.
    """
    if weights.ndim != 2 or weights.shape[1] != len(networks):
        raise ValueError(f"expected weights (M, {len(networks)}); got {weights.shape}")
    names = tuple(dict.fromkeys(name for name in networks if name))
    if not names or not 1 <= top <= weights.shape[1]:
        raise ValueError(f"expected a named network and 1 to {weights.shape[1]} regions; got {names}, {top}")
    chosen = np.zeros(weights.shape, bool)
    np.put_along_axis(chosen, np.argsort(-np.abs(weights), axis=1, kind="stable")[:, :top], True, axis=1)
    chosen &= weights != 0
    member = np.array([[name == of for of in networks] for name in names])  # (P, R)
    shared = chosen.astype(float) @ member.T
    n_chosen = chosen.sum(1)
    dice = 2 * shared / (n_chosen[:, None] + member.sum(1))
    best = dice.argmax(1)
    purity = shared[np.arange(len(best)), best] / np.maximum(n_chosen, 1)
    return NetworkOverlap(names, dice, best, purity)


def edge_hits(scores: np.ndarray, planted: np.ndarray, top: int | None = None) -> float:
    """Give the share of planted edges among the strongest ones, 0 to 1.

    Args:
        scores: (E,) of the edges; the absolute values count.
        planted: (E,) bool.
        top: how many are the strongest; as many as were planted without it.
    """
    planted = np.asarray(planted)
    if planted.dtype != bool or planted.shape != np.shape(scores) or not planted.any():
        raise ValueError(
            f"expected a planted edge among {np.shape(scores)} scores; got {planted.dtype} {planted.shape}"
        )
    n = int(planted.sum()) if top is None else top
    strongest = np.argsort(-np.abs(scores), kind="stable")[:n]
    return float(planted[strongest].sum() / planted.sum())


def _correlations(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Give the correlations (K1, K2) of rows; 0 where a row is constant."""
    return _unit(a) @ _unit(b).T


def _unit(rows: np.ndarray) -> np.ndarray:
    centered = np.asarray(rows, np.float64)
    scale = np.abs(centered).max(1, keepdims=True)
    centered = centered - centered.mean(1, keepdims=True)
    length = np.linalg.norm(centered, axis=1, keepdims=True)
    flat = length <= 1e-12 * scale * np.sqrt(rows.shape[1])
    return np.where(flat, 0, centered / np.where(flat, 1, length))
