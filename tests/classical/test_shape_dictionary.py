"""Sparse shape composition: similarities are recovered, the objective falls, gross errors are repaired."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from sklearn.linear_model import Lasso

from workbench.classical.shape_dictionary import (
    CompositionSettings,
    ShapeDictionary,
    Similarity,
    aligned_dictionary,
    composed,
    fitted_similarity,
    robust_similarity,
)
from workbench.classical.surfaces import marched


def ball() -> tuple[np.ndarray, np.ndarray]:
    grid = np.indices((15, 15, 15)) - 7.0
    mesh = marched(5.5 - np.sqrt(np.square(grid).sum(0)), np.eye(4), level=0)
    vertices = mesh.vertices - mesh.vertices.mean(0)
    return vertices / np.linalg.norm(vertices, axis=1, keepdims=True), mesh.faces


def shapes(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Bent, tapered ellipsoids of some 20 mm radius, each in its own pose."""
    sphere, faces = ball()
    rng, found = np.random.default_rng(seed), []
    for _ in range(n):
        x = sphere * [20, 17, 18] * np.exp(0.1 * rng.normal(size=3))
        x[:, 2] += 0.006 * rng.normal() * x[:, 0] ** 2
        x[:, 1] *= 1 + 0.1 * rng.normal() * x[:, 2] / 16
        turn = Rotation.from_rotvec(0.1 * rng.normal(size=3)).as_matrix()
        found.append(x @ turn.T * np.exp(0.1 * rng.normal()) + 10 * rng.normal(size=3))
    return np.stack(found), faces


@pytest.fixture(scope="module")
def dictionary() -> ShapeDictionary:
    return aligned_dictionary(*shapes(15))


def rms(difference: np.ndarray) -> float:
    return float(np.sqrt(np.square(difference).sum(1).mean()))


def pose(seed: int) -> Similarity:
    rng = np.random.default_rng(seed)
    return Similarity(float(np.exp(0.2 * rng.normal())), Rotation.random(rng=rng).as_matrix(), 30 * rng.normal(size=3))


@pytest.mark.parametrize("seed", range(3))
def test_a_known_similarity_is_recovered(seed: int) -> None:
    points, known = np.random.default_rng(seed).normal(size=(20, 3)), pose(seed)
    found = fitted_similarity(points, known.apply(points), np.random.default_rng(9).random(20))
    for name in Similarity._fields:
        np.testing.assert_allclose(getattr(found, name), getattr(known, name), atol=1e-10)
    np.testing.assert_allclose(found.inverse().apply(found.apply(points)), points, atol=1e-10)


def test_a_similarity_never_mirrors() -> None:
    points = np.random.default_rng(0).normal(size=(30, 3))
    found = fitted_similarity(points, points * (-1, 1, 1))
    assert np.linalg.det(found.rotation) == pytest.approx(1)
    turned, _ = Rotation.align_vectors(points * (-1, 1, 1) - (points * (-1, 1, 1)).mean(0), points - points.mean(0))
    np.testing.assert_allclose(found.rotation, turned.as_matrix(), atol=1e-8)


def test_robust_similarity_is_not_moved_by_a_third_of_wild_points() -> None:
    rng = np.random.default_rng(1)
    points, known = rng.normal(size=(90, 3)), pose(1)
    target = known.apply(points)
    target[:30] += 20 * rng.normal(size=(30, 3))
    weights = np.ones(90)
    robust = np.abs(robust_similarity(points, target, weights).apply(points) - known.apply(points)).max()
    plain = np.abs(fitted_similarity(points, target).apply(points) - known.apply(points)).max()
    assert robust < 0.3 < 1 < plain


def test_alignment_takes_pose_away_and_keeps_size_and_orientation() -> None:
    base, faces = shapes(1)
    copies = np.stack([pose(s)._replace(rotation=np.eye(3)).apply(base[0]) for s in range(4)])
    found = aligned_dictionary(copies, faces)
    assert np.abs(found.atoms).max() < 1e-8
    size = np.mean([np.linalg.norm(c - c.mean(0)) for c in copies])
    np.testing.assert_allclose(
        found.mean, (base[0] - base[0].mean(0)) * size / np.linalg.norm(base[0] - base[0].mean(0))
    )


