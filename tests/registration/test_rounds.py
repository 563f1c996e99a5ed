"""HAMMER in rounds: the warped image is described anew."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from workbench.errors import Cancelled
from workbench.imaging.displacements import compose, exponential, jacobian_determinant, pull
from workbench.registration.feature_rows import FeatureRows, patch_rows
from workbench.registration.hammer import hammer
from workbench.registration.hammer_settings import HammerSettings
from workbench.registration.match import EnergyRow, Match
from workbench.registration.rounds import hammer_in_rounds, joined, later

SHAPE = (22, 22, 18)
EVERYWHERE = np.ones(SHAPE, bool)
UNIT = (1.0, 1.0, 1.0)
QUICK = HammerSettings(
    shrink=(2, 1), n_iterations=(3, 3), key_share=(0.5, 0.1), search_radius=(2, 2), max_spline_points=150
)


def turned_pair(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give a texture, what is seen of it through a map that turns it by a quarter of a radian, and that map."""
    rng = np.random.default_rng(seed)
    texture = gaussian_filter(rng.normal(size=SHAPE), 1.2).astype(np.float32)
    x, y, z = (np.arange(n) - (n - 1) / 2 for n in SHAPE)
    fade = np.exp(-(x[:, None, None] ** 2 + y[:, None] ** 2 + z**2) / (2 * 6.0**2))
    velocity = 0.45 * np.stack([-y[None, :, None] * fade, x[:, None, None] * fade, 0 * fade]).astype(np.float32)
    return texture, pull(texture[None], exponential(-velocity))[0], exponential(velocity)


def patches(image: np.ndarray, mask: np.ndarray) -> FeatureRows:
    return patch_rows(image, mask, 5)


def error(field: np.ndarray, truth: np.ndarray) -> float:
    inner = (slice(None), *[slice(4, -4)] * 3)
    return float(np.linalg.norm((field - truth)[inner], axis=0).mean())


def test_one_round_is_hammer() -> None:
    fixed, moving, _ = turned_pair(0)
    inside = EVERYWHERE.copy()
    inside[0] = False  # so that rows drive, as hammer's own default
    one = hammer_in_rounds((fixed, inside), (moving, inside), patches, UNIT, settings=QUICK, n_rounds=1)
    same = hammer(patches(fixed, inside), patches(moving, inside), settings=QUICK)
    np.testing.assert_array_equal(one.forward, same.forward)


def test_describing_anew_finds_what_was_turned_better() -> None:
    gains = []
    for seed in range(2):
        fixed, moving, truth = turned_pair(seed)
        pair = ((fixed, EVERYWHERE), (moving, EVERYWHERE))
        one, two = (hammer_in_rounds(*pair, patches, UNIT, settings=QUICK, n_rounds=n) for n in (1, 2))
        gains.append(error(one.forward, truth) - error(two.forward, truth))
        assert jacobian_determinant(two.forward).min() > 0
        assert np.linalg.norm(compose(two.forward, two.inverse), axis=0).mean() < 0.5
        assert {row.stage.split(",")[0] for row in two.energy} == {"round 1", "round 2"}
    assert min(gains) > 0


def test_joined_rounds_add_up() -> None:
    def shift(x: float, points: list[list[float]]) -> Match:
        field = np.zeros((3, *SHAPE), np.float32)
        field[0] = x
        return Match(field, -field, (EnergyRow("s", 1, 0.0, 1),), np.array(points, np.float32))

    both = joined(shift(2.0, [[5, 5, 5, 7, 5, 5]]), shift(1.0, [[5, 5, 5, 6, 5, 5]]))
    inner = (slice(None), slice(4, -4))
    assert np.allclose(both.forward[inner][0], 3) and np.allclose(both.inverse[inner][0], -3)
    np.testing.assert_allclose(both.points, [[5, 5, 5, 8, 5, 5]])
    assert len(both.energy) == 2


def test_later_rounds_are_the_last_stages() -> None:
    settings = later(HammerSettings())
    whole = HammerSettings()
    assert settings.shrink == whole.shrink[-2:]
    assert settings.temperature_start < whole.temperature_start
    assert later(HammerSettings(shrink=(1,), n_iterations=(2,), key_share=(0.1,), search_radius=(1,))).n_stages == 1


def test_it_can_be_cancelled_between_rounds() -> None:
    fixed, moving, _ = turned_pair(0)

    def stop(share: float, message: str) -> None:
        if share >= 0.5:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        hammer_in_rounds((fixed, EVERYWHERE), (moving, EVERYWHERE), patches, UNIT, settings=QUICK, progress=stop)
