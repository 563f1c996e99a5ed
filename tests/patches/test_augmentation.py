from __future__ import annotations

import numpy as np
import pytest
import torch

from workbench.patches.augmentation import Augmentation

NOTHING = Augmentation(rotation=0, scale=0, gain=0, offset=0, noise=0)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def ramp(size: tuple[int, int, int]) -> torch.Tensor:
    """Give x + 10 y + 100 z about the middle, which linear interpolation reproduces exactly."""
    axes = [torch.arange(n, dtype=torch.float32) - (n - 1) / 2 for n in size]
    x, y, z = torch.meshgrid(*axes, indexing="ij")
    return (x + 10 * y + 100 * z)[None, None]


@pytest.mark.parametrize("size", [(5, 5, 5), (5, 7, 1)])
def test_zero_bounds_are_identity(size: tuple) -> None:
    images = torch.rand(3, 2, *size)
    assert NOTHING.context(size) == size
    torch.testing.assert_close(NOTHING(images, size, rng()), images, rtol=1e-5, atol=1e-5)


def test_same_generator_same_result() -> None:
    look, images = Augmentation(), torch.rand(4, 1, 11, 11, 11)
    first, second, other = (
        look(images, (5, 5, 5), rng(1)),
        look(images, (5, 5, 5), rng(1)),
        look(images, (5, 5, 5), rng(2)),
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("size", [(5, 5, 5), (9, 3, 5), (7, 7, 1)])
def test_a_turned_ramp_stays_linear_so_no_corner_is_made_up(size: tuple) -> None:
    look = Augmentation(rotation=25, scale=0.2, gain=0, offset=0, noise=0)
    images = ramp(look.context(size)).repeat(40, 1, 1, 1, 1)
    turned = look(images, size, rng())[:, 0].double().numpy()
    x = np.stack([*np.meshgrid(*[np.arange(n) - (n - 1) / 2 for n in size], indexing="ij"), np.ones(size)], -1).reshape(
        -1, 4
    )
    for patch in turned:
        fitted = x @ np.linalg.lstsq(x, patch.ravel(), rcond=None)[0]
        np.testing.assert_allclose(fitted, patch.ravel(), atol=2e-3)


def test_turning_keeps_the_center() -> None:
    look = Augmentation(rotation=30, scale=0.1, gain=0, offset=0, noise=0)
    images = ramp(look.context((5, 5, 5)))
    assert float(look(images, (5, 5, 5), rng())[0, 0, 2, 2, 2]) == pytest.approx(0, abs=1e-3)


def test_intensity_changes_stay_in_their_bounds() -> None:
    look = Augmentation(rotation=0, scale=0, gain=0.2, offset=0.1, noise=0)
    images = torch.zeros(200, 1, 3, 3, 3)
    images[:, :, 1] = 1.0
    shown = look(images, (3, 3, 3), rng())
    offset = shown[:, 0, 0, 0, 0]
    gain = shown[:, 0, 1, 0, 0] - offset
    assert offset.abs().max() <= 0.1 and offset.abs().max() > 0.08
    assert (gain - 1).abs().max() <= 0.2001 and (gain - 1).abs().max() > 0.16


def test_noise_has_its_standard_deviation() -> None:
    look = Augmentation(rotation=0, scale=0, gain=0, offset=0, noise=0.05)
    assert float(look(torch.zeros(20, 1, 9, 9, 9), (9, 9, 9), rng()).std()) == pytest.approx(0.05, rel=0.05)
