"""Gaussian hidden Markov models of how the brain's state changes, fitted to several recordings at once.

Section 3.5 (Suk et al., NeuroImage 2016): the codes f_1 … f_T of a recording come from a hidden chain of states with
start probabilities π, transitions A and a Gaussian (μ_k, Σ_k) for each state; a model is fitted per class and a
recording belongs to the class under which it is more likely. Baum and Welch's steps, the forward sums and Viterbi's
path are hmmlearn's, in logarithms; starts, checks and the floor under the covariances are ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from hmmlearn.hmm import GaussianHMM

from workbench.classical.baum_welch import Starts
from workbench.errors import CohortError, SettingsError
from workbench.progress import Progress, silent


@dataclass(frozen=True, eq=False)
class HiddenMarkov:
    """A Gaussian hidden Markov model with K states of D dimensions.

    Attributes:
        start: (K,) probabilities π of the first state.
        transitions: (K, K) A, row: from, column: to.
        means: (K, D).
        covariances: (K, D, D).
        history: log-likelihood per training frame after each step of the start that won.
        notes: what happened in fitting: starts that collapsed or agreed, steps that had not converged.
    """

    start: np.ndarray
    transitions: np.ndarray
    means: np.ndarray
    covariances: np.ndarray
    history: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        k, d = np.shape(self.means)
        shapes = [np.shape(a) for a in (self.start, self.transitions, self.covariances)]
        if shapes != [(k,), (k, k), (k, d, d)]:
            raise ValueError(f"expected start, transitions, covariances of {k} states in {d} dimensions; got {shapes}")
        for law in (self.start, self.transitions):
            if np.min(law) < 0 or not np.allclose(np.sum(law, -1), 1):
                raise ValueError("start and each row of the transitions must be probabilities that sum to 1")
        if not np.isfinite(self.means).all() or np.linalg.eigvalsh(self.covariances).min() <= 0:
            raise ValueError("means must be numbers and covariances positive definite")

    @property
    def n_states(self) -> int:
        """K."""
        return len(self.means)

    @property
    def n_dimensions(self) -> int:
        """D."""
        return self.means.shape[1]

    def dwell(self) -> np.ndarray:
        """Give the mean frames (K,) of a visit to each state, 1 / (1 - A_kk); infinite where it is never left."""
        with np.errstate(divide="ignore"):
            return 1 / (1 - np.diag(self.transitions))

    def stationary(self) -> np.ndarray:
        """Give the long-run shares (K,) of the states: π A = π, least squares where several laws would do."""
        equations = np.vstack([self.transitions.T - np.eye(self.n_states), np.ones(self.n_states)])
        law = np.linalg.lstsq(equations, np.append(np.zeros(self.n_states), 1.0), rcond=None)[0]
        return np.clip(law, 0, None) / np.clip(law, 0, None).sum()

    def reordered(self, order: Sequence[int] | np.ndarray) -> HiddenMarkov:
        """Give the same model with its state ``order[i]`` as state i."""
        o = np.asarray(order)
        moved = (self.start[o], self.transitions[np.ix_(o, o)], self.means[o], self.covariances[o])
        return HiddenMarkov(*moved, self.history, self.notes)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Give what to save."""
        laws = {"start": self.start, "transitions": self.transitions}
        states = {"means": self.means, "covariances": self.covariances}
        return {**laws, **states, "history": np.array(self.history, float), "notes": np.array(self.notes, str)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> HiddenMarkov:
        """Give the model that was saved."""
        a, b, c, d = (np.asarray(arrays[name], np.float64) for name in ("start", "transitions", "means", "covariances"))
        return cls(a, b, c, d, tuple(map(float, arrays["history"])), tuple(map(str, arrays["notes"])))


def n_parameters(n_states: int, n_dimensions: int) -> int:
    """Give how many free numbers a model has: π, A, means and full covariances."""
    k, d = n_states, n_dimensions
    return (k - 1) + k * (k - 1) + k * d + k * d * (d + 1) // 2


def fit_hidden_markov(
    sequences: Sequence[np.ndarray],
    n_states: int,
    *,
    n_restarts: int = 5,
    seed: int = 0,
    min_covariance: float = 1e-3,
    max_iterations: int = 200,
    progress: Progress = silent,
) -> HiddenMarkov:
    """Fit one model to all sequences by maximum likelihood.

    Each start clusters frames by k-means and takes a few steps, on whole sequences drawn at random where there are very
    many frames; the most likely start goes on with all of them until it gains nothing (Biernacki et al. 2003). The
    states are sorted by their mean in the first dimension.

    Args:
        sequences: arrays (T_i, D); lengths may differ, and no step leads from one to the next.
        n_states: K.
        n_restarts: starts.
        seed: of the starts; the same seed gives the same model.
        min_covariance: smallest eigenvalue of a covariance, as a share of each dimension's variance over all frames.
            It is kept in every step, which still is the best step under that bound, and bars a state from
            shrinking onto a few equal frames.
        max_iterations: steps at most.
        progress: told after each step.

    Raises:
        SettingsError: a setting is out of its bounds.
        CohortError: frames are NaN, sequences are shorter than 2 frames or unequal in dimensions, dimensions are
            constant or the same up to scale, there are too few frames, or every start lost a state.
    """
    if n_states < 1 or n_restarts < 1 or max_iterations < 1 or not 0 < min_covariance < 1:
        raise SettingsError(
            "States, starts and steps are at least 1, and the smallest covariance lies between 0 and 1; got "
            f"{n_states}, {n_restarts}, {max_iterations} and {min_covariance:g}."
        )
    lengths = np.array([len(s) for s in check_sequences(sequences)])
    frames = np.concatenate([np.asarray(s, np.float64) for s in sequences])
    mean, sd = frames.mean(0), frames.std(0)
    _check_enough(frames, sd, n_states)
    starts = Starts((frames - mean) / sd, lengths, n_states, min_covariance, max_iterations)
    best, history, notes = starts.best(n_restarts, seed, progress)
    if len(frames) < n_parameters(n_states, frames.shape[1]):
        notes.append("there are fewer frames than parameters")
    unit = np.log(sd).sum()  # a density of z-scores, seen from the frames
    model = HiddenMarkov(
        best.startprob_,
        best.transmat_,
        best.means_ * sd + mean,
        best.covars_ * sd[:, None] * sd,
        tuple(float(h - unit) for h in history),
        tuple(notes),
    )
    return model.reordered(np.lexsort(model.means.T[::-1]))


def log_likelihood(model: HiddenMarkov, sequence: np.ndarray) -> float:
    """Give log p(f_1 … f_T | model) in nats, summed over all paths; divide by T to compare unequal lengths."""
    return float(_hmmlearn(model).score(_door(model, sequence)))


def decode(model: HiddenMarkov, sequence: np.ndarray) -> np.ndarray:
    """Give the most likely path of states (T,) int64 (Viterbi 1967)."""
    return _hmmlearn(model).decode(_door(model, sequence), algorithm="viterbi")[1].astype(np.int64)


def posterior(model: HiddenMarkov, sequence: np.ndarray) -> np.ndarray:
    """Give how probable each state is at each frame given the whole sequence, (T, K); rows sum to 1."""
    return _hmmlearn(model).predict_proba(_door(model, sequence))


def check_sequences(sequences: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
    """Give the sequences back, or say as a CohortError why no chain can be fitted to them."""
    if len(sequences) == 0:
        raise CohortError("There is no sequence to fit states to; choose a part of the cohort that is not empty.")
    n_dimensions = np.shape(sequences[0])[-1]
    for number, one in enumerate(sequences, 1):
        if np.ndim(one) != 2 or np.shape(one)[1] != n_dimensions:
            raise CohortError(
                f"Sequences must be frames of {n_dimensions} dimensions like the first; number {number} is of shape "
                f"{np.shape(one)}."
            )
        if len(one) < 2:
            raise CohortError(
                f"Sequence number {number} has {len(one)} frame(s), but a chain needs at least 2; leave it out."
            )
        n_missing = np.count_nonzero(~np.isfinite(one).all(1))
        if n_missing:
            raise CohortError(
                f"Sequence number {number} has {n_missing} of {len(one)} frames with NaN or infinite values; leave "
                "those frames or that sequence out."
            )
    return sequences


def _check_enough(frames: np.ndarray, sd: np.ndarray, n_states: int) -> None:
    n_frames, n_dimensions = frames.shape
    flat = np.flatnonzero(sd <= 1e-7 * np.maximum(np.abs(frames).max(0), 1e-300))
    if len(flat):
        raise CohortError(
            f"Dimension number {', '.join(str(d + 1) for d in flat)} of the frames is constant, as when a unit of the "
            "code has saturated; leave it out or learn the code again."
        )
    needed = n_parameters(n_states, n_dimensions)
    if frames.size < needed or n_frames < n_states * (n_dimensions + 1):
        raise CohortError(
            f"A model of {n_states} states in {n_dimensions} dimensions has {needed:,} parameters and {n_frames:,} "
            "frames are too few for it; choose fewer states, fewer dimensions or more recordings."
        )
    values = np.linalg.eigvalsh(np.atleast_2d(np.corrcoef(frames, rowvar=False)))
    rank = int((values > 1e-10 * n_dimensions).sum())
    if rank < n_dimensions:
        raise CohortError(
            f"The covariance of the frames is singular: their {n_dimensions} dimensions have rank {rank}; leave out "
            "dimensions that follow from others, or take a code of fewer units."
        )


def _hmmlearn(model: HiddenMarkov) -> GaussianHMM:
    peer = GaussianHMM(model.n_states, "full", init_params="")
    peer.startprob_, peer.transmat_ = model.start, model.transitions
    peer.means_, peer.covars_ = model.means, model.covariances
    return peer


def _door(model: HiddenMarkov, sequence: np.ndarray) -> np.ndarray:
    frames = np.asarray(check_sequences([sequence])[0], np.float64)
    if frames.shape[1] != model.n_dimensions:
        raise ValueError(f"the model is of {model.n_dimensions} dimensions; got frames {frames.shape}")
    return frames
