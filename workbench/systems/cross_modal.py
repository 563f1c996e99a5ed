"""One modality held fixed, the other sampled, beside what it really was in held-out subjects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from workbench.errors import SettingsError
from workbench.runs.run import Run
from workbench.systems.examples_base import Record, as_pictures
from workbench.systems.views import Chains

BURN_IN, BETWEEN, N_DRAWS = 100, 5, 40
ROUNDING = 1e-6
FEWEST = 3
"""Examples below which a correlation says nothing."""


@dataclass(frozen=True)
class SampledPart:
    """What a machine makes of one part of an example when it is given the other; (n, C, *spatial) or (n, V) of tables.

    Attributes:
        clamped: the part that was held fixed.
        sampled: the other parts, joined by commas.
        held: the part that was held fixed.
        truth: what the sampled part really was.
        mean: the mean over ``states``.
        baseline: (C, *spatial) or (V,), the mean of the training examples: what to say without the other part.
        states: (n, k, …), means of the visible units at steps of the chain; they spread less than draws would.
        columns: names of the sampled elements of a table; else empty.
        correlation: across examples, averaged over elements; NaN below three examples.
        nmse: squared error of ``mean`` as a share of that of the training mean: 1 is no better than that.
        by_element: correlation and error share of each element, each (V,).
        steps: of the chain, from the first that was kept to the last.
    """

    clamped: str
    sampled: str
    held: np.ndarray
    truth: np.ndarray
    mean: np.ndarray
    baseline: np.ndarray
    states: np.ndarray
    columns: list[str]
    correlation: float
    nmse: float
    by_element: tuple[np.ndarray, np.ndarray]
    steps: tuple[int, int]

    @property
    def n_examples(self) -> int:
        """How many held-out examples there are."""
        return len(self.truth)


def sampled_part(
    generate: Callable[..., Chains], run: Run, record: Record, clamp: str, columns: list[str], seed: int
) -> SampledPart:
    """Hold one part of every kept held-out example fixed and average the rest over a chain.

    Args:
        generate: of the system that trained the run.
        run: trained.
        record: how it saw its examples.
        clamp: the part to hold fixed.
        columns: names of all elements of a table; empty for images.
        seed: of the chains.

    Raises:
        SettingsError: the run has no such part.
    """
    if clamp not in record.blocks:
        raise SettingsError(f"There is no part {clamp!r} to hold fixed; known are {', '.join(record.blocks)}.")
    n = len(run.load_arrays("patches")["patches"])
    steps = tuple(range(BURN_IN, BURN_IN + N_DRAWS * BETWEEN, BETWEEN))
    chains = generate(run, n_chains=n, steps=steps, start="noise", clamp=clamp, label="", seed=seed)
    assert chains.truth is not None
    fixed = np.zeros(int(np.prod(record.shape)), bool)
    fixed[slice(*record.blocks[clamp])] = True
    kept = torch.from_numpy(run.load_arrays("kept")["train"])
    baseline = as_pictures(record.scaling.undo(kept)).numpy().reshape(len(kept), -1)[:, ~fixed].mean(0)
    truth, states = chains.truth.reshape(n, -1), chains.states.reshape(n, len(steps), -1)
    mean = states[..., ~fixed].mean(1)
    by_element = element_scores(truth[:, ~fixed], mean, baseline)
    error, reference = ((v - truth[:, ~fixed]) ** 2 for v in (mean, baseline))
    share = float(error.sum() / reference.sum()) if reference.sum() else float("nan")
    spatial = record.shape[1:]
    return SampledPart(
        clamped=clamp,
        sampled=", ".join(name for name in record.blocks if name != clamp),
        held=truth[:, fixed].reshape(n, -1, *spatial) if spatial else truth[:, fixed],
        truth=truth[:, ~fixed].reshape(n, -1, *spatial) if spatial else truth[:, ~fixed],
        mean=mean.reshape(n, -1, *spatial) if spatial else mean,
        baseline=baseline.reshape(-1, *spatial) if spatial else baseline,
        states=_shaped(states[..., ~fixed], spatial),
        columns=[name for name, is_fixed in zip(columns, fixed, strict=True) if not is_fixed] if columns else [],
        correlation=_mean(by_element[0]),
        nmse=share,
        by_element=by_element,
        steps=(steps[0], steps[-1]),
    )


def element_scores(truth: np.ndarray, mean: np.ndarray, baseline: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Score each element over examples.

    Args:
        truth, mean: (n, V).
        baseline: (V,) the training mean.

    Returns:
        Correlations (V,), NaN where either side is constant or there are too few examples; and squared errors as shares
        of the baseline's (V,), NaN where the baseline has none.
    """
    truth, mean = np.asarray(truth, float), np.asarray(mean, float)
    a, b = truth - truth.mean(0), mean - mean.mean(0)
    varies = [np.abs(d).max(0) > ROUNDING * np.abs(v).max(0) for d, v in ((a, truth), (b, mean))]
    usable = varies[0] & varies[1] & (len(truth) >= FEWEST)
    spread = np.sqrt((a**2).sum(0) * (b**2).sum(0))
    correlation = np.where(usable, (a * b).sum(0) / np.where(usable, spread, 1), np.nan)
    reference = ((baseline - truth) ** 2).sum(0)
    error = ((mean - truth) ** 2).sum(0)
    return correlation, np.where(reference > 0, error / np.where(reference > 0, reference, 1), np.nan)


def _shaped(states: np.ndarray, spatial: tuple[int, ...]) -> np.ndarray:
    return states.reshape(*states.shape[:2], -1, *spatial) if spatial else states


def _mean(values: np.ndarray) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")
