"""Scores of segmentations: a strip a structure with every subject in it, runs side by side, lesions by their size.

Means and intervals are given, not computed; only the difference of two dots of one subject is taken here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.figures.theme import (
    CATEGORICAL,
    INK,
    LINE,
    MUTED,
    SYMBOLS,
    Theme,
    faded,
    finish,
    interval,
    label_color,
    listed,
    note,
    series_color,
)

JITTER = 0.3
LESION_LOOK = {"found": (2, ""), "missed": (3, "/"), "false": (1, "x")}
"""What became of a lesion → its color among the categories, and a hatch that tells it without color."""


def score_strips(
    cases: pd.DataFrame,
    summary: pd.DataFrame | None = None,
    *,
    title: str = "Dice",
    best: float | None = None,
    marked: str = "",
    theme: Theme = "light",
) -> go.Figure:
    """Draw one score: a strip a structure, every subject a dot in front of the box of its quartiles.

    Args:
        cases: columns structure, subject, value; one row a subject and structure, NaN where it has no meaning.
        summary: columns structure, mean, low, high (95 % intervals); None for dots and boxes alone.
        title: of the score, with its unit.
        best: the value of a perfect segmentation, drawn as a line.
        marked: a subject whose dots are ringed.
        theme: the page it is shown on.
    """
    structures = list(dict.fromkeys(cases["structure"]))
    if not structures:
        raise ValueError("there are no scores to draw; cases has no rows")
    fig = go.Figure()
    subjects = list(dict.fromkeys(cases["subject"]))
    shift = {s: ((i * 0.618034) % 1 - 0.5) * JITTER for i, s in enumerate(subjects)}  # the same in every strip
    for at, structure in enumerate(structures):
        found = cases[cases["structure"] == structure].dropna(subset=["value"])
        color = label_color(at + 1)
        fig.add_box(y=found["value"], x=np.full(len(found), at), boxpoints=False, width=0.62, line_width=1,
                    line_color=LINE[theme], fillcolor=faded(color, 0.16), hoverinfo="skip",
                    showlegend=False)  # fmt: skip
        ringed = found["subject"] == marked
        fig.add_scatter(
            x=at + found["subject"].map(shift), y=found["value"], mode="markers", name=structure, showlegend=False,
            marker={"size": np.where(ringed, 12, 8), "color": faded(color, 0.85),
                    "line": {"width": np.where(ringed, 2.5, 0.8), "color": INK[theme]}},
            customdata=found["subject"], hovertemplate="%{customdata}: %{y:.4g}<extra>" + structure + "</extra>",
        )  # fmt: skip
        n_missing = int((cases["structure"] == structure).sum()) - len(found)
        if n_missing:
            fig.add_annotation(x=at, y=0, yref="paper", yanchor="bottom", text=f"{n_missing} without", showarrow=False,
                               font={"size": 11, "color": MUTED[theme]})  # fmt: skip
    if summary is not None:
        _bars(fig, summary, structures, theme)
    if best is not None:
        fig.add_hline(y=best, line={"color": MUTED[theme], "width": 1.3, "dash": "dot"})
    fig.update_xaxes(range=[-0.6, len(structures) - 0.4], tickvals=list(range(len(structures))), ticktext=structures,
                     showgrid=False, ticks="")  # fmt: skip
    fig.update_yaxes(title=title, nticks=7)
    words = "dots: subjects · box: quartiles" + ("" if summary is None else " · bar: mean with 95 % interval")
    fig.add_annotation(note(words, theme, x=1, xanchor="right", y=1, yanchor="bottom", yshift=4))
    return finish(fig, theme, alt=f"{title} of {listed(structures)} in {len(subjects)} subjects.", height=400)


def ablation(
    cases: pd.DataFrame,
    summary: pd.DataFrame,
    differences: pd.DataFrame,
    *,
    title: str = "Dice",
    theme: Theme = "light",
) -> go.Figure:
    """Draw runs side by side: the subjects of each, and subject by subject how far it is from the first.

    Args:
        cases: columns run, subject, value; the first run is what the others are compared with.
        summary: columns run, mean, low, high (95 % intervals).
        differences: the same columns of value − value of the first run in the same subject; no row for the first.
        title: of the score, with its unit.
        theme: the page it is shown on.
    """
    runs = list(dict.fromkeys(cases["run"]))
    if len(runs) < 2:
        raise ValueError(f"a comparison needs two runs with scores; got {runs}")
    fig = make_subplots(1, 2, shared_yaxes=True, horizontal_spacing=0.06, column_widths=[0.52, 0.48])
    wide = cases.pivot_table(index="subject", columns="run", values="value", sort=False)
    shift = ((np.arange(len(wide)) * 0.618034) % 1 - 0.5) * JITTER
    for at, run in enumerate(runs):
        paired = wide[run] - wide[runs[0]]
        for column, values in ((1, wide[run]), (2, paired)):
            if column == 2 and at == 0:
                continue
            fig.add_scatter(
                x=values, y=at + shift, mode="markers", name=run, showlegend=False, customdata=list(wide.index),
                marker={"size": 8, "symbol": SYMBOLS[at % len(SYMBOLS)], "color": faded(series_color(at, theme), 0.7)},
                hovertemplate="%{customdata}: %{x:.4g}<extra>" + run + "</extra>", row=1, col=column,
            )  # fmt: skip
    for column, table in ((1, summary), (2, differences)):
        rows = [(runs.index(r), m, low, high) for r, m, low, high in
                table[["run", "mean", "low", "high"]].itertuples(index=False) if r in runs]  # fmt: skip
        if not rows:
            continue
        places, mean, low, high = (list(v) for v in zip(*rows, strict=True))
        fig.add_scatter(x=mean, y=places, mode="markers", showlegend=False, name="mean", row=1, col=column,
                        marker={"symbol": "line-ns", "size": 20, "line": {"width": 2.5, "color": INK[theme]}},
                        error_x=interval(mean, low, high, thickness=2.5, color=INK[theme]),
                        customdata=np.stack([low, high], 1),
                        hovertemplate="mean %{x:.4g} (%{customdata[0]:.4g} to %{customdata[1]:.4g})<extra></extra>",
                        )  # fmt: skip
    fig.add_vline(x=0, line={"color": MUTED[theme], "width": 1.3, "dash": "dot"}, row=1, col=2)
    fig.update_yaxes(range=[len(runs) - 0.5, -0.5], showgrid=False, ticks="")
    fig.update_yaxes(tickvals=list(range(len(runs))), ticktext=runs, col=1)
    fig.update_xaxes(title=title, nticks=6, col=1).update_xaxes(title=f"difference from “{runs[0]}”", nticks=6, col=2)
    fig.add_annotation(note(f"dots: {len(wide)} subjects · bar: mean with 95 % interval", theme, y=1, yanchor="bottom"))
    alt = f"{title} of {listed(runs)} on {len(wide)} subjects, and their paired differences from {runs[0]}."
    return finish(fig, theme, alt=alt, height=140 + 64 * len(runs))


def lesion_sizes(bands: pd.DataFrame, *, theme: Theme = "light") -> go.Figure:
    """Draw how many lesions of each size were found and missed, and how many of those predicted are none.

    Args:
        bands: columns low_mm3, high_mm3 (infinite for the last), n_true, n_found, n_false; smallest first.
        theme: the page it is shown on.
    """
    names = [_band(low, high) for low, high in zip(bands["low_mm3"], bands["high_mm3"], strict=True)]
    counts = {"found": bands["n_found"], "missed": bands["n_true"] - bands["n_found"], "false": bands["n_false"]}
    fig = go.Figure()
    for what, values in counts.items():
        color, hatch = CATEGORICAL[theme][LESION_LOOK[what][0]], LESION_LOOK[what][1]
        pattern = {"shape": hatch, "size": 6, "fillmode": "overlay", "fgcolor": INK[theme]}
        fig.add_bar(
            x=names, y=values, name=what, text=[f"{v:.0f}" if v else "" for v in values], textposition="auto",
            marker={"color": faded(color, 0.9), "pattern": pattern},
            offsetgroup="false" if what == "false" else "true", hovertemplate=f"%{{y}} {what}<extra>%{{x}}</extra>",
        )  # fmt: skip
    fig.update_layout(barmode="stack", bargap=0.3, legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"})
    fig.update_xaxes(title="volume of the lesion, mm³", type="category", showgrid=False)
    fig.update_yaxes(title="lesions", nticks=6, rangemode="tozero")
    told = ", ".join(f"{int(v.sum())} {w}" for w, v in counts.items())
    return finish(fig, theme, alt=f"Lesions by volume: {told}.", height=360)


def _bars(fig: go.Figure, summary: pd.DataFrame, structures: Sequence[str], theme: Theme) -> None:
    rows = [(structures.index(s), m, low, high) for s, m, low, high in
            summary[["structure", "mean", "low", "high"]].itertuples(index=False) if s in structures]  # fmt: skip
    at, mean, low, high = (np.asarray(v, float) for v in zip(*rows, strict=True)) if rows else (np.zeros(0),) * 4
    fig.add_scatter(
        x=at + 0.4, y=mean, mode="markers", showlegend=False, name="mean", customdata=np.stack([low, high], 1),
        marker={"symbol": "line-ew", "size": 14, "line": {"width": 2.5, "color": INK[theme]}},
        error_y=interval(mean, low, high, thickness=2.5, color=INK[theme]),
        hovertemplate="mean %{y:.4g} (95 % interval %{customdata[0]:.4g} to %{customdata[1]:.4g})<extra></extra>",
    )  # fmt: skip


def _band(low: float, high: float) -> str:
    if not np.isfinite(high):
        return f"from {low:,.0f}"
    return f"below {high:,.0f}" if low <= 0 else f"{low:,.0f}–{high:,.0f}"
