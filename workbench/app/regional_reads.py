"""What runs on regional signals show, read once: networks, states, diagnosis, and the connectivity of one subject."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from workbench import workflow
from workbench.app.state import trained
from workbench.errors import CohortError, WorkbenchError

ATLAS_FILE = "atlas.nii.gz"


def networks(run_id: str) -> Any:
    """Give what the units of a run look at."""
    return _networks(run_id, trained(run_id))


def overlap(run_id: str, top: int, reference: tuple[str, ...]) -> Any:
    """Give which network of the reference (R,) each unit's ``top`` strongest regions make; None without any."""
    return _overlap(run_id, trained(run_id), top, reference)


def states(run_id: str) -> Any:
    """Give the hidden states of each class's model."""
    return _states(run_id, trained(run_id))


def diagnosis(run_id: str) -> Any:
    """Give the cross-validated scores."""
    return _diagnosis(run_id, trained(run_id))


def roc(run_id: str, method: str, *, within_site: bool) -> Any:
    """Give the band and the permutation test of a method."""
    return _roc(run_id, trained(run_id), method, within_site)


def control_traces(run_id: str) -> Any:
    """Give how the sparsity controller drove the weights."""
    return _control(run_id, trained(run_id))


def cohort_of(run_id: str) -> Any | None:
    """Give the cohort that a run learnt from; None where it is gone."""
    try:
        return workflow.open_cohort(workflow.open_run(run_id).info.cohort or "")
    except WorkbenchError:
        return None


def left_out(run_id: str) -> str:
    """Say which regions the run left out for all, because somebody lacks them; empty without any."""
    kept = workflow.open_run(run_id).load_arrays("regions")
    names = [str(n) for n in kept["dropped"]] if "dropped" in kept else []
    if not names:
        return ""
    shown = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
    return f"{len(names)} regions are left out, for want of a signal in somebody: {shown}."


def networks_by(run_id: str, atlas: str, names: Path | None) -> tuple[str, ...]:
    """Give the network of each region or voxel of a run in another atlas."""
    return _networks_by(run_id, trained(run_id), atlas, None if names is None else str(names))


def on_template(run_id: str, unit: int) -> Any:
    """Give the MNI152 brain, and a unit's weights on its lattice."""
    return _on_template(run_id, trained(run_id), unit)


def has_atlas(run_id: str) -> bool:
    """Say whether the run's cohort has a label atlas, so that a unit has a map."""
    cohort = cohort_of(run_id)
    return cohort is not None and (Path(cohort.path).parent / ATLAS_FILE).is_file()


def subject_matrix(run_id: str, subject: str, regions: tuple[str, ...]) -> np.ndarray:
    """Give the (R, R) correlation of one subject's regions, with a diagonal of zeros.

    Raises:
        CohortError: the cohort is gone, or the subject has not all the regions of the run.
    """
    cohort = cohort_of(run_id)
    if cohort is None:
        raise CohortError("The cohort of this run is no longer there, so no single subject can be shown.")
    return _subject(str(cohort.path), cohort.digest, subject, regions)


@st.cache_resource(max_entries=6, show_spinner="Reading the networks")
def _networks(run_id: str, version: str) -> Any:
    return workflow.regional_networks(run_id)


@st.cache_resource(max_entries=30, show_spinner=False)
def _overlap(run_id: str, version: str, top: int, reference: tuple[str, ...]) -> Any:
    return workflow.network_overlap(run_id, top, reference)


@st.cache_resource(max_entries=6, show_spinner="Reading the reference")
def _networks_by(run_id: str, version: str, atlas: str, names: str | None) -> tuple[str, ...]:
    return workflow.networks_by(run_id, atlas, names)


@st.cache_resource(max_entries=20, show_spinner="Painting the unit")
def _on_template(run_id: str, version: str, unit: int) -> Any:
    return workflow.unit_on_template(run_id, unit)


@st.cache_resource(max_entries=6, show_spinner="Reading the states")
def _states(run_id: str, version: str) -> Any:
    return workflow.states(run_id)


@st.cache_resource(max_entries=6, show_spinner="Reading the scores")
def _diagnosis(run_id: str, version: str) -> Any:
    return workflow.diagnosis(run_id)


@st.cache_resource(max_entries=30, show_spinner="Shuffling the classes")
def _roc(run_id: str, version: str, method: str, within_site: bool) -> Any:
    return workflow.roc(run_id, method, within_site=within_site)


@st.cache_resource(max_entries=6, show_spinner=False)
def _control(run_id: str, version: str) -> Any:
    return workflow.control_traces(run_id)


@st.cache_resource(max_entries=20, show_spinner="Reading the signals")
def _subject(cohort: str, digest: str, subject: str, regions: tuple[str, ...]) -> np.ndarray:
    found = workflow.open_cohort(cohort)[subject].regional_series()
    missing = [name for name in regions if name not in found.regions]
    if missing:
        raise CohortError(f"The series of {subject} has no region {missing[0]}, which the run uses.")
    values = found.only(regions).values.astype(np.float64)
    known = values[np.isfinite(values).all(1)]
    with np.errstate(invalid="ignore", divide="ignore"):
        matrix = np.atleast_2d(np.corrcoef(known, rowvar=False))
    np.fill_diagonal(matrix, 0.0)
    return matrix
