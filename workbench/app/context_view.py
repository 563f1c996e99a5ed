"""Auto-context on one subject: what is believed after every classifier, computed when asked for."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from workbench import workflow
from workbench.app import state
from workbench.app.downloads import chart
from workbench.app.messages import plain
from workbench.figures.context_strip import ProbabilitySteps, context_strip
from workbench.figures.label_maps import PlaneName

PLANES: list[PlaneName] = ["coronal", "axial", "sagittal"]


def context_view(run_id: str, cohort: Any, subject: str) -> None:
    """Offer to compute the strip of a subject, and draw it for one structure."""
    st.caption(
        "Each classifier sees the image and what the one before said about a voxel. The first map is what the "
        "registered labels of the atlases say; the maps of all atlases are brought back and fused. The last one still "
        "has its small pieces."
    )
    made: dict[Any, Any] = st.session_state.setdefault("context-made", {})
    of = (run_id, state.trained(run_id), cohort.digest, subject)
    if of not in made:
        if not st.button(
            f"Compute for {subject}", icon=":material/view_column:", type="primary", key="context-compute",
            help="As slow as segmenting, unless the run was scored on this subject first.",
        ):  # fmt: skip
            return
        made.clear()  # maps of one subject are kept, not of many
        made[of] = _compute(run_id, cohort.name, subject)
        st.rerun()
    _draw(made[of], subject)


def _compute(run_id: str, cohort: str, subject: str) -> Any:
    bar = st.progress(0.0, text="Registering")

    def moved(done: float, words: str) -> None:
        bar.progress(min(1.0, max(0.0, done)), text=plain(words))

    found = workflow.context_strip(run_id, cohort, subject, progress=moved)
    bar.empty()
    return found


def _draw(strip: Any, subject: str) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        names = list(strip.classes[1:])
        name = state.choose("Structure", names, "context-structure", width=240) if len(names) > 1 else names[0]
        plane = st.segmented_control("Plane", PLANES, default=PLANES[0], required=True, key="context-plane")
    k = strip.classes.index(name)
    dice, truth = strip.dice_of(k), None if strip.truth is None else strip.truth == k
    steps = ProbabilitySteps(strip.image, strip.maps[:, k], strip.names, name, dice, truth)
    table = pd.DataFrame({"step": strip.names} | ({} if dice is None else {"dice": dice}))
    chart(context_strip(steps, plane=plane, theme=state.theme()), f"auto-context-{subject}", table=table)
