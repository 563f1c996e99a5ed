"""Figures 1 and 2 from a live network: perceptron and multilayer network, auto-encoder stack, belief net, Boltzmann.

A link's colour is the sign of its weight and its width the size; only the strongest are drawn over a faint wash that
stands for "all units of two consecutive layers, none of the same". Arrows tell directed from undirected links.
"""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from workbench.figures import mosaic
from workbench.figures.network_parts import LEVEL, LinkParts, NetworkParts, Placement, place, strongest
from workbench.figures.theme import (
    DIVERGING,
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
from workbench.figures.units import CODE_COLOR, RED, hide_axes

POSITIVE = {"light": "#D9731A", "dark": "#F7A55B"}
NEGATIVE = {"light": "#2F7FBF", "dark": "#63B3EE"}
STRENGTHS = ((0.0, 0.8, 0.45), (0.35, 1.5, 0.65), (0.7, 2.8, 0.9))
"""From which share of the largest |weight| on: a link's width in px and its opacity."""
LEVEL_PX, MARGIN_PX = 150, 130
VISIBLE_COLOR = "#E3B505"
HIDDEN_COLORS = ("#B07CC6", "#009E73", "#D98324", "#8C96A3")


def network_diagram(parts: NetworkParts, *, theme: Theme = "light") -> go.Figure:
    """Draw a network from its weights (Figures 1 and 2), its units as circles or as the patterns they have learnt."""
    stands = place(parts)
    fig = go.Figure()
    for block in parts.blocks:
        _links(fig, stands, block, theme)
        _link_name(fig, stands, block, theme)
    colors = colors_of(parts)
    for layer in parts.layers:
        _units(fig, parts, layer.name, stands, colors[layer.name], theme)
        _layer_name(fig, parts, layer.name, stands, theme)
    hide_axes(fig, (-9, 109), (-6, stands.height + 6))
    fig.update_yaxes(scaleanchor="x", constrain="domain").update_xaxes(constrain="domain")
    fig.update_layout(margin={"l": 8, "r": 8, "t": 8, "b": 40}, showlegend=False)
    _key(fig, parts, theme)
    n_levels = stands.height / LEVEL
    return finish(fig, theme, alt=parts.alt, height=round(MARGIN_PX + LEVEL_PX * n_levels))


def colors_of(parts: NetworkParts) -> dict[str, str]:
    """Give each layer's colour: yellow for data (Figure 9), blue for the topmost, one for each level between."""
    fed, feeding = {b.above for b in parts.blocks}, {b.below for b in parts.blocks}
    heights = {name: float(at[0, 1]) for name, at in place(parts).at.items()}
    between = sorted({y for name, y in heights.items() if name in fed & feeding})
    return {
        name: VISIBLE_COLOR
        if name not in fed
        else HIDDEN_COLORS[between.index(y) % len(HIDDEN_COLORS)]
        if name in feeding
        else CODE_COLOR
        for name, y in heights.items()
    }


def _links(fig: go.Figure, stands: Placement, block: LinkParts, theme: Theme) -> None:
    weights, directed = block.weights, block.directed
    rim = np.array([0, stands.size / 2])  # links lead from rim to rim: plotly draws lines over pictures
    low, high = stands.at[block.below] + rim, stands.at[block.above] - rim
    every = np.argwhere(np.ones(weights.shape, bool))
    wash = {"color": faded(MUTED[theme], 0.16), "width": 0.6}
    _segments(fig, low[every[:, 1]], high[every[:, 0]], wash, "all links")
    chosen = strongest(weights)
    share = weights[chosen[:, 0], chosen[:, 1]] / max(float(np.abs(weights).max()), 1e-12)
    bounds = [start for start, _, _ in STRENGTHS] + [np.inf]
    for at, (_, width, opacity) in enumerate(STRENGTHS):
        for sign, color in ((1, POSITIVE[theme]), (-1, NEGATIVE[theme])):
            own = chosen[(share * sign > bounds[at]) & (share * sign <= bounds[at + 1])]
            line = {"color": faded(color, opacity), "width": width}
            ends = low[own[:, 1]], high[own[:, 0]]
            name = "positive links" if sign > 0 else "negative links"
            if directed in ("up", "both"):
                _segments(fig, *ends, line, name, arrows=at > 0)
            if directed in ("down", "both"):
                _segments(fig, *ends[::-1], line | ({"width": 0} if directed == "both" else {}), name, arrows=at > 0)
            if directed == "none":
                _segments(fig, *ends, line, name)


def _segments(
    fig: go.Figure, start: np.ndarray, end: np.ndarray, line: dict[str, object], name: str, *, arrows: bool = False
) -> None:
    """Draw lines from ``start`` to ``end`` (n, 2), with or without heads at their ends."""
    if not len(start):
        return
    x, y = (np.stack([start[:, i], end[:, i], np.full(len(start), np.nan)], 1).ravel() for i in (0, 1))
    head = {}
    if arrows:
        head = {"marker": {"symbol": "arrow", "angleref": "previous", "color": line["color"], "line": {"width": 0},
                           "size": np.tile([0, 9, 0], len(start))}}  # fmt: skip
    fig.add_scatter(
        x=x, y=y, mode="lines+markers" if arrows else "lines", line=line, hoverinfo="skip", name=name, **head
    )


def _units(fig: go.Figure, parts: NetworkParts, name: str, stands: Placement, color: str, theme: Theme) -> None:
    layer = next(la for la in parts.layers if la.name == name)
    at, active = stands.at[name], parts.activations.get(name)
    half = stands.size / 2
    patterns = parts.receptive.get(name)
    rim = {"color": mix(color, INK[theme], 0.25), "width": 1.5}
    pictured = patterns is not None and patterns.ndim > 2
    shares = np.ones(len(at)) if active is None else np.clip(np.asarray(active, float), 0, 1)
    for (x, y), share in zip(at, shares, strict=True):
        box = {"x0": x - half, "x1": x + half, "y0": y - half, "y1": y + half}
        fill = PAPER[theme] if pictured else mix(PAPER[theme], color, 0.15 + 0.85 * float(share))
        kind = "rect" if pictured else "circle"
        fig.add_shape(type=kind, **box, line=rim, fillcolor=fill, layer="between" if pictured else "above")
    if pictured and patterns is not None:
        _pictures(fig, patterns, at, stands.size, theme)
    hover = [
        f"{layer.heading}, unit {u}" + ("" if active is None else f"<br>activation {active[i]:.3g}")
        for i, u in enumerate(layer.shown)
    ]
    fig.add_scatter(x=at[:, 0], y=at[:, 1], mode="markers", hovertext=hover, hoverinfo="text", name="units",
                    marker={"size": 22, "opacity": 0})  # fmt: skip
    if layer.n_units > len(at):
        middle = len(at) // 2 + len(at) % 2
        write(fig, float(at[middle - 1 : middle + 1, 0].mean()), float(at[0, 1]), "···", INK[theme], 20)


def _pictures(fig: go.Figure, patterns: np.ndarray, at: np.ndarray, size: float, theme: Theme) -> None:
    """Draw each unit's pattern, zero neutral, over its own largest |weight|; a 3-D one by its middle axial slice."""
    largest = np.abs(patterns).reshape(len(patterns), -1).max(1)
    tiles = mosaic.tiles_of(patterns.astype(np.float32), "middle") / np.where(largest > 0, largest, 1)[:, None, None]
    cell = size * 0.94 / max(tiles.shape[1:])
    for tile, (x, y) in zip(tiles, at, strict=True):
        rows, columns = tile.shape
        fig.add_heatmap(
            z=tile[::-1],
            x0=x - cell * (columns - 1) / 2,
            dx=cell,
            y0=y - cell * (rows - 1) / 2,
            dy=cell,
            colorscale=DIVERGING[theme],
            zmin=-1,
            zmid=0,
            zmax=1,
            showscale=False,
            hoverinfo="skip",
            name="pattern",
        )


def _layer_name(fig: go.Figure, parts: NetworkParts, name: str, stands: Placement, theme: Theme) -> None:
    layer = next(la for la in parts.layers if la.name == name)
    x, y, side = stands.label[name]
    towards = "right" if side == "left" else "left"
    anchor = {"xanchor": towards, "align": towards}
    style = "<b><i>{}</i></b>" if len(layer.heading) < 7 else "<b>{}</b>"
    text = style.format(layer.heading) + f"<br><span style='font-size:11px;color:{MUTED[theme]}'>{layer.n_units:,}"
    write(fig, x, y, text + (f" {layer.units}" if layer.units else " units") + "</span>", INK[theme], 16, **anchor)


def _link_name(fig: go.Figure, stands: Placement, block: LinkParts, theme: Theme) -> None:
    """Write the weights' name at half height beside a short arrow that shows which way the links run."""
    directed = block.directed
    (x0, y0, side), (x1, y1, _) = stands.label[block.below], stands.label[block.above]
    x = min(x0, x1) - 3.5 if side == "left" else max(x0, x1) + 3.5
    low, high = (y0 + y1) / 2 - 3.2, (y0 + y1) / 2 + 3.2
    color = RED[theme]
    for start, end, drawn in ((low, high, directed in ("up", "both")), (high, low, directed in ("down", "both"))):
        if drawn:
            fig.add_annotation(x=x, y=end, ax=x, ay=start, axref="x", ayref="y", text="", showarrow=True, arrowhead=2,
                               arrowwidth=1.8, arrowcolor=color)  # fmt: skip
    if directed == "none":
        fig.add_shape(type="line", x0=x, x1=x, y0=low, y1=high, line={"color": color, "width": 1.8})
    if block.title:
        beside = x + (1.2 if side == "left" else -1.2)
        write(fig, beside, (low + high) / 2, f"<b>{block.title}</b>", color, 14, xanchor=side)


def _key(fig: go.Figure, parts: NetworkParts, theme: Theme) -> None:
    mark = "<span style='color:{}'><b>━</b></span> {}"
    signs = [mark.format(POSITIVE[theme], "positive"), mark.format(NEGATIVE[theme], "negative weight")]
    every = mark.format(LINE[theme], "all links; the strongest stand out")
    key = " &nbsp; ".join([*signs, "wider: larger |weight|", every])
    if any(p.ndim == 5 for p in parts.receptive.values()):
        key += " &nbsp; squares: what a unit answers to, middle axial slice"
    elif any(p.ndim == 4 for p in parts.receptive.values()):
        key += " &nbsp; squares: what a unit answers to"
    fig.add_annotation(note(key, theme, x=0.5, y=0, xanchor="center", yanchor="top", yshift=-8))
