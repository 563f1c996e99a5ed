"""Segmented subjects, read once; and the work that makes them, started and followed."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from workbench import workflow
from workbench.app import state
from workbench.app.jobs import job_card, under_way
from workbench.app.messages import guard, plain
from workbench.errors import SettingsError
from workbench.figures.label_maps import LabelMaps
from workbench.paths import cache_dir

JOB = "segment_job"
SUFFIXES = (".nii.gz", ".nii")


class _NotYet(Exception):
    """Nothing to keep: streamlit would keep a None too, and show it when it is outdated."""


def segmented(run_id: str, cohort: Any, subject: str) -> Any | None:
    """Give what a run has said of a subject, None where it was not asked yet."""
    try:
        return _segmented(run_id, state.trained(run_id), cohort.name, cohort.digest, subject)
    except _NotYet:
        return None


@st.cache_resource(max_entries=3, show_spinner="Reading the segmentation")
def _segmented(run_id: str, version: str, cohort: str, digest: str, subject: str) -> Any:
    found = workflow.segmented(run_id, cohort, subject)
    if found is None:
        raise _NotYet
    return found


@st.cache_resource(max_entries=3, show_spinner=False)
def _uncertainty(run_id: str, version: str, cohort: str, digest: str, subject: str) -> np.ndarray:
    return np.asarray(_segmented(run_id, version, cohort, digest, subject).uncertainty)


def uncertainty(run_id: str, cohort: Any, subject: str) -> np.ndarray:
    """Give the uncertainty of every voxel (X, Y, Z), 0 to 1, computed once."""
    return _uncertainty(run_id, state.trained(run_id), cohort.name, cohort.digest, subject)


def scores(run_id: str, cohort: Any, subject: str, found: Any) -> dict[str, dict[str, float]]:
    """Give the scores of a subject against its truth: those that were kept, or counted now; empty without truth."""
    kept = workflow.segmentation_scores(run_id, cohort.name) or {"subjects": {}}
    return dict(kept["subjects"].get(subject) or found.scores())


@st.cache_data(max_entries=8, show_spinner="Scoring every threshold")
def _thresholds(run_id: str, version: str, cohort: str, digest: str, subject: str, name: str) -> pd.DataFrame:
    return pd.DataFrame(workflow.threshold_rows(run_id, cohort, subject, name))


def thresholds(run_id: str, cohort: Any, subject: str, name: str) -> pd.DataFrame:
    """Give the scores of a class at every threshold, computed once."""
    return _thresholds(run_id, state.trained(run_id), cohort.name, cohort.digest, subject, name)


def maps_of(found: Any) -> LabelMaps:
    """Give what figures draw of a segmented subject."""
    return LabelMaps(found.image, found.classes, found.truth, found.names)


def images_of(cohort: Any, subject: str, found: Any) -> list[str]:
    """Give the modalities of a subject; the one that was segmented first."""
    names = list(cohort[subject].images)
    first = found.image.modality
    return [n for n in names if n == first] + [n for n in names if n != first] or [first]


def image(cohort: Any, subject: str, found: Any, modality: str) -> Any:
    """Give an image of a subject where it lies on the lattice of the labels, else the one that was segmented."""
    if modality == found.image.modality:
        return found.image
    other = state.load_volume(cohort.name, subject, modality)
    same = other.shape == found.image.shape and np.allclose(other.affine, found.image.affine, atol=1e-3)
    if not same:
        st.caption(f"{plain(modality)} lies on another lattice; {plain(found.image.modality)} is shown.")
    return other if same else found.image


def start(run_id: str, cohort: str, subjects: list[str] | None) -> None:
    """Begin to segment subjects, all of them with None."""
    with guard("segment this"):
        st.session_state[JOB] = workflow.start_segmenting(run_id, cohort, subjects)


def follow() -> bool:
    """Show how far the work is; give whether it goes on.

    How it failed stays until the next start.
    """
    job = under_way(JOB, "segment")
    if job is None:
        return False
    found = ""
    with guard("follow the segmentation"):
        found = job_card(job.id, done="Segmented. What the network says is below.")
    if found in ("", "finished"):
        st.session_state.pop(JOB, None)
    return found == "running"


def keep_reference(content: bytes, name: str) -> Path:
    """Write a mask that came through the browser where it may be deleted at any time; give its file.

    Raises:
        SettingsError: it is no NIfTI image by its name.
    """
    suffix = next((s for s in SUFFIXES if name.lower().endswith(s)), None)
    if suffix is None:
        raise SettingsError(f"{name} is no NIfTI image; give the label map as .nii or .nii.gz.")
    stem = re.sub(r"[^\w-]+", "-", name[: -len(suffix)]).strip("-")[:40] or "reference"
    folder = cache_dir() / "references" / hashlib.blake2b(content, digest_size=6).hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{stem}{suffix}"
    if not file.is_file():
        file.write_bytes(content)
    return file


def given_path(text: str) -> Path:
    """Give the file that a user named.

    Raises:
        SettingsError: there is none.
    """
    path = Path(text.strip().strip('"')).expanduser()
    if not path.is_file():
        raise SettingsError(f"There is no file {text.strip()}; give the full path of a label map on this machine.")
    return path
