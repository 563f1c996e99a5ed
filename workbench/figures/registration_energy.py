"""How the energy of a registration fell, stage by stage, and how many voxels drove it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.figures.theme import MUTED, PANEL, PRIMARY, Theme, finish, listed, note, series_color

COLUMNS = ("stage", "iteration", "energy", "n_points")
FEW = 16  # iterations that have a tick each; of few, plotly would mark halves


def energy_curve(rows: pd.DataFrame, *, relative: bool = False, theme: Theme = "light") -> go.Figure:
    """Draw the energy against the iteration, counted on across stages; beneath it the voxels that drive, where told.

    Energies of two stages are taken on other lattices or of other voxels, so a line never runs from one to the next.

    Args:
        rows: columns stage, iteration, energy (of the method's own unit) and n_points, in the order of the work.
        relative: whether each stage's energy is drawn as a share of its first.
        theme: the page it is shown on.
    """
    if rows.empty:
        fig = go.Figure()
        words = "This method tells no energy: a linear map alone has none."
        fig.add_annotation(note(words, theme, x=0.5, y=0.5, xanchor="center"))
        fig.update_xaxes(visible=False).update_yaxes(visible=False)
        return finish(fig, theme, alt=words, height=180)
    if missing := [c for c in COLUMNS if c not in rows]:
        raise ValueError(f"an energy needs the columns {listed(COLUMNS)}; {listed(missing)} is missing")
    counted = rows.assign(step=np.arange(1, len(rows) + 1))
    stages = list(dict.fromkeys(counted["stage"]))
    told = bool(counted["n_points"].max() > 0)
    fig = make_subplots(2 if told else 1, 1, shared_xaxes=True, vertical_spacing=0.1,
                        row_heights=[0.66, 0.34] if told else [1.0])  # fmt: skip
    for number, stage in enumerate(stages):
        part = counted[counted["stage"] == stage]
        _stage(fig, part, number, str(stage), relative, told, theme)
    title = "energy ÷ first of its stage" if relative else "energy, the method's unit"
    fig.update_yaxes(title=title, row=1, col=1, exponentformat="power", nticks=6)
    if told:
        fig.update_yaxes(title="driving voxels", row=2, col=1, rangemode="tozero", nticks=4)
    fig.update_xaxes(showgrid=False, dtick=1 if len(counted) <= FEW else None)
    fig.update_xaxes(title="iteration, counted across stages", row=2 if told else 1, col=1)
    fig.update_layout(showlegend=False, margin={"t": 34, "l": 84}, hovermode="x")
    ends = "; ".join(_told(counted[counted["stage"] == s], str(s)) for s in stages)
    return finish(fig, theme, alt=f"Energy over {len(counted)} iterations. {ends}.", height=430 if told else 330)


def _stage(
    fig: go.Figure, part: pd.DataFrame, number: int, stage: str, relative: bool, told: bool, theme: Theme
) -> None:
    energy = part["energy"].to_numpy(float)
    first = energy[0] if energy.size and energy[0] else 1.0
    x, color = part["step"], series_color(number, theme)
    hover = f"{stage}, iteration %{{customdata}}<br>%{{y:.4g}}<extra></extra>"
    fig.add_scatter(x=x, y=energy / first if relative else energy, mode="lines+markers" if len(part) < 40 else "lines",
                    line={"color": color, "width": 2}, marker={"size": 5}, name=stage, customdata=part["iteration"],
                    hovertemplate=hover, row=1, col=1)  # fmt: skip
    if told:
        line = {"color": PRIMARY[theme], "width": 1.5, "shape": "hv"}
        fig.add_scatter(x=x, y=part["n_points"], mode="lines", line=line,
                        hovertemplate="%{y:,} driving voxels<extra></extra>", name=stage, row=2, col=1)  # fmt: skip
    left, right = float(x.iloc[0]) - 0.5, float(x.iloc[-1]) + 0.5
    if number % 2 == 0:
        fig.add_vrect(x0=left, x1=right, fillcolor=PANEL[theme], line_width=0, layer="below", row="all", col=1)
    fig.add_annotation(text=stage, x=left, y=1, xref="x", yref="paper", xanchor="left", yanchor="bottom",
                       showarrow=False, font={"size": 12, "color": MUTED[theme]}, name="stage")  # fmt: skip


def _told(part: pd.DataFrame, stage: str) -> str:
    return f"{stage}: from {part['energy'].iloc[0]:.4g} to {part['energy'].iloc[-1]:.4g}"
