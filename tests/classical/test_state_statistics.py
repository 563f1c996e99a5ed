"""Paths of states: by hand on a path one can draw, and by how often intervals cover the truth."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.classical.state_statistics import (
    dwell_intervals,
    dwell_times,
    occupancy,
    occupancy_intervals,
    transition_counts,
    transition_intervals,
    transition_matrix,
)

PATH = np.array([0, 0, 1, 1, 1, 0, 2, 2, 0, 0])
TRUTH = np.array([[0.9, 0.07, 0.03], [0.1, 0.85, 0.05], [0.05, 0.05, 0.9]])


def stationary() -> np.ndarray:
    values, vectors = np.linalg.eig(TRUTH.T)
    law = np.real(vectors[:, values.argmax()])
    return law / law.sum()


def paths(n: int, n_frames: int, seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    states = np.empty((n_frames, n), np.int64)
    states[0] = rng.choice(3, n, p=stationary())
    for t in range(1, n_frames):
        states[t] = (rng.random(n)[:, None] > TRUTH[states[t - 1]].cumsum(1)[:, :2]).sum(1)
    return list(states.T)


def test_by_hand():
    assert np.allclose(occupancy([PATH], 4), [[0.5, 0.3, 0.2, 0]])
    assert transition_counts([PATH], 3)[0].tolist() == [[2, 1, 1], [1, 2, 0], [1, 0, 1]]
    assert np.allclose(transition_matrix([PATH, PATH], 3), [[0.5, 0.25, 0.25], [1 / 3, 2 / 3, 0], [0.5, 0, 0.5]])
    assert [one.tolist() for one in dwell_times([PATH], 3)] == [[1], [3], [2]]  # the visits at both ends are cut
    assert dwell_intervals([PATH], 3).estimate.tolist() == [2, 3, 2]  # frames before an end over exits: 4/2, 3/1, 2/1


def test_no_step_leads_from_one_path_to_the_next():
    halves = [PATH[:5], PATH[5:]]
    assert transition_counts(halves, 3).sum() == 8
    assert [one.tolist() for one in dwell_times(halves, 3)][2] == [2]


def test_dwell_is_what_the_diagonal_says():
    some = paths(20, 100, 0)
    assert np.allclose(dwell_intervals(some, 3).estimate, 1 / (1 - np.diag(transition_matrix(some, 3))))
    long = paths(4, 30000, 1)
    whole = [one.mean() for one in dwell_times(long, 3)]
    assert whole == pytest.approx([10, 1 / 0.15, 10], rel=0.05)  # long recordings: hardly a visit is cut


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_intervals_cover_the_truth_about_as_often_as_they_say(level):
    hits: dict[str, list[np.ndarray]] = {"occupancy": [], "dwell": [], "transitions": []}
    truth = {"occupancy": stationary(), "dwell": 1 / (1 - np.diag(TRUTH)), "transitions": TRUTH}
    for seed in range(150):
        some = paths(25, 130, seed)
        found = {
            "occupancy": occupancy_intervals(some, 3, level, n_boot=400, seed=seed),
            "dwell": dwell_intervals(some, 3, level, n_boot=400, seed=seed),
            "transitions": transition_intervals(some, 3, level, n_boot=400, seed=seed),
        }
        for name, one in found.items():
            hits[name].append((one.low <= truth[name]) & (truth[name] <= one.high))
    for name, one in hits.items():
        assert level - 0.08 <= np.mean(one) <= level + 0.04, (name, np.mean(one))


def test_a_state_that_is_never_left_lasts_for_ever_and_one_never_seen_is_unknown():
    some = [np.zeros(10, int), np.zeros(10, int), np.array([0, 0, 0, 1, 0, 0])]
    dwell = dwell_intervals(some, 3, seed=0)
    assert dwell.estimate[1] == 1 and np.isnan(dwell.estimate[2]) and np.isinf(dwell.high[0])
    assert np.isfinite(dwell.low[0])
    assert np.isnan(transition_intervals(some, 3).estimate[2]).all()
    assert occupancy_intervals(some, 3).high[2] == 0


def test_one_subject_has_no_interval_and_the_same_seed_the_same():
    assert np.isnan(occupancy_intervals([PATH], 3).low).all()
    some = paths(8, 50, 0)
    first, again = (transition_intervals(some, 3, seed=5) for _ in range(2))
    assert np.array_equal(first.low, again.low) and np.array_equal(first.high, again.high)
    assert not np.array_equal(first.low, transition_intervals(some, 3, seed=6).low)


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="holds state 2, but there are 2"):
        occupancy([PATH], 2)
    with pytest.raises(ValueError, match="at least one path"):
        occupancy([], 2)
    with pytest.raises(ValueError, match="between 0 and 1"):
        occupancy_intervals([PATH], 3, 95)
