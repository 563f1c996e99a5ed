from __future__ import annotations

import numpy as np
import pytest
from pair_maker import affine_map, blobs, lattice, seen_through

from workbench.errors import Cancelled, FileError, GeometryError
from workbench.imaging.geometry import crop
from workbench.imaging.volume import Volume
from workbench.registration import linear
from workbench.registration.linear import find_linear, overlap


def register_linear(*images, **settings) -> np.ndarray:
    """Give the matrix alone."""
    return find_linear(*images, **settings).matrix


def pair(
    seed: int, shift_mm: float = 6, degrees: float = 12, stretch: float = 0.1
) -> tuple[Volume, Volume, np.ndarray]:
    """Blobs on a lattice of 4 mm, and what an oblique scanner of other voxels sees of them after a known map."""
    image = blobs(seed, (40, 44, 38))[0]
    fixed = Volume.from_array(image, lattice(image.shape, (4, 4, 4), (5, 0, -8)))
    truth = affine_map(seed, degrees, stretch, shift_mm)
    shape = (50, 48, 30)
    affine = lattice(shape, (4.0, 4.4, 6.5), (-10, 8, 15))
    affine[:3, 3] += truth[:3, 3]
    return fixed, seen_through(fixed, truth, shape, affine), truth


def errors(fixed: Volume, matrix: np.ndarray, truth: np.ndarray) -> np.ndarray:
    points = fixed.to_mm(np.argwhere(fixed.data[0] > 0.1))
    return np.linalg.norm(points @ (matrix - truth)[:3, :3].T + (matrix - truth)[:3, 3], axis=1)


@pytest.mark.parametrize(
    ("seed", "metric"),
    [(0, "correlation"), pytest.param(1, "correlation", marks=pytest.mark.slow), (2, "mutual information")],
)
def test_a_known_affine_map_is_recovered(seed: int, metric: str) -> None:
    fixed, moving, truth = pair(seed)
    found = find_linear(fixed, moving, metric=metric)  # type: ignore[arg-type]
    assert errors(fixed, np.eye(4), truth).mean() > 6
    # voxels have an edge of 4 mm and more, so half a millimeter is an eighth of one
    assert errors(fixed, found.matrix, truth).mean() < 0.5
    assert found.kind == "affine" and found.notes == ()


def test_a_known_rigid_map_is_recovered_without_stretch() -> None:
    fixed, moving, truth = pair(3, stretch=0)
    matrix = register_linear(fixed, moving, "rigid")
    assert errors(fixed, matrix, truth).mean() < 0.5
    np.testing.assert_allclose(matrix[:3, :3] @ matrix[:3, :3].T, np.eye(3), atol=1e-6)


def test_an_image_far_away_is_brought_back() -> None:
    fixed, moving, truth = pair(4, shift_mm=2000)
    assert overlap(fixed, np.ones(fixed.shape, bool), moving, np.eye(4)) == 0
    assert errors(fixed, register_linear(fixed, moving), truth).mean() < 0.5


def test_moments_only_shift() -> None:
    fixed, moving, truth = pair(5, degrees=0, stretch=0, shift_mm=60)
    matrix = register_linear(fixed, moving, "moments")
    np.testing.assert_array_equal(matrix[:3, :3], np.eye(3))
    assert errors(fixed, matrix, truth).mean() < 2


@pytest.mark.slow
def test_contrast_may_differ_under_mutual_information() -> None:
    fixed, moving, truth = pair(6)
    inverted = moving.with_data(np.where(moving.data > 0.1, 1.3 - moving.data, 0))
    assert errors(fixed, register_linear(fixed, inverted, metric="mutual information"), truth).mean() < 1.0


def test_equal_seeds_give_equal_maps() -> None:
    fixed, moving, _ = pair(7)
    np.testing.assert_array_equal(*(register_linear(fixed, moving, "rigid", seed=3) for _ in range(2)))


