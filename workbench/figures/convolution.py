"""Figure 3 from a live network: local receptive field, weight sharing, subsampling.

The input, the maps it gives, and the receptive field of one unit on every map below it. All units of a map share the
kernels drawn beneath it; pooling halves the map.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import plotly.graph_objects as go

from workbench.figures.convolution_parts import OFFSET, Card, ConvolutionParts, Field, Position, fields, place_maps
from workbench.figures.theme import (
    ACCENT,
    DIVERGING,
    GREY,
    INK,
    LINE,
    MUTED,
    PAPER,
    Theme,
    faded,
    finish,
    mix,
    note,
    write,
)
from workbench.figures.units import hide_axes

PX = 9.2
KERNEL_SIDE, LINE_HEIGHT = 4.4, 1.75


def convolution_diagram(parts: ConvolutionParts, unit: Position | None = None, *, theme: Theme = "light") -> go.Figure:
    """Draw the maps of a convolutional network for one input and what one unit sees (Figure 3).

    Args:
        parts: input and layers.
        unit: layer, x, y of the unit whose field is marked on its first drawn map; None for the middle unit of the
            last layer that has maps.
        theme: the page it is shown on.
    """
    cards, height = place_maps(parts)
    chosen = unit or middle_unit(parts)
    fig = go.Figure()
    for card in cards:
        _map(fig, parts, card, theme)
    front = {card.layer: card for card in cards if card.map == 0}
    seen = fields(parts, chosen)
    for below, above in pairwise(seen):
        _beam(fig, parts, (front[below.layer], below), (front[above.layer], above), theme)
    for found in seen:
        _field(fig, parts, front[found.layer], found, theme)
    low = min(_captions(fig, parts, [c for c in cards if c.layer == layer], theme) for layer in front)
    hide_axes(fig, (-1, 101), (low - 0.5, height + 3))
    fig.update_yaxes(scaleanchor="x", constrain="domain").update_xaxes(constrain="domain")
    fig.update_layout(margin={"l": 8, "r": 8, "t": 8, "b": 30}, showlegend=False)
    own = parts.layers[chosen[0]]
    size = " × ".join(map(str, own.size))
    text = f"marked: what the unit at {chosen[1]}, {chosen[2]} of {own.name} sees, {size} voxels of the input"
    if parts.spatial_dims == 3:
        text += " · axial slice, patient’s right on the left"
    fig.add_annotation(note(text, theme, x=0.5, y=0, xanchor="center", yanchor="top", yshift=-4))
    return finish(fig, theme, alt=f"{parts.alt} {text.capitalize()}.", height=round((height + 3.5 - low) * PX + 46))


def middle_unit(parts: ConvolutionParts) -> Position:
    """Give the middle unit of the last layer with maps of more than one unit, or of the last."""
    spread = [i for i, layer in enumerate(parts.layers) if layer.maps[0].size > 1] or [len(parts.layers) - 1]
    nx, ny = parts.layers[spread[-1]].maps.shape[1:]
    return spread[-1], nx // 2, ny // 2


def corners(parts: ConvolutionParts, card: Card, found: Field) -> tuple[float, float, float, float]:
    """Give where a field lies on the drawing: left, right, lower and upper edge."""
    nx, ny = (parts.image if card.layer < 0 else parts.layers[card.layer].maps[0]).shape
    x0, x1 = found.low[0] / nx, found.high[0] / nx
    y0, y1 = found.low[1] / ny, found.high[1] / ny
    if parts.spatial_dims == 3:
        x0, x1 = 1 - x1, 1 - x0
    else:
        y0, y1 = 1 - y1, 1 - y0
    return card.x + x0 * card.width, card.x + x1 * card.width, card.y + y0 * card.height, card.y + y1 * card.height


def upright(picture: np.ndarray, spatial_dims: int) -> np.ndarray:
    """Turn (X, Y) into rows from the top as it is looked at: y downwards, or a radiological axial slice."""
    return picture.T if spatial_dims == 2 else picture.T[::-1, ::-1]


def _map(fig: go.Figure, parts: ConvolutionParts, card: Card, theme: Theme) -> None:
    picture = parts.image if card.layer < 0 else parts.layers[card.layer].maps[card.map]
    rows = upright(np.asarray(picture, np.float32), parts.spatial_dims)[::-1]
    whole = parts.image if card.layer < 0 else parts.layers[card.layer].maps
    low, high = float(np.nanmin(whole)), float(np.nanmax(whole))
    ny, nx = rows.shape
    dx, dy = card.width / nx, card.height / ny
    name = parts.title if card.layer < 0 else f"map {parts.layers[card.layer].shown[card.map]}"
    fig.add_heatmap(z=rows, x0=card.x + dx / 2, dx=dx, y0=card.y + dy / 2, dy=dy, colorscale=GREY, zmin=low,
                    zmax=max(high, low + 1e-9), showscale=False, name=name,
                    hovertemplate=f"{name}: %{{z:.3g}}<extra></extra>")  # fmt: skip
    x0, x1, y0, y1 = card.x, card.x + card.width, card.y, card.y + card.height
    x, y = [x0, x1, x1, x0, x0], [y1, y1, y0, y0, y1]
    if card.map and card.height > OFFSET and len(parts.layers[card.layer].maps[0].ravel()) > 1:
        x, y = [x0, x0, x1, x1, x1 - OFFSET], [y1 - OFFSET, y1, y1, y0, y0]  # what the card before it leaves free
    edge = {"color": mix(LINE[theme], MUTED[theme], 0.4), "width": 1}
    fig.add_scatter(x=x, y=y, mode="lines", line=edge, hoverinfo="skip", name="frame")


def _field(fig: go.Figure, parts: ConvolutionParts, card: Card, found: Field, theme: Theme) -> None:
    x0, x1, y0, y1 = corners(parts, card, found)
    x, y = [x0, x1, x1, x0, x0], [y0, y0, y1, y1, y0]
    for width, color in ((4.5, PAPER["light"]), (2.4, ACCENT["light"])):
        fig.add_scatter(x=x, y=y, mode="lines", line={"color": color, "width": width}, hoverinfo="skip", name="field",
                        fill="toself" if width < 4 else None, fillcolor=faded(ACCENT[theme], 0.18))  # fmt: skip


def _beam(
    fig: go.Figure, parts: ConvolutionParts, below: tuple[Card, Field], above: tuple[Card, Field], theme: Theme
) -> None:
    """Draw the four edges from a field to what it feeds, as Figure 3 does."""
    b, a = corners(parts, *below), corners(parts, *above)
    x = [v for i in (0, 0, 1, 1) for v in (b[i], a[i], np.nan)]
    y = [v for i in (2, 3, 2, 3) for v in (b[i], a[i], np.nan)]
    line = {"color": faded(ACCENT[theme], 0.75), "width": 1.1}
    fig.add_scatter(x=x, y=y, mode="lines", line=line, hoverinfo="skip", name="beam")


def _captions(fig: go.Figure, parts: ConvolutionParts, cards: list[Card], theme: Theme) -> float:
    """Write the layer's name above it, beneath it what it does over its kernels; give how low that reaches."""
    index = cards[0].layer
    left, right = min(c.x for c in cards), max(c.x + c.width for c in cards)
    middle = (left + right) / 2
    top, bottom = max(c.y + c.height for c in cards), min(c.y for c in cards)
    if index < 0:
        size = " × ".join(map(str, parts.image.shape))
        write(fig, middle, top + 0.6, f"<b>{parts.title}</b>", INK[theme], 14, yanchor="bottom")
        write(fig, middle, bottom - 0.8, size, MUTED[theme], 12, yanchor="top")
        return bottom - 3
    layer = parts.layers[index]
    maps, does = layer.caption
    write(fig, middle, top + 0.6, f"<b>{layer.name}</b>", INK[theme], 13, yanchor="bottom")
    lines = [maps, *does.split(", ")]
    write(fig, middle, bottom - 0.8, "<br>".join(lines), MUTED[theme], 11, yanchor="top")
    low = bottom - 1.6 - LINE_HEIGHT * len(lines)
    if layer.kernels is None:
        return low
    _kernels(fig, parts, layer.kernels, (middle, low), theme)
    return low - KERNEL_SIDE - 1


def _kernels(
    fig: go.Figure, parts: ConvolutionParts, kernels: np.ndarray, top: tuple[float, float], theme: Theme
) -> None:
    """Draw up to three kernels in a row beneath ``top``, the middle of their upper edge."""
    n = min(len(kernels), 3)
    limit = float(np.abs(kernels[:n]).max()) or 1.0
    for i in range(n):
        rows = upright(np.asarray(kernels[i], np.float32), parts.spatial_dims)[::-1]
        cell = KERNEL_SIDE / max(rows.shape)
        left = top[0] + (i - n / 2) * (KERNEL_SIDE + 0.5) + 0.25
        fig.add_heatmap(z=rows, x0=left + cell / 2, dx=cell, y0=top[1] - KERNEL_SIDE + cell / 2, dy=cell,
                        zmin=-limit, zmid=0, zmax=limit, colorscale=DIVERGING[theme], showscale=False, name="kernel",
                        hovertemplate="weight %{z:.3g}<extra></extra>")  # fmt: skip
