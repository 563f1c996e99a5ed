"""What a cohort holds: numbers, problems with their fixes, figures of the fingerprint."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from workbench import workflow
from workbench.app.downloads import chart
from workbench.app.messages import plain
from workbench.app.series_view import has_series, series_view
from workbench.app.state import theme
from workbench.app.table_view import class_view, contact_sheet, is_of_pictures, table_view
from workbench.figures import cohort as figures

MOST_KEPT = 8
MANY_IMAGES = 500
"""Above so many the images are read when that is asked for."""


def cohort_view(cohort: Any) -> None:
    """Show what a cohort holds: its pictures, classes and tables at once, the fingerprint of its images after them."""
    if cohort.modalities and is_of_pictures(cohort):
        contact_sheet(cohort)
    class_view(cohort)
    if any(s.features for s in cohort):
        table_view(cohort)
    if not cohort.modalities and not has_series(cohort):
        return
    if not is_read(cohort):
        what = "images" if cohort.modalities else "series"
        st.markdown(
            f"**The fingerprint** reads all {_n_files(cohort):,} {what} once: sizes, values, duplicates, what is "
            "missing."
        )
        if not st.button(f"Read {'every image' if cohort.modalities else 'all series'}", icon=":material/fingerprint:",
                         key=f"read-{cohort.name}"):  # fmt: skip
            return
    _fingerprint_view(cohort)


def _fingerprint_view(cohort: Any) -> None:
    """Show the fingerprint of a cohort; the first look reads every image once."""
    found = fingerprint(cohort)
    is_series = not found.images and bool(found.series)
    with st.grid(4, min_column_width=150):
        st.metric("Subjects", len(cohort), border=True)
        st.metric("Series" if is_series else "Images", len(found.series if is_series else found.images), border=True)
        st.metric("Groups", len({s.group or s.name for s in cohort}), border=True)
        st.metric("Problems", len(found.problems), border=True)
    for problem in found.problems[:12]:
        st.warning(plain(problem), icon=":material/build:")
    if len(found.problems) > 12:
        st.caption(f"and {len(found.problems) - 12} more, all in the table below.")
    series_view(found)
    if not found.images:
        return
    table = _summary(found)
    st.dataframe(table, hide_index=True, alt="One row a modality: sizes, spacings, intensities")
    missing, intensities, labels, grids = st.tabs(
        ["Who has what", "Intensities", "By label", "Grids"], key="fingerprint-tab", on_change="rerun"
    )
    if missing.open:
        with missing:
            chart(
                figures.missing_matrix(found.columns, found.missing, theme=theme()),
                f"who-has-what-{cohort.name}",
                table=_problems(found),
            )
    if intensities.open:
        with intensities:
            chart(
                figures.intensity_histograms(found.histograms, theme=theme()),
                f"intensities-{cohort.name}",
                table=_images(found),
            )
    if labels.open:
        with labels:
            chart(
                figures.intensities_by_label(found.labels, dict(found.label_names), theme=theme()),
                f"labels-{cohort.name}",
                table=_labels(found),
            )
    if grids.open:
        with grids:
            chart(figures.grid_overview(found.images, theme=theme()), f"grids-{cohort.name}", table=_images(found))


def fingerprint(cohort: Any) -> Any:
    """Give the fingerprint of a cohort, read once, with a bar meanwhile."""
    key = (cohort.name, cohort.digest)
    kept = _kept()
    if key not in kept:
        bar = st.progress(0.0, text="Reading everything once")

        def show(share: float, text: str) -> None:
            bar.progress(min(1.0, max(0.0, share)), plain(text))

        found = workflow.inspect(cohort, show)
        bar.empty()
        while len(kept) >= MOST_KEPT:
            kept.pop(next(iter(kept)))
        kept[key] = found
    return kept[key]


def is_read(cohort: Any) -> bool:
    """Say whether the fingerprint is at hand, or quick to make."""
    return (cohort.name, cohort.digest) in _kept() or _n_files(cohort) <= MANY_IMAGES


def _n_files(cohort: Any) -> int:
    return sum(len(s.images) + (s.series is not None) for s in cohort)


def delete_button(name: str) -> None:
    """Show the button that deletes a cohort after asking."""
    if st.button("Delete", icon=":material/delete:", key=f"delete-cohort-{name}"):
        _confirm(name)


@st.dialog("Delete this cohort?")
def _confirm(name: str) -> None:
    st.markdown(
        f"The folder of **{plain(name)}** will be removed. Runs that were trained on it stay. This cannot be undone."
    )
    with st.container(horizontal=True, horizontal_alignment="right"):
        if st.button("Keep it"):
            st.rerun()
        if st.button("Delete it", type="primary", icon=":material/delete:"):
            workflow.delete_cohort(name)
            st.rerun()


@st.cache_resource
def _kept() -> dict[tuple[str, str], Any]:
    """Give the fingerprints that were read since the server started, by name and digest."""
    return {}


def _summary(found: Any) -> pd.DataFrame:
    rows = [
        {
            "Modality": s.modality, "Subjects": s.n_subjects, "Voxels (median)": _times(s.median_shape, "{:.0f}"),
            "Voxel size (mm, median)": _times(s.median_spacing_mm, "{:.3g}"),
            "Voxel size (mm, range)": f"{min(s.smallest_spacing_mm):.3g} to {max(s.largest_spacing_mm):.3g}",
            "Values (0.5–99.5 %)": f"{s.intensity_range[0]:.4g} to {s.intensity_range[1]:.4g}",
            "Stored as": ", ".join(s.codes),
        }
        for s in found.summaries
    ]  # fmt: skip
    return pd.DataFrame(rows)


def _images(found: Any) -> pd.DataFrame:
    rows = [
        {
            "subject": i.subject, "modality": i.modality, "voxels": _times(i.shape, "{}"),
            "spacing_mm": _times(i.spacing_mm, "{:.4g}"),
            "minimum": i.minimum, "maximum": i.maximum, "mean": i.mean, "std": i.std, "share_not_a_number": i.bad_share,
            "share_zero": i.zero_share, "stored_as": i.codes, "digest": i.digest,
        }
        for i in found.images
    ]  # fmt: skip
    return pd.DataFrame(rows)


def _labels(found: Any) -> pd.DataFrame:
    names = dict(found.label_names)
    return pd.DataFrame([
        {
            "subject": f.subject, "value": v.value, "name": names.get(v.value, ""), "volume_ml": v.volume_ml,
            "modality": m, "mean": mean, "std": std,
        }
        for f in found.labels for v in f.values for m, mean, std in v.intensities
    ])  # fmt: skip


def _problems(found: Any) -> pd.DataFrame:
    return pd.DataFrame({"problem": list(found.problems) or ["none"]})


def _times(values: Any, form: str) -> str:
    return " × ".join(form.format(v) for v in values)
