"""Curves that grow while a run trains."""

from __future__ import annotations

import streamlit as st

from workbench import workflow
from workbench.app.downloads import chart
from workbench.app.jobs import POLL_SECONDS
from workbench.app.messages import guard
from workbench.app.state import theme
from workbench.figures import curves

SHOWN = {
    "Accuracy": ("accuracy",),
    "Absolute error": ("mae",),
    "Error": ("mse",),
    "Error and sparsity": ("mse", "sparsity"),
    "Reconstruction": ("reconstruction",),
    "Free energy": ("free_energy", "free_energy_gap"),
    "Loss": ("loss",),
    "Activity": ("mean_activation", "dead_units"),
}
"""What is drawn together → the quantities; those that a run does not log are not offered."""


def live_curves(run_id: str) -> None:
    """Draw what a run has logged so far; redraws itself while the run lives."""
    live = workflow.open_run(run_id).status().is_live
    st.fragment(run_every=POLL_SECONDS if live else None)(_curves)(run_id)


def offered(logged: set[str]) -> dict[str, tuple[str, ...]]:
    """Give the groups that differ from those before by what a run logs: title → the logged quantities."""
    found: dict[str, tuple[str, ...]] = {}
    for title, names in SHOWN.items():
        drawn = tuple(name for name in names if name in logged)
        if drawn and drawn not in found.values():
            found[title] = drawn
    return found


def _curves(run_id: str) -> None:
    with guard("draw the curves"):
        metrics = workflow.open_run(run_id).metrics()
        epochs = metrics[~metrics["name"].str.endswith("_step")] if len(metrics) else metrics
        groups = offered(set(epochs["name"].str.removeprefix("val_"))) if len(metrics) else {}
        with st.container(horizontal=True, vertical_alignment="bottom"):
            shown = next(iter(groups), "")
            if len(groups) > 1:
                key = f"curves-what-{run_id}-{'-'.join(groups)}"
                shown = st.segmented_control("Curves", list(groups), default=shown, required=True, key=key) or shown
            smoothing = st.slider("Smoothing", 0.0, 0.95, 0.0, 0.05, key=f"curves-smooth-{run_id}", width=180)
            log = st.toggle("Logarithmic", key=f"curves-log-{run_id}")
        names = list(groups.get(shown, ())) or None
        fig = curves.training_curves(epochs, names=names, smoothing=smoothing, log=log, theme=theme())
        chart(fig, f"curves-{run_id}", table=metrics)
