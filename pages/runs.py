"""Runs: a table of all; compare, export, delete."""

import streamlit as st

from workbench import workflow
from workbench.app.comparison import compare_view
from workbench.app.frame import heading, nothing_yet
from workbench.app.jobs import run_card
from workbench.app.live_curves import live_curves
from workbench.app.messages import guard
from workbench.app.run_table import actions, chosen_runs

heading("runs", "Pretraining", "Fine-tuning", "Over-fitting")
workflow.recover()
if not workflow.list_runs():
    nothing_yet("There are no runs yet.", ("Train a network", "train"), ("Start with sample data", "home"))
    st.stop()

picked = chosen_runs()
if not picked:
    st.caption("Pick one run to see or change it, two to six to compare them.")
elif len(picked) == 1:
    run_card(picked[0])
    with guard("show what can be done with this run"):
        actions(workflow.open_run(picked[0]))
    live_curves(picked[0])
elif len(picked) <= 6:
    with guard("compare these runs"):
        compare_view(picked)
else:
    st.warning("Pick at most six runs to compare.", icon=":material/info:")
