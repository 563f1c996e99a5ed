"""Figure 10: what the units of a first hidden layer hold together, each as a functional network on glass brains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.figures.edges import Regions, network_colors, shown_edges
from workbench.figures.glass_brain import (
    Dots,
    Place,
    draw_brain,
    draw_dots,
    draw_edges,
    draw_map,
    network_legend,
    side_by_side,
    template_views,
)
from workbench.figures.theme import INK, LINE, MUTED, Theme, finish, note

FEWEST, MOST = 8, 14
ROW_PX, VOXEL_ROW_PX = 236, 172
HEAD_MM, VOXEL_HEAD_MM = 26.0, 42.0
LEAST = 0.1
"""Of the largest |weight| of all units, below which a unit of voxels holds next to nothing and is not drawn."""
LABEL_MM, ROOM_MM = 12.6, 62.0
"""Height of a label's line, and the room for labels at each side of the axial view, both in mm of the drawing."""


@dataclass(frozen=True, eq=False)
class FunctionalUnit:
    """A hidden unit as a network of regions.

    Attributes:
        name: such as ``"unit 17"``.
        weights: (R,) onto the regions.
        network: the reference network that it fits best.
        purity: share (0 to 1) of its strongest regions that belong to that network.
        dice: overlap (0 to 1) of its strongest regions with that network.
    """

    name: str
    weights: np.ndarray
    network: str
    purity: float
    dice: float


def functional_networks(
    units: Sequence[FunctionalUnit],
    regions: Regions,
    *,
    n_regions: int = 12,
    pure_from: float = 0.6,
    rows: int = 5,
    theme: Theme = "light",
) -> go.Figure:
    """Draw the purest units at the left and the most mixed ones at the right, as Figure 10 does (Reference 33).

    A unit of voxels is drawn as a map of its strongest ones, by the one of largest |w| along each of three views.
    A unit of regions is drawn as its strongest regions by |w|; the edge between two of them is w_i · w_j, so regions
    that a unit pulls the same way are joined by a positive edge. Columns are sorted by purity.

    Args:
        units: candidates; the purest ``rows`` of those with at least ``pure_from`` are drawn at the left, at most one
            a network as long as there are others, and the least pure of the rest at the right.
        regions: with coordinates; those without are left out.
        n_regions: strongest regions of a unit, 8 to 14; of voxels any number.
        pure_from: purity from which a unit counts as one network.
        rows: at most so many units a column.
        theme: the page it is shown on.
    """
    if regions.voxel_mm is None and not FEWEST <= n_regions <= MOST:
        raise ValueError(f"n_regions must be from {FEWEST} to {MOST}; got {n_regions}")
    shown = list(units) if regions.voxel_mm is None else _living(units)
    pure, mixed = _columns(shown, pure_from, rows)
    n_rows = max(len(pure), len(mixed), 1)
    fig = make_subplots(n_rows, 2, horizontal_spacing=0.02, vertical_spacing=0.02 / n_rows)
    for column, own in enumerate((pure, mixed), 1):
        for row in range(1, n_rows + 1):
            number = (row - 1) * 2 + column
            axes = (f"x{number}", f"y{number}") if number > 1 else ("x", "y")
            if regions.voxel_mm is not None:
                places = side_by_side(template_views(), ("axial", "sagittal", "coronal"), *axes)
                _frame(fig, places, 4.0, VOXEL_HEAD_MM)
                if row <= len(own):
                    _unit_of_voxels(fig, own[row - 1], regions, places, (n_regions, column == 1), theme)
                continue
            places = side_by_side(template_views(), ("axial", "sagittal"), *axes)
            places = [places[0], _moved(places[1], 1.1 * ROOM_MM)]
            _frame(fig, places)
            if row <= len(own):
                _unit(fig, own[row - 1], regions, places, (n_regions, column == 1), theme)
    left_out = len(units) - len(shown) if regions.voxel_mm is not None else None
    _headings(fig, (len(pure), len(mixed)), pure_from, left_out, theme)
    if regions.voxel_mm is None:
        network_legend(fig, regions.groups, theme)
    fig.update_layout(margin={"t": 58, "b": 44, "l": 60, "r": 8}, legend={"y": -0.01})
    row_px = ROW_PX if regions.voxel_mm is None else VOXEL_ROW_PX
    names = ", ".join(u.network for u in pure) or "none"
    alt = f"Functional networks of {len(pure)} pure units ({names}) and {len(mixed)} mixed units on glass brains."
    return finish(fig, theme, alt=alt, height=row_px * n_rows + 110)


