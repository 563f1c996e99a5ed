"""Figure 9 b, c: learned weights of a Gaussian RBM beneath those of the first layer of the Boltzmann machine above it.

One column a unit: its 3-D patch as slices beneath each other, 11 for a patch of 11³ voxels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from workbench.figures import mosaic
from workbench.figures.theme import DIVERGING, INK, MUTED, Theme, colorbar_above, finish, listed, note
from workbench.figures.units import hide_axes

AXES = {"axial": (0, 1, 2), "coronal": (0, 2, 1), "sagittal": (1, 2, 0)}
"""Axes of the patch drawn across and upwards, and the one that counts slices."""
ENDS = {"axial": ("S", "I"), "coronal": ("A", "P"), "sagittal": ("R", "L")}
SIDES = {
    "axial": "each slice: patient’s right on the left, anterior up",
    "coronal": "each slice: patient’s right on the left, superior up",
    "sagittal": "each slice: posterior on the left, superior up",
}
UNIT_GAP, BLOCK_GAP, PANEL_GAP = 2, 5, 9
MOST_PX, PAGE_PX = 1500, 1000


@dataclass(frozen=True, eq=False)
class PathwayFilters:
    """The two blocks of one modality.

    Attributes:
        title: the modality, such as ``"MRI"``.
        lower: (n, C, X, Y, Z) weights of the Gaussian RBM, in input space.
        upper: (m, C, X, Y, Z) weights of the first hidden layer above it, projected back to input space.
        lower_units: which units of ``lower``, from left to right; None for all as they come.
        upper_units: the same of ``upper``.
    """

    title: str
    lower: np.ndarray
    upper: np.ndarray
    lower_units: Sequence[int] | None = None
    upper_units: Sequence[int] | None = None


def two_block_filters(
    pathways: Sequence[PathwayFilters],
    *,
    plane: str = "axial",
    names: tuple[str, str] = ("Gaussian RBM", "first DBM layer"),
    theme: Theme = "light",
) -> go.Figure:
    """Draw a panel a modality: the lower block beneath the upper one, one column a unit (Figure 9 b, c).

    Colours span each unit's own largest absolute weight, with zero neutral.

    Args:
        pathways: one panel each.
        plane: ``"axial"``, ``"coronal"`` or ``"sagittal"`` slices.
        names: what the lower and the upper block are.
        theme: the page it is shown on.
    """
    if plane not in AXES:
        raise LookupError(f"plane must be one of {', '.join(AXES)}; got {plane!r}")
    if not pathways or any(p.lower.ndim != 5 or p.upper.ndim != 5 for p in pathways):
        raise ValueError("two blocks need pathways whose weights are (n, C, X, Y, Z)")
    panels = [_panel(p, plane) for p in pathways]
    rows = max(panel.image.shape[0] for panel in panels)
    width = sum(panel.image.shape[1] for panel in panels) + PANEL_GAP * (len(panels) - 1)
    cell = min((PAGE_PX - 110) / width, MOST_PX / rows, 14.0)
    fig, left = go.Figure(), 0
    for index, (pathway, panel) in enumerate(zip(pathways, panels, strict=True)):
        _draw(fig, panel, left, 1 + 40 / (rows * cell) if index == len(panels) - 1 else 0, theme)
        _captions(fig, pathway, panel, left, (index if len(panels) > 1 else -1, plane, names), theme)
        left += panel.image.shape[1] + PANEL_GAP
    hide_axes(fig, (-0.5, width - 0.5), (rows - 0.5, -0.5))
    fig.update_xaxes(constrain="domain", constraintoward="left")
    fig.update_yaxes(scaleanchor="x", constrain="domain", constraintoward="top")
    fig.add_annotation(note(SIDES[plane], theme, y=0, yanchor="top", yshift=-6))
    fig.update_layout(margin={"t": 126, "b": 28, "l": 96, "r": 10}, showlegend=False)
    alt = f"Learned weights of {listed([p.title for p in pathways])}: {names[1]} above, {names[0]} below; "
    alt += f"one column a unit, its {plane} slices beneath each other, blue negative and orange positive."
    return finish(fig, theme, alt=alt, height=round(rows * cell) + 154)


def turned(weights: np.ndarray, plane: str) -> np.ndarray:
    """Turn patches (n, C, X, Y, Z) so that :mod:`workbench.figures.mosaic` cuts them along ``plane``, not axially."""
    across, up, along = AXES[plane]
    patches = weights.transpose(0, 1, 2 + across, 2 + up, 2 + along)
    return patches[:, :, ::-1] if across else patches  # tiles mirror their first axis; only left and right want that


@dataclass(frozen=True, eq=False)
class _Panel:
    """Both blocks as one image (rows, columns), what unit and weight each cell has, and where the blocks begin."""

    image: np.ndarray
    unit: np.ndarray
    weight: np.ndarray
    lower_row: int
    n_slices: int


def _panel(pathway: PathwayFilters, plane: str) -> _Panel:
    blocks = []
    for weights, chosen in ((pathway.upper, pathway.upper_units), (pathway.lower, pathway.lower_units)):
        units = np.arange(len(weights)) if chosen is None else np.asarray(chosen, int)
        if not len(units):
            raise ValueError(f"{pathway.title} has no unit to draw in one of its blocks")
        blocks.append(_columns(np.asarray(weights, np.float32)[units], units, plane))
    width = max(block.shape[2] for block in blocks)
    padded = [np.pad(b, ((0, 0), (0, BLOCK_GAP), (0, width - b.shape[2])), constant_values=np.nan) for b in blocks]
    image, unit, weight = np.concatenate(padded, 1)[:, :-BLOCK_GAP]
    return _Panel(image, unit, weight, padded[0].shape[1], pathway.upper.shape[2 + AXES[plane][2]])


def _columns(weights: np.ndarray, units: np.ndarray, plane: str) -> np.ndarray:
    """Give share of the unit's largest, unit and weight of each cell, (3, rows, columns), NaN between columns."""
    tiles = mosaic.tiles_of(turned(weights, plane))  # (n, rows, columns), the last slice first
    largest = np.abs(weights).reshape(len(weights), -1).max(1)
    shares = tiles / np.where(largest > 0, largest, 1)[:, None, None]
    numbers = np.where(np.isnan(tiles), np.nan, units[:, None, None])
    between = ((0, 0), (0, 0), (0, UNIT_GAP))
    cells = [np.concatenate(np.pad(v, between, constant_values=np.nan), 1)[:, :-UNIT_GAP]
             for v in (shares, numbers, tiles)]  # fmt: skip
    return np.stack(cells)


