"""One subject of a BOLD phantom: its signal, noise, scanner and movements, with the truth of each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workbench.phantoms.bold_edges import Edges, draw_edge_series, draw_edges, draw_severity
from workbench.phantoms.bold_networks import Networks, draw_networks
from workbench.phantoms.bold_nuisance import Motion, add_site, diagnosis_and_site, draw_motion
from workbench.phantoms.bold_plan import BoldPlan
from workbench.phantoms.bold_sources import draw_sources, haemodynamic_response, respond
from workbench.phantoms.bold_states import States, draw_latents, draw_states

World = Networks | Edges | States
WEAKENED = 0  # the network that is weaker in patients: the default mode, the first of the planted ones


@dataclass(frozen=True, eq=False)
class BoldSubject:
    """One drawn subject.

    Attributes:
        series: (T, R) float32; without white noise where images are made, which have theirs in the voxels.
        is_patient: the diagnosis.
        site: from 0.
        truth: what no method is told: ``courses`` (T, K); or ``severity`` (); or ``path`` (T,), ``latents`` (T, 2).
        motion: None where no head moves.
    """

    series: np.ndarray
    is_patient: bool
    site: int
    truth: dict[str, np.ndarray]
    motion: Motion | None


def draw_world(plan: BoldPlan, members: np.ndarray) -> World:
    """Draw what all subjects share.

    Args:
        plan: the settings.
        members: (R,) int, planted network of each region, -1 for none.

    Raises:
        SettingsError: the effect on edges is too large.
    """
    if plan.kind == "edges":
        return draw_edges(plan.seed, members, plan.strength, plan.spread if plan.strength else 0.0)
    if plan.kind == "states":
        return draw_states(plan.seed, members, plan.differ, plan.manifold, plan.strength)
    return draw_networks(plan.seed, members)


def draw_subject(plan: BoldPlan, world: World, index: int) -> BoldSubject:
    """Draw subject ``index``, which depends on the seed, the index and the settings, not on how many there are."""
    is_patient, site = diagnosis_and_site(plan, index)
    rng = np.random.default_rng([plan.seed, 1, index])
    signal, truth = draw_signal(plan, world, is_patient, rng)
    series = signal if plan.images else signal + rng.normal(0, plan.noise_sd, signal.shape)
    if plan.site_effect:
        series = add_site(series, plan, site, rng)
    motion = None
    if plan.motion:
        motion = draw_motion(rng, plan.motion, plan.n_volumes)
        series = series + motion.added[:, None] * rng.uniform(0.5, 1.5, series.shape[1]) * series.std()
        truth["spikes"] = motion.spikes
    return BoldSubject(series.astype(np.float32), is_patient, site, truth, motion)


def draw_signal(
    plan: BoldPlan, world: World, is_patient: bool, rng: np.random.Generator
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Draw the signal (T, R) float64 without noise, and its truth; both classes use the same random numbers."""
    response = haemodynamic_response(plan.tr_s) if plan.responds else None
    if isinstance(world, Networks):
        courses = draw_sources(rng, plan.n_volumes, len(world.maps), plan.sources, response)
        weighted = courses * network_amplitudes(plan, len(world.maps))[int(is_patient)]
        return weighted @ world.maps, {"courses": weighted.astype(np.float32)}
    warm_up = 0 if response is None else len(response) - 1
    truth: dict[str, np.ndarray]
    if isinstance(world, Edges):
        severity = draw_severity(rng, world, is_patient)
        truth = {"severity": np.asarray(severity)}
        signal = draw_edge_series(rng, world, severity, plan.n_volumes + warm_up)
    else:
        path, latents = draw_latents(rng, world, is_patient, plan.n_volumes + warm_up)
        truth = {"path": path[warm_up:], "latents": latents[warm_up:].astype(np.float32)}
        signal = world.mix(latents)
    if response is not None:
        signal = respond(signal, response)
        signal = signal / signal.std()  # the response smooths; one factor keeps the scale of the noise
    return signal, truth


def network_amplitudes(plan: BoldPlan, n_networks: int) -> np.ndarray:
    """Give the standard deviation of each network's course in controls and in patients, (2, K)."""
    amplitudes = np.ones((2, n_networks))
    amplitudes[1, WEAKENED] -= plan.strength
    return amplitudes
