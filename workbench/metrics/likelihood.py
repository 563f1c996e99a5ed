"""Partition functions of energy models: exact by enumeration, estimated by annealed importance sampling.

An estimate from above the base and one from below the model bracket the truth; the spread of one alone proves
nothing. With a poor base all chains can miss the same region, agree, and be wrong by many nats. So report both
directions and their gap, and the exact value wherever one side of the model has at most ``MAX_ENUMERATED`` units.

Primary papers: Neal, Statistics and Computing 2001; Salakhutdinov and Murray, ICML 2008; for the reverse direction
Burda, Grosse and Salakhutdinov, AISTATS 2015. Everything here is in nats and in float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from workbench.errors import SettingsError
from workbench.metrics.intervals import Interval, mean_interval
from workbench.progress import Progress, silent

MAX_ENUMERATED = 22
LEVEL = 0.95

_SHARES = ((0.0, 0.5, 500), (0.5, 0.9, 4_000), (0.9, 1.0, 10_000))
_N_DEFAULT = 14_500
_N_BOOT = 1000


class Annealed(Protocol):
    """A path of unnormalized distributions from a base (beta = 0) whose Z is known to the model (beta = 1)."""

    @property
    def n_units(self) -> int:
        """D, length of one state vector."""

    def base_log_z(self) -> Tensor:
        """Give log Z at beta = 0, a float64 scalar."""

    def base_sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw ``n`` independent states (n, D) at beta = 0."""

    def log_weight(self, x: Tensor, beta: float) -> Tensor:
        """Give log p*_beta of states (n, D): (n,), unnormalized, in float64."""

    def step(self, x: Tensor, beta: float, generator: torch.Generator) -> Tensor:
        """Move states (n, D) by a transition that leaves p_beta as it is; gives new states, never changes ``x``."""


@dataclass(frozen=True, eq=False)
class LogZ:
    """An estimate of a log partition function.

    Attributes:
        value: the estimate, nats.
        low: lower end of its 95 % interval, a percentile bootstrap over chains. It knows what the chains saw, not
            what all of them missed.
        high: upper end.
        log_weights: (n_chains,) each chain's own estimate of log Z, less the base's; ``value`` is their log mean exp
            (forward), or the negative log mean exp of the negatives (reverse).
        n_betas: temperatures on the path.
    """

    value: float
    low: float
    high: float
    log_weights: Tensor
    n_betas: int


@dataclass(frozen=True, eq=False)
class PartitionEstimate:
    """What is known of a log partition function, from several sides.

    Attributes:
        exact: by enumeration, where that is possible.
        forward: from the base to the model; too low on average.
        reverse: from samples of the model to the base; too high on average when they are true samples.
        gap: reverse - forward, nats. Large: use more betas, or a base nearer to the data. Negative by more than the
            intervals allow: the samples do not come from the whole model.
    """

    exact: float | None
    forward: LogZ
    reverse: LogZ | None
    gap: float | None

    @property
    def value(self) -> float:
        """The best single number: exact where known, else forward."""
        return self.forward.value if self.exact is None else self.exact


def default_betas(n: int = _N_DEFAULT) -> Tensor:
    """Give ``n`` inverse temperatures from 0 to 1, (n,) float64, denser towards 1.

    Shares of 500, 4000 and 10000 lie in [0, .5], [.5, .9] and [.9, 1], as in Salakhutdinov and Murray (2008).
    """
    if n < 10:
        raise ValueError(f"annealing needs at least 10 temperatures; got {n}")
    counts = [max(2, round(n * share / _N_DEFAULT)) for *_, share in _SHARES]
    counts[2] = n - 1 - counts[0] - counts[1]
    pieces = [
        torch.linspace(low, high, count + 1, dtype=torch.float64)[:-1]
        for (low, high, _), count in zip(_SHARES, counts, strict=True)
    ]
    return torch.cat([*pieces, torch.ones(1, dtype=torch.float64)])


def ais(
    path: Annealed,
    *,
    betas: Tensor | None = None,
    n_chains: int = 100,
    seed: int = 0,
    progress: Progress = silent,
) -> LogZ:
    """Estimate log Z of the model at the end of a path, starting from the base.

    Each chain collects log w = sum_k log p*_k(x_k) - log p*_{k-1}(x_k); mean w is an unbiased estimate of Z / Z_base,
    so that its logarithm is too low on average (Neal 2001).

    Args:
        path: the base, the model and what lies between.
        betas: (K,) rising from 0 to 1; :func:`default_betas` without them.
        n_chains: independent chains.
        seed: of everything that is drawn.
        progress: told now and then; may raise to cancel.
    """
    betas = default_betas() if betas is None else _checked(betas)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        x = path.base_sample(n_chains, generator)
        log_w = _anneal(path, x, betas, generator, progress)
        base = float(path.base_log_z())
    return _estimate(log_w, base, len(betas), sign=1, seed=seed)


def reverse_ais(
    path: Annealed, samples: Tensor, *, betas: Tensor | None = None, seed: int = 0, progress: Progress = silent
) -> LogZ:
    """Estimate log Z starting from samples of the model and cooling down to the base.

    The mean weight estimates Z_base / Z, so that log Z is too high on average. This holds for true samples; chains
    that mix badly and were begun in one place can give any answer.

    Args:
        path: as for :func:`ais`.
        samples: (n_chains, D) states drawn from the model, for example by a long Gibbs run.
        betas: (K,) rising from 0 to 1 all the same; they are walked from the end.
        seed: of everything that is drawn.
        progress: told now and then; may raise to cancel.
    """
    betas = default_betas() if betas is None else _checked(betas)
    if samples.ndim != 2 or samples.shape[1] != path.n_units:
        raise ValueError(f"samples of this model are (n, {path.n_units}); got {tuple(samples.shape)}")
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        log_w = _anneal(path, samples, betas.flip(0), generator, progress)
        base = float(path.base_log_z())
    return _estimate(-log_w, base, len(betas), sign=-1, seed=seed)


