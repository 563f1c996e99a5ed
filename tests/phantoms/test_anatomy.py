from __future__ import annotations

import numpy as np
import pytest

from workbench.phantoms.anatomy import Anatomy, draw_anatomy
from workbench.phantoms.blobs import voxel_centers
from workbench.phantoms.mimics import flair_mimics
from workbench.phantoms.template import load_template


@pytest.fixture(scope="module")
def anatomy() -> Anatomy:
    template = load_template(4.0)
    return draw_anatomy(template, np.zeros((3, *template.t1.shape), np.float32), [0, 0])


def test_folds_redistribute_shares_and_make_them_crisper(anatomy: Anatomy) -> None:
    template = load_template(4.0)
    assert anatomy.fractions.min() >= 0
    assert np.allclose(anatomy.fractions.sum(axis=0), template.fractions.sum(axis=0), atol=1e-5)
    inside = anatomy.brain
    assert anatomy.fractions.max(axis=0)[inside].mean() > template.fractions.max(axis=0)[inside].mean() + 0.05


def test_everybody_has_folds_of_their_own(anatomy: Anatomy) -> None:
    template = load_template(4.0)
    other = draw_anatomy(template, np.zeros((3, *template.t1.shape), np.float32), [0, 1])
    same = anatomy.fractions.argmax(axis=0)[anatomy.brain] == other.fractions.argmax(axis=0)[anatomy.brain]
    assert 0.6 < same.mean() < 0.97


def test_ventricles_are_paired_and_deep(anatomy: Anatomy) -> None:
    x, _, z = voxel_centers(anatomy.brain.shape, anatomy.affine)
    inside = anatomy.ventricle > 0.4
    volume_ml = inside.sum() * 64 / 1000
    assert 8 < volume_ml < 45  # healthy adults have about 20 ml
    assert abs((x[inside] > 0).mean() - (x[inside] < 0).mean()) < 0.25
    assert np.abs(x[inside]).max() < 40 and z[inside].min() > -10
    assert anatomy.ventricle_mm[inside].max() == 0 and anatomy.ventricle_mm[~inside].min() == pytest.approx(4)


def test_vessels_and_plexus_fill_little_of_the_brain(anatomy: Anatomy) -> None:
    for share in (anatomy.vessel, anatomy.choroid):
        assert share.min() >= 0 and share.max() <= 1 and not share[~anatomy.brain].any()
    assert 0.002 < anatomy.vessel.sum() / anatomy.brain.sum() < 0.05
    assert 0 < anatomy.choroid.sum() <= anatomy.ventricle.sum()


def test_mimics_vanish_with_their_strength_and_grow_in_proportion(anatomy: Anatomy) -> None:
    none, one, two = (flair_mimics(anatomy, s, np.random.default_rng(0)) for s in (0.0, 1.0, 2.0))
    assert not none.any() and one.min() >= 0
    assert np.allclose(two, 2 * one)
    white = anatomy.fractions[2] > 0.8
    beside = white & (anatomy.ventricle_mm > 0) & (anatomy.ventricle_mm < 5)
    assert one[beside].mean() > 5 * one[white & (anatomy.ventricle_mm > 20)].mean()


def test_flowing_csf_and_some_cortex_are_bright(anatomy: Anatomy) -> None:
    added = np.mean([flair_mimics(anatomy, 1.0, np.random.default_rng(k)) for k in range(4)], axis=0)
    csf, grey, white = anatomy.fractions
    far = anatomy.ventricle_mm > 15
    assert added[far & (grey > 0.9)].mean() > 5 * added[far & (white > 0.95)].mean()
    assert added[(csf > 0.7) & far].max() > 0.1 and np.median(added[(csf > 0.7) & far]) < 0.03  # in places only
