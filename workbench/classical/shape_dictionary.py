"""Sparse shape composition: a surface as the mean shape, a few training shapes and a few gross errors.

Zhang et al. (Medical Image Analysis 2012), the shape prior of Reference 90 (Guo, Gao & Shen, IEEE TMI 2016; review
Section 3.1). For a surface y whose vertices correspond to those of the training shapes,

    min_{T, s, e}  1/W Σ_v w_v ( ‖T(y) − m − D s − e‖²_v + l2 ‖e_v‖₁ ) + l1 ‖s‖₁,   W = Σ_v w_v

T is a similarity, m the mean of the aligned training shapes and the columns of D are their deviations from it.
*Departs from Zhang et al. in* coding deviations: with whole shapes in D, a T that shrinks y to a point would cost
nothing. Dividing by the number of vertices makes l1 and l2 mean the same for every mesh, and weights let vertices that
saw nothing abstain.

Solved in turn for e = soft(residual, l2 / 2), for s, a lasso of as many unknowns as there are training shapes (FISTA
on its Gram matrix), and for T in closed form (Umeyama, IEEE PAMI 1991). No step raises the objective. It is not convex
in T, whose start is a robust fit to the mean that counts far vertices less.

The price of an error grows with its size, so many gross errors on one side still pull the shape by a millimeter or two.
Therefore (ours; ``n_refits`` = 0 leaves it out) the problem is solved again with w_v (c² / (c² + r_v²))² for r_v the
vertex's distance from the composed shape, c falling to l2 / 2: graduated non-convexity (Black & Rangarajan, IJCV 1996).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

N_ROUNDS = 200
N_STEPS = 50  # of the lasso in each round, from where the last round left it


class Similarity(NamedTuple):
    """x ↦ scale · R x + t.

    Attributes:
        scale: positive.
        rotation: (3, 3), determinant 1.
        translation: (3,) mm.
    """

    scale: float
    rotation: np.ndarray
    translation: np.ndarray

    def apply(self, points: np.ndarray) -> np.ndarray:
        """Map points (n, 3)."""
        return self.scale * points @ self.rotation.T + self.translation

    def inverse(self) -> Similarity:
        """Give the map back."""
        back = self.rotation.T
        return Similarity(1 / self.scale, back, -(back @ self.translation) / self.scale)


@dataclass(frozen=True)
class CompositionSettings:
    """What a composition costs.

    Attributes:
        l1: the price of weight in the code, mm².
        l2: the price of an error, mm; deviations of a coordinate above l2 / 2 mm count as gross.
        n_refits: how often the problem is solved again with less trust in vertices far from the composed shape.
        tolerance: the fall of the objective, as a fraction of it, at which a solution is done.
    """

    l1: float = 0.02
    l2: float = 2.0
    n_refits: int = 6
    tolerance: float = 1e-4

    def __post_init__(self) -> None:
        if self.l1 < 0 or self.l2 <= 0 or self.n_refits < 0:
            raise ValueError("l1 and n_refits must be at least 0 and l2 positive")


@dataclass(frozen=True)
class ShapeDictionary:
    """Training shapes, aligned.

    Attributes:
        mean: (V, 3) mm about 0.
        atoms: (n, V, 3) mm, deviations of the aligned shapes from the mean.
        faces: (F, 3) int.
    """

    mean: np.ndarray
    atoms: np.ndarray
    faces: np.ndarray


@dataclass(frozen=True)
class Composition:
    """A surface explained by a dictionary.

    Attributes:
        vertices: (V, 3) mm, T⁻¹(m + D s), in the frame of the given surface.
        code: (n,) s.
        errors: (V, 3) mm, e in the dictionary's frame.
        trust: (V,) 1 for vertices within l2 / 2 of the composed shape, toward 0 for gross errors.
        similarity: T, from the surface's frame to the dictionary's.
        objective: its value after each round of the convex steps, before vertices are weighed anew.
    """

    vertices: np.ndarray
    code: np.ndarray
    errors: np.ndarray
    trust: np.ndarray
    similarity: Similarity
    objective: tuple[float, ...]


def fitted_similarity(source: np.ndarray, target: np.ndarray, weights: np.ndarray | None = None) -> Similarity:
    """Give the similarity that brings source points (n, 3) nearest to target points, by weighted least squares."""
    w = np.full(len(source), 1 / len(source)) if weights is None else weights / weights.sum()
    center, goal = w @ source, w @ target
    a, b = source - center, target - goal
    u, singular, vt = np.linalg.svd((b * w[:, None]).T @ a)
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = (u * sign) @ vt
    scale = float((singular * sign).sum() / max(w @ np.square(a).sum(1), 1e-30))
    return Similarity(scale, rotation, goal - scale * rotation @ center)


def robust_similarity(source: np.ndarray, target: np.ndarray, weights: np.ndarray, n_rounds: int = 30) -> Similarity:
    """Give the similarity of least summed distance, not squared: by least squares whose weights fall with distance."""
    found = fitted_similarity(source, target, weights)
    floor = 1e-3 * float(np.std(target))
    for _ in range(n_rounds):
        far = np.linalg.norm(found.apply(source) - target, axis=1)
        found = fitted_similarity(source, target, weights / np.maximum(far, floor))
    return found


def aligned_dictionary(shapes: np.ndarray, faces: np.ndarray, *, n_rounds: int = 10) -> ShapeDictionary:
    """Align corresponding shapes (n, V, 3) in mm by similarities to their mean, again and again (Procrustes).

    The mean keeps the training shapes' average orientation and size, so it is upright where they are.
    """
    if shapes.ndim != 3 or shapes.shape[2] != 3 or not len(shapes):
        raise ValueError(f"expected shapes (n, V, 3), at least 1; got {shapes.shape}")
    centered = shapes - shapes.mean(1, keepdims=True)
    size = float(np.sqrt(np.square(centered).sum((1, 2))).mean())
    mean = centered.mean(0)
    for _ in range(n_rounds):
        mean *= size / np.linalg.norm(mean)
        aligned = np.stack([fitted_similarity(shape, mean).apply(shape) for shape in centered])
        mean = aligned.mean(0) - aligned.mean((0, 1))
    return ShapeDictionary(mean, aligned - mean, np.asarray(faces))


def composed(
    surface: np.ndarray,
    dictionary: ShapeDictionary,
    *,
    settings: CompositionSettings | None = None,
    weights: np.ndarray | None = None,
    start: Composition | None = None,
) -> Composition:
    """Explain a surface by a dictionary.

    Args:
        surface: (V, 3) mm, in correspondence with the dictionary, anywhere in space.
        dictionary: aligned training shapes.
        settings: prices of weight and of errors.
        weights: (V,) how much each vertex counts, at least 0.
        start: an earlier composition of nearly the same surface; saves time.
    """
    settings = settings or CompositionSettings()
    if surface.shape != dictionary.mean.shape:
        raise ValueError(f"expected a surface {dictionary.mean.shape} like the dictionary's, got {surface.shape}")
    w = np.ones(len(surface)) if weights is None else np.asarray(weights, float)
    if w.sum() <= 0 or w.min() < 0:
        raise ValueError("weights must be at least 0 and not all 0")
    state = (
        (start.similarity, start.code)
        if start
        else (robust_similarity(surface, dictionary.mean, w), np.zeros(len(dictionary.atoms)))
    )
    found = first = _alternated(surface, dictionary, w, state, settings)
    far = _far(found, surface)
    knee = settings.l2 / 2
    for width in np.geomspace(max(float(far.max()) / 2, knee), knee, settings.n_refits):
        trust = (width**2 / (width**2 + far**2)) ** 2
        found = _alternated(surface, dictionary, w * trust, (found.similarity, found.code), settings)
        far = _far(found, surface)
    trust = np.where(far <= knee, 1.0, (knee / np.maximum(far, knee)) ** 4)
    return replace(found, trust=trust, objective=first.objective)


def _alternated(
    surface: np.ndarray,
    dictionary: ShapeDictionary,
    weights: np.ndarray,
    state: tuple[Similarity, np.ndarray],
    settings: CompositionSettings,
) -> Composition:
    """Solve for e, s and T in turn, from a given T and s."""
    (similarity, code), l1, l2 = state, settings.l1, settings.l2
    w = weights / weights.sum()
    atoms = dictionary.atoms.reshape(len(dictionary.atoms), -1)  # (n, 3 V)
    price = np.repeat(w, 3)
    priced = atoms * price
    gram = priced @ atoms.T
    residual = (similarity.apply(surface) - dictionary.mean).ravel()
    errors = _soft(residual - code @ atoms, l2 / 2)
    objective: list[float] = []
    for _ in range(N_ROUNDS):
        code = _lasso(gram, priced @ (residual - errors), code, l1)
        shape = code @ atoms
        errors = _soft(residual - shape, l2 / 2)
        similarity = fitted_similarity(surface, dictionary.mean + (shape + errors).reshape(-1, 3), w)
        residual = (similarity.apply(surface) - dictionary.mean).ravel()
        errors = _soft(residual - shape, l2 / 2)
        paid = price @ (np.square(residual - shape - errors) + l2 * np.abs(errors))
        objective.append(float(paid + l1 * np.abs(code).sum()))
        if len(objective) > 1 and objective[-2] - objective[-1] < settings.tolerance * objective[-1]:
            break
    placed = similarity.inverse().apply(dictionary.mean + shape.reshape(-1, 3))
    return Composition(placed, code, errors.reshape(-1, 3), np.ones(len(surface)), similarity, tuple(objective))


def _far(found: Composition, surface: np.ndarray) -> np.ndarray:
    """Give mm (V,) in the dictionary's frame from the surface to its composed shape."""
    return found.similarity.scale * np.linalg.norm(surface - found.vertices, axis=1)


def _lasso(gram: np.ndarray, pull: np.ndarray, code: np.ndarray, l1: float) -> np.ndarray:
    """Minimize s G s − 2 s · pull + l1 ‖s‖₁ over s (n,) by FISTA with restarts, from a given code."""
    step = 0.5 / max(float(np.linalg.eigvalsh(gram)[-1]), 1e-12)
    point, momentum = code, 1.0
    for _ in range(N_STEPS):
        moved = _soft(point - 2 * step * (gram @ point - pull), step * l1)
        if (point - moved) @ (moved - code) > 0:
            momentum = 1.0
        grown = (1 + math.sqrt(1 + 4 * momentum**2)) / 2
        change = moved - code
        point, code, momentum = moved + (momentum - 1) / grown * change, moved, grown
        if np.abs(change).max(initial=0) < 1e-5:
            break
    return code


def _soft(values: np.ndarray, threshold: float) -> np.ndarray:
    """Bring values nearer to 0 by a threshold."""
    return np.sign(values) * np.maximum(np.abs(values) - threshold, 0)
