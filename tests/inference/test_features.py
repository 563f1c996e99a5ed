"""Feature volumes: nearest rows, and a cache that is whole or not there."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from workbench.errors import Cancelled, WorkbenchError
from workbench.inference.features import (
    FeatureVolume,
    cached_features,
    digest_of,
    encode_features,
    open_features,
)
from workbench.models.stacked_autoencoder import StackedAutoEncoder
from workbench.paths import cache_dir

AFFINE = np.array([[0, -2.0, 0, 10], [2, 0, 0, -20], [0, 0, 3, 5], [0, 0, 0, 1]])
MASK = np.zeros((4, 5, 6), bool)
MASK[1:3, 2:5, 1:6] = True


def counting(value=1.0):
    calls = []

    def compute(out, progress):
        calls.append(out.shape)
        out[:] = value
        progress(1.0, "done")

    return compute, calls


def test_lookup_gives_the_nearest_voxel_in_mm():
    volume = cached_features("k", MASK, AFFINE, 3, counting()[0])
    voxel = np.array([2, 3, 4])
    point = AFFINE[:3, :3] @ voxel + AFFINE[:3, 3]
    near, beyond = np.add(point, (0.9, -0.9, 1.4)), np.add(point, (-2.1, 0, 0))
    assert np.array_equal(volume.voxels[volume.lookup(near)], voxel)
    assert np.array_equal(volume.voxels[volume.lookup(beyond)], [2, 4, 4])  # -2 mm in x is +1 voxel in y
    assert np.array_equal(volume.voxels[volume.lookup([1e6, 0, 0])][1], 2)


def test_within_is_a_ball_in_mm():
    volume = cached_features("k", MASK, AFFINE, 3, counting()[0])
    center = volume.points_mm[7]
    rows = volume.within(center, 2.5)
    assert np.array_equal(rows, np.flatnonzero(np.linalg.norm(volume.points_mm - center, axis=1) <= 2.5))
    assert 1 < len(rows) < len(volume.voxels)


def test_as_map_puts_values_back():
    volume = cached_features("k", MASK, AFFINE, 3, counting()[0])
    image = volume.as_map(np.arange(MASK.sum()))
    assert np.array_equal(image[MASK], np.arange(MASK.sum())) and np.isnan(image[~MASK]).all()


def test_computed_once_and_opened_again():
    compute, calls = counting()
    first = cached_features("key-1", MASK, AFFINE, 3, compute)
    again = cached_features("key-1", MASK, AFFINE, 3, compute)
    assert calls == [(30, 3)]
    assert np.array_equal(first.features, again.features) and again.features.dtype == np.float16
    assert np.array_equal(again.voxels, np.argwhere(MASK)) and np.array_equal(again.affine, AFFINE)
    assert again.shape == MASK.shape and isinstance(again.features, np.memmap)


def test_cancelling_leaves_nothing():
    def compute(out, progress):
        out[:5] = 1
        progress(0.2, "working")

    def stop(fraction, message):
        raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        cached_features("key", MASK, AFFINE, 3, compute, progress=stop)
    assert list((cache_dir() / "features").iterdir()) == []


@pytest.mark.parametrize("damage", ["features.npy", "voxels.npy", "grid.json"])
@pytest.mark.parametrize("how", ["gone", "empty", "cut"])
def test_a_damaged_volume_is_computed_again(damage, how):
    compute, calls = counting()
    cached_features("key", MASK, AFFINE, 3, compute)
    file = cache_dir() / "features" / "key" / damage
    content = file.read_bytes()
    file.unlink()
    if how != "gone":
        file.write_bytes(b"" if how == "empty" else content[: len(content) * 2 // 3])
    assert (cached_features("key", MASK, AFFINE, 3, compute).features == 1).all()
    assert len(calls) == 2


def test_what_another_process_finished_first_is_kept():
    def compute(out, progress):
        cached_features("key", MASK, AFFINE, 3, counting(2.0)[0])
        out[:] = 1

    assert (cached_features("key", MASK, AFFINE, 3, compute).features == 2).all()
    assert [f.name for f in (cache_dir() / "features").iterdir()] == ["key"]


def test_leftovers_of_killed_processes_are_swept():
    import socket

    host = socket.gethostname().replace(".", "-")
    left = cache_dir() / "features" / f"old.{host}.999999999.ab12cd34.partial"
    elsewhere = cache_dir() / "features" / "old.another-host.999999999.ab12cd34.partial"
    left.mkdir(parents=True)
    elsewhere.mkdir()
    cached_features("key", MASK, AFFINE, 3, counting()[0])
    assert not left.exists() and elsewhere.exists()


def test_encoded_features_are_the_stack_s_codes_and_are_cached():
    stack = StackedAutoEncoder((1, 3, 3, 3), [6, 4])
    image = np.random.default_rng(0).random((1, 4, 5, 6)).astype(np.float32)
    told = []
    first = encode_features(
        stack.as_convolutions(), image, (3, 3, 3), MASK, AFFINE, progress=lambda f, m: told.append(f)
    )
    with torch.no_grad():
        patch = torch.from_numpy(image[:, 0:3, 1:4, 2:5])[None]
        code = stack.encode(patch)[0].numpy()
    row = np.flatnonzero((first.voxels == [1, 2, 3]).all(1))[0]
    np.testing.assert_allclose(first.features[row], code, atol=1e-3)
    assert told
    told.clear()
    encode_features(stack.as_convolutions(), image, (3, 3, 3), MASK, AFFINE, progress=lambda f, m: told.append(f))
    assert not told


def test_every_part_changes_the_digest():
    stack, other = StackedAutoEncoder((1, 3, 3, 3), [4]), StackedAutoEncoder((1, 3, 3, 3), [4], seed=1)
    image = np.zeros((1, 3, 3, 3), np.float32)
    keys = {
        digest_of(stack.as_convolutions(), image),
        digest_of(other.as_convolutions(), image),
        digest_of(stack.as_convolutions(), image + 1),
        digest_of(stack.as_convolutions(), image.reshape(1, 9, 3, 1)),
        digest_of(stack.as_convolutions(), image, "again"),
        digest_of("ab", "c"),
        digest_of("a", "bc"),
        digest_of(torch.zeros(3)),
    }
    assert len(keys) == 8
    assert digest_of(stack.as_convolutions(), image) == digest_of(stack.as_convolutions(), image.copy())


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="a cache key has"):
        cached_features("../up", MASK, AFFINE, 3, counting()[0])
    with pytest.raises(WorkbenchError, match="The mask is empty"):
        cached_features("key", np.zeros_like(MASK), AFFINE, 3, counting()[0])
    with pytest.raises(ValueError, match="mask is empty"):
        FeatureVolume(np.zeros((0, 3), int), AFFINE, (2, 2, 2), np.zeros((0, 4))).lookup([0, 0, 0])
    assert open_features(cache_dir() / "nothing") is None