def _columns(
    units: Sequence[FunctionalUnit], pure_from: float, rows: int
) -> tuple[list[FunctionalUnit], list[FunctionalUnit]]:
    ranked = sorted(units, key=lambda u: (-u.purity, -u.dice))
    pure = [u for u in ranked if u.purity >= pure_from]
    firsts: list[FunctionalUnit] = []
    for unit in pure:
        if unit.network not in {u.network for u in firsts}:
            firsts.append(unit)
    others = [u for u in pure if all(u is not f for f in firsts)]
    left = sorted((firsts + others)[:rows], key=lambda u: (-u.purity, -u.dice))
    return left, [u for u in ranked if u.purity < pure_from][-rows:]


def _living(units: Sequence[FunctionalUnit]) -> list[FunctionalUnit]:
    """Leave out units that a penalty has emptied."""
    sizes = [float(np.abs(np.nan_to_num(u.weights)).max(initial=0.0)) for u in units]
    return [u for u, size in zip(units, sizes, strict=True) if size >= LEAST * max(sizes) and size > 0]


def _moved(place: Place, across_mm: float) -> Place:
    return Place(place.view, (place.shift[0] + across_mm, place.shift[1]), place.x, place.y)


def _frame(fig: go.Figure, places: Sequence[Place], room_mm: float = ROOM_MM, head_mm: float = HEAD_MM) -> None:
    left, right = places[0].box[0] - room_mm, places[-1].box[1] + 4
    bottom, top = places[0].box[2] - 4, places[0].box[3] + head_mm
    bare = {"visible": False, "constrain": "domain"}
    x, y = places[0].x, places[0].y
    fig.update_layout({
        f"xaxis{x[1:]}": bare | {"range": [left, right]},
        f"yaxis{y[1:]}": bare | {"range": [bottom, top], "scaleanchor": x},
    })  # fmt: skip


def _unit(
    fig: go.Figure, unit: FunctionalUnit, regions: Regions, places: Sequence[Place], how: tuple[int, bool], theme: Theme
) -> None:
    n_regions, pure = how
    weights = np.where(regions.placed, np.nan_to_num(np.asarray(unit.weights, float)), 0.0)
    strong = np.argsort(-np.abs(weights), kind="stable")[:n_regions]
    strong = strong[np.abs(weights[strong]) > 0]
    own, points = weights[strong], regions.places[strong]
    edges = shown_edges(np.outer(own, own))
    colors, groups = network_colors(regions.groups, theme), regions.groups
    told = [f"<b>{regions.names[i]}</b><br>{groups[i]}<br>weight {weights[i]:+.3g}" for i in strong]
    share = np.abs(own) / (np.abs(own).max(initial=0.0) or 1.0)
    symbols = ["circle" if w > 0 else "diamond" for w in own]
    dots = Dots(6 + 8 * share, [colors[groups[i]] for i in strong], told, symbols)
    for place in places:
        draw_brain(fig, place, theme)
    _labels(fig, places[0], points, [str(regions.names[i]) for i in strong], theme)
    for place in places:
        draw_edges(fig, place, points, edges, theme)
        draw_dots(fig, place, points, dots)
    _title(fig, unit, places[0], (ROOM_MM, HEAD_MM, pure), theme)


def _unit_of_voxels(
    fig: go.Figure, unit: FunctionalUnit, voxels: Regions, places: Sequence[Place], how: tuple[int, bool], theme: Theme
) -> None:
    n, pure = how
    weights = np.nan_to_num(np.asarray(unit.weights, float))
    strong = np.zeros_like(weights)
    chosen = np.argsort(-np.abs(weights), kind="stable")[:n]
    strong[chosen] = weights[chosen]
    limit = float(np.abs(strong).max(initial=0.0)) or 1.0
    for place in places:
        draw_brain(fig, place, theme)
        draw_map(fig, place, voxels, strong, (limit, "weight"), theme)
    _title(fig, unit, places[0], (0.0, VOXEL_HEAD_MM, pure), theme)


