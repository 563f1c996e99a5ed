"""Families: Section 2's networks from the live model, their likelihood, and paired comparisons of how they learn."""

import streamlit as st

from workbench.app import experiment_view, family_views, likelihood_view, state
from workbench.app.frame import heading
from workbench.app.messages import guard

heading(
    "families", "Restricted Boltzmann machine", "Deep Boltzmann machine", "Receptive field", "Free energy", "Annealing",
    "Pretraining", "Fine-tuning", "Paired comparison",
)  # fmt: skip
network, likelihood, noise, compare = st.tabs(
    ["Network", "Likelihood", "Noise", "Compare"], key="families-tab", on_change="rerun"
)
if network.open:
    with network, guard("draw this network"):
        runs = state.runs_that_show(*family_views.DRAWN)
        if runs:
            family_views.network(state.choose("Run", list(runs), "run", format_func=runs.__getitem__))
        family_views.starts(expanded=not runs)
if likelihood.open:
    with likelihood, guard("estimate this likelihood"):
        runs = state.runs_that_show("likelihood")
        if runs:
            likelihood_view.likelihood(state.choose("Run", list(runs), "measured", format_func=runs.__getitem__))
        else:
            st.info("Only energy models have a likelihood; train one in the tab Network.", icon=":material/info:")
if noise.open:
    with noise, guard("add noise"):
        runs = state.runs_that_show("noise_curve")
        if runs:
            likelihood_view.noise(runs)
        else:
            st.info("This needs a trained energy model; train one in the tab Network.", icon=":material/info:")
if compare.open:
    with compare, guard("compare"):
        experiment_view.compare()
