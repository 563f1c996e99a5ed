"""Hidden states of a run: paths, transitions and mean patterns, linked by the chosen state (Section 3.5)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from workbench import workflow
from workbench.app import regional_reads, state, state_numbers
from workbench.app.downloads import Bytes, chart, chart_key
from workbench.app.messages import guard
from workbench.app.reference import Reference, reference
from workbench.figures import states as figures
from workbench.figures.state_patterns import brain_panels, state_patterns
from workbench.figures.strips import weight_strips

MOST_ROWS = 120
FADED = 0.25
KEY = "networks-state"


def states_view(run_id: str) -> None:
    """Draw the states of a class's model for every subject."""
    st.fragment(_states)(run_id)


def _states(run_id: str) -> None:
    with guard("draw the states"):
        views = regional_reads.states(run_id)
        known = reference(run_id, regional_reads.networks(run_id))
        names = [v.model for v in views]
        with st.container(horizontal=True, vertical_alignment="bottom"):
            model = state.choose("States of the", names, "model", width=260)
            view = views[names.index(model)]
            chosen = _choose_state(len(view.transitions))
        st.caption(told(view))
        _draw(run_id, view, known, chosen)


def told(view: Any) -> str:
    """Say where the paths come from, and what may not be read from them."""
    held = np.asarray(view.held_out, bool)
    if held.all():
        source = "Every path is read by a model that was fitted without the subject."
    elif held.any():
        source = (
            f"{int(held.sum())} of {len(held)} paths are read by models fitted without the subject, the others are not."
        )
    else:
        source = (
            "Paths are read by the model that was learnt from all subjects, those you see here among them: they "
            "describe these subjects and test nothing. The scores under Diagnosis come from models that had not seen "
            "the subject."
        )
    tr = (
        f"A volume lasts {view.tr_s:g} s."
        if view.tr_s is not None
        else "The repetition time is unknown or differs between subjects, so times are counted in volumes."
    )
    return f"{source} {tr} States are numbered model by model: state 1 of one model is not state 1 of another."


def of_one_state(transitions: np.ndarray, chosen: int) -> np.ndarray:
    """Give the transitions (K, K) with those alone that lead into or out of a state, and all that stay."""
    kept = np.diag(np.diag(transitions)).astype(float)
    kept[chosen], kept[:, chosen] = transitions[chosen], transitions[:, chosen]
    return kept


