"""The look of every figure: colours that survive colour blindness, two templates, and the last touch.

Categories take the Okabe–Ito palette, in which no pair is told apart by red against green; maps take viridis; signed
weights take blue – neutral – orange with zero fixed at the neutral middle. A rainbow is never used.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Literal

import numpy as np
import plotly.graph_objects as go

Theme = Literal["light", "dark"]
Scale = list[tuple[float, str]]

FONT = "Source Sans, Source Sans Pro, Inter, Helvetica Neue, Arial, Liberation Sans, sans-serif"
OKABE_ITO = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#999999")
CATEGORICAL = {
    "light": OKABE_ITO,
    "dark": ("#56B4E9", "#E69F00", "#2FBF94", "#CC79A7", "#3B8FD0", "#FF8A3D", "#F0E442", "#B0B7C3"),
}
"""Okabe–Ito for curves and dots; on the dark page its darkest members are lightened."""
LABEL_COLORS = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7", "#B0B7C3")
"""The same palette in the order for labels, whose first colours stand out on grey anatomy."""
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "star", "pentagon", "hexagon")

PRIMARY = {"light": "#0072B2", "dark": "#56B4E9"}
ACCENT = {"light": "#D55E00", "dark": "#FF8A3D"}
PAPER = {"light": "#FFFFFF", "dark": "#0E1117"}
PANEL = {"light": "#F6F7F9", "dark": "#161B24"}
INK = {"light": "#1F2733", "dark": "#E8EBF0"}
MUTED = {"light": "#667080", "dark": "#98A2B3"}
GRID = {"light": "#E4E8EE", "dark": "#262D3A"}
LINE = {"light": "#C5CCD6", "dark": "#3A4354"}

POINT = "#FF3B30"
"""The red of the cross that marks a point; always drawn with a white edge."""

GREY: Scale = [(0.0, "#000000"), (1.0, "#FFFFFF")]
VIRIDIS: Scale = [
    (0.0, "#440154"), (0.125, "#482878"), (0.25, "#3E4A89"), (0.375, "#31688E"), (0.5, "#26828E"),
    (0.625, "#1F9E89"), (0.75, "#35B779"), (0.875, "#6DCD59"), (0.9375, "#B4DE2C"), (1.0, "#FDE725"),
]  # fmt: skip
DIVERGING: dict[str, Scale] = {
    "light": [
        (0.0, "#053061"), (0.125, "#1B5A9B"), (0.25, "#4393C3"), (0.375, "#A6CFE4"), (0.5, "#F1F1F1"),
        (0.625, "#FBC99F"), (0.75, "#E8853A"), (0.875, "#B8510D"), (1.0, "#6B2C04"),
    ],
    "dark": [
        (0.0, "#C6E6FF"), (0.125, "#86C5F4"), (0.25, "#3F8FCB"), (0.375, "#1F4E7A"), (0.5, "#1A202B"),
        (0.625, "#77401A"), (0.75, "#CC6A1C"), (0.875, "#F7A55B"), (1.0, "#FFE0BF"),
    ],
}  # fmt: skip


@cache
def template(theme: Theme = "light") -> go.layout.Template:
    """Give the layout defaults of a light or a dark page."""
    axis = {
        "gridcolor": GRID[theme], "gridwidth": 1, "zeroline": False, "linecolor": LINE[theme], "showline": True,
        "ticks": "outside", "ticklen": 4, "tickcolor": LINE[theme], "tickfont": {"color": MUTED[theme], "size": 12},
        "title": {"font": {"color": INK[theme], "size": 13}, "standoff": 8}, "automargin": True, "ticklabelstandoff": 2,
    }  # fmt: skip
    scene_axis = {"gridcolor": GRID[theme], "backgroundcolor": PAPER[theme], "color": MUTED[theme], "zeroline": False}
    layout = go.Layout(
        font={"family": FONT, "size": 13, "color": INK[theme]},
        title={"x": 0, "xref": "paper", "xanchor": "left", "font": {"size": 16}},
        paper_bgcolor=PAPER[theme],
        plot_bgcolor=PAPER[theme],
        colorway=CATEGORICAL[theme],
        colorscale={"sequential": VIRIDIS, "sequentialminus": VIRIDIS, "diverging": DIVERGING[theme]},
        xaxis=axis,
        yaxis=axis,
        scene={"xaxis": scene_axis, "yaxis": scene_axis, "zaxis": scene_axis},
        hoverlabel={"bgcolor": PANEL[theme], "bordercolor": LINE[theme], "font": {"family": FONT, "color": INK[theme]}},
        legend={
            "bgcolor": "rgba(0,0,0,0)",
            "font": {"size": 12},
            "itemsizing": "constant",
            "title": {"font": {"size": 12}},
        },
        modebar={"bgcolor": "rgba(0,0,0,0)", "color": LINE[theme], "activecolor": PRIMARY[theme]},
        margin={"l": 56, "r": 16, "t": 40, "b": 48},
        hovermode="closest",
        dragmode="pan",
    )
    return go.layout.Template(layout=layout)


def finish(fig: go.Figure, theme: Theme, *, alt: str, height: int) -> go.Figure:
    """Give the figure its template, its height in pixels and its sentence for screen readers; mutates ``fig``."""
    if theme not in PAPER:
        raise LookupError(f"theme must be one of {', '.join(PAPER)}; got {theme!r}")
    fig.update_layout(template=template(theme), height=height, meta={"alt": alt, "theme": theme})
    return fig


def label_color(value: int) -> str:
    """Give the colour of a label value (1, 2, …), the same in every figure and in the slice viewer.

    Beyond eight the hues return darker or lighter, so the name is always written too.
    """
    turn, index = divmod(value - 1, len(LABEL_COLORS))
    return LABEL_COLORS[index] if turn == 0 else mix(LABEL_COLORS[index], "#000000" if turn % 2 else "#FFFFFF", 0.45)


def series_color(index: int, theme: Theme) -> str:
    """Give the colour of the series of this index (0, 1, …); after eight they return: tell them by symbol too."""
    return CATEGORICAL[theme][index % len(CATEGORICAL[theme])]


def mix(color: str, other: str, share: float) -> str:
    """Blend ``share`` (fraction) of ``other`` into ``color``; both ``#RRGGBB``."""
    pairs = zip(_rgb(color), _rgb(other), strict=True)
    return "#" + "".join(f"{round(a * (1 - share) + b * share):02X}" for a, b in pairs)


