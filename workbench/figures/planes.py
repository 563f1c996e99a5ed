"""One slice of a volume in a panel: millimetres, sides, a scale bar, markers.

Voxels are never mirrored: the panel's axis runs backwards instead, and the letters are read off the axis. So the
millimetres under the pointer are right in both conventions, and a letter cannot disagree with the picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import plotly.graph_objects as go

from workbench.figures.theme import GREY, POINT
from workbench.imaging.volume import Volume

Convention = Literal["radiological", "neurological"]
SIDES = (("L", "R"), ("P", "A"), ("I", "S"))
AXIS_NAMES = ("x", "y", "z")
MAX_SIDE = 512
"""Voxels along a side beyond which every k-th voxel is drawn (and the figure says so)."""


@dataclass(frozen=True)
class Plane:
    """A cut through a volume: the axis it is perpendicular to, and those drawn across and upwards."""

    name: str
    normal: int
    across: int
    up: int


PLANES = {
    "axial": Plane("axial", 2, 0, 1),
    "coronal": Plane("coronal", 1, 0, 2),
    "sagittal": Plane("sagittal", 0, 1, 2),
}


@dataclass(frozen=True)
class Panel:
    """Where a plane is drawn: the subplot's number (1 …) and the convention for left and right."""

    number: int
    plane: Plane
    convention: Convention = "radiological"

    @property
    def x(self) -> str:
        """The horizontal axis as traces name it."""
        return f"x{self.number if self.number > 1 else ''}"

    @property
    def y(self) -> str:
        """The vertical axis as traces name it."""
        return f"y{self.number if self.number > 1 else ''}"

    @property
    def mirrored(self) -> bool:
        """Whether the horizontal axis runs from the patient's right to left."""
        return self.convention == "radiological" and self.plane.across == 0


def millimetres(volume: Volume, voxel: tuple[int, int, int], axis: int) -> tuple[float, float]:
    """Give the position of voxel 0 and the step along one voxel axis through ``voxel``, in mm.

    For an oblique affine these are distances along the voxel axis, equal to the true coordinate at ``voxel``.
    """
    step = volume.spacing[axis]
    return float(volume.to_mm(np.array(voxel))[axis]) - voxel[axis] * step, step


def is_oblique(volume: Volume) -> bool:
    """Whether a voxel axis leans away from its anatomical axis by more than about half a degree."""
    directions = volume.affine[:3, :3] / np.asarray(volume.spacing)
    return bool(np.abs(directions - np.diag(np.diag(directions))).max() > 0.01)


def cut(array: np.ndarray, plane: Plane, index: int) -> np.ndarray:
    """Give slice ``index`` of (X, Y, Z) as (up, across), the row order that plotly draws."""
    return np.moveaxis(array, (plane.normal, plane.up, plane.across), (0, 1, 2))[index]


