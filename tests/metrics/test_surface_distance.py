"""Surface distances: by brute force, against MONAI, and by laws of length."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from workbench.errors import CohortError, GeometryError
from workbench.metrics import surface_distance
from workbench.metrics.surface_distance import directed_distances, surface_distances

SPACING = (0.5, 1.25, 3.0)
CUBE = np.zeros((12, 12, 12), bool)
CUBE[4:8, 4:8, 4:8] = True


def blobs(seed: int, shape: tuple[int, ...] = (9, 8, 7)) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.random(shape) < 0.5, rng.random(shape) < 0.3


def surface(mask: np.ndarray) -> np.ndarray:
    """Give the indices of voxels of which one of the six neighbors is outside, one by one."""
    padded, found = np.pad(mask, 1), []
    for index in np.argwhere(mask):
        sides = [index + 1 + sign * step for step in np.eye(mask.ndim, dtype=int) for sign in (-1, 1)]
        if not all(padded[tuple(side)] for side in sides):
            found.append(index)
    return np.array(found, float)


def brute_force(predicted: np.ndarray, truth: np.ndarray, matrix: np.ndarray) -> tuple[float, float, float]:
    table = cdist(surface(predicted) @ matrix.T, surface(truth) @ matrix.T)
    there, back = table.min(1), table.min(0)
    hd95 = max(np.percentile(there, 95), np.percentile(back, 95))
    return float(np.concatenate([there, back]).mean()), float(hd95), float(table.min(1).max(initial=table.min(0).max()))


@pytest.fixture(params=["tree", "map"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure by the tree of points and by the distance map."""
    monkeypatch.setattr(surface_distance, "DENSE", 2.0 if request.param == "tree" else 0.0)


@pytest.mark.parametrize("seed", range(4))
def test_as_brute_force_measures_it(way: None, seed: int):
    predicted, truth = blobs(seed)
    found = surface_distances(predicted, truth, SPACING)
    expected = brute_force(predicted, truth, np.diag(SPACING))
    assert (found.mean_mm, found.hd95_mm, found.max_mm) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(2))
def test_an_oblique_and_a_sheared_affine_are_measured_in_space(way: None, seed: int):
    predicted, truth = blobs(seed)
    turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = turn @ np.diag(SPACING), (5, -7, 9)
    assert surface_distances(predicted, truth, affine).mean_mm == pytest.approx(
        surface_distances(predicted, truth, SPACING).mean_mm
    )
    affine[0, 1] += 0.8
    found = surface_distances(predicted, truth, affine)
    expected = brute_force(predicted, truth, affine[:3, :3])
    assert (found.mean_mm, found.hd95_mm, found.max_mm) == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(3))
def test_as_monai_measures_it(way: None, seed: int):
    import torch
    from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance

    predicted, truth = blobs(seed, (14, 13, 12))
    pair = [torch.from_numpy(mask)[None, None] for mask in (predicted, truth)]
    settings = {"include_background": True, "spacing": list(SPACING)}
    found = surface_distances(predicted, truth, SPACING)
    mean = compute_average_surface_distance(*pair, symmetric=True, **settings)
    assert found.mean_mm == pytest.approx(float(mean), rel=1e-5)
    for value, percentile in ((found.hd95_mm, 95), (found.max_mm, None)):
        assert value == pytest.approx(
            float(compute_hausdorff_distance(*pair, percentile=percentile, **settings)), rel=1e-5
        )


def test_the_directed_percentile_is_not_the_pooled_one():
    truth = np.zeros((40, 5, 5), bool)
    predicted = truth.copy()
    truth[:20], predicted[:20] = True, True
    predicted[38, 2, 2] = True  # 1 far voxel among many: below the 95th percentile of the prediction's own surface
    there, back = directed_distances(predicted, truth, (1, 1, 1))
    assert there.max() == 19 and back.max() == 0
    found = surface_distances(predicted, truth, (1, 1, 1))
    assert found.max_mm == 19 and found.hd95_mm == 0
    predicted[24:39, 1:3, 2] = True
    there, back = directed_distances(predicted, truth, (1, 1, 1))
    found = surface_distances(predicted, truth, (1, 1, 1))
    assert found.hd95_mm == np.percentile(there, 95) > np.percentile(np.concatenate([there, back]), 95)


def test_equal_masks_touch_and_the_order_does_not_matter(way: None):
    predicted, truth = blobs(5)
    same = surface_distances(truth, truth, SPACING)
    assert (same.mean_mm, same.hd95_mm, same.max_mm) == (0, 0, 0)
    there = surface_distances(predicted, truth, SPACING)
    back = surface_distances(truth, predicted, SPACING)
    assert (there.hd95_mm, there.max_mm) == (back.hd95_mm, back.max_mm)
    assert there.mean_mm == pytest.approx(back.mean_mm) and 0 < there.mean_mm < there.hd95_mm <= there.max_mm