@pytest.mark.parametrize("seed", range(4))
def test_a_training_shape_with_a_fifth_of_gross_errors_is_repaired(dictionary: ShapeDictionary, seed: int) -> None:
    rng = np.random.default_rng(seed)
    known = pose(seed)
    clean = known.apply(dictionary.mean + dictionary.atoms[seed])
    wrong, surface = rng.random(len(clean)) < 0.2, clean.copy()
    surface[wrong] += known.scale * 10 * rng.normal(size=(wrong.sum(), 3))
    found = composed(surface, dictionary)
    assert rms(found.vertices - clean) < 0.1 * known.scale
    assert rms(fitted_similarity(dictionary.mean, surface).apply(dictionary.mean) - clean) > 0.5 * known.scale
    assert found.trust[~wrong].min() > 0.9 and np.median(found.trust[wrong]) < 0.01


@pytest.mark.parametrize("seed", range(3))
def test_a_bite_out_of_one_side_is_repaired_where_the_convex_problem_alone_gives_way(
    dictionary: ShapeDictionary, seed: int
) -> None:
    clean = dictionary.mean + dictionary.atoms[seed]
    outward = clean / np.linalg.norm(clean, axis=1, keepdims=True)
    side = np.random.default_rng(seed).normal(size=3)
    surface = clean - 5 * outward * (outward @ side > 0.4 * np.linalg.norm(side))[:, None]
    convex = composed(surface, dictionary, settings=CompositionSettings(n_refits=0))
    assert rms(composed(surface, dictionary).vertices - clean) < 0.15 < rms(convex.vertices - clean)


def test_the_objective_never_rises(dictionary: ShapeDictionary) -> None:
    surface = shapes(1, seed=5)[0][0] + np.random.default_rng(0).normal(size=dictionary.mean.shape)
    found = composed(surface, dictionary, settings=CompositionSettings(l1=0.001, l2=1.0))
    assert len(found.objective) > 2 and np.diff(found.objective).max() <= 1e-9


def test_without_errors_the_code_is_the_lasso(dictionary: ShapeDictionary) -> None:
    surface = dictionary.mean + 0.6 * dictionary.atoms[2] - 0.4 * dictionary.atoms[7]
    found = composed(surface, dictionary, settings=CompositionSettings(l1=0.05, l2=1e3, n_refits=0, tolerance=1e-9))
    residual = (found.similarity.apply(surface) - dictionary.mean).ravel()
    atoms = dictionary.atoms.reshape(15, -1).T
    # scikit-learn minimizes 1 / (2 n) ‖r − D s‖² + alpha ‖s‖₁ with n = 3 V
    lasso = Lasso(alpha=0.05 / 6, fit_intercept=False, tol=1e-8, max_iter=100_000).fit(atoms, residual)

    def price(code: np.ndarray) -> float:
        return float(np.square(residual - atoms @ code).sum() / len(dictionary.mean) + 0.05 * np.abs(code).sum())

    assert price(found.code) < 1.01 * price(lasso.coef_) < 0.3 * price(np.zeros(15))
    assert (found.code == 0).any()
    assert not found.errors.any()


def test_vertices_without_weight_have_no_say(dictionary: ShapeDictionary) -> None:
    clean = dictionary.mean + dictionary.atoms[1]
    weights = (np.arange(len(clean)) % 2).astype(float)
    surface = clean + 50 * (1 - weights)[:, None]
    found = composed(surface, dictionary, weights=weights, settings=CompositionSettings(n_refits=0))
    assert rms(found.vertices - clean) < 0.2


def test_mistakes_are_told(dictionary: ShapeDictionary) -> None:
    with pytest.raises(ValueError, match="like the dictionary's"):
        composed(dictionary.mean[:-1], dictionary)
    with pytest.raises(ValueError, match="not all 0"):
        composed(dictionary.mean, dictionary, weights=np.zeros(len(dictionary.mean)))
    with pytest.raises(ValueError, match="l2 positive"):
        CompositionSettings(l2=0)