def shown_rows(classes: tuple[str, ...], most: int = MOST_ROWS) -> list[int]:
    """Give which subjects the raster draws: all, or as many of each class as there is room for."""
    if len(classes) <= most:
        return list(range(len(classes)))
    names = list(dict.fromkeys(classes))
    return sorted(i for c in names for i in [k for k, own in enumerate(classes) if own == c][: most // len(names)])


def _choose_state(n: int) -> int | None:
    """Ask for a state, kept in the URL; None for all."""
    if st.session_state.get(KEY) not in (*range(n), None):
        st.session_state[KEY] = None
    if KEY not in st.session_state:
        text = st.query_params.get("state", "")
        st.session_state[KEY] = int(text) - 1 if text.isdecimal() and 1 <= int(text) <= n else None
    found = st.pills("Highlight", list(range(n)), key=KEY, format_func=lambda s: f"state {s + 1}")
    if found is None:
        st.query_params.pop("state", None)
        return None
    st.query_params["state"] = str(found + 1)
    return int(found)


def _draw(run_id: str, view: Any, known: Reference, chosen: int | None) -> None:
    _raster(run_id, view, chosen)
    left, right = st.columns(2, gap="medium")
    with left:
        _graph(run_id, view, chosen)
    with right:
        _visits(run_id, view)
    _pattern(run_id, view, known, chosen)
    _intervals(view)
    _shares(run_id, view)


def _visits(run_id: str, view: Any) -> None:
    st.markdown("**How long a visit lasts**")
    visits = state_numbers.visits(view.paths, len(view.transitions))
    step = view.tr_s or 1.0
    fig = figures.dwell_histogram([v * step for v in visits], theme=state.theme())
    states = np.repeat(np.arange(1, len(visits) + 1), [len(v) for v in visits])
    table = pd.DataFrame({"state": states, _unit("dwell", view): np.concatenate(visits) * step})
    chart(_in_volumes(fig, view), f"dwell-{run_id}-{view.model}", table=table)
    st.caption("Whole visits only: those that the start or the end of a recording cuts are left out.")


def _shares(run_id: str, view: Any) -> None:
    st.markdown("**Share of time by class**")
    table = state_numbers.share_table(view, len(view.transitions))
    summary = state_numbers.share_summary(table)
    fig = figures.occupancy_by_class(table, summary, theme=state.theme())
    fig.update_layout(legend={"y": -0.1, "yanchor": "top"})
    saved = table.assign(state=table["state"] + 1)
    means = summary.assign(state=summary["state"] + 1).to_csv(index=False).encode()
    chart(fig, f"occupancy-{run_id}-{view.model}", table=saved, files={"means-with-intervals.csv": means})
    st.caption("Intervals draw whole subjects again and take the paths as they are; no test is made of a difference.")


def _raster(run_id: str, view: Any, chosen: int | None) -> None:
    rows = shown_rows(view.classes)
    paths = [view.paths[i] for i in rows]
    if chosen is not None:
        paths = [np.where(p == chosen, p, -1) for p in paths]
    fig = figures.state_raster(
        paths, view.tr_s or 1.0, subjects=[view.subjects[i] for i in rows], classes=[view.classes[i] for i in rows],
        n_states=len(view.transitions), theme=state.theme(),
    )  # fmt: skip
    if len(rows) < len(view.paths):
        st.caption(f"{len(rows)} of {len(view.paths)} subjects are drawn; paths.csv has all.")
    files: dict[str, Bytes] = {"paths.csv": lambda: state_numbers.path_table(view).to_csv(index=False).encode()}
    chart(_in_volumes(fig, view), f"raster-{run_id}-{view.model}", files=files)


def _graph(run_id: str, view: Any, chosen: int | None) -> None:
    k, step = len(view.transitions), view.tr_s or 1.0
    st.markdown("**What follows what**" + ("" if chosen is None else f": into and out of state {chosen + 1}"))
    frames = np.bincount(np.concatenate(view.paths), minlength=k)
    drawn = view.transitions if chosen is None else of_one_state(view.transitions, chosen)
    dwell = state_numbers.expected_visit(view.transitions) * step
    fig = figures.transition_graph(drawn, occupancy=frames / frames.sum(), dwell_s=dwell, theme=state.theme())
    places = {s: next(i for i, t in enumerate(fig.data) if t.name == f"state {s + 1}") for s in range(k)}
    if chosen is not None:
        for s, place in places.items():
            fig.data[place].opacity = 1.0 if s == chosen else FADED
    table = pd.DataFrame(view.transitions, columns=[f"to state {j + 1}" for j in range(k)])
    table.insert(0, "from state", range(1, k + 1))
    name = f"transitions-{run_id}-{view.model}"
    fig = _in_volumes(fig, view)
    said = " ".join(note.text for note in fig.layout.annotations)  # there is more room beneath the figure
    fig.layout.annotations = []
    chart(fig, name, table=table, on_select=_picker(name, places), selection_mode="points")
    st.caption(
        f"{said[:1].upper()}{said[1:]}. Click a circle to highlight its state here, in the paths and in the pattern."
    )


def _intervals(view: Any) -> None:
    """Show how sure transitions and visits are over subjects."""
    with st.expander("Transitions and visits with intervals"):
        found = workflow.state_intervals(view)
        table = state_numbers.transition_table(view, found["transitions"])
        column = st.column_config.NumberColumn(format="%.3f")
        st.dataframe(table, hide_index=True, alt="A row a pair of states: probability, share of steps, 95 % interval",
                     column_config=dict.fromkeys(("of the model", "on paths", "low", "high"), column))  # fmt: skip
        step, unit = (1.0, "volumes") if view.tr_s is None else (view.tr_s, "s")
        visits = found["visits"]
        ends = np.stack([visits.estimate, visits.low, visits.high], axis=1) * step
        parts = [f"state {s + 1}: {mean:.3g} ({low:.3g} to {high:.3g})" for s, (mean, low, high) in enumerate(ends)]
        st.caption(
            f"Mean visit in {unit}, cut visits counted: {'; '.join(parts)}. Of the subjects of the model's own class; "
            "95 % intervals draw whole subjects again and take the decoded paths as they are, so the model's own "
            "probabilities need not lie in them."
        )


def _picker(name: str, places: dict[int, int]) -> Callable[[], None]:
    """Give what a click on a circle does: its state becomes the chosen one."""
    key, state_at = chart_key(name), {place: s for s, place in places.items()}

    def pick() -> None:
        points = (st.session_state.get(key) or {}).get("selection", {}).get("points", [])
        found = [state_at[p["curve_number"]] for p in points if p.get("curve_number") in state_at]
        if found:
            st.session_state[KEY] = found[0]

    return pick


def _pattern(run_id: str, view: Any, known: Reference, chosen: int | None) -> None:
    names = regional_reads.networks(run_id).regions
    regions = known.regions(names)
    st.markdown("**Mean pattern**" + (" of every state" if chosen is None else f" of state {chosen + 1}"))
    limit = float(np.abs(view.patterns).max()) or 1.0
    if not regions.placed.any():
        units = list(range(len(view.patterns))) if chosen is None else [chosen]
        fig = weight_strips(view.patterns, list(names), units=units, scale="shared", theme=state.theme())
        fig.update_yaxes(title="", ticktext=[f"state {s + 1}" for s in units])
    elif chosen is None:
        fig = state_patterns(view.patterns, regions, theme=state.theme())
    else:
        fig = brain_panels(
            view.patterns[[chosen]], regions, ([f"state {chosen + 1}"], 1), quantity="mean signal, z", limit=limit,
            theme=state.theme(),
        )  # fmt: skip
    table = pd.DataFrame(view.patterns.T, columns=[f"state {s + 1}" for s in range(len(view.patterns))])
    table.insert(0, "region", list(names))
    table.insert(1, "network", list(known.networks))
    parts = st.columns([1, 1], gap="medium", vertical_alignment="center") if chosen is not None else [st.container()]
    with parts[0]:
        chart(fig, f"patterns-{run_id}-{view.model}", table=table)
    if chosen is not None:
        with parts[1]:
            _strongest(view.patterns[chosen], known, names)
    st.caption("Decoded from the state's mean code, in standard deviations of each region's signal.")


def _strongest(pattern: np.ndarray, known: Reference, names: tuple[str, ...], n: int = 8) -> None:
    order = np.argsort(-np.abs(pattern), kind="stable")[:n]
    rows = pd.DataFrame({
        "Region": [names[i] for i in order], "Network": [known.networks[i] for i in order],
        "Mean signal, z": [float(pattern[i]) for i in order],
    })  # fmt: skip
    st.dataframe(rows, hide_index=True, alt=f"The {len(rows)} strongest regions of the state",
                 column_config={"Mean signal, z": st.column_config.NumberColumn(format="%+.2f")})  # fmt: skip


def _unit(what: str, view: Any) -> str:
    return f"{what}_s" if view.tr_s is not None else f"{what}_volumes"


def _in_volumes(fig: Any, view: Any) -> Any:
    """Call the axis of time what it counts where the repetition time is not known."""
    if view.tr_s is None:
        fig.for_each_xaxis(lambda axis: axis.update(title=(axis.title.text or "").replace(", s", ", volumes")))
        fig.for_each_trace(
            lambda t: t.update(hovertemplate=t.hovertemplate.replace(" s:", " volumes:")) if t.hovertemplate else None
        )
        for trace in fig.data:
            if trace.type == "scatter" and isinstance(trace.text, str):
                trace.text = trace.text.replace(" s", " vol.")
        for note in fig.layout.annotations:
            note.text = (note.text or "").replace(" s,", " volumes,").replace("seconds:", "volumes:")
    return fig
