"""Planted hidden states: a chain of three states in a plane of two numbers, seen through R regions.

For functional dynamics (Suk et al. 2016, NeuroImage 129:292-307; Section 3.5, Reference 33, Figure 10)::

    s_t ~ Markov(A_class)    z_t ~ N(mu_class[s_t], 0.6² I) in the plane    x_t = mixing(z_t), standardized

Classes differ in one thing only. With ``persistence`` A_kk is 0.95 for controls and 0.80 for patients: every single
volume has the same law in both, so second moments about the *population's* mean have the same expectation, and only
the dynamics tell classes apart. A correlation subtracts the subject's own mean, which wanders when states last: of a
short run it is smaller for slow chains by the share :func:`wandering_share`, and gives the classes away a little. With
``pattern`` one state's mean moves and the dynamics are the same. The mixing is linear, a saturating tanh, or a ring:
each region responds to a direction of the plane around the states, so that the series lie on a curved closed line.

A haemodynamic response would let slow states pass better than fast ones; the static covariances of ``persistence`` are
then no longer equal.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from workbench.phantoms.bold_best import best_scores
from workbench.phantoms.bold_networks import N_NETWORKS, block_members
from workbench.phantoms.bold_plan import Differ, Manifold

STAY, RESTLESS = 0.95, 0.80  # A_kk of controls, and of patients at effect 1
STATE_SD = 0.6
CORNERS = np.array([[0.0, 0.0], [1.5, 0.0], [0.0, 1.5]])
TRIANGLE = 1.5 * np.stack([np.cos(np.deg2rad([90, 210, 330])), np.sin(np.deg2rad([90, 210, 330]))], axis=1)
MOVED = np.array([1.0, 0.0])  # of the third state's mean with ``pattern``, at effect 1
TUNING = 4.0  # of the ring: larger is narrower
JITTER = 0.3  # rad, of a region's direction around its network's


@dataclass(frozen=True, eq=False)
class States:
    """What is planted; K states, R regions; the first axis is control, patient.

    Attributes:
        transitions: A, (2, K, K); rows sum to 1.
        means: mu, (2, K, 2).
        directions: (R,) rad, the direction of the plane that each region responds to.
        offsets: (R,) of the tanh.
        manifold: the mixing.
        center: (R,), and scale: (R,), what the mixing is standardized by: the controls' mean and standard deviation.
        scale: see center.
    """

    transitions: np.ndarray
    means: np.ndarray
    directions: np.ndarray
    offsets: np.ndarray
    manifold: Manifold
    center: np.ndarray
    scale: np.ndarray

    def mix(self, latents: np.ndarray) -> np.ndarray:
        """Turn (T, 2) into (T, R), standardized."""
        return (_mix(latents - self.means[0].mean(axis=0), self) - self.center) / self.scale


class PlantedStates(NamedTuple):
    """Subjects and their truth.

    Attributes:
        values: (N, T, R) float32.
        latents: (N, T, 2) float32.
        paths: (N, T) int.
        target: (N,) int, 1 for patients.
        states: what is planted.
    """

    values: np.ndarray
    latents: np.ndarray
    paths: np.ndarray
    target: np.ndarray
    states: States


def draw_states(seed: int, members: np.ndarray, differ: Differ, manifold: Manifold, effect: float = 1.0) -> States:
    """Draw the mixing, and set the chains of both classes.

    Args:
        seed: of the regions' directions; the chains are the same for all seeds.
        members: (R,) int, network of each region, -1 for none; a network's regions respond to similar directions.
        differ: what tells the classes apart.
        manifold: the mixing.
        effect: 0 for no difference, 1 for the usual one.
    """
    rng = np.random.default_rng([seed, 0])
    directions = np.where(
        members >= 0,
        members * 2 * np.pi / N_NETWORKS + rng.normal(0, JITTER, len(members)),
        rng.uniform(0, 2 * np.pi, len(members)),
    )
    means = np.stack([TRIANGLE if manifold == "ring" else CORNERS] * 2)
    stays = [STAY, STAY]
    if differ == "persistence":
        stays[1] = max(STAY - effect * (STAY - RESTLESS), 1 / 3)
    else:
        means[1, 2] += effect * MOVED
    transitions = np.stack([_doubly_stochastic(stay) for stay in stays])
    offsets = rng.normal(0, 0.5, len(members))
    raw = States(transitions, means, directions, offsets, manifold, np.zeros(len(members)), np.ones(len(members)))
    drawn = raw.mix(means[0][rng.integers(0, 3, 4000)] + rng.normal(0, STATE_SD, (4000, 2)))
    return States(transitions, means, directions, offsets, manifold, drawn.mean(axis=0), drawn.std(axis=0))


def stationary_law(transitions: np.ndarray) -> np.ndarray:
    """Give the law (K,) that a chain (K, K) leaves as it is: the left eigenvector of the eigenvalue 1."""
    n = len(transitions)
    equations = np.concatenate([transitions.T - np.eye(n), np.ones((1, n))])
    return np.linalg.lstsq(equations, np.r_[np.zeros(n), 1.0], rcond=None)[0]


def wandering_share(stay: float, n_volumes: int) -> float:
    """Give the share of the states' covariance that a run of T volumes loses when its own mean is subtracted.

    A uniform chain of three states forgets by the factor l = (3 A_kk - 1) / 2 a volume, so the mean of the run keeps
    (1 + 2 sum_k (1 - k / T) l^k) / T of the covariance: 0.18 for A_kk = 0.95 and T = 130, and 0.04 for 0.80.

    Args:
        stay: A_kk.
        n_volumes: T.
    """
    lags = np.arange(1, n_volumes)
    memory = ((3 * stay - 1) / 2) ** lags
    return float(1 + 2 * np.sum((1 - lags / n_volumes) * memory)) / n_volumes


def draw_latents(
    rng: np.random.Generator, states: States, is_patient: bool, n_volumes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a path (T,) int8 that begins in its stationary law, and its points (T, 2)."""
    chain = states.transitions[int(is_patient)]
    # without the last sum, which is 1 but for rounding, every number finds a state
    steps = chain.cumsum(axis=1)[:, :-1].tolist()
    first = stationary_law(chain).cumsum()[:-1].tolist()
    walked: list[int] = []
    for number in rng.random(n_volumes).tolist():
        walked.append(bisect_right(steps[walked[-1]] if walked else first, number))
    path = np.array(walked, np.int8)
    return path, states.means[int(is_patient)][path] + rng.normal(0, STATE_SD, (n_volumes, 2))


