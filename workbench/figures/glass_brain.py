"""Regions and connections on flat outlines of the brain: from above, from the right side, from behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import plotly.graph_objects as go

from workbench.figures.edges import (
    NEGATIVE,
    POSITIVE,
    UNNAMED,
    Edges,
    Regions,
    broken_lines,
    network_colors,
    shown_edges,
    strengths,
    width_classes,
)
from workbench.figures.theme import DIVERGING, INK, MUTED, PAPER, Theme, faded, finish, mix, note
from workbench.imaging.brain_surface import BrainView, ViewName, brain_views

MOST_EDGES = 3000
GAP_MM = 16.0
FLOOR, DARKEST = 0.1, 0.35
SIDES: dict[ViewName, tuple[str, str]] = {"axial": ("L", "R"), "sagittal": ("P", "A"), "coronal": ("L", "R")}
"""The letters at the left and the right of a view: neurological, the patient's left on the left."""


@dataclass(frozen=True, eq=False)
class Place:
    """Where a view stands in a figure.

    Attributes:
        view: outline and shading.
        shift: mm added to what is drawn, across and up.
        x: the axes it is drawn on.
        y: likewise.
    """

    view: BrainView
    shift: tuple[float, float] = (0.0, 0.0)
    x: str = "x"
    y: str = "y"

    @property
    def axes(self) -> dict[str, str]:
        """As plotly's traces want them."""
        return {"xaxis": self.x, "yaxis": self.y}

    def project(self, points_mm: np.ndarray) -> np.ndarray:
        """Give (n, 2) of (n, 3) mm."""
        return np.asarray(points_mm, float)[:, [self.view.across, self.view.up]] + self.shift

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, right, bottom and top of the outline in the figure's mm."""
        low, high = np.nanmin(self.view.outline, 0) + self.shift, np.nanmax(self.view.outline, 0) + self.shift
        return float(low[0]), float(high[0]), float(low[1]), float(high[1])


@dataclass(frozen=True, eq=False)
class Dots:
    """How regions are drawn.

    Attributes:
        sizes_px: (n,) diameters.
        colors: (n,) colours.
        told: (n,) what the pointer tells.
        symbols: (n,) or empty for circles.
        edge: colour of the rim.
    """

    sizes_px: np.ndarray
    colors: Sequence[str]
    told: Sequence[str]
    symbols: Sequence[str] = field(default_factory=tuple)
    edge: str = "#1F2733"


def glass_brain(
    matrix: np.ndarray,
    regions: Regions,
    *,
    views: Sequence[ViewName] = ("sagittal", "axial", "coronal"),
    quantity: str = "r",
    density: float | None = None,
    value: float | None = None,
    theme: Theme = "light",
) -> go.Figure:
    """Draw a network on one to three flat views of the MNI152 brain, at one scale.

    Args:
        matrix: (R, R), symmetric.
        regions: those without coordinates are not drawn.
        views: from left to right.
        quantity: of the matrix.
        density: share of all connections to draw, the strongest by |value|; 0.02 where neither is given.
        value: draw connections of at least this |value|.
        theme: the page it is shown on.
    """
    if density is None and value is None:
        density = 0.02
    edges = shown_edges(matrix, density, value, MOST_EDGES)
    placed = regions.placed
    both = placed[edges.first] & placed[edges.second]
    strength = strengths(edges, len(regions.names))
    share = np.sqrt(strength / (strength.max() or 1.0))
    colors = network_colors(regions.groups, theme)
    own = np.flatnonzero(placed).tolist()
    told = [f"<b>{regions.names[i]}</b><br>{regions.groups[i]}<br>strength {strength[i]:.3g}" for i in own]
    dots = Dots(4 + 10 * share[own], [colors[regions.groups[i]] for i in own], told)
    fig = go.Figure()
    places = side_by_side(template_views(), views)
    for place in places:
        draw_brain(fig, place, theme)
        draw_edges(fig, place, regions.places, Edges(*(part[both] for part in edges)), theme)
        draw_dots(fig, place, regions.places[own], dots)
    finish_axes(fig, places)
    network_legend(fig, [regions.groups[i] for i in own], theme)
    text = f"{int(both.sum()):,} connections, orange positive, blue negative; width by |{quantity}|, size by strength"
    fig.add_annotation(note(text, theme, y=1, yanchor="bottom", yshift=4))
    fig.update_layout(margin={"t": 40, "b": 40, "l": 8, "r": 8})
    return finish(fig, theme, alt=f"Glass brains ({', '.join(views)}) with {int(both.sum())} connections.", height=420)


