"""Generate: Gibbs chains step by step, samples of a class, one modality sampled while the other is held fixed."""

import streamlit as st

from workbench.app import generate_view, state
from workbench.app.frame import heading
from workbench.app.messages import guard
from workbench.app.starter import starter

heading("generate", "Gibbs chain", "Free energy", "Clamping", "Deep Boltzmann machine", "Restricted Boltzmann machine")
runs = state.runs_that_show("generate")
if not runs:
    st.markdown(
        "Only energy models can dream: restricted Boltzmann machines, deep belief networks, deep Boltzmann machines. "
        "There is no trained one yet; each of these makes one in about a minute."
    )
    for column, name in zip(st.columns(2), ("pathways", "labels"), strict=True):
        with column:
            starter(name)
    if st.button("Train one on your own data", icon=":material/model_training:"):
        st.switch_page("pages/train.py")
    st.stop()

with guard("read this run"):
    run_id = state.choose("Run", list(runs), "run", format_func=lambda r: runs[r])
    known = generate_view.choices(run_id)
    steps, classes, other = st.tabs(
        ["Step by step", "Samples of a class", "One modality from the other"], key="generate-tab", on_change="rerun"
    )
    if steps.open:
        with steps, guard("run the chains"):
            generate_view.chains_view(run_id, known["label"])
    if classes.open:
        with classes, guard("draw samples of the classes"):
            if known["label"]:
                generate_view.classes_view(run_id, known["label"])
            else:
                st.markdown(
                    "This run has learnt no labels beside its examples. Train with the setting *Labels* at *joint*, or:"
                )
                starter("labels")
    if other.open:
        with other, guard("sample the other modality"):
            if known["clamp"]:
                generate_view.clamp_view(run_id, known["clamp"])
            else:
                st.markdown(
                    "This run sees one modality only, or its layers are directed. Train a restricted or deep Boltzmann "
                    "machine on two modalities or tables, the latter with *Pathways* switched on, or:"
                )
                starter("pathways")
