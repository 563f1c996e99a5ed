from __future__ import annotations

import numpy as np
import pytest

from workbench.phantoms.deformation import (
    exponential,
    jacobian_determinant,
    pull,
    random_deformation,
    smooth_field,
)

SHAPE, SPACING = (26, 30, 24), 8.0


def brain() -> np.ndarray:
    x, y, z = np.indices(SHAPE)
    return ((x - 12.5) / 9) ** 2 + ((y - 14.5) / 11) ** 2 + ((z - 11.5) / 8) ** 2 < 1


def draw(seed: int, spacing: float = SPACING, largest_mm: float = 20.0):
    return random_deformation(
        brain(), spacing, largest_mm=largest_mm, scale_mm=26.0, rng=np.random.default_rng(seed)
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(4))
def test_maps_are_inverse_to_each_other_in_both_orders(seed: int) -> None:
    there, back = draw(seed)
    for a, b in ((there, back), (back, there)):
        error = np.linalg.norm(b + pull(a, b, SPACING), axis=0)[brain()] / SPACING
        assert np.median(error) < 0.1
        assert np.percentile(error, 99) < 0.5


@pytest.mark.parametrize("seed", range(4))
def test_nothing_folds(seed: int) -> None:
    for field in draw(seed):
        assert jacobian_determinant(field, SPACING).min() > 0


def test_the_largest_displacement_is_about_the_one_asked_for() -> None:
    length = np.linalg.norm(draw(1).warp, axis=0)[brain()]
    assert 12 < length.max() < 22


def test_a_constant_velocity_moves_by_itself() -> None:
    velocity = np.zeros((3, 9, 9, 9), np.float32)
    velocity[1] = 4.0
    np.testing.assert_allclose(exponential(velocity, 2.0), velocity, atol=1e-5)


def test_a_linear_velocity_stretches_by_the_exponential() -> None:
    # dx/dt = a (x - c) has the flow c + exp(a) (x - c)
    x = (np.arange(41) - 20) * 2.0
    velocity = np.zeros((3, 41, 5, 5), np.float32)
    velocity[0] = 0.3 * x[:, None, None]
    stretched = exponential(velocity, 2.0)[0, :, 2, 2]
    inner = np.abs(x) < 40 * np.exp(-0.3)  # the rest leaves the lattice
    np.testing.assert_allclose(stretched[inner], ((np.exp(0.3) - 1) * x)[inner], atol=0.05)


def test_pull_reads_at_the_displaced_place() -> None:
    image = np.arange(5, dtype=np.float32)[None, :, None, None] * np.ones((1, 5, 3, 3), np.float32)
    move = np.zeros((3, 5, 3, 3), np.float32)
    move[0] = 3.0  # mm, one and a half voxels of 2 mm
    np.testing.assert_allclose(pull(image, move, 2.0)[0, :, 1, 1], [1.5, 2.5, 3.5, 4, 4], atol=1e-5)


def test_one_seed_gives_one_field_at_every_spacing() -> None:
    coarse = smooth_field((25, 25, 25), 8.0, 26.0, np.random.default_rng(3))
    fine = smooth_field((49, 49, 49), 4.0, 26.0, np.random.default_rng(3))
    np.testing.assert_allclose(fine[::2, ::2, ::2], coarse, atol=1e-5)


def test_smooth_fields_have_unit_variance() -> None:
    values = [smooth_field((8, 8, 8), 8.0, 16.0, np.random.default_rng(s))[4, 4, 4] for s in range(400)]
    assert np.std(values) == pytest.approx(1, abs=0.12)


def test_jacobian_of_a_stretch_is_its_factor() -> None:
    x = np.indices((6, 6, 6)).astype(float) * 2.0
    np.testing.assert_allclose(jacobian_determinant(0.1 * x, 2.0), 1.1**3, rtol=1e-6)
