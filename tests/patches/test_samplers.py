from __future__ import annotations

import numpy as np
import pytest

from workbench.errors import SettingsError
from workbench.patches.samplers import balanced, candidates, grid, inside, size_in_voxels, uniform, weighted

SHAPE = (4, 5, 6)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def frequencies(centers: np.ndarray) -> np.ndarray:
    counts = np.zeros(SHAPE)
    np.add.at(counts, tuple(centers.T), 1)
    return counts / len(centers)


def test_uniform_draws_every_voxel_equally() -> None:
    np.testing.assert_allclose(frequencies(uniform(SHAPE, 240_000, rng())), 1 / 120, rtol=0.12)


def test_inside_draws_every_voxel_of_the_mask_and_no_other() -> None:
    mask = np.zeros(SHAPE, bool)
    mask[1, 2:4, 0] = mask[3, 4, 5] = True
    np.testing.assert_allclose(frequencies(inside(mask, 30_000, rng())), mask / 3, atol=0.01)


def test_balanced_draws_every_label_equally_however_rare() -> None:
    labels = np.zeros(SHAPE, np.int16)
    labels[0, 0, 0] = 7
    labels[1, :, :] = -2
    share = frequencies(balanced(labels, 60_000, rng()))
    assert [share[labels == k].sum() for k in (0, 7, -2)] == pytest.approx([1 / 3] * 3, abs=0.01)
    np.testing.assert_allclose(share[1], 1 / 90, rtol=0.15)


def test_weighted_draws_in_proportion() -> None:
    weights = rng().random(SHAPE) * (rng().random(SHAPE) > 0.5)
    share = frequencies(weighted(weights, 400_000, rng()))
    np.testing.assert_allclose(share, weights / weights.sum(), atol=1.5e-3)
    assert not share[weights == 0].any()


def test_a_draw_depends_on_the_generator_alone() -> None:
    assert np.array_equal(uniform(SHAPE, 9, rng()), uniform(SHAPE, 9, rng()))


@pytest.mark.parametrize("weights", [np.full(SHAPE, -1.0), np.full(SHAPE, np.nan), np.zeros(SHAPE)])
def test_weights_that_cannot_be_probabilities_are_refused(weights: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"must be finite|empty"):
        weighted(weights, 1, rng())


def test_an_empty_mask_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        candidates(np.zeros(SHAPE))


def test_grid_moves_the_last_patch_back() -> None:
    # length 7, size 4, overlap 1: patches begin at 0 and 3; a center is 2 after the beginning
    assert grid((7, 4, 4), (4, 4, 4), 1)[:, 0].tolist() == [2, 5]
    assert grid((9, 4, 4), (4, 4, 4), (1, 0, 0))[:, 0].tolist() == [2, 5, 7]


@pytest.mark.parametrize("size", [(3, 3, 3), (4, 5, 2), (9, 1, 6)])
@pytest.mark.parametrize("overlap", [0, (2, 0, 1)])
def test_grid_covers_every_voxel(size: tuple, overlap) -> None:
    if (np.asarray(size) <= overlap).any():
        pytest.skip("overlap larger than the patch")
    covered = np.zeros((8, 7, 9), bool)
    for center in grid(covered.shape, size, overlap):
        start = np.maximum(0, center - np.array(size) // 2)
        covered[tuple(slice(a, a + s) for a, s in zip(start, size, strict=True))] = True
    assert covered.all()


def test_overlap_as_large_as_the_patch_is_refused() -> None:
    with pytest.raises(ValueError, match=r"overlap must be from 0 to less than the patch \(4, 4, 4\); got 4"):
        grid((9, 9, 9), (4, 4, 4), 4)


@pytest.mark.parametrize(
    ("size_mm", "spacing", "expected"),
    [
        (22, (2, 2, 2), (11, 11, 11)),
        (21, (1, 1, 3), (21, 21, 7)),
        ((22, 22, 1), (2, 2, 2), (11, 11, 1)),
        (0.1, (1, 1, 1), (1, 1, 1)),
    ],
)
def test_sizes_in_mm_become_odd_voxels(size_mm, spacing: tuple, expected: tuple) -> None:
    assert size_in_voxels(size_mm, spacing) == expected


@pytest.mark.parametrize("size_mm", [0, -3, float("inf")])
def test_a_size_of_nothing_is_a_sentence(size_mm: float) -> None:
    with pytest.raises(SettingsError, match="greater than 0 mm"):
        size_in_voxels(size_mm, (1, 1, 1))
