"""Hidden states: what classes share, what they differ in, and how well anybody can tell."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from workbench.phantoms.bold_networks import block_members
from workbench.phantoms.bold_states import (
    RESTLESS,
    STATE_SD,
    STAY,
    _log_likelihood,
    best_from_states,
    draw_latents,
    draw_states,
    planted_states,
    stationary_law,
    wandering_share,
)

MEMBERS = block_members(24)


def test_persistence_leaves_the_stationary_law_as_it_is_and_pattern_the_dynamics() -> None:
    states = draw_states(0, MEMBERS, "persistence", "tanh")
    for chain, stay in zip(states.transitions, (STAY, RESTLESS), strict=True):
        law = stationary_law(chain)
        np.testing.assert_allclose(law @ chain, law, atol=1e-12)
        np.testing.assert_allclose(law, 1 / 3, atol=1e-12)
        np.testing.assert_allclose(np.diag(chain), stay)
    np.testing.assert_array_equal(states.means[0], states.means[1])
    moved = draw_states(0, MEMBERS, "pattern", "tanh")
    np.testing.assert_array_equal(moved.transitions[0], moved.transitions[1])
    assert np.abs(moved.means[0] - moved.means[1]).max() == 1


def test_the_stationary_law_of_a_lopsided_chain() -> None:
    np.testing.assert_allclose(stationary_law(np.array([[0.9, 0.1], [0.3, 0.7]])), [0.75, 0.25])


@pytest.mark.parametrize("is_patient", [False, True])
def test_paths_move_as_the_chain_says(is_patient: bool) -> None:
    states = draw_states(0, MEMBERS, "persistence", "tanh")
    path, latents = draw_latents(np.random.default_rng(0), states, is_patient, 60_000)
    counts = np.zeros((3, 3))
    np.add.at(counts, (path[:-1], path[1:]), 1)
    found = counts / counts.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found, states.transitions[int(is_patient)], atol=0.012)
    for k in range(3):
        np.testing.assert_allclose(latents[path == k].mean(axis=0), states.means[0, k], atol=0.03)
        np.testing.assert_allclose(np.cov(latents[path == k].T), STATE_SD**2 * np.eye(2), atol=0.03)


@pytest.mark.parametrize("manifold", ["tanh", "ring", "linear"])
def test_pooled_volumes_of_persistence_classes_have_one_law(manifold: str) -> None:
    states = draw_states(0, MEMBERS, "persistence", manifold)
    covariances = []
    for is_patient in (False, True):
        points = [draw_latents(np.random.default_rng([7, i]), states, is_patient, 4000)[1] for i in range(8)]
        covariances.append(np.cov(states.mix(np.concatenate(points)).T))
    gap = np.abs(covariances[0] - covariances[1]).max()
    moved = draw_states(0, MEMBERS, "pattern", manifold)
    other = np.cov(moved.mix(draw_latents(np.random.default_rng(7), moved, True, 32_000)[1]).T)
    assert gap < 0.12 < np.abs(covariances[0] - other).max()


def test_single_volumes_tell_patterns_apart_and_persistence_not() -> None:
    accuracies = {}
    for differ in ("persistence", "pattern"):
        planted = planted_states(240, seed=1, n_regions=24, differ=differ)
        moments = np.stack([(x.T @ x / len(x))[np.tril_indices(24)] for x in planted.values])
        learn, held = np.arange(240) < 120, np.arange(240) >= 120
        model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(moments[learn], planted.target[learn])
        accuracies[differ] = model.score(moments[held], planted.target[held])
    assert abs(accuracies["persistence"] - 0.5) < 0.15 and accuracies["pattern"] > 0.8


def test_the_covariance_about_a_runs_own_mean_loses_what_its_mean_wanders() -> None:
    planted = planted_states(600, seed=0, n_volumes=130, n_regions=16, noise=0.0)
    for is_patient, stay in enumerate((STAY, RESTLESS)):
        points = planted.latents[planted.target == is_patient].astype(float)
        found = np.mean([np.cov(x.T, bias=True) for x in points], axis=0)
        between = np.cov(planted.states.means[0].T, bias=True)
        own = STATE_SD**2 * (1 - 1 / 130) * np.eye(2)
        np.testing.assert_allclose(found, between * (1 - wandering_share(stay, 130)) + own, atol=0.03)
    assert wandering_share(STAY, 130) > 4 * wandering_share(RESTLESS, 130) > 20 * wandering_share(STAY, 130_000)


def test_the_likelihood_sums_over_all_paths() -> None:
    states = draw_states(0, MEMBERS, "persistence", "tanh")
    points = draw_latents(np.random.default_rng(0), states, True, 4)[1]
    ratios = []
    for which in (0, 1):
        total = 0.0
        for path in product(range(3), repeat=4):
            chance = 1 / 3
            for before, after in pairwise(path):
                chance *= states.transitions[which, before, after]
            for k, point in zip(path, points, strict=True):
                chance *= multivariate_normal.pdf(point, states.means[which, k], STATE_SD**2)
            total += chance
        ratios.append(np.log(total))
    found = [_log_likelihood(states, which, points[None])[0] for which in (0, 1)]
    assert found[1] - found[0] == pytest.approx(ratios[1] - ratios[0], abs=1e-10)


def test_the_likelihood_ratio_tells_classes_apart_and_not_without_an_effect() -> None:
    best = best_from_states(draw_states(0, MEMBERS, "persistence", "tanh"), 130)
    assert best["accuracy"] > 0.96
    null = best_from_states(draw_states(0, MEMBERS, "persistence", "tanh", effect=0), 130)
    assert null == {"accuracy": 0.5, "auc": 0.5}


def test_a_ring_is_curved_where_a_linear_mixing_is_flat() -> None:
    shares = {}
    for manifold in ("linear", "tanh", "ring"):
        states = draw_states(0, MEMBERS, "persistence", manifold)
        mixed = states.mix(draw_latents(np.random.default_rng(0), states, False, 4000)[1])
        np.testing.assert_allclose(mixed.std(axis=0), 1, atol=0.25)
        power = np.linalg.eigvalsh(np.cov(mixed.T))[::-1]
        shares[manifold] = power[:2].sum() / power.sum()
    assert shares["linear"] == pytest.approx(1)
    assert shares["ring"] < shares["tanh"] < 0.99


def test_subjects_are_mixed_points_and_noise() -> None:
    planted = planted_states(4, seed=2, n_volumes=500, n_regions=24, noise=0.5)
    mixed = planted.states.mix(planted.latents[1].astype(float))
    assert (planted.values[1] - mixed).std() == pytest.approx(0.5, rel=0.05)
    assert planted.paths.shape == (4, 500) and planted.target.tolist() == [0, 1, 0, 1]
