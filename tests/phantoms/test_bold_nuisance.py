"""Sites and movements: balanced or confounded as asked, with the covariance and the displacement that are written."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.errors import SettingsError
from workbench.phantoms.bold_nuisance import (
    HEAD_RADIUS_MM,
    add_site,
    diagnosis_and_site,
    draw_motion,
    site_weights,
)
from workbench.phantoms.bold_plan import BoldPlan


def test_every_site_has_as_many_patients_as_controls() -> None:
    plan = BoldPlan(n_sites=4)
    drawn = [diagnosis_and_site(plan, i) for i in range(80)]
    for site in range(4):
        assert sum(d for d, s in drawn if s == site) == 10 == sum(not d for d, s in drawn if s == site)


@pytest.mark.parametrize("confounding", [0.5, 1.0])
def test_confounding_is_the_share_whose_site_decides(confounding: float) -> None:
    plan = BoldPlan(n_sites=2, confounding=confounding)
    drawn = [diagnosis_and_site(plan, i) for i in range(2000)]
    agree = np.mean([d == bool(s % 2) for d, s in drawn])
    assert agree == pytest.approx(confounding + (1 - confounding) / 2, abs=0.03)


def test_a_site_changes_the_covariance_as_its_weights_say() -> None:
    plan = BoldPlan(site_effect=0.4)
    rng = np.random.default_rng(0)
    series = add_site(rng.normal(size=(60_000, 5)), plan, 2, rng)
    gains, weights = site_weights(plan, 2, 5)
    expected = gains[:, None] * (np.eye(5) + np.outer(weights, weights)) * gains
    np.testing.assert_allclose(np.cov(series.T), expected, atol=0.08)
    assert not np.allclose(weights, site_weights(plan, 1, 5)[1])


def test_displacement_is_powers_of_the_parameters() -> None:
    motion = draw_motion(np.random.default_rng(0), 5.0, 1000)
    moved = np.abs(np.diff(motion.parameters, axis=0))
    moved[:, 3:] *= HEAD_RADIUS_MM
    np.testing.assert_allclose(motion.displacement_mm[1:], moved.sum(axis=1), atol=1e-12)
    assert motion.displacement_mm[0] == 0
    assert len(motion.spikes) / 1000 == pytest.approx(0.05, abs=0.02)
    still = np.delete(motion.displacement_mm, motion.spikes)
    assert motion.displacement_mm[motion.spikes].min() > 0.4 > 0.2 > still.max()
    assert np.flatnonzero(motion.added).min() == motion.spikes[0]


@pytest.mark.parametrize(
    "change",
    [
        {"n_subjects": 3}, {"seed": -1}, {"n_volumes": 39}, {"n_regions": 501}, {"noise": -1.0}, {"effect": 1.5},
        {"n_sites": 0}, {"site_effect": 3.0}, {"confounding": 1.1}, {"motion": 21.0}, {"tr_s": 0.0}, {"spread": 3.0},
        {"noise": float("nan")},
    ],
)  # fmt: skip
def test_settings_out_of_bounds_are_said(change: dict) -> None:
    with pytest.raises(SettingsError, match="lies between"):
        BoldPlan(**change)


@pytest.mark.parametrize("name", ["kind", "sources", "differ", "manifold", "format"])
def test_unknown_choices_are_said(name: str) -> None:
    with pytest.raises(SettingsError, match=r"of a BOLD phantom is .* or .*; got 'other'"):
        BoldPlan(**{name: "other"})


def test_each_kind_has_its_own_defaults() -> None:
    assert BoldPlan().responds and not BoldPlan(sources="laplace").responds and not BoldPlan(kind="states").responds
    assert BoldPlan(kind="edges").strength == 0.175 and BoldPlan(kind="edges").noise_sd == 0
    assert BoldPlan(kind="null", effect=0.5).strength == 0
