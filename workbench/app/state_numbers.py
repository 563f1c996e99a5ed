"""Paths of hidden states in numbers: shares of time, visits, and means with intervals over subjects."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

N_DRAWS = 2000


def shares(paths: Sequence[np.ndarray], n_states: int) -> np.ndarray:
    """Give the share of its frames (N, K) that each path spends in each state."""
    return np.stack([np.bincount(p, minlength=n_states) / len(p) for p in paths])


def visits(paths: Sequence[np.ndarray], n_states: int) -> list[np.ndarray]:
    """Give the lengths in frames of all whole visits to each state; those that a recording's ends cut are left out."""
    lengths: list[list[int]] = [[] for _ in range(n_states)]
    for path in paths:
        edges = np.flatnonzero(np.diff(path)) + 1
        for begin, end in pairwise(edges):
            lengths[path[begin]].append(int(end - begin))
    return [np.array(one, float) for one in lengths]


def expected_visit(transitions: np.ndarray) -> np.ndarray:
    """Give the frames (K,) that a visit lasts on average by the model: 1 / (1 - probability of staying)."""
    return 1 / np.maximum(1 - np.diag(transitions), 1e-9)


def share_table(view: object, n_states: int) -> pd.DataFrame:
    """Give a row a subject and state: columns state, class, subject, share."""
    paths, subjects, classes = view.paths, view.subjects, view.classes  # type: ignore[attr-defined]
    found = shares(paths, n_states)
    return pd.DataFrame({
        "state": np.tile(np.arange(n_states), len(paths)), "class": np.repeat(classes, n_states),
        "subject": np.repeat(subjects, n_states), "share": found.ravel(),
    })  # fmt: skip


def share_summary(table: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Give the mean share by state and class with 95 % percentile intervals; whole subjects are drawn again."""
    rng = np.random.default_rng(seed)
    rows = []
    for (state, name), part in table.groupby(["state", "class"], sort=False):
        values = part["share"].to_numpy()
        low = high = np.nan
        if len(values) > 1:
            drawn = values[rng.integers(0, len(values), (N_DRAWS, len(values)))].mean(1)
            low, high = np.quantile(drawn, [0.025, 0.975])
        rows.append({"state": state, "class": name, "mean": values.mean(), "low": low, "high": high})
    return pd.DataFrame(rows)


def transition_table(view: object, found: object) -> pd.DataFrame:
    """Give a row a pair of states: the model's probability beside the share of steps on paths with its interval.

    Args:
        view: of the states.
        found: transitions (K, K) of its paths with ``estimate``, ``low`` and ``high``.
    """
    k = len(view.transitions)  # type: ignore[attr-defined]
    return pd.DataFrame({
        "from state": np.repeat(np.arange(1, k + 1), k), "to state": np.tile(np.arange(1, k + 1), k),
        "of the model": view.transitions.ravel(), "on paths": found.estimate.ravel(),  # type: ignore[attr-defined]
        "low": found.low.ravel(), "high": found.high.ravel(),  # type: ignore[attr-defined]
    })  # fmt: skip


def path_table(view: object) -> pd.DataFrame:
    """Give a row a frame: subject, class, frame, time in s where it is known, state from 1."""
    rows = [
        pd.DataFrame({"subject": s, "class": c, "frame": np.arange(1, len(p) + 1), "state": p + 1})
        for s, c, p in zip(view.subjects, view.classes, view.paths, strict=True)  # type: ignore[attr-defined]
    ]
    table = pd.concat(rows, ignore_index=True)
    if view.tr_s is not None:  # type: ignore[attr-defined]
        table.insert(3, "time_s", (table["frame"] - 1) * view.tr_s)  # type: ignore[attr-defined]
    return table
