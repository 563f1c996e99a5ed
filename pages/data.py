"""Data: bring images in, look at what a cohort holds, make the split."""

import streamlit as st

from workbench import workflow
from workbench.app import state
from workbench.app.bring import bring_forms
from workbench.app.cohort_view import cohort_view, delete_button
from workbench.app.frame import heading, path
from workbench.app.messages import guard, plain
from workbench.app.regions_form import has_4d, regions_form
from workbench.app.split_editor import split_editor

heading("data", "Group", "Phantom", "Over-fitting")
for name, reason in workflow.list_broken_cohorts().items():
    st.warning(f"The cohort {plain(name)} cannot be read: {plain(reason)}", icon=":material/warning:")

if not state.cohort_names():
    st.markdown("There are no images yet. Upload some, name a folder, or make a phantom whose truth is known.")
    bring_forms()
    st.stop()

with st.container(horizontal=True, vertical_alignment="bottom"):
    cohort = workflow.open_cohort(state.choose("Cohort", state.cohort_names(), "cohort"))
    if st.button("Look at the images", icon=":material/view_in_ar:", disabled=not cohort.modalities):
        st.switch_page(path("volume"))
    if st.button("Train on it", icon=":material/model_training:"):
        st.switch_page(path("train"))
    delete_button(cohort.name)

names = ["What it holds", "Split", *(["Regions"] if has_4d(cohort) else []), "Bring images"]
holds, split, *regions, bring = st.tabs(names, key="data-tab", on_change="rerun")
if holds.open:
    with holds, guard("look at this cohort"):
        cohort_view(cohort)
if split.open:
    with split, guard("make the split"):
        split_editor(cohort)
if regions and regions[0].open:
    with regions[0], guard("extract these regions"):
        regions_form(cohort)
if bring.open:
    with bring:
        bring_forms()
