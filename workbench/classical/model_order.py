"""How many hidden states: models of several orders, judged by recordings that they have not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from workbench.classical.hmm import check_sequences, fit_hidden_markov, log_likelihood
from workbench.errors import CohortError, SettingsError
from workbench.progress import Progress, silent


@dataclass(frozen=True, eq=False)
class OrderTable:
    """What each number of states is worth on held-out recordings.

    Attributes:
        orders: (O,) the numbers of states that were tried, rising.
        held_out: (O, N) log-likelihood per frame of each sequence in nats, while it was held out; NaN throughout for an
            order that could not be fitted.
        mean: (O,) over all frames.
        low: (O,) lower end of its 95 % interval, drawing groups with replacement.
        high: (O,) upper end.
        best: the order of the highest mean.
        chosen: the lowest order that is not worse than the best by more than one standard error of their difference
            over the groups (Breiman et al. 1984): two states that share what one does cost a likelihood hardly
            anything.
        notes: why an order could not be fitted.
    """

    orders: tuple[int, ...]
    held_out: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    best: int
    chosen: int
    notes: tuple[str, ...]


def choose_order(
    sequences: Sequence[np.ndarray],
    orders: Sequence[int],
    *,
    groups: Sequence[object] | None = None,
    n_folds: int = 5,
    n_restarts: int = 3,
    seed: int = 0,
    progress: Progress = silent,
) -> OrderTable:
    """Cross-validate the number of states.

    Args:
        sequences: N arrays (T_i, D), training recordings only.
        orders: numbers of states to try.
        groups: (N,) whom each sequence belongs to: theirs are held out together. Each is its own without it.
        n_folds: parts of the groups that are held out in turn.
        n_restarts: starts of each fit.
        seed: of the folds, the starts and the interval.
        progress: told after each fit.

    Raises:
        CohortError: there are fewer groups than folds, or no order could be fitted.
        SettingsError: no order is given, or there are fewer than two folds.
    """
    if len(orders) == 0 or n_folds < 2:
        raise SettingsError(f"Expected orders to try and at least 2 folds; got {list(orders)} and {n_folds}.")
    check_sequences(sequences)
    of = np.unique([str(g) for g in (range(len(sequences)) if groups is None else groups)], return_inverse=True)[1]
    fold = _folds(of, n_folds, seed)
    tried, notes = tuple(sorted(set(orders))), []
    held_out = np.full((len(tried), len(sequences)), np.nan)
    for row, k in enumerate(tried):
        try:
            for f in range(n_folds):
                train = [s for s, at in zip(sequences, fold, strict=True) if at != f]
                model = fit_hidden_markov(train, k, n_restarts=n_restarts, seed=seed)
                for i in np.flatnonzero(fold == f).tolist():
                    held_out[row, i] = log_likelihood(model, sequences[i]) / len(sequences[i])
                progress((row * n_folds + f + 1) / (len(tried) * n_folds), f"{k} states: fold {f + 1} of {n_folds}")
        except CohortError as error:
            held_out[row] = np.nan
            notes.append(f"{k} states: {error}")
    if np.isnan(held_out).all():
        raise CohortError(f"None of the orders {list(tried)} could be fitted. {notes[0]}")
    return _table(tried, held_out, np.array([len(s) for s in sequences]), of, seed, tuple(notes))


def _folds(of: np.ndarray, n_folds: int, seed: int) -> np.ndarray:
    """Give the fold (N,) of each sequence, equal within a group."""
    n_groups = int(of.max()) + 1
    if n_groups < n_folds:
        raise CohortError(
            f"{n_folds} folds need at least {n_folds} subjects to choose the number of states; there are {n_groups}."
        )
    return (np.random.default_rng(seed).permutation(n_groups) % n_folds)[of]


def _table(
    orders: tuple[int, ...], held_out: np.ndarray, frames: np.ndarray, of: np.ndarray, seed: int, notes: tuple[str, ...]
) -> OrderTable:
    totals = np.stack([np.bincount(of, row * frames) for row in held_out])  # (O, groups)
    sizes = np.bincount(of, frames)
    mean = totals.sum(1) / sizes.sum()
    n_groups = len(sizes)
    drawn = np.random.default_rng(seed).multinomial(n_groups, np.full(n_groups, 1 / n_groups), 1000)
    low, high = np.quantile((totals @ drawn.T) / (drawn @ sizes), [0.025, 0.975], axis=1)
    best = int(np.nanargmax(mean))
    loss = (totals[best] - totals) / sizes.mean()  # (O, groups), what each order loses against the best
    allowed = loss.std(1, ddof=1) / np.sqrt(n_groups)
    chosen = next(k for k, lost, se in zip(orders, loss.mean(1), allowed, strict=True) if lost <= se)
    return OrderTable(orders, held_out, mean, low, high, orders[best], chosen, notes)
