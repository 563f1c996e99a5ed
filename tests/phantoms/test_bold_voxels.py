"""Real regions and the voxel phantom: every region is where it should be and its map is what is planted."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from workbench.phantoms.bold_networks import draw_networks
from workbench.phantoms.bold_regions import PLANTED, planted_members, real_regions
from workbench.phantoms.bold_voxels import BASELINE, UNIT, paint, planted_voxels, voxel_space


@pytest.mark.parametrize("n_regions", [16, 17, 23, 60, 116, 300, 400, 500])
def test_there_are_as_many_regions_as_asked_and_every_planted_network_has_some(n_regions: int) -> None:
    table = real_regions(n_regions)
    assert len(table.regions) == len(set(table.regions)) == n_regions
    count = Counter(table.networks)
    assert min(count[name] for name in PLANTED) >= min(2, n_regions // 8)
    assert np.linalg.norm(table.coordinates_mm, axis=1).max() < 130 and table.has_coordinates
    assert len(np.unique(table.coordinates_mm, axis=0)) == n_regions
    np.testing.assert_array_equal(planted_members(table) >= 0, np.isin(table.networks, PLANTED))


def test_networks_are_anatomy() -> None:
    table = real_regions(116)
    networks, (_, y, z) = np.array(table.networks), table.coordinates_mm.T
    assert all(Counter(table.networks)[name] == 13 for name in PLANTED)
    assert y[networks == "Visual"].max() < -40 and z[networks == "Cerebellum"].max() < 0
    assert np.linalg.norm(table.coordinates_mm[networks == "Subcortical"], axis=1).max() < 60


@pytest.mark.parametrize("n_regions", [16, 116, 500])
def test_every_region_has_voxels_near_its_place(n_regions: int) -> None:
    table = real_regions(n_regions)
    space = voxel_space(table)
    assert space.mask.shape == (26, 30, 25) and np.allclose(np.diag(space.affine)[:3], 8)
    assert (np.bincount(space.labels, minlength=n_regions + 1)[1:] > 0).all()
    away = np.linalg.norm(space.centroids_mm - table.coordinates_mm, axis=1)
    assert away.mean() < 5 and away.max() < 15
    assert space.blobs.max() <= 1


def test_unmask_puts_values_where_the_mask_is() -> None:
    space = voxel_space(real_regions(16))
    values = np.arange(2 * space.mask.sum(), dtype=float).reshape(2, -1) + 1
    volume = space.unmask(values)
    assert volume.shape == (26, 30, 25, 2)
    np.testing.assert_array_equal(volume[space.mask].T, values)
    assert not volume[~space.mask].any()


def test_voxels_are_courses_times_maps() -> None:
    planted = planted_voxels(120, seed=4, n_regions=60, noise=0.5)
    maps = draw_networks(4, planted_members(real_regions(60))).maps
    np.testing.assert_allclose(planted.maps, maps @ planted.space.blobs)
    rest = planted.values - planted.courses @ planted.maps
    assert rest.std() == pytest.approx(0.5, rel=0.01) and abs(rest.mean()) < 0.01


def test_painted_series_come_back_from_their_regions() -> None:
    table = real_regions(60)
    space = voxel_space(table)
    series = np.random.default_rng(0).normal(size=(50, 60))
    image = paint(series, space, 0.1, np.random.default_rng(1))
    assert image.dtype == np.int16 and not image[~space.mask].any()
    values = (image[space.mask].T - BASELINE) / UNIT
    means = np.stack([values[:, space.labels == i + 1].mean(axis=1) for i in range(60)], axis=1)
    r = [np.corrcoef(means[:, i], series[:, i])[0, 1] for i in range(60)]
    assert np.median(r) > 0.95 and min(r) > 0.7
