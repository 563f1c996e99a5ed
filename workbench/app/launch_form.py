"""From a system and a preset to a started run: card, settings, differences, estimate, preview."""

from __future__ import annotations

import json
from typing import Any

import streamlit as st

from workbench import workflow
from workbench.app.downloads import chart
from workbench.app.forms import differences
from workbench.app.glossary import REVIEW
from workbench.app.rows import as_rows
from workbench.app.series_view import is_4d
from workbench.app.state import theme
from workbench.app.table_view import is_of_pictures
from workbench.errors import WorkbenchError
from workbench.figures import patches as patch_figures
from workbench.figures import strips


def system_card(card: Any) -> None:
    """Show what a system is, from its file's own text."""
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{card.title}**", width="stretch")
            if card.section:
                st.badge(f"Section {card.section}", icon=":material/menu_book:", color="gray")
        st.caption(f"{card.review}. [The review]({REVIEW}).")
        with st.expander("Input, network, training", icon=":material/description:"):
            for name in ("input", "network", "training", "output", "reported", "departs", "citation"):
                title = {"departs": "Departs from the paper in"}.get(name, name.capitalize())
                st.markdown(f"**{title}.** {getattr(card, name)}")


def choose_preset(system: str, cohort: Any) -> Any:
    """Show the presets with what each takes on this machine for this cohort, and give the chosen one."""
    presets = {p.name: p for p in workflow.system_presets(system)}
    start = "cpu" if "cpu" in presets else next(iter(presets))
    name = st.segmented_control(
        "Preset",
        list(presets),
        default=start,
        required=True,
        key=f"preset-{system}",
        format_func=preset_title,
        wrap=True,
    )
    preset = presets[name or start]
    st.caption(f"{preset.sentence} {expected(system, preset.changes, cohort).partition(',')[0]} on this machine.")
    return preset


def preset_title(name: str) -> str:
    """Give a preset's name as a label."""
    return {"cpu": "CPU"}.get(name, name.capitalize())


def expected(system: str, settings: dict[str, Any], cohort: Any) -> str:
    """Say in words what a training on a cohort takes: of tables and whole pictures it has one example a subject."""
    changes = workflow.check_settings(system, settings)
    kind = changes.get("source")
    if kind == "auto":
        kind = "features" if not cohort.modalities else "whole" if is_of_pictures(cohort) else "patches"
    try:
        if kind in ("features", "whole"):
            one_each = {"source": kind, "n_patches": max(64, round(0.7 * len(cohort)))}
            return minutes(system, json.dumps(changes | one_each))
    except WorkbenchError:
        pass  # this system cannot learn from such examples, which is said when it is started
    return minutes(system, json.dumps(changes))


@st.cache_data(max_entries=200, show_spinner=False)
def minutes(system: str, settings: str) -> str:
    """Say in words what a training takes on this machine; ``settings`` are JSON, so that equal ones are asked once."""
    return str(workflow.estimate(system, workflow.check_settings(system, json.loads(settings))).sentence)


def review_launch(system: str, preset: Any, settings: dict[str, Any], cohort: Any) -> None:
    """Show the estimate and what differs from the preset."""
    time, _, rest = expected(system, settings, cohort).partition(", ")
    st.metric("Expected on this machine", time, rest.rstrip("."), delta_color="off", delta_arrow="off", border=True)
    changed = differences(system, preset, settings)
    if len(changed):
        st.markdown("**Changed from the preset**")
        st.dataframe(changed, hide_index=True, alt="Settings that differ from the preset")
    else:
        st.caption(f"The settings are those of the preset {preset_title(preset.name)}.")


def cohort_words(cohort: Any) -> str:
    """Say what there is to learn from."""
    tables = list(dict.fromkeys(name for subject in cohort for name in subject.features))
    parts = [", ".join(cohort.modalities)] if cohort.modalities else []
    parts += [f"feature tables {', '.join(tables)}"] if tables else []
    series = [s.series for s in cohort if s.series is not None]
    if series:
        parts += ["4-D images" if any(is_4d(file) for file in series) else "regional time series"]
    classes = {s.target for s in cohort if s.target}
    targets = f"; {len(classes)} different targets" if classes else "; no targets"
    return f"{len(cohort):,} subjects with {' and '.join(parts) or 'no images'}{targets}"


def preview(system: str, settings: dict[str, Any], cohort: Any) -> None:
    """Draw 16 examples as training would see them."""
    found = _preview(system, json.dumps(settings), cohort.name, cohort.digest)
    rows = as_rows(found.patches)
    if rows is None:
        fig = patch_figures.patch_grid(found.patches, found.subjects, found.centers_mm, theme=theme())
    else:
        panel = strips.Strips("an example a row, as the network sees it", rows, found.subjects)
        fig = strips.value_strips([panel], _columns(settings, cohort, rows.shape[1]), theme=theme())
    chart(fig, "preview")


def _columns(settings: dict[str, Any], cohort: Any, n: int) -> list[str]:
    """Give the columns of the tables that the settings name, or of all; empty if these are others."""
    first = cohort.subjects[0]
    named = [name.strip() for name in settings.get("table", "").split(",") if name.strip()] or list(first.features)
    columns = [f"{t}: {c}" if len(named) > 1 else c for t in named for c in first.feature_vector(t).names]
    return columns if len(columns) == n else []


@st.cache_resource(max_entries=8, show_spinner="Drawing examples")
def _preview(system: str, settings: str, cohort: str, digest: str) -> Any:
    return workflow.preview_patches(system, json.loads(settings), cohort, n=16)
