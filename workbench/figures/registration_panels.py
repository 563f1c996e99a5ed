"""Sheets of slice panels at one scale in mm, with contours over them: what the figures of a registration are drawn on.

Fixed labels are red full lines, labels brought over by a registration blue dashes (Figure 6 of the review), so that
the two are told apart without color too, and both are seen where they run on each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from skimage.measure import find_contours

from workbench.figures import planes
from workbench.figures.planes import PLANES, Convention, Panel, Plane
from workbench.figures.theme import INK, MUTED, Theme, note
from workbench.imaging.volume import Volume

RED, BLUE, YELLOW = "#FF3B30", "#3DA5FF", "#FFD60A"
PAGE_PX, GAP_PX, TITLE_PX = 1000, 10, 24
Voxel = tuple[int, int, int]


@dataclass(frozen=True)
class Sheet:
    """Panels in rows.

    Attributes:
        fig: what they are drawn in.
        rows: the panels, row by row.
        boxes: name of a plane → (2, 2) mm, across and up, low and high: the part that its panels show.
        height: of the figure in px.
    """

    fig: go.Figure
    rows: list[list[Panel]]
    boxes: Mapping[str, np.ndarray]
    height: int

    @property
    def panels(self) -> list[Panel]:
        """All panels, row by row."""
        return [panel for row in self.rows for panel in row]


def sheet(
    rows: Sequence[Sequence[str]], boxes: Mapping[str, np.ndarray], *, foot_px: int = 0, head_px: int = 26,
    tail_px: int = 60, max_px: float = 760.0, convention: Convention = "radiological",
) -> Sheet:  # fmt: skip
    """Place panels in rows at one scale in mm, in the middle of the page.

    Args:
        rows: name of each panel's plane.
        boxes: what a plane's panels show, mm.
        foot_px: free beneath every row, for captions.
        head_px, tail_px: margins above and below.
        max_px: height of all rows together, beyond which they shrink.
        convention: which side the patient's right is drawn on.
    """
    sizes = {name: box[:, 1] - box[:, 0] for name, box in boxes.items()}  # mm across, up
    widest = max(sum(sizes[p][0] for p in row) for row in rows)
    longest = max(len(row) for row in rows)
    highs = [max(sizes[p][1] for p in row) for row in rows]
    scale = min((PAGE_PX - GAP_PX * (longest - 1)) / widest, max_px / sum(highs))  # px per mm
    inner = sum(h * scale + TITLE_PX + foot_px for h in highs) + GAP_PX * (len(rows) - 1)
    layout: dict[str, object] = {"margin": {"l": 8, "r": 8, "t": head_px, "b": tail_px}}
    top, panels, number = inner, [], 0
    for row, high in zip(rows, highs, strict=True):
        free = PAGE_PX - sum(sizes[p][0] for p in row) * scale - GAP_PX * (len(row) - 1)
        left, made = free / 2, []
        for name in row:
            number += 1
            across, up = sizes[name] * scale
            suffix = "" if number == 1 else str(number)
            ends = [max(0.0, left / PAGE_PX), min(1.0, (left + across) / PAGE_PX)]
            layout[f"xaxis{suffix}"] = {"domain": ends, "anchor": f"y{suffix}"}
            bottom = max(0.0, (top - TITLE_PX - up) / inner)
            heights = [bottom, min(1.0, (top - TITLE_PX) / inner)]
            layout[f"yaxis{suffix}"] = {"domain": heights, "anchor": f"x{suffix}", "constraintoward": "top"}
            made.append(Panel(number, PLANES[name], convention))
            left += across + GAP_PX
        panels.append(made)
        top -= high * scale + TITLE_PX + foot_px + GAP_PX
    fig = go.Figure(layout=layout)
    return Sheet(fig, panels, boxes, round(inner + head_px + tail_px))


def whole_box(volume: Volume, plane: Plane) -> np.ndarray:
    """Give all of a plane of the volume as (2, 2) mm: across and up, low and high."""
    box = []
    for axis in (plane.across, plane.up):
        start, step = planes.millimetres(volume, (0, 0, 0), axis)
        box.append([start - step / 2, start + (volume.shape[axis] - 0.5) * step])
    return np.array(box)


def box_around(volume: Volume, labels: Sequence[np.ndarray], plane: Plane, margin_mm: float) -> np.ndarray:
    """Give the box about labels (X, Y, Z) with a margin, cut at the volume's edge; the whole where nothing is."""
    whole = whole_box(volume, plane)
    inside = np.any([a > 0 for a in labels], axis=0) if labels else np.zeros(volume.shape, bool)
    if not inside.any():
        return whole
    box = []
    for (low, high), axis in zip(whole, (plane.across, plane.up), strict=True):
        kept = np.flatnonzero(inside.any(axis=tuple(a for a in range(3) if a != axis)))
        start, step = planes.millimetres(volume, (0, 0, 0), axis)
        box.append([max(low, start + kept[0] * step - margin_mm), min(high, start + kept[-1] * step + margin_mm)])
    return np.array(box)


def draw_gray(drawn: Sheet, panel: Panel, volume: Volume, voxel: Voxel, title: str, theme: Theme) -> None:
    """Draw a slice of an image in its own gray window, its title and its scale; mutates the sheet's figure."""
    planes.draw_anatomy(drawn.fig, panel, volume, voxel)
    finish_panel(drawn, panel, volume, title, theme)


