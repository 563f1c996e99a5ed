from __future__ import annotations

import numpy as np
import pytest
from pair_maker import blobs
from scipy.ndimage import map_coordinates

from workbench.registration.warped_labels import labels_at

SHAPE = (9, 8, 7)


def places(seed: int, n: int = 500) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-2, 10, (3, n))


def outside(where: np.ndarray) -> np.ndarray:
    return ((where < -0.5) | (where > np.array(SHAPE)[:, None] - 0.5)).any(0)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_voxels_give_their_own_labels(mode: str) -> None:
    labels = np.random.default_rng(0).integers(0, 5, SHAPE)
    got = labels_at(labels, np.indices(SHAPE).astype(float), mode)  # type: ignore[arg-type]
    np.testing.assert_array_equal(got, labels)
    assert got.dtype == np.int32


@pytest.mark.parametrize("seed", range(3))
def test_nearest_agrees_with_scipy(seed: int) -> None:
    labels, where = np.random.default_rng(seed).integers(0, 40, SHAPE), places(seed)
    expected = map_coordinates(labels, np.clip(where, 0, np.array(SHAPE)[:, None] - 1), order=0, mode="nearest")
    np.testing.assert_array_equal(labels_at(labels, where), np.where(outside(where), 0, expected))


@pytest.mark.parametrize("seed", range(3))
def test_linear_is_the_largest_interpolated_indicator(seed: int) -> None:
    labels, where = np.random.default_rng(seed).integers(0, 4, SHAPE), places(seed)
    shares = [map_coordinates((labels == k).astype(float), where, order=1, mode="nearest") for k in range(4)]
    expected = np.where(outside(where), 0, np.argmax(shares, 0))
    np.testing.assert_array_equal(labels_at(labels, where, "linear"), expected)


def test_slabs_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    labels, where = blobs(0)[1], np.indices((28, 30, 26)) + 0.3
    whole = labels_at(labels, where, "linear")
    monkeypatch.setattr("workbench.registration.warped_labels.SLAB_VOXELS", 1000)
    np.testing.assert_array_equal(labels_at(labels, where, "linear"), whole)


def test_equal_shares_go_to_the_smaller_label() -> None:
    labels = np.zeros((2, 2, 2), int)
    labels[0], labels[1] = 7, 3
    assert labels_at(labels, np.array([[0.5], [0.0], [0.0]]), "linear")[0] == 3
