from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.stats import spearmanr

from workbench.phantoms.brain_7t import structure_shares
from workbench.phantoms.brain_7t_look import (
    CLEAN,
    CONTRASTS,
    USUAL,
    Contrast,
    contrast_signal,
    draw_tubules,
    even_range_bias,
    seven_tesla_scan,
)
from workbench.phantoms.template import load_template

EDGE = 4.0


@pytest.fixture(scope="module")
def brain() -> np.ndarray:
    return load_template(EDGE).fractions.sum(axis=0) > 0.5


def clean(contrast: Contrast, vessel: np.ndarray | float = 0.0) -> np.ndarray:
    template = load_template(EDGE)
    share = np.broadcast_to(np.float32(vessel), template.t1.shape)
    return contrast_signal(contrast, template.t1, template.fractions, structure_shares(EDGE), share)


@pytest.mark.parametrize(("seed", "amount"), [(0, 0.3), (1, 0.6), (2, 0.6)])
def test_bias_takes_its_whole_range_over_the_brain_smoothly(brain: np.ndarray, seed: int, amount: float) -> None:
    field = even_range_bias(brain, EDGE, amount, np.random.default_rng(seed))
    assert field[brain].min() == pytest.approx(1 - amount, abs=1e-5)
    assert field[brain].max() == pytest.approx(1 + amount, abs=1e-5)
    assert field.min() > 0
    steps = np.stack(np.gradient(field, EDGE))[:, brain]
    assert np.abs(steps).max() < 0.05  # a change of a twentieth in one millimeter at most


def test_contrasts_are_the_documented_functions_of_one_anatomy() -> None:
    t1, inverted, compressed = (clean(c).astype(float) for c in ("T1", "inverted", "compressed"))
    template = load_template(EDGE)
    full = template.fractions.sum(axis=0) > 0.999
    np.testing.assert_allclose(inverted[full], 1.1 - t1[full], atol=2e-3)
    np.testing.assert_allclose(compressed[full], 0.55 + 0.5 * (t1[full] - 0.65), atol=2e-3)
    plain = full & (structure_shares(EDGE).sum(axis=0) == 0)
    np.testing.assert_allclose(t1[plain], template.t1[plain], atol=1e-6)
    csf, grey, white = template.fractions
    np.testing.assert_allclose(clean("T2")[plain], (csf + 0.62 * grey + 0.42 * white)[plain], atol=1e-5)
    assert spearmanr(t1[full], inverted[full]).statistic < -0.999


def test_nuclei_stand_out_from_their_surroundings_where_the_table_says() -> None:
    shares = structure_shares(EDGE)
    t2 = clean("T2")
    assert np.median(t2[shares[4] > 0.8]) < 0.45 < np.median(t2[shares[2] > 0.8]) < np.median(t2[shares[0] > 0.8])


def test_vessels_are_thin_bright_on_t1_dark_on_t2_and_each_persons_own(brain: np.ndarray) -> None:
    template = load_template(EDGE)
    people = [draw_tubules(template, np.random.default_rng(s)) for s in range(1, 5)]
    first = people[0]
    assert first.min() >= 0 and first.max() <= 1 and not first[~brain].any()
    assert 0.02 < (first[brain] > 0.15).mean() < 0.3
    everyones = np.min(people, axis=0) > 0.15  # sinuses and large arteries
    assert everyones.any() and (first[everyones] > 0.15).sum() < 0.6 * (first > 0.15).sum()
    inside = first > 0.3
    assert np.median(clean("T1", first)[inside] - clean("T1")[inside]) > 0.2
    assert (clean("T2", first)[inside] < clean("T2")[inside]).all()


def test_a_clean_look_changes_nothing(brain: np.ndarray) -> None:
    for contrast in CONTRASTS:
        image = clean(contrast)
        np.testing.assert_allclose(seven_tesla_scan(contrast, image, brain, EDGE, CLEAN, [0, 1]), image, atol=1e-6)


def test_texture_is_fine_and_of_the_asked_strength(brain: np.ndarray) -> None:
    image = clean("T1")
    scan = seven_tesla_scan("T1", image, brain, EDGE, replace(CLEAN, texture=0.06), [0, 1])
    ratio = (scan / np.maximum(image, 1e-6))[brain & (image > 0.5)] - 1
    assert ratio.std() == pytest.approx(0.06, rel=0.1)
    other = seven_tesla_scan("T1", image, brain, EDGE, replace(CLEAN, texture=0.06), [0, 2])
    assert abs(np.corrcoef(scan[brain] - image[brain], other[brain] - image[brain])[0, 1]) < 0.1
    whole = (scan - image) * brain
    assert gaussian_filter(whole, 2).std() < 0.25 * whole.std()


def test_gamma_lies_within_its_bounds_and_is_one_for_all_contrasts(brain: np.ndarray) -> None:
    look = replace(CLEAN, gamma=USUAL.gamma)
    for subject in range(3):
        found = []
        for contrast in CONTRASTS:
            image = clean(contrast)
            inside = brain & (image > 0.2) & (image < 0.9)
            scan = seven_tesla_scan(contrast, image, brain, EDGE, look, [0, subject])
            found.append(np.median(np.log(scan[inside]) / np.log(image[inside])))
        assert USUAL.gamma[0] <= found[0] <= USUAL.gamma[1]
        np.testing.assert_allclose(found, found[0], rtol=1e-3)


def test_background_is_rayleigh_noise(brain: np.ndarray) -> None:
    image = clean("T1")
    scan = seven_tesla_scan("T1", image, brain, EDGE, replace(CLEAN, noise=0.05), [0, 1])
    assert scan[:3].mean() == pytest.approx(0.05 * np.sqrt(np.pi / 2), rel=0.05)
