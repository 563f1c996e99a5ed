from __future__ import annotations

import numpy as np
import pytest

from workbench.patches.aggregator import Aggregator
from workbench.patches.gather import gather
from workbench.patches.samplers import grid

SHAPE, SIZE = (4, 4, 1), (3, 3, 1)


def numbered_patches() -> tuple[np.ndarray, np.ndarray]:
    """Give four patches of 3 x 3 in a plane of 4 x 4, filled with 1, 2, 3 and 4.

    1 1 1 .    . 2 2 2    . . . .    . . . .
    1 1 1 .    . 2 2 2    3 3 3 .    . 4 4 4
    1 1 1 .    . 2 2 2    3 3 3 .    . 4 4 4
    . . . .    . . . .    3 3 3 .    . 4 4 4
    """
    centers = grid(SHAPE, SIZE, (2, 2, 0))
    return np.arange(1.0, 5).reshape(4, 1, 1, 1, 1) * np.ones((4, 1, *SIZE)), centers


def aggregated(mode) -> np.ndarray:
    aggregator = Aggregator(SHAPE, SIZE, mode)
    aggregator.add(*numbered_patches())
    return aggregator.volume()[0, :, :, 0]


def test_crop_drawn() -> None:
    expected = [
        [1, 1, 2, 2],
        [1, 1, 2, 2],
        [3, 3, 4, 4],
        [3, 3, 4, 4],
    ]
    np.testing.assert_array_equal(aggregated("crop"), expected)


def test_average_drawn() -> None:
    expected = [
        [1.0, 1.5, 1.5, 2.0],
        [2.0, 2.5, 2.5, 3.0],
        [2.0, 2.5, 2.5, 3.0],
        [3.0, 3.5, 3.5, 4.0],
    ]
    np.testing.assert_allclose(aggregated("average"), expected)


def test_hann_drawn() -> None:
    # weights along an axis 1/2 1 1/2, so the second voxel is 2/3 of the first patch and 1/3 of the second
    a, b = 1 + 1 / 3, 1 + 2 / 3
    expected = [
        [1, a, b, 2],
        [1 + 2 / 3, a + 2 / 3, b + 2 / 3, 2 + 2 / 3],
        [1 + 4 / 3, a + 4 / 3, b + 4 / 3, 2 + 4 / 3],
        [3, a + 2, b + 2, 4],
    ]
    np.testing.assert_allclose(aggregated("hann"), expected, rtol=1e-6)


@pytest.mark.parametrize("mode", ["crop", "average", "hann"])
@pytest.mark.parametrize(("size", "overlap"), [((3, 3, 3), 0), ((4, 5, 2), (1, 2, 1)), ((5, 4, 3), 2), ((20, 4, 3), 1)])
def test_cut_and_put_together_is_identity(mode, size: tuple, overlap) -> None:
    image = np.random.default_rng(0).random((2, 9, 7, 8), dtype=np.float32)
    centers = grid(image.shape[1:], size, overlap)
    aggregator = Aggregator(image.shape[1:], size, mode)
    for part in np.array_split(np.arange(len(centers)), 3):  # batches
        aggregator.add(gather(image, centers[part], size), centers[part])
    np.testing.assert_allclose(aggregator.volume(), image, rtol=1e-5)


def test_uncovered_voxels_are_zero() -> None:
    aggregator = Aggregator((5, 5, 5), (3, 3, 3))
    aggregator.add(np.ones((1, 1, 3, 3, 3)), np.array([[1, 1, 1]]))
    assert aggregator.volume().sum() == 27


def test_a_patch_outside_is_dropped() -> None:
    aggregator = Aggregator((5, 5, 5), (3, 3, 3))
    aggregator.add(np.ones((2, 1, 3, 3, 3)), np.array([[-2, 1, 1], [5, 1, 1]]))
    assert aggregator.volume().sum() == 9  # one layer of the second reaches in


def test_wrong_patches_and_modes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(n, C, 3, 3, 3\); got \(1, 3, 3, 3\)"):
        Aggregator((5, 5, 5), (3, 3, 3)).add(np.ones((1, 3, 3, 3)), np.zeros((1, 3)))
    with pytest.raises(LookupError, match="crop, average or hann"):
        Aggregator((5, 5, 5), (3, 3, 3), "mean")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no patch was added"):
        Aggregator((5, 5, 5), (3, 3, 3)).volume()
