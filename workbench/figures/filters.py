"""Learned weights as tiles: what each hidden unit has learnt to see, dead units marked, zero in neutral."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import plotly.graph_objects as go

from workbench.figures import mosaic
from workbench.figures.mosaic import LAYOUTS, Layout, Mosaic
from workbench.figures.theme import (
    ACCENT,
    DIVERGING,
    MUTED,
    PAPER,
    PRIMARY,
    Theme,
    colorbar_above,
    finish,
    note,
)

HEADING_PX = 17
MIN_HEADED_PX = 30
"""A tile at least so wide on a page of 1000 px has its unit's number above it."""
MAX_HOVER_CELLS = 120_000
"""Beyond so many cells weights are drawn in 255 steps and units are told at their heads: pages stay under 5 MB."""


def filter_tiles(
    weights: np.ndarray,
    *,
    mean_activation: np.ndarray | None = None,
    dead: np.ndarray | None = None,
    order: Sequence[int] | None = None,
    layout: Layout = "slices",
    scale: Literal["each", "shared"] = "each",
    theme: Theme = "light",
) -> go.Figure:
    """Draw one tile, or one column of slices, a hidden unit (Figures 4 and 9).

    Args:
        weights: (n, C, X, Y) or (n, C, X, Y, Z), in input space.
        mean_activation: (n,) fraction, written at each unit.
        dead: (n,) bool; these units are faded and hatched.
        order: which units, in which order; None for all as they come.
        layout: how a 3-D patch is cut; see :data:`workbench.figures.mosaic.LAYOUTS`.
        scale: colours span each unit's own largest absolute weight, or the largest of all units.
        theme: the page it is shown on.
    """
    units = np.arange(len(weights)) if order is None else np.asarray(order, int)
    if len(units) == 0:
        raise ValueError("there is no unit to draw; give at least one row of weights")
    shown = np.asarray(weights, np.float32)[units]
    largest = np.abs(shown).reshape(len(units), -1).max(1)
    span = np.where(largest > 0, largest, 1.0) if scale == "each" else np.full(len(units), largest.max() or 1.0)
    tiles = mosaic.tiles_of(shown, layout)
    grid = _grid(tiles / span[:, None, None])
    activation = None if mean_activation is None else np.asarray(mean_activation, float)[units]
    marked = np.flatnonzero(np.asarray(dead, bool)[units]) if dead is not None else np.array([], int)
    fig = go.Figure()
    _draw(fig, grid, units, span, activation, scale, theme)
    if len(marked):
        mosaic.hatch(fig, grid, marked, theme, f"× dead unit: {len(marked)} of {len(units)}")
    heads = _heads(fig, grid, units, activation, marked, theme)
    _axes(fig, grid, units, heads)
    _caption(fig, len(units), layout if weights.ndim == 5 else None, theme)
    fig.update_layout(legend={"x": 0, "y": 1, "yanchor": "bottom"}, margin={"t": 84, "b": 12, "l": 48, "r": 16})
    return finish(
        fig, theme, alt=_alt(weights, units, layout, marked, scale), height=mosaic.height_of(grid, heads) + 100
    )


def activation_histogram(
    mean_activation: np.ndarray, rho: float | None = None, *, dead_below: float = 0.001, theme: Theme = "light"
) -> go.Figure:
    """Draw how many units have which mean activation, beside the wanted sparsity.

    Args:
        mean_activation: (n,) fraction of the activation's range.
        rho: the sparsity that training aims at; None when there is none.
        dead_below: units below it count as dead.
        theme: the page it is shown on.
    """
    values = np.asarray(mean_activation, float)
    top = max(float(values.max(initial=0.0)), rho or 0.0, 0.02) * 1.04
    fig = go.Figure()
    fig.add_histogram(
        x=values, xbins={"start": 0, "end": top, "size": top / 40}, marker={"color": PRIMARY[theme]}, name="units",
        hovertemplate="mean activation %{x}<br>%{y} units<extra></extra>", showlegend=False,
    )  # fmt: skip
    n_dead = int((values < dead_below).sum())
    if rho is not None:
        fig.add_vline(x=rho, line={"color": ACCENT[theme], "width": 2, "dash": "dash"}, annotation={
            "text": f"aim ρ = {rho:g}", "font": {"color": ACCENT[theme], "size": 12}, "yshift": 14, "showarrow": False,
            "xanchor": "left", "x": rho})  # fmt: skip
    text = f"{len(values)} units · median {np.median(values):.3g} · {n_dead} dead (below {dead_below:g})"
    fig.add_annotation(note(text, theme, y=1, yanchor="bottom", yshift=22))
    fig.update_layout(bargap=0.06, margin={"t": 64})
    words = "mean activation of a unit" + (", fraction" if values.max(initial=0.0) <= 1 else "")
    fig.update_xaxes(title=words, range=[0, top], showgrid=False)
    fig.update_yaxes(title="number of units", showline=False, ticks="", tickformat=",d", nticks=6)
    return finish(fig, theme, alt=f"Histogram of mean activations: {text}.", height=320)


