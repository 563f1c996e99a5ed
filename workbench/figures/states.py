"""Hidden states of the brain over time: who is where and when, what follows what, how long it lasts (Section 3.5)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.figures.theme import (
    INK,
    LINE,
    MUTED,
    PAPER,
    PRIMARY,
    SYMBOLS,
    Theme,
    faded,
    finish,
    interval,
    label_color,
    note,
    series_color,
)

ROW_PX, MOST_TOLD = 17, 60_000
"""Beyond so many cells the pointer no longer tells the subject."""
LEAST_SHOWN = 0.02
"""Transitions rarer than this are not drawn."""
RADIUS, BEND = 1.0, 0.16


def state_color(state: int) -> str:
    """Give the colour of a state (0, 1, …), the same in every figure."""
    return label_color(state + 1)


def state_raster(
    paths: Sequence[np.ndarray],
    tr_s: float | None,
    *,
    subjects: Sequence[str] = (),
    classes: Sequence[str] = (),
    n_states: int | None = None,
    theme: Theme = "light",
) -> go.Figure:
    """Draw every subject's sequence of states as a row of colours over time.

    Args:
        paths: one (T,) array of states 0 … K − 1 a subject; a negative number is a time point left out.
        tr_s: time from volume to volume in seconds; None counts volumes.
        subjects: names; empty counts from 1.
        classes: the class of every subject; rows are sorted by it and parted by a gap.
        n_states: K; None for the largest state seen.
        theme: the page it is shown on.
    """
    if not len(paths):
        raise ValueError("there is no sequence of states to draw")
    unit, tr_s = ("volumes", 1.0) if tr_s is None else ("s", tr_s)
    k = n_states or int(max(p.max(initial=0) for p in paths)) + 1
    named = list(subjects) or [str(i + 1) for i in range(len(paths))]
    order, labels = _rows(len(paths), classes)
    z, longest = _filled(paths, order)
    names = [named[i] if i is not None else "" for i in order]
    steps = [(at, state_color(s)) for s in range(k) for at in (s / k, (s + 1) / k)]
    text = [[name] * longest for name in names] if z.size <= MOST_TOLD else None
    fig = go.Figure(go.Heatmap(
        z=z, x0=tr_s / 2, dx=tr_s, zmin=-0.5, zmax=k - 0.5, colorscale=steps, showscale=False, ygap=1, customdata=z + 1,
        text=text, hoverongaps=False, hovertemplate=("%{text} at " if text else "")
        + f"%{{x:.1f}} {unit}: state %{{customdata:.0f}}<extra></extra>",
    ))  # fmt: skip
    for s in range(k):
        fig.add_scatter(x=[None], y=[None], mode="markers", name=f"state {s + 1}",
                        marker={"symbol": "square", "size": 11, "color": state_color(s)})  # fmt: skip
    fig.update_xaxes(title=f"time, {unit}", showgrid=False, range=[0, longest * tr_s])
    every = max(1, -(-len(order) * 15 // max(ROW_PX * len(order), 200)))
    at = [i for i, name in enumerate(names) if name][::every]
    fig.update_yaxes(range=[len(order) - 0.5, -0.5], tickvals=at, ticktext=[names[i] for i in at], showgrid=False,
                     ticks="", tickfont={"size": 11})  # fmt: skip
    for row, name in labels:
        fig.add_annotation(note(f"<b>{name}</b>", theme, y=row, yref="y", yanchor="middle", font={"color": INK[theme]}))
    fig.update_layout(legend={"orientation": "h", "y": 1, "yanchor": "bottom", "x": 0}, margin={"t": 44})
    alt = f"States of {len(paths)} subjects over {longest * tr_s:.0f} {unit} in {k} colours."
    return finish(fig, theme, alt=alt, height=int(np.clip(ROW_PX * len(order), 120, 900)) + 100)


def _filled(paths: Sequence[np.ndarray], order: list[int | None]) -> tuple[np.ndarray, int]:
    longest = max(len(p) for p in paths)
    z = np.full((len(order), longest), np.nan, np.float32)
    for row, i in enumerate(order):
        if i is not None:
            z[row, : len(paths[i])] = np.where(np.asarray(paths[i]) < 0, np.nan, paths[i])
    return z, longest


def _rows(n: int, classes: Sequence[str]) -> tuple[list[int | None], list[tuple[int, str]]]:
    """Give each row its subject, None for a row that carries a class's name; and those names with their rows."""
    if not classes:
        return list(range(n)), []
    order: list[int | None] = []
    labels = []
    for name in dict.fromkeys(classes):
        labels.append((len(order), str(name)))
        order += [None, *(i for i in range(n) if classes[i] == name)]
    return order, labels