def _draw(fig: go.Figure, panel: _Panel, left: int, bar: float, theme: Theme) -> None:
    """Draw the panel; a colour bar stands at ``bar`` of the plot's height, none where that is 0."""
    ticks = {-1.0: "−1", 0.0: "0", 1.0: "1"}
    title = "weight ÷ largest |weight| of its unit"
    fig.add_heatmap(
        z=panel.image.astype(np.float32),
        x0=left,
        dx=1,
        y0=0,
        dy=1,
        zmin=-1,
        zmid=0,
        zmax=1,
        colorscale=DIVERGING[theme],
        showscale=bar > 0,
        colorbar=colorbar_above(theme, title, 220, ticks) | {"y": bar},
        hoverongaps=False,
        customdata=np.stack([panel.unit, panel.weight], -1).astype(np.float32),
        hovertemplate="unit %{customdata[0]}<br>weight %{customdata[1]:.3g}<extra></extra>",
    )


def _captions(
    fig: go.Figure,
    pathway: PathwayFilters,
    panel: _Panel,
    left: int,
    where: tuple[int, str, tuple[str, str]],
    theme: Theme,
) -> None:
    index, plane, names = where  # index -1: the only panel, without a letter
    letter = f"<b>{'bcdefgh'[index % 7]}</b>  " if index >= 0 else ""
    n_upper, n_lower = (len(u) if u is not None else len(w) for u, w in (
        (pathway.upper_units, pathway.upper), (pathway.lower_units, pathway.lower)))  # fmt: skip
    head = {"x": left - 0.5, "xanchor": "left", "showarrow": False, "align": "left", "yanchor": "bottom"}
    size = f"{n_upper} units above, {n_lower} below, {panel.n_slices} slices each"
    text = f"{letter}{pathway.title}<br><span style='font-size:12px;color:{MUTED[theme]}'>{size}</span>"
    fig.add_annotation(**head, y=1, yref="paper", yshift=6, text=text, font={"size": 15, "color": INK[theme]})
    rows = ((0, panel.lower_row - BLOCK_GAP, names[1]), (panel.lower_row, panel.image.shape[0], names[0]))
    for top, bottom, name in rows:
        if index <= 0:
            fig.add_annotation(x=0, xref="paper", xshift=-34, y=(top + bottom) / 2, text=f"<b>{name}</b>",
                               textangle=-90, showarrow=False, xanchor="right",
                               font={"size": 13, "color": INK[theme]})  # fmt: skip
            for y, end, anchor in ((top, ENDS[plane][0], "top"), (bottom - 1, ENDS[plane][1], "bottom")):
                fig.add_annotation(x=0, xref="paper", xshift=-12, y=y, text=end, showarrow=False, xanchor="right",
                                   yanchor=anchor, font={"size": 12, "color": MUTED[theme]})  # fmt: skip
