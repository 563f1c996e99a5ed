"""The mean pattern of every state over the regions: on glass brains, or as strips where regions have no place."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.figures.edges import Regions
from workbench.figures.glass_brain import (
    Dots,
    draw_brain,
    draw_dots,
    draw_map,
    finish_axes,
    side_by_side,
    template_views,
)
from workbench.figures.states import state_color
from workbench.figures.strips import weight_strips
from workbench.figures.theme import DIVERGING, INK, Theme, colorbar, finish, mix, note

PANEL_PX, COLUMNS = 190, 3
DRAWN = 0.25
"""Of the largest |value|, below which a voxel is not drawn, so that the brain is seen."""


def state_patterns(
    means: np.ndarray,
    regions: Regions,
    *,
    quantity: str = "mean signal, z",
    dwell_s: np.ndarray | None = None,
    theme: Theme = "light",
) -> go.Figure:
    """Draw the mean of every state on the brain: colour is the value, size its |value|.

    Args:
        means: (K, R), in the regions' own units.
        regions: without any coordinates the means are drawn as strips of colour.
        quantity: what the means measure, with its unit.
        dwell_s: (K,) mean dwell times in s, told with the state.
        theme: the page it is shown on.
    """
    if means.shape[1] != len(regions.names):
        raise ValueError(f"means must be (K, {len(regions.names)}); got {means.shape}")
    if not regions.placed.any():
        fig = weight_strips(means, list(regions.names), scale="shared", theme=theme)
        return fig.update_yaxes(title="state", ticktext=[str(s + 1) for s in range(len(means))])
    titles = [f"state {s + 1}" + (f" · {dwell_s[s]:.1f} s" if dwell_s is not None else "") for s in range(len(means))]
    columns = 2 if len(means) in (2, 4) else min(COLUMNS, len(means))
    fig = brain_panels(means, regions, (titles, columns), quantity=quantity, theme=theme)
    for s, title in enumerate(fig.layout.annotations[: len(means)]):
        title.update(text=f'<span style="color:{state_color(s)}">●</span> {title.text}')
    return fig


def brain_panels(
    maps: np.ndarray,
    regions: Regions,
    layout: tuple[list[str], int],
    *,
    quantity: str,
    limit: float | None = None,
    theme: Theme = "light",
) -> go.Figure:
    """Draw each row of values on a glass brain from above and from the right, in a grid.

    Voxels are drawn as the one of largest |value| along the view, down to a quarter of the largest.

    Args:
        maps: (n, R); a row that is all NaN leaves its panel empty.
        regions: those with coordinates are drawn.
        layout: the title of every panel, and how many stand beside each other.
        quantity: what the values measure.
        limit: |value| at the ends of the colours; None for the largest.
        theme: the page it is shown on.
    """
    titles, columns = layout
    rows = -(-len(maps) // columns)
    span = limit or float(np.nanmax(np.abs(maps), initial=0.0)) or 1.0
    gap = min(34 / (PANEL_PX * rows), 0.9 / rows)
    fig = make_subplots(rows, columns, horizontal_spacing=0.02, vertical_spacing=gap, subplot_titles=titles)
    own = np.flatnonzero(regions.placed).tolist()
    for panel, values in enumerate(maps):
        axes = ("x", "y") if panel == 0 else (f"x{panel + 1}", f"y{panel + 1}")
        places = side_by_side(template_views(), ("axial", "sagittal"), *axes)
        for place in places:
            draw_brain(fig, place, theme)
        if regions.voxel_mm is not None:
            strong = np.where(np.abs(values) >= DRAWN * span, values, np.nan)
            for place in places:
                draw_map(fig, place, regions, strong, (span, quantity), theme)
        elif np.isfinite(values).any():
            share = np.clip(np.nan_to_num(values[own]) / span, -1, 1)
            told = [f"<b>{regions.names[i]}</b><br>{quantity} {values[i]:+.3g}" for i in own]
            dots = Dots(4 + 9 * np.abs(share), [diverging(float(s), theme) for s in share], told)
            for place in places:
                draw_dots(fig, place, regions.places[own], dots)
        finish_axes(fig, places)
    bar = colorbar(theme, quantity, len=min(1.0, 220 / (PANEL_PX * rows)))
    marker = {"color": [0], "cmin": -span, "cmax": span, "colorscale": DIVERGING[theme], "colorbar": bar, "opacity": 0}
    fig.add_scatter(x=[None], y=[None], mode="markers", marker=marker | {"showscale": True}, showlegend=False)
    fig.update_annotations(font={"size": 13, "color": INK[theme]})
    fig.add_annotation(
        note("L – R: seen from above · P – A: seen from the right", theme, y=0, yanchor="top", yshift=-2)
    )
    fig.update_layout(margin={"t": 32, "b": 28, "l": 8, "r": 8})
    alt = f"{len(maps)} patterns of {quantity} on glass brains: {', '.join(titles[:6])}."
    return finish(fig, theme, alt=alt, height=PANEL_PX * rows + 34 * (rows - 1) + 70)


def diverging(share: float, theme: Theme) -> str:
    """Give the colour of a share (−1 to 1) on the diverging scale as ``#RRGGBB``."""
    at = (share + 1) / 2
    scale = DIVERGING[theme]
    for (low, first), (high, second) in pairwise(scale):
        if at <= high:
            return mix(first, second, max(0.0, (at - low) / (high - low)))
    return scale[-1][1]