def transition_graph(
    transitions: np.ndarray,
    *,
    occupancy: np.ndarray | None = None,
    dwell_s: np.ndarray | None = None,
    intervals: np.ndarray | None = None,
    theme: Theme = "light",
) -> go.Figure:
    """Draw states as circles and the probabilities of leaving one for another as arrows.

    Args:
        transitions: (K, K), row i holds the probabilities of the next state after state i; rows sum to 1.
        occupancy: (K,) share of time spent in a state: the circle's area.
        dwell_s: (K,) mean time in s that a state lasts.
        intervals: (K, K, 2), lower and upper ends, told under the pointer.
        theme: the page it is shown on.
    """
    k = len(transitions)
    share = np.full(k, 1 / k) if occupancy is None else np.asarray(occupancy, float)
    angle = np.pi / 2 - 2 * np.pi * np.arange(k) / max(k, 1)
    at = RADIUS * np.stack([np.cos(angle), np.sin(angle)], 1) if k > 1 else np.zeros((1, 2))
    size = 26 + 54 * np.sqrt(share / max(share.max(), 1e-9))
    fig = go.Figure()
    largest = float(transitions[~np.eye(k, dtype=bool)].max(initial=0.0)) or 1.0
    for i, j in zip(*np.nonzero(transitions >= LEAST_SHOWN), strict=True):
        if i != j:
            p = float(transitions[i, j])
            bounds = None if intervals is None else intervals[i, j]
            told = f"state {i + 1} → {j + 1}: {p:.3f}" + _between(bounds)
            _arrow(fig, at[i], at[j], (p / largest, size[i], size[j]), told, theme, state_color(int(i)))
    for s in range(k):
        lines = [f"<b>{s + 1}</b>"] + ([f"{dwell_s[s]:.1f} s"] if dwell_s is not None else [])
        stay = f"stays with {transitions[s, s]:.3f}" + _between(None if intervals is None else intervals[s, s])
        fig.add_scatter(
            x=at[s : s + 1, 0], y=at[s : s + 1, 1], mode="markers+text", text="<br>".join(lines), showlegend=False,
            textfont={"size": 13, "color": _ink_on(state_color(s))}, name=f"state {s + 1}",
            marker={"size": size[s], "color": state_color(s), "opacity": 1,
                    "line": {"width": 1.5, "color": PAPER[theme]}},
            hovertext=f"<b>state {s + 1}</b><br>{share[s]:.1%} of the time<br>{stay}", hoverinfo="text",
        )  # fmt: skip
    bare = {"visible": False, "range": [-1.55, 1.55]}
    fig.update_xaxes(**bare).update_yaxes(**bare, scaleanchor="x")
    parts = ["width: probability of the next state" + (f", at least {LEAST_SHOWN:.0%}" if k > 1 else "")]
    parts += ["area: share of time"] if occupancy is not None else []
    parts += ["seconds: mean dwell time"] if dwell_s is not None else []
    fig.add_annotation(note(" · ".join(parts), theme, y=0, yanchor="top", yshift=-4))
    fig.update_layout(margin={"l": 8, "r": 8, "t": 8, "b": 32})
    return finish(fig, theme, alt=f"Transitions between {k} states as arrows, wider where likelier.", height=460)


def _between(bounds: np.ndarray | None) -> str:
    return "" if bounds is None else f" (95 % interval {bounds[0]:.3f} to {bounds[1]:.3f})"


def _ink_on(color: str) -> str:
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return "#111418" if 0.3 * red + 0.6 * green + 0.1 * blue > 120 else "#FFFFFF"


