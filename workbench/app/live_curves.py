"""Curves that grow while a run trains."""

from __future__ import annotations

import streamlit as st

from workbench import workflow
from workbench.app.downloads import chart
from workbench.app.jobs import POLL_SECONDS
from workbench.app.messages import guard
from workbench.app.state import theme
from workbench.figures import curves

SHOWN = {"Error": ["mse"], "Error and sparsity": ["mse", "sparsity"], "Activity": ["mean_activation", "dead_units"]}


def live_curves(run_id: str) -> None:
    """Draw what a run has logged so far; redraws itself while the run lives."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        shown = st.segmented_control("Curves", list(SHOWN), default="Error", required=True, key=f"curves-what-{run_id}")
        smoothing = st.slider("Smoothing", 0.0, 0.95, 0.0, 0.05, key=f"curves-smooth-{run_id}", width=180)
        log = st.toggle("Logarithmic", key=f"curves-log-{run_id}")
    live = workflow.open_run(run_id).status().is_live
    st.fragment(run_every=POLL_SECONDS if live else None)(_curves)(run_id, SHOWN[shown or "Error"], smoothing, log)


def _curves(run_id: str, names: list[str], smoothing: float, log: bool) -> None:
    with guard("draw the curves"):
        metrics = workflow.open_run(run_id).metrics()
        epochs = metrics[~metrics["name"].str.endswith("_step")] if len(metrics) else metrics
        fig = curves.training_curves(epochs, names=names, smoothing=smoothing, log=log, theme=theme())
        chart(fig, f"curves-{run_id}", table=metrics)
