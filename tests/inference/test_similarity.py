"""Similarity maps equal brute force, patch by patch and row by row."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.classical.descriptors import dense_sift
from workbench.inference.similarity import FeatureIndex, PatchIndex, feature_similarity, patch_similarity
from workbench.patches.gather import gather


def brute_force(rows, query, measure):
    rows, query = rows.reshape(len(rows), -1).astype(float), query.ravel().astype(float)
    if measure == "l2":
        return -np.linalg.norm(rows - query, axis=1)
    if measure == "correlation":
        rows, query = rows - rows.mean(1, keepdims=True), query - query.mean()
    lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(query)
    return (rows @ query) / np.where(lengths > 1e-9, lengths, np.inf)


def subject(seed=0, n_channels=1):
    """Bright tissue on a black background, so that patches outside are constant."""
    image = np.zeros((n_channels, 16, 14, 12), np.float32)
    image[:, 4:12, 3:11, 3:10] = np.random.default_rng(seed).random((n_channels, 8, 8, 7)) + 0.5
    return image


@pytest.mark.parametrize("measure", ["l2", "correlation"])
@pytest.mark.parametrize(("n_channels", "size"), [(1, (5, 5, 5)), (2, (3, 4, 2)), (1, (7, 7, 1))])
def test_patches_equal_brute_force(measure, n_channels, size):
    image, template = subject(0, n_channels), subject(1, n_channels)
    voxels = np.argwhere(np.ones(image.shape[1:], bool))
    patches = gather(image, voxels, size)
    for center in ([6, 7, 5], [0, 0, 0], [11, 10, 9]):
        for query in (gather(template, np.array([center]), size)[0], gather(image, np.array([center]), size)[0]):
            found = patch_similarity(image, voxels, query, measure)
            np.testing.assert_allclose(found, brute_force(patches, query, measure), atol=1e-5)


@pytest.mark.parametrize("measure", ["l2", "correlation"])
def test_patches_equal_brute_force_at_scanner_intensities(measure):
    image = subject() * 900 + 300
    voxels = np.argwhere(np.ones(image.shape[1:], bool))
    patches = gather(image, voxels, (5, 5, 5))
    found = PatchIndex(image, voxels, (5, 5, 5)).similarity(patches[900], measure)
    expected = brute_force(patches, patches[900], measure)
    np.testing.assert_allclose(found, expected, atol=1e-5 * max(1, np.abs(expected).max()))


def test_a_patch_is_most_similar_to_itself():
    image = subject()
    index = PatchIndex(image, image[0] > 0, (5, 5, 5))
    for row in (0, 100, 200):
        patch = index.patch(index.voxels[row])
        assert np.array_equal(np.float32(patch), gather(image, index.voxels[[row]], (5, 5, 5))[0])
        assert index.similarity(patch, "l2").argmax() == index.similarity(patch, "correlation").argmax() == row
        assert index.similarity(patch, "l2")[row] == pytest.approx(0, abs=1e-5)


def test_correlation_does_not_see_brightness_and_contrast_but_distance_does():
    image = subject()
    index = PatchIndex(image, image[0] > 0, (5, 5, 5))
    patch = index.patch((7, 7, 6))
    changed = 3 * patch + 0.2
    np.testing.assert_allclose(
        index.similarity(changed, "correlation"), index.similarity(patch, "correlation"), atol=1e-6
    )
    assert np.abs(index.similarity(changed, "l2") - index.similarity(patch, "l2")).max() > 1


def test_constant_patches_correlate_nothing():
    image = subject()
    assert not patch_similarity(image, image[0] >= 0, np.full((1, 5, 5, 5), 0.3), "correlation").any()
    assert not patch_similarity(np.full_like(image, 5), image[0] >= 0, np.zeros((1, 1, 1, 1)), "correlation").any()


@pytest.mark.parametrize("measure", ["l2", "correlation", "cosine"])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_features_equal_brute_force(measure, dtype):
    features = np.random.default_rng(0).random((500, 40)).astype(dtype) + np.array(0.3, dtype)
    features[3], features[4] = 0, 0.7
    for query in (features[0], features[4], features[3], np.random.default_rng(1).normal(size=40)):
        found = feature_similarity(features, np.asarray(query, float), measure)
        np.testing.assert_allclose(found, brute_force(features, np.asarray(query), measure), atol=1e-5)
        assert found.dtype == np.float32


@pytest.mark.parametrize("measure", ["l2", "correlation", "cosine"])
def test_sift_rows_equal_brute_force(measure):
    image = subject()[0]
    rows = dense_sift(image, image > 0, n_cells=2)
    index = FeatureIndex(rows)
    found = index.similarity(rows[50].astype(np.float32), measure)
    np.testing.assert_allclose(found, brute_force(rows, rows[50], measure), atol=1e-5)
    assert found.argmax() == 50


@pytest.mark.parametrize("measure", ["l2", "correlation", "cosine"])
def test_some_rows_are_rows_of_all(measure):
    features = np.random.default_rng(0).random((300, 8)).astype(np.float16)
    index, rows = FeatureIndex(features), np.array([250, 3, 4, 99])
    query = features[7].astype(np.float32)
    np.testing.assert_array_equal(index.similarity(query, measure, rows), index.similarity(query, measure)[rows])


def test_small_distances_are_not_lost():
    features = np.full((3, 128), 1000.0, np.float32)
    features[1, 0] += 0.01
    found = -feature_similarity(features, features[0], "l2")
    assert found == pytest.approx([0, 0.01, 0], abs=1e-4)


def test_pieces_are_seamless(monkeypatch):
    features = np.random.default_rng(0).random((300, 8)).astype(np.float32)
    whole = feature_similarity(features, features[0], "correlation")
    monkeypatch.setattr("workbench.inference.similarity.PIECE_BYTES", 7 * 32)
    np.testing.assert_allclose(feature_similarity(features, features[0], "correlation"), whole, atol=1e-6)


def test_mistakes_are_named():
    image = subject()
    with pytest.raises(LookupError, match=r"known are l2, correlation$"):
        patch_similarity(image, image[0] > 0, np.zeros((1, 3, 3, 3)), "cosine")
    with pytest.raises(LookupError, match="known are l2, correlation, cosine"):
        feature_similarity(np.zeros((3, 2)), np.zeros(2), "euclid")
    with pytest.raises(ValueError, match="expected a patch"):
        PatchIndex(image, image[0] > 0, (3, 3, 3)).similarity(np.zeros((1, 5, 5, 5)), "l2")
    with pytest.raises(ValueError, match="expected a vector of 2 features"):
        feature_similarity(np.zeros((3, 2)), np.zeros(3), "l2")
    with pytest.raises(ValueError, match=r"expected features \(N, M\)"):
        FeatureIndex(np.zeros(3))