def _arrow(
    fig: go.Figure,
    start: np.ndarray,
    end: np.ndarray,
    how: tuple[float, float, float],
    told: str,
    theme: Theme,
    color: str,
) -> None:
    """Draw a bent arrow that ends before the circle; both ways between two states bend to different sides."""
    share, size_from, size_to = how
    way = end - start
    length = float(np.hypot(*way))
    side = np.array([way[1], -way[0]]) / length
    px = 3.1 / 400  # drawing units of a pixel, about: the figure is 400 px high
    t = np.linspace((size_from / 2 + 3) * px / length, 1 - (size_to / 2 + 8) * px / length, 24)[:, None]
    line = start + t * way + 4 * t * (1 - t) * BEND * length * side
    width = 1 + 8 * share
    fig.add_scatter(x=line[:, 0], y=line[:, 1], mode="lines", hoverinfo="skip", showlegend=False, name="transition",
                    line={"width": width, "color": faded(color, 0.3 + 0.6 * share), "shape": "spline"})  # fmt: skip
    last = line[-1] - line[-2]
    turn = float(np.degrees(np.arctan2(last[0], last[1])))
    fig.add_scatter(x=line[-1:, 0], y=line[-1:, 1], mode="markers", hoverinfo="skip", showlegend=False, name="head",
                    marker={"symbol": "triangle-up", "angle": turn, "size": 8 + 1.6 * width, "color": color,
                            "line": {"width": 0}})  # fmt: skip
    middle = line[len(line) // 2]
    fig.add_scatter(x=middle[:1], y=middle[1:], mode="markers", marker={"size": 16, "opacity": 0}, showlegend=False,
                    hovertext=told, hoverinfo="text", name="probability")  # fmt: skip


def dwell_histogram(dwell_s: Sequence[np.ndarray], *, theme: Theme = "light") -> go.Figure:
    """Draw how long each state lasts once it is entered, a panel a state on one axis of time, with its median.

    Args:
        dwell_s: one (n,) array of times in s a state.
        theme: the page it is shown on.
    """
    k = len(dwell_s)
    longest = max((float(np.max(d)) for d in dwell_s if len(d)), default=1.0)
    bins = {"start": 0, "end": longest * 1.02, "size": longest / 24}
    fig = make_subplots(k, 1, shared_xaxes=True, vertical_spacing=0.2 / max(k, 2) / 2)
    for s, times in enumerate(dwell_s):
        place = {"row": s + 1, "col": 1}
        fig.add_histogram(x=np.asarray(times, float), xbins=bins, histnorm="probability", showlegend=False,
                          marker={"color": state_color(s), "line": {"width": 1, "color": PAPER[theme]}},
                          name=f"state {s + 1}", **place,
                          hovertemplate="%{x} s: %{y:.1%} of visits<extra>" + f"state {s + 1}</extra>")  # fmt: skip
        text = f"state {s + 1}: never visited"
        if len(times):
            middle = float(np.median(times))
            fig.add_vline(x=middle, line={"color": INK[theme], "width": 1.5, "dash": "dot"}, **place)
            text = f"state {s + 1}: median {middle:.1f} s, {len(times):,} visits"
        suffix = "" if s == 0 else str(s + 1)
        fig.add_annotation(x=1, y=0.95, xref=f"x{suffix} domain", yref=f"y{suffix} domain", text=text, showarrow=False,
                           xanchor="right", yanchor="top", font={"size": 12, "color": MUTED[theme]})  # fmt: skip
    fig.update_xaxes(showgrid=False, range=[0, longest * 1.02]).update_xaxes(title="dwell time, s", row=k, col=1)
    fig.update_yaxes(tickformat=".0%", nticks=3).update_yaxes(title="share of visits", row=(k + 1) // 2, col=1)
    return finish(fig, theme, alt=f"Histograms of how long {k} states last, in seconds.", height=90 * k + 90)


def order_curve(table: pd.DataFrame, *, chosen: int | None = None, theme: Theme = "light") -> go.Figure:
    """Draw the held-out log-likelihood against the number of states.

    Args:
        table: columns order (number of states), mean, low, high: nats a frame with 95 % intervals.
        chosen: the number of states that was taken.
        theme: the page it is shown on.
    """
    rows = table.sort_values("order")
    bars = interval(rows["mean"], rows["low"], rows["high"], thickness=2, color=PRIMARY[theme], width=4)
    fig = go.Figure(go.Scatter(
        x=rows["order"], y=rows["mean"], error_y=bars, mode="lines+markers", line={"color": PRIMARY[theme], "width": 2},
        marker={"size": 8}, name="held out", customdata=rows[["low", "high"]], showlegend=False,
        hovertemplate="%{x} states: %{y:.4g} (%{customdata[0]:.4g} to %{customdata[1]:.4g})<extra></extra>",
    ))  # fmt: skip
    if chosen is not None:
        fig.add_vline(x=chosen, line={"color": MUTED[theme], "dash": "dot", "width": 1.5},
                      annotation={"text": f"{chosen} states taken", "font": {"size": 12, "color": MUTED[theme]},
                                  "y": 0, "yanchor": "bottom", "xanchor": "left"})  # fmt: skip
    fig.update_xaxes(title="number of states", tickvals=list(rows["order"]), showgrid=False)
    fig.update_yaxes(title="held-out log-likelihood,<br>nats a frame", nticks=6)
    fig.update_layout(margin={"l": 84})
    return finish(fig, theme, alt="Held-out log-likelihood by the number of states, with intervals.", height=340)


def occupancy_by_class(
    shares: pd.DataFrame, summary: pd.DataFrame | None = None, *, theme: Theme = "light"
) -> go.Figure:
    """Draw the share of time that the subjects of each class spend in each state.

    Args:
        shares: columns state (0, 1, …), class, subject, share (0 to 1).
        summary: columns state, class, mean, low, high: 95 % intervals; None for dots alone.
        theme: the page it is shown on.
    """
    classes, states = list(dict.fromkeys(shares["class"])), sorted(set(shares["state"]))
    offset = {c: 0.56 * ((i + 0.5) / len(classes) - 0.5) for i, c in enumerate(classes)}
    fig = go.Figure()
    for i, name in enumerate(classes):
        own = shares[shares["class"] == name]
        jitter = ((np.arange(len(own)) * 0.618034) % 1 - 0.5) * 0.4 / len(classes)
        fig.add_scatter(
            x=own["state"] + 1 + offset[name] + jitter, y=own["share"], mode="markers", name=str(name),
            marker={"size": 6, "color": faded(series_color(i, theme), 0.6), "symbol": SYMBOLS[i % len(SYMBOLS)]},
            hovertext=own["subject"], hovertemplate="%{hovertext}: %{y:.1%}<extra>" + str(name) + "</extra>",
        )  # fmt: skip
        if summary is not None:
            rows = summary[summary["class"] == name]
            bars = interval(rows["mean"], rows["low"], rows["high"], thickness=2.5, color=INK[theme])
            fig.add_scatter(
                x=rows["state"] + 1 + offset[name], y=rows["mean"], mode="markers", error_y=bars, showlegend=False,
                marker={"symbol": "line-ew", "size": 20, "line": {"width": 2.5, "color": INK[theme]}}, name="mean",
                customdata=rows[["low", "high"]],
                hovertemplate="mean %{y:.1%} (%{customdata[0]:.1%} to %{customdata[1]:.1%})<extra></extra>",
            )  # fmt: skip
    for left in states[:-1]:
        fig.add_vline(x=left + 1.5, line={"color": LINE[theme], "width": 1})
    fig.update_xaxes(tickvals=[s + 1 for s in states], ticktext=[f"state {s + 1}" for s in states], showgrid=False,
                     ticks="", range=[states[0] + 0.5, states[-1] + 1.5])  # fmt: skip
    fig.update_yaxes(title="share of time", tickformat=".0%", rangemode="tozero", nticks=6)
    fig.update_layout(legend={"orientation": "h", "y": 1, "yanchor": "bottom", "x": 0}, margin={"t": 44, "l": 72})
    if summary is not None:
        text = "a dot a subject · bar: mean with 95 % interval"
        fig.add_annotation(note(text, theme, x=1, y=1, xanchor="right", yanchor="bottom", yshift=6))
    return finish(fig, theme, alt=f"Share of time in {len(states)} states by class, a dot a subject.", height=380)
