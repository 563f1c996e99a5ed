"""Similarity: click a point; see where each feature finds it in another brain (the review's Figure 5)."""

import streamlit as st

from workbench import workflow
from workbench.app import search, state
from workbench.app.downloads import chart
from workbench.app.frame import heading, nothing_yet
from workbench.app.messages import guard
from workbench.app.slice_viewer import slice_viewer
from workbench.figures.similarity import similarity_panels

heading("similarity", "Similarity map", "Correspondence", "SIFT", "Stacked auto-encoder", "Patch")
runs = state.runs_that_show("prepared")
if not runs or not state.cohort_names(with_images=True):
    nothing_yet(
        "Similarity maps need a trained network and images.",
        ("Start with sample data", "home"),
        ("Train a network", "train"),
    )
    st.stop()

with st.container(horizontal=True, vertical_alignment="bottom"):
    run_id = state.choose("Run", list(runs), "run", format_func=runs.get)
    cohort = workflow.open_cohort(state.choose("Cohort", state.cohort_names(with_images=True), "cohort"))
    names = [s.name for s in cohort]
    template = state.choose("Template", names, "template")
    others = [n for n in names if n != template] or names
    subject = state.choose("Subject", others, "subject")
    measure = st.selectbox(
        "Learnt features by", list(search.MEASURES), key="similarity-measure", format_func=search.MEASURES.get
    )

with guard("compute the similarity maps"):
    search.prepare(run_id, cohort, [template, subject])
    view = search.look(run_id, cohort, template, subject, search.point(cohort, template), measure)
    shown = st.segmented_control(
        "Map over the subject", list(view.maps), default=list(view.maps)[-1], required=True, key="similarity-map"
    )
    shown = shown if shown in view.maps else list(view.maps)[-1]
    left, right = st.columns(2)
    with left:
        st.markdown(f"**Template**, {template}: click to move the cross")
        slice_viewer(
            view.template, key="similarity-template", voxel=view.template_voxel, on_move=lambda v: search.move(view, v)
        )
    with right:
        st.markdown(f"**Subject**, {subject}: similarity by rank, **{shown}**")
        slice_viewer(
            view.subject, key="similarity-subject", voxel=view.truth_voxel or view.best_voxel[shown],
            cross_color="#7dd3fc", overlays=search.overlays(view, shown), marks=search.marks(view, shown), opacity=0.7,
        )  # fmt: skip
        st.caption(
            "□ best match"
            + (", ○ true match" if view.truth_voxel else "")
            + ". Colour: share of voxels that score at least as high."
        )
    scores = search.table(view)
    st.dataframe(scores, hide_index=True, alt="How well each feature found the point", column_config=search.COLUMNS)
    st.caption(
        f"Computed in {view.seconds:.2f} s. "
        + ("" if view.truth_mm else "The true match is not known for these images.")
    )
    st.subheader("All maps side by side", anchor=False)
    plane = st.segmented_control(
        "Plane", ["axial", "coronal", "sagittal"], default="axial", required=True, key="similarity-plane"
    )
    fig = similarity_panels(search.as_figure(view), plane=plane or "axial", theme=state.theme())
    chart(fig, f"similarity-{template}-{subject}", table=scores, files=search.map_files(view))
