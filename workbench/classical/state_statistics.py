"""What paths of states say: how much of the time, for how long, and where to next, with intervals over subjects.

Each is a ratio of sums over subjects (Vidaurre et al., PNAS 2017, for the brain's states), so one bootstrap of whole
subjects serves all three. The intervals take the paths as given: they hold what differs among subjects and chance, not
how sure the decoding was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np


@dataclass(frozen=True, eq=False)
class StateIntervals:
    """Estimates with intervals, arrays of one shape.

    Attributes:
        estimate: over all subjects; NaN where a state was never visited.
        low: lower end; NaN with a single subject.
        high: upper end.
    """

    estimate: np.ndarray
    low: np.ndarray
    high: np.ndarray


def occupancy(paths: Sequence[np.ndarray], n_states: int) -> np.ndarray:
    """Give the share of its frames that each path spends in each state, (N, K); rows sum to 1."""
    frames = _frames(paths, n_states)
    return frames / frames.sum(1, keepdims=True)


def transition_counts(paths: Sequence[np.ndarray], n_states: int) -> np.ndarray:
    """Give how often each path steps from each state to each, (N, K, K)."""
    k = n_states
    return np.stack([np.bincount(p[:-1] * k + p[1:], minlength=k * k).reshape(k, k) for p in _whole(paths, k)])


def transition_matrix(paths: Sequence[np.ndarray], n_states: int) -> np.ndarray:
    """Give the share of steps from each state to each, (K, K) over all paths; a row of NaN if never left or stayed."""
    counts = transition_counts(paths, n_states).sum(0)
    with np.errstate(invalid="ignore"):
        return counts / counts.sum(1, keepdims=True)


def dwell_times(paths: Sequence[np.ndarray], n_states: int) -> tuple[np.ndarray, ...]:
    """Give the lengths in frames of all whole visits to each state, K arrays; times the TR they are seconds.

    A visit that the start or end of the recording cuts is left out, as its length is not known. Means over whole
    visits are too short for states that last long beside the recording: :func:`dwell_intervals` counts the cut ones.
    """
    lengths: list[list[int]] = [[] for _ in range(n_states)]
    for path in _whole(paths, n_states):
        edges = np.flatnonzero(np.diff(path)) + 1
        for begin, end in pairwise(edges):
            lengths[path[begin]].append(int(end - begin))
    return tuple(np.array(one, np.int64) for one in lengths)


def occupancy_intervals(
    paths: Sequence[np.ndarray], n_states: int, level: float = 0.95, *, n_boot: int = 2000, seed: int = 0
) -> StateIntervals:
    """Give the share (K,) of all frames in each state; subjects are drawn with replacement."""
    frames = _frames(paths, n_states)
    return _ratio(frames, frames.sum(1, keepdims=True), level, n_boot, seed)


def dwell_intervals(
    paths: Sequence[np.ndarray], n_states: int, level: float = 0.95, *, n_boot: int = 2000, seed: int = 0
) -> StateIntervals:
    """Give the mean frames (K,) of a visit to each state: frames that are followed by another, over exits.

    That is 1 / (1 - A_kk), the maximum likelihood of a geometric length with cut visits; infinite if never left.
    """
    counts = transition_counts(paths, n_states)
    stays = np.diagonal(counts, axis1=1, axis2=2)
    return _ratio(counts.sum(2), counts.sum(2) - stays, level, n_boot, seed)


def transition_intervals(
    paths: Sequence[np.ndarray], n_states: int, level: float = 0.95, *, n_boot: int = 2000, seed: int = 0
) -> StateIntervals:
    """Give the transition probabilities (K, K); subjects are drawn with replacement."""
    counts = transition_counts(paths, n_states)
    return _ratio(counts, counts.sum(2, keepdims=True), level, n_boot, seed)


def _whole(paths: Sequence[np.ndarray], n_states: int) -> list[np.ndarray]:
    if len(paths) == 0:
        raise ValueError("expected at least one path of states")
    whole = [np.asarray(path, np.int64) for path in paths]
    if min(len(path) for path in whole) == 0 or min(p.min() for p in whole) < 0:
        raise ValueError("paths hold states from 0 and are not empty")
    if max(p.max() for p in whole) >= n_states:
        raise ValueError(f"a path holds state {max(p.max() for p in whole)}, but there are {n_states}")
    return whole


def _frames(paths: Sequence[np.ndarray], n_states: int) -> np.ndarray:
    return np.stack([np.bincount(path, minlength=n_states) for path in _whole(paths, n_states)])


def _ratio(above: np.ndarray, below: np.ndarray, level: float, n_boot: int, seed: int) -> StateIntervals:
    """Give sums over subjects (N, …) divided, with percentile intervals; infinite ends stay infinite."""
    if not 0 < level < 1:
        raise ValueError(f"a level lies between 0 and 1; got {level}")
    n = len(above)
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), n_boot).astype(float)  # (B, N)
    with np.errstate(invalid="ignore", divide="ignore"):
        estimate = above.sum(0) / below.sum(0)
        draws = np.tensordot(drawn, above, 1) / np.tensordot(drawn, below, 1)
    if n < 2:
        unknown = np.full(estimate.shape, np.nan)
        return StateIntervals(estimate, unknown, unknown)
    draws = np.where(np.isnan(draws), estimate, draws)  # nobody drawn was ever there
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2], axis=0, method="inverted_cdf")
    return StateIntervals(estimate, low, high)