def stride_of(shape: tuple[int, ...]) -> int:
    """Give k when every k-th voxel is drawn, so that no side exceeds ``MAX_SIDE``."""
    return -(-max(shape) // MAX_SIDE)


def compact(array: np.ndarray) -> np.ndarray:
    """Give whole numbers as small integers and all else as float32: the figure's size, not its values, changes."""
    if np.issubdtype(array.dtype, np.floating):
        if not np.isfinite(array).all() or not np.array_equal(array, np.rint(array)):
            return np.asarray(array, np.float32)
        array = np.rint(array).astype(np.int64)
    low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
    kinds = (np.uint8, np.int16, np.int32)
    return array.astype(next((k for k in kinds if np.iinfo(k).min <= low and high <= np.iinfo(k).max), np.float32))


def draw_map(
    fig: go.Figure,
    panel: Panel,
    volume: Volume,
    array: np.ndarray,
    voxel: tuple[int, int, int],
    *,
    hover: np.ndarray | None = None,
    **style: object,
) -> None:
    """Draw the slice of ``array`` (X, Y, Z), on the lattice of ``volume``, through ``voxel``; mutates ``fig``.

    ``hover`` (X, Y, Z) is what the hover text finds as ``customdata``.
    """
    plane, k = panel.plane, stride_of(volume.shape)
    (x0, dx), (y0, dy) = (millimetres(volume, voxel, axis) for axis in (plane.across, plane.up))
    z = compact(cut(array, plane, voxel[plane.normal])[::k, ::k])
    if hover is not None:
        style["customdata"] = np.asarray(cut(hover, plane, voxel[plane.normal])[::k, ::k], np.float32)
    fig.add_heatmap(z=z, x0=x0, dx=dx * k, y0=y0, dy=dy * k, xaxis=panel.x, yaxis=panel.y, **style)


def draw_anatomy(
    fig: go.Figure, panel: Panel, volume: Volume, voxel: tuple[int, int, int], window: tuple[float, float] | None = None
) -> None:
    """Draw the grey slice of the first channel, its sides and its axes in mm; mutates ``fig``."""
    low, high = window or window_of(volume)
    plane = panel.plane
    if volume.is_picture and volume.n_channels == 3:
        _draw_colors(fig, panel, volume)
        frame(fig, panel, volume, voxel)
        return
    fixed = f"{AXIS_NAMES[plane.normal]} {volume.to_mm(np.array(voxel))[plane.normal]:.1f} mm"
    where = f"{AXIS_NAMES[plane.across]} %{{x:.1f}} mm, {AXIS_NAMES[plane.up]} %{{y:.1f}} mm, {fixed}"
    hover = f"{where}<br>{volume.modality} %{{z:.4g}}<extra></extra>"
    draw_map(
        fig,
        panel,
        volume,
        volume.data[0],
        voxel,
        colorscale=GREY,
        zmin=low,
        zmax=high,
        showscale=False,
        hovertemplate=hover,
    )
    frame(fig, panel, volume, voxel)


def as_bytes(colors: np.ndarray) -> np.ndarray:
    """Give red, green, blue stored as 0 to 1 or as 0 to 255 as uint8."""
    top = 255 if colors.size and np.nanmax(colors) > 1.5 else 1
    return np.rint(np.clip(np.nan_to_num(colors) / top, 0, 1) * 255).astype(np.uint8)


def _draw_colors(fig: go.Figure, panel: Panel, volume: Volume) -> None:
    k = stride_of(volume.shape)
    (x0, dx), (y0, dy) = (millimetres(volume, (0, 0, 0), axis) for axis in (0, 1))
    z = as_bytes(volume.data[:, ::k, ::k, 0]).transpose(2, 1, 0)  # (Y, X, 3)
    fig.add_image(z=z, x0=x0, dx=dx * k, y0=y0, dy=dy * k, xaxis=panel.x, yaxis=panel.y, colormodel="rgb")


def frame(fig: go.Figure, panel: Panel, volume: Volume, voxel: tuple[int, int, int]) -> None:
    """Set the panel's two axes to the slice's extent at one scale, on black, and write the sides; mutates ``fig``."""
    plane = panel.plane
    spans = []
    for axis in (plane.across, plane.up):
        start, step = millimetres(volume, voxel, axis)
        spans.append([start - step / 2, start + (volume.shape[axis] - 0.5) * step])
    across = spans[0][::-1] if panel.mirrored else spans[0]
    up = spans[1][::-1] if volume.is_picture else spans[1]  # rows of a picture run downwards
    bare = {"showgrid": False, "zeroline": False, "showline": False, "constrain": "domain"}
    fig.update_layout(
        {
            f"xaxis{panel.x[1:]}": bare | {"range": across},
            f"yaxis{panel.y[1:]}": bare | {"range": up, "scaleanchor": panel.x, "scaleratio": 1},
        }
    )
    fig.add_shape(type="rect", xref=f"{panel.x} domain", yref=f"{panel.y} domain", x0=0, x1=1, y0=0, y1=1,
                  fillcolor="black", line_width=0, layer="below")  # fmt: skip
    if not volume.is_picture:
        _letters(fig, panel)


def foreground_mm(volume: Volume, plane: Plane) -> np.ndarray:
    """Give the box of what is not dark, projected along the normal, as (2, 2) mm: across and up, low and high."""
    low, high = window_of(volume)
    lit = volume.data[0] > low + 0.15 * (high - low)
    box = []
    for axis in (plane.across, plane.up):
        share = lit.mean(axis=tuple(a for a in range(3) if a != axis))
        kept = np.flatnonzero(share > 0.02 * max(float(share.max()), 1e-9))
        start, step = millimetres(volume, (0, 0, 0), axis)
        first, last = (kept[0], kept[-1]) if kept.size else (0, volume.shape[axis] - 1)
        box.append([start + first * step, start + last * step])
    return np.array(box)


def side_letters(panel: Panel) -> dict[str, str]:
    """Give the anatomical letter at the left, right, bottom and top of the panel."""
    left, right = SIDES[panel.plane.across][:: -1 if panel.mirrored else 1]
    bottom, top = SIDES[panel.plane.up]
    return {"left": left, "right": right, "bottom": bottom, "top": top}


def _letters(fig: go.Figure, panel: Panel) -> None:
    places = {"left": (0, 0.5, "left", "middle"), "right": (1, 0.5, "right", "middle"),
              "bottom": (0.5, 0, "center", "bottom"), "top": (0.5, 1, "center", "top")}  # fmt: skip
    for place, letter in side_letters(panel).items():
        x, y, xanchor, yanchor = places[place]
        fig.add_annotation(
            name=f"side {place}",
            text=f"<b>{letter}</b>",
            x=x,
            y=y,
            xref=f"{panel.x} domain",
            yref=f"{panel.y} domain",
            xanchor=xanchor,
            yanchor=yanchor,
            showarrow=False,
            font={"size": 12, "color": "#FFD166"},
            bgcolor="rgba(0,0,0,0.55)",
            borderpad=0,
        )


def scale_bar(fig: go.Figure, panel: Panel, volume: Volume) -> None:
    """Draw a bar of a round length in mm at the lower left of the panel; mutates ``fig``."""
    x_range = fig.layout[f"xaxis{panel.x[1:]}"].range
    y_range = fig.layout[f"yaxis{panel.y[1:]}"].range
    width, height = abs(x_range[1] - x_range[0]), y_range[1] - y_range[0]
    length = max((n for n in (1, 2, 5, 10, 20, 50, 100) if n <= width / 3.5), default=width / 5)
    sign = np.sign(x_range[1] - x_range[0])
    x, y = x_range[0] + sign * 0.05 * width, y_range[0] + 0.045 * height
    fig.add_shape(type="line", xref=panel.x, yref=panel.y, x0=x, x1=x + sign * length, y0=y, y1=y,
                  line={"color": "white", "width": 3}, name="scale bar")  # fmt: skip
    fig.add_annotation(
        text=f"{length:g} mm", x=x + sign * length / 2, y=y, xref=panel.x, yref=panel.y, showarrow=False,
        yanchor="bottom", yshift=1, font={"size": 11, "color": "white"}, name="scale bar",
    )  # fmt: skip


def crosshair(fig: go.Figure, panel: Panel, volume: Volume, voxel: tuple[int, int, int]) -> None:
    """Draw two thin lines through the voxel, open around it; mutates ``fig``."""
    plane = panel.plane
    point = volume.to_mm(np.array(voxel))
    x, y = float(point[plane.across]), float(point[plane.up])
    xs, ys = fig.layout[f"xaxis{panel.x[1:]}"].range, fig.layout[f"yaxis{panel.y[1:]}"].range
    gap = 0.025 * max(abs(xs[1] - xs[0]), abs(ys[1] - ys[0]))
    low, high = min(xs), max(xs)
    fig.add_scatter(
        x=[low, x - gap, None, x + gap, high, None, x, x, None, x, x],
        y=[y, y, None, y, y, None, ys[0], y - gap, None, y + gap, ys[1]],
        xaxis=panel.x, yaxis=panel.y, mode="lines", line={"color": POINT, "width": 1}, opacity=0.9,
        hoverinfo="skip", showlegend=False, name="crosshair",
    )  # fmt: skip


def window_of(volume: Volume) -> tuple[float, float]:
    """Give the grey window: from the 1st to the 99.5th percentile of what is not the commonest background."""
    values = volume.data[0][:: max(1, volume.shape[0] // 96), :: max(1, volume.shape[1] // 96)]
    values = values[np.isfinite(values)]
    inside = values[values != values.min()] if values.size else values
    if inside.size == 0:
        return 0.0, 1.0
    low, high = np.percentile(inside, (1, 99.5))
    low = min(float(low), float(values.min())) if values.min() == 0 else float(low)
    return low, float(max(high, low + 1e-6))
