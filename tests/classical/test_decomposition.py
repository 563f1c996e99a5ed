"""Decompositions: exact where they must be, and recovery of what each is made for."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from workbench.classical.decomposition import decompose, decompose_images
from workbench.errors import CohortError, SettingsError
from workbench.metrics.recovery import match, mean_matched

METHODS = ["fast_ica", "spatial_ica", "pca", "dictionary", "nmf"]


def planted(n_volumes: int = 600, noise: float = 0.3, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw signals of 4 networks of 10 of 60 regions each, with some overlap and Laplace courses."""
    rng = np.random.default_rng(seed)
    maps = np.zeros((4, 60))
    maps[:, :40] = np.kron(np.eye(4), np.ones(10)) * rng.uniform(0.6, 1.2, (4, 40))
    maps += (rng.random((4, 60)) < 0.1) * 0.5
    courses = rng.laplace(size=(n_volumes, 4))
    return courses @ maps + noise * rng.normal(size=(n_volumes, 60)), maps, courses


@pytest.mark.parametrize("method", METHODS)
def test_shapes_order_and_sign(method):
    x = planted(200)[0]
    found = decompose(x, method, 3)
    assert found.maps.shape == (3, 60) and found.courses.shape == (200, 3) and found.mean.shape == (60,)
    assert (found.maps.max(1) >= -found.maps.min(1)).all()
    adds = np.linalg.norm(found.maps, axis=1) * np.linalg.norm(found.courses, axis=0)
    assert (np.diff(adds) <= 1e-9 * adds[0]).all()
    again = decompose(x, method, 3)
    assert np.array_equal(found.maps, again.maps)


@pytest.mark.parametrize(("method", "least"), [("fast_ica", 0.97), ("dictionary", 0.95)])
def test_finds_planted_networks(method, least):
    x, maps, courses = planted()
    found = decompose(x, method, 4)
    assert mean_matched(found.maps, maps) > least > mean_matched(decompose(x, "pca", 4).maps, maps)
    pairs = match(found.maps, maps).pairs
    r = [abs(np.corrcoef(found.courses[:, a], courses[:, b])[0, 1]) for a, b in pairs]
    assert min(r) > 0.8


def test_each_ica_needs_what_is_not_gaussian_along_its_own_axis():
    rng = np.random.default_rng(0)
    maps, courses = rng.laplace(size=(4, 400)), rng.normal(size=(250, 4))
    x = courses @ maps + 0.3 * rng.normal(size=(250, 400))
    assert mean_matched(decompose(x, "spatial_ica", 4).maps, maps) > 0.95
    assert mean_matched(decompose(x, "fast_ica", 4).maps, maps) < 0.9


@pytest.mark.parametrize("method", ["fast_ica", "pca"])
def test_as_many_components_as_regions_give_the_signals_back(method):
    x = planted(300)[0][:, :8]
    assert np.allclose(decompose(x, method, 8).reconstruct(), x, atol=1e-8)


def test_no_maps_leave_less_over_than_those_of_pca():
    x = planted(300, noise=1)[0]
    left = {m: np.linalg.norm(x - decompose(x, m, 4).reconstruct()) for m in METHODS}
    assert min(left, key=left.__getitem__) == "pca" or left["fast_ica"] == pytest.approx(left["pca"])
    assert max(left.values()) < np.linalg.norm(x - x.mean(0))


def test_dictionary_maps_are_sparse_and_more_so_with_more_penalty():
    x = planted()[0]
    zeros = [(decompose(x, "dictionary", 4, sparsity=s).maps == 0).mean() for s in (0.02, 0.1)]
    assert zeros[0] < zeros[1] and zeros[1] > 0.5


def test_nmf_is_not_negative():
    found = decompose(planted()[0], "nmf", 4)
    assert found.maps.min() >= 0 and found.courses.min() >= 0


@pytest.mark.parametrize("method", METHODS)
def test_projection_of_other_signals(method):
    x = planted(300)[0]
    found = decompose(x, method, 4)
    courses = np.random.default_rng(0).normal(size=(20, 4))
    assert np.allclose(found.project(found.mean + courses @ found.maps), courses)


def test_not_converged_is_said():
    x = np.random.default_rng(0).normal(size=(300, 30))  # nothing in it is independent of anything else
    assert any("not converged" in note for note in decompose(x, "fast_ica", 28).notes)
    assert decompose(planted()[0], "fast_ica", 4).notes == ()


def test_what_cannot_be_decomposed_is_said():
    x = planted(50)[0]
    with pytest.raises(SettingsError, match="no decomposition 'svd'"):
        decompose(x, "svd", 2)
    with pytest.raises(SettingsError, match="1 to 50 components; got 51"):
        decompose(x, "pca", 51)
    with pytest.raises(CohortError, match="4 independent directions, fewer than 5"):
        decompose(planted(50, noise=0)[0], "fast_ica", 5)
    x[3, 5] = np.nan
    with pytest.raises(CohortError, match="1 regions hold values"):
        decompose(x, "pca", 2)


def volumes(folder: Path, n_subjects: int = 3) -> tuple[list[Path], Path, np.ndarray, np.ndarray]:
    """Write 4-D images of three blobs with courses of their own in a box of 12 x 11 x 10 voxels."""
    rng, grid = np.random.default_rng(0), np.stack(np.meshgrid(*map(np.arange, (12, 11, 10)), indexing="ij"), -1)
    mask = np.zeros((12, 11, 10), bool)
    mask[1:-1, 1:-1, 1:-1] = True
    centers = np.array([[3, 3, 3], [8, 7, 3], [5, 5, 7]])
    maps = np.exp(-np.square(grid[None] - centers[:, None, None, None]).sum(-1) / 5)[:, mask]
    affine, files = np.diag([8, 8, 8, 1.0]), []
    for subject in range(n_subjects):
        image = np.zeros((12, 11, 10, 60), np.float32)
        image[mask] = (rng.laplace(size=(60, 3)) @ maps + 0.3 * rng.normal(size=(60, mask.sum()))).T
        files.append(folder / f"s{subject}.nii.gz")
        nib.save(nib.Nifti1Image(image, affine), files[-1])
    nib.save(nib.Nifti1Image(mask.astype(np.uint8), affine), folder / "mask.nii.gz")
    return files, folder / "mask.nii.gz", maps, mask


@pytest.mark.parametrize(("method", "least"), [("can_ica", 0.8), ("dictionary", 0.9)])
def test_finds_blobs_in_volumes(tmp_path, method, least):
    files, mask_file, maps, mask = volumes(tmp_path)
    found = decompose_images(files, mask_file, 3, method=method, sparsity=3)
    assert found.maps.shape == (3, mask.sum()) and found.courses.shape == (180, 3)
    assert mean_matched(found.maps, maps) > least


def test_images_that_cannot_be_decomposed_are_said(tmp_path):
    files, mask_file, *_ = volumes(tmp_path, 1)
    with pytest.raises(CohortError, match="no image"):
        decompose_images([], mask_file, 3)
    with pytest.raises(SettingsError, match="no decomposition 'ica'"):
        decompose_images(files, mask_file, 3, method="ica")
