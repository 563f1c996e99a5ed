from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from pair_maker import affine_map, blobs, deformed_pair, lattice
from scipy.ndimage import map_coordinates

from workbench.errors import GeometryError
from workbench.imaging.displacements import invert, jacobian_determinant
from workbench.imaging.fields import read_field, write_field
from workbench.imaging.geometry import warp
from workbench.imaging.volume import Volume
from workbench.registration.deformable import total_fields
from workbench.registration.match import Match
from workbench.registration.registered import Registered

MOVING_SHAPE = (26, 40, 18)


def registered(seed: int = 0, deformed: bool = True) -> Registered:
    """An affine and a deformable map between oblique lattices of different shape and spacing."""
    pair = deformed_pair(seed)
    fixed = Volume.from_array(pair.fixed, lattice(pair.fixed.shape, (1.0, 1.1, 1.4), (10, -5, 20)))
    moving_image = blobs(seed, MOVING_SHAPE)[0]
    moving = Volume.from_array(moving_image, lattice(MOVING_SHAPE, (1.5, 1.0, 2.5), (-15, 5, 0)))
    linear = affine_map(seed)
    match = Match(pair.field, invert(pair.field, tolerance=1e-3)) if deformed else None
    field, inverse = total_fields(fixed, moving, linear, match)
    return Registered("test", fixed, moving, linear, field, inverse)


def some_points(volume: Volume, seed: int = 0, margin: float = 6) -> np.ndarray:
    n = np.array(volume.shape) - 1
    return volume.to_mm(np.random.default_rng(seed).uniform(margin, n - margin, (200, 3)))


@pytest.mark.parametrize("deformed", [False, True])
def test_warped_image_is_the_moving_one_at_the_warped_points(deformed: bool) -> None:
    result = registered(deformed=deformed)
    voxels = np.random.default_rng(0).integers(0, result.fixed.shape, (300, 3))
    there = result.moving.to_voxels(result.warp_points(result.fixed.to_mm(voxels)))
    inside = ((there >= 0) & (there <= np.array(MOVING_SHAPE) - 1)).all(1)
    assert inside.sum() > 100
    expected = map_coordinates(result.moving.data[0], there.T, order=1)
    np.testing.assert_allclose(result.warped().data[0][tuple(voxels.T)][inside], expected[inside], atol=1e-3)


def test_a_linear_result_moves_points_by_its_matrix_also_beyond_the_lattice() -> None:
    result = registered(deformed=False)
    points = np.random.default_rng(1).uniform(-200, 200, (50, 3))
    expected = points @ result.linear[:3, :3].T + result.linear[:3, 3]
    np.testing.assert_allclose(result.warp_points(points), expected, atol=1e-3)
    np.testing.assert_allclose(result.warp_points_back(expected), points, atol=1e-3)
    np.testing.assert_allclose(result.jacobian(), 1, atol=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_points_come_back(seed: int) -> None:
    result = registered(seed)
    points = some_points(result.fixed)
    there = result.warp_points(points)
    assert np.linalg.norm(there - points @ result.linear[:3, :3].T - result.linear[:3, 3], axis=1).max() > 0.7
    voxels = result.moving.to_voxels(there)
    seen = ((voxels > 0) & (voxels < np.array(MOVING_SHAPE) - 1)).all(1)
    error = np.linalg.norm(result.warp_points_back(there) - points, axis=1)[seen]
    assert seen.sum() > 50 and np.median(error) < 0.1 and error.max() < 1.0


def test_the_deformable_part_is_found_again_in_the_total() -> None:
    result, field = registered(), deformed_pair(0).field
    np.testing.assert_allclose(result.deformation(), field, atol=1e-3)
    np.testing.assert_allclose(result.jacobian(), jacobian_determinant(field), atol=2e-3)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_labels_of_a_moved_image_agree_with_thresholding_it(mode: str) -> None:
    result = registered()
    labels = (result.moving.data[0] > 0.2).astype(np.uint8) * 9
    warped = result.warp_labels(labels, mode)  # type: ignore[arg-type]
    assert set(np.unique(warped)) == {0, 9} and warped.dtype == np.int32
    assert ((result.warped().data[0] > 0.2) == (warped == 9)).mean() > 0.95


def test_labels_of_another_lattice_are_refused() -> None:
    with pytest.raises(GeometryError, match="on its lattice"):
        registered().warp_labels(np.zeros((3, 3, 3), int))


def test_fields_survive_the_file_that_itk_reads(tmp_path) -> None:
    result = registered()
    write_field(result.field, result.fixed.affine, tmp_path / "field.nii.gz")
    field, affine = read_field(tmp_path / "field.nii.gz")
    again = warp(result.moving, field, like=Volume.from_array(result.fixed.data, affine))
    inside = result.warped().data > 0.05
    np.testing.assert_allclose(again.data[inside], result.warped().data[inside], atol=1e-3)


def test_itk_moves_points_by_the_written_field_as_we_do(tmp_path) -> None:
    import SimpleITK as sitk

    result = registered()
    write_field(result.field, result.fixed.affine, tmp_path / "field.nii")
    stored = sitk.ReadImage(str(tmp_path / "field.nii"), sitk.sitkVectorFloat64)
    transform = sitk.DisplacementFieldTransform(stored)
    points = some_points(result.fixed)[:40]
    flip = np.array([-1.0, -1.0, 1.0])
    theirs = [np.array(transform.TransformPoint((flip * p).tolist())) * flip for p in points]
    np.testing.assert_allclose(result.warp_points(points), theirs, atol=1e-2)


def test_fields_of_the_wrong_lattice_are_refused() -> None:
    result = registered()
    with pytest.raises(ValueError, match="lattices"):
        dataclasses.replace(result, field=result.inverse)
    with pytest.raises(ValueError, match="one lattice"):
        Match(result.field, result.inverse)
    with pytest.raises(ValueError, match=r"\(N, 6\)"):
        Match(result.field, result.field, points=np.zeros((4, 3)))