def template_views() -> dict[ViewName, BrainView]:
    """Give the three views of the MNI152 template."""
    return brain_views()


def side_by_side(
    views: Mapping[ViewName, BrainView], names: Sequence[ViewName], x: str = "x", y: str = "y"
) -> list[Place]:
    """Stand views beside each other on the same axes, middles at one height."""
    places: list[Place] = []
    left = 0.0
    for name in names:
        low, high = np.nanmin(views[name].outline, 0), np.nanmax(views[name].outline, 0)
        places.append(Place(views[name], (left - float(low[0]), -float(low[1] + high[1]) / 2), x, y))
        left += float(high[0] - low[0]) + GAP_MM
    return places


def draw_brain(fig: go.Figure, place: Place, theme: Theme, *, letters: bool = True) -> None:
    """Draw shading, outline and the letters of the sides; mutates ``fig``."""
    view, paper, ink = place.view, PAPER[theme], INK[theme]
    low, high = (0.2, 0.03) if theme == "light" else (0.03, 0.27)
    # nothing is open, so that the browser may smooth: code 0 is the paper, the brain begins at FLOOR
    light = FLOOR + (1 - FLOOR) * np.clip((view.shade - DARKEST) / (1 - DARKEST), 0, 1)
    colors = [(0, paper), (FLOOR, mix(paper, ink, low)), (1, mix(paper, ink, high))]
    fig.add_heatmap(
        z=np.nan_to_num(light).astype(np.float32), x0=view.origin_mm[0] + place.shift[0], dx=view.step_mm,
        y0=view.origin_mm[1] + place.shift[1], dy=view.step_mm, colorscale=colors, zmin=0, zmax=1,
        zsmooth="best", showscale=False, hoverinfo="skip", name="brain", **place.axes,
    )  # fmt: skip
    x, y = (view.outline + place.shift).T
    fig.add_scatter(x=x, y=y, mode="lines", line={"color": faded(MUTED[theme], 0.8), "width": 1.2, "shape": "spline"},
                    hoverinfo="skip", showlegend=False, name="outline", **place.axes)  # fmt: skip
    if letters:
        left, right, bottom, _ = place.box
        for text, at, anchor in zip(SIDES[view.name], (left, right), ("left", "right"), strict=True):
            fig.add_annotation(x=at, y=bottom, xref=place.x, yref=place.y, text=text, showarrow=False, xanchor=anchor,
                               yanchor="bottom", font={"size": 12, "color": MUTED[theme]})  # fmt: skip


def draw_edges(fig: go.Figure, place: Place, points_mm: np.ndarray, edges: Edges, theme: Theme) -> None:
    """Draw connections by sign and |value|; ``points_mm`` is (R, 3); mutates ``fig``."""
    flat = place.project(points_mm)
    for positive, width, picked in width_classes(edges):
        x, y = broken_lines(flat, edges, picked).T
        color = faded((POSITIVE if positive else NEGATIVE)[theme], min(0.22 + 0.2 * width, 0.85))
        fig.add_scatter(x=x, y=y, mode="lines", line={"color": color, "width": width}, hoverinfo="skip",
                        showlegend=False, name="positive" if positive else "negative", **place.axes)  # fmt: skip


