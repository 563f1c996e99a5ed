"""How training runs: the momentum and learning rate of each step, and whether every layer of a deep model lives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.figures.theme import (
    ACCENT,
    DASHES,
    LINE,
    MUTED,
    PRIMARY,
    SYMBOLS,
    Theme,
    faded,
    finish,
    listed,
    series_color,
)

LIFE = (("mean_abs_weight", "mean |W|"), ("sd_of_mu", "sd of μ over<br>cases"))


def momentum_schedule_figure(
    steps: Sequence[float],
    mu: Sequence[float] | Mapping[str, Sequence[float]],
    *,
    learning_rate: Sequence[float] | None = None,
    theme: Theme = "light",
) -> go.Figure:
    """Draw the momentum of every step, 0.9, 0.99 and 0.999 equally far apart (Section 2.6; Sutskever et al. 2013).

    Args:
        steps: (n,) training steps.
        mu: (n,) momentum, 0 ≤ μ < 1; or several schedules by name.
        learning_rate: (n,) drawn beneath when given.
        theme: the page it is shown on.
    """
    schedules = mu if isinstance(mu, Mapping) else {"momentum": mu}
    fig = make_subplots(1 if learning_rate is None else 2, 1, shared_xaxes=True, vertical_spacing=0.09)
    top = 0.0
    for index, (name, values) in enumerate(schedules.items()):
        value = np.asarray(values, float)
        if value.size and (value.min() < 0 or value.max() >= 1):
            raise ValueError(f"momentum must be at least 0 and below 1; {name} runs {value.min():g} to {value.max():g}")
        height = -np.log10(1 - value)
        top = max(top, float(height.max(initial=0.3)))
        fig.add_scatter(x=steps, y=height, mode="lines", name=name, customdata=value, row=1, col=1,
                        line={"shape": "hv", "width": 2, "color": series_color(index, theme),
                              "dash": DASHES[index % len(DASHES)]},
                        hovertemplate="μ = %{customdata:.4g} at step %{x:,.0f}<extra>" + name + "</extra>")  # fmt: skip
    marks = [m for m in (0, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999) if -np.log10(1 - m) <= top * 1.02 + 0.01]
    fig.update_yaxes(tickvals=[-np.log10(1 - m) for m in marks], ticktext=[f"{m:g}" for m in marks],
                     title="momentum μ<br>(scale of 1 − μ)", range=[-0.05, top * 1.06], row=1, col=1)  # fmt: skip
    if learning_rate is not None:
        fig.add_scatter(x=steps, y=learning_rate, mode="lines", name="learning rate", showlegend=False, row=2, col=1,
                        line={"color": ACCENT[theme], "width": 2}, hovertemplate="%{y:.3g}<extra></extra>")  # fmt: skip
        fig.update_yaxes(title="learning rate", rangemode="tozero", exponentformat="power", nticks=5, row=2, col=1)
    fig.update_xaxes(showgrid=False).update_xaxes(title="training step", row=1 if learning_rate is None else 2, col=1)
    fig.update_layout(showlegend=len(schedules) > 1, margin={"t": 40, "l": 84},
                      legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"})  # fmt: skip
    last = {name: float(np.asarray(v)[-1]) for name, v in schedules.items() if len(v)}
    ends = ", ".join(f"{name} ends at {value:.4g}" for name, value in last.items())
    height = 300 if learning_rate is None else 430
    return finish(fig, theme, alt=f"Momentum over training steps: {ends}.", height=height)


def layer_life(table: pd.DataFrame, *, dead: Sequence[str] = (), theme: Theme = "light") -> go.Figure:
    """Draw the mean |W| and the spread of the mean-field activations of each layer over training.

    A layer of a Boltzmann machine whose units answer alike to every case has died (Section 2.3.3): its weights may be
    large, but the standard deviation of its μ over cases is nearly 0.

    Args:
        table: columns step, layer, mean_abs_weight, sd_of_mu.
        dead: names of layers that are dead at the end; their lines are dotted and named so.
        theme: the page it is shown on.
    """
    layers = list(dict.fromkeys(table["layer"]))
    if not layers:
        raise ValueError("there is no layer to draw; the table has no rows")
    fig = make_subplots(1, 2, horizontal_spacing=0.12)
    for index, name in enumerate(layers):
        rows = table[table["layer"] == name].sort_values("step")
        gone = name in dead
        color = faded(MUTED[theme], 0.9) if gone else series_color(index, theme)
        for column, (quantity, _) in enumerate(LIFE, 1):
            fig.add_scatter(
                x=rows["step"], y=rows[quantity], mode="lines+markers" if len(rows) < 30 else "lines",
                name=f"{name}, dead" if gone else name, legendgroup=name, showlegend=column == 1, row=1, col=column,
                line={"color": color, "width": 2.2, "dash": "dot" if gone else DASHES[index % len(DASHES)]},
                marker={"size": 6, "symbol": "x" if gone else SYMBOLS[index % 8]},
                hovertemplate=f"{name}: %{{y:.3g}} at step %{{x:,.0f}}<extra></extra>",
            )  # fmt: skip
    for column, (_, title) in enumerate(LIFE, 1):
        fig.update_yaxes(title=title, rangemode="tozero", nticks=5, row=1, col=column)
    fig.update_xaxes(title="training step", showgrid=False, nticks=6)
    fig.update_layout(legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}, margin={"t": 48, "l": 84})
    state = f"{listed(list(dead))} dead at the end" if dead else "none dead at the end"
    return finish(fig, theme, alt=f"Life of layers {listed(layers)}: mean |W| and spread of μ; {state}.", height=340)


def weight_histograms(
    layers: Mapping[str, Sequence[float]], *, title: str = "weight", theme: Theme = "light"
) -> go.Figure:
    """Draw how the weights (or biases) of each layer are distributed, a panel a layer.

    Args:
        layers: name → values, of any shape.
        title: of the horizontal axes.
        theme: the page it is shown on.
    """
    if not layers:
        raise ValueError("there is no layer to draw; give at least one")
    flats = [np.asarray(values, float).ravel() for values in layers.values()]
    small = f"<span style='font-size:12px;color:{MUTED[theme]}'>mean {{:.2g}}, sd {{:.2g}}</span>"
    titles = [f"{name} &nbsp;{small.format(v.mean(), v.std())}" for name, v in zip(layers, flats, strict=True)]
    fig = make_subplots(1, len(layers), horizontal_spacing=0.05, subplot_titles=titles)
    for column, flat in enumerate(flats, 1):
        counts, edges = np.histogram(flat, 50)
        middle = (edges[1:] + edges[:-1]) / 2
        fig.add_bar(x=middle, y=counts / max(flat.size, 1), width=np.diff(edges), row=1, col=column,
                    marker={"color": PRIMARY[theme], "line": {"width": 0}}, showlegend=False,
                    hovertemplate="%{x:.3g}: %{y:.2%}<extra></extra>")  # fmt: skip
        fig.add_vline(x=0, line={"color": LINE[theme], "width": 1}, row=1, col=column)
    fig.update_xaxes(title=title, showgrid=False, nticks=5)
    fig.update_yaxes(tickformat=".0%", nticks=4, showline=False, ticks="").update_yaxes(title="share", col=1)
    fig.update_layout(margin={"t": 40}, bargap=0)
    return finish(fig, theme, alt=f"Histograms of the {title}s of {listed(list(layers))}.", height=270)
