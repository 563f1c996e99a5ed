"""Filters: what each hidden unit of a trained network has learnt."""

import streamlit as st

from workbench.app import filter_views, state
from workbench.app.frame import heading, nothing_yet
from workbench.app.messages import guard
from workbench.app.unit_order import KINDS, ORDERS

heading("filters", "Filter", "Dead unit", "Sparse auto-encoder", "Stacked auto-encoder")
runs = state.finished_runs()
if not runs:
    steps = ("Start with sample data", "home"), ("Train a network", "train")
    nothing_yet("Filters need a trained network, and there is none yet.", *steps)
    st.stop()

with guard("read this run"):
    with st.container(horizontal=True, vertical_alignment="bottom"):
        run_id = state.choose("Run", list(runs), "run", format_func=runs.__getitem__)
        names = state.filter_bank(run_id, 1).layers
        layers = {str(depth): name.capitalize() for depth, name in enumerate(names, 1)}
        depth = int(state.choose("Layer", list(layers), "layer", format_func=layers.__getitem__))
        by = st.selectbox("Order", list(ORDERS), key="filters-order")
        kind = st.segmented_control("Units", KINDS, default="All", required=True, key="filters-kind")
        n = st.selectbox("At most", [36, 64, 100, 144, 256], index=1, key="filters-n", width=110)
    learnt, stack, rebuilt = st.tabs(
        ["Learned weights", "The stack", "Reconstructions"], key="filters-tab", on_change="rerun"
    )
    if learnt.open:
        with learnt, guard("draw the filters"):
            filter_views.gallery(run_id, state.filter_bank(run_id, depth), by, kind or "All", n)
    if stack.open:
        with stack, guard("draw the stack"):
            filter_views.stack(run_id)
    if rebuilt.open:
        with rebuilt, guard("draw reconstructions"):
            filter_views.rebuilt(run_id)
