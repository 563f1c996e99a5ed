from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from workbench.patches.right_angles import RightAngles


def numbered(*shape: int) -> Tensor:
    return torch.arange(int(np.prod(shape)), dtype=torch.float32).reshape(shape)


def distinct(images: Tensor) -> set[tuple[float, ...]]:
    return {tuple(image.flatten().tolist()) for image in images}


@pytest.mark.parametrize(
    ("turns", "n_square", "n_cube"),
    [
        (RightAngles(True, False, False), 4, 8),
        (RightAngles(False, True, False), 4, 24),
        (RightAngles(False, False, True), 2, 6),
        (RightAngles(True, True, False), 8, 48),
        (RightAngles(True, False, True), 8, 48),
        (RightAngles(False, True, True), 8, 48),
        (RightAngles(True, True, True), 8, 48),
        (RightAngles(False, False, False), 1, 1),
    ],
)
def test_the_orbit_has_the_size_of_the_group(turns: RightAngles, n_square: int, n_cube: int) -> None:
    rng = np.random.default_rng(0)
    square = numbered(1, 3, 3).expand(300, 1, 3, 3)
    cube = numbered(1, 3, 3, 3).expand(900, 1, 3, 3, 3)
    assert len(distinct(turns(square, torch.zeros(300), rng)[0])) == n_square
    assert len(distinct(turns(cube, torch.zeros(900), rng)[0])) == n_cube


def test_quarter_turns_are_those_of_numpy() -> None:
    picture = numbered(1, 4, 4)
    moved, _ = RightAngles(flips=False)(picture.expand(100, 1, 4, 4), torch.zeros(100), np.random.default_rng(0))
    assert distinct(moved) == {tuple(np.rot90(picture[0].numpy(), k).flatten().tolist()) for k in range(4)}


def test_all_symmetries_are_equally_likely() -> None:
    moved, _ = RightAngles()(numbered(1, 2, 2).expand(8000, 1, 2, 2), torch.zeros(8000), np.random.default_rng(1))
    counts = np.unique(moved.flatten(1).numpy(), axis=0, return_counts=True)[1]
    assert len(counts) == 8 and ((counts - 1000) ** 2 / 1000).sum() < 24.3, "chi-square of 7 degrees, one in a thousand"


@pytest.mark.parametrize("shape", [(5, 5), (5, 3), (4, 4, 4), (4, 4, 3)])
def test_labels_move_with_their_voxels(shape: tuple[int, ...]) -> None:
    """A label that is the voxel's own number must still be so afterwards, in every channel."""
    images = torch.stack([numbered(*shape), 2 * numbered(*shape)]).expand(60, 2, *shape)
    labels = numbered(*shape).long().expand(60, *shape)
    moved, moved_labels = RightAngles(True, True, True)(images, labels, np.random.default_rng(2))
    assert moved.shape == images.shape and moved_labels.dtype == torch.int64
    assert torch.equal(moved[:, 0], moved_labels.float()) and torch.equal(moved[:, 1], 2 * moved[:, 0])
    assert not torch.equal(moved, images)
    assert torch.equal(images[7, 0], numbered(*shape)), "what came stays as it was"


def test_axes_of_unlike_sizes_are_never_exchanged() -> None:
    images = numbered(1, 5, 3).expand(200, 1, 5, 3)
    moved, _ = RightAngles(True, True, True)(images, torch.zeros(200), np.random.default_rng(0))
    assert len(distinct(moved)) == 4, "mirrors and the half turn are left"
    labels = numbered(5, 3).expand(200, 5, 3)
    square = numbered(1, 7, 7).expand(200, 1, 7, 7)
    assert len(distinct(RightAngles()(square, labels, np.random.default_rng(0))[0])) == 4


def test_labels_at_centers_stay_and_the_generator_decides() -> None:
    images, labels = torch.randn(9, 1, 5, 5), torch.arange(9)
    one, one_labels = RightAngles()(images, labels, np.random.default_rng(3))
    again, _ = RightAngles()(images, labels, np.random.default_rng(3))
    assert torch.equal(one_labels, labels) and torch.equal(one, again)
    assert torch.equal(one[:, 0, 2, 2], images[:, 0, 2, 2]), "the middle of an odd patch stays"


def test_labels_with_other_axes_are_refused() -> None:
    with pytest.raises(ValueError, match="have 4 axes or one; got 3"):
        RightAngles()(torch.zeros(2, 1, 3, 3, 3), torch.zeros(2, 3, 3), np.random.default_rng(0))
