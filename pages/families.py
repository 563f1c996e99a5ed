"""Families: Section 2's networks from the live model, their likelihood, and paired comparisons of how they learn."""

import streamlit as st

from workbench.app import experiment_view, family_views, state
from workbench.app.frame import heading
from workbench.app.messages import guard

heading(
    "families", "Restricted Boltzmann machine", "Deep Boltzmann machine", "Free energy", "Pretraining", "Fine-tuning"
)
network, likelihood, noise, compare = st.tabs(
    ["Network", "Likelihood", "Noise", "Compare"], key="families-tab", on_change="rerun"
)
if network.open:
    with network, guard("draw this network"):
        runs = state.runs_that_show("network_parts", "convolution_parts", "encoder_decoder")
        if runs:
            family_views.network(state.choose("Run", list(runs), "run", format_func=runs.__getitem__))
        family_views.starts(expanded=not runs)
if likelihood.open:
    with likelihood, guard("estimate this likelihood"):
        runs = state.runs_that_show("likelihood")
        if runs:
            chosen = state.choose("Run", list(runs), "measured", format_func=runs.__getitem__)
            family_views.likelihood(chosen)
        else:
            st.info("Only energy models have a likelihood; train one in the tab Network.", icon=":material/info:")
if noise.open:
    with noise, guard("add noise"):
        runs = state.runs_that_show("noise_curve")
        if runs:
            family_views.noise(runs)
        else:
            st.info("This needs a trained energy model; train one in the tab Network.", icon=":material/info:")
if compare.open:
    with compare, guard("compare"):
        experiment_view.compare()
