from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from workbench.phantoms.deformation import jacobian_determinant
from workbench.phantoms.template import load_template
from workbench.phantoms.tumor_regions import (
    EDEMA,
    ENHANCING,
    NECROSIS,
    NON_ENHANCING,
    TumorPlace,
    TumorRegions,
    grow_tumor,
    place_tumor,
    push_warp,
)

PLACE = TumorPlace(np.array([30.0, -20.0, 30.0]), np.array([18.0, 15.0, 13.0]), np.eye(3), 0.4)


@pytest.fixture(scope="module", params=[0, 1, 2])
def high(request: pytest.FixtureRequest) -> TumorRegions:
    template = load_template(4.0)
    return grow_tumor(PLACE, template.fractions, template.affine, "high", np.random.default_rng(request.param))


def test_a_high_grade_tumor_has_every_region(high: TumorRegions) -> None:
    assert set(np.unique(high.labels)) == {0, NECROSIS, EDEMA, NON_ENHANCING, ENHANCING}


def test_necrosis_touches_nothing_but_core(high: TumorRegions) -> None:
    about = binary_dilation(high.labels == NECROSIS, np.ones((3, 3, 3)))
    assert set(np.unique(high.labels[about])) <= {NECROSIS, NON_ENHANCING, ENHANCING}


def test_labels_are_where_the_soft_regions_pass_one_half(high: TumorRegions) -> None:
    assert np.array_equal(high.labels > 0, high.edema > 0.5)
    assert np.array_equal(np.isin(high.labels, (1, 3, 4)), high.core > 0.5)
    assert np.array_equal(high.labels == NECROSIS, high.necrosis > 0.5)


def test_no_region_lies_in_pure_csf_or_beyond_the_brain(high: TumorRegions) -> None:
    fractions = load_template(4.0).fractions
    assert not high.labels[(fractions[0] >= 0.75) | (fractions.sum(axis=0) <= 0.5)].any()


def test_edema_reaches_farther_in_white_than_in_grey_matter() -> None:
    template = load_template(4.0)
    brain = template.fractions.sum(axis=0) > 0.5
    volumes = []
    for tissue in (1, 2):
        fractions = np.zeros_like(template.fractions)
        fractions[tissue] = brain
        regions = grow_tumor(PLACE, fractions, template.affine, "high", np.random.default_rng(0))
        volumes.append((regions.labels == EDEMA).sum())
    assert 1.5 * volumes[0] < volumes[1]


@pytest.mark.parametrize("seed", range(4))
def test_a_low_grade_tumor_hardly_enhances(seed: int) -> None:
    template = load_template(4.0)
    regions = grow_tumor(PLACE, template.fractions, template.affine, "low", np.random.default_rng(seed))
    counts = np.bincount(regions.labels.ravel(), minlength=5)
    assert counts[NECROSIS] == 0 and counts[ENHANCING] < 0.3 * counts[NON_ENHANCING]


def test_a_push_never_folds_and_moves_tissue_outwards() -> None:
    template = load_template(4.0)
    brain = template.fractions.sum(axis=0) > 0.5
    push = push_warp(PLACE, brain, template.affine)
    assert jacobian_determinant(push, 4.0)[brain].min() > 0
    voxel = np.rint((PLACE.center_mm + np.array([20.0, 0, 0]) - template.affine[:3, 3]) / 4).astype(int)
    assert push[(0, *voxel)] < -2  # what is seen there came from nearer the center
    assert not push[:, ~brain].any()
    still = push_warp(TumorPlace(PLACE.center_mm, PLACE.radii_mm, PLACE.rotation, 0.0), brain, template.affine)
    assert not still.any()


@pytest.mark.parametrize("seed", range(5))
def test_tumors_begin_in_deep_white_matter(seed: int) -> None:
    template = load_template(4.0)
    place = place_tumor(template.fractions, template.affine, "high", 1.0, np.random.default_rng(seed))
    voxel = np.rint((place.center_mm - template.affine[:3, 3]) / 4).astype(int)
    assert template.fractions[(2, *voxel)] > 0.5
    assert 11 <= place.radius_mm <= 23 and 0.2 <= place.push <= 0.45
    assert np.prod(place.radii_mm) ** (1 / 3) == pytest.approx(place.radius_mm)
