"""What is not biology: who is scanned where, what a scanner adds, and heads that move."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from workbench.phantoms.bold_plan import BoldPlan

MOTION_COLUMNS = ("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z")
"""In mm and rad, as fMRIPrep names them."""
HEAD_RADIUS_MM = 50.0  # of Power's framewise displacement
SPIKE_MM, STILL_MM = 1.0, 0.02  # size of a movement, and of what a still head does from volume to volume
SPIKE_SD = 3.0  # what a movement adds, in standard deviations of the series
DECAY = (1.0, 0.5, 0.25)  # of it in the volumes that follow


class Motion(NamedTuple):
    """One subject's movements.

    Attributes:
        parameters: (T, 6) in mm and rad, in the order of :data:`MOTION_COLUMNS`.
        displacement_mm: (T,) framewise displacement, 0 at the first volume.
        spikes: indices of the volumes at which the head moved.
        added: (T,) what the movements add to every region, before its weight.
    """

    parameters: np.ndarray
    displacement_mm: np.ndarray
    spikes: np.ndarray
    added: np.ndarray


def diagnosis_and_site(plan: BoldPlan, index: int) -> tuple[bool, int]:
    """Say whether subject ``index`` is a patient, and which site (from 0) scans it.

    Odd subjects are patients and every pair goes to the next site, so sites are balanced; with the chance
    ``plan.confounding`` the site decides instead: even sites have controls, odd ones patients.
    """
    site = index // 2 % plan.n_sites
    confounded = np.random.default_rng([plan.seed, 2, index]).random() < plan.confounding
    return bool(site % 2 if confounded else index % 2), site


def site_weights(plan: BoldPlan, site: int, n_regions: int) -> tuple[np.ndarray, np.ndarray]:
    """Give a scanner's gains (R,), and its weights (R,) of a signal of its own that shifts all correlations."""
    rng = np.random.default_rng([plan.seed, 3, site])
    gains = np.exp(rng.normal(0, 0.5 * plan.site_effect, n_regions))
    return gains, rng.normal(0, plan.site_effect, n_regions)


def add_site(series: np.ndarray, plan: BoldPlan, site: int, rng: np.random.Generator) -> np.ndarray:
    """Give gains * (series + common signal * weights), (T, R); its covariance is G (C + w w') G."""
    gains, weights = site_weights(plan, site, series.shape[1])
    return gains * (series + rng.normal(size=(len(series), 1)) * weights)


def draw_motion(rng: np.random.Generator, per_hundred: float, n_volumes: int) -> Motion:
    """Draw movements of about 1 mm at random volumes, and what they do to the signal.

    Args:
        rng: mutated.
        per_hundred: expected movements in 100 volumes.
        n_volumes: T.
    """
    moved = rng.random(n_volumes) < per_hundred / 100
    moved[0] = False
    steps = rng.normal(0, STILL_MM / 6, (n_volumes, 6))
    jumps = rng.uniform(0.5, 1.5, n_volumes) * SPIKE_MM * moved
    steps += jumps[:, None] * rng.dirichlet(np.ones(6), n_volumes) * rng.choice([-1, 1], (n_volumes, 6))
    steps[0] = 0
    displacement = np.abs(steps).sum(axis=1)
    steps[:, 3:] /= HEAD_RADIUS_MM  # mm on a sphere of 50 mm → rad
    added = np.convolve(jumps * rng.choice([-1, 1], n_volumes) * SPIKE_SD, DECAY)[:n_volumes]
    return Motion(steps.cumsum(axis=0), displacement, np.flatnonzero(moved), added)
