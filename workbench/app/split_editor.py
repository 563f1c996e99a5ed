"""The split of a cohort: proposed by group, edited by hand, checked for leaks, saved into cohort.csv."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pandas as pd
import streamlit as st

from workbench import workflow
from workbench.app.cohort_view import fingerprint, is_read
from workbench.app.messages import plain

PARTS = ["train", "validation", "test"]


def split_editor(cohort: Any) -> None:
    """Show the split as a table whose last column can be changed, with its hash and its leaks."""
    fixed = all(s.split for s in cohort)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        train = st.slider("Training share (%)", 10, 95, 70, 5, key="split-train", width=260)
        seed = st.number_input("Seed", 0, 10_000, 0, key="split-seed", width=120)
        st.caption(
            "cohort.csv fixes this split." if fixed else "Proposed by group; groups are never torn apart.",
            width="stretch",
        )
    rest = (100 - train) / 200
    split = workflow.make_split(cohort, (train / 100, rest, rest), int(seed))
    start = pd.DataFrame(
        [
            {"Subject": s.name, "Group": s.group or s.name, "Part": next(p for p in PARTS if s.name in split.part(p))}
            for s in cohort
        ]
    )
    edited = st.data_editor(
        start, hide_index=True, key=f"split-{cohort.digest}-{train}-{seed}", disabled=["Subject", "Group"],
        alt="Split by subject",
        column_config={"Part": st.column_config.SelectboxColumn("Part", options=PARTS, required=True)},
    )  # fmt: skip
    chosen = type(split).from_dict({part: edited.loc[edited["Part"] == part, "Subject"].tolist() for part in PARTS})
    leaks = torn_groups(edited)
    counts = " · ".join(f"{part} {len(chosen.part(part))}" for part in PARTS)
    st.caption(f"{counts} · hash `{chosen.hash}`")
    if leaks:
        st.error(
            f"Leak: {plain(', '.join(leaks))} would be in two parts. Put all rows of a group into the same part.",
            icon=":material/warning:",
        )
    if is_read(cohort) or st.button(
        "Look for one image in two parts", icon=":material/content_copy:", key="split-look"
    ):
        for same_image in fingerprint(cohort).leaks(chosen):
            st.warning(plain(same_image), icon=":material/content_copy:")
    with st.container(horizontal=True):
        if st.button("Save the split", type="primary", icon=":material/save:", disabled=bool(leaks), key="split-save"):
            workflow.save_split(cohort, chosen)
            st.toast("The split is in cohort.csv.", icon=":material/check_circle:")
            st.rerun()
        if any(s.split for s in cohort) and st.button("Take it out", icon=":material/undo:", key="split-clear"):
            workflow.save_split(cohort, None)
            st.rerun()


def torn_groups(table: pd.DataFrame) -> list[str]:
    """Give the groups that lie in more than one part; ``table`` has the columns Group and Part."""
    parts: dict[str, set[str]] = defaultdict(set)
    for group, part in zip(table["Group"], table["Part"], strict=True):
        parts[str(group)].add(str(part))
    return sorted(group for group, found in parts.items() if len(found) > 1)
