"""Baum and Welch's steps from several starts: how the hidden Markov models of :mod:`hmm` come to their parameters.

The steps are hmmlearn's, in logarithms. Ours are the starts, what counts as a lost state, the floor under the
covariances, and that convergence is said in words instead of being written to a log.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from hmmlearn.base import ConvergenceMonitor
from hmmlearn.hmm import GaussianHMM

from workbench.errors import CohortError
from workbench.progress import Progress

TOLERANCE = 1e-6  # gain of log-likelihood per frame below which the steps end
SHORT_ITERATIONS = 30
FRAMES_OF_STARTS = 100_000
FRAMES_OF_CLUSTERS = 20_000


class Collapsed(Exception):
    """A start lost a state: fewer frames are left to it than a covariance takes."""


class _Monitor(ConvergenceMonitor):
    """Hears of each step: keeps the history and tells the progress, instead of writing to a log."""

    def __init__(self, tolerance: float, n_iterations: int, tell: Callable[[int], None]) -> None:
        super().__init__(tolerance, n_iterations, False)
        self.tell = tell

    def report(self, log_prob: float) -> None:
        self.history.append(log_prob)
        self.iter += 1
        self.tell(self.iter)


class FlooredHMM(GaussianHMM):
    """Keeps every eigenvalue of the covariances at ``min_covar`` or above: the maximum under that bound."""

    def _do_mstep(self, stats: dict[str, np.ndarray]) -> None:
        if stats["post"].min() < 1 or (stats["trans"].sum(1) == 0).any():
            raise Collapsed
        super()._do_mstep(stats)
        self._covars_ = floored(self.covars_, self.min_covar)
        self.frames_ = stats["post"]


@dataclass(frozen=True)
class Starts:
    """The starts of one fit: z-scored frames (N, D) of sequences of these lengths."""

    frames: np.ndarray
    lengths: np.ndarray
    n_states: int
    min_covariance: float
    max_iterations: int

    def best(self, n_restarts: int, seed: int, progress: Progress) -> tuple[FlooredHMM, list[float], list[str]]:
        """Give the most likely model, its log-likelihood per frame after each step, and what is to be said of it.

        Raises:
            CohortError: every start lost a state.
        """
        few = self._drawn(seed)
        starts: list[tuple[FlooredHMM, list[float]]] = []
        n_short = min(SHORT_ITERATIONS, self.max_iterations)
        for i in range(n_restarts):
            said = f"start {i + 1} of {n_restarts}"
            tell = _part(progress, i / n_restarts / 2, 0.5 / n_restarts, n_short, said)
            try:
                model = few._start(seed, i)
                starts.append((model, few._steps(model, n_short, tell)))
            except Collapsed:
                continue
        starts.sort(key=lambda s: -s[1][-1])
        tell = _part(progress, 0.5, 0.5, self.max_iterations, "the best start")
        for model, short in starts:
            try:
                history = self._steps(model, self.max_iterations, tell)
            except Collapsed:
                continue
            joined = [*short, *history] if few is self else history
            return model, joined, _notes(joined, [s[-1] for _, s in starts], n_restarts)
        raise CohortError(
            f"In each of {n_restarts} starts one of the {self.n_states} states was left with too few frames to stand "
            "for anything; choose fewer states or more recordings."
        )

    def _drawn(self, seed: int) -> Starts:
        """Give whole sequences of about ``FRAMES_OF_STARTS`` frames, or all if they are not more."""
        if len(self.frames) <= FRAMES_OF_STARTS:
            return self
        order = np.random.default_rng(seed).permutation(len(self.lengths))
        n = max(1, int(np.searchsorted(np.cumsum(self.lengths[order]), FRAMES_OF_STARTS, side="right")))
        pieces = np.split(self.frames, np.cumsum(self.lengths)[:-1])
        return replace(self, frames=np.concatenate([pieces[i] for i in order[:n]]), lengths=self.lengths[order[:n]])

    def _start(self, seed: int, index: int) -> FlooredHMM:
        """Cluster the frames by k-means and read off π, A, means and covariances."""
        from sklearn.cluster import KMeans

        rng = np.random.default_rng([seed, index])
        rows = rng.permutation(len(self.frames))[:FRAMES_OF_CLUSTERS]
        if len(np.unique(self.frames[rows], axis=0)) < self.n_states:
            raise Collapsed
        clusters = KMeans(self.n_states, n_init=1, random_state=int(rng.integers(2**31))).fit(self.frames[rows])
        label = clusters.predict(self.frames)
        k, spread = self.n_states, np.empty((self.n_states, *[self.frames.shape[1]] * 2))
        for state in range(k):
            own = self.frames[label == state]
            spread[state] = np.cov(own, rowvar=False, bias=True) if len(own) > 1 else np.eye(own.shape[1])
        first = np.append(0, np.cumsum(self.lengths)[:-1])
        inside = np.delete(np.arange(len(label)), first)  # frames that have one before them
        counts = 1.0 + np.bincount(label[inside - 1] * k + label[inside], minlength=k * k).reshape(k, k)
        begun = 1.0 + np.bincount(label[first], minlength=k)
        model = FlooredHMM(k, "full", self.min_covariance, covars_prior=0, covars_weight=0, init_params="")
        model.startprob_, model.transmat_ = begun / begun.sum(), counts / counts.sum(1, keepdims=True)
        model.means_, model.covars_ = clusters.cluster_centers_, floored(spread, self.min_covariance)
        return model

    def _steps(self, model: FlooredHMM, n_iterations: int, tell: Callable[[int], None]) -> list[float]:
        """Take steps, changing the model; give the log-likelihood per frame before each."""
        model.n_iter, model.monitor_ = n_iterations, _Monitor(TOLERANCE * len(self.frames), n_iterations, tell)
        model.fit(self.frames, self.lengths)
        if model.frames_.min() < self.frames.shape[1] + 1:
            raise Collapsed
        return [value / len(self.frames) for value in model.monitor_.history]


def _notes(history: list[float], reached: list[float], n_restarts: int) -> list[str]:
    """Say what is to be known of the starts that ``reached`` something, and of how the best one ended."""
    notes = []
    if len(reached) < n_restarts:
        notes.append(f"{n_restarts - len(reached)} of {n_restarts} starts lost a state and were left out")
    if n_restarts > 1:
        n_near = sum(value > max(reached) - 1e-3 for value in reached)
        notes.append(f"{n_near} of {n_restarts} starts came within 0.001 nats a frame of the best")
    gain = history[-1] - history[-2] if len(history) > 1 else float("inf")
    if gain >= TOLERANCE:
        notes.append(f"not converged after {len(history)} steps: the last still gained {gain:.2g} nats a frame")
    if gain < -1e-9:
        notes.append(f"the last of {len(history)} steps lost {-gain:.2g} nats a frame, where it ended")
    return notes


def _part(progress: Progress, begin: float, share: float, n: int, said: str) -> Callable[[int], None]:
    return lambda step: progress(begin + share * step / n, f"{said}: step {step} of at most {n}")


def floored(covariances: np.ndarray, smallest: float) -> np.ndarray:
    """Give covariances (…, D, D) whose eigenvalues below ``smallest`` are raised to it."""
    values, vectors = np.linalg.eigh(covariances)
    raised = (vectors * np.maximum(values, smallest)[..., None, :]) @ np.swapaxes(vectors, -1, -2)
    return (raised + np.swapaxes(raised, -1, -2)) / 2
