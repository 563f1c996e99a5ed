"""Votes against brute force and against what they must do."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.classical.label_fusion import (
    EPSILON,
    local_weights,
    locally_weighted_vote,
    majority_vote,
)

RNG = np.random.default_rng(0)
SHAPE = (6, 5, 4)


def made(n: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    target = RNG.normal(size=SHAPE).astype(np.float32)
    return target, RNG.normal(size=(n, *SHAPE)).astype(np.float32), RNG.integers(0, 3, size=(n, *SHAPE))


def test_majority_counts_votes() -> None:
    _, _, labels = made(5)
    votes = majority_vote(labels, 3)
    for place in np.ndindex(*SHAPE):
        own = labels[(slice(None), *place)].tolist()
        assert votes[(slice(None), *place)] == pytest.approx([own.count(k) / 5 for k in range(3)])


def test_local_weights_are_those_of_brute_force() -> None:
    target, images, _ = made()
    weights = local_weights(target, images, radius=1, power=1.5)
    padded = [np.pad(a, 1, mode="edge").astype(float) for a in (target, *images)]
    for x, y, z in np.ndindex(*SHAPE):
        cubes = [p[x : x + 3, y : y + 3, z : z + 3] for p in padded]
        raw = [(np.mean((c - cubes[0]) ** 2) / target.var() + EPSILON) ** -1.5 for c in cubes[1:]]
        np.testing.assert_allclose(weights[:, x, y, z], np.array(raw) / sum(raw), rtol=2e-4)


def test_weighted_vote_of_labels_is_brute_force() -> None:
    target, images, labels = made()
    votes = locally_weighted_vote(target, images, labels, 3)
    weights = local_weights(target, images)
    for place in np.ndindex(*SHAPE):
        expected = np.zeros(3)
        for a in range(3):
            expected[labels[(a, *place)]] += weights[(a, *place)]
        np.testing.assert_allclose(votes[(slice(None), *place)], expected, atol=1e-6)


def test_power_0_is_the_majority() -> None:
    target, images, labels = made()
    np.testing.assert_allclose(
        locally_weighted_vote(target, images, labels, 3, power=0), majority_vote(labels, 3), atol=1e-6
    )


def test_the_same_image_decides_alone() -> None:
    target, images, labels = made()
    images[1] = target
    votes = locally_weighted_vote(target, images, labels, 3, power=3)
    assert (votes.argmax(0) == labels[1]).all()


def test_a_constant_target_is_no_error() -> None:
    _, images, labels = made()
    assert np.isfinite(locally_weighted_vote(np.zeros(SHAPE, np.float32), images, labels, 3)).all()


def test_images_lie_on_the_lattice_of_the_target() -> None:
    target, images, _ = made()
    with pytest.raises(ValueError, match="lattice of the target"):
        local_weights(target[:-1], images)
