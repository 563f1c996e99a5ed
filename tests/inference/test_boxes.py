"""Boxes about voxels: sums against sums, growth against dilation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from workbench.inference.boxes import box_moments, box_sums, grow, pad_about, triple
from workbench.patches.gather import gather


@pytest.mark.parametrize("size", [(3, 3, 3), (1, 2, 5), (4, 1, 1)])
def test_a_box_begins_where_its_voxel_is_after_padding(size):
    image = np.random.default_rng(0).normal(size=(2, 6, 5, 7)).astype(np.float32)
    padded = pad_about(image, size)
    for voxel in [(0, 0, 0), (5, 4, 6), (2, 3, 1)]:
        box = padded[(slice(None), *(slice(v, v + s) for v, s in zip(voxel, size, strict=True)))]
        assert np.array_equal(box, gather(image, np.array([voxel]), size)[0])


def test_box_sums_by_hand():
    assert np.array_equal(box_sums(np.arange(5).reshape(5, 1, 1), (2, 1, 1)).ravel(), [1, 3, 5, 7])


def test_moments_are_those_of_the_patches_even_far_from_zero():
    image = np.random.default_rng(0).normal(1e4, 1, (2, 6, 5, 7))
    mean, variance = box_moments(image, (3, 2, 4))
    patch = image[:, 2:5, 1:3, 3:7]
    assert mean[2, 1, 3] == pytest.approx(patch.mean(), rel=1e-12)
    assert variance[2, 1, 3] == pytest.approx(patch.var(), rel=1e-8)


def test_variance_of_a_constant_is_not_negative():
    assert box_moments(np.full((1, 9, 9, 9), 0.1), (3, 3, 3))[1].min() >= 0


def test_growth_is_dilation():
    wanted = np.random.default_rng(0).random((9, 8, 7)) < 0.05
    grown = grow(wanted, (3, 2, 1), (2, 4, 1))
    assert grown.shape == (13, 12, 7)
    boxes = np.zeros((5, 5, 1), bool)
    boxes[::2, ::4] = True
    big = np.pad(wanted, [(0, 4), (0, 4), (0, 0)])
    assert np.array_equal(grown, binary_dilation(big, boxes, origin=(-2, -2, 0)))


def test_a_picture_patch_is_one_voxel_thick():
    assert triple((5, 3)) == (5, 3, 1)
    with pytest.raises(ValueError, match="2 or 3 sizes"):
        triple((5,))
