from __future__ import annotations

import numpy as np
import pytest

from workbench.patches.gather import gather, gather_plane, gather_scales
from workbench.patches.views import three_planes


def volume(channels: int = 2) -> np.ndarray:
    return np.random.default_rng(0).random((channels, 7, 6, 8), dtype=np.float32)


def crop(image: np.ndarray, center: tuple, size: tuple) -> np.ndarray:
    """Copy a patch voxel by voxel, zero outside."""
    patch = np.zeros((image.shape[0], *size), image.dtype)
    for offset in np.ndindex(*size):
        place = [c - s // 2 + o for c, s, o in zip(center, size, offset, strict=True)]
        if all(0 <= p < n for p, n in zip(place, image.shape[1:], strict=True)):
            patch[(slice(None), *offset)] = image[(slice(None), *place)]
    return patch


CENTERS = np.array([[3, 3, 4], [0, 0, 0], [6, 5, 7], [2, 5, 1]])


@pytest.mark.parametrize("size", [(3, 3, 3), (5, 3, 1), (4, 2, 6), (9, 9, 9)])
@pytest.mark.parametrize("margin", [0, 1, 4])
def test_gather_equals_cropping_one_by_one(size: tuple, margin: int) -> None:
    image = volume()
    stored = np.pad(image, [(0, 0), *[(margin, margin)] * 3])
    patches = gather(stored, CENTERS, size, margin)
    assert patches.shape == (4, 2, *size)
    assert patches.flags.c_contiguous
    for patch, center in zip(patches, CENTERS, strict=True):
        np.testing.assert_array_equal(patch, crop(image, tuple(center), size))


def test_gather_drawn() -> None:
    image = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]], np.float32)[None, :, :, None]
    patches = gather(image, np.array([[1, 1, 0], [0, 2, 0]]), (3, 3, 1))
    assert patches[0, 0, :, :, 0].tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    assert patches[1, 0, :, :, 0].tolist() == [[0, 0, 0], [2, 3, 0], [5, 6, 0]]


def test_gather_copies_and_leaves_the_volume_alone() -> None:
    image = volume()
    before = image.copy()
    gather(image, CENTERS, (3, 3, 3))[:] = -1
    np.testing.assert_array_equal(image, before)


def test_gather_of_no_centers_is_empty() -> None:
    assert gather(volume(), np.empty((0, 3), int), (3, 3, 3)).shape == (0, 2, 3, 3, 3)


def test_gather_takes_a_memory_map(tmp_path) -> None:
    np.save(tmp_path / "v.npy", volume())
    mapped = np.load(tmp_path / "v.npy", mmap_mode="r")
    np.testing.assert_array_equal(gather(mapped, CENTERS, (3, 3, 3)), gather(volume(), CENTERS, (3, 3, 3)))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_planes_are_slices_of_the_block(axis: int) -> None:
    block = gather(volume(), CENTERS, (5, 5, 5))
    np.testing.assert_array_equal(gather_plane(volume(), CENTERS, (5, 5), axis), block.take(2, axis=2 + axis))


def test_three_planes_are_sagittal_coronal_axial_for_each_channel() -> None:
    planes = three_planes(volume(), CENTERS, 5)
    block = gather(volume(), CENTERS, (5, 5, 5))
    assert planes.shape == (4, 6, 5, 5)
    expected = [block[:, c].take(2, axis=1 + a) for c in (0, 1) for a in (0, 1, 2)]
    np.testing.assert_array_equal(planes, np.stack(expected, axis=1))


def test_first_scale_is_the_patch_itself() -> None:
    scales = gather_scales(volume(), CENTERS, (3, 4, 3), [1, 3])
    assert scales.shape == (4, 2, 2, 3, 4, 3)
    np.testing.assert_allclose(scales[:, 0], gather(volume(), CENTERS, (3, 4, 3)))


@pytest.mark.parametrize("size", [(3, 3, 3), (2, 3, 4)])
def test_scales_share_their_center(size: tuple) -> None:
    # the voxel at the center of the coarse patch is the mean of the 3 x 3 x 3 block about the center
    coarse = gather_scales(volume(), CENTERS, size, [3])[:, 0]
    middle = tuple(s // 2 for s in size)
    blocks = gather(volume(), CENTERS, (3, 3, 3)).mean(axis=(2, 3, 4))
    np.testing.assert_allclose(coarse[(slice(None), slice(None), *middle)], blocks, rtol=1e-5)


def test_scales_of_a_picture_stay_in_its_plane() -> None:
    picture = volume()[..., :1]
    centers = np.array([[3, 3, 0]])
    coarse = gather_scales(picture, centers, (1, 3, 1), [3])[0, 0]
    np.testing.assert_allclose(coarse[:, 0, 1, 0], picture[:, 3, 2:5, 0].mean(axis=1), rtol=1e-5)


def test_even_factors_are_refused() -> None:
    with pytest.raises(ValueError, match="odd and positive"):
        gather_scales(volume(), CENTERS, (3, 3, 3), [2])


def test_a_plane_needs_two_sizes() -> None:
    with pytest.raises(ValueError, match="two sizes"):
        gather_plane(volume(), CENTERS, (3, 3, 3), 0)
