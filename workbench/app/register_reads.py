"""Registrations, read once with what the views draw of them; and the work that makes them, started and followed."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from workbench import workflow
from workbench.app import register_words
from workbench.app.compare_payload import Comparison
from workbench.app.jobs import job_card, under_way
from workbench.app.messages import guard
from workbench.app.overlay_layers import VIRIDIS, Overlay
from workbench.app.state import prefer
from workbench.errors import RunError
from workbench.figures.registration_fields import FOLD_COLOR, jacobian_limit, jacobian_ticks, lengths_mm, log_jacobian
from workbench.figures.registration_methods import Registration
from workbench.figures.registration_panels import BLUE, RED
from workbench.figures.registration_slices import Compared
from workbench.figures.theme import DIVERGING

JOB = "register_job"
FIXED, REGISTERED, START = "Fixed", "Registered", "Linear start"
JACOBIAN, DISPLACEMENT = "Jacobian", "Displacement"
STILL_VOXELS = 1e-3
"""Less than this is rounding, not a deformation."""


@dataclass(frozen=True, eq=False)
class Look:
    """One registration and everything that is drawn of it.

    Attributes:
        found: what the door gave.
        warped: the moving image on the fixed lattice.
        start: the same by the linear part alone.
        start_labels: (X, Y, Z) the moving labels by the linear part alone; None without labels.
        deformation: (3, X, Y, Z) voxels, the deformable part.
        jacobian: (X, Y, Z) its determinant.
        lengths: (X, Y, Z) mm, its length.
    """

    found: Any
    warped: Any
    start: Any
    start_labels: np.ndarray | None
    deformation: np.ndarray
    jacobian: np.ndarray
    lengths: np.ndarray

    @property
    def registered(self) -> Any:
        """Both images and the map between them."""
        return self.found.registered

    @property
    def is_deformed(self) -> bool:
        """Whether there is more than a linear map."""
        return _is_deformed(self.registered, self.deformation)


@dataclass(frozen=True, eq=False)
class Columns:
    """What Figure 6 draws of one registration.

    Attributes:
        template: the fixed image.
        labels: (X, Y, Z) its labels, or None.
        start: the subject after the linear start.
        own: the registered subject; None where nothing was deformed.
    """

    template: Any
    labels: np.ndarray | None
    start: Registration
    own: Registration | None


@st.cache_resource(max_entries=2, show_spinner="Reading the registration")
def look(registration_id: str) -> Look:
    """Read a registration once; nothing of it is ever written again under its id."""
    found = workflow.open_registration(registration_id)
    made = found.registered
    alone = made.linear_alone()
    labels = None if found.labels_moving is None else alone.warp_labels(found.labels_moving)
    deformation, jacobian = made.deformation(), made.jacobian()
    lengths = lengths_mm(deformation, made.fixed.affine)
    return Look(found, made.warped(), alone.warped(), labels, deformation, jacobian, lengths)


def compared(seen: Look, second: str) -> Compared:
    """Give what the figures compare: the fixed image beside the registered one or the one after the linear start."""
    image, labels = _second(seen, second)
    return Compared(seen.registered.fixed, image, seen.found.labels_fixed, labels, (FIXED, second))


@st.cache_resource(max_entries=4, show_spinner=False)
def drawn(registration_id: str, second: str) -> tuple[Comparison, list[Overlay]]:
    """Give what the viewer compares and its layers, the same objects for every click, so that they are coded once."""
    seen = look(registration_id)
    deformation = seen.deformation if second == REGISTERED and seen.is_deformed else None
    return Comparison(_second(seen, second)[0], (FIXED, second), deformation), overlays(seen, second)


def overlays(seen: Look, second: str) -> list[Overlay]:
    """Give the layers of the viewer: what the map does to space, then the labels of both images as outlines."""
    layers = _maps(seen) if second == REGISTERED and seen.is_deformed else []
    names = dict(seen.found.label_names)
    pairs = ((seen.found.labels_fixed, RED, FIXED), (_second(seen, second)[1], BLUE, second))
    for labels, color, name in pairs:
        if labels is not None and labels.any():
            values = [int(v) for v in np.unique(labels) if v]
            known = {v: names.get(v, f"label {v}") for v in values}
            layers.append(Overlay(f"{name}: labels", labels, "labels", names=known, outline=True,
                                  dashed=color == BLUE, label_colors=dict.fromkeys(values, color.lower())))  # fmt: skip
    return layers


@st.cache_resource(max_entries=12, show_spinner="Reading the registration")
def columns(registration_id: str) -> Columns:
    """Read of a registration only what Figure 6 draws, so that many of one pair fit into memory."""
    found = workflow.open_registration(registration_id)
    made = found.registered
    alone = made.linear_alone()
    labels = None if found.labels_moving is None else alone.warp_labels(found.labels_moving)
    start = Registration("Subject, linear start", alone.warped(), labels, register_words.mean(found.dice_before))
    own = None
    if _is_deformed(made, made.deformation()):
        dice = register_words.mean(found.dice)
        own = Registration(made.method, made.warped(), found.labels_warped, dice, made.folded_share)
    return Columns(made.fixed, found.labels_fixed, start, own)


def energy(seen: Look) -> pd.DataFrame:
    """Give a row an iteration."""
    return pd.DataFrame(seen.registered.energy, columns=["stage", "iteration", "energy", "n_points"])


def energy_so_far(registration_id: str) -> pd.DataFrame:
    """Give a row an iteration of a registration that goes on; empty before its first."""
    try:
        return pd.read_csv(BytesIO(workflow.export_registration(registration_id, "energy")))
    except RunError:
        return pd.DataFrame()


def start(plan: Any) -> None:
    """Begin to register."""
    with guard("register these images"):
        st.session_state[JOB] = workflow.start_registration(plan)


def is_busy() -> bool:
    """Say whether a registration goes on."""
    job = under_way(JOB, "register")
    try:
        return job is not None and workflow.read_job(job.id).state == "running"
    except RunError:  # its folder is gone, which following it says
        return False


def follow() -> str:
    """Show how far the work is; give the id that it will have, empty when none goes on.

    What it has made opens by itself; how it failed stays until the next start.
    """
    job = under_way(JOB, "register")
    if job is None:
        return ""
    found = ""
    with guard("follow the registration"):
        found = job_card(job.id, done="Registered. What came out is below.")
        if found == "finished":
            made = workflow.read_job(job.id).result
            if made in {row.id for row in workflow.list_registrations()}:
                prefer("registration", made)
    if found in ("", "finished"):
        st.session_state.pop(JOB, None)
    return job.result if found == "running" else ""


def _is_deformed(made: Any, deformation: np.ndarray) -> bool:
    """Say whether an engine has bent anything; a linear map alone, which has no energy, only looks so by rounding."""
    return bool(made.energy) and bool(np.abs(deformation).max() > STILL_VOXELS)


def _second(seen: Look, second: str) -> tuple[Any, np.ndarray | None]:
    if second == REGISTERED:
        return seen.warped, seen.found.labels_warped
    return seen.start, seen.start_labels


def _maps(seen: Look) -> list[Overlay]:
    limit = jacobian_limit(seen.jacobian)
    layers = [
        Overlay(JACOBIAN, log_jacobian(seen.jacobian), unit="×", colors=tuple(c for _, c in DIVERGING["light"]),
                limits=(-limit, limit), signed=True, ticks=jacobian_ticks(limit), shown=np.exp2),
        Overlay(DISPLACEMENT, seen.lengths, unit="mm", colors=VIRIDIS, limits=(0.0, float(seen.lengths.max()))),
    ]  # fmt: skip
    folded = seen.jacobian <= 0
    if folded.any():
        layers.append(Overlay("Folds", folded.astype(np.uint8), "labels", names={1: "folds"},
                              label_colors={1: FOLD_COLOR.lower()}))  # fmt: skip
    return layers
