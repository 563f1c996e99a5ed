"""Train: choose a system and its settings, start it, watch it learn."""

import streamlit as st

from workbench import workflow
from workbench.app import state
from workbench.app.forms import settings_form
from workbench.app.frame import heading, nothing_yet
from workbench.app.jobs import run_card
from workbench.app.launch_form import choose_preset, cohort_words, preview, review_launch, system_card
from workbench.app.live_curves import live_curves
from workbench.app.messages import guard
from workbench.app.series_view import has_series, signals_view
from workbench.errors import WorkbenchError

heading("train", "Stacked auto-encoder", "Sparse auto-encoder", "Denoising", "Pretraining", "Fine-tuning", "Patch")
if not state.cohort_names():
    nothing_yet(
        "A network learns from images, and there are none yet.",
        ("Bring images", "data"),
        ("Start with sample data", "home"),
    )
    st.stop()

started = st.session_state.get("train_run")
if started in [r.id for r in workflow.list_runs()]:
    run_card(started)
    live_curves(started)

cards = {card.name: card for card in workflow.list_systems()}
choice, launch = st.columns([3, 2], gap="large")
with launch:
    cohort = workflow.open_cohort(state.choose("Cohort", state.cohort_names(), "cohort"))
    st.caption(cohort_words(cohort))
with choice:
    name = state.choose("System", list(cards), "system", format_func=lambda n: f"{cards[n].section} {cards[n].title}")
    system_card(cards[name])
    preset = choose_preset(name, cohort)
    settings = None
    try:
        settings = settings_form(name, preset)
    except WorkbenchError as error:
        st.error(str(error), icon=":material/error:")

with launch:
    title = st.text_input("Title of the run", key="train-title", placeholder="optional", max_chars=80)
    if settings is not None:
        review_launch(name, preset, settings, cohort)
    if st.button(
        "Start training", type="primary", icon=":material/play_arrow:", disabled=settings is None, width="stretch"
    ):
        with guard("start this run"):
            run = workflow.launch(name, cohort.name, settings, preset=preset.name, title=title)
            st.session_state["train_run"] = run.id
            state.prefer("run", run.id)
            st.rerun()

if settings is not None:
    st.subheader("What the network will see", anchor=False)
    if not workflow.shows(name, "preview"):
        if has_series(cohort) and st.toggle("Draw the signals of a subject", key="train-signals"):
            signals_view(cohort)
    elif st.toggle("Draw 16 examples of this cohort", key="train-preview"):
        with guard("draw examples"):
            preview(name, settings, cohort)
