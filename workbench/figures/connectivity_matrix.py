"""Functional connectivity as a matrix ordered by network (Section 3.5: Pearson's r, Fisher's z)."""

from __future__ import annotations

from itertools import groupby

import numpy as np
import plotly.graph_objects as go

from workbench.figures.edges import UNNAMED, Regions, network_colors, network_order, shown_edges
from workbench.figures.theme import DIVERGING, LINE, Theme, colorbar, finish, note

MOST_NAMED, MOST_TOLD = 40, 150
"""Regions up to which all names are written, and up to which the pointer tells them (a page holds each pair)."""
BAR, GAP = 0.022, 0.006
"""Width of the bars of networks and their distance from the matrix, in shares of its side."""
SIDE_PX = 520


def connectivity_matrix(
    matrix: np.ndarray,
    regions: Regions,
    *,
    quantity: str = "r",
    density: float | None = None,
    value: float | None = None,
    limit: float | None = None,
    theme: Theme = "light",
) -> go.Figure:
    """Draw a matrix with bars for the networks; the diagonal is masked, so that it does not eat up the colours.

    Args:
        matrix: (R, R), symmetric.
        regions: rows are sorted by their networks.
        quantity: what a cell holds, ``"r"`` or ``"Fisher z"``: the title of the colour bar.
        density: show this share of the connections, the strongest by |value|; the others are left open.
        value: show connections of at least this |value|.
        limit: |value| at the ends of the colours; None for the 99.5th percentile of |value|.
        theme: the page it is shown on.
    """
    n = len(regions.names)
    if matrix.shape != (n, n):
        raise ValueError(f"there are {n} regions but the matrix is {matrix.shape}")
    order = network_order(regions)
    edges = shown_edges(matrix, density, value)
    masked = _cells(matrix, edges.first, edges.second, whole=density is None and value is None)[np.ix_(order, order)]
    off_diagonal = np.abs(matrix[~np.eye(n, dtype=bool)])
    span = limit or float(np.nanpercentile(off_diagonal, 99.5) if np.isfinite(off_diagonal).any() else 1.0) or 1.0
    names = [str(regions.names[i]) for i in order]
    fig = go.Figure(
        go.Heatmap(
            z=masked.astype(np.float32), x=np.arange(n), y=np.arange(n), zmin=-span, zmid=0, zmax=span,
            colorscale=DIVERGING[theme], colorbar=_bar(theme, quantity), hoverongaps=False,
            customdata=_pairs(names) if n <= MOST_TOLD else None,
            hovertemplate=("%{customdata}" if n <= MOST_TOLD else "row %{y}, column %{x}")
            + f"<br>{quantity} %{{z:.3f}}<extra></extra>",
        )
    )  # fmt: skip
    groups = [regions.groups[i] for i in order]
    _bars(fig, groups, theme)
    _ticks(fig, names, groups)
    if density is not None or value is not None:
        share = f"the strongest {len(edges.value) / max(n * (n - 1) // 2, 1):.1%} of connections"
        text = (
            f"{share if value is None else f'|{quantity}| ≥ {value:g}'} ({len(edges.value):,} of {n * (n - 1) // 2:,})"
        )
        fig.add_annotation(note(text, theme, y=1, yanchor="bottom", yshift=6))
    fig.update_layout(margin={"t": 36, "l": 40, "r": 24, "b": 40})
    alt = f"Matrix of {quantity}, {n} regions in {len(set(groups))} networks, orange positive, blue negative."
    return finish(fig, theme, alt=alt, height=SIDE_PX + 130)


def _cells(matrix: np.ndarray, first: np.ndarray, second: np.ndarray, *, whole: bool) -> np.ndarray:
    """Give the matrix with NaN on the diagonal and wherever no edge is shown."""
    shown = np.asarray(matrix, float).copy()
    if not whole:
        keep = np.zeros(shown.shape, bool)
        keep[first, second] = keep[second, first] = True
        shown[~keep] = np.nan
    np.fill_diagonal(shown, np.nan)
    return shown


def _bar(theme: Theme, quantity: str) -> dict[str, object]:
    bar = colorbar(theme, quantity, len=1.0, x=1.0, xpad=6)
    return bar | {"title": {"text": quantity, "side": "top", "font": {"size": 13}}}


def _pairs(names: list[str]) -> list[list[str]]:
    return [[f"{row} – {column}" for column in names] for row in names]


def _bars(fig: go.Figure, groups: list[str], theme: Theme) -> None:
    n, colors = len(groups), network_colors(groups, theme)
    low, high = -0.5 - (BAR + GAP) * n, -0.5 - GAP * n
    drawn = {"type": "rect", "xref": "x", "yref": "y", "line": {"width": 0}}
    fig.update_xaxes(range=[low, n - 0.5], constrain="domain", showgrid=False, ticks="", showline=False)
    fig.update_yaxes(
        range=[n - 0.5, low], scaleanchor="x", constrain="domain", showgrid=False, ticks="", showline=False
    )
    if set(groups) == {UNNAMED}:
        fig.update_xaxes(range=[-0.5, n - 0.5]).update_yaxes(range=[n - 0.5, -0.5])
        return
    for name, start, end in runs(groups):
        color = colors[name]
        for box in ({"x0": start - 0.5, "x1": end + 0.5, "y0": low, "y1": high},
                    {"y0": start - 0.5, "y1": end + 0.5, "x0": low, "x1": high}):  # fmt: skip
            fig.add_shape({**drawn, **box, "fillcolor": color})
        if end < n - 1:
            line = {"type": "line", "line": {"color": LINE[theme], "width": 1}}
            fig.add_shape(line | {"x0": end + 0.5, "x1": end + 0.5, "y0": -0.5, "y1": n - 0.5})
            fig.add_shape(line | {"y0": end + 0.5, "y1": end + 0.5, "x0": -0.5, "x1": n - 0.5})


def runs(groups: list[str]) -> list[tuple[str, int, int]]:
    """Give (name, first, last) of each run of equal names."""
    found, at = [], 0
    for name, members in groupby(groups):
        length = len(list(members))
        found.append((name, at, at + length - 1))
        at += length
    return found


def _ticks(fig: go.Figure, names: list[str], groups: list[str]) -> None:
    """Write every region where there is room, otherwise the networks, each where its own block has room."""
    n, turned = len(names), -90
    if n <= MOST_NAMED:
        at, text = list(range(n)), names
    elif set(groups) == {UNNAMED}:
        at = list(range(0, n, max(1, n // MOST_NAMED)))
        text = [names[i] for i in at]
    else:
        wide = [(name, a, b) for name, a, b in runs(groups) if (b - a + 1) * SIDE_PX / n >= 13]
        at, text, turned = [(a + b) // 2 for _, a, b in wide], [name for name, *_ in wide], -40
    ticks = {"tickvals": at, "ticktext": [t if len(t) <= 24 else t[:23] + "…" for t in text], "tickfont": {"size": 11}}
    fig.update_xaxes(**ticks, tickangle=turned).update_yaxes(**ticks)
