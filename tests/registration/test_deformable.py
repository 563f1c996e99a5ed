from __future__ import annotations

import numpy as np
import pytest
from pair_maker import affine_map, blobs, deformed_pair, dice, lattice, seen_through

from workbench.errors import FileError, GeometryError
from workbench.imaging.volume import Volume
from workbench.registration.channel_demons import channel_demons
from workbench.registration.deformable import moved_linearly, register
from workbench.registration.itk_demons import itk_demons
from workbench.registration.match import EnergyRow, Match

SHAPE, EDGES = (34, 26, 30), (1.6, 2.2, 1.8)


def pair(seed: int):
    """Blobs, deformed and then moved by an affine map onto an oblique lattice of other voxels; labels of both."""
    small = deformed_pair(seed)
    fixed = Volume.from_array(small.fixed, lattice(small.fixed.shape, (2.0, 2.0, 2.0), (0, 12, 0)))
    source, labels = (Volume.from_array(i, fixed.affine) for i in (small.moving, small.moving_labels))
    truth = affine_map(seed, 8, 0.05, 5)
    shape, affine = (44, 40, 36), lattice((44, 40, 36), EDGES, (-10, 5, 8))
    moving = seen_through(source, truth, shape, affine)
    moving_labels = sum(
        k * (seen_through(labels.with_data(labels.data == k), truth, shape, affine).data[0] > 0.5) for k in (1, 2, 3)
    )
    return fixed, moving, small.fixed_labels, moving_labels, truth


def demons(fixed, moving, spacing, progress) -> Match:
    return itk_demons(fixed, moving, spacing, n_iterations=40, levels=2, histogram_matching=False, progress=progress)


def channels(fixed, moving, spacing, progress) -> Match:
    return channel_demons(fixed, moving, spacing, progress=progress)


@pytest.mark.parametrize(("seed", "engine"), [(0, demons), pytest.param(1, channels, marks=pytest.mark.slow)])
def test_affine_and_deformation_are_undone_together(seed: int, engine) -> None:
    fixed, moving, labels, moving_labels, _ = pair(seed)
    told: list[float] = []
    linear = register(fixed, moving)
    both = register(fixed, moving, method="demons", deform=engine, progress=lambda f, m: told.append(f))
    before, after = (dice(labels, r.warp_labels(moving_labels)) for r in (linear, both))
    assert 1 - after < 0.9 * (1 - before) and after > 0.75
    assert both.folded_share == 0 and both.jacobian().min() > 0 and both.energy and both.seconds > 0
    assert told == sorted(told) and told[-1] == 1
    points = fixed.to_mm(np.argwhere(labels > 0)[::40])
    back = both.warp_points_back(both.warp_points(points))
    assert np.linalg.norm(back - points, axis=1).max() < 1.0  # half a voxel


def test_a_given_matrix_is_used_as_it_is() -> None:
    fixed, moving, _, _, truth = pair(0)
    result = register(fixed, moving, linear=truth)
    np.testing.assert_array_equal(result.linear, truth)
    points = fixed.to_mm(np.random.default_rng(0).uniform(0, 22, (20, 3)))
    np.testing.assert_allclose(result.warp_points(points), points @ truth[:3, :3].T + truth[:3, 3], atol=1e-3)
    np.testing.assert_allclose(result.warped().data[0], moved_linearly(moving, fixed, truth), atol=0.7)


def test_no_linear_map_and_no_engine_is_the_identity() -> None:
    image = Volume.from_array(blobs(0)[0], lattice((28, 30, 26), (1, 2, 3), (10, 20, 30)))
    result = register(image, image, linear="none", method="nothing")
    np.testing.assert_allclose(result.warped().data, image.data, atol=1e-4)
    np.testing.assert_allclose(result.field, 0, atol=1e-5)
    np.testing.assert_array_equal(result.warp_labels(blobs(0)[1]), blobs(0)[1])
    np.testing.assert_allclose(result.jacobian(), 1, atol=1e-4)


def test_driving_points_and_energy_are_carried_into_mm() -> None:
    fixed, moving, _, _, truth = pair(0)
    points = np.array([[3, 4, 5, 6, 7, 8]], np.float32)

    def engine(f, m, spacing, progress) -> Match:
        zero = np.zeros((3, *f.shape), np.float32)
        return Match(zero, zero, (EnergyRow("level 1 of 1", 1, 2.0, 7),), points)

    result = register(fixed, moving, linear=truth, deform=engine)
    here, there = fixed.to_mm(points[:, :3]), fixed.to_mm(points[:, 3:])
    np.testing.assert_allclose(result.points_mm[:, :3], here, atol=1e-4)
    np.testing.assert_allclose(result.points_mm[:, 3:], there @ truth[:3, :3].T + truth[:3, 3], atol=1e-4)
    assert result.energy[0].energy == 2.0


def test_folds_are_measured_and_told() -> None:
    fixed, moving, _, _, truth = pair(0)

    def folding(f, m, spacing, progress) -> Match:
        field = np.zeros((3, *f.shape), np.float32)
        field[0, 10, 10, 10] = 5
        return Match(field, -field)

    result = register(fixed, moving, linear=truth, deform=folding)
    assert result.folded_share > 0 and "folds in 0.0" in result.notes[0]


def test_the_linearly_moved_image_has_no_edge_where_it_ends() -> None:
    bright = Volume.from_array(5 + blobs(0)[0], lattice((28, 30, 26), (1, 1, 1)))
    shift = np.eye(4)
    shift[0, 3] = 12
    assert moved_linearly(bright, bright, shift).min() >= 4.9
    assert register(bright, bright, linear=shift).warped().data[0, -1].max() < 5.1  # but it is not made up


def test_what_cannot_be_registered_is_refused() -> None:
    fixed, moving, _, _, _ = pair(0)
    away = np.eye(4)
    away[:3, 3] = 1000
    with pytest.raises(GeometryError, match="do not overlap"):
        register(fixed, moving, linear=away)
    with pytest.raises(FileError, match="moving image is 0"):
        register(fixed, moving.with_data(0 * moving.data), linear="none")
    with pytest.raises(LookupError, match="'similarity'"):
        register(fixed, moving, linear="similarity")
