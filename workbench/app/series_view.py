"""What the time series of a cohort are: their lengths, regions, repetition times, and what keeps them apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from workbench.app.downloads import chart, save
from workbench.app.messages import guard
from workbench.app.state import choose, theme
from workbench.figures import strips

IMAGE_SUFFIXES = (".nii", ".nii.gz")
N_ROWS = 60


def has_series(cohort: Any) -> bool:
    """Say whether anybody has a time series."""
    return any(s.series is not None for s in cohort)


def is_4d(file: Any) -> bool:
    """Say by its name whether a series is an image, whose regions have still to be extracted."""
    return str(file).lower().endswith(IMAGE_SUFFIXES)


def series_view(found: Any) -> None:
    """Show the series facts of a fingerprint."""
    facts = found.series
    if not facts:
        return
    st.markdown("**Time series**")
    with st.grid(4, min_column_width=150):
        st.metric("With a series", f"{len(facts):,}", border=True)
        st.metric("Time points", spread([f.n_times for f in facts]), border=True)
        st.metric("Regions", spread([f.n_regions for f in facts if not f.is_image]) or "–", border=True)
        st.metric("Repetition time (s)", spread([f.tr_s for f in facts if f.tr_s is not None]) or "–", border=True)
    n_images = sum(f.is_image for f in facts)
    if n_images:
        st.info(
            f"{n_images} of {len(facts)} series are 4-D images: extract their regions in the tab *Regions* before "
            "you train on them.",
            icon=":material/info:",
        )
    table = series_table(facts)
    st.dataframe(table, hide_index=True, alt="One row a subject: time points, regions, repetition time, what is odd")
    with st.container(horizontal=True, horizontal_alignment="right"):
        save(f"series-{found.name}", table=table)


def signals_view(cohort: Any) -> None:
    """Draw the first volumes of a subject's series, as a system on regional signals sees them: z by region."""
    names = [s.name for s in cohort if s.series is not None]
    with guard("draw these signals"):
        subject = choose("Subject", names, "who", width=260)
        series = cohort[subject].regional_series()
        known = [i for i, name in enumerate(series.regions) if name not in (*series.missing, *series.constant)]
        values = series.values[:, known]
        values = values[np.isfinite(values).all(1)]
        title = f"the first {min(N_ROWS, len(values))} of {len(values)} volumes, a volume a row"
        panel = strips.Strips(title, values[:N_ROWS])
        regions = [series.regions[i] for i in known]
        chart(
            strips.value_strips([panel], regions, reference=values, unit="signal", theme=theme()), f"signals-{subject}"
        )
        left = len(series.regions) - len(known)
        if left:
            st.caption(f"{left} regions without a changing signal are left out, for all subjects when you train.")


def series_table(facts: Any) -> pd.DataFrame:
    """Give a row a subject."""
    return pd.DataFrame([
        {
            "Subject": f.subject, "Kind": "4-D image" if f.is_image else "table", "Time points": f.n_times,
            "Regions": None if f.is_image else f.n_regions,
            "Repetition time (s)": "unknown" if f.tr_s is None else f"{f.tr_s:g}",
            "Without signal": len(f.missing), "Constant": len(f.constant), "Gaps": f.n_gaps,
            "Notes": " ".join(f.notes),
        }
        for f in facts
    ])  # fmt: skip


def spread(values: list[Any]) -> str:
    """Write one number, or the smallest and the largest; empty where there is none."""
    if not values:
        return ""
    low, high = min(values), max(values)
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"
