from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt, map_coordinates

from workbench.phantoms.lattice import Lattice, deformed_points
from workbench.phantoms.painting import Canvas, blend, ellipsoid, sample, tube

BOX = Lattice((-20.0, -20.0, -20.0), (40.0, 40.0, 40.0))


def canvas(points: np.ndarray | None = None) -> Canvas:
    return Canvas(BOX.points(1.0) if points is None else points, 1.0, {"air": np.zeros(2), "fat": np.array([1.0, 0.5])})


def test_a_painted_ball_has_its_volume_in_every_image() -> None:
    made = canvas()
    made.ellipsoid("fat", (1.3, -2.1, 0.4), (9, 9, 9))
    assert made.images[0].sum() == pytest.approx(4 / 3 * np.pi * 9**3, rel=0.01)
    np.testing.assert_allclose(made.images[1], made.images[0] / 2, atol=1e-6)
    assert (made.substance == 1).sum() == pytest.approx(4 / 3 * np.pi * 9**3, rel=0.02)


def test_a_tube_is_a_cylinder_with_two_half_balls() -> None:
    made = canvas()
    made.tube("fat", (-8, -6, 0), (8, 6, 0), 5)
    assert made.images[0].sum() == pytest.approx(np.pi * 25 * 20 + 4 / 3 * np.pi * 125, rel=0.02)


def test_distances_agree_with_a_distance_transform() -> None:
    points = BOX.points(1.0)
    for found in (ellipsoid(points, (0, 0, 0), (12, 12, 12)), tube(points, (-5, 0, 0), (5, 0, 0), 6)):
        true = distance_transform_edt(found > 0) - distance_transform_edt(found <= 0)
        near = np.abs(found) < 5
        assert np.abs(found - true)[near].max() < 1.6  # the transform counts from voxel centers


def test_what_lies_below_shows_through_a_cut_voxel() -> None:
    made = canvas()
    made.paint_share("fat", np.full(made.substance.shape, 0.25))
    made.paint_share("fat", np.full(made.substance.shape, 0.5))
    np.testing.assert_allclose(made.images[0], 0.25 + 0.5 * 0.75)


def test_boxes_hold_every_shape_of_a_deformed_atlas() -> None:
    points = deformed_points(BOX, 1.0, ((10.0, 8.0),), np.random.default_rng(0))
    boxed, whole = canvas(points), canvas(points)
    boxed.ellipsoid("fat", (3, 2, -4), (8, 5, 6))
    whole.paint("fat", ellipsoid(points, (3, 2, -4), (8, 5, 6)))
    np.testing.assert_array_equal(boxed.images, whole.images)


def test_nothing_leaves_the_limit() -> None:
    made = canvas()
    made.limit = ellipsoid(made.points, (0, 0, 0), (6, 6, 6))
    made.ellipsoid("fat", (6, 0, 0), (8, 8, 8))
    assert made.images[0].max() == 1
    assert not made.images[0][made.limit > 1].any()


def test_a_fillet_only_adds_and_only_near_the_seam() -> None:
    a, b = np.random.default_rng(0).uniform(-20, 20, (2, 1000))
    joined = blend(a, b, 6.0)
    assert (joined <= np.minimum(a, b)).all()
    apart = np.abs(a - b) > 6
    np.testing.assert_array_equal(joined[apart], np.minimum(a, b)[apart])
    assert (np.minimum(a, b) - joined).max() <= 1.5


def test_sampling_agrees_with_scipy() -> None:
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(2, 9, 11, 7)).astype(np.float32)
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = (-8, -10, -6)
    points = rng.uniform(-5.9, 5.9, (3, 4, 5, 6)).astype(np.float32)
    expected = [map_coordinates(m, (points - affine[:3, 3, None, None, None]) / 2, order=1) for m in maps]
    np.testing.assert_allclose(sample(maps, affine, points), expected, atol=1e-4)
    assert not sample(maps, affine, points + 100).any()


@pytest.mark.parametrize("spacing", [1.5, 3.0, 5.0, 7.0, 8.0])
def test_one_seed_is_one_deformation_at_every_spacing(spacing: float) -> None:
    box = Lattice((0.0, 0.0, 0.0), (40.0, 56.0, 40.0))
    fine = deformed_points(box, 1.0, ((12.0, 4.0),), np.random.default_rng(3))
    coarse = deformed_points(box, spacing, ((12.0, 4.0),), np.random.default_rng(3))
    places = box.points(spacing)
    expected = np.stack([map_coordinates(f, places, order=1) for f in fine])
    assert np.abs(coarse - expected).max() < 0.35
    assert np.abs(coarse - places).max() > 1
