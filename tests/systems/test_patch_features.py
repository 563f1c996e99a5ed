"""Rows about patches: each kind says what its maker says, patch by patch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from workbench.classical.hand_features import hand_designed_features
from workbench.models.stacked_autoencoder import StackedAutoEncoder
from workbench.systems.patch_features import N_HAAR, Codes, HandDesigned, IntensityPatches

PATCH = (5, 5, 3)


@pytest.fixture
def image():
    return np.random.default_rng(0).random((12, 11, 9)).astype(np.float32)


@pytest.fixture
def voxels(image):
    return np.argwhere(np.ones(image.shape, bool))[::7]


def test_intensities_are_the_patch_about_the_voxel(image, voxels):
    rows = IntensityPatches(PATCH).rows(image, voxels)
    inside = [i for i, v in enumerate(voxels) if ((v >= (2, 2, 1)) & (v < (10, 9, 8))).all()]
    assert rows.shape == (len(voxels), 75) and len(inside) > 10
    for i in inside:
        x, y, z = voxels[i]
        np.testing.assert_array_equal(rows[i], image[x - 2 : x + 3, y - 2 : y + 3, z - 1 : z + 2].ravel())
    corner = IntensityPatches(PATCH).rows(image, np.zeros((1, 3), int)).reshape(PATCH)
    assert (corner[:2] == 0).all() and corner[2, 2, 1] == image[0, 0, 0]


def test_centered_patches_do_not_see_brightness(image):
    middle = np.array([[6, 5, 4], [5, 5, 4]])
    features = IntensityPatches(PATCH, "center")
    np.testing.assert_allclose(features.rows(image + 3, middle), features.rows(image, middle), atol=1e-5)


def test_codes_are_those_of_the_stack_patch_by_patch(image, voxels):
    stack = StackedAutoEncoder((1, *PATCH), (12, 5), normalization="center", seed=3)
    codes = Codes(stack.as_convolutions(), PATCH)
    patches = torch.from_numpy(IntensityPatches(PATCH).rows(image, voxels)).reshape(-1, 1, *PATCH)
    with torch.no_grad():
        expected = stack.encode(patches).numpy()
    assert codes.size == 5
    np.testing.assert_allclose(codes.rows(image, voxels), expected, atol=1e-5)


def test_hand_designed_columns_have_the_training_scale_and_kinds_weigh_alike(image, voxels):
    features = HandDesigned.learn(PATCH, (1.0, 1.0, 2.0), [(image, voxels[::2]), (image, voxels[1::2])])
    rows = features.rows(image, voxels)
    np.testing.assert_allclose(rows.mean(0), 0, atol=1e-4)
    kinds = np.split(np.square(rows).mean(0), [N_HAAR, features.size - 30])
    for kind in kinds:
        used = kind > 0
        assert kind.sum() == pytest.approx(used.mean(), rel=1e-3)  # columns that never change are left out
        assert used.mean() > 0.5
    raw = hand_designed_features(image, voxels, patch=PATCH, n_haar=N_HAAR, spacing_mm=(1.0, 1.0, 2.0))
    # a row is a linear function of the raw one, column by column
    column = int(np.argmax(raw.std(0)))
    np.testing.assert_allclose(np.corrcoef(raw[:, column], rows[:, column])[0, 1], 1, atol=1e-6)
