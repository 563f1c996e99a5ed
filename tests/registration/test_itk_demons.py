from __future__ import annotations

import numpy as np
import pytest
from pair_maker import deformed_pair, dice

from workbench.errors import Cancelled, FileError, GeometryError
from workbench.imaging.displacements import compose, folded_share
from workbench.registration.itk_demons import itk_demons, matched
from workbench.registration.itk_images import check_image, field_from_itk, field_to_itk, spaced, to_itk
from workbench.registration.warped_labels import labels_at

CUBE = (1.0, 1.0, 1.0)


def moved(labels: np.ndarray, field: np.ndarray) -> np.ndarray:
    return labels_at(labels, np.indices(labels.shape) + field)


@pytest.mark.parametrize("kind", ["demons", "diffeomorphic"])
def test_a_known_deformation_is_recovered(kind: str) -> None:
    pair = deformed_pair(0)
    match = itk_demons(pair.fixed, pair.moving, CUBE, kind=kind, n_iterations=40)  # type: ignore[arg-type]
    inside = pair.fixed_labels > 0
    before = np.linalg.norm(pair.field, axis=0)[inside].mean()
    after = np.linalg.norm(match.forward - pair.field, axis=0)[inside].mean()
    assert after < 0.6 * before
    before, after = (dice(pair.fixed_labels, moved(pair.moving_labels, f)) for f in (0 * pair.field, match.forward))
    assert 1 - after < 0.7 * (1 - before)
    assert 1 - dice(pair.moving_labels, moved(pair.fixed_labels, match.inverse)) < 0.7 * (1 - before)


def test_diffeomorphic_demons_are_inverted_and_do_not_fold() -> None:
    pair = deformed_pair(1)
    match = itk_demons(pair.fixed, pair.moving, CUBE, n_iterations=30, levels=2)
    assert folded_share(match.forward) == 0
    assert np.linalg.norm(compose(match.forward, match.inverse), axis=0).max() < 0.05
    assert np.linalg.norm(compose(match.inverse, match.forward), axis=0).max() < 0.5
    assert {row.stage for row in match.energy} == {"level 1 of 2", "level 2 of 2"}
    last = [row.energy for row in match.energy if row.stage == "level 2 of 2"]
    assert last[-1] < last[0]


def test_equal_images_stay_where_they_are() -> None:
    image = deformed_pair(2).fixed
    match = itk_demons(image, image, CUBE, n_iterations=5, histogram_matching=False)
    np.testing.assert_array_equal(match.forward, 0)


def test_scale_of_intensities_does_not_matter() -> None:
    pair = deformed_pair(3)
    plain, scaled = (
        itk_demons(s * pair.fixed, s * pair.moving, CUBE, n_iterations=10, histogram_matching=False).forward
        for s in (1, 1e-4)
    )
    np.testing.assert_allclose(scaled, plain, atol=1e-3)


def test_smoothing_is_in_mm_on_anisotropic_voxels() -> None:
    # the same image in a lattice of stretched voxels is moved by the same voxels where one mm is as many of them
    pair = deformed_pair(4)
    one = itk_demons(pair.fixed, pair.moving, CUBE, n_iterations=10, smoothing_mm=2.0)
    double = itk_demons(pair.fixed, pair.moving, (2.0, 2.0, 2.0), n_iterations=10, smoothing_mm=4.0)
    np.testing.assert_allclose(double.forward, one.forward, atol=1e-3)
    rough = itk_demons(pair.fixed, pair.moving, CUBE, n_iterations=10, smoothing_mm=0.8)
    assert np.abs(np.gradient(rough.forward[0])[0]).mean() > np.abs(np.gradient(one.forward[0])[0]).mean()


def test_histograms_are_matched() -> None:
    pair = deformed_pair(5, noise=0)
    other = 40 + 300 * pair.moving**1.5
    before, after = np.abs(other - pair.fixed).mean(), np.abs(matched(other, pair.fixed) - pair.fixed).mean()
    assert after < 0.1 < before
    match = itk_demons(pair.fixed, other, CUBE, n_iterations=30)
    assert dice(pair.fixed_labels, moved(pair.moving_labels, match.forward)) > 0.7


def test_cancel_comes_out_of_the_filter() -> None:
    pair = deformed_pair(6)
    told: list[float] = []

    def stop(fraction: float, message: str) -> None:
        told.append(fraction)
        if fraction > 0.3:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        itk_demons(pair.fixed, pair.moving, CUBE, n_iterations=60, progress=stop)
    assert 0.3 < told[-1] < 0.5


def test_what_cannot_be_registered_is_refused() -> None:
    pair = deformed_pair(0)
    with pytest.raises(FileError, match="moving image is 0 in every voxel"):
        itk_demons(pair.fixed, 0 * pair.moving, CUBE)
    with pytest.raises(GeometryError, match="at least 4"):
        check_image(pair.fixed[:, :, :2], "fixed")
    with pytest.raises(ValueError, match="one lattice"):
        itk_demons(pair.fixed, pair.moving[1:], CUBE)


def test_itk_images_lie_where_the_affine_says() -> None:
    affine = np.array([[0.0, -2, 0, 5], [1.5, 0, 0, -7], [0, 0, 3, 11], [0, 0, 0, 1]])
    image = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    itk = to_itk(image, affine)
    for voxel in ((0, 0, 0), (1, 2, 3), (1, 0, 2)):
        lps = np.array(itk.TransformIndexToPhysicalPoint(voxel))
        np.testing.assert_allclose(lps * [-1, -1, 1], affine[:3, :3] @ voxel + affine[:3, 3], atol=1e-9)
        assert itk[voxel] == image[voxel]


def test_fields_go_to_itk_and_back_and_move_alike() -> None:
    import SimpleITK as sitk

    from workbench.imaging.displacements import pull

    pair, spacing = deformed_pair(7), (1.0, 2.0, 0.5)
    field = field_to_itk(pair.field, spacing)
    np.testing.assert_allclose(field_from_itk(field), pair.field, atol=1e-6)
    image = spaced(pair.moving, spacing)
    theirs = sitk.GetArrayFromImage(sitk.Warp(image, field, outputSpacing=spacing)).transpose()
    where = np.indices(pair.moving.shape) + pair.field
    inside = ((where >= 0) & (where <= np.array(pair.moving.shape).reshape(3, 1, 1, 1) - 1)).all(0)
    np.testing.assert_allclose(theirs[inside], pull(pair.moving[None], pair.field)[0][inside], atol=1e-4)
