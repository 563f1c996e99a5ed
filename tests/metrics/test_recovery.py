"""Recovery: the same for every order and sign, and by hand where one can draw it."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from workbench.metrics.recovery import dice_networks, edge_hits, match, match_states, mean_matched


def test_matching_undoes_order_sign_and_scale():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(5, 40))
    order, sign = rng.permutation(5), rng.choice([-1, 1], 5)
    found = 3 * (truth * sign[:, None])[order] + 7
    matching = match(found, truth)
    assert np.allclose(matching.correlation, 1) and np.array_equal(matching.sign, sign)
    assert [order[a] for a, _ in matching.pairs] == [b for _, b in matching.pairs] == list(range(5))


def test_no_assignment_is_better():
    rng = np.random.default_rng(1)
    found, truth = rng.normal(size=(4, 12)), rng.normal(size=(4, 12))
    r = np.abs(np.corrcoef(found, truth)[:4, 4:])
    best = max(sum(r[p[j], j] for j in range(4)) for p in permutations(range(4)))
    assert match(found, truth).correlation.sum() == pytest.approx(best)


def test_more_found_than_planted_cannot_hurt_and_fewer_leave_some_at_nothing():
    rng = np.random.default_rng(2)
    truth = rng.normal(size=(4, 30))
    assert mean_matched(np.vstack([rng.normal(size=(3, 30)), truth]), truth) == pytest.approx(1)
    few = match(truth[[2, 0]], truth)
    assert few.pairs.tolist() == [[1, 0], [0, 2]]
    assert np.allclose(few.correlation, [1, 0, 1, 0])


def test_a_dead_unit_matches_nothing():
    truth = np.random.default_rng(0).normal(size=(2, 20))
    assert np.allclose(match(np.stack([np.full(20, 0.1), truth[0]]), truth).correlation, [1, 0])


def test_states_up_to_their_names():
    truth = np.array([0, 0, 1, 1, 2, 2, 2])
    match_all = match_states(np.array([2, 1, 0])[truth], truth)
    assert match_all.accuracy == 1 and match_all.permutation.tolist() == [2, 1, 0]
    assert match_states(np.array([1, 1, 0, 0, 0, 2, 2]), truth).accuracy == pytest.approx(6 / 7)
    one_too_many = match_states(np.array([0, 3, 1, 1, 2, 2, 2]), truth)
    assert one_too_many.accuracy == pytest.approx(6 / 7) and sorted(one_too_many.permutation) == [-1, 0, 1, 2]
    assert match_states(np.zeros(7, int), truth).accuracy == pytest.approx(3 / 7)


def test_networks_by_hand():
    networks = ["visual", "visual", "default", "default", "default", ""]
    weights = np.array([[3, -2, 0.1, 0, 0, 0.2], [0, 0.5, -1, 1, 1, 0], [0, 0, 0, 0, 0, 2.0]])
    found = dice_networks(weights, networks, top=3)
    assert found.names == ("visual", "default")
    assert np.allclose(found.dice[0], [4 / 5, 0]) and np.allclose(found.dice[1], [0, 1])
    assert found.best[:2].tolist() == [0, 1]
    assert np.allclose(found.purity, [2 / 3, 1, 0])  # the last unit's only region is of no network


def test_planted_edges_among_the_strongest():
    scores = np.array([0.1, -5, 3, 0.2, 4])
    planted = np.array([False, True, False, True, True])
    assert edge_hits(scores, planted) == pytest.approx(2 / 3)  # 1, 4 and, wrongly, 2 are the three strongest
    assert edge_hits(scores, planted, top=4) == 1
    assert edge_hits(scores, planted, top=1) == pytest.approx(1 / 3)


def test_mistakes_are_named():
    with pytest.raises(ValueError, match=r"expected maps \(K1, R\)"):
        match(np.zeros((2, 3)), np.zeros((2, 4)))
    with pytest.raises(ValueError, match="two paths of one length"):
        match_states(np.zeros(3, int), np.zeros(4, int))
    with pytest.raises(ValueError, match="a planted edge"):
        edge_hits(np.zeros(3), np.zeros(3, bool))
    with pytest.raises(ValueError, match="a named network"):
        dice_networks(np.zeros((1, 2)), ["", ""], top=1)
