from __future__ import annotations

import numpy as np
import pytest

from workbench.phantoms.scanners import REFERENCE_SCALE, acquire, draw_scanner

BRAIN = np.ones((12, 12, 12), bool)
BRAIN[:3] = False


def clean() -> np.ndarray:
    return np.random.default_rng(0).uniform(0.1, 1.2, (2, *BRAIN.shape))


def test_without_a_difference_all_scanners_are_alike() -> None:
    for k in range(4):
        scanner = draw_scanner(3, k, 2, 0.0)
        assert scanner.gamma == (1.0, 1.0) and scanner.scale == (REFERENCE_SCALE,) * 2 and scanner.bias_factor == 1


@pytest.mark.parametrize("index", range(1, 6))
def test_another_scanner_has_another_contrast_in_proportion(index: int) -> None:
    whole, half = (draw_scanner(0, index, 3, difference) for difference in (1.0, 0.5))
    for g, h in zip(whole.gamma, half.gamma, strict=True):
        assert 0.25 - 1e-3 <= abs(np.log(g)) <= 0.55 + 1e-3
        assert np.log(h) == pytest.approx(np.log(g) / 2, abs=1e-3)
    assert draw_scanner(0, 0, 3, 1.0).gamma == (1.0, 1.0, 1.0)
    assert draw_scanner(1, index, 3, 1.0).gamma != whole.gamma


def test_without_bias_and_noise_the_image_is_the_known_power() -> None:
    scanner = draw_scanner(0, 1, 2, 1.0)
    images = acquire(clean(), BRAIN, 2.0, scanner, bias=0, noise=0, entropy=[0, 1])
    for k in range(2):
        expected = scanner.scale[k] * clean()[k] ** scanner.gamma[k] * BRAIN
        assert images[k] == pytest.approx(expected, rel=1e-4)


def test_bias_is_bounded_and_partly_the_scanners_own() -> None:
    scanner, ones = draw_scanner(0, 0, 1, 1.0), np.ones((1, *BRAIN.shape))
    fields = [
        np.log(acquire(ones, BRAIN, 8.0, scanner, bias=0.3, noise=0, entropy=[0, i])[0][BRAIN] / scanner.scale[0])
        for i in range(12)
    ]
    assert 0.1 < max(np.abs(f).max() for f in fields) <= 0.3 + 1e-4
    shared = np.mean(fields, axis=0)
    assert np.corrcoef(shared, fields[0])[0, 1] > 0.5  # everyone's field holds the scanner's part


def test_outside_of_the_brain_is_zero_and_noise_is_not() -> None:
    scanner = draw_scanner(0, 0, 2, 1.0)
    images = acquire(clean(), BRAIN, 2.0, scanner, bias=0.2, noise=0.05, entropy=[0, 1])
    assert not images[:, ~BRAIN].any() and images[:, BRAIN].min() > 0
    quiet = acquire(clean(), BRAIN, 2.0, scanner, bias=0.2, noise=0.0, entropy=[0, 1])
    for k in range(2):  # at this much signal Rician noise is Gaussian
        bright = BRAIN & (quiet[k] > 0.4 * scanner.scale[k])
        assert ((images - quiet)[k][bright] / scanner.scale[k]).std() == pytest.approx(0.05, rel=0.1)
