"""How well a generative model is known to fit: estimates from both sides, the gap in free energy, what was published.

A forward annealed estimate of log Z lies low on average and a reverse one high, so only both together, and the exact
value where it can be counted, say how sure one is (Section 2.3.2; Salakhutdinov and Murray 2008; Burda et al. 2015).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.figures.theme import (
    ACCENT,
    CATEGORICAL,
    INK,
    LINE,
    MUTED,
    PAPER,
    PRIMARY,
    Theme,
    faded,
    finish,
    interval,
    listed,
    note,
)

KINDS = {
    "forward": ("annealed, forward", "circle", -0.2),
    "reverse": ("annealed, reverse", "square", 0.2),
    "bound": ("variational bound", "triangle-right", 0.0),
    "exact": ("exact", "line-ns", 0.0),
}

HOVER = "%{customdata[0]:.6g} (%{customdata[1]:.6g} to %{customdata[2]:.6g})"


def likelihood_whisker(rows: pd.DataFrame, *, quantity: str = "log Z, nats", theme: Theme = "light") -> go.Figure:
    """Draw estimates of every model with their intervals, and beside them how far each is from the best known value.

    Args:
        rows: columns model, kind (``"exact"``, ``"forward"``, ``"reverse"`` or ``"bound"``), value, low, high; low and
            high may be missing. The right panel counts from the exact value, or from the forward one without it.
        quantity: title of the axis with its unit.
        theme: the page it is shown on.
    """
    models = list(dict.fromkeys(rows["model"]))
    if not models or set(rows["kind"]) - set(KINDS):
        raise ValueError(f"rows need models whose kind is one of {', '.join(KINDS)}; got {sorted(set(rows['kind']))}")
    fig = make_subplots(1, 2, shared_yaxes=True, horizontal_spacing=0.04, column_widths=[0.5, 0.5])
    colors = {"forward": PRIMARY[theme], "reverse": ACCENT[theme], "bound": CATEGORICAL[theme][2], "exact": INK[theme]}
    origin = {m: _reference(rows[rows["model"] == m]) for m in models}
    _gaps(fig, rows, models, origin, theme)
    for kind, (name, symbol, offset) in KINDS.items():
        own = rows[rows["kind"] == kind]
        for column in (1, 2):
            from_ = own["model"].map(origin).to_numpy(float) * (column == 2)
            value, low, high = (own[c].to_numpy(float) - from_ for c in ("value", "low", "high"))
            marker: dict[str, object] = {"symbol": symbol, "size": 9, "color": colors[kind]}
            if kind == "exact":
                marker = {"symbol": symbol, "size": 26, "line": {"width": 3, "color": colors[kind]}}
            fig.add_scatter(
                x=value, y=[models.index(m) + offset for m in own["model"]], mode="markers", name=name, marker=marker,
                error_x=interval(value, np.where(np.isnan(low), value, low), np.where(np.isnan(high), value, high),
                                 thickness=2, color=colors[kind]),
                legendgroup=kind, showlegend=column == 1 and len(own) > 0, row=1, col=column,
                customdata=own[["value", "low", "high"]],
                hovertemplate=f"{name}: " + HOVER + "<extra></extra>",
            )  # fmt: skip
    fig.update_xaxes(title=quantity, nticks=6, col=1)
    unit = quantity.rpartition(", ")[2]
    fig.update_xaxes(title=f"from the exact value, else from forward, {unit}", nticks=6, col=2)
    fig.add_vline(x=0, line={"color": MUTED[theme], "width": 1, "dash": "dot"}, row=1, col=2)
    fig.update_yaxes(range=[len(models) - 0.5, -0.5], showgrid=False, ticks="")
    fig.update_yaxes(tickvals=list(range(len(models))), ticktext=models, col=1)
    fig.update_layout(legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
                      margin={"t": 48, "r": 84})  # fmt: skip
    alt = f"{quantity.partition(',')[0]} of {listed(models)}: forward and reverse annealed estimates with intervals."
    return finish(fig, theme, alt=alt, height=150 + 62 * len(models))


def free_energy_gap(
    steps: Sequence[float],
    train: Sequence[float],
    held_out: Sequence[float],
    *,
    chosen: float | None = None,
    theme: Theme = "light",
) -> go.Figure:
    """Draw the mean free energy of training and held-out cases, and their difference: it grows when a model overfits.

    Args:
        steps: (n,) training steps.
        train: (n,) mean free energy of a fixed part of the training cases, nats.
        held_out: (n,) of as many held-out cases, nats.
        chosen: the step whose weights were kept.
        theme: the page it is shown on.
    """
    first, second = np.asarray(train, float), np.asarray(held_out, float)
    gap = second - first
    fig = make_subplots(2, 1, shared_xaxes=True, vertical_spacing=0.1, row_heights=[0.55, 0.45])
    lines = (("training cases", first, PRIMARY[theme], "solid"), ("held-out cases", second, ACCENT[theme], "dash"))
    for name, values, color, dash in lines:
        fig.add_scatter(x=steps, y=values, mode="lines", name=name, line={"color": color, "width": 2, "dash": dash},
                        hovertemplate="%{y:.4g} nats<extra>" + name + "</extra>", row=1, col=1)  # fmt: skip
    fig.add_scatter(x=steps, y=gap, mode="lines", name="gap", fill="tozeroy", showlegend=False, row=2, col=1,
                    line={"color": INK[theme], "width": 2}, fillcolor=faded(ACCENT[theme], 0.18),
                    hovertemplate="gap %{y:.3g} nats<extra></extra>")  # fmt: skip
    fig.add_hline(y=0, line={"color": LINE[theme], "width": 1}, row=2, col=1)
    if chosen is not None:
        fig.add_vline(x=chosen, line={"color": MUTED[theme], "width": 1.5, "dash": "dot"})
        fig.add_annotation(x=chosen, y=1, yref="paper", text="kept", showarrow=False, yanchor="bottom",
                           font={"size": 12, "color": MUTED[theme]})  # fmt: skip
    fig.update_yaxes(title="mean free energy,<br>nats", row=1, col=1, nticks=5)
    fig.update_yaxes(title="held-out − training,<br>nats", row=2, col=1, nticks=5)
    fig.update_xaxes(showgrid=False).update_xaxes(title="training step", row=2, col=1)
    fig.update_layout(legend={"orientation": "h", "x": 0, "y": 1.04, "yanchor": "bottom"}, margin={"t": 48, "l": 84},
                      hovermode="x")  # fmt: skip
    alt = f"Free energy of training and held-out cases over {len(first)} points; the last gap is {gap[-1]:.3g} nats."
    return finish(fig, theme, alt=alt, height=430)


def published_table_figure(table: pd.DataFrame, *, quantity: str, theme: Theme = "light") -> go.Figure:
    """Draw what was published beside what was obtained here, a row a model.

    Args:
        table: columns model, published, source (who says so), obtained, low, high; numbers may be missing.
        quantity: title of the axis with its unit.
        theme: the page it is shown on.
    """
    if table.empty:
        raise ValueError("there is nothing to compare; the table has no rows")
    at = np.arange(len(table))
    value, low, high = (table[c].to_numpy(float) for c in ("obtained", "low", "high"))
    published = table["published"].to_numpy(float)
    fig = go.Figure()
    nothing = np.full(len(at), np.nan)
    x, y = np.stack([published, value, nothing], 1).ravel(), np.stack([at, at, nothing], 1).ravel()
    line = {"color": LINE[theme], "width": 2}
    fig.add_scatter(x=x, y=y, mode="lines", line=line, hoverinfo="skip", showlegend=False)
    fig.add_scatter(x=published, y=at, mode="markers", name="published", customdata=table["source"].fillna(""),
                    marker={"symbol": "diamond", "size": 12, "color": PAPER[theme],
                            "line": {"width": 2.2, "color": INK[theme]}},
                    hovertemplate="published %{x:.5g}<br>%{customdata}<extra></extra>")  # fmt: skip
    fig.add_scatter(x=value, y=at, mode="markers", name="obtained here, 95 % interval",
                    marker={"size": 11, "color": PRIMARY[theme]},
                    error_x=interval(value, np.where(np.isnan(low), value, low), np.where(np.isnan(high), value, high),
                                     thickness=2.5, color=PRIMARY[theme]),
                    hovertemplate="obtained %{x:.5g}<extra></extra>")  # fmt: skip
    for i, (a, b) in enumerate(zip(published, value, strict=True)):
        text = "not run" if np.isnan(b) else "nothing published" if np.isnan(a) else f"{b - a:+.3g}"
        fig.add_annotation(note(text, theme, x=1, y=i, yref="y", xanchor="right", xshift=0, yanchor="middle"))
    head = note("obtained − published", theme, x=1, y=1, xanchor="right", yanchor="bottom", yshift=4)
    fig.add_annotation(head)
    fig.update_xaxes(title=quantity, domain=[0, 0.84], nticks=7)
    fig.update_yaxes(range=[len(at) - 0.5, -0.5], tickvals=at, ticktext=table["model"], showgrid=False, ticks="")
    fig.update_layout(legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}, margin={"t": 48})
    alt = f"{quantity} as published and as obtained here, of {listed([str(m) for m in table['model']])}."
    return finish(fig, theme, alt=alt, height=130 + 42 * len(at))


def _reference(rows: pd.DataFrame) -> float:
    for kind in ("exact", "forward", "reverse", "bound"):
        found = rows.loc[rows["kind"] == kind, "value"].dropna()
        if len(found):
            return float(found.iloc[0])
    return float("nan")


def _gaps(fig: go.Figure, rows: pd.DataFrame, models: list[str], origin: dict[str, float], theme: Theme) -> None:
    """Shade from the forward to the reverse estimate and write how far apart they are."""
    for at, model in enumerate(models):
        own = rows[rows["model"] == model].set_index("kind")["value"]
        if not {"forward", "reverse"} <= set(own.index):
            continue
        ends = np.array([own["forward"], own["reverse"]], float) - origin[model]
        fig.add_shape(type="rect", x0=ends.min(), x1=ends.max(), y0=at - 0.2, y1=at + 0.2, line_width=0, layer="below",
                      fillcolor=faded(MUTED[theme], 0.22), row=1, col=2)  # fmt: skip
        gap = f"gap {ends[1] - ends[0]:+.2g}"
        fig.add_annotation(x=1, xref="paper", y=at, yref="y", text=gap, showarrow=False, xanchor="left", xshift=10,
                           font={"size": 12, "color": MUTED[theme]})  # fmt: skip