def draw_dots(fig: go.Figure, place: Place, points_mm: np.ndarray, dots: Dots) -> None:
    """Draw regions, those nearer to the viewer last; ``points_mm`` is (n, 3); mutates ``fig``."""
    along = 3 - place.view.across - place.view.up
    near = -points_mm[:, along] if place.view.name == "coronal" else points_mm[:, along]
    order = np.argsort(near, kind="stable")
    x, y = place.project(points_mm)[order].T
    fig.add_scatter(
        x=x, y=y, mode="markers", hovertext=[dots.told[i] for i in order], hoverinfo="text", showlegend=False,
        name="regions", **place.axes, marker={
            "size": np.asarray(dots.sizes_px)[order], "color": [dots.colors[i] for i in order], "opacity": 1,
            "symbol": [dots.symbols[i] for i in order] if dots.symbols else "circle",
            "line": {"width": 1, "color": [mix(dots.colors[i], dots.edge, 0.5) for i in order]},
        },
    )  # fmt: skip


def draw_map(
    fig: go.Figure, place: Place, regions: Regions, values: np.ndarray, how: tuple[float, str], theme: Theme
) -> None:
    """Draw values of voxels (V,) as the largest |value| along the view; 0 and NaN are not drawn; mutates ``fig``.

    Args:
        fig: the figure.
        place: where.
        regions: voxels, with coordinates.
        values: of the voxels.
        how: |value| at the ends of the colours, and what the values measure.
        theme: the page it is shown on.
    """
    limit, quantity = how
    step = regions.voxel_mm or 1.0
    drawn = regions.placed & np.isfinite(values) & (values != 0)
    if not drawn.any():
        return
    flat, shown = regions.places[drawn][:, [place.view.across, place.view.up]], np.asarray(values, float)[drawn]
    low = flat.min(0)
    at = np.rint((flat - low) / step).astype(int)
    picture = np.full(at.max(0)[::-1] + 1, np.nan)
    for i in np.argsort(np.abs(shown), kind="stable"):  # the largest last
        picture[at[i, 1], at[i, 0]] = shown[i]
    start = low + place.shift
    fig.add_heatmap(
        z=picture.astype(np.float32), x0=start[0], dx=step, y0=start[1], dy=step, zmin=-limit, zmax=limit,
        colorscale=DIVERGING[theme], showscale=False, hoverongaps=False, name="map", opacity=0.9,
        hovertemplate=f"{quantity} %{{z:+.3g}}<extra></extra>", **place.axes,
    )  # fmt: skip


def finish_axes(fig: go.Figure, places: Sequence[Place], room_mm: float = 6.0) -> None:
    """Hide the axes of these places, fit them to what is drawn, and keep 1 mm alike along both; mutates ``fig``."""
    boxes = np.array([p.box for p in places])
    span_x = [float(boxes[:, 0].min()) - room_mm, float(boxes[:, 1].max()) + room_mm]
    span_y = [float(boxes[:, 2].min()) - room_mm, float(boxes[:, 3].max()) + room_mm]
    x, y = places[0].x, places[0].y
    bare = {"visible": False, "constrain": "domain"}
    fig.update_layout({
        f"xaxis{x[1:]}": bare | {"range": span_x},
        f"yaxis{y[1:]}": bare | {"range": span_y, "scaleanchor": x},
    })  # fmt: skip


def network_legend(fig: go.Figure, groups: Sequence[str], theme: Theme) -> None:
    """Name the networks that are drawn, once for the whole figure; mutates ``fig``."""
    colors = network_colors(groups, theme)
    names = [n for n in dict.fromkeys(groups) if n != UNNAMED]
    for name in names + ([UNNAMED] if names and UNNAMED in groups else []):
        fig.add_scatter(x=[None], y=[None], mode="markers", name=name, marker={"size": 10, "color": colors[name]})
    fig.update_layout(legend={"orientation": "h", "x": 0, "y": 0, "yanchor": "top"})
