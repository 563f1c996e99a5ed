"""What the user is looking at: cohort, subject, image, run, voxel; all are in the URL, so a link opens the same view.

Images are cached by names and digests. Arrays are never arguments of a cached function: streamlit hashes only a
sample of a large array and would give the stale answer for a small change.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import streamlit as st

from workbench import workflow
from workbench.errors import WorkbenchError

Voxel = tuple[int, int, int]
Theme = Literal["light", "dark"]


def theme() -> Theme:
    """Give the appearance the user chose, for figures."""
    return "dark" if st.context.theme.type == "dark" else "light"


def choose(
    label: str, options: Sequence[str], name: str, *, format_func: Callable[[str], str] = str, **more: Any
) -> str:
    """Show a select box whose choice is kept in the URL under ``name`` and on the other pages.

    Args:
        label: above the box.
        options: at least one.
        name: of the URL parameter.
        format_func: how an option is shown.
        more: passed to ``st.selectbox``.
    """
    key = f"choose_{name}"
    if st.session_state.get(key) not in options:
        known = [st.query_params.get(name), st.session_state.get(f"last_{name}"), options[0]]
        st.session_state[key] = next(value for value in known if value in options)
    value = st.selectbox(label, options, key=key, format_func=format_func, **more)
    remember(name, value)
    return str(value)


def remember(name: str, value: str) -> None:
    """Put a choice into the URL and keep it for the other pages."""
    st.session_state[f"last_{name}"] = value
    st.query_params[name] = value


def prefer(name: str, value: str) -> None:
    """Let the next page, or this one when it runs again, open with this choice."""
    st.session_state[f"last_{name}"] = value
    if name in st.query_params:
        st.query_params[name] = value
    st.session_state.pop(f"choose_{name}", None)


def voxel(shape: tuple[int, int, int], name: str = "voxel") -> Voxel:
    """Give the cross from the URL, or the middle of the image."""
    middle = (shape[0] // 2, shape[1] // 2, shape[2] // 2)
    try:
        i, j, k = (int(v) for v in st.query_params.get(name, "").split(","))
    except ValueError:
        return middle
    return (i, j, k) if all(0 <= v < n for v, n in zip((i, j, k), shape, strict=True)) else middle


def set_voxel(chosen: Voxel, name: str = "voxel") -> None:
    """Put the cross into the URL."""
    st.query_params[name] = ",".join(map(str, chosen))


def cohort_names(*, with_images: bool = False) -> list[str]:
    """Give the names of all cohorts, or of those that have images."""
    return [c.name for c in workflow.list_cohorts() if c.modalities or not with_images]


def load_volume(cohort: str, subject: str, modality: str) -> Any:
    """Read an image once; the Volume is shared by all sessions and read-only."""
    return _volume(cohort, subject, modality, workflow.open_cohort(cohort).digest)


def load_overlay(cohort: str, subject: str, modality: str, what: Literal["label", "mask"]) -> np.ndarray | None:
    """Read a label map or mask once as (X, Y, Z) on the lattice of ``modality``; read-only."""
    return _overlay(cohort, subject, modality, what, workflow.open_cohort(cohort).digest)


@st.cache_resource(max_entries=12, show_spinner="Reading the image")
def _volume(cohort: str, subject: str, modality: str, digest: str) -> Any:
    volume = workflow.load_volume(cohort, subject, modality)
    volume.data.flags.writeable = False
    return volume


@st.cache_resource(max_entries=12, show_spinner="Reading the labels")
def _overlay(
    cohort: str, subject: str, modality: str, what: Literal["label", "mask"], digest: str
) -> np.ndarray | None:
    array = workflow.load_overlay(cohort, subject, what, modality)
    if array is not None:
        array.flags.writeable = False
    return array


def finished_runs() -> dict[str, str]:
    """Give the finished runs, newest first: id → how it is called in a list."""
    done = [r for r in workflow.list_runs() if r.status().state == "finished"]
    return {r.id: f"{r.title} ({r.id})" if r.title else r.id for r in done}


def runs_that_show(*whats: str) -> dict[str, str]:
    """Give the finished runs that can show one of these (keys of ``workflow.shows``), as :func:`finished_runs`."""
    return {i: title for i, title in finished_runs().items() if any(run_shows(i, what) for what in whats)}


def run_shows(run_id: str, what: str) -> bool:
    """Say whether a run can show something; one that cannot be read shows nothing."""
    try:
        return _run_shows(run_id, trained(run_id), what)
    except WorkbenchError:
        return False


def alarms(run_id: str) -> list[str]:
    """Give what makes a finished run doubtful, a sentence each."""
    kept = workflow.open_run(run_id).folder / "samples" / "log_z.npz"  # estimates come after the training
    return list(_alarms(run_id, trained(run_id), kept.stat().st_mtime_ns if kept.exists() else 0))


@lru_cache(maxsize=500)
def _alarms(run_id: str, version: str, estimated: int) -> tuple[str, ...]:
    return tuple(workflow.alarms(run_id))


@lru_cache(maxsize=5000)
def _run_shows(run_id: str, version: str, what: str) -> bool:
    return bool(workflow.run_shows(run_id, what))


def filter_bank(run_id: str, depth: int) -> Any:
    """Give the filters of a layer once; a run that was extended is read again."""
    return _filter_bank(run_id, depth, trained(run_id))


def encoder_decoder(run_id: str) -> Any:
    """Give what Figures 2a and 4 draw, once."""
    return _encoder_decoder(run_id, trained(run_id))


def reconstructions(run_id: str) -> Any:
    """Give held-out patches and what the network makes of them, once."""
    return _reconstructions(run_id, trained(run_id))


def two_blocks(run_id: str, n: int) -> Any:
    """Give Figure 9's blocks of each modality once."""
    return _two_blocks(run_id, n, trained(run_id))


@st.cache_resource(max_entries=4, show_spinner="Reading the weights")
def _two_blocks(run_id: str, n: int, version: str) -> Any:
    return workflow.two_blocks(run_id, n)


@st.cache_resource(max_entries=12, show_spinner="Reading the filters")
def _filter_bank(run_id: str, depth: int, version: str) -> Any:
    return workflow.filters(run_id, depth)


@st.cache_resource(max_entries=4, show_spinner="Reading the stack")
def _encoder_decoder(run_id: str, version: str) -> Any:
    return workflow.encoder_decoder(run_id)


@st.cache_resource(max_entries=4, show_spinner="Rebuilding patches")
def _reconstructions(run_id: str, version: str) -> Any:
    return workflow.reconstructions(run_id)


def trained(run_id: str) -> str:
    """Say which training of the run this is: its result changes when the run is extended."""
    return str((workflow.open_run(run_id).result() or {}).get("finished", ""))
