"""The number of states: the planted one is chosen, and what cannot be compared is said."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.classical.model_order import choose_order
from workbench.errors import CohortError, SettingsError


def recordings(stay: float, n: int, n_frames: int, seed: int) -> list[np.ndarray]:
    """Draw recordings of three states that stay with that probability and else move to either other one."""
    rng = np.random.default_rng(seed)
    moves = np.where(rng.random((n, n_frames)) < stay, 0, rng.integers(1, 3, (n, n_frames)))
    moves[:, 0] = rng.integers(3, size=n)
    means = np.array([[0, 0], [1.5, 0], [0, 1.5]])
    return [means[path] + 0.6 * rng.normal(size=(n_frames, 2)) for path in np.cumsum(moves, axis=1) % 3]


def test_chooses_the_planted_number_of_states():
    sequences = recordings(0.9, 12, 80, 0)
    table = choose_order(sequences, [4, 2, 3, 3], n_folds=2, n_restarts=1, seed=0)
    assert table.orders == (2, 3, 4) and table.chosen == 3
    assert table.held_out.shape == (3, 12) and table.mean == pytest.approx(table.held_out.mean(1))
    assert (table.low < table.mean).all() and (table.mean < table.high).all()
    assert table.mean[1] > table.mean[0] + 0.01 and table.chosen <= table.best


@pytest.mark.slow
def test_chooses_the_planted_number_over_seeds():
    chosen = [
        choose_order(recordings(0.9, 12, 80, seed), [2, 3, 4], n_folds=3, n_restarts=2, seed=seed).chosen
        for seed in range(3)
    ]
    assert chosen.count(3) >= 2


def test_one_state_is_enough_for_noise():
    rng = np.random.default_rng(0)
    table = choose_order([rng.normal(size=(50, 2)) for _ in range(6)], [1, 2], n_folds=2, n_restarts=1)
    assert table.chosen == 1


def test_groups_are_held_out_together_and_the_same_seed_gives_the_same():
    sequences = recordings(0.9, 6, 50, 0)
    doubled = [s for s in sequences for _ in range(2)]
    groups = [f"s{i // 2}" for i in range(12)]
    first, again = (choose_order(doubled, [2], groups=groups, n_folds=3, n_restarts=1, seed=3) for _ in range(2))
    assert np.array_equal(first.held_out, again.held_out)
    assert np.allclose(first.held_out[0, ::2], first.held_out[0, 1::2])  # a twin never trained the model of its twin


def test_an_order_that_cannot_be_fitted_is_a_note():
    sequences = recordings(0.9, 4, 12, 0)
    table = choose_order(sequences, [1, 20], n_folds=2, n_restarts=1)
    assert np.isnan(table.held_out[1]).all() and np.isnan(table.mean[1]) and table.best == table.chosen == 1
    assert table.notes[0].startswith("20 states: A model of 20 states")
    with pytest.raises(CohortError, match=r"None of the orders \[20, 30\] could be fitted. 20 states"):
        choose_order(sequences, [20, 30], n_folds=2, n_restarts=1)


def test_mistakes_are_named():
    sequences = recordings(0.9, 4, 30, 0)
    with pytest.raises(CohortError, match=r"5 folds need at least 5 subjects .* there are 4"):
        choose_order(sequences, [2])
    with pytest.raises(SettingsError, match="at least 2 folds"):
        choose_order(sequences, [2], n_folds=1)
    with pytest.raises(SettingsError, match="Expected orders"):
        choose_order(sequences, [])
