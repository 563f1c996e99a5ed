"""A brain network in 3-D: regions by strength, connections by sign, inside the see-through surface of a brain."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from workbench.figures.edges import (
    NEGATIVE,
    POSITIVE,
    Edges,
    Regions,
    broken_lines,
    network_colors,
    shown_edges,
    strengths,
    width_classes,
)
from workbench.figures.theme import INK, Theme, finish, mix, note
from workbench.imaging.brain_surface import BrainSurface, brain_surface

MOST_EDGES = 4000
SMALLEST_PX, LARGEST_PX = 5.0, 17.0
SKIN = {"light": "#9AA7BA", "dark": "#8FA0BC"}
SIDES = (("L", -84, -18, 5), ("R", 84, -18, 5), ("A", 0, 86, 5), ("P", 0, -119, 5))
"""Letters and where they stand, mm."""
LIGHTING = {"ambient": 0.55, "diffuse": 0.5, "specular": 0.35, "roughness": 0.6, "fresnel": 1.6}


def connectome(
    matrix: np.ndarray,
    regions: Regions,
    *,
    surface: BrainSurface | None = None,
    quantity: str = "r",
    density: float | None = None,
    value: float | None = None,
    theme: Theme = "light",
) -> go.Figure:
    """Draw the regions of a network and its strongest connections in MNI space.

    Args:
        matrix: (R, R), symmetric.
        regions: those without coordinates are counted in the note but not drawn.
        surface: the see-through brain; None for the MNI152 template's.
        quantity: of the matrix, ``"r"`` or ``"Fisher z"``.
        density: share of all connections to draw, the strongest by |value|; 0.02 where neither is given.
        value: draw connections of at least this |value|.
        theme: the page it is shown on.
    """
    if density is None and value is None:
        density = 0.02
    placed = regions.placed
    edges = shown_edges(matrix, density, value, MOST_EDGES)
    both = placed[edges.first] & placed[edges.second]
    drawn = Edges(*(part[both] for part in edges))
    fig = go.Figure()
    _brain(fig, surface or template_surface(), theme)
    _edges(fig, drawn, regions, quantity, theme)
    _nodes(fig, edges, regions, theme)
    _scene(fig)
    missing = int((~placed).sum())
    parts = [f"{len(drawn.value):,} connections, width by |{quantity}|", "size of a region by strength"]
    parts += [f"{missing} regions without coordinates not drawn"] if missing else []
    fig.add_annotation(note(" · ".join(parts), theme, y=0, yanchor="bottom"))
    alt = (
        f"{int(placed.sum())} brain regions in three dimensions with their {len(drawn.value)} strongest connections, "
        "orange positive and blue negative."
    )
    return finish(fig, theme, alt=alt, height=600)


def template_surface(spacing_mm: int = 4) -> BrainSurface:
    """Give the surface of the MNI152 template, from a lattice of this spacing in mm."""
    return brain_surface(spacing_mm)


def _brain(fig: go.Figure, surface: BrainSurface, theme: Theme) -> None:
    x, y, z = surface.vertices.T
    i, j, k = surface.faces.T
    fig.add_mesh3d(
        x=x, y=y, z=z, i=i, j=j, k=k, color=SKIN[theme], opacity=0.11 if theme == "light" else 0.15, flatshading=False,
        lighting=LIGHTING, lightposition={"x": -1000, "y": 1500, "z": 3000}, hoverinfo="skip", name="brain",
    )  # fmt: skip


def _edges(fig: go.Figure, edges: Edges, regions: Regions, quantity: str, theme: Theme) -> None:
    places = regions.places
    named: set[bool] = set()
    for positive, width, picked in width_classes(edges):
        x, y, z = broken_lines(places, edges, picked).T
        color = (POSITIVE if positive else NEGATIVE)[theme]
        name = "positive" if positive else "negative"
        fig.add_scatter3d(x=x, y=y, z=z, mode="lines", name=name, legendgroup=name, showlegend=positive not in named,
                          line={"color": color, "width": width * 2}, hoverinfo="skip",
                          opacity=min(0.4 + 0.2 * width, 0.95))  # fmt: skip
        named.add(positive)
    middle = (places[edges.first] + places[edges.second]) / 2
    told = [f"{regions.names[i]} – {regions.names[j]}<br>{quantity} {v:.3f}" for i, j, v in zip(*edges, strict=True)]
    fig.add_scatter3d(
        **dict(zip("xyz", middle.T, strict=True)), mode="markers", marker={"size": 4, "color": "rgba(0,0,0,0)"},
        hovertext=told, hoverinfo="text", showlegend=False, name="middle of an edge",
    )  # fmt: skip


def _nodes(fig: go.Figure, edges: Edges, regions: Regions, theme: Theme) -> None:
    strength = strengths(edges, len(regions.names))
    share = np.sqrt(strength / (strength.max() or 1.0))
    groups, places = np.asarray(regions.groups), regions.places
    colors = network_colors(regions.groups, theme)
    for name in dict.fromkeys(groups):
        own = np.flatnonzero((groups == name) & regions.placed).tolist()
        told = [
            f"<b>{regions.names[i]}</b><br>{name}<br>strength {strength[i]:.3g}<br>"
            + ", ".join(f"{v:.0f}" for v in places[i]) + " mm" for i in own
        ]  # fmt: skip
        fig.add_scatter3d(
            **dict(zip("xyz", places[own].T, strict=True)), mode="markers", name=str(name), hovertext=told,
            hoverinfo="text", marker={
                "size": SMALLEST_PX + (LARGEST_PX - SMALLEST_PX) * share[own], "color": colors[str(name)], "opacity": 1,
                "line": {"width": 1, "color": mix(colors[str(name)], INK["light"], 0.45)},
            },
        )  # fmt: skip


def _scene(fig: go.Figure) -> None:
    hidden = {"visible": False, "showspikes": False}
    letters = [
        {"x": x, "y": y, "z": z, "text": t, "showarrow": False, "font": {"size": 13}, "opacity": 0.75}
        for t, x, y, z in SIDES
    ]
    eye = {"eye": {"x": -0.85, "y": 0.6, "z": 0.8}, "center": {"x": 0, "y": 0, "z": -0.04}}
    fig.update_layout(
        scene={"xaxis": hidden, "yaxis": hidden, "zaxis": hidden, "aspectmode": "data", "camera": eye,
               "annotations": letters},
        legend={"x": 1, "xanchor": "right", "y": 1}, margin={"l": 0, "r": 0, "t": 8, "b": 8}, dragmode="orbit",
    )  # fmt: skip
