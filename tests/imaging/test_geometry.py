import numpy as np
import pytest

from workbench.errors import GeometryError, TooLarge
from workbench.imaging.geometry import crop, crop_to_mask, pad, put_back, resample, resample_like, warp
from workbench.imaging.volume import Grid, Volume

COS, SIN = np.cos(0.3), np.sin(0.3)
OBLIQUE = np.array([[COS, -SIN, 0, 10], [SIN, COS, 0, -20], [0, 0, 1, 5], [0, 0, 0, 1]]) @ np.diag([1, 2, 3, 1])


def ramp(shape, affine):
    """An image whose value is a linear function of the place in mm: linear interpolation is exact."""
    volume = Volume.from_array(np.zeros(shape), affine)
    points = volume.to_mm(np.stack(np.indices(shape), -1))
    return volume.with_data(points @ [1.0, 0.5, -0.25])


def noise(shape=(6, 7, 8), affine=OBLIQUE, seed=0):
    return Volume.from_array(np.random.default_rng(seed).normal(size=shape), affine, "T1")


def test_resampling_keeps_values_at_their_place_in_mm():
    volume = ramp((12, 10, 8), OBLIQUE)
    out = resample(volume, (1.5, 1.5, 1.5))
    assert out.shape == (8, 13, 16) and np.allclose(out.spacing, 1.5)
    expected = ramp(out.shape, out.affine).data
    inner = (slice(None), slice(1, -1), slice(2, -2), slice(2, -2))
    assert np.allclose(out.data[inner], expected[inner], atol=1e-4)


def test_resampling_keeps_the_centre_and_the_extent():
    volume = noise((9, 9, 9))
    out = resample(volume, (2, 2, 2))
    middle = [(np.array(v.shape) - 1) / 2 for v in (volume, out)]
    assert np.allclose(volume.to_mm(middle[0]), out.to_mm(middle[1]))
    assert np.abs(np.multiply(out.shape, out.spacing) - np.multiply(volume.shape, volume.spacing)).max() <= 1


def test_the_same_spacing_is_the_same_volume():
    volume = noise()
    assert resample(volume, volume.spacing) is volume


def test_half_the_spacing_by_nearest_repeats_each_voxel():
    volume = Volume.from_array(np.arange(8).reshape(2, 2, 2))
    out = resample(volume, (0.5, 0.5, 0.5), order=0)
    assert np.array_equal(out.data[0], volume.data[0].repeat(2, 0).repeat(2, 1).repeat(2, 2))


def test_an_absurd_spacing_is_refused_before_allocation():
    with pytest.raises(TooLarge, match="The resampled T1 declares"):
        resample(noise(), (1e-4, 1e-4, 1e-4))
    with pytest.raises(ValueError, match="three positive numbers"):
        resample(noise(), (1, 0, 1))


def test_resample_like_equals_simpleitk():
    import SimpleITK as sitk

    def itk(volume):
        image = sitk.GetImageFromArray(volume.data[0].T)
        lps = np.diag([-1, -1, 1, 1]) @ volume.affine
        image.SetSpacing(volume.spacing)
        image.SetOrigin(lps[:3, 3])
        image.SetDirection((lps[:3, :3] / volume.spacing).ravel())
        return image

    volume, like = noise((10, 9, 8)), noise((7, 8, 9), np.diag([1.5, 1.2, 2.0, 1]) + np.eye(4, k=3) * 6)
    like.affine[:3, 3] = volume.to_mm(np.array([2.0, 2.0, 2.0]))
    ours = resample_like(volume, like, fill=-7).data[0]
    theirs = sitk.GetArrayFromImage(sitk.Resample(itk(volume), itk(like), sitk.Transform(), sitk.sitkLinear, -7.0)).T
    assert np.abs(ours - theirs).max() < 1e-4 and (ours == -7).any() and (ours != -7).any()


def test_resample_like_takes_over_the_lattice():
    like = noise((4, 4, 4))
    like = Volume(like.data, like.affine, "T1", Grid((4, 4, 4), like.affine, "RAS"))
    out = resample_like(noise(), like, order=0)
    assert out.grid is like.grid and np.array_equal(out.affine, like.affine)
    assert resample_like(like, like).data is like.data


