"""The sequence of classifiers: its samples, its law, and that it sees what it should."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from workbench.classical import auto_context
from workbench.classical.auto_context import (
    Boosting,
    ContextImage,
    context_rows,
    fit_sequence,
    position_rows,
    run_sequence,
    star_offsets,
)

SPACING = (1.0, 1.0, 1.0)
SHAPE = (16, 16, 16)
FAST = Boosting(n_iterations=3, n_samples=800, n_rounds=15, learning_rate=0.2, max_leaves=7)


def noisy_ball(seed: int) -> tuple[ContextImage, np.ndarray]:
    """A ball whose place varies, seen in noise that no single voxel can be told apart in."""
    rng = np.random.default_rng(seed)
    center = 7.5 + rng.uniform(-2, 2, 3)
    places = np.moveaxis(np.indices(SHAPE), 0, -1)
    truth = (np.linalg.norm(places - center, axis=-1) < 4.5).astype(np.int32)
    image = truth + rng.normal(scale=1.0, size=SHAPE)
    mask = np.ones(SHAPE, bool)
    prior = np.full((2, *SHAPE), 0.5, np.float32)
    return ContextImage(image[mask][:, None].astype(np.float32), prior, truth), mask


def dice(said: np.ndarray, truth: np.ndarray) -> float:
    return 2 * float((said & (truth > 0)).sum()) / float(said.sum() + truth.sum())


def test_star_has_the_voxel_axes_and_diagonals() -> None:
    star = star_offsets((2, 4))
    assert len(star) == 1 + 2 * (6 + 8) and (star[0] == 0).all()
    assert {tuple(o) for o in star} == {tuple(-o) for o in star}
    assert [0, 4, 0] in star.tolist() and [2, -2, 2] in star.tolist() and [2, 2, 0] not in star.tolist()


def test_context_is_the_map_at_the_star() -> None:
    rng = np.random.default_rng(0)
    maps = rng.uniform(size=(3, 5, 6, 7)).astype(np.float32)
    voxels, offsets = np.argwhere(np.ones((5, 6, 7), bool)), star_offsets((2,))
    rows = context_rows(maps, voxels, offsets)
    assert rows.shape == (210, 2 * len(offsets))
    for n in (0, 57, 209):
        for o, offset in enumerate(offsets):
            x, y, z = np.clip(voxels[n] + offset, 0, (4, 5, 6))
            assert rows[n, o] == maps[1, x, y, z] and rows[n, len(offsets) + o] == maps[2, x, y, z]


def test_position_is_in_mm() -> None:
    np.testing.assert_allclose(position_rows(np.array([[1, 2, 3]]), (0.5, 1.0, 2.0)), [[0.5, 2.0, 6.0]])


def test_context_helps_from_iteration_to_iteration_on_unseen_images() -> None:
    images, mask = [noisy_ball(s)[0] for s in range(6)], np.ones(SHAPE, bool)
    classifiers = fit_sequence(images, mask, SPACING, FAST)
    scores = []
    for seed in range(20, 26):
        new, _ = noisy_ball(seed)
        assert new.classes is not None
        maps = run_sequence(classifiers, replace(new, classes=None), mask, SPACING)
        scores.append([dice(m[1] > 0.5, new.classes) for m in maps[1:]])
    mean = np.mean(scores, 0)
    assert mean[1] > mean[0] + 0.03 and mean[2] > mean[1] - 0.01, mean


def test_probabilities_are_those_of_the_masks_voxels_though_classes_are_drawn_alike() -> None:
    """With nothing to go by, the share of a class in the mask is what it should be told."""
    rng = np.random.default_rng(1)
    mask = np.ones(SHAPE, bool)
    truth = (rng.uniform(size=SHAPE) < 0.1).astype(np.int32)
    image = ContextImage(np.zeros((mask.sum(), 1), np.float32), np.full((2, *SHAPE), 0.5, np.float32), truth)
    classifiers = fit_sequence([image], mask, SPACING, replace(FAST, n_iterations=1))
    said = run_sequence(classifiers, image, mask, SPACING)[-1][1]
    assert abs(float(said.mean()) - 0.1) < 0.03


def test_pieces_are_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    image, mask = noisy_ball(0)
    classifiers = fit_sequence([image], mask, SPACING, replace(FAST, n_iterations=2))
    whole = run_sequence(classifiers, image, mask, SPACING)[-1]
    monkeypatch.setattr(auto_context, "ROWS_AT_ONCE", 1000)
    np.testing.assert_array_equal(run_sequence(classifiers, image, mask, SPACING)[-1], whole)


def test_outside_the_mask_is_background() -> None:
    image, _ = noisy_ball(0)
    assert image.classes is not None
    mask = gaussian_filter(image.classes.astype(float), 2) > 0.1
    within = replace(image, features=image.features[mask.ravel()])
    classifiers = fit_sequence([within], mask, SPACING, replace(FAST, n_iterations=1))
    found = run_sequence(classifiers, within, mask, SPACING)[-1]
    assert (found[0][~mask] == 1).all() and (found[1][~mask] == 0).all()
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-5)
