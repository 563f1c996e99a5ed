"""The table of runs, and what can be done with one of them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pandas as pd
import streamlit as st

from workbench import workflow
from workbench.app.jobs import CHIPS
from workbench.errors import WorkbenchError

COLUMNS = ["Star", "Title", "System", "Preset", "Cohort", "State", "Done", "Created", "Note", "Run"]


def chosen_runs() -> list[str]:
    """Show the table with its filters and give the ids of the picked runs."""
    table = _table(workflow.list_runs())
    with st.container(horizontal=True, vertical_alignment="bottom"):
        text = st.text_input(
            "Find", key="runs-find", placeholder="title, system, cohort or note", icon=":material/search:"
        )
        states = st.multiselect("State", list(CHIPS), key="runs-states", placeholder="any state")
        starred = st.toggle("Starred only", key="runs-starred")
    everything = table.drop(columns=["Star"]).astype(str).agg(" ".join, axis=1).str.lower()
    shown = table[everything.str.contains(text.lower(), regex=False)]
    shown = shown[shown["State"].isin(states)] if states else shown
    shown = shown[shown["Star"]] if starred else shown
    event = st.dataframe(
        shown, key="runs-table", hide_index=True, on_select="rerun", column_order=COLUMNS,
        selection_mode="multi-row", alt="All runs",
        column_config={
            "Star": st.column_config.CheckboxColumn("★", width="small"),
            "Done": st.column_config.ProgressColumn("Done", format="percent", min_value=0, max_value=1, width="small"),
            "Created": st.column_config.DatetimeColumn("Created", format="D MMM YYYY, HH:mm"),
        },
    )  # fmt: skip
    rows = [row for row in event.selection.rows if row < len(shown)]
    return [str(v) for v in shown["Run"].iloc[rows]]


def actions(run: Any) -> None:
    """Star, rename, note, export and delete one run."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        title = st.text_input("Title", run.title, key=f"title-{run.id}", placeholder=run.id)
        note = st.text_input("Note", run.note, key=f"note-{run.id}")
        star = st.toggle("Star", run.star, key=f"star-{run.id}")
        if (title, note, star) != (run.title, run.note, run.star):
            run.rename(title)
            run.note, run.star = note, star
            st.rerun()
        st.download_button(
            "Export", lambda: workflow.export_run(run.id), f"{run.id}.zip", "application/zip", key=f"export-{run.id}",
            icon=":material/archive:", on_click="ignore",
        )  # fmt: skip
        if st.button("Delete", icon=":material/delete:", key=f"delete-{run.id}", disabled=run.status().is_live):
            _confirm(run.id)
    st.caption(lineage(run))


def lineage(run: Any) -> str:
    """Say what a run was trained on and from."""
    info = run.info
    cohort = (info.cohort or "").replace("\\", "/").split("/")
    parent = f", from run {info.parent}" if info.parent else ""
    split = f", split {info.split_hash}" if info.split_hash else ""
    data = cohort[-2] if len(cohort) > 1 else "its own data"
    return f"Trained with {info.system} ({info.preset or 'own settings'}) on {data}{split}, seed {info.seed}{parent}."


@st.dialog("Delete this run?")
def _confirm(run_id: str) -> None:
    st.markdown(f"The folder of **{run_id}** with its weights and curves will be removed. This cannot be undone.")
    with st.container(horizontal=True, horizontal_alignment="right"):
        if st.button("Keep it"):
            st.rerun()
        if st.button("Delete it", type="primary", icon=":material/delete:"):
            workflow.delete_run(run_id)
            st.rerun()


def _table(runs: list[Any]) -> pd.DataFrame:
    return pd.DataFrame([_row(run) for run in runs])


def _row(run: Any) -> dict[str, Any]:
    status = run.status()
    row = {
        "Star": run.star,
        "Title": run.title or "–",
        "State": status.state,
        "Done": status.fraction,
        "Note": run.note,
        "Run": run.id,
    }
    try:
        info = run.info
    except WorkbenchError as error:
        return row | {"System": "unreadable", "Preset": "", "Cohort": "", "Created": None, "Note": str(error)}
    cohort = (info.cohort or "").replace("\\", "/").split("/")
    return row | {
        "System": info.system, "Preset": info.preset, "Cohort": cohort[-2] if len(cohort) > 1 else "",
        "Created": datetime.fromtimestamp(info.created),
    }  # fmt: skip