def _grid(tiles: np.ndarray) -> Mosaic:
    """Lay the tiles out with numbers above them, or without where they would be too narrow for a number."""
    grid = mosaic.compose(tiles, heading_px=HEADING_PX)
    return grid if _headed(grid) else mosaic.compose(tiles)


def _headed(grid: Mosaic) -> bool:
    return grid.tile[1] * mosaic.cell_px(grid.image.shape[1], *grid.tile) >= MIN_HEADED_PX


def _draw(
    fig: go.Figure,
    grid: Mosaic,
    units: np.ndarray,
    span: np.ndarray,
    activation: np.ndarray | None,
    scale: str,
    theme: Theme,
) -> None:
    """Draw the mosaic of weights ÷ span with zero in the middle of the colours."""
    title = "weight ÷ largest |weight| of its unit" if scale == "each" else "weight"
    limit = 1.0 if scale == "each" else float(span[0])
    colors = DIVERGING[theme]
    if grid.image.size > MAX_HOVER_CELLS:  # 255 steps; -128 is the gap between tiles and takes the page's colour
        end, z = 128, np.nan_to_num(np.rint(grid.image * 127), nan=-128).astype(np.int8)
        edge = 0.5 / 256
        colors = [(0.0, PAPER[theme]), (edge, PAPER[theme]), (edge, colors[0][1]), *colors[1:]]
        largest = "its unit’s largest" if scale == "each" else f"{limit:.3g}"
        hover: dict[str, object] = {"hovertemplate": f"%{{z}}/127 of {largest}<extra></extra>"}
    else:
        end, z, hover = 1, grid.image, _hover(grid, units, span, activation)
    ticks = {float(e): f"{v:.3g}" for e, v in zip((-end, 0, end), (-limit, 0, limit), strict=True)}
    bar = colorbar_above(theme, title, 220, ticks)
    fig.add_heatmap(z=z, zmin=-end, zmid=0, zmax=end, colorscale=colors, colorbar=bar, hoverongaps=False, **hover)


def _hover(grid: Mosaic, units: np.ndarray, span: np.ndarray, activation: np.ndarray | None) -> dict[str, object]:
    number = np.nan_to_num(grid.index()).astype(int)
    fields = [units[number], grid.image * span[number]] + ([] if activation is None else [activation[number]])
    lines = ["unit %{customdata[0]}", "weight %{customdata[1]:.4g}"]
    lines += [] if activation is None else ["mean activation %{customdata[2]:.3g}"]
    return {
        "customdata": np.stack(fields, -1).astype(np.float32),
        "hovertemplate": "<br>".join(lines) + "<extra></extra>",
    }


def _heads(
    fig: go.Figure, grid: Mosaic, units: np.ndarray, activation: np.ndarray | None, marked: np.ndarray, theme: Theme
) -> float:
    """Write each unit's number above its tile where there is room; give the cells that this needs above the mosaic."""
    headed = _headed(grid)
    if not headed and grid.image.size <= MAX_HOVER_CELLS:
        return 0.0
    hover = [
        f"unit {u}" + ("" if activation is None else f"<br>mean activation {activation[i]:.3g}")
        for i, u in enumerate(units)
    ]
    text = [f"<b>{u}</b>" + (" ×" if i in marked else "") for i, u in enumerate(units)] if headed else None
    fig.add_scatter(
        x=grid.centers[:, 0],
        y=grid.corners[:, 0] - (0.5 if headed else 1.0),
        mode="text" if headed else "markers",
        text=text,
        textposition="top center",
        textfont={"size": 11, "color": MUTED[theme]},
        hovertext=hover,
        hoverinfo="text",
        marker={"size": 6, "opacity": 0},
        showlegend=False,
        name="unit",
        cliponaxis=False,
    )
    return HEADING_PX / mosaic.cell_px(grid.image.shape[1], *grid.tile) if headed else 2.0


def _axes(fig: go.Figure, grid: Mosaic, units: np.ndarray, heads: float) -> None:
    mosaic.cell_axes(fig, grid, extra=(heads, 0))
    if not _headed(grid):
        first = np.arange(0, len(units), grid.columns)
        fig.update_yaxes(
            showticklabels=True,
            ticklabelstandoff=6,
            tickmode="array",
            tickvals=grid.centers[first, 1],
            ticktext=[str(units[i]) for i in first],
            title={"text": "first unit of the row", "standoff": 4},
        )


def _caption(fig: go.Figure, n: int, layout: Layout | None, theme: Theme) -> None:
    text = f"{n} units" if n > 1 else "one unit"
    if layout is not None:
        text += f" · radiological (patient’s right on the left)<br>{LAYOUTS[layout]}"
    fig.add_annotation(note(text, theme, y=1, yanchor="bottom", yshift=24, name="caption"))


def _alt(weights: np.ndarray, units: np.ndarray, layout: Layout, marked: np.ndarray, scale: str) -> str:
    size = " × ".join(str(s) for s in weights.shape[2:])
    how = f", {LAYOUTS[layout]}" if weights.ndim == 5 else ""
    dead = f"; {len(marked)} of them are dead and hatched" if len(marked) else ""
    what = f"Weights of {len(units)} hidden units as tiles of {size} voxels{how}"
    return f"{what}, blue negative and orange positive, {scale} scale{dead}."
