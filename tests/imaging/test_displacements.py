from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import expm
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.spatial.transform import Rotation

from workbench.imaging.displacements import (
    compose,
    exponential,
    folded_share,
    invert,
    jacobian_determinant,
    lattice_positions,
    pull,
    pull_at,
    resample_field,
    resize,
    smooth,
    to_mm,
    to_voxels,
    unfold,
)
from workbench.imaging.geometry import warp
from workbench.imaging.volume import Volume

SHAPE = (24, 22, 26)


def velocity(seed: int, largest: float = 2.5, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """A smooth random field that vanishes at the border, so that no path leaves the lattice."""
    noise = np.random.default_rng(seed).standard_normal((3, *shape))
    inner = np.zeros(shape)
    inner[4:-4, 4:-4, 4:-4] = 1
    field = np.stack([gaussian_filter(n, 4) for n in noise]) * gaussian_filter(inner, 2.0)
    return (field * (largest / np.abs(field).max())).astype(np.float32)


def linear_field(matrix: np.ndarray, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """The displacement of x → c + matrix (x - c), c the middle of the lattice."""
    middle = (np.array(shape) - 1) / 2
    full = np.eye(4)
    full[:3, :3] = matrix - np.eye(3)
    full[:3, 3] = -full[:3, :3] @ middle
    return lattice_positions(shape, full)


def oblique(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_rotvec(rng.uniform(-0.5, 0.5, 3)).as_matrix() @ np.diag([0.8, 1.0, 2.5])
    affine[:3, 3] = rng.uniform(-50, 50, 3)
    return affine


def inner(field: np.ndarray, margin: int) -> np.ndarray:
    return field[..., margin:-margin, margin:-margin, margin:-margin]


@pytest.mark.parametrize("mode", ["linear", "nearest"])
def test_zero_warp_is_identity(mode: str) -> None:
    maps = np.random.default_rng(0).standard_normal((2, *SHAPE)).astype(np.float32)
    np.testing.assert_allclose(pull(maps, np.zeros((3, *SHAPE)), mode), maps, atol=1e-4)  # type: ignore[arg-type]


def test_pull_agrees_with_scipy_and_fills_only_outside() -> None:
    rng = np.random.default_rng(1)
    image, field = rng.standard_normal(SHAPE).astype(np.float32), np.round(rng.normal(0, 4, (3, *SHAPE)), 1) + 0.03
    where = np.indices(SHAPE) + field
    expected = map_coordinates(image, where, order=1, mode="nearest")
    np.testing.assert_allclose(pull(image[None], field)[0], expected, atol=1e-3)
    filled = pull(image[None], field, fill=99.0)[0]
    outside = ((where < -0.5) | (where > np.array(SHAPE).reshape(3, 1, 1, 1) - 0.5)).any(0)
    assert 0.1 < outside.mean() < 0.9
    np.testing.assert_allclose(filled, np.where(outside, 99, expected), atol=1e-3)


def test_pull_onto_a_smaller_lattice_reads_its_places() -> None:
    image = np.random.default_rng(2).standard_normal((1, *SHAPE)).astype(np.float32)
    step = np.full((3, 5, 6, 7), 2.0)
    np.testing.assert_allclose(pull(image, step), image[:, 2:7, 2:8, 2:9], atol=1e-4)


def test_nearest_keeps_labels() -> None:
    labels = np.random.default_rng(3).integers(0, 4000, (1, *SHAPE)).astype(np.float32)
    moved = pull(labels, velocity(3), "nearest")
    assert np.isin(moved, labels).all()


def test_what_goes_in_comes_out() -> None:
    field = velocity(4)
    for function in (
        exponential,
        invert,
        jacobian_determinant,
        unfold,
        lambda f: smooth(f, 1.0),
        lambda f: compose(f, f),
    ):
        array, tensor = function(field), function(torch.from_numpy(field))
        assert isinstance(array, np.ndarray) and isinstance(tensor, torch.Tensor)
        assert array.dtype == np.float32 and tensor.dtype == torch.float32
        np.testing.assert_array_equal(array, tensor.numpy())


def test_inputs_are_left_alone() -> None:
    field = velocity(5)
    before = field.copy()
    for function in (exponential, invert, unfold, lambda f: smooth(f, 1.0), lambda f: resize(f, SHAPE)):
        function(field)[...] = 7
        np.testing.assert_array_equal(field, before)


def test_compose_adds_translations_and_multiplies_linear_maps() -> None:
    shift = np.ones((3, *SHAPE), np.float32)
    np.testing.assert_allclose(compose(shift, 2 * shift), 3, atol=1e-5)
    turn = Rotation.from_rotvec([0.1, -0.05, 0.2]).as_matrix()
    stretch = np.diag([1.05, 0.9, 1.1])
    both = compose(linear_field(turn), linear_field(stretch))
    np.testing.assert_allclose(inner(both, 5), inner(linear_field(turn @ stretch), 5), atol=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_composition_is_associative_to_interpolation(seed: int) -> None:
    a, b, c = (velocity(10 * seed + i, 1.5) for i in range(3))
    difference = compose(compose(a, b), c) - compose(a, compose(b, c))
    assert np.abs(difference).max() < 0.08
    assert np.abs(compose(a, b) - compose(b, a)).max() > 0.16  # which is not so for commutation


@pytest.mark.parametrize("seed", range(3))
def test_exponentials_of_opposite_velocities_cancel(seed: int) -> None:
    v = velocity(seed)
    there, back = exponential(v), exponential(-v)
    assert np.abs(there).max() > 1.5
    apart = np.linalg.norm(compose(there, back), axis=0)
    assert apart.max() < 0.5 and apart.mean() < 0.03
    assert jacobian_determinant(there).min() > 0


def test_exponential_of_a_linear_velocity_is_the_matrix_exponential() -> None:
    rate = np.array([[0.1, 0.15, 0.0], [-0.15, 0.05, 0.1], [0.0, -0.1, -0.1]])
    flow = exponential(linear_field(np.eye(3) + rate))
    expected = linear_field(expm(rate))
    np.testing.assert_allclose(inner(flow, 6), inner(expected, 6), atol=0.02)


def test_exponential_takes_the_fewest_halvings_below_half_a_voxel() -> None:
    for largest, n in ((0.0, 0), (0.4, 0), (0.6, 1), (1.1, 2), (2.5, 3)):
        v = velocity(7) * (largest / np.linalg.norm(velocity(7), axis=0).max())
        np.testing.assert_array_equal(exponential(v), exponential(v, n))


@pytest.mark.parametrize("seed", range(4))
def test_inverse_composes_to_identity_both_ways(seed: int) -> None:
    field = exponential(velocity(seed, 3.0))
    back = invert(field, tolerance=1e-3)
    assert np.linalg.norm(compose(field, back), axis=0).max() < 0.01
    assert np.linalg.norm(compose(back, field), axis=0).max() < 0.25  # by interpolation of the inverse


def test_a_threefold_stretch_is_inverted() -> None:
    # here u grows by 2 a voxel, so that the undamped fixed point diverges
    field = linear_field(np.diag([3.0, 1.0, 1.0]))
    middle = invert(field, 100, 1e-4)
    np.testing.assert_allclose(middle, linear_field(np.diag([1 / 3, 1.0, 1.0])), atol=1e-2)


@pytest.mark.parametrize("seed", range(3))
def test_jacobian_of_a_linear_map_is_its_determinant(seed: int) -> None:
    matrix = np.eye(3) + np.random.default_rng(seed).uniform(-0.3, 0.3, (3, 3))
    np.testing.assert_allclose(jacobian_determinant(linear_field(matrix)), np.linalg.det(matrix), rtol=1e-4)


def test_jacobian_equals_numpy_determinants_slab_by_slab(monkeypatch: pytest.MonkeyPatch) -> None:
    field = velocity(1, 4.0)
    slopes = np.stack([np.stack(np.gradient(u.astype(float)), -1) for u in field], -2)
    monkeypatch.setattr("workbench.imaging.displacements.SLAB_VOXELS", 5 * SHAPE[1] * SHAPE[2])
    np.testing.assert_allclose(jacobian_determinant(field), np.linalg.det(slopes + np.eye(3)), atol=1e-5)


def test_jacobian_of_a_single_slice_ignores_its_third_axis() -> None:
    field = linear_field(np.diag([1.2, 0.9, 1.0]), (6, 7, 1))
    np.testing.assert_allclose(jacobian_determinant(field), 1.08, rtol=1e-5)


def test_folds_are_counted_and_smoothed_away_near_them_only() -> None:
    field = velocity(2, 2.0)
    field[0, 8, 8, 8] += 4
    assert folded_share(field) > 0
    mended = unfold(field)
    assert folded_share(mended) == 0 and jacobian_determinant(mended).min() >= 0.05
    far = np.linalg.norm(np.indices(SHAPE) - 8.0, axis=0) > 11
    np.testing.assert_allclose(mended[:, far], field[:, far], atol=1e-4)
    smooth_one = velocity(2, 2.0)
    np.testing.assert_array_equal(unfold(smooth_one), smooth_one)


def test_smoothing_is_scipys_along_each_axis_and_keeps_constants() -> None:
    field = np.random.default_rng(0).standard_normal((3, *SHAPE)).astype(np.float32)
    expected = [gaussian_filter(f, (1.0, 0.0, 2.0), mode="nearest", truncate=3.0) for f in field]
    np.testing.assert_allclose(smooth(field, (1.0, 0.0, 2.0)), expected, atol=1e-5)
    np.testing.assert_allclose(smooth(np.ones_like(field), 1.5), 1, atol=1e-5)


def test_resized_field_moves_the_same_places() -> None:
    # a linear map of the extent is the same linear map on every lattice over it
    matrix = np.diag([1.1, 0.9, 1.05])
    fine, coarse = (24, 20, 28), (12, 10, 7)
    resized = resize(linear_field(matrix, fine), coarse)
    np.testing.assert_allclose(inner(resized, 1), inner(linear_field(matrix, coarse), 1), atol=1e-4)
    back = resize(resized, fine)
    assert back.shape == (3, *fine)
    np.testing.assert_allclose(inner(back, 5), inner(linear_field(matrix, fine), 5), atol=0.02)


@pytest.mark.parametrize("seed", range(3))
def test_mm_and_voxels_are_inverse_on_oblique_lattices(seed: int) -> None:
    field, affine = velocity(seed), oblique(seed)
    np.testing.assert_allclose(to_voxels(to_mm(field, affine), affine), field, atol=1e-5)
    # one voxel along the third axis is the third column of the affine
    unit = np.zeros((3, 1, 1, 1))
    unit[2] = 1
    np.testing.assert_allclose(to_mm(unit, affine)[:, 0, 0, 0], affine[:3, 2], rtol=1e-6)


@pytest.mark.parametrize("seed", range(2))
def test_pull_in_voxels_is_warp_in_mm_on_oblique_lattices(seed: int) -> None:
    image = np.random.default_rng(seed).standard_normal(SHAPE).astype(np.float32)
    volume, field = Volume.from_array(image, oblique(seed)), velocity(seed)
    np.testing.assert_allclose(
        warp(volume, to_mm(field, volume.affine)).data, pull(image[None], field, fill=0.0), atol=1e-3
    )


def test_resampled_field_gives_the_same_vectors_at_the_same_places() -> None:
    affine, other, shape = oblique(0), oblique(0).copy(), (11, 9, 10)
    other[:3, :3] = affine[:3, :3] @ np.array([[0, 2, 0], [2, 0, 0], [0, 0, 1.5]])  # permuted and coarser
    other[:3, 3] += affine[:3, :3] @ [1.0, 2.0, 3.0]
    gradient = np.random.default_rng(0).standard_normal((3, 4)) / 30
    places = lattice_positions(SHAPE, affine)
    field = np.einsum("ij,jxyz->ixyz", gradient[:, :3], places) + gradient[:, 3].reshape(3, 1, 1, 1)
    got = resample_field(field, affine, shape, other)
    new_places = lattice_positions(shape, other)
    expected = np.einsum("ij,jxyz->ixyz", gradient[:, :3], new_places) + gradient[:, 3].reshape(3, 1, 1, 1)
    voxels = Volume.from_array(field[0], affine).to_voxels(np.moveaxis(new_places, 0, -1))
    covered = ((voxels >= 0) & (voxels <= np.array(SHAPE) - 1)).all(-1)
    assert covered.mean() > 0.2
    np.testing.assert_allclose(got[:, covered], expected[:, covered], atol=1e-3)


def test_pull_at_points_keeps_their_shape() -> None:
    field = linear_field(np.diag([1.5, 1.0, 0.5]))
    points = np.random.default_rng(0).uniform(0, 17, (3, 4, 5)).astype(np.float32)
    middle = ((np.array(SHAPE) - 1) / 2).reshape(3, 1, 1)
    expected = (points - middle) * np.array([0.5, 0.0, -0.5]).reshape(3, 1, 1)
    np.testing.assert_allclose(pull_at(field, points), expected, atol=1e-4)
