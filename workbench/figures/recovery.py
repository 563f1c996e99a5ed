"""How well methods find planted networks: a table with intervals, and the maps themselves beside the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.figures.edges import Regions
from workbench.figures.state_patterns import brain_panels
from workbench.figures.theme import DIVERGING, INK, MUTED, VIRIDIS, Theme, colorbar, finish, listed, note

TRUTH = "truth"
MOST_ROWS = 12


def recovery_table(
    table: pd.DataFrame,
    *,
    metric: str = "|r| with the truth",
    limits: tuple[float, float] = (0, 1),
    theme: Theme = "light",
) -> go.Figure:
    """Draw methods by kinds of sources: the mean as colour and number with its interval, the best of a column in bold.

    Args:
        table: columns method, sources, mean, low, high (95 % intervals); larger is better.
        metric: what is measured.
        limits: values at the ends of the colours.
        theme: the page it is shown on.
    """
    methods, kinds = list(dict.fromkeys(table["method"])), list(dict.fromkeys(table["sources"]))
    if not methods:
        raise ValueError("there is no method to draw; the table has no rows")
    cells = table.set_index(["method", "sources"])
    z = np.array([[_value(cells, m, k) for k in kinds] for m in methods], float)
    fig = go.Figure(go.Heatmap(
        z=z, x=np.arange(len(kinds)), y=np.arange(len(methods)), zmin=limits[0], zmax=limits[1], colorscale=VIRIDIS,
        colorbar=colorbar(theme, metric), xgap=3, ygap=3, hoverongaps=False, hoverinfo="skip",
    ))  # fmt: skip
    best = {k: methods[int(np.nanargmax(z[:, j]))] for j, k in enumerate(kinds) if np.isfinite(z[:, j]).any()}
    for i, method in enumerate(methods):
        for j, kind in enumerate(kinds):
            if np.isfinite(z[i, j]):
                row = cells.loc[(method, kind)]
                mean = f"{row['mean']:.2f}"
                mean = f"<b>{mean}</b>" if best.get(kind) == method else mean
                share = (z[i, j] - limits[0]) / ((limits[1] - limits[0]) or 1.0)
                fig.add_annotation(
                    x=j, y=i, showarrow=False, text=f"{mean}<br><sup>{row['low']:.2f} to {row['high']:.2f}</sup>",
                    font={"size": 15, "color": "#FFFFFF" if share < 0.62 else "#111418"},
                )  # fmt: skip
    fig.update_xaxes(tickvals=list(range(len(kinds))), ticktext=kinds, side="top", showgrid=False, ticks="",
                     showline=False, tickfont={"size": 13, "color": INK[theme]})  # fmt: skip
    fig.update_yaxes(tickvals=list(range(len(methods))), ticktext=methods, range=[len(methods) - 0.5, -0.5], ticks="",
                     showgrid=False, showline=False, tickfont={"size": 13, "color": INK[theme]})  # fmt: skip
    text = "mean with 95 % interval beneath · bold: best of its column"
    fig.add_annotation(note(text, theme, y=0, yanchor="top", yshift=-6))
    fig.update_layout(margin={"t": 40, "b": 36, "l": 84})
    alt = f"{metric} of {listed(methods)} on {listed(kinds)} sources, with intervals."
    return finish(fig, theme, alt=alt, height=64 * len(methods) + 96)


def _value(cells: pd.DataFrame, method: str, kind: str) -> float:
    return float(cells["mean"].get((method, kind), np.nan))


def matched_maps(
    maps: Mapping[str, np.ndarray],
    correlations: Mapping[str, np.ndarray],
    *,
    names: Sequence[str] = (),
    theme: Theme = "light",
) -> go.Figure:
    """Draw each source as a method found it beside the truth, with its correlation: RBM | ICA | truth.

    A map's colours span its own largest |value|; signs are those of the match, so turn a map before where r was < 0.

    Args:
        maps: method → (K, rows, columns) pictures, matched to the truth's order; ``"truth"`` is drawn last.
        correlations: method → (K,) r with the truth.
        names: (K,) of the sources; empty counts from 1.
        theme: the page it is shown on.
    """
    methods, n = _columns(maps), len(next(iter(maps.values())))
    k = min(n, MOST_ROWS)
    height = 560 // len(methods)
    fig = make_subplots(k, len(methods), horizontal_spacing=0.02, vertical_spacing=0.16 / k, subplot_titles=methods)
    fig.update_annotations(font={"size": 14, "color": INK[theme]}, yshift=20)
    for column, method in enumerate(methods, 1):
        for row in range(k):
            picture = np.asarray(maps[method][row], np.float32)
            largest = float(np.nanmax(np.abs(picture), initial=0.0)) or 1.0
            fig.add_heatmap(
                z=picture / largest, zmin=-1, zmax=1, colorscale=DIVERGING[theme], showscale=False, hoverongaps=False,
                customdata=picture, hovertemplate="%{customdata:.3g}<extra></extra>", row=row + 1, col=column,
            )  # fmt: skip
            number = row * len(methods) + column
            suffix = "" if number == 1 else str(number)
            text = (
                names[row] if method == TRUTH and len(names) else _r(correlations, method, row) or f"source {row + 1}"
            )
            fig.add_annotation(x=0, y=1, xref=f"x{suffix} domain", yref=f"y{suffix} domain", text=text, showarrow=False,
                               xanchor="left", yanchor="bottom", font={"size": 12, "color": MUTED[theme]})  # fmt: skip
            fig.update_yaxes(scaleanchor=f"x{suffix}", row=row + 1, col=column)
    fig.update_xaxes(visible=False, constrain="domain").update_yaxes(visible=False, constrain="domain")
    fig.update_layout(margin={"t": 56, "b": 30, "l": 8, "r": 8})
    told = "colours: blue negative, orange positive, each map to its own largest |value|"
    told += f" · the first {k} of {n}" if k < n else ""
    fig.add_annotation(note(told, theme, y=0, yanchor="top", yshift=-6))
    alt = f"{k} sources as found by {listed(methods)}, with their correlations."
    return finish(fig, theme, alt=alt, height=height * k + 96)


def matched_networks(
    maps: Mapping[str, np.ndarray],
    correlations: Mapping[str, np.ndarray],
    regions: Regions,
    *,
    names: Sequence[str] = (),
    theme: Theme = "light",
) -> go.Figure:
    """Draw the same on glass brains, for maps over regions.

    Args:
        maps: method → (K, R), matched to the truth's order; ``"truth"`` is drawn last.
        correlations: method → (K,) r with the truth.
        regions: with coordinates.
        names: (K,) of the sources; empty counts from 1.
        theme: the page it is shown on.
    """
    methods = _columns(maps)
    n = len(maps[methods[0]])
    k = min(n, MOST_ROWS)
    panels, titles = [], []
    for row in range(k):
        source = names[row] if len(names) else f"source {row + 1}"
        for method in methods:
            values = np.asarray(maps[method][row], float)
            panels.append(values / (float(np.nanmax(np.abs(values), initial=0.0)) or 1.0))
            said = _r(correlations, method, row)
            titles.append(f"{method} · {said}" if said else f"{method} · {source}")
    unit = "value ÷ largest |value|"
    fig = brain_panels(np.stack(panels), regions, (titles, len(methods)), quantity=unit, limit=1.0, theme=theme)
    fig.layout.meta = fig.layout.meta | {"alt": f"{k} planted networks as found by {listed(methods)}, on glass brains."}
    return fig


def _columns(maps: Mapping[str, np.ndarray]) -> list[str]:
    if len({len(m) for m in maps.values()}) != 1:
        raise ValueError("every method needs as many maps as the others, in the truth's order")
    return [m for m in maps if m != TRUTH] + ([TRUTH] if TRUTH in maps else [])


def _r(correlations: Mapping[str, np.ndarray], method: str, row: int) -> str:
    return f"r {correlations[method][row]:.2f}" if method in correlations else ""