def best_from_states(states: States, n_volumes: int, n_drawn: int = 400) -> dict[str, float]:
    """Compute the accuracy and area under the ROC curve of the exact likelihood ratio of the latent points.

    Whoever sees the regions alone can reach this at most.

    Args:
        states: what is planted.
        n_volumes: T.
        n_drawn: subjects of each class that are drawn.
    """
    rng = np.random.default_rng(0)
    ratios = []
    for is_patient in (False, True):
        points = np.stack([draw_latents(rng, states, is_patient, n_volumes)[1] for _ in range(n_drawn)])
        ratios.append(_log_likelihood(states, 1, points) - _log_likelihood(states, 0, points))
    return best_scores(*ratios)


def planted_states(
    n_subjects: int,
    *,
    seed: int = 0,
    n_volumes: int = 130,
    n_regions: int = 116,
    differ: Differ = "persistence",
    manifold: Manifold = "tanh",
    noise: float = 1.0,
) -> PlantedStates:
    """Draw subjects, controls and patients in turn, of the usual effect.

    Args:
        n_subjects: N.
        seed: of everything.
        n_volumes: T.
        n_regions: R.
        differ: what tells the classes apart.
        manifold: the mixing.
        noise: standard deviation of white noise in units of that of a region's signal.
    """
    states = draw_states(seed, block_members(n_regions), differ, manifold)
    values = np.empty((n_subjects, n_volumes, n_regions), np.float32)
    latents, paths = np.empty((n_subjects, n_volumes, 2), np.float32), np.empty((n_subjects, n_volumes), int)
    for i in range(n_subjects):
        rng = np.random.default_rng([seed, 1, i])
        paths[i], points = draw_latents(rng, states, bool(i % 2), n_volumes)
        latents[i] = points
        values[i] = states.mix(points) + rng.normal(0, noise, (n_volumes, n_regions))
    return PlantedStates(values, latents, paths, np.arange(n_subjects) % 2, states)


def _mix(points: np.ndarray, states: States) -> np.ndarray:
    if states.manifold == "ring":
        angle = np.arctan2(points[:, 1], points[:, 0])
        return np.exp(TUNING * (np.cos(angle[:, None] - states.directions) - 1))
    axes = np.stack([np.cos(states.directions), np.sin(states.directions)])  # (2, R)
    return points @ axes if states.manifold == "linear" else np.tanh(1.5 * points @ axes + states.offsets)


def _doubly_stochastic(stay: float, n_states: int = 3) -> np.ndarray:
    """Give a chain whose stationary law is uniform whatever its persistence."""
    chain = np.full((n_states, n_states), (1 - stay) / (n_states - 1))
    np.fill_diagonal(chain, stay)
    return chain


def _log_likelihood(states: States, which: int, points: np.ndarray) -> np.ndarray:
    """Run the forward recursion on (N, T, 2) at once; gives (N,) up to a constant that both classes share."""
    chain, means = states.transitions[which], states.means[which]
    square = ((points[:, :, None] - means) ** 2).sum(axis=-1)  # (N, T, K)
    emission = np.exp(-(square - square.min(axis=-1, keepdims=True)) / (2 * STATE_SD**2))
    total = -square.min(axis=-1).sum(axis=1) / (2 * STATE_SD**2)
    forward = np.broadcast_to(stationary_law(chain), (len(points), len(chain)))
    for t in range(points.shape[1]):
        forward = (forward if t == 0 else forward @ chain) * emission[:, t]
        norm = forward.sum(axis=1, keepdims=True)
        total, forward = total + np.log(norm[:, 0]), forward / norm
    return total
