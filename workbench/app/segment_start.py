"""From nothing to a segmentation by one click: a phantom whose labels are known, then a training on it."""

from __future__ import annotations

import streamlit as st

from workbench import workflow
from workbench.app import state
from workbench.app.frame import path
from workbench.app.live_curves import live_curves
from workbench.app.starter import STARTS, starter

FAMILY = "segment-"


def offered() -> list[str]:
    """Give the starts whose system and phantom are here."""
    known = {card.name for card in workflow.list_systems()}
    return [
        name
        for name, start in STARTS.items()
        if name.startswith(FAMILY) and start.system in known and start.kind in workflow.PHANTOM_KINDS
    ]


def starts(*, expanded: bool) -> None:
    """Offer each system on a phantom whose truth is known, and the way from one's own images."""
    names = offered()
    if names:
        with st.expander("Train on sample data", expanded=expanded, icon=":material/rocket_launch:"):
            st.markdown(
                "Each of these makes images whose labels are known and trains a small network on them, in a minute or "
                "two on this machine; then it opens here. How the method does is seen with its other presets."
            )
            with st.grid(min(3, len(names)), min_column_width=260):
                for name in names:
                    starter(name)
            titles = {STARTS[name].title for name in names}
            live = next((r for r in workflow.list_runs() if r.title in titles and r.status().is_live), None)
            if live is not None:
                live_curves(live.id)
    if not expanded:
        return
    st.markdown(
        "With your own images: bring them with their label maps or masks on the page **Data**, then train one of the "
        "systems of Sections 3.3 and 3.4 on them."
    )
    with st.container(horizontal=True):
        if st.button("Bring your own images", icon=":material/folder_open:", key="segment-bring"):
            st.switch_page(path("data"))
        if st.button("Train on them", icon=":material/model_training:", key="segment-train-own"):
            st.switch_page(path("train"))


def prefer_own_cohort(run_id: str) -> None:
    """Let a run that was just chosen open with the cohort it was trained on, unless a link names another."""
    before = st.session_state.get("segment-run")
    st.session_state["segment-run"] = run_id
    parts = (workflow.open_run(run_id).info.cohort or "").replace("\\", "/").split("/")
    own = parts[-2] if len(parts) > 1 else ""
    is_linked = before is None and "cohort" in st.query_params
    if before != run_id and not is_linked and own in state.cohort_names(with_images=True):
        state.prefer("cohort", own)
