"""Marks over a slice: the cross of a point or a best match, the ring of the truth, the panel's letter and title."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from workbench.figures.planes import Panel
from workbench.figures.theme import INK, POINT, Theme

TRUTH = "#FFFFFF"
OFF_SLICE_MM = 1.0
"""A best match at least so far from the drawn slice has an oblique cross."""


def draw_cross(fig: go.Figure, panel: Panel, point: np.ndarray, off: float, hover: str) -> None:
    """Draw a red cross with a white edge at a point (3,) mm, oblique when it lies ``off`` mm from the slice."""
    hidden = abs(off) >= OFF_SLICE_MM
    x, y = float(point[panel.plane.across]), float(point[panel.plane.up])
    where = ", ".join(f"{c:.1f}" for c in point)
    for size, width, color in ((19, 5, "#FFFFFF"), (17, 2.4, POINT)):
        fig.add_scatter(
            x=[x],
            y=[y],
            xaxis=panel.x,
            yaxis=panel.y,
            mode="markers",
            showlegend=False,
            name="cross",
            marker={
                "symbol": "x-thin" if hidden else "cross-thin",
                "size": size,
                "line": {"width": width, "color": color},
            },
            hovertemplate=f"{hover}<br>{where} mm<extra></extra>",
            cliponaxis=False,
        )


def draw_ring(fig: go.Figure, panel: Panel, point: np.ndarray) -> None:
    """Draw a white ring with a black edge around the true correspondence (3,) mm."""
    x, y = float(point[panel.plane.across]), float(point[panel.plane.up])
    where = ", ".join(f"{c:.1f}" for c in point)
    for width, color in ((4.5, "#000000"), (2, TRUTH)):
        fig.add_scatter(
            x=[x], y=[y], xaxis=panel.x, yaxis=panel.y, mode="markers", showlegend=False, name="truth",
            marker={"symbol": "circle-open", "size": 24, "color": color, "line": {"width": width, "color": color}},
            hovertemplate=f"true correspondence<br>{where} mm<extra></extra>", cliponaxis=False,
        )  # fmt: skip


def panel_title(fig: go.Figure, panel: Panel, text: str, theme: Theme) -> None:
    """Write the panel's letter (by its number) and its title above it."""
    letter = "abcdefghijklmnop"[panel.number - 1]
    fig.add_annotation(
        text=f"<b>{letter}</b>  {text}",
        x=0,
        y=1,
        xref=f"{panel.x} domain",
        yref=f"{panel.y} domain",
        name="panel title",
        xanchor="left",
        yanchor="bottom",
        showarrow=False,
        font={"size": 14, "color": INK[theme]},
    )
