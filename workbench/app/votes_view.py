"""A clicked voxel and the atlas patches that vote for its label, by runs that match patches (Section 3.1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from workbench import workflow
from workbench.app import segment_view, state
from workbench.app.downloads import chart
from workbench.app.messages import plain
from workbench.app.slice_viewer import slice_viewer
from workbench.figures.patches import patch_grid
from workbench.figures.theme import POINT
from workbench.figures.votes import vote_shares

N_SHOWN = 23


def votes_view(run_id: str, cohort: Any, subject: str, found: Any) -> None:
    """Bring the atlases onto a subject when asked, then show who votes for the voxel under the cross."""
    made: dict[Any, Any] = st.session_state.setdefault("votes-made", {})
    of = (run_id, state.trained(run_id), cohort.digest, subject)
    if of not in made:
        st.caption(
            "The class of a voxel is what similar patches of the registered atlases say at their middle. Bring the "
            "atlases onto this subject, then click any voxel to see them."
        )
        if not st.button(
            f"Bring the atlases onto {subject}", icon=":material/how_to_vote:", type="primary", key="votes-prepare",
            help="Quick where the subject was segmented before: registrations are kept.",
        ):  # fmt: skip
            return
        made.clear()  # the atlases of one subject are kept, not of many
        made[of] = _prepared(run_id, cohort.name, subject)
        st.rerun()
    left, right = st.columns([3, 2])
    with left:
        voxel = state.voxel(found.image.shape)
        slice_viewer(
            found.image, key="votes-viewer", voxel=voxel, height=420, opacity=0.35, cross_color=POINT,
            overlays=segment_view.overlays(run_id, cohort, subject, found, [segment_view.PREDICTION]),
            on_move=state.set_voxel,
        )  # fmt: skip
        point = found.image.to_mm(np.array(voxel))
        st.caption(f"Click a voxel. Now ({', '.join(f'{v:.1f}' for v in point)}) mm.{_truth(found, voxel)}")
    votes = made[of](point)
    table = rows_of(votes)
    with right:
        fig = vote_shares(votes.atlases, votes.labels, votes.weights, votes.class_names, theme=state.theme())
        chart(fig, f"votes-{subject}", table=table)
    _patches(votes)


def rows_of(votes: Any) -> pd.DataFrame:
    """Give a row a voting patch: its atlas, label, share, the voxel in the registered atlas, and how far its features
    are from the asked ones."""
    where = {axis: votes.voxels[:, i] for i, axis in enumerate(("i", "j", "k"))}
    return pd.DataFrame(
        {"atlas": votes.atlases, "label": [votes.class_names[k] for k in votes.labels], "share": votes.weights}
        | where
        | {"distance": votes.distances}
    )


def _prepared(run_id: str, cohort: str, subject: str) -> Callable[[Any], Any]:
    bar = st.progress(0.0, text="Registering")

    def moved(done: float, words: str) -> None:
        bar.progress(min(1.0, max(0.0, done)), text=plain(words))

    votes = workflow.patch_votes(run_id, cohort, subject, progress=moved)
    bar.empty()
    return votes


def _truth(found: Any, voxel: tuple[int, int, int]) -> str:
    """Say what the run and the truth call a voxel."""

    def name(k: int) -> str:
        return "not scored" if k < 0 else plain(found.names.get(k, "background"))

    told = f" The run says **{name(int(found.classes[voxel]))}**"
    return told + ("." if found.truth is None else f", the truth **{name(int(found.truth[voxel]))}**.")


def _patches(votes: Any) -> None:
    """Draw the asked patch and the heaviest of those that vote."""
    shown = votes.patches[:N_SHOWN]
    heads = ["asked"] + [f"{w:.0%} {votes.class_names[k]}" for w, k in zip(votes.weights, votes.labels, strict=True)]
    patches = np.concatenate([votes.target_patch[None], shown])[:, None]
    more = f"; the {len(shown)} heaviest are drawn" if len(shown) < len(votes.weights) else ""
    st.markdown(f"**The asked patch and those that vote**, heaviest first{more}")
    chart(patch_grid(patches, heads[: len(patches)], layout="middle", theme=state.theme()), "votes-patches")
