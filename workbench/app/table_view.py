"""What a cohort of feature tables, or of small pictures, holds: columns, classes, examples."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from workbench import workflow
from workbench.app.downloads import chart
from workbench.app.messages import plain
from workbench.app.rows import table
from workbench.app.state import theme
from workbench.figures import chains, feature_tables, patches, strips

MOST_CLASSES, A_CLASS, MOST_SHOWN, N_ROWS = 12, 8, 40, 200


def table_view(cohort: Any) -> None:
    """Show the feature tables of a cohort."""
    read = _tables(cohort.name, cohort.digest)
    st.markdown("\n".join(f"- {plain(line)}" for line in workflow.describe_tables(cohort, read)))
    facts = {one.name: one for one in read}
    name = next(iter(facts))
    if len(facts) > 1:
        name = st.segmented_control("Feature table", list(facts), default=name, required=True, key="table-name") or name
    one = facts[name]
    with st.grid(4, min_column_width=150):
        st.metric("Subjects with it", f"{len(one.subjects):,}", border=True)
        st.metric("Columns", f"{len(one.columns):,}", border=True)
        st.metric("Empty cells", f"{one.n_missing:,}", border=True)
        st.metric("Different targets", len({t for t in one.targets if t}), border=True)
    for problem in one.problems[:6]:
        st.warning(plain(problem), icon=":material/build:")
    if not len(one.values):
        return
    column, means, numbers, rows = st.tabs(
        ["One column", "Means of the classes", "All columns", "Rows"], key="table-tab", on_change="rerun"
    )
    classes = _classes(one.targets)
    if column.open:
        with column:
            chosen = st.selectbox("Column", one.columns, key=f"table-column-{name}", width=320)
            values = one.values[:, one.columns.index(chosen)]
            if np.isfinite(values).any():
                fig = feature_tables.column_histograms(values, classes, name=chosen, theme=theme())
                chart(fig, f"{name}-{chosen}", table=pd.DataFrame({"subject": one.subjects, chosen: values}))
            else:
                st.info("This column is empty.", icon=":material/info:")
    if means.open:
        with means:
            _means(one, classes)
    if numbers.open:
        with numbers:
            described = pd.DataFrame(one.values, columns=one.columns).describe().T.rename_axis("column").reset_index()
            described.insert(1, "empty", np.isnan(one.values).sum(0))
            st.dataframe(described, hide_index=True, alt="One row a column: count, mean, spread, percentiles")
    if rows.open:
        with rows:
            shown = table(one.values, list(one.columns), subject=one.subjects, target=one.targets)
            st.dataframe(shown.head(N_ROWS), hide_index=True, alt=f"The first {N_ROWS} rows")


def class_view(cohort: Any) -> None:
    """Show how many subjects each target has, where targets are classes."""
    counts = Counter(s.target for s in cohort if s.target)
    if not 1 < len(counts) <= MOST_SHOWN:
        return
    ordered = {name: counts[name] for name in sorted(counts, key=_order)}
    fig = feature_tables.class_bars(ordered, theme=theme())
    chart(fig, f"classes-{cohort.name}", table=pd.DataFrame(ordered.items(), columns=["class", "subjects"]))


def contact_sheet(cohort: Any) -> None:
    """Draw a few pictures of each class."""
    modality = cohort.modalities[0]
    if len(cohort.modalities) > 1:
        modality = st.segmented_control(
            "Image", cohort.modalities, default=modality, required=True, key="sheet-modality"
        ) or modality  # fmt: skip
    chosen = _chosen(cohort, modality)
    pictures = _pictures(cohort.name, cohort.digest, modality, tuple(chosen))
    alike = [i for i, p in enumerate(pictures) if p.shape == pictures[0].shape]
    targets = [cohort[chosen[i]].target or "" for i in alike]
    stack = np.stack([pictures[i] for i in alike])
    st.caption(f"{len(alike)} of {len(cohort):,} pictures, {' × '.join(map(str, stack.shape[2:]))} pixels.")
    if stack.shape[1] == 1 and 1 < len(set(targets)) <= MOST_CLASSES and all(targets):
        fig = chains.sample_grid(stack, targets, unit="as stored", theme=theme())
    else:
        names = [t or chosen[i] for t, i in zip(targets, alike, strict=True)]
        fig = patches.patch_grid(stack, names, theme=theme())
    listed = pd.DataFrame({"subject": [chosen[i] for i in alike], "target": targets})
    chart(fig, f"sheet-{cohort.name}", table=listed)


def is_of_pictures(cohort: Any) -> bool:
    """Say whether the first image of a cohort is a picture."""
    first = next((s for s in cohort if s.images), None)
    return first is not None and _is_picture(cohort.name, cohort.digest, first.name, next(iter(first.images)))


def _means(one: Any, classes: list[str]) -> None:
    names = sorted(set(classes), key=_order)
    if len(names) < 2:
        st.info("The subjects have no classes to compare.", icon=":material/info:")
        return
    of = np.array(classes)
    means = np.stack([np.nanmean(one.values[of == name], 0) for name in names])
    panel = strips.Strips("mean of each class", means, names)
    fig = strips.value_strips([panel], one.columns, reference=one.values, theme=theme())
    chart(fig, f"means-{one.name}", table=table(means, list(one.columns), **{"class": names}))


def _classes(targets: tuple[str, ...]) -> list[str]:
    """Give the targets where they are few enough to be classes, else empty texts."""
    return list(targets) if len(set(targets)) <= MOST_CLASSES else [""] * len(targets)


def _chosen(cohort: Any, modality: str) -> list[str]:
    """Give the first subjects of each class, or the first of all where there are no classes."""
    having = [s for s in cohort if modality in s.images]
    names = sorted({s.target or "" for s in having}, key=_order)
    if not 1 < len(names) <= MOST_CLASSES:
        return [s.name for s in having[:MOST_SHOWN]]
    return [s.name for name in names for s in [s for s in having if (s.target or "") == name][:A_CLASS]]


def _order(name: str) -> tuple[int, float, str]:
    try:
        return 0, float(name), name
    except ValueError:
        return 1, 0.0, name


@st.cache_resource(max_entries=4, show_spinner="Reading the tables")
def _tables(name: str, digest: str) -> Any:
    return workflow.feature_tables(workflow.open_cohort(name))


@st.cache_resource(max_entries=4, show_spinner="Reading pictures")
def _pictures(name: str, digest: str, modality: str, subjects: tuple[str, ...]) -> list[np.ndarray]:
    cohort = workflow.open_cohort(name)
    return [cohort[subject].volume(modality).data[..., 0] for subject in subjects]


@st.cache_data(max_entries=50, show_spinner=False)
def _is_picture(name: str, digest: str, subject: str, modality: str) -> bool:
    return bool(workflow.load_volume(name, subject, modality).is_picture)
