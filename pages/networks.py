"""Networks: functional networks of the brain, their states over time, and what they say of two classes (3.5)."""

import streamlit as st

from workbench.app import regional_start, state
from workbench.app.diagnosis_view import depth_view, diagnosis_view, methods_view, sparsity_view
from workbench.app.frame import heading
from workbench.app.jobs import alarm
from workbench.app.messages import guard
from workbench.app.networks_view import networks_view
from workbench.app.states_view import states_view

heading(
    "networks", "Functional connectivity", "Functional network", "Hidden Markov model", "Dwell time",
    "Permutation test", "Over-fitting", "Group",
)  # fmt: skip
runs = state.runs_that_show("regional_networks", "depth_scores")
if not runs:
    regional_start.starts(expanded=True)
    st.stop()

with guard("read this run"):
    run_id = state.choose("Run", list(runs), "run", format_func=runs.__getitem__)
    alarm(run_id)
    views = {
        "Networks": ("regional_networks", networks_view),
        "States": ("states", states_view),
        "Diagnosis": ("diagnosis", diagnosis_view),
        "Methods": ("comparison", methods_view),
        "Depth": ("depth_scores", depth_view),
        "Sparsity": ("control_traces", sparsity_view),
    }
    shown = {name: view for name, (what, view) in views.items() if state.run_shows(run_id, what)}
    regional_start.open_tab(list(shown))
    for tab, (name, view) in zip(
        st.tabs(list(shown), key=regional_start.TAB, on_change="rerun"), shown.items(), strict=True
    ):
        if tab.open:
            with tab, guard(f"show this tab, {name}"):
                view(run_id)
regional_start.starts(expanded=False)