def draw_values(
    drawn: Sheet, panel: Panel, volume: Volume, values: np.ndarray, voxel: Voxel, title: str, theme: Theme,
    **style: object,
) -> None:  # fmt: skip
    """Draw a slice (rows, columns) as it is, on the lattice of ``volume``; mutates the sheet's figure."""
    (x0, dx), (y0, dy) = (planes.millimetres(volume, voxel, a) for a in (panel.plane.across, panel.plane.up))
    k = planes.stride_of(volume.shape)
    drawn.fig.add_heatmap(z=np.asarray(values[::k, ::k], np.float32), x0=x0, dx=dx * k, y0=y0, dy=dy * k,
                          xaxis=panel.x, yaxis=panel.y, **style)  # fmt: skip
    planes.frame(drawn.fig, panel, volume, voxel)
    finish_panel(drawn, panel, volume, title, theme)


def finish_panel(drawn: Sheet, panel: Panel, volume: Volume, title: str, theme: Theme) -> None:
    """Show the sheet's part of the plane, without ticks, with its title and a scale bar; mutates the figure."""
    across, up = drawn.boxes[panel.plane.name].tolist()
    bare = {"showticklabels": False, "ticks": ""}
    drawn.fig.update_layout({
        f"xaxis{panel.x[1:]}": {"range": across[::-1] if panel.mirrored else across} | bare,
        f"yaxis{panel.y[1:]}": {"range": up} | bare,
    })  # fmt: skip
    planes.scale_bar(drawn.fig, panel, volume)
    if title:
        drawn.fig.add_annotation(
            text=f"<b>{title}</b>", x=0, y=1, xref=f"{panel.x} domain", yref=f"{panel.y} domain", xanchor="left",
            yanchor="bottom", showarrow=False, font={"size": 13, "color": INK[theme]}, name="panel title",
        )  # fmt: skip


def move_together(drawn: Sheet) -> None:
    """Let panels of one plane be moved and magnified together; mutates the figure."""
    first: dict[str, Panel] = {}
    for panel in drawn.panels:
        leader = first.setdefault(panel.plane.name, panel)
        if leader is not panel:
            drawn.fig.update_layout({
                f"xaxis{panel.x[1:]}": {"matches": leader.x}, f"yaxis{panel.y[1:]}": {"matches": leader.y},
            })  # fmt: skip


def contour(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give the outline of a (rows, columns) mask half-way between voxels as x and y in voxels, loops parted by NaN."""
    loops = find_contours(np.pad(mask, 1).astype(np.float32), 0.5)
    if not loops:
        return np.zeros(0), np.zeros(0)
    parted = np.concatenate([np.concatenate([loop - 1, [[np.nan, np.nan]]]) for loop in loops])
    return parted[:, 1], parted[:, 0]


def draw_contours(
    fig: go.Figure, panel: Panel, volume: Volume, voxel: Voxel, labels: np.ndarray, look: tuple[str, str, float]
) -> None:
    """Draw the outlines of every label (X, Y, Z) on a panel's slice; ``look`` is color, dash and width in px."""
    plane, (color, dash, width) = panel.plane, look
    rows = planes.cut(labels, plane, voxel[plane.normal])
    (x0, dx), (y0, dy) = (planes.millimetres(volume, voxel, a) for a in (plane.across, plane.up))
    lines = [contour(rows == value) for value in np.unique(rows) if value > 0]
    if not lines:
        return
    xs, ys = (np.concatenate([line[i] for line in lines]) for i in (0, 1))
    fig.add_scatter(x=x0 + xs * dx, y=y0 + ys * dy, xaxis=panel.x, yaxis=panel.y, mode="lines", hoverinfo="skip",
                    showlegend=False, name="contour", line={"color": color, "width": width, "dash": dash})  # fmt: skip


FIXED_LINE, MOVED_LINE = (RED, "solid", 2.4), (BLUE, "5px,3px", 2.2)


def key_line(fig: go.Figure, name: str, look: tuple[str, str, float]) -> None:
    """Add a line to the legend; mutates the figure."""
    color, dash, width = look
    fig.add_scatter(x=[None], y=[None], mode="lines", name=name, line={"color": color, "width": width, "dash": dash})


def three_slices(labels: np.ndarray, shape: Sequence[int], normal: int) -> list[int]:
    """Give three slices along an axis, a quarter, half and three quarters into the labels (or into the image)."""
    counts = np.count_nonzero(labels, axis=tuple(a for a in range(3) if a != normal))
    if not counts.any():
        return [round((shape[normal] - 1) * share) for share in (0.3, 0.5, 0.7)]
    filled = np.cumsum(counts) / counts.sum()
    return [int(np.searchsorted(filled, share)) for share in (0.2, 0.5, 0.8)]


def middle(volume: Volume) -> Voxel:
    """Give the voxel in the middle."""
    x, y, z = (n // 2 for n in volume.shape)
    return x, y, z


def side_note(fig: go.Figure, convention: Convention, theme: Theme, more: str = "") -> None:
    """Write under the figure which side is which, and what else is to be said; mutates the figure."""
    side = "left" if convention == "radiological" else "right"
    words = f"{convention}: patient’s right on the {side}" + (f" · {more}" if more else "")
    fig.add_annotation(note(words, theme, y=0, yanchor="top", yshift=-8, font={"size": 12, "color": MUTED[theme]},
                            name="sides"))  # fmt: skip