@pytest.mark.parametrize(("low", "high"), [((0, 0, 0), (6, 7, 8)), ((1, 2, 3), (4, 6, 5)), ((5, 0, 7), (6, 1, 8))])
def test_put_back_undoes_crop(low, high):
    volume = noise()
    part = crop(volume, low, high)
    assert part.shape == tuple(np.subtract(high, low)) and part.grid is None
    back = put_back(part, volume, fill=np.float32(9))
    x, y, z = (slice(a, b) for a, b in zip(low, high, strict=True))
    assert np.array_equal(back.data[:, x, y, z], volume.data[:, x, y, z])
    assert (back.data == 9).sum() == volume.data.size - part.data.size
    assert np.array_equal(back.affine, volume.affine)


def test_put_back_undoes_pad():
    volume = noise()
    padded = pad(volume, (1, 0, 2), (3, 1, 0), value=5)
    assert padded.shape == (10, 8, 10) and padded.data[0, 0, 0, 0] == 5
    assert np.allclose(padded.to_mm(np.array([1, 0, 2])), volume.to_mm(np.zeros(3)))
    assert np.array_equal(put_back(padded, volume).data, volume.data)


def test_put_back_far_away_is_all_fill_and_between_voxels_is_refused():
    volume = noise()
    far = Volume(volume.data, volume.affine.copy())
    far.affine[:3, 3] = volume.to_mm(np.array([100, 0, 0]))
    assert (put_back(far, volume, fill=3).data == 3).all()
    far.affine[:3, 3] = volume.to_mm(np.array([0.5, 0, 0]))
    with pytest.raises(GeometryError, match=r"does not lie on the voxels of T1 .*apart"):
        put_back(far, volume)


def test_crop_to_mask_keeps_the_mask_and_the_margin():
    volume, mask = noise(), np.zeros((6, 7, 8), bool)
    mask[2:4, 3, 5:8] = True
    assert crop_to_mask(volume, mask).shape == (2, 1, 3)
    part = crop_to_mask(volume, mask, margin=(1, 2, 3))
    assert part.shape == (4, 5, 6)  # cut off at the upper border along Z
    assert np.allclose(volume.to_voxels(part.affine[:3, 3]), [1, 1, 2])
    with pytest.raises(GeometryError, match="is empty"):
        crop_to_mask(volume, mask & False)
    with pytest.raises(GeometryError, match=r"mask has 2 × 2 × 2 voxels but T1 has 6 × 7 × 8"):
        crop_to_mask(volume, np.ones((2, 2, 2)))


@pytest.mark.parametrize("order", [0, 1, 3])
def test_zero_warp_is_identity(order):
    volume = noise()
    out = warp(volume, np.zeros((3, 6, 7, 8)), order)
    assert np.allclose(out.data, volume.data, atol=1e-5) and np.array_equal(out.affine, volume.affine)


def test_a_warp_looks_where_the_vector_points():
    volume = noise()
    field = np.broadcast_to((OBLIQUE[:3, :3] @ [0, 1, 0])[:, None, None, None], (3, 6, 7, 8))  # one voxel along Y
    out = warp(volume, field, fill=-1)
    assert np.allclose(out.data[:, :, :-1], volume.data[:, :, 1:], atol=1e-5) and (out.data[:, :, -1] == -1).all()


def test_a_warp_of_a_ramp_is_the_ramp_at_the_moved_points():
    volume = ramp((9, 9, 9), OBLIQUE)
    field = np.random.default_rng(0).uniform(-0.9, 0.9, (3, 9, 9, 9))
    out = warp(volume, field)
    expected = volume.data[0] + np.einsum("c,cxyz->xyz", [1.0, 0.5, -0.25], field)
    assert np.allclose(out.data[0, 2:-2, 2:-2, 2:-2], expected[2:-2, 2:-2, 2:-2], atol=1e-4)


def test_a_warp_between_lattices_equals_resampling_when_the_field_is_zero():
    volume, like = noise((8, 8, 8)), noise((5, 6, 7), np.diag([1.3, 2.1, 2.0, 1]) @ np.eye(4))
    like.affine[:3, 3] = volume.to_mm(np.array([1.0, 1.0, 1.0]))
    out = warp(volume, np.zeros((3, 5, 6, 7)), like=like, fill=4)
    assert np.allclose(out.data, resample_like(volume, like, fill=4).data, atol=1e-5)


def test_a_field_of_another_shape():
    with pytest.raises(GeometryError, match=r"field has 2 × 2 × 2 vectors but T1 has 6 × 7 × 8"):
        warp(noise(), np.zeros((3, 2, 2, 2)))


def test_channels_are_treated_alike():
    volume = Volume.from_array(np.random.default_rng(0).normal(size=(3, 4, 5, 6)))
    one = resample(Volume.from_array(volume.data[1]), (2, 2, 2))
    assert np.array_equal(resample(volume, (2, 2, 2)).data[1], one.data[0])
