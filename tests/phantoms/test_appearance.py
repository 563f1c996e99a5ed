from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from workbench.phantoms.appearance import (
    CLEAN,
    MODALITIES,
    SEVEN_TESLA_LIKE,
    BrainAppearance,
    bias_field,
    measured,
    rician,
    signal,
)

SHAPE = (20, 20, 20)


def pure(csf: float, grey: float, white: float) -> tuple[np.ndarray, np.ndarray]:
    fractions = np.ones((3, *SHAPE), np.float32) * np.array([csf, grey, white], np.float32).reshape(3, 1, 1, 1)
    return np.full(SHAPE, 0.7, np.float32), fractions


@pytest.mark.parametrize(
    ("tissue", "expected"), [((1, 0, 0), 0.05), ((0, 1, 0), 1.0), ((0, 0, 1), 0.28), ((0, 0.3, 0.7), 0.846)]
)
def test_pet_follows_its_formula_where_tissue_is_uniform(tissue: tuple, expected: float) -> None:
    # 0.28 · 0.7 + 1.3 · 0.3 / 0.6 = 0.846, where a linear mix of the pure tissues would give 0.496
    np.testing.assert_allclose(signal("PET", *pure(*tissue), 2.0), expected, rtol=1e-5)


def test_pet_blurs_a_point_to_six_millimetres() -> None:
    fractions = np.zeros((3, 21, 21, 21), np.float32)
    fractions[1, 10, 10, 10] = 1
    line = signal("PET", fractions[0], fractions, 1.0)[:, 10, 10]
    assert line[10 - 3] / line[10] == pytest.approx(0.5, abs=0.01)  # half the maximum, 3 mm from it


def test_fa_is_highest_in_pure_white_matter() -> None:
    values = [float(signal("FA", *pure(*t), 2.0)[0, 0, 0]) for t in ((1, 0, 0), (0, 1, 0), (0, 0.5, 0.5), (0, 0, 1))]
    np.testing.assert_allclose(values, [0.05, 0.12, 0.2225, 0.65], rtol=1e-5)


def test_t1_and_t2_order_the_tissues_oppositely() -> None:
    t2 = [float(signal("T2", *pure(*t), 2.0)[0, 0, 0]) for t in ((1, 0, 0), (0, 1, 0), (0, 0, 1))]
    assert t2 == sorted(t2, reverse=True)


def test_rician_background_is_rayleigh() -> None:
    noise = rician(np.zeros((60, 60, 60), np.float32), 0.06, np.random.default_rng(0))
    assert noise.mean() == pytest.approx(0.06 * np.sqrt(np.pi / 2), rel=0.01)
    assert stats.kstest(noise.ravel()[:5000], stats.rayleigh(scale=0.06).cdf).pvalue > 0.001


def test_rician_signal_has_its_second_moment() -> None:
    # E[m²] = a² + 2 σ²
    values = rician(np.full((60, 60, 60), 0.5, np.float32), 0.1, np.random.default_rng(1))
    assert (values.astype(float) ** 2).mean() == pytest.approx(0.25 + 0.02, rel=0.01)


def test_bias_reaches_its_bound_and_is_smooth() -> None:
    brain = np.ones(SHAPE, bool)
    logarithm = np.log(bias_field(brain, 8.0, 0.9, np.random.default_rng(2)))
    assert np.abs(logarithm).max() == pytest.approx(0.9, rel=1e-4)
    assert np.abs(np.diff(logarithm, axis=0)).max() < 0.45


@pytest.mark.parametrize("modality", MODALITIES)
def test_clean_appearance_adds_nothing(modality) -> None:
    clean = signal(modality, *pure(0.1, 0.5, 0.4), 2.0)
    shown = measured(modality, clean, np.ones(SHAPE, bool), 2.0, CLEAN, [0, 1])
    np.testing.assert_allclose(shown, clean, atol=1e-6)


@pytest.mark.parametrize("modality", MODALITIES)
def test_two_subjects_differ_and_one_repeats(modality) -> None:
    clean = signal(modality, *pure(0.1, 0.5, 0.4), 2.0)
    a, b, c = (
        measured(modality, clean, np.ones(SHAPE, bool), 2.0, SEVEN_TESLA_LIKE, e) for e in ([0, 1], [0, 1], [0, 2])
    )
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)


def test_texture_has_the_share_asked_for() -> None:
    look = BrainAppearance(bias=0, noise=0, texture=0.12)
    shown = measured("T1", np.full((40, 40, 40), 0.5, np.float32), np.ones((40,) * 3, bool), 2.0, look, [0, 1])
    assert shown.std() / shown.mean() == pytest.approx(0.12, rel=0.02)


def test_gamma_brightens_within_its_bounds() -> None:
    look = BrainAppearance(bias=0, noise=0, gamma=(0.5, 0.5))
    shown = measured("T1", np.full(SHAPE, 0.25, np.float32), np.ones(SHAPE, bool), 2.0, look, [0, 1])
    np.testing.assert_allclose(shown, 0.5, rtol=1e-5)
