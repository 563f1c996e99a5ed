"""Subjects brought onto each other: what holds before any engine begins."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from workbench.phantoms.brain import make_brain
from workbench.systems.feature_search import true_match
from workbench.systems.registering import register_subjects
from workbench.systems.registration_settings import RegistrationSettings, method_of


@pytest.mark.parametrize("seed", [0, 100])
def test_a_strong_bias_field_does_not_turn_the_head(seed: int, tmp_path: Path) -> None:
    """By correlation of the intensities as they are, the fields agree best: 60 and 43 mm away from the truth."""
    cohort = make_brain(
        tmp_path / "brains", n_subjects=2, seed=seed, spacing_mm=6.0, difficulty="7T-like", modalities=["T1"]
    )
    fixed, moving = cohort["brain-01"], cohort["brain-02"]
    found = register_subjects(method_of("affine"), fixed, moving, RegistrationSettings())
    truth = fixed.label_map(found.fixed)
    assert truth is not None
    places = found.fixed.to_mm(np.argwhere(truth > 0))
    there = true_match(fixed, moving, places)
    assert there is not None
    before, after = (np.linalg.norm(p - there, axis=1).mean() for p in (places, found.warp_points(places)))
    assert after < before < 15
    assert np.abs(found.linear[:3, :3] - np.eye(3)).max() < 0.3
