"""Rows of numbers as strips of colour: examples of tables, weights onto their columns, means of classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.figures.theme import DIVERGING, MUTED, Theme, colorbar_above, finish

ROW_PX, LEAST_PX, MOST_PX = 18, 60, 620
WORDS = "standard deviations from the mean of the column"
MAX_NAMED, MOST_NAMED = 64, 20_000
"""Beyond so many columns only some have their names written, and beyond so many cells none under the pointer."""


@dataclass(frozen=True, eq=False)
class Strips:
    """One panel.

    Attributes:
        title: above it.
        values: (n, V).
        rows: (n,) names; None counts from 1.
    """

    title: str
    values: np.ndarray
    rows: Sequence[str] | None = None


def value_strips(
    panels: Sequence[Strips],
    columns: Sequence[str] = (),
    *,
    reference: np.ndarray | None = None,
    unit: str = "value",
    theme: Theme = "light",
) -> go.Figure:
    """Draw rows of numbers beneath each other, so that columns of different units can be seen together.

    Colours are standard deviations from the mean of a column's reference; empty cells are left open.

    Args:
        panels: at least one; all share their columns and colours.
        columns: (V,) names; empty counts from 1.
        reference: (m, V) rows that say what is usual of a column; None for those of the first panel.
        unit: of the values.
        theme: the page it is shown on.
    """
    if not panels or len({p.values.shape[1:] for p in panels}) > 1 or panels[0].values.ndim != 2:
        raise ValueError("strips need panels of (n, V) with the same V")
    usual = np.asarray(panels[0].values if reference is None else reference, float)
    mean, spread = np.nanmean(usual, 0), np.nanstd(usual, 0)
    raw = [np.asarray(p.values, float) for p in panels]
    shown = [(values - mean) / np.where(spread > 0, spread, 1.0) for values in raw]
    finite = np.concatenate([np.abs(s[np.isfinite(s)]) for s in shown])
    limit = max(float(np.percentile(finite, 99)) if finite.size else 1.0, 1e-6)
    drawn = [Strips(p.title, s, p.rows) for p, s in zip(panels, shown, strict=True)]
    fig = _panels(drawn, columns, theme, hover=raw, unit=unit)
    fig.update_traces(zmin=-limit, zmid=0, zmax=limit, colorscale=DIVERGING[theme])
    fig.data[-1].update(showscale=True, colorbar=_bar(theme, WORDS, limit))
    titles = ", ".join(p.title for p in panels if p.title)
    alt = f"{titles or 'Rows of numbers'} as strips of colour, {raw[0].shape[1]} columns; colours are {WORDS}."
    return _finished(fig, panels, theme, alt)


def weight_strips(
    weights: np.ndarray,
    columns: Sequence[str] = (),
    *,
    units: Sequence[int] | None = None,
    title: str = "",
    scale: str = "each",
    theme: Theme = "light",
) -> go.Figure:
    """Draw a unit a row: its weight onto every column of a table, zero neutral.

    Args:
        weights: (n, V).
        columns: (V,) names; empty counts from 1.
        units: which rows of ``weights``, from the top down; None for all.
        title: above the panel.
        scale: ``"each"``: colours span each unit's largest absolute weight; ``"shared"``: the largest of all.
        theme: the page it is shown on.
    """
    chosen = np.arange(len(weights)) if units is None else np.asarray(units, int)
    if not len(chosen):
        raise ValueError("there is no unit to draw; give at least one")
    picked = np.asarray(weights, float)[chosen]
    largest = np.abs(picked).max(1, keepdims=True)
    span = np.where(largest > 0, largest, 1.0) if scale == "each" else np.full_like(largest, largest.max() or 1.0)
    panel = Strips(title, picked / span, [str(u) for u in chosen])
    fig = _panels([panel], columns, theme, hover=[picked], unit="weight", row_word="unit ")
    words = "weight ÷ largest |weight| of its unit" if scale == "each" else "weight ÷ largest |weight|"
    fig.update_traces(
        zmin=-1, zmid=0, zmax=1, colorscale=DIVERGING[theme], showscale=True, colorbar=_bar(theme, words, 1.0)
    )
    fig.update_yaxes(title="unit")
    alt = f"Weights of {len(chosen)} units onto {picked.shape[1]} columns, blue negative and orange positive."
    return _finished(fig, [panel], theme, alt)


def _panels(
    panels: Sequence[Strips],
    columns: Sequence[str],
    theme: Theme,
    *,
    hover: list[np.ndarray],
    unit: str,
    row_word: str = "",
) -> go.Figure:
    heights = [_height(len(p.values)) for p in panels]
    names = list(columns) or [str(i + 1) for i in range(panels[0].values.shape[1])]
    gap = 0.0 if len(panels) == 1 else min(34 / sum(heights), 1 / len(panels) / 2)
    titles = [p.title for p in panels] if any(p.title for p in panels) else None
    fig = make_subplots(
        len(panels), 1, shared_xaxes=True, vertical_spacing=gap, row_heights=heights, subplot_titles=titles
    )
    for number, (panel, raw) in enumerate(zip(panels, hover, strict=True), 1):
        rows = [str(r) for r in panel.rows] if panel.rows is not None else [str(i + 1) for i in range(len(raw))]
        text = [[f"{row_word}{row}, {name}" for name in names] for row in rows] if raw.size <= MOST_NAMED else None
        told = ("%{text}<br>" if text else "") + unit + " %{customdata:.4g}<extra></extra>"
        cells = {"z": panel.values.astype(np.float32), "customdata": raw.astype(np.float32), "text": text}
        look = {"hovertemplate": told, "showscale": False, "hoverongaps": False, "xgap": 0.5, "ygap": 0.5}
        fig.add_heatmap(**cells, **look, row=number, col=1)
        at = _some(len(rows), max(1, heights[number - 1] // 15))
        ticks = {"tickvals": at, "ticktext": [_short(rows[i]) for i in at], "ticks": ""}
        fig.update_yaxes(range=[len(rows) - 0.5, -0.5], showgrid=False, **ticks, row=number, col=1)
    at = _some(len(names), MAX_NAMED)
    fig.update_xaxes(range=[-0.5, len(names) - 0.5], showgrid=False, showticklabels=False)
    ticks = {"tickvals": at, "ticktext": [_short(names[i]) for i in at], "ticks": "", "tickfont": {"size": 10}}
    turn = -90 if len(names) > 12 else 0
    fig.update_xaxes(showticklabels=True, **ticks, tickangle=turn, row=len(panels), col=1)
    fig.update_annotations(font={"size": 13, "color": MUTED[theme]}, x=0, xanchor="left")
    return fig


def _finished(fig: go.Figure, panels: Sequence[Strips], theme: Theme, alt: str) -> go.Figure:
    top = 72
    fig.update_layout(margin={"t": top, "b": 96, "l": 84, "r": 16})
    height = sum(_height(len(p.values)) for p in panels) + 34 * (len(panels) - 1) + top + 110
    return finish(fig, theme, alt=alt, height=height)


def _bar(theme: Theme, title: str, limit: float) -> dict[str, object]:
    return colorbar_above(theme, title, 300, {-limit: f"−{limit:.2g}", 0.0: "0", limit: f"{limit:.2g}"})


def _height(n_rows: int) -> int:
    return int(np.clip(ROW_PX * n_rows, LEAST_PX, MOST_PX))


def _some(n: int, most: int) -> list[int]:
    return list(range(0, n, max(1, -(-n // most))))


def _short(name: str, most: int = 22) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"