def estimate_partition(
    path: Annealed,
    *,
    samples: Tensor | None = None,
    exact: float | None = None,
    betas: Tensor | None = None,
    n_chains: int = 100,
    seed: int = 0,
    progress: Progress = silent,
) -> PartitionEstimate:
    """Estimate log Z forward and, given samples (n, D) of the model, in reverse; report the gap.

    Args:
        path: as for :func:`ais`.
        samples: (n, D) from the model.
        exact: log Z by enumeration, where it is known.
        betas: of both directions.
        n_chains: of the forward direction.
        seed: of everything that is drawn.
        progress: told now and then; may raise to cancel.
    """
    share = 1.0 if samples is None else 0.5
    forward = ais(
        path, betas=betas, n_chains=n_chains, seed=seed, progress=lambda done, text: progress(share * done, text)
    )
    if samples is None:
        return PartitionEstimate(exact, forward, None, None)
    reverse = reverse_ais(
        path, samples, betas=betas, seed=seed + 1, progress=lambda done, text: progress(0.5 + 0.5 * done, text)
    )
    return PartitionEstimate(exact, forward, reverse, reverse.value - forward.value)


def binary_states(n: int) -> Tensor:
    """Give all states of ``n`` binary units, (2^n, n) float64; the first unit changes slowest."""
    return torch.cat(list(_state_chunks(n, 2**n)))


def log_z_by_enumeration(log_p: Callable[[Tensor], Tensor], n_units: int, chunk: int = 2**14) -> Tensor:
    """Sum an unnormalized distribution over all states of ``n_units`` binary units: log Z, a float64 scalar.

    Args:
        log_p: gives log p* (n,) of states (n, n_units), the other side of the model summed out.
        n_units: of the side that is enumerated; take the smaller one.
        chunk: states at a time.

    Raises:
        SettingsError: more than ``MAX_ENUMERATED`` units.
    """
    if n_units > MAX_ENUMERATED:
        raise SettingsError(
            f"The exact partition function sums over all states of at most {MAX_ENUMERATED} units, but this model has "
            f"{n_units} on its smaller side; estimate it by annealed importance sampling, or take a smaller model."
        )
    with torch.no_grad():
        sums = [torch.logsumexp(log_p(states).double(), 0) for states in _state_chunks(n_units, chunk)]
    return torch.logsumexp(torch.stack(sums), 0)


def mean_log_likelihood(free_energy: Tensor, log_z: float | Tensor | LogZ) -> Interval:
    """Give the mean of log p(v) = -F(v) - log Z over data, nats, with its interval.

    Args:
        free_energy: (N,) F(v) of each datum; a variational free energy gives the mean of a lower bound.
        log_z: exact, or an estimate, whose own interval is then added on both sides.
    """
    estimate = log_z if isinstance(log_z, LogZ) else LogZ(float(log_z), float(log_z), float(log_z), torch.empty(0), 0)
    mean, low, high = mean_interval(-free_energy.detach().double().cpu().numpy(), LEVEL)
    return Interval(mean - estimate.value, low - estimate.high, high - estimate.low)


def _checked(betas: Tensor) -> Tensor:
    betas = betas.double()
    if betas.ndim != 1 or len(betas) < 2 or betas[0] != 0 or betas[-1] != 1 or bool((betas.diff() <= 0).any()):
        raise ValueError("betas rise strictly from 0 to 1")
    return betas


def _anneal(path: Annealed, x: Tensor, betas: Tensor, generator: torch.Generator, progress: Progress) -> Tensor:
    """Carry states along the betas and give their log weights (n,)."""
    log_w, steps = torch.zeros(len(x), dtype=torch.float64), betas.tolist()
    every = max(1, len(steps) // 100)
    for k, (old, new) in enumerate(pairwise(steps), 1):
        log_w += (path.log_weight(x, new) - path.log_weight(x, old)).to(log_w)
        if k < len(steps) - 1:
            x = path.step(x, new, generator)
        if k % every == 0:
            progress(k / len(steps), f"annealing, temperature {k} of {len(steps)}")
    return log_w


def _estimate(log_w: Tensor, base: float, n_betas: int, *, sign: int, seed: int) -> LogZ:
    """Turn chains' estimates of log Z / Z_base into one, with a bootstrap interval over chains."""

    def combined(values: Tensor) -> Tensor:
        return sign * (torch.logsumexp(sign * values, -1) - math.log(values.shape[-1]))

    rows = np.random.default_rng(seed).integers(0, len(log_w), (_N_BOOT, len(log_w)))
    draws = combined(log_w[torch.from_numpy(rows)])
    low, high = torch.quantile(draws, torch.tensor([(1 - LEVEL) / 2, (1 + LEVEL) / 2], dtype=torch.float64)).tolist()
    return LogZ(base + float(combined(log_w)), base + low, base + high, log_w, n_betas)


def _state_chunks(n: int, chunk: int) -> Iterator[Tensor]:
    places = torch.arange(n - 1, -1, -1)
    for numbers in torch.arange(2**n).split(chunk):
        yield ((numbers[:, None] >> places) & 1).double()
