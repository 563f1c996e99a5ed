"""How far a classifier can be believed: are its probabilities true, and what does it take for what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.figures.theme import (
    DASHES,
    INK,
    LINE,
    MUTED,
    PAPER,
    PRIMARY,
    SYMBOLS,
    Theme,
    colorbar,
    faded,
    finish,
    interval,
    listed,
    mix,
    note,
    series_color,
)


def reliability_curve(
    bins: Mapping[str, pd.DataFrame], *, errors: Mapping[str, float] | None = None, theme: Theme = "light"
) -> go.Figure:
    """Draw how often a class is right against how probable the model held it, and how many cases each bin has.

    Args:
        bins: model → columns predicted (mean probability of the bin), observed (share that was right), low, high (95 %
            interval of the share), count.
        errors: model → expected calibration error, a fraction written beside its name.
        theme: the page it is shown on.
    """
    if not bins:
        raise ValueError("there is no model to draw; give the bins of at least one")
    fig = make_subplots(2, 1, shared_xaxes=True, vertical_spacing=0.05, row_heights=[0.74, 0.26])
    fig.add_scatter(x=[0, 1], y=[0, 1], mode="lines", name="as probable as said", hoverinfo="skip", row=1, col=1,
                    line={"color": MUTED[theme], "width": 1.3, "dash": "dot"})  # fmt: skip
    for index, (name, table) in enumerate(bins.items()):
        rows, color = table[table["count"] > 0], series_color(index, theme)
        label = name if errors is None or name not in errors else f"{name}, calibration error {errors[name]:.3f}"
        fig.add_scatter(x=rows["predicted"], y=rows["observed"], mode="lines+markers", name=label, legendgroup=name,
                        line={"color": color, "width": 2, "dash": DASHES[index % len(DASHES)]},
                        marker={"size": 8, "symbol": SYMBOLS[index % 8]}, customdata=rows["count"], row=1, col=1,
                        error_y=interval(rows["observed"], rows["low"], rows["high"], thickness=1.3,
                                         color=faded(color, 0.6)),
                        hovertemplate="said %{x:.2f}, right %{y:.2f}, %{customdata} cases<extra></extra>")  # fmt: skip
        fig.add_bar(x=rows["predicted"], y=rows["count"], name=label, legendgroup=name, showlegend=False, row=2, col=1,
                    marker={"color": faded(color, 0.75), "line": {"width": 0}}, width=0.7 / (10 * len(bins)),
                    offset=(index - len(bins) / 2) * 0.7 / (10 * len(bins)),
                    hovertemplate="%{y} cases<extra></extra>")  # fmt: skip
    fig.update_xaxes(range=[-0.02, 1.02], nticks=6).update_xaxes(title="predicted probability, fraction", row=2, col=1)
    fig.update_yaxes(range=[-0.03, 1.03], title="observed share,<br>fraction", row=1, col=1)
    fig.update_yaxes(title="cases", nticks=3, row=2, col=1)
    fig.update_layout(legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}, margin={"t": 48, "l": 76})
    alt = f"Reliability of {listed(list(bins))}: observed share of right answers against predicted probability."
    return finish(fig, theme, alt=alt, height=500)


def confusion(counts: np.ndarray, names: Sequence[str], *, theme: Theme = "light") -> go.Figure:
    """Draw a confusion matrix: a row a true class, coloured by its share, with the number of cases written in.

    Args:
        counts: (K, K) cases; rows true, columns predicted.
        names: (K,) of the classes.
        theme: the page it is shown on.
    """
    table = np.asarray(counts)
    if table.shape != (len(names), len(names)):
        raise ValueError(f"counts are {table.shape}; expected a row and a column for each of {len(names)} names")
    share = table / np.maximum(table.sum(1, keepdims=True), 1)
    deep = PRIMARY[theme] if theme == "light" else mix(PRIMARY[theme], PAPER[theme], 0.25)
    fig = go.Figure()
    fig.add_heatmap(
        z=share, x=list(range(len(names))), y=list(range(len(names))), zmin=0, zmax=1, xgap=3, ygap=3,
        colorscale=[(0, mix(deep, PAPER[theme], 0.93)), (1, deep)], customdata=table,
        colorbar=colorbar(theme, "share of the true class", tickformat=".0%"),
        hovertemplate="true %{y}, predicted %{x}: %{customdata} cases, %{z:.1%}<extra></extra>",
    )  # fmt: skip
    for (row, column), count in np.ndenumerate(table):
        dark = (share[row, column] > 0.5) == (theme == "light")
        color = "#FFFFFF" if dark else "#10151D" if theme == "dark" and share[row, column] > 0.5 else INK[theme]
        text = f"<b>{count:,}</b>" if row == column else f"{count:,}"
        if len(names) <= 6:
            text += f"<br><span style='font-size:11px'>{share[row, column]:.0%}</span>"
        fig.add_annotation(x=column, y=row, text=text, showarrow=False, font={"size": 14, "color": color})
    bare = {"showgrid": False, "showline": False, "ticks": "", "constrain": "domain"}
    ticks = {"tickvals": list(range(len(names))), "ticktext": list(names)}
    fig.update_xaxes(title="predicted", side="bottom", range=[-0.5, len(names) - 0.5], **bare, **ticks)
    fig.update_yaxes(title="true", range=[len(names) - 0.5, -0.5], scaleanchor="x", **bare, **ticks)
    right = int(np.trace(table))
    text = f"{right:,} of {int(table.sum()):,} right ({right / max(int(table.sum()), 1):.1%})"
    fig.add_annotation(note(text, theme, x=0.5, y=1, xanchor="center", yanchor="bottom", yshift=4))
    fig.update_layout(margin={"t": 34, "l": 90})
    return finish(fig, theme, alt=f"Confusion matrix of {listed(list(names))}: {text}.",
                  height=130 + int(np.clip(86 * len(names), 200, 560)))  # fmt: skip


def ranked_bars(
    values: Sequence[float],
    names: Sequence[str],
    *,
    title: str,
    most: int = 20,
    low: Sequence[float] | None = None,
    high: Sequence[float] | None = None,
    theme: Theme = "light",
) -> go.Figure:
    """Draw the strongest of signed values as bars about zero, such as the units that speak for a class.

    Args:
        values: (n,) signed.
        names: (n,) what they belong to.
        title: of the axis, with its unit.
        most: how many of the largest |value| are drawn.
        low, high: (n,) ends of intervals.
        theme: the page it is shown on.
    """
    value = np.asarray(values, float)
    kept = np.argsort(-np.abs(value), kind="stable")[:most]
    kept = kept[np.argsort(-value[kept], kind="stable")]
    bars = None
    if low is not None and high is not None:
        bars = interval(value[kept], np.asarray(low, float)[kept], np.asarray(high, float)[kept], color=INK[theme])
    positive, negative = ("#D9731A", "#2F7FBF") if theme == "light" else ("#F7A55B", "#63B3EE")
    fig = go.Figure()
    fig.add_bar(x=value[kept], y=[str(names[i]) for i in kept], orientation="h", error_x=bars, showlegend=False,
                marker={"color": [positive if v >= 0 else negative for v in value[kept]]},
                hovertemplate="%{y}: %{x:.4g}<extra></extra>")  # fmt: skip
    fig.add_vline(x=0, line={"color": LINE[theme], "width": 1})
    fig.update_xaxes(title=title).update_yaxes(autorange="reversed", showgrid=False, ticks="", type="category")
    fig.update_layout(bargap=0.25, margin={"t": 12, "l": 90})
    alt = f"{title}: the {len(kept)} largest of {len(value)}, from {names[kept[0]]} to {names[kept[-1]]}."
    return finish(fig, theme, alt=alt, height=90 + 22 * len(kept))
