"""Non-negative sparse codes against scikit-learn, their optimality conditions and cases worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Lasso

from workbench.classical.sparse_codes import nonnegative_sparse_codes, relative_penalty


def problems(seed: int, n: int, n_atoms: int, n_features: int, alike: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    common = alike * rng.normal(size=(n, 1, n_features))
    dictionary = common + rng.normal(size=(n, n_atoms, n_features))
    dictionary /= np.linalg.norm(dictionary, axis=2, keepdims=True)
    return dictionary, common[:, 0] + rng.normal(size=(n, n_features))


@pytest.mark.parametrize(("n_atoms", "n_features", "alike"), [(12, 30, 0), (40, 15, 0), (60, 40, 2)])
def test_codes_equal_lasso(n_atoms: int, n_features: int, alike: float) -> None:
    dictionary, target = problems(1, 6, n_atoms, n_features, alike)
    eta = relative_penalty(dictionary, target, 0.05)
    codes = nonnegative_sparse_codes(dictionary, target, eta, n_iterations=5000, tolerance=1e-8)
    for d, f, e, code in zip(dictionary, target, eta, codes, strict=True):
        lasso = Lasso(alpha=e / n_features, positive=True, fit_intercept=False, max_iter=100_000, tol=1e-10)
        np.testing.assert_allclose(code, lasso.fit(d.T, f).coef_, atol=1e-4)
        assert (code > 0).any() and (code == 0).any()


def test_default_accuracy_leaves_votes_almost_as_they_are() -> None:
    dictionary, target = problems(2, 40, 100, 60, 4)
    eta = relative_penalty(dictionary, target, 0.01)
    exact = nonnegative_sparse_codes(dictionary, target, eta, n_iterations=5000, tolerance=1e-9)
    quick = nonnegative_sparse_codes(dictionary.astype(np.float32), target.astype(np.float32), eta)
    label = np.random.default_rng(0).random(100) > 0.5
    share = [(codes * label).sum(1) / codes.sum(1) for codes in (exact, quick)]
    assert np.abs(share[0] - share[1]).max() < 0.01


def test_one_atom_is_shrunk_by_eta() -> None:
    dictionary = np.array([[[2.0, 0.0]]])
    code = nonnegative_sparse_codes(dictionary, np.array([[3.0, 1.0]]), 0.5, tolerance=1e-10)
    assert code[0, 0] == pytest.approx((2 * 3 - 0.5) / 4)  # (d·f − eta) / d·d
    assert nonnegative_sparse_codes(dictionary, np.array([[-3.0, 1.0]]), 0.5)[0, 0] == 0


def test_ridge_pulls_to_the_center() -> None:
    dictionary, target = problems(3, 4, 20, 10)
    center = np.abs(np.random.default_rng(1).normal(size=(4, 20)))
    ridge = np.array([0.3, 1.0, 3.0, 1e6])
    codes = nonnegative_sparse_codes(
        dictionary, target, 0.1, ridge=ridge, center=center, n_iterations=5000, tolerance=1e-9
    )
    gradient = np.einsum("bkf,bf->bk", dictionary, np.einsum("bk,bkf->bf", codes, dictionary) - target)
    gradient += 0.1 + ridge[:, None] * (codes - center)
    assert np.abs(gradient[:3][codes[:3] > 1e-6]).max() < 1e-5
    assert gradient[:3][codes[:3] == 0].min() > -1e-5
    np.testing.assert_allclose(codes[3], center[3], atol=1e-4)


def test_places_without_an_atom_get_no_weight() -> None:
    dictionary, target = problems(4, 3, 10, 8)
    without = nonnegative_sparse_codes(dictionary, target, 0.2, tolerance=1e-9, n_iterations=3000)
    padded = np.concatenate([dictionary, np.zeros((3, 7, 8))], 1)
    codes = nonnegative_sparse_codes(padded, target, 0.2, tolerance=1e-9, n_iterations=3000)
    assert not codes[:, 10:].any()
    np.testing.assert_allclose(codes[:, :10], without, atol=1e-6)
    assert not nonnegative_sparse_codes(padded[:, 10:], target, 0.2).any()


def test_at_the_relative_penalty_of_one_the_code_is_zero() -> None:
    dictionary, target = problems(5, 5, 10, 8)
    largest = relative_penalty(dictionary, target, 1.0)
    assert nonnegative_sparse_codes(dictionary, target, 1.001 * largest, tolerance=1e-9).max() < 1e-6


def test_shapes_are_checked() -> None:
    with pytest.raises(ValueError, match="expected \\(B, K, F\\) and \\(B, F\\)"):
        nonnegative_sparse_codes(np.zeros((2, 3, 4)), np.zeros((2, 3)), 0.1)
    with pytest.raises(ValueError, match="eta must be positive"):
        nonnegative_sparse_codes(np.ones((2, 3, 4)), np.zeros((2, 4)), 0.0)
    assert nonnegative_sparse_codes(np.zeros((0, 3, 4)), np.zeros((0, 4)), 0.1).shape == (0, 3)
