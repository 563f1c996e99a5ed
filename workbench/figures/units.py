"""What the drawings of networks are made of: rows of circles for units, red links for weights.

Layer k of the encoder and of the decoder share a colour, as in Figure 4; the representation is blue. Links are red, as
in Figure 2, and the heavier the weight the stronger the link.
"""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from workbench.figures.theme import INK, PAPER, Theme, faded, mix

RED = {"light": "#C8102E", "dark": "#FF6B6B"}
CODE_COLOR = "#3D9BDC"
LAYER_COLORS = ("#B07CC6", "#E3B505", "#009E73", "#D98324", "#8C96A3")
MOST_CIRCLES, FEWEST_CIRCLES = 13, 5
STRENGTHS = (0.06, 0.16, 0.34, 0.7)
"""Opacities of links, for the four quarters of |weight| up to the layer's largest."""


def places(size: int, largest: int) -> np.ndarray:
    """Give where a layer's circles stand between 0 and 1: more and wider for more units, on a logarithmic scale."""
    share = np.log(max(size, 2)) / np.log(max(largest, 2))
    n = int(min(size, round(FEWEST_CIRCLES + (MOST_CIRCLES - FEWEST_CIRCLES) * max(0.0, 1.6 * share - 0.6))))
    width = max(0.3, 1.9 * share - 0.9)
    return np.linspace(0.5 - width / 2, 0.5 + width / 2, n) if n > 1 else np.array([0.5])


def parted(places: np.ndarray, size: int) -> np.ndarray:
    """Leave a gap in the middle for dots where fewer circles stand than there are units."""
    if size <= len(places):
        return places
    left = np.linspace(places[0], 0.45, len(places) // 2)
    return np.concatenate([left, 1 - left[::-1]])


def draw_links(
    fig: go.Figure,
    below: np.ndarray,
    above: np.ndarray,
    level: int,
    weights: np.ndarray | None,
    theme: Theme,
    xs: tuple[float, float] | None = None,
) -> None:
    """Draw all links of two rows of circles, or of two columns at ``xs``, in four strengths."""
    if weights is None:
        strength = np.ones((len(above), len(below)), int)
    else:
        rows, columns = (
            np.linspace(0, n - 1, len(c)).round().astype(int)
            for n, c in zip(weights.shape, (above, below), strict=True)
        )
        size = np.abs(weights[np.ix_(rows, columns)])
        strength = np.minimum(3, (size / max(float(size.max()), 1e-12) * 4).astype(int))
    for at, opacity in enumerate(STRENGTHS):
        a, b = np.nonzero(strength == at)
        along = np.stack([below[b], above[a], np.full(len(a), np.nan)], 1).ravel()
        levels = (float(level), float(level + 1)) if xs is None else xs
        across = np.tile([*levels, np.nan], len(a))
        x, y = (along, across) if xs is None else (across, along)
        fig.add_scatter(
            x=x,
            y=y,
            mode="lines",
            line={"color": faded(RED[theme], opacity), "width": 0.7 + 0.9 * opacity},
            hoverinfo="skip",
            name="links",
        )


def draw_circles(
    fig: go.Figure,
    x: np.ndarray,
    y: np.ndarray,
    color: str,
    theme: Theme,
    hover: str | list[str],
    fill: np.ndarray | None = None,
) -> None:
    """Draw units; ``fill`` is how full each is (fraction), None for full ones."""
    shares = np.ones(len(x)) if fill is None else fill
    colors = [mix(PAPER[theme], color, 0.15 + 0.85 * float(s)) for s in shares]
    size = 18 if fill is None else 14
    fig.add_scatter(
        x=x,
        y=y,
        mode="markers",
        hovertext=hover,
        hoverinfo="text",
        name="units",
        marker={"size": size, "color": colors, "line": {"color": mix(color, INK[theme], 0.35), "width": 1.5}},
    )


def layer_color(depth: int, n_layers: int) -> str:
    """Give the colour of the layer at this depth, from 1; the deepest is the representation."""
    return CODE_COLOR if depth == n_layers else LAYER_COLORS[(depth - 1) % len(LAYER_COLORS)]


def hide_axes(fig: go.Figure, x: tuple[float, float], y: tuple[float, float]) -> None:
    """Set the ranges of both axes and show nothing of them."""
    bare = {
        "showgrid": False,
        "showline": False,
        "zeroline": False,
        "showticklabels": False,
        "ticks": "",
        "fixedrange": True,
    }
    fig.update_xaxes(range=list(x), **bare).update_yaxes(range=list(y), **bare)
