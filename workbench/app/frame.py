"""What every page has: its title, a sentence that says what it is for, and what to do when there is nothing yet."""

from __future__ import annotations

from typing import Any

import streamlit as st

from workbench.app.glossary import REVIEW, REVIEW_NAME, terms

RESEARCH_USE = "For research use only. Not a medical device: never for diagnosis or treatment."
PAGES = {
    "home": ("Home", ":material/home:", "The models of the review by Shen, Wu and Suk (2017), on your own images."),
    "data": ("Data", ":material/folder_open:", "Bring images in, look at what a cohort holds, make the split."),
    "volume": ("Volume", ":material/view_in_ar:", "Three linked slices of an image with labels, and its surface."),
    "train": ("Train", ":material/model_training:", "Choose a system and its settings, start it, watch it learn."),
    "filters": ("Filters", ":material/grid_view:", "What each hidden unit of a trained network has learnt."),
    "families": (
        "Families",
        ":material/hub:",
        "Section 2's networks from the live model, their likelihood, and paired comparisons of how they learn.",
    ),
    "generate": (
        "Generate",
        ":material/casino:",
        "What a trained energy model dreams: chains, samples of a class, one modality from the other.",
    ),
    "similarity": (
        "Similarity",
        ":material/my_location:",
        "Click a point; see where each feature finds it in another brain.",
    ),
    "register": (
        "Register",
        ":material/join_inner:",
        "One image brought onto another: how well they fit, where each point goes, what it does to space.",
    ),
    "segment": (
        "Segment",
        ":material/border_style:",
        "Every voxel gets a class: apply a trained network, see where it is right, and take the label map home.",
    ),
    "networks": (
        "Networks",
        ":material/polyline:",
        "Functional networks of the brain at rest, their states over time, and what they say of two classes.",
    ),
    "runs": ("Runs", ":material/table_rows:", "All runs: compare, export, delete."),
}
GROUPS = {
    "": ["home"],
    "Images": ["data", "volume"],
    "Network": ["train", "families", "filters", "generate", "similarity"],
    "Applications": ["register", "segment", "networks"],
    "Results": ["runs"],
}


def page_table() -> dict[str, list[Any]]:
    """Give the pages for ``st.navigation``, by group."""
    return {
        group: [
            st.Page(path(n), title=PAGES[n][0], icon=PAGES[n][1], help=PAGES[n][2], url_path=n, default=n == "home")
            for n in names
        ]
        for group, names in GROUPS.items()
    }


def enter() -> Any:
    """Open the app at the page that was asked for; called by the entry file only."""
    st.session_state["entered"] = True
    return st.navigation(page_table())


def heading(page: str, *glossary: str, title: str = "") -> None:
    """Write the page's title and sentence, and a button with the terms it uses; ``title`` replaces the page's name."""
    if not st.session_state.pop("entered", False):
        # Before the first st.navigation of a server, streamlit opens files of pages/ by itself, around the entry file.
        st.navigation(page_table())
        st.rerun()
    name, icon, sentence = PAGES[page]
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="bottom"):
        with st.container(width="content", gap=None):
            st.title(title or name, icon=icon, anchor=False, width="content")
            st.caption(sentence, width="content")
        if glossary:
            with st.container(width="content"):
                terms(*glossary)


def path(page: str) -> str:
    """Give the file of a page, for links."""
    return f"pages/{page}.py"


def nothing_yet(sentence: str, *steps: tuple[str, str]) -> None:
    """Say what is missing and offer the next step.

    Args:
        sentence: what is missing.
        steps: (label, page) of each button; the first is the recommended one.
    """
    with st.container(border=True, horizontal_alignment="center", gap="medium"):
        st.space("small")
        st.markdown(sentence, text_alignment="center")
        with st.container(horizontal=True, horizontal_alignment="center"):
            for number, (label, page) in enumerate(steps):
                if st.button(
                    label, key=f"go-{page}-{number}", icon=PAGES[page][1], type="secondary" if number else "primary"
                ):
                    st.switch_page(path(page))
        st.space("small")


def side_note() -> None:
    """Write the research-use line into the side bar."""
    with st.sidebar:
        st.caption(f":material/science: {RESEARCH_USE}")


def footer() -> None:
    """Write the research-use line and the review under the page."""
    st.space("medium")
    st.caption(f"{RESEARCH_USE} After [{REVIEW_NAME}]({REVIEW}).", text_alignment="center")