@pytest.mark.slow
def test_only_the_mask_is_compared() -> None:
    fixed, moving, truth = pair(8, stretch=0)
    spoiled = fixed.data.copy()
    spoiled[:, 28:] = 3 * spoiled[:, 28:, ::-1]
    mask = np.ones(fixed.shape, bool)
    mask[26:] = False
    with_mask = register_linear(fixed.with_data(spoiled), moving, "rigid", fixed_mask=mask)
    without = register_linear(fixed.with_data(spoiled), moving, "rigid")
    assert errors(fixed, with_mask, truth).mean() < 0.5 < errors(fixed, without, truth).mean()


def test_equal_images_are_left_alone_without_a_note() -> None:
    fixed, _, _ = pair(9)
    found = find_linear(fixed, fixed)
    assert found.notes == () and errors(fixed, found.matrix, np.eye(4)).max() < 0.05


def test_tiny_crops_are_registered() -> None:
    image = blobs(9, (70, 72, 68))[0]
    whole = Volume.from_array(image, lattice(image.shape, (1, 1, 1)))
    truth = affine_map(9, 6, 0.05, 1.5)
    moved = seen_through(whole, truth, (70, 72, 68), whole.affine)
    fixed, moving = crop(whole, (18, 10, 16), (53, 61, 52)), crop(moved, (16, 12, 17), (51, 63, 53))
    assert fixed.shape == (35, 51, 36)
    assert errors(fixed, register_linear(fixed, moving), truth).mean() < 0.5


def test_a_lost_map_is_given_up_with_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    fixed, moving, _ = pair(0)
    rigid = register_linear(fixed, moving, "rigid")
    optimized = linear._Pair.optimized
    away = np.eye(4)
    away[:3, 3] = 500
    monkeypatch.setattr(
        linear._Pair,
        "optimized",
        lambda s, m, stage, *rest: away @ m if stage == "affine" else optimized(s, m, stage, *rest),
    )
    found = find_linear(fixed, moving)
    assert found.kind == "rigid" and len(found.notes) == 1
    assert "affine map was given up because only 0%" in found.notes[0] and "rigid map is used" in found.notes[0]
    np.testing.assert_array_equal(found.matrix, rigid)


@pytest.mark.slow
def test_a_map_that_shrinks_the_image_to_a_point_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    fixed, moving, _ = pair(0)
    monkeypatch.setattr(linear._Pair, "optimized", lambda s, m, *rest: m @ np.diag([0.4, 1, 1, 1]))
    found = find_linear(fixed, moving, "rigid")
    assert found.kind == "moments" and "stretches the image to between 0.064 and 1 times" in found.notes[0]


def test_progress_grows_and_cancels() -> None:
    fixed, moving, _ = pair(0)
    told: list[float] = []
    register_linear(fixed, moving, "rigid", progress=lambda f, m: told.append(f))
    assert told == sorted(told) and len(told) > 20 and told[-1] == 1

    def stop(fraction: float, message: str) -> None:
        if fraction > 0.2:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        register_linear(fixed, moving, progress=stop)


def test_what_cannot_be_registered_is_refused_in_a_sentence() -> None:
    fixed, moving, _ = pair(0)
    constant = fixed.with_data(np.full(fixed.shape, 3.0))
    with pytest.raises(FileError, match="fixed image is 3 in every voxel"):
        register_linear(constant, moving)
    with pytest.raises(FileError, match="moving image is 3 in every voxel"):
        register_linear(fixed, constant)
    broken = fixed.data.copy()
    broken[0, 0, 0, 0] = np.nan
    with pytest.raises(FileError, match="not finite"):
        register_linear(fixed.with_data(broken), moving)
    with pytest.raises(GeometryError, match="40 × 44 × 1 voxels"):
        register_linear(crop(fixed, (0, 0, 3), (40, 44, 4)), moving)
    with pytest.raises(GeometryError, match="empty"):
        register_linear(fixed, moving, fixed_mask=np.zeros(fixed.shape))
    with pytest.raises(GeometryError, match="on the lattice of the fixed image"):
        register_linear(fixed, moving, fixed_mask=np.ones(moving.shape))
