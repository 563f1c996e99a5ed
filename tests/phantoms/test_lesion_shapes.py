from __future__ import annotations

import numpy as np
import pytest

from workbench.phantoms.anatomy import Anatomy, draw_anatomy
from workbench.phantoms.lesion_shapes import LARGEST_MM, SMALLEST_MM, Lesions, draw_lesions
from workbench.phantoms.template import load_template


@pytest.fixture(scope="module")
def anatomy() -> Anatomy:
    template = load_template(4.0)
    return draw_anatomy(template, np.zeros((3, *template.t1.shape), np.float32), [0, 0])


@pytest.fixture(scope="module")
def many(anatomy: Anatomy) -> Lesions:
    return draw_lesions(anatomy, 0.03, np.random.default_rng(0))


@pytest.mark.parametrize("load", [0.001, 0.005, 0.03])
def test_the_load_comes_out(anatomy: Anatomy, load: float) -> None:
    lesions = draw_lesions(anatomy, load, np.random.default_rng(1))
    assert lesions.labels.sum() / anatomy.brain.sum() == pytest.approx(load, rel=0.12)


def test_lesions_lie_in_white_matter(anatomy: Anatomy, many: Lesions) -> None:
    csf, _, white = anatomy.fractions
    assert csf[many.labels].max() < 0.35
    assert white[many.labels].mean() > 0.75
    assert many.labels[anatomy.brain].sum() == many.labels.sum()


def test_diameters_keep_their_bounds_and_most_are_small(many: Lesions) -> None:
    diameters = np.array([lesion.diameter_mm for lesion in many.planted])
    assert diameters.min() >= SMALLEST_MM and diameters.max() <= LARGEST_MM
    assert np.median(diameters) < 8 < diameters.max()


def test_most_lesions_are_periventricular(anatomy: Anatomy, many: Lesions) -> None:
    kinds = [lesion.place for lesion in many.planted]
    assert 0.45 < kinds.count("periventricular") / len(kinds) < 0.75
    near = (anatomy.ventricle_mm > 0) & (anatomy.ventricle_mm < 8) & (anatomy.fractions[2] > 0.6)
    far = (anatomy.ventricle_mm > 15) & (anatomy.fractions[2] > 0.6)
    assert many.labels[near].mean() > 3 * many.labels[far].mean()


def test_a_halo_surrounds_lesions_and_fades(many: Lesions) -> None:
    assert many.halo[many.labels].mean() > 3 * many.halo[~many.labels & (many.halo > 0)].mean()
    assert np.all(many.contrast <= many.share + 1e-6) and np.all(many.hole <= many.share)
    assert many.halo.max() <= 1 and many.share.max() <= 1