def faded(color: str, opacity: float) -> str:
    """Give ``#RRGGBB`` as rgba with an opacity (fraction)."""
    red, green, blue = _rgb(color)
    return f"rgba({red},{green},{blue},{opacity:.3g})"


def colorbar(theme: Theme, title: str, **place: object) -> dict[str, object]:
    """Give a slim colour bar with this title; ``place`` overrides plotly's own settings."""
    text = {"size": 12, "color": INK[theme]}
    bar = {
        "title": {"text": title, "font": text, "side": "right"},
        "thickness": 10,
        "outlinewidth": 0,
        "ticks": "outside",
        "ticklen": 3,
        "tickcolor": LINE[theme],
        "tickfont": {"size": 11, "color": MUTED[theme]},
        "len": 0.9,
    }
    return bar | place


def colorbar_above(theme: Theme, title: str, length_px: int, ticks: dict[float, str]) -> dict[str, object]:
    """Give a colour bar that lies above the figure at its right; ``ticks`` maps values to their text."""
    bar = colorbar(theme, title, orientation="h", lenmode="pixels", len=length_px, ypad=4, xpad=14)
    bar["title"] = {"text": title, "side": "top", "font": {"size": 12, "color": INK[theme]}}
    place = {"x": 1, "xanchor": "right", "y": 1, "yanchor": "bottom"}
    return bar | place | {"tickvals": list(ticks), "ticktext": list(ticks.values())}


def note(text: str, theme: Theme, *, x: float = 0.0, y: float = 1.0, **place: object) -> dict[str, object]:
    """Give an annotation in paper coordinates, without an arrow, in the muted ink; ``place`` overrides."""
    style = {"showarrow": False, "xanchor": "left", "align": "left", "font": {"size": 12, "color": MUTED[theme]}}
    return {"text": text, "x": x, "y": y, "xref": "paper", "yref": "paper"} | style | place


def write(fig: go.Figure, x: float, y: float, text: str, color: str, size: int, **place: object) -> None:
    """Write text at a point of the first axes; ``place`` takes plotly's settings of an annotation; mutates ``fig``."""
    fig.add_annotation(
        {"x": x, "y": y, "text": text, "showarrow": False, "font": {"size": size, "color": color}} | place
    )


def arrow(fig: go.Figure, start: tuple[float, float], end: tuple[float, float], color: str) -> None:
    """Draw an arrow between two points of the first axes; mutates ``fig``."""
    tail = {"ax": start[0], "ay": start[1], "axref": "x", "ayref": "y", "xref": "x", "yref": "y"}
    head = {"showarrow": True, "arrowhead": 2, "arrowwidth": 1.7, "arrowcolor": color}
    fig.add_annotation({"x": end[0], "y": end[1], "text": ""} | tail | head)


def interval(mean: Iterable[float], low: Iterable[float], high: Iterable[float], **style: object) -> dict[str, object]:
    """Give horizontal error bars from ``low`` to ``high`` about ``mean``; ``style`` takes plotly's settings."""
    middle, lower, upper = (np.asarray(list(v), float) for v in (mean, low, high))
    bar = {"type": "data", "symmetric": False, "array": upper - middle, "arrayminus": middle - lower, "width": 0}
    return bar | style


def listed(names: Sequence[str], limit: int = 6) -> str:
    """Join names for a sentence, the first few and how many more."""
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")


def _rgb(color: str) -> tuple[int, int, int]:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)
