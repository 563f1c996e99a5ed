"""Scores of several runs: every subject a dot, the mean with its interval, chance and a baseline as lines."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.figures.theme import INK, MUTED, SYMBOLS, Theme, faded, finish, interval, listed, note, series_color


def compare_scores(
    cases: pd.DataFrame,
    summary: pd.DataFrame | None = None,
    *,
    titles: Mapping[str, str] | None = None,
    lines: Mapping[str, Mapping[str, float]] | None = None,
    theme: Theme = "light",
) -> go.Figure:
    """Draw a panel a score and a row a run.

    Args:
        cases: columns run, subject, score, value; one row a subject.
        summary: columns run, score, mean, low, high: 95 % intervals drawn as bars; None for dots alone.
        titles: score → axis title with its unit.
        lines: score → what a vertical line stands for (``"chance"``, ``"baseline"``) → where it is.
        theme: the page it is shown on.
    """
    runs, scores = (list(dict.fromkeys(cases[c])) for c in ("run", "score"))
    if not runs:
        raise ValueError("there are no scores to draw; cases has no rows")
    fig = make_subplots(1, len(scores), shared_yaxes=True, horizontal_spacing=0.05)
    for column, score in enumerate(scores, 1):
        for at, run in enumerate(runs):
            found = cases[(cases["run"] == run) & (cases["score"] == score)].dropna(subset=["value"])
            _dots(fig, found, run, at, column, theme)
            if summary is not None:
                _mean(fig, summary[(summary["run"] == run) & (summary["score"] == score)], at, column, theme)
        for text, x in (lines or {}).get(score, {}).items():
            style = {"color": MUTED[theme], "width": 1.5, "dash": "dot"}
            name = {"text": text, "font": {"size": 11, "color": MUTED[theme]}, "yshift": 12, "showarrow": False}
            fig.add_vline(x=x, line=style, annotation=name, row=1, col=column)
        fig.update_xaxes(title=(titles or {}).get(score, score.replace("_", " ")), nticks=6, row=1, col=column)
    fig.update_yaxes(range=[len(runs) - 0.5, -0.5], showgrid=False, ticks="")
    fig.update_yaxes(tickvals=list(range(len(runs))), ticktext=runs, col=1)
    if summary is not None:
        fig.add_annotation(
            note("dots: subjects · bar: mean with 95 % interval", theme, y=1, yanchor="bottom", yshift=18)
        )
    fig.update_layout(margin={"t": 52})
    return finish(
        fig, theme, alt=f"{listed(scores)} of {listed(runs)}, one dot a subject.", height=130 + 56 * len(runs)
    )


def _dots(fig: go.Figure, found: pd.DataFrame, run: str, at: int, column: int, theme: Theme) -> None:
    jitter = ((np.arange(len(found)) * 0.618034) % 1 - 0.5) * 0.36  # the golden ratio keeps neighbours apart
    fig.add_scatter(
        x=found["value"],
        y=at + jitter,
        mode="markers",
        marker={"size": 7, "symbol": SYMBOLS[at % len(SYMBOLS)], "color": faded(series_color(at, theme), 0.65)},
        name=run,
        hovertext=found["subject"],
        hovertemplate="%{hovertext}: %{x:.4g}<extra>" + run + "</extra>",
        showlegend=False,
        row=1,
        col=column,
    )


def _mean(fig: go.Figure, rows: pd.DataFrame, at: int, column: int, theme: Theme) -> None:
    for _, row in rows.iterrows():
        mean, low, high = float(row["mean"]), float(row["low"]), float(row["high"])
        fig.add_scatter(
            x=[mean],
            y=[at],
            mode="markers",
            showlegend=False,
            row=1,
            col=column,
            name="mean",
            marker={"symbol": "line-ns", "size": 18, "line": {"width": 2.5, "color": INK[theme]}},
            error_x=interval([mean], [low], [high], thickness=2.5, color=INK[theme]),
            hovertemplate=f"mean {mean:.4g} (95 % interval {low:.4g} to {high:.4g})<extra></extra>",
        )
