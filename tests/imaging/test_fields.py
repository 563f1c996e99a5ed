import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from workbench.errors import GeometryError, UnreadableFile
from workbench.imaging.fields import read_field, write_field
from workbench.imaging.geometry import warp
from workbench.imaging.volume import Volume

AFFINE = np.array([[2.0, 0, 0, -10], [0, 3, 0, 5], [0, 0, 4, 7], [0, 0, 0, 1]])
FIELD = np.random.default_rng(0).normal(size=(3, 4, 5, 6)).astype(np.float32)


def test_a_field_returns_as_it_was_written(tmp_path):
    write_field(FIELD, AFFINE, tmp_path / "u.nii.gz")
    field, affine = read_field(tmp_path / "u.nii.gz")
    assert np.array_equal(field, FIELD) and np.array_equal(affine, AFFINE)


def test_the_file_is_a_vector_image_in_lps(tmp_path):
    write_field(FIELD, AFFINE, tmp_path / "u.nii")
    image = nib.load(tmp_path / "u.nii")
    assert image.shape == (4, 5, 6, 1, 3) and image.header.get_intent()[0] == "vector"
    assert np.allclose(np.asarray(image.dataobj)[1, 2, 3, 0], FIELD[:, 1, 2, 3] * [-1, -1, 1])


def test_simpleitk_moves_the_same_points(tmp_path):
    """An independent implementation: ITK's displacement field transform, at a point between voxels."""
    write_field(FIELD, AFFINE, tmp_path / "u.nii")
    transform = sitk.DisplacementFieldTransform(sitk.ReadImage(str(tmp_path / "u.nii"), sitk.sitkVectorFloat64))
    ras = Volume.from_array(FIELD, AFFINE).to_mm(np.array([1, 2, 3]))
    x, y, z = transform.TransformPoint((-ras[0], -ras[1], ras[2]))
    assert np.allclose([-x, -y, z], ras + FIELD[:, 1, 2, 3], atol=1e-4)


def test_another_lattice_order_turns_the_lattice_and_not_the_vectors(tmp_path):
    flipped = AFFINE.copy()
    flipped[:3, 0] *= -1
    flipped[0, 3] = AFFINE[0, 3] + 2 * 3
    vectors = np.moveaxis(FIELD * np.float32([-1, -1, 1])[:, None, None, None], 0, 3)[::-1, :, :, None]
    nib.save(nib.Nifti1Image(np.ascontiguousarray(vectors), flipped), tmp_path / "u.nii")
    field, affine = read_field(tmp_path / "u.nii")
    assert np.array_equal(field, FIELD) and np.allclose(affine, AFFINE)


def test_a_stored_shift_warps_by_that_shift(tmp_path):
    field = np.zeros((3, 4, 5, 6), np.float32)
    field[0] = 2.0  # one voxel to the right
    write_field(field, AFFINE, tmp_path / "u.nii")
    image = np.random.default_rng(1).normal(size=(4, 5, 6)).astype(np.float32)
    out = warp(Volume.from_array(image, AFFINE), read_field(tmp_path / "u.nii")[0])
    assert np.allclose(out.data[0, :-1], image[1:], atol=1e-6)


def test_other_shapes_and_missing_vectors(tmp_path):
    nib.save(nib.Nifti1Image(np.zeros((2, 3, 4), np.float32), AFFINE), tmp_path / "a.nii")
    with pytest.raises(GeometryError, match=r"has the shape 2 × 3 × 4; a displacement field is X × Y × Z × 1 × 3"):
        read_field(tmp_path / "a.nii")
    broken = FIELD.copy()
    broken[0, 0, 0, 0] = np.nan
    write_field(broken, AFFINE, tmp_path / "b.nii")
    with pytest.raises(UnreadableFile, match="1 of 360 voxels"):
        read_field(tmp_path / "b.nii")
    with pytest.raises(ValueError, match=r"\(3, X, Y, Z\)"):
        write_field(FIELD[:2], AFFINE, tmp_path / "c.nii")
