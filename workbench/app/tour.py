"""Try it: from nothing to a trained network with its filters and similarity maps, by clicking only."""

from __future__ import annotations

from typing import Any

import streamlit as st

from workbench import workflow
from workbench.app.frame import path
from workbench.app.jobs import job_card, run_card
from workbench.app.state import cohort_names, prefer

COHORT = "sample-brains"
TITLE = "Try it"
SYSTEM, PRESET = "sae", "quick"
N_SUBJECTS = 6


def tour_card() -> str:
    """Show where the visitor is on the way and the one button that leads on; gives the id of the tour's run, if any."""
    run = _run()
    making = st.session_state.get("tour_job")
    if run is not None and run.status().state == "finished":
        _done(run)
    elif run is not None:
        st.markdown("The network learns now; this page follows it.")
        run_card(run.id, "tour")
    elif making is not None and workflow.read_job(making).state == "running":
        st.markdown(
            f"{N_SUBJECTS} brains are being made from the MNI152 template; each one's deformation is kept as the truth."
        )
        job_card(making)
    elif COHORT in cohort_names():
        if st.session_state.pop("tour_job", None):  # the brains were made a moment ago: go on by itself
            _train()
        st.markdown("The sample brains are there. Next: train a small stacked auto-encoder on their patches.")
        st.button("Train on them", type="primary", icon=":material/model_training:", on_click=_train)
    else:
        _start(making)
    return "" if run is None else str(run.id)


def _start(making: str | None) -> None:
    st.markdown(
        f"No data needed. One click makes {N_SUBJECTS} synthetic brains and trains a small stacked auto-encoder on "
        "them, in about a minute. Then its filters and similarity maps are ready to explore."
    )
    if making is not None:
        job_card(making)
    st.button("Make brains and train", type="primary", icon=":material/play_arrow:", key="tour-start", on_click=_make)


def _done(run: Any) -> None:
    st.markdown(
        "The network is trained. See what its units have learnt, then click a point and see where it is found again."
    )
    with st.container(horizontal=True):
        if st.button("See its filters", type="primary", icon=":material/grid_view:"):
            _open("filters", run)
        if st.button("See similarity maps", type="primary", icon=":material/my_location:"):
            _open("similarity", run)
        if st.button("Look at the brains", icon=":material/view_in_ar:"):
            _open("volume", run)


def _open(page: str, run: Any) -> None:
    prefer("run", run.id)
    prefer("cohort", COHORT)
    st.switch_page(path(page))


def _make() -> None:
    st.session_state["tour_job"] = workflow.start_phantom(COHORT, n_subjects=N_SUBJECTS).id


def _train() -> None:
    workflow.launch(SYSTEM, COHORT, preset=PRESET, title=TITLE)
    st.rerun()


def _run() -> Any:
    """Give the newest run of the tour, if its cohort is still there."""
    mine = [
        r
        for r in workflow.list_runs()
        if r.title == TITLE and r.info.cohort and f"/{COHORT}/" in r.info.cohort.replace("\\", "/")
    ]
    return mine[0] if mine and COHORT in cohort_names() else None
