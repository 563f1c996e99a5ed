"""Connectivity: nilearn's numbers and order, the variance of Fisher's z, and a scaling that knows training alone."""

from __future__ import annotations

import numpy as np
import pytest
from nilearn.connectome import ConnectivityMeasure, sym_matrix_to_vec, vec_to_sym_matrix
from scipy.signal import lfilter
from sklearn.covariance import EmpiricalCovariance, LedoitWolf

from workbench.classical.connectivity import (
    EdgeScaling,
    connectivity,
    connectivity_vectors,
    edge_names,
    edge_pairs,
    effective_length,
    fisher_z,
    inverse_fisher_z,
    n_regions_of,
    to_matrix,
    vectorize,
)
from workbench.errors import CohortError, SettingsError


def signals(n_volumes: int = 120, n_regions: int = 12, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(n_regions, n_regions)) * rng.uniform(0.1, 30, n_regions)
    return rng.normal(size=(n_volumes, n_regions)) @ mixing + 100


def autoregressive(phi: float, n_volumes: int, n_regions: int, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(n_volumes + 200, n_regions))
    return lfilter([1], [1, -phi], noise, axis=0)[200:]


@pytest.mark.parametrize(
    ("kind", "nilearn_kind", "estimator"),
    [
        ("correlation", "correlation", EmpiricalCovariance()),
        ("shrunk", "correlation", LedoitWolf()),
        ("partial", "partial correlation", EmpiricalCovariance()),
        ("shrunk partial", "partial correlation", LedoitWolf()),
        ("covariance", "covariance", EmpiricalCovariance()),
    ],
)
def test_agrees_with_nilearn(kind, nilearn_kind, estimator):
    x = signals()
    # nilearn z-scores for a correlation only; ours always looks at z-scores, which matters where there is shrinkage
    seen = (x - x.mean(0)) / x.std(0, ddof=1) if kind == "shrunk partial" else x
    peer = ConnectivityMeasure(kind=nilearn_kind, cov_estimator=estimator).fit_transform([seen])[0]
    assert np.allclose(connectivity(x, kind), peer, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("kind", ["correlation", "shrunk", "partial", "shrunk partial", "sparse"])
def test_units_and_offsets_of_a_region_do_not_matter(kind):
    x = signals(n_regions=6)
    again = connectivity(x * np.array([1, 10, 0.1, 3, 5, 7]) - 5, kind)
    assert np.allclose(connectivity(x, kind), again, atol=1e-6)
    assert (np.diag(again) == 1).all() and (again == again.T).all() and np.abs(again).max() <= 1


def test_a_chain_has_correlations_but_no_partial_ones_between_its_ends():
    rng = np.random.default_rng(1)
    a = rng.normal(size=4000)
    b = a + 0.7 * rng.normal(size=4000)
    c = b + 0.7 * rng.normal(size=4000)
    x = np.stack([a, b, c, rng.normal(size=4000)], 1)
    assert connectivity(x)[0, 2] > 0.6
    for kind in ("partial", "sparse"):
        matrix = connectivity(x, kind)
        assert abs(matrix[0, 2]) < 0.06 and matrix[0, 1] > 0.4 and abs(matrix[3, :3]).max() < 0.06


def test_shrinkage_draws_towards_no_correlation():
    x = signals(n_volumes=20)
    assert np.abs(vectorize(connectivity(x, "shrunk"))).sum() < np.abs(vectorize(connectivity(x))).sum()


@pytest.mark.parametrize("n", [2, 3, 12, 116])
def test_vectors_and_matrices_are_nilearns_and_round_trip(n):
    matrix = connectivity(signals(n_regions=n))
    vector = vectorize(matrix)
    assert np.array_equal(vector, sym_matrix_to_vec(matrix, discard_diagonal=True))
    assert np.allclose(to_matrix(vector, 1.0), vec_to_sym_matrix(vector, diagonal=np.full(n, 0.5**0.5)), atol=1e-15)
    assert np.array_equal(to_matrix(vector, 1.0), matrix)
    assert np.array_equal(matrix[tuple(edge_pairs(n).T)], vector)
    assert n_regions_of(len(vector)) == n


def test_edges_come_row_by_row():
    assert edge_pairs(4).tolist() == [[1, 0], [2, 0], [2, 1], [3, 0], [3, 1], [3, 2]]
    assert edge_names(["a", "b", "c"]) == ("b – a", "c – a", "c – b")
    with pytest.raises(ValueError, match="not a number of edges"):
        to_matrix(np.zeros(4))


def test_fisher_z_undoes_itself_and_stays_finite():
    r = np.linspace(-0.99, 0.99, 41)
    assert np.allclose(inverse_fisher_z(fisher_z(r)), r, atol=1e-14)
    assert np.isfinite(fisher_z(np.array([-1, 1, 1.0000001]))).all()


@pytest.mark.parametrize("phi", [0.0, 0.5, 0.8])
def test_variance_of_z_is_that_of_the_effective_length(phi):
    n_volumes, z, lengths = 400, [], []
    for seed in range(60):
        x = autoregressive(phi, n_volumes, 16, seed)
        z.append(fisher_z(vectorize(connectivity(x))))
        lengths.append(effective_length(x))
    theory = n_volumes * (1 - phi**2) / (1 + phi**2)  # Bartlett for two AR(1) of one phi
    assert np.mean(lengths) == pytest.approx(theory, rel=0.1)
    assert np.var(z) == pytest.approx(1 / (np.mean(lengths) - 3), rel=0.1)


def test_known_correlation_of_autoregressive_signals_is_found():
    truth = np.array([[1, 0.6, 0.2], [0.6, 1, -0.3], [0.2, -0.3, 1]])
    errors = []
    for seed in range(10):
        x = autoregressive(0.3, 2000, 3, seed) @ np.linalg.cholesky(truth).T
        errors.append(np.abs(fisher_z(vectorize(connectivity(x))) - fisher_z(vectorize(truth))).mean())
    assert np.mean(errors) < 0.05


def test_vectors_of_many_subjects_are_those_of_each():
    series = [signals(100 + 10 * i, 5, i) for i in range(3)]
    edges = connectivity_vectors(series)
    assert edges.dtype == np.float32 and edges.shape == (3, 10)
    assert np.allclose(edges[1], fisher_z(vectorize(connectivity(series[1]))), atol=1e-6)
    assert np.allclose(np.tanh(edges), connectivity_vectors(series, fisher=False), atol=1e-6)


def test_scaling_knows_the_training_subjects_alone():
    rng = np.random.default_rng(0)
    train, test = rng.normal(3, 2, (30, 6)), rng.normal(-1, 5, (10, 6))
    train[:, 4] = 0.25
    scaling = EdgeScaling.learn(train)
    scaled = scaling.apply(train)
    varying = [0, 1, 2, 3, 5]
    assert np.allclose(scaled[:, varying].mean(0), 0) and np.allclose(scaled[:, varying].std(0, ddof=1), 1)
    assert scaling.constant == (4,) and (scaled[:, 4] == 0).all() and (scaling.apply(test)[:, 4] == 0).all()
    expected = (test[0, 0] - train[:, 0].mean()) / train[:, 0].std(ddof=1)
    for others in (test, test[:1], np.vstack([test[:1], 1e6 * test])):  # what else is scaled along does not matter
        assert scaling.apply(others)[0, 0] == pytest.approx(expected)


def test_scaling_keeps_float32_and_is_saved_whole():
    x = np.random.default_rng(0).normal(size=(9, 5)).astype(np.float32)
    x[:, 2] = np.float32(0.1)
    scaling = EdgeScaling.learn(x)
    again = EdgeScaling.from_arrays(scaling.to_arrays())
    assert scaling.constant == again.constant == (2,)
    assert scaling.apply(x).dtype == np.float32 and np.array_equal(again.apply(x), scaling.apply(x))


def test_what_cannot_be_connected_is_said():
    x = signals(n_regions=4)
    with pytest.raises(SettingsError, match="no connectivity 'tau'"):
        connectivity(x, "tau")
    flat, missing = x.copy(), x.copy()
    flat[:, [1, 3]] = 7.1
    missing[3, 2] = np.nan
    with pytest.raises(CohortError, match="Regions number 2, 4 are constant"):
        connectivity(flat)
    with pytest.raises(CohortError, match="Region number 3 is without a number"):
        connectivity(missing)
    with pytest.raises(CohortError, match="at least 3 volumes; there are 2"):
        connectivity(x[:2])
    with pytest.raises(CohortError, match="need more than 4 volumes, but there are 4"):
        connectivity(x[:4], "partial")
    with pytest.raises(CohortError, match="Subject number 2: Region number 3"):
        connectivity_vectors([x, missing])
    with pytest.raises(CohortError, match=r"numbers are \[3, 4\]"):
        connectivity_vectors([x, x[:, :3]])
    with pytest.raises(SettingsError, match="for correlations"):
        connectivity_vectors([x], "covariance")


def test_what_cannot_be_scaled_is_said():
    with pytest.raises(CohortError, match="at least 2 training subjects; there are 1"):
        EdgeScaling.learn(np.zeros((1, 3)))
    x = np.ones((4, 3))
    x[2, 1] = np.nan
    with pytest.raises(CohortError, match="subject number 3 has no number at edge 1"):
        EdgeScaling.learn(x)
