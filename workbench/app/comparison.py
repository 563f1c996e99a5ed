"""Two to six runs side by side."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from workbench import workflow
from workbench.app.downloads import chart, save
from workbench.app.jobs import run_title
from workbench.app.state import theme
from workbench.figures import curves

QUANTITIES = {
    "val_accuracy": "Held-out accuracy", "val_mae": "Held-out absolute error", "val_mse": "Held-out error",
    "mse": "Training error", "val_sparsity": "Held-out sparsity", "val_reconstruction": "Held-out reconstruction",
    "val_free_energy": "Held-out free energy", "free_energy_gap": "Free-energy gap", "val_loss": "Held-out loss",
    "accuracy": "Training accuracy", "reconstruction": "Training reconstruction", "mean_activation": "Mean activation",
    "dead_units": "Dead units",
}  # fmt: skip
"""Logged quantity → what it is called; those that no run logged are not offered."""


def compare_view(run_ids: list[str]) -> None:
    """Draw the curves over each other and list what differs and how the runs scored."""
    found = workflow.compare(run_ids)
    titles = _titles(run_ids)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        logged_names = {name for metrics in found.curves.values() for name in metrics["name"]}
        known = [name for name in QUANTITIES if name in logged_names] or ["val_mse"]
        name = st.selectbox("Quantity", known, key="compare-what", format_func=lambda n: QUANTITIES[n], width=280)
        log = st.toggle("Logarithmic", key="compare-log")
    logged = {titles[i]: metrics for i, metrics in found.curves.items()}
    fig = curves.compare_curves(logged, name=name or "val_mse", log=log, theme=theme())
    chart(fig, "compare", table=pd.concat([m.assign(run=t) for t, m in logged.items()]))
    left, right = st.columns(2, gap="large")
    with left:
        _table("Settings that differ", found.settings.rename(columns=titles).rename_axis("Setting").reset_index())
    with right:
        _table("Scores", found.scores.rename(columns=titles).rename_axis("Score").reset_index())


def _table(title: str, table: pd.DataFrame) -> None:
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.subheader(title, anchor=False, width="content")
        save(title.lower().replace(" ", "-"), table=table)
    if len(table):
        st.dataframe(table, hide_index=True, alt=title)
    else:
        st.caption("None.")


def _titles(run_ids: list[str]) -> dict[str, str]:
    """Call each run by its title, and by its id where titles repeat."""
    titles = {i: run_title(workflow.open_run(i)) for i in run_ids}
    repeated = {t for t in titles.values() if list(titles.values()).count(t) > 1}
    return {i: f"{t} ({i[-4:]})" if t in repeated else t for i, t in titles.items()}
