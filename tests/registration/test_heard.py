"""Every engine tells its energy row by row, as it falls, and in the end the same rows again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pair_maker import deformed_pair

from workbench.registration.channel_demons import DemonsSettings, channel_demons
from workbench.registration.feature_rows import FeatureRows, patch_rows
from workbench.registration.hammer import hammer
from workbench.registration.hammer_settings import HammerSettings
from workbench.registration.itk_demons import itk_demons
from workbench.registration.match import EnergyRow, Match
from workbench.registration.rounds import hammer_in_rounds

UNIT = (1.0, 1.0, 1.0)
QUICK = HammerSettings(
    shrink=(3, 2), n_iterations=(2, 2), key_share=(0.5, 0.1), search_radius=(2, 2), max_spline_points=100
)


def rows_of(image: np.ndarray, mask: np.ndarray) -> FeatureRows:
    return patch_rows(image, mask, 3)


def run(engine: str, fixed: np.ndarray, moving: np.ndarray, **told: Any) -> Match:
    inside = np.ones(fixed.shape, bool)
    if engine == "itk":
        return itk_demons(fixed, moving, UNIT, n_iterations=4, levels=2, **told)
    if engine == "channels":
        return channel_demons(fixed, moving, UNIT, DemonsSettings(n_levels=2, n_iterations=4), **told)
    if engine == "hammer":
        return hammer(rows_of(fixed, inside), rows_of(moving, inside), settings=QUICK, **told)
    return hammer_in_rounds((fixed, inside), (moving, inside), rows_of, UNIT, settings=QUICK, n_rounds=2, **told)


@pytest.mark.parametrize("engine", ["itk", "channels", "hammer", "rounds"])
def test_every_row_is_heard_when_it_is_known(engine: str) -> None:
    pair = deformed_pair(0)
    heard: list[EnergyRow] = []
    so_far: list[int] = []
    match = run(engine, pair.fixed, pair.moving, heard=heard.append, progress=lambda *_: so_far.append(len(heard)))
    assert tuple(heard) == match.energy and len(heard) >= 4
    assert 0 < so_far[len(so_far) // 2] < len(heard), "half-way some are known"
    alone = run(engine, pair.fixed, pair.moving)
    np.testing.assert_array_equal(match.forward, alone.forward)
