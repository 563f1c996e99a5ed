"""Training curves: one panel a quantity, a band for each stage, training beside validation; runs over each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.figures.theme import (
    ACCENT,
    DASHES,
    MUTED,
    PANEL,
    PRIMARY,
    Theme,
    faded,
    finish,
    listed,
    note,
    series_color,
)

TITLES = {
    "reconstruction": "squared error<br>per patch",
    "mse": "squared error<br>per voxel",
    "sparsity": "sparsity, nats",
    "mean_activation": "mean activation,<br>fraction",
    "dead_units": "dead units,<br>share",
    "loss": "loss",
    "learning_rate": "learning rate",
}
VALIDATION, WITHIN = "val_", "_step"
FEWEST_SMOOTHED = 30
PANEL_PX = 190


def training_curves(
    metrics: pd.DataFrame,
    *,
    names: Sequence[str] | None = None,
    smoothing: float = 0.0,
    log: bool = False,
    theme: Theme = "light",
) -> go.Figure:
    """Draw what was logged against the step, counted on across stages.

    Args:
        metrics: columns stage, step, name, value; steps count from the start of their stage, and the stages follow
            each other in the order in which they first appear. A name may begin with ``val_`` (validation) or end in
            ``_step`` (within an epoch); both join the panel of the plain name.
        names: which quantities, by their plain names; None for all.
        smoothing: 0 draws the values, towards 1 an ever longer exponential mean with the values faint behind it;
            series of fewer than 30 values are never smoothed.
        log: whether the vertical axes are logarithmic.
        theme: the page it is shown on.
    """
    table, bands = along_steps(metrics)
    known = list(dict.fromkeys(_plain(n) for n in table["name"]))
    drawn = [n for n in (names or known) if n in known]
    if not drawn:
        return _empty("Nothing is logged yet: the first values appear after a few steps.", theme)
    fig = make_subplots(len(drawn), 1, shared_xaxes=True, vertical_spacing=0.16 / max(len(drawn), 2))
    within = faded(PRIMARY[theme], 0.5)
    for row, name in enumerate(drawn, 1):
        styles = (
            (name + WITHIN, "training, within an epoch", within, "solid"),
            (name, "training", PRIMARY[theme], "solid"),
            (VALIDATION + name, "validation", ACCENT[theme], "dash"),
        )
        for column, label, color, dash in styles:
            series = table[table["name"] == column]
            if not series.empty:
                _line(fig, series, label, color, dash, smoothing, row)
        fig.update_yaxes(
            title=title_of(name), type="log" if log else "linear", nticks=5, row=row, col=1, exponentformat="power"
        )
    _bands(fig, bands, theme)
    fig.update_xaxes(showgrid=False)
    fig.update_xaxes(title="step, counted across stages", row=len(drawn), col=1)
    above = 1 + 24 / (PANEL_PX * len(drawn))
    fig.update_layout(legend={"orientation": "h", "x": 1, "xanchor": "right", "y": above, "yanchor": "bottom"},
                      margin={"t": 66, "l": 84}, hovermode="x")  # fmt: skip
    alt = f"Training curves of {listed(drawn)} over {len(bands)} stages: {listed([b[0] for b in bands])}."
    return finish(fig, theme, alt=alt, height=PANEL_PX * len(drawn) + 110)


def title_of(name: str) -> str:
    """Give the axis title of a logged quantity, with its unit where it is known."""
    return TITLES.get(name, name.replace("_", " "))


def compare_curves(
    runs: Mapping[str, pd.DataFrame],
    *,
    name: str = "val_mse",
    smoothing: float = 0.0,
    log: bool = False,
    theme: Theme = "light",
) -> go.Figure:
    """Draw one quantity of several runs over each other, told apart by colour and by dash.

    Args:
        runs: title of the run → its metrics, as :func:`training_curves` takes them.
        name: the quantity as logged, ``val_`` included where it is wanted.
        smoothing: as in :func:`training_curves`.
        log: whether the vertical axis is logarithmic.
        theme: the page it is shown on.
    """
    fig = go.Figure()
    for index, (title, metrics) in enumerate(runs.items()):
        table, _ = along_steps(metrics)
        series = table[table["name"] == name]
        if not series.empty:
            _line(fig, series, title, series_color(index, theme), DASHES[index % len(DASHES)], smoothing)
    if not fig.data:
        return _empty(f"None of these runs has logged {name}.", theme)
    plain = name.removeprefix(VALIDATION)
    kind = "validation" if name.startswith(VALIDATION) else "training"
    fig.update_yaxes(title=f"{kind}: {title_of(plain)}", type="log" if log else "linear", exponentformat="power")
    fig.update_xaxes(title="step, counted across stages", showgrid=False)
    fig.update_layout(
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0}, margin={"l": 84}, hovermode="x"
    )
    return finish(fig, theme, alt=f"{kind.capitalize()} {plain} of {len(runs)} runs: {listed(list(runs))}.", height=400)


def sparkline(values: np.ndarray, *, theme: Theme = "light") -> go.Figure:
    """Draw a curve as small as a word, with its last point, for a row of a table."""
    fig = go.Figure(go.Scatter(y=values, mode="lines", line={"color": PRIMARY[theme], "width": 1.5}, hoverinfo="y"))
    fig.add_scatter(
        x=[len(values) - 1], y=values[-1:], mode="markers", marker={"size": 5, "color": ACCENT[theme]}, hoverinfo="skip"
    )
    finish(
        fig,
        theme,
        alt=f"Sparkline of {len(values)} values, the last {values[-1]:.4g}." if len(values) else "Empty.",
        height=40,
    )
    fig.update_xaxes(visible=False).update_yaxes(visible=False)
    return fig.update_layout(margin={"l": 0, "r": 4, "t": 4, "b": 4}, showlegend=False)


def along_steps(metrics: pd.DataFrame) -> tuple[pd.DataFrame, list[tuple[str, float, float]]]:
    """Count steps on across stages: give the table with a column ``x`` and (stage, first x, last x) of each stage."""
    table = metrics.dropna(subset=["value"]).copy()
    table["x"] = table["step"].astype(float)
    bands, start = [], 0.0
    for stage in dict.fromkeys(table["stage"]):
        rows = table["stage"] == stage
        table.loc[rows, "x"] += start
        end = float(table.loc[rows, "x"].max())
        bands.append((str(stage), start, end))
        start = end
    return table, bands


def _line(
    fig: go.Figure, series: pd.DataFrame, label: str, color: str, dash: str, smoothing: float, row: int | None = None
) -> None:
    place = {} if row is None else {"row": row, "col": 1}
    parts = [part.sort_values("x") for _, part in series.groupby("stage", sort=False)]
    x = _broken([p["x"].to_numpy(float) for p in parts])
    y = _broken([p["value"].to_numpy(float) for p in parts])
    stage = [s for p in parts for s in [*p["stage"], ""]]
    few = max(len(p) for p in parts) < FEWEST_SMOOTHED
    if smoothing > 0 and not few:
        fig.add_scatter(x=x, y=y, mode="lines", line={"color": color, "width": 1}, opacity=0.28, hoverinfo="skip",
                        showlegend=False, legendgroup=label, **place)  # fmt: skip
        y = _broken([p["value"].ewm(alpha=1 - min(smoothing, 0.99)).mean().to_numpy(float) for p in parts])
    fig.add_scatter(
        x=x,
        y=y,
        customdata=stage,
        mode="lines+markers" if few else "lines",
        name=label,
        legendgroup=label,
        showlegend=not any(t.name == label for t in fig.data),
        line={"color": color, "width": 2, "dash": dash},
        marker={"size": 5},
        hovertemplate="%{y:.4g} at step %{x:.0f}, %{customdata}<extra>" + label + "</extra>",
        **place,
    )


def _plain(name: str) -> str:
    return name.removeprefix(VALIDATION).removesuffix(WITHIN)


def _broken(parts: list[np.ndarray]) -> np.ndarray:
    """Join parts with a NaN after each, so that no line leads from one stage to the next."""
    return np.concatenate([np.append(part, np.nan) for part in parts])


def _bands(fig: go.Figure, bands: list[tuple[str, float, float]], theme: Theme) -> None:
    total = max(bands[-1][2], 1.0)
    for index, (stage, start, end) in enumerate(bands):
        fig.add_shape(type="rect", xref="x", yref="paper", x0=start, x1=end, y0=0, y1=1, layer="below", line_width=0,
                      fillcolor=PANEL[theme] if index % 2 == 0 else "rgba(0,0,0,0)", name=f"stage {stage}")  # fmt: skip
        room = int((end - start) / total * 130)  # letters that fit on a page 1000 px wide
        text = stage if len(stage) <= room else stage[: max(room - 1, 1)] + "…"
        fig.add_annotation(
            note(
                text,
                theme,
                x=start,
                xref="x",
                y=1,
                yanchor="bottom",
                font={"size": 12, "color": MUTED[theme]},
                hovertext=stage,
                xshift=2,
                name="stage",
            )
        )


def _empty(sentence: str, theme: Theme) -> go.Figure:
    fig = go.Figure()
    fig.add_annotation(note(sentence, theme, x=0.5, y=0.5, xanchor="center"))
    fig.update_xaxes(visible=False).update_yaxes(visible=False)
    return finish(fig, theme, alt=sentence, height=160)
