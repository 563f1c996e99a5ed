"""Segment: a trained network gives every voxel a class; see it, score it, take it home (3.3)."""

import streamlit as st

from workbench import workflow
from workbench.app import (
    context_view,
    segment_reads,
    segment_scores_view,
    segment_start,
    segment_view,
    state,
    votes_view,
)
from workbench.app.frame import heading
from workbench.app.jobs import alarm
from workbench.app.messages import guard

TAB = "segment-tab"
heading("segment", "Segmentation", "Fully convolutional network", "Dice", "Hausdorff distance", "Uncertainty", "Patch")
runs = state.runs_that_show("segment")
if not runs or not state.cohort_names(with_images=True):
    segment_start.starts(expanded=True)
    st.stop()

with guard("read this run"):
    with st.container(horizontal=True, vertical_alignment="bottom"):
        run_id = state.choose("Run", list(runs), "run", format_func=runs.__getitem__)
        segment_start.prefer_own_cohort(run_id)
        cohort = workflow.open_cohort(state.choose("Cohort", state.cohort_names(with_images=True), "cohort"))
        subject = state.choose("Subject", [s.name for s in cohort], "subject")
    with guard("check this run"):
        alarm(run_id)
    segment_view.ask(run_id, cohort, subject)
    found = segment_reads.segmented(run_id, cohort, subject)
    one = {
        "Slices": lambda: segment_view.slices_view(run_id, cohort, subject, found),
        "Surfaces": lambda: segment_view.surfaces_view(found),
        "Threshold": lambda: segment_scores_view.threshold_view(run_id, cohort, subject, found),
        "Reference": lambda: segment_scores_view.reference_view(run_id, cohort, subject, found),
    }
    if found is not None and found.lesions and found.truth is not None:
        one["Lesions"] = lambda: segment_scores_view.lesions_view(found)
    if state.run_shows(run_id, "votes"):
        one["Votes"] = lambda: votes_view.votes_view(run_id, cohort, subject, found)
    whole = {
        "Cohort": lambda: segment_scores_view.cohort_view(run_id, cohort, subject),
        "Compare runs": lambda: segment_scores_view.compare_view(run_id, cohort, runs, subject),
    }
    if state.run_shows(run_id, "context_strip"):
        whole["Auto-context"] = lambda: context_view.context_view(run_id, cohort, subject)
    if state.run_shows(run_id, "architecture_parts"):
        whole["Network"] = lambda: segment_view.network_view(run_id)
    views = one | whole
    if st.session_state.get(TAB) not in views:
        asked = st.query_params.get("tab", "")
        st.session_state[TAB] = asked if asked in views else "Slices"
    st.query_params["tab"] = st.session_state[TAB]
    for tab, (name, view) in zip(st.tabs(list(views), key=TAB, on_change="rerun"), views.items(), strict=True):
        if tab.open:
            with tab, guard(f"show this tab, {name}"):
                if found is None and name in one:
                    st.info(
                        f"{subject} is not segmented by this run yet; the button above does it.", icon=":material/info:"
                    )
                else:
                    view()
segment_start.starts(expanded=False)
