"""Filters: what each hidden unit of a trained network has learnt."""

import streamlit as st

from workbench.app import filter_views, state
from workbench.app.frame import heading, nothing_yet
from workbench.app.messages import guard

TABS = {
    "Learned weights": ("filter_bank", filter_views.learned),
    "The stack": ("encoder_decoder", filter_views.stack),
    "Two blocks": ("two_blocks", filter_views.two_blocks),
    "Reconstructions": ("reconstructions", filter_views.rebuilt),
}

heading("filters", "Filter", "Dead unit", "Sparse auto-encoder", "Stacked auto-encoder")
runs = state.runs_that_show(*[what for what, _ in TABS.values()])
if not runs:
    steps = ("Start with sample data", "home"), ("Train a network", "train")
    nothing_yet("Filters need a trained network, and there is none yet.", *steps)
    st.stop()

with guard("read this run"):
    run_id = state.choose("Run", list(runs), "run", format_func=lambda r: runs[r])
    shown = [title for title, (what, _) in TABS.items() if state.run_shows(run_id, what)]
    if st.session_state.get("filters-tab") not in shown:
        st.session_state.pop("filters-tab", None)  # the run that was looked at before had a tab that this one lacks
    for title, tab in zip(shown, st.tabs(shown, key="filters-tab", on_change="rerun"), strict=True):
        if tab.open:
            with tab, guard(f"draw {title.lower()}"):
                TABS[title][1](run_id)