@pytest.mark.parametrize("axis", range(3))
def test_a_face_moved_by_a_voxel_is_a_voxel_away_in_mm(way: None, axis: int):
    predicted = np.zeros_like(CUBE)
    predicted[tuple(slice(4, 11 if i == axis else 8) for i in range(3))] = True
    assert surface_distances(predicted, CUBE, SPACING).max_mm == pytest.approx(3 * SPACING[axis])


def test_distances_scale_with_the_spacing_and_do_not_see_the_empty_margin(way: None):
    predicted, truth = blobs(6)
    one = surface_distances(predicted, truth, SPACING)
    double = surface_distances(predicted, truth, [2 * size for size in SPACING])
    wide = surface_distances(np.pad(predicted, 5), np.pad(truth, 5), SPACING)
    assert double.mean_mm == pytest.approx(2 * one.mean_mm) and double.hd95_mm == pytest.approx(2 * one.hd95_mm)
    assert wide == one


def test_single_voxels_are_as_far_as_their_centers(way: None):
    a, b = np.zeros((2, 9, 9, 9), bool)
    a[1, 2, 3], b[4, 6, 3] = True, True
    found = surface_distances(a, b, SPACING)
    expected = np.hypot(3 * 0.5, 4 * 1.25)
    assert (found.mean_mm, found.hd95_mm, found.max_mm) == pytest.approx((expected,) * 3)


def test_what_is_not_there_has_no_distance():
    none = np.zeros_like(CUBE)
    for pair in ((none, CUBE), (CUBE, none), (none, none)):
        assert np.isnan(list(vars(surface_distances(*pair, SPACING)).values())).all()
        assert [len(part) for part in directed_distances(*pair, SPACING)] == [0, 0]


def test_a_slice_has_an_outline_whether_flat_or_one_voxel_thick(way: None):
    predicted, truth = np.zeros((2, 20, 20), bool)
    truth[3:15, 3:15], predicted[3:15, 3:17] = True, True
    flat = surface_distances(predicted, truth, SPACING[:2])
    assert flat == surface_distances(predicted[..., None], truth[..., None], SPACING)
    assert flat.mean_mm == pytest.approx(brute_force(predicted, truth, np.diag(SPACING[:2]))[0])


def test_dense_noise_and_sparse_surfaces_give_the_same_by_either_way(monkeypatch: pytest.MonkeyPatch):
    noise, _ = blobs(7, (20, 20, 20))
    truth = np.pad(CUBE, 4)
    by_map = surface_distances(noise, truth, SPACING)
    monkeypatch.setattr(surface_distance, "DENSE", 2.0)
    by_tree = surface_distances(noise, truth, SPACING)
    assert vars(by_map) == pytest.approx(vars(by_tree)) and by_map.max_mm > 0


def test_grids_that_do_not_fit_are_sentences():
    with pytest.raises(GeometryError, match="resample it onto the grid of the truth"):
        surface_distances(CUBE, CUBE[1:], SPACING)
    for flat in ((1, 0, 1), (1, -1, 1), (1, np.nan, 1), np.diag([1.0, 1, 0, 1])):
        with pytest.raises(GeometryError, match="have no volume"):
            surface_distances(CUBE, CUBE, flat)
    with pytest.raises(ValueError, match="expected 3 voxel sizes"):
        surface_distances(CUBE, CUBE, (1, 1))
    with pytest.raises(CohortError, match="true mask holds 1 voxels"):
        surface_distances(CUBE, np.where(np.arange(1728).reshape(CUBE.shape), 1, np.nan), SPACING)


@pytest.mark.real
def test_vertebrae_as_panoptica_published_them(real_data: Path):
    from workbench.imaging.nifti import read_nifti

    folder = real_data / "metrics_panoptica_spine"
    predicted, truth = (
        np.rint(read_nifti(folder / f"matched_instance_{which}.nii.gz").data[0]).astype(int)
        for which in ("pred", "ref")
    )
    means = []
    for value in np.unique(truth[truth > 0]):
        a, b = predicted == value, truth == value
        if (a & b).sum() >= 0.5 * (a | b).sum():
            means.append(np.mean([part.mean() for part in directed_distances(a, b, (1, 1, 1))]))
    assert len(means) == 19  # true positives, and their ASSD in voxels, as the tool's own tutorial prints them
    assert (np.mean(means), np.std(means)) == pytest.approx((0.25033188787922506, 0.07696680402317076))
