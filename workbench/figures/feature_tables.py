"""What targets and feature tables hold: how many of each class, how one column is spread over the classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from workbench.figures.theme import PRIMARY, Theme, finish, listed, series_color

BAR_PX = 26
MOST_CLASSES = 8
"""Histograms of more classes than colours cannot be told apart; the rest are drawn as one."""


def class_bars(counts: Mapping[str, int], *, theme: Theme = "light") -> go.Figure:
    """Draw how many examples each class has, one bar a class with its number.

    Args:
        counts: class → number; in the order in which they are drawn.
        theme: the page it is shown on.
    """
    names, numbers = list(counts), list(counts.values())
    fig = go.Figure()
    fig.add_bar(
        x=numbers,
        y=names,
        orientation="h",
        marker={"color": PRIMARY[theme]},
        text=[f"{n:,}" for n in numbers],
        textposition="outside",
        cliponaxis=False,
        hovertemplate="%{y}: %{x:,}<extra></extra>",
    )
    fig.update_yaxes(type="category", autorange="reversed", showgrid=False, ticks="")
    fig.update_xaxes(title="examples", rangemode="tozero", nticks=6)
    fig.update_layout(bargap=0.25, margin={"t": 12, "r": 56})
    alt = f"Examples by class: {listed([f'{n} {k:,}' for n, k in counts.items()], 12)}."
    return finish(fig, theme, alt=alt, height=BAR_PX * max(3, len(names)) + 66)


def column_histograms(
    values: np.ndarray, classes: Sequence[str], *, name: str, n_bins: int = 30, theme: Theme = "light"
) -> go.Figure:
    """Draw how one column is spread, as shares of each class.

    Args:
        values: (N,), NaN where a cell is empty.
        classes: (N,) the class of each row; all empty for none.
        name: of the column, with its unit if known.
        n_bins: of the histogram, over the range of all values.
        theme: the page it is shown on.
    """
    known = np.isfinite(values)
    if not known.any():
        raise ValueError("a histogram needs at least one number")
    low, high = float(values[known].min()), float(values[known].max())
    edges = np.linspace(low, high if high > low else low + 1, n_bins + 1)
    middle = (edges[:-1] + edges[1:]) / 2
    names = list(dict.fromkeys(classes))
    drawn = names if len(names) <= MOST_CLASSES else []
    fig = go.Figure()
    for i, one in enumerate(drawn or ["all"]):
        mine = known & (np.array([c == one for c in classes]) if drawn else True)
        counts, _ = np.histogram(values[mine], edges)
        fig.add_scatter(
            x=middle,
            y=counts / max(1, counts.sum()),
            mode="lines",
            line={"shape": "hvh", "width": 2, "color": series_color(i, theme)},
            name=f"{one or 'all'} ({int(mine.sum()):,})",
            hovertemplate="%{x:.4g}: %{y:.1%}<extra>" + (one or "all") + "</extra>",
            showlegend=True,
        )
    fig.update_xaxes(title=name, showgrid=False)
    fig.update_yaxes(
        title="share of the class", tickformat=".0%", rangemode="tozero", nticks=5, showline=False, ticks=""
    )
    fig.update_layout(legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}, margin={"t": 44})
    alt = f"Histogram of {name}" + (f" of {listed(drawn)}." if any(drawn) else ".")
    return finish(fig, theme, alt=alt, height=300)
