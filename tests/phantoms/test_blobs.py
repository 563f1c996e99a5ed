from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from workbench.phantoms.blobs import (
    ellipsoid_radius,
    fine_field,
    frame_along,
    paint_curve,
    random_rotation,
    soft,
    voxel_centers,
)

AFFINE = np.diag([1.0, 1.0, 1.0, 1.0])
AFFINE[:3, 3] = (-20, -25, -15)
SHAPE = (41, 51, 31)


def test_centers_follow_the_affine() -> None:
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = (-98, -134, -72)
    centers = voxel_centers((3, 4, 5), affine)
    assert centers[:, 2, 3, 4] == pytest.approx((affine @ [2, 3, 4, 1])[:3])


def test_rotations_are_rotations_without_a_favorite_direction() -> None:
    rng = np.random.default_rng(0)
    drawn = np.array([random_rotation(rng) for _ in range(2000)])
    assert np.allclose(drawn @ drawn.transpose(0, 2, 1), np.eye(3), atol=1e-12)
    assert np.allclose(np.linalg.det(drawn), 1)
    assert np.abs(drawn.mean(axis=0)).max() < 5 / np.sqrt(3 * 2000)
    assert np.allclose((drawn**2).mean(axis=0), 1 / 3, atol=0.03)


def test_a_frame_begins_with_its_direction() -> None:
    frame = frame_along(np.array([1.0, -2.0, 2.0]), np.random.default_rng(0))
    assert frame[:, 0] == pytest.approx(np.array([1, -2, 2]) / 3)
    assert np.allclose(frame.T @ frame, np.eye(3)) and np.linalg.det(frame) == pytest.approx(1)


def test_an_ellipsoid_has_its_volume_and_its_axes() -> None:
    radii, middle = np.array([12.0, 8.0, 5.0]), np.array([1.0, -2.0, 0.5])
    rotation = Rotation.from_euler("xyz", [30, 40, 50], degrees=True).as_matrix()
    radius = ellipsoid_radius(voxel_centers(SHAPE, AFFINE), middle, radii, rotation)
    assert (radius < 1).sum() == pytest.approx(4 / 3 * np.pi * radii.prod(), rel=0.02)
    tips = (middle[:, None] + rotation * radii).reshape(3, 3, 1, 1)
    assert ellipsoid_radius(tips, middle, radii, rotation) == pytest.approx(1, abs=1e-5)


def test_a_soft_edge_is_one_half_at_the_surface() -> None:
    assert soft(np.array([-50.0, 0.0, 50.0]), 1.0) == pytest.approx([1, 0.5, 0])
    assert np.all(np.diff(soft(np.linspace(-5, 5, 40), 0.8)) < 0)


@pytest.mark.parametrize("spacing", [1.0, 2.0])
def test_a_fine_field_is_as_smooth_as_asked(spacing: float) -> None:
    field = fine_field((40, 40, 40), spacing, 3.0, np.random.default_rng(0))
    assert field.std() == pytest.approx(1, rel=1e-3)
    lag = int(4 / spacing)  # a Gaussian of sigma s leaves correlation exp(-lag² / 4s²)
    apart = np.mean(field[lag:] * field[:-lag])
    assert apart == pytest.approx(np.exp(-(4**2) / (4 * 3**2)), abs=0.12)


def test_a_tube_lies_along_its_curve_and_nowhere_else() -> None:
    volume = np.zeros(SHAPE, np.float32)
    paint_curve(volume, AFFINE, np.array([(-10.0, 0, 0), (10.0, 0, 0)]), 2.0)
    assert 0.9 < volume[20, 25, 15] <= 1
    assert np.allclose(volume[12:29, 25, 15], volume[20, 25, 15], atol=0.02)
    x, y, z = voxel_centers(SHAPE, AFFINE)
    away = np.sqrt(np.maximum(np.abs(x) - 10, 0) ** 2 + y**2 + z**2)
    assert volume[away > 6].max() < 1e-3
    assert volume[20, 25 + 2, 15] < 0.6 * volume[20, 25, 15]


def test_a_tube_beyond_the_border_is_cut() -> None:
    volume = np.zeros((5, 5, 5), np.float32)
    paint_curve(volume, np.eye(4), np.array([(-30.0, 2, 2), (2.0, 2, 2)]), 1.0)
    assert volume[:3, 2, 2].min() > 0.5 and volume[4, 2, 2] < 0.3
