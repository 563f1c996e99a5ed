"""Volume: three linked slices with labels, and the surface on demand."""

import pandas as pd
import streamlit as st

from workbench import workflow
from workbench.app import state
from workbench.app.downloads import chart
from workbench.app.frame import heading, nothing_yet
from workbench.app.messages import guard
from workbench.app.overlay_layers import Overlay
from workbench.app.slice_viewer import slice_viewer
from workbench.app.volume_facts import facts
from workbench.figures import surfaces

heading("volume", "Patch", "Phantom")
if not state.cohort_names():
    nothing_yet("There are no images yet.", ("Bring images", "data"), ("Start with sample data", "home"))
    st.stop()

with st.container(horizontal=True, vertical_alignment="bottom"):
    cohort = workflow.open_cohort(state.choose("Cohort", state.cohort_names(), "cohort"))
    subject = cohort[state.choose("Subject", [s.name for s in cohort], "subject")]
    if not subject.images:
        st.info("This subject has no images.", icon=":material/info:")
        st.stop()
    modality = state.choose("Image", list(subject.images), "modality")
    kinds = [kind for kind, file in (("label", subject.label), ("mask", subject.mask)) if file is not None]
    shown = (
        st.segmented_control("Over it", kinds, default=kinds[:1] or None, selection_mode="multi", key="volume-over")
        if kinds
        else []
    )

volume = state.load_volume(cohort.name, subject.name, modality)
overlays = []
for kind in shown:
    with guard(f"show the {kind}"):
        array = state.load_overlay(cohort.name, subject.name, modality, kind)
        names = workflow.label_names(cohort.name) if kind == "label" else {1: "inside"}
        overlays.append(Overlay(kind.capitalize(), array, "labels", names=names, outline=kind == "mask"))

slice_viewer(
    volume,
    key="volume-viewer",
    voxel=state.voxel(volume.shape),
    overlays=overlays,
    height=520,
    opacity=0.4,
    on_move=state.set_voxel,
)

left, right = st.columns([2, 3], gap="large")
with left:
    st.subheader("Facts", anchor=False)
    st.dataframe(
        pd.DataFrame(facts(volume, subject), columns=["Quantity", "Value"]), hide_index=True, alt="Facts of the image"
    )
with right:
    st.subheader("Surface", anchor=False)
    label = next((o for o in overlays if o.kind == "labels"), None)
    if label is None or volume.is_picture:
        st.caption("A surface needs a label map or a mask of a 3-D image.")
    elif st.toggle(
        "Draw it", key=f"surface-{subject.name}", help="Marching cubes in mm; takes a few seconds for a large image."
    ):
        with guard("draw the surface"), st.spinner("Marching cubes"):
            chart(surfaces.surface(label.data, volume, names=label.names, theme=state.theme()), "surface")
