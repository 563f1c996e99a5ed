"""Home: what this is, sample data in one click, recent runs."""

import streamlit as st

from workbench import workflow
from workbench.app.frame import heading, path
from workbench.app.jobs import run_card
from workbench.app.tour import tour_card

heading(
    "home",
    "Stacked auto-encoder",
    "Patch",
    "Similarity map",
    "Phantom",
    title="Deep learning in medical image analysis",
)

left, right = st.columns([3, 2], gap="large")
with left:
    st.markdown(
        "Bring images or feature tables, train any model family of the review on them, and look inside: filters, "
        "receptive fields, likelihoods, samples. With auto-encoders of brain patches, click a point and see where each "
        "kind of feature finds it in another brain. Everything runs on this machine; nothing leaves it."
    )
    with st.container(border=True):
        st.subheader("Try it", icon=":material/play_circle:", anchor=False)
        toured = tour_card()
with right, st.container(border=True):
    st.subheader("With your own images", icon=":material/person:", anchor=False)
    st.markdown(
        "1. **Data**: upload files or name a folder.\n"
        "2. **Train**: choose one of the families, or a published system, and a preset.\n"
        "3. **Families**, **Filters**, **Generate**, **Similarity**: look inside."
    )
    with st.container(horizontal=True):
        if st.button("Bring images", icon=":material/folder_open:"):
            st.switch_page(path("data"))
        if st.button("Choose a system", icon=":material/model_training:"):
            st.switch_page(path("train"))
        if st.button("Samples in one click", icon=":material/casino:"):
            st.switch_page(path("generate"))

st.subheader("Recent runs", anchor=False)
runs = [run for run in workflow.list_runs() if run.id != toured or run.status().state == "finished"][:3]
for run in runs:
    run_card(run.id)
if not runs:
    st.caption("No runs yet. “Try it” makes the first one in about a minute.")
