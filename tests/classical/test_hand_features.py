"""Hand-designed features: sums by brute force, scikit-image where it has the same, and symmetries."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.feature import hog, local_binary_pattern

from workbench.classical.hand_features import (
    BoxPairs,
    binary_patterns,
    haar_features,
    hand_designed_features,
    hand_designed_size,
    hog_features,
    integral_image,
    lbp_features,
    random_boxes,
)


@pytest.fixture
def image():
    return np.random.default_rng(0).normal(size=(14, 13, 9)).astype(np.float32)


def everywhere(image):
    return np.argwhere(np.ones(image.shape, bool))


def slow_mean(image, voxel, box):
    """The mean of a box cut at the border; of the nearest voxels where nothing is left."""
    rows = []
    for axis, n in enumerate(image.shape):
        wanted = np.arange(voxel[axis] + box[0, axis], voxel[axis] + box[1, axis])
        inside = wanted[(wanted >= 0) & (wanted < n)]
        rows.append(inside if len(inside) else np.array([0 if wanted[-1] < 0 else n - 1]))
    return image[np.ix_(*rows)].astype(float).mean()


def test_the_integral_image_sums_what_lies_before_each_corner(image):
    integral = integral_image(image)
    assert integral.shape == (15, 14, 10)
    assert integral[5, 3, 7] == pytest.approx(image[:5, :3, :7].astype(float).sum())
    assert integral[-1, -1, -1] == pytest.approx(image.astype(float).sum())


def test_box_differences_are_those_of_brute_force_also_at_the_border(image):
    pairs = random_boxes(20, (9, 9, 7), seed=3)
    voxels = np.vstack([everywhere(image)[::97], [[0, 0, 0], [13, 12, 8], [0, 12, 4]]])
    expected = [
        [
            slow_mean(image, v, a) - w * slow_mean(image, v, b)
            for a, b, w in zip(pairs.first, pairs.second, pairs.weight, strict=True)
        ]
        for v in voxels
    ]
    np.testing.assert_allclose(haar_features(image, voxels, pairs), expected, atol=1e-5)


def test_a_box_wholly_outside_is_the_nearest_voxel(image):
    far = np.array([[[-9, -1, -1], [-7, 0, 0]]])
    feature = haar_features(image, np.array([[2, 5, 4]]), BoxPairs(far, far, np.zeros(1)))
    assert feature[0, 0] == image[0, 4, 3]


def test_boxes_lie_in_the_patch_and_return_with_the_seed():
    pairs = random_boxes(500, (7, 5, 1), edges=(1, 3, 9), seed=1)
    for boxes in (pairs.first, pairs.second):
        assert (boxes[:, 0] >= [-3, -2, 0]).all()
        assert (boxes[:, 1] <= [4, 3, 1]).all()
        assert (boxes[:, 1] > boxes[:, 0]).all()
    assert set(pairs.weight) == {0, 1}
    np.testing.assert_array_equal(pairs.first, random_boxes(500, (7, 5, 1), edges=(1, 3, 9), seed=1).first)
    assert (pairs.first != random_boxes(500, (7, 5, 1), edges=(1, 3, 9), seed=2).first).any()


def test_an_edge_answers_with_its_height_and_brightness_cancels():
    image = np.zeros((9, 5, 5), np.float32)
    image[4:] = 2
    left, right = np.array([[-2, -1, -1], [0, 2, 2]]), np.array([[0, -1, -1], [2, 2, 2]])
    pairs = BoxPairs(right[None], left[None], np.ones(1))
    voxels = np.array([[4, 2, 2], [6, 2, 2]])
    np.testing.assert_allclose(haar_features(image, voxels, pairs)[:, 0], [2, 0])
    np.testing.assert_allclose(haar_features(image + 7, voxels, pairs)[:, 0], [2, 0], atol=1e-6)


def test_gradient_histograms_are_those_of_scikit_image():
    plane = np.random.default_rng(1).normal(size=(30, 25))
    wanted = hog(
        plane, orientations=9, pixels_per_cell=(5, 5), cells_per_block=(3, 3), block_norm="L2-Hys", feature_vector=False
    )  # (4, 3, 3, 3, 9)
    centers = [(7 + 5 * i, 7 + 5 * j, 0) for i in range(4) for j in range(3)]
    found = hog_features(plane[:, :, None], np.array(centers), cell=(5, 5, 1), n_cells=(3, 3, 1), n_orientations=9)
    np.testing.assert_allclose(found, wanted.reshape(12, -1), atol=1e-5)


def test_a_gradient_in_space_lies_in_the_bins_of_its_axis_whatever_its_sign():
    x = np.indices((9, 9, 9))[0].astype(np.float32)
    middle = np.array([[4, 4, 4]])
    settings = {"cell": (3, 3, 3), "n_cells": (1, 1, 1), "n_axes": 3}
    up, down = hog_features(x, middle, **settings), hog_features(-x, middle, **settings)
    np.testing.assert_allclose(up, down, atol=1e-6)
    assert up.shape == (1, 6)
    assert (up > 1e-3).sum() == 2  # the x axis goes through an edge of the icosahedron, halfway between two vertices
    turned = hog_features(x.transpose(1, 0, 2), middle, **settings)
    assert not np.allclose(up, turned)


def test_gradient_histograms_do_not_see_brightness_or_contrast(image):
    voxels = np.array([[7, 6, 4], [2, 3, 3]])
    for n_axes in (2, 3):
        plain = hog_features(image, voxels, n_axes=n_axes)
        np.testing.assert_allclose(hog_features(5 * image + 3, voxels, n_axes=n_axes), plain, atol=1e-4)
        np.testing.assert_allclose(np.linalg.norm(plain, axis=1), 1, atol=1e-3)


def test_binary_patterns_are_those_of_scikit_image_counted_in_the_patch(image):
    gray = np.rint((image - image.min()) / np.ptp(image) * 255).astype(np.uint8)
    codes = np.stack([local_binary_pattern(gray[:, :, z], 8, 1, method="uniform") for z in range(9)], axis=2)
    np.testing.assert_array_equal(binary_patterns(image, 2), codes)
    counted = np.bincount(codes[5:10, 4:9, 2:5].astype(int).ravel(), minlength=10) / 75
    found = lbp_features(image, np.array([[7, 6, 3]]), patch=(5, 5, 3))
    np.testing.assert_allclose(found[0], counted, atol=1e-6)


def test_patterns_in_three_planes_change_places_with_the_axes(image):
    found = lbp_features(image, np.array([[7, 6, 4]]), patch=(5, 5, 5), n_axes=3).reshape(3, 10)
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-6)
    assert len(np.unique(found.round(6), axis=0)) == 3
    cycled = lbp_features(image.transpose(2, 0, 1), np.array([[4, 7, 6]]), patch=(5, 5, 5), n_axes=3).reshape(3, 10)
    # the plane of (x, y) is that of the last two axes now; transposed, its patterns are the same
    np.testing.assert_allclose(cycled[2], found[0], atol=1e-6)
    np.testing.assert_allclose(cycled[0], found[1], atol=1e-6)
    np.testing.assert_allclose(cycled[1], found[2], atol=1e-6)


@pytest.mark.parametrize("patch", [(15, 15, 9), (9, 9, 5), (7, 7, 1)])
def test_all_kinds_stand_side_by_side_and_follow_a_shift(patch, image):
    voxels = np.array([[7, 6, 4], [6, 6, 4]])
    found = hand_designed_features(image, voxels, patch=patch, n_haar=16)
    assert found.shape == (2, hand_designed_size(patch, 16))
    assert np.isfinite(found).all()
    big = np.random.default_rng(2).normal(size=(30, 30, 20)).astype(np.float32)
    shifted = np.roll(big, (2, -1, 1), (0, 1, 2))
    here = hand_designed_features(big, np.array([[15, 15, 10]]), patch=patch, n_haar=16)
    there = hand_designed_features(shifted, np.array([[17, 14, 11]]), patch=patch, n_haar=16)
    np.testing.assert_allclose(here, there, atol=1e-5)


def test_voxels_need_three_numbers(image):
    with pytest.raises(ValueError, match=r"expected voxels \(N, 3\)"):
        haar_features(image, np.zeros((4, 2), int))