def _title(fig: go.Figure, unit: FunctionalUnit, place: Place, how: tuple[float, float, bool], theme: Theme) -> None:
    """Write a unit's name and network over it, so far to the left of the view and above it in mm."""
    room_mm, head_mm, pure = how
    left, _, _, top = place.box
    head, rest = (f"<b>{unit.network}</b>", unit.name) if pure else (f"<b>{unit.name}</b>", f"nearest {unit.network}")
    rest += f" · purity {unit.purity:.0%} · Dice {unit.dice:.2f}"
    fig.add_annotation(
        x=left - room_mm, y=top + head_mm - 4, xref=place.x, yref=place.y, xanchor="left", yanchor="top", align="left",
        text=f'{head}<span style="color:{MUTED[theme]}">  {rest}</span>', showarrow=False,
        font={"size": 13, "color": INK[theme]},
    )  # fmt: skip


def _labels(fig: go.Figure, place: Place, points: np.ndarray, names: Sequence[str], theme: Theme) -> None:
    """Write names at both sides of the axial view, evenly and in the order of their regions, with thin leaders."""
    flat = place.project(points)
    by_side = np.argsort(flat[:, 0], kind="stable")  # the leftmost half at the left: no side is crowded
    left, right, bottom, top = place.box
    lines: list[tuple[float | None, float | None]] = []
    for own, x, anchor in (
        (by_side[: len(names) // 2], left - 7, "right"),
        (by_side[len(names) // 2 :], right + 7, "left"),
    ):
        own = own[np.argsort(-flat[own, 1], kind="stable")]
        for i, y in zip(own, _spread(flat[own, 1], bottom + 16, top - 4), strict=True):
            lines += [(flat[i, 0], flat[i, 1]), (x, y), (None, None)]
            fig.add_annotation(
                x=x, y=y, xref=place.x, yref=place.y, text=_short(names[i]), showarrow=False, xanchor=anchor,
                yanchor="middle", font={"size": 11, "color": INK[theme]},
            )  # fmt: skip
    fig.add_scatter(x=[a for a, _ in lines], y=[b for _, b in lines], mode="lines", hoverinfo="skip", showlegend=False,
                    line={"color": LINE[theme], "width": 0.9}, name="leaders", **place.axes)  # fmt: skip


def _spread(wanted: np.ndarray, low: float, high: float) -> np.ndarray:
    """Move heights (falling) apart to at least a line's height, staying near where they were and within bounds."""
    at = np.asarray(wanted, float).copy()
    step = min(LABEL_MM, (high - low) / max(len(at) - 1, 1))
    for i in range(len(at)):
        at[i] = min(at[i], high if i == 0 else at[i - 1] - step)
    for i in reversed(range(len(at))):
        at[i] = max(at[i], low if i == len(at) - 1 else at[i + 1] + step)
    return at


def _short(name: str, most: int = 14) -> str:
    """Leave out the middle of a long name: its end (side, number) tells regions of one network apart."""
    return name if len(name) <= most else f"{name[: most - 6]}…{name[-5:].lstrip()}"


def _headings(fig: go.Figure, counts: tuple[int, int], pure_from: float, left_out: int | None, theme: Theme) -> None:
    what = "Regions" if left_out is None else "Voxels"
    texts = (f"<b>One network</b> (purity ≥ {pure_from:.0%})", f"<b>{what} of several networks</b>")
    for x, text, count in zip((0.0, 0.51), texts, counts, strict=True):
        said = text if count else f"{text}: none among these units"
        style = {"size": 14, "color": INK[theme]}
        fig.add_annotation(note(said, theme, x=x, y=1, yanchor="bottom", yshift=22, font=style))
    key = "edge: w<sub>i</sub> · w<sub>j</sub>, orange positive, blue negative"
    key += " · circle: positive weight, diamond: negative"
    if left_out is not None:
        key = "strongest voxels, the largest |weight| along the view: orange positive, blue negative"
        key += f" · {left_out} units with next to no weight are left out" if left_out else ""
    fig.add_annotation(note(key, theme, x=0, y=1, yanchor="bottom", yshift=2))
