"""Diagnosis from functional networks: likelihood ratios of subjects, a ROC beside chance, errors over two settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.figures.theme import (
    ACCENT,
    INK,
    LINE,
    MUTED,
    PRIMARY,
    SYMBOLS,
    VIRIDIS,
    Theme,
    colorbar,
    faded,
    finish,
    note,
    series_color,
)

NULL_BINS, MOST_WRITTEN = 30, 150


class RocBand(NamedTuple):
    """A ROC with its interval and what chance gives.

    Attributes:
        fpr: (n,) false-positive rate, growing.
        tpr: (n,) true-positive rate.
        low: (n,) lower end of the 95 % interval of ``tpr``.
        high: (n,) upper end.
        auc: area under the curve.
        auc_interval: its 95 % interval.
        null: (m,) areas with permuted labels; empty for none.
        p: share of permutations at least as good, (1 + count) / (1 + m); None without permutations.
    """

    fpr: np.ndarray
    tpr: np.ndarray
    low: np.ndarray
    high: np.ndarray
    auc: float
    auc_interval: tuple[float, float]
    null: np.ndarray
    p: float | None = None


def likelihood_ratios(
    ratios: np.ndarray,
    classes: Sequence[str],
    *,
    positive: str,
    subjects: Sequence[str] = (),
    unit: str = "nats",
    quantity: str = "log-likelihood ratio",
    theme: Theme = "light",
) -> go.Figure:
    """Draw log p(x | positive class) − log p(x | other class) of every subject; the line at 0 is the decision.

    Args:
        ratios: (N,), positive values speak for ``positive``.
        classes: (N,) the class that each subject truly has.
        positive: the class whose likelihood comes first.
        subjects: (N,) names; empty counts from 1.
        unit: of the ratios, such as ``"nats"`` or ``"nats a frame"``.
        quantity: what they are, where it is another score with its decision at 0.
        theme: the page it is shown on.
    """
    if len(ratios) != len(classes):
        raise ValueError(f"there are {len(ratios)} ratios but {len(classes)} classes")
    names = list(dict.fromkeys(str(c) for c in classes))
    named = np.asarray(list(subjects) or [str(i + 1) for i in range(len(ratios))])
    own_class = np.asarray([str(c) for c in classes])
    fig = go.Figure()
    for row, name in enumerate(names):
        index = np.flatnonzero(own_class == name)
        jitter = ((np.arange(len(index)) * 0.618034) % 1 - 0.5) * 0.56
        right = (ratios[index] > 0) == (name == positive)
        for good, word in ((True, "classified rightly"), (False, "wrongly")):
            pick = right == good
            fig.add_scatter(
                x=ratios[index][pick], y=(row + jitter)[pick], mode="markers", name=f"{name}, {word}",
                showlegend=bool(pick.any()), hovertext=named[index][pick],
                marker={"size": 9, "symbol": SYMBOLS[row] if good else f"{SYMBOLS[row]}-open", "line": {"width": 1.6},
                        "color": faded(series_color(row, theme), 0.75 if good else 1)},
                hovertemplate="%{hovertext}: %{x:+.4g} " + unit + f"<extra>{name}</extra>",
            )  # fmt: skip
    fig.add_vline(x=0, line={"color": INK[theme], "width": 1.5})
    span = 1.08 * float(np.nanmax(np.abs(ratios), initial=1e-9))
    other = next((n for n in names if n != positive), "the other class")
    for text, x, side in ((f"← speaks for {other}", 0.0, "left"), (f"speaks for {positive} →", 1.0, "right")):
        fig.add_annotation(note(text, theme, x=x, y=1, xanchor=side, yanchor="bottom", yshift=4))
    fig.update_xaxes(title=f"{quantity}, {unit}" if unit else quantity, range=[-span, span])
    fig.update_yaxes(tickvals=list(range(len(names))), ticktext=names, range=[len(names) - 0.5, -0.5], showgrid=False,
                     ticks="")  # fmt: skip
    fig.update_layout(legend={"orientation": "h", "y": -0.28, "yanchor": "top", "x": 0}, margin={"t": 40, "b": 84})
    alt = f"{quantity[:1].upper()}{quantity[1:]} of {len(ratios)} subjects, a row a class, the decision at 0."
    return finish(fig, theme, alt=alt, height=170 + 90 * len(names))


def roc_with_chance(roc: RocBand, *, theme: Theme = "light") -> go.Figure:
    """Draw a ROC with its 95 % band and, beside it, the areas that permuted labels give.

    Args:
        roc: the curve and its null distribution.
        theme: the page it is shown on.
    """
    both = len(roc.null) > 0
    fig = make_subplots(1, 2 if both else 1, column_widths=[0.55, 0.45] if both else None, horizontal_spacing=0.13)
    band = {"line": {"width": 0}, "hoverinfo": "skip", "row": 1, "col": 1}
    fig.add_scatter(x=roc.fpr, y=roc.low, mode="lines", showlegend=False, name="low", **band)
    fig.add_scatter(x=roc.fpr, y=roc.high, mode="lines", fill="tonexty", fillcolor=faded(PRIMARY[theme], 0.18),
                    name="95 % interval", **band)  # fmt: skip
    fig.add_scatter(
        x=roc.fpr, y=roc.tpr, mode="lines", line={"color": PRIMARY[theme], "width": 2.5}, row=1, col=1,
        name=f"AUC {roc.auc:.3f} ({roc.auc_interval[0]:.3f} to {roc.auc_interval[1]:.3f})",
        hovertemplate="sensitivity %{y:.3f} at 1 − specificity %{x:.3f}<extra></extra>",
    )  # fmt: skip
    fig.add_scatter(x=[0, 1], y=[0, 1], mode="lines", line={"color": MUTED[theme], "dash": "dot", "width": 1.3},
                    name="chance", hoverinfo="skip", row=1, col=1)  # fmt: skip
    fig.update_xaxes(title="1 − specificity, fraction", range=[-0.02, 1.02], nticks=6, row=1, col=1)
    fig.update_yaxes(title="sensitivity, fraction", range=[-0.02, 1.02], nticks=6, row=1, col=1)
    if both:
        _null(fig, roc, theme)
    fig.update_layout(legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0}, margin={"t": 56, "l": 72})
    alt = f"ROC with AUC {roc.auc:.3f} and its 95 percent band" + (
        ", beside areas by permuted labels." if both else "."
    )
    return finish(fig, theme, alt=alt, height=440)


def _null(fig: go.Figure, roc: RocBand, theme: Theme) -> None:
    low, high = float(min(roc.null.min(), roc.auc)), float(max(roc.null.max(), roc.auc))
    room = 0.06 * (high - low or 0.1)
    bins = {"start": low, "end": float(roc.null.max()) + 1e-9, "size": max((high - low) / NULL_BINS, 1e-6)}
    fig.add_histogram(x=roc.null, xbins=bins, histnorm="probability", showlegend=False, row=1, col=2, name="permuted",
                      marker={"color": faded(MUTED[theme], 0.65), "line": {"width": 0}},
                      hovertemplate="%{x}: %{y:.1%} of permutations<extra></extra>")  # fmt: skip
    said = f"observed {roc.auc:.3f}" + (f"<br>p = {roc.p:.2g}" if roc.p is not None else "")
    fig.add_vline(x=roc.auc, line={"color": ACCENT[theme], "width": 2}, row=1, col=2,
                  annotation={"text": said, "font": {"size": 12, "color": ACCENT[theme]}, "xanchor": "right",
                              "yanchor": "top", "align": "right"})  # fmt: skip
    fig.update_xaxes(title=f"AUC of {len(roc.null):,} permutations", range=[low - room, high + room], nticks=6, row=1,
                     col=2)  # fmt: skip
    fig.update_yaxes(title="share of permutations", tickformat=".0%", nticks=5, row=1, col=2)


def error_by_targets(
    table: pd.DataFrame, *, x: str, y: str, title: str = "error, fraction", theme: Theme = "light"
) -> go.Figure:
    """Draw the error over two settings, such as the sparsity targets of two layers, the smallest ringed.

    Args:
        table: columns ``x`` and ``y`` (the settings, numbers) and error, low, high where there are intervals.
        x: the column drawn across, also the axis title.
        y: the column drawn upwards.
        title: what the error is, with its unit.
        theme: the page it is shown on.
    """
    wide = table.pivot_table(index=y, columns=x, values="error", aggfunc="mean").sort_index().sort_index(axis=1)
    z = wide.to_numpy(float)
    across, up = ([f"{v:g}" for v in axis] for axis in (wide.columns, wide.index))
    fig = go.Figure(go.Heatmap(
        z=z, x=np.arange(len(across)), y=np.arange(len(up)), colorscale=VIRIDIS, reversescale=True, xgap=2, ygap=2,
        colorbar=colorbar(theme, title), hoverongaps=False, text=[across] * len(up),
        customdata=[[b] * len(across) for b in up],
        hovertemplate=f"{x} %{{text}}, {y} %{{customdata}}: %{{z:.4f}}<extra></extra>",
    ))  # fmt: skip
    span = float(np.nanmax(z) - np.nanmin(z)) or 1.0
    for (i, j), value in np.ndenumerate(z if z.size <= MOST_WRITTEN else z[:0]):
        ink = "#FFFFFF" if (np.nanmax(z) - value) / span < 0.62 else "#111418"
        if np.isfinite(value):
            fig.add_annotation(x=j, y=i, text=f"{value:.3f}", showarrow=False, font={"size": 12, "color": ink})
    row, column = np.unravel_index(np.nanargmin(z), z.shape)
    fig.add_shape(type="rect", x0=column - 0.5, x1=column + 0.5, y0=row - 0.5, y1=row + 0.5,
                  line={"color": ACCENT[theme], "width": 3}, fillcolor="rgba(0,0,0,0)")  # fmt: skip
    smallest = f"ringed: the smallest, {np.nanmin(z):.3f}, at {x} {across[column]} and {y} {up[row]}"
    fig.add_annotation(note(smallest, theme, y=1, yanchor="bottom", yshift=4))
    line = {"linecolor": LINE[theme], "showgrid": False, "ticks": ""}
    fig.update_xaxes(title=x, tickvals=list(range(len(across))), ticktext=across, **line)
    fig.update_yaxes(title=y, tickvals=list(range(len(up))), ticktext=up, **line)
    return finish(fig, theme, alt=f"{title} over {x} and {y}; {smallest}.", height=max(280, 44 * len(up) + 140))
