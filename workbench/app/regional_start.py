"""From nothing to functional networks by one click, and which tab of the Networks page is open."""

from __future__ import annotations

import streamlit as st

from workbench import workflow
from workbench.app.frame import path
from workbench.app.live_curves import live_curves
from workbench.app.starter import STARTS, starter

TAB = "networks-tab"
FAMILY = "regions-"


def offered() -> list[str]:
    """Give the starts whose system is here."""
    known = {card.name for card in workflow.list_systems()}
    return [name for name, start in STARTS.items() if name.startswith(FAMILY) and start.system in known]


def starts(*, expanded: bool) -> None:
    """Offer each system on a phantom whose truth is known, and the way from one's own images."""
    names = offered()
    with st.expander("Train on sample data", expanded=expanded, icon=":material/rocket_launch:"):
        st.markdown(
            "Each of these makes signals of brain regions whose truth is known, trains in a minute or so on this "
            "machine, and opens here."
        )
        with st.grid(min(3, max(1, len(names))), min_column_width=260):
            for name in names:
                starter(name)
        titles = {STARTS[name].title for name in names}
        live = next((r for r in workflow.list_runs() if r.title in titles and r.status().is_live), None)
        if live is not None:
            live_curves(live.id)
    st.markdown(
        "With your own data: bring tables of regional signals, or 4-D images, on the page **Data**, where regions are "
        "extracted with your atlas; then train one of these systems."
    )
    with st.container(horizontal=True):
        if st.button("Bring your own signals", icon=":material/folder_open:", key="networks-bring"):
            st.switch_page(path("data"))
        if st.button("Train on them", icon=":material/model_training:", key="networks-train"):
            st.switch_page(path("train"))


def open_tab(names: list[str]) -> None:
    """Open the tab that the URL asks for, and keep in the URL which one is open."""
    kept = st.session_state.get(TAB)
    if kept not in names:
        asked = st.query_params.get("tab", "")
        st.session_state[TAB] = asked if asked in names else names[0]
    st.query_params["tab"] = st.session_state[TAB]
