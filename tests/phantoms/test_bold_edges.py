"""Planted edges: the covariances are the planned ones, and the best diagnosis is the computed one."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import solve_discrete_lyapunov
from scipy.stats import norm

from workbench.errors import SettingsError
from workbench.phantoms.bold_best import best_scores
from workbench.phantoms.bold_edges import (
    PERSISTENCE,
    SEVEREST,
    best_from_edges,
    draw_edge_series,
    draw_edges,
    draw_severity,
    planted_edges,
)
from workbench.phantoms.bold_networks import block_members


def test_only_planted_edges_move_and_by_the_effect_in_fishers_z() -> None:
    edges = draw_edges(0, block_members(60), 0.175)
    assert len(edges.pairs) == 40 and np.abs(edges.signs.sum()) == 0
    rows, columns = np.tril_indices(60, -1)
    moved = np.arctanh(edges.correlation(1)[rows, columns]) - np.arctanh(edges.base[rows, columns])
    expected = np.zeros((60, 60))
    expected[edges.pairs[:, 1], edges.pairs[:, 0]] = 0.175 * edges.signs
    np.testing.assert_allclose(moved, expected[rows, columns], atol=1e-12)


@pytest.mark.parametrize("n_regions", [16, 60, 116, 200])
def test_correlation_matrices_stay_valid_for_every_severity(n_regions: int) -> None:
    edges = draw_edges(1, block_members(n_regions), 0.175, 0.3)
    for severity in (-SEVEREST * 0.3, 0, 1, 1 + SEVEREST * 0.3):
        matrix = edges.correlation(severity)
        np.testing.assert_array_equal(matrix, matrix.T)
        np.testing.assert_allclose(np.diag(matrix), 1)
        assert np.linalg.eigvalsh(matrix).min() > 0.01
    assert np.bincount(edges.pairs.reshape(-1)).max() <= 2


def test_severities_stay_where_they_are_valid() -> None:
    edges = draw_edges(0, block_members(16), 0.1, 0.5)
    rng = np.random.default_rng(0)
    drawn = np.array([[draw_severity(rng, edges, p) for p in (False, True)] for _ in range(2000)])
    assert drawn.min() >= -1 and drawn.max() <= 2
    np.testing.assert_allclose(drawn.mean(axis=0), [0, 1], atol=0.04)


def test_the_autoregression_has_the_planned_covariance() -> None:
    edges = draw_edges(2, block_members(24), 0.175, 0.0)
    plan = edges.correlation(1)
    innovations = (1 - PERSISTENCE**2) * plan
    np.testing.assert_allclose(solve_discrete_lyapunov(PERSISTENCE * np.eye(24), innovations), plan, atol=1e-12)
    series = draw_edge_series(np.random.default_rng(0), edges, 1.0, 60_000)
    effective = 60_000 * (1 - PERSISTENCE**2) / (1 + PERSISTENCE**2)
    np.testing.assert_allclose(np.cov(series.T), plan, atol=5.5 * np.sqrt(2 / effective))
    z = np.arctanh(np.corrcoef(series.T)[np.tril_indices(24, -1)]) - np.arctanh(plan[np.tril_indices(24, -1)])
    assert z.std() * np.sqrt(effective) == pytest.approx(1, abs=0.15)  # Fisher: variance 1 / (T_eff - 3)
    lagged = series[:-1].T @ series[1:] / len(series)
    np.testing.assert_allclose(lagged, PERSISTENCE * plan, atol=0.04)


def test_the_first_volume_is_stationary_already() -> None:
    edges = draw_edges(0, block_members(16), 0.0, 0.0)
    first = np.stack([draw_edge_series(np.random.default_rng(i), edges, 0, 2) for i in range(4000)])
    np.testing.assert_allclose(first.var(axis=0), 1, atol=0.12)


def test_without_an_effect_nothing_can_be_told() -> None:
    edges = draw_edges(0, block_members(24), 0.0, 0.0)
    assert not edges.shift.any()
    assert best_from_edges(edges, 200) == {"accuracy": 0.5, "auc": 0.5}


def test_long_series_leave_the_spread_of_the_severity() -> None:
    edges = draw_edges(0, block_members(60), 0.175, 0.45)
    low, high = norm.cdf(-SEVEREST), norm.cdf(SEVEREST)
    expected = (norm.cdf(0.5 / 0.45) - low) / (high - low)
    assert best_from_edges(edges, 2_000, n_drawn=5_000)["accuracy"] == pytest.approx(expected, abs=0.02)


def test_the_computed_best_is_what_the_likelihood_ratio_of_real_series_reaches() -> None:
    edges = draw_edges(0, block_members(16), 0.1, 0.0)
    n_volumes, n = 60, 600
    inverses = [np.linalg.inv(edges.correlation(s)) for s in (0, 1)]
    constant = -n_volumes * (np.linalg.slogdet(edges.correlation(1))[1] - np.linalg.slogdet(edges.base)[1]) / 2
    ratios: list[list[float]] = [[], []]
    for i in range(2 * n):
        series = draw_edge_series(np.random.default_rng(i), edges, float(i % 2), n_volumes)
        innovation = np.vstack([series[:1], (series[1:] - PERSISTENCE * series[:-1]) / np.sqrt(1 - PERSISTENCE**2)])
        square = innovation.T @ innovation
        ratios[i % 2].append(constant - np.sum(square * (inverses[1] - inverses[0])) / 2)
    found = best_scores(np.array(ratios[0]), np.array(ratios[1]))
    expected = best_from_edges(edges, n_volumes)
    assert 0.6 < expected["accuracy"] < 0.95
    assert found["accuracy"] == pytest.approx(expected["accuracy"], abs=0.05)
    assert found["auc"] == pytest.approx(expected["auc"], abs=0.05)


def test_best_scores_count_ties_as_half() -> None:
    assert best_scores(np.array([-1.0, 0.0]), np.array([0.0, 2.0])) == {"accuracy": 0.75, "auc": 0.875}


def test_an_impossible_effect_is_said() -> None:
    with pytest.raises(SettingsError, match="no valid correlation matrix"):
        draw_edges(0, block_members(60), 1.0)


def test_subjects_of_the_benchmark_carry_their_edges() -> None:
    planted = planted_edges(40, seed=1, n_volumes=400, n_regions=30, spread=0.0)
    assert planted.values.shape == (40, 400, 30) and planted.target.sum() == 20
    z = np.stack([np.arctanh(np.corrcoef(x.T) - np.eye(30)) for x in planted.values])
    a, b = planted.edges.pairs.T
    difference = (z[planted.target == 1] - z[planted.target == 0]).mean(axis=0)
    np.testing.assert_allclose(difference[a, b], 0.175 * planted.edges.signs, atol=0.09)
