"""Three linked planes of a volume with an overlay: axial, coronal and sagittal at one scale in mm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

import numpy as np
import plotly.graph_objects as go

from workbench.figures import planes
from workbench.figures.planes import PLANES, Convention, Panel, Plane
from workbench.figures.theme import INK, MUTED, VIRIDIS, Theme, colorbar, finish, label_color, listed, note
from workbench.imaging.volume import Volume

GAP = 0.085
Voxel = tuple[int, int, int]


@dataclass(frozen=True)
class Overlay:
    """What is drawn over the anatomy.

    Attributes:
        array: (X, Y, Z) on the volume's lattice; whole numbers are labels (0: nothing), floats a map (NaN: nothing).
        names: label → what it is called in the legend.
        opacity: of filled labels and of maps, fraction.
        style: labels as ``"fill"`` or as ``"outline"`` along the voxels' edges.
        title: what a map measures, with its unit.
        limits: values at the two ends of a map's colours; None for its own range.
    """

    array: np.ndarray
    names: Mapping[int, str] = field(default_factory=dict)
    opacity: float = 0.5
    style: Literal["fill", "outline"] = "fill"
    title: str = ""
    limits: tuple[float, float] | None = None

    @property
    def is_labels(self) -> bool:
        """Whether the array holds labels."""
        return self.array.dtype.kind in "biu"


def slices(
    volume: Volume,
    voxel: Voxel | None = None,
    *,
    overlay: Overlay | np.ndarray | None = None,
    window: tuple[float, float] | None = None,
    convention: Convention = "radiological",
    theme: Theme = "light",
) -> go.Figure:
    """Draw the three planes through a voxel (a picture has one), linked by the crosshair.

    Args:
        volume: its first channel is drawn.
        voxel: where the planes cross; None for the middle.
        overlay: labels or a map; a bare array is taken as :class:`Overlay` with its defaults.
        window: grey values drawn black and white; None for the 1st and 99.5th percentiles.
        convention: radiological has the patient's right on the viewer's left; it is always printed.
        theme: the page it is shown on.
    """
    nx, ny, nz = volume.shape
    voxel = voxel or (nx // 2, ny // 2, nz // 2)
    if any(not 0 <= v < n for v, n in zip(voxel, volume.shape, strict=True)):
        raise ValueError(f"voxel {voxel} lies outside the volume of {volume.shape} voxels")
    drawn = overlay if isinstance(overlay, Overlay) or overlay is None else Overlay(overlay)
    if drawn is not None and drawn.array.shape != volume.shape:
        raise ValueError(f"the overlay has {drawn.array.shape} voxels but the volume has {volume.shape}")
    shown = [PLANES["axial"]] if volume.is_picture else list(PLANES.values())
    fig = go.Figure()
    fig.update_layout(_domains(volume, shown))
    for number, plane in enumerate(shown, 1):
        panel = Panel(number, plane, "neurological" if volume.is_picture else convention)
        planes.draw_anatomy(fig, panel, volume, voxel, window)
        _axis_titles(fig, panel, theme)
        if drawn is not None:
            _draw_overlay(fig, panel, volume, voxel, drawn, theme, bar=number == len(shown))
        planes.crosshair(fig, panel, volume, voxel)
        planes.scale_bar(fig, panel, volume)
    _captions(fig, volume, voxel, convention, theme)
    return finish(fig, theme, alt=_alt(volume, voxel, drawn, convention, shown), height=470)


def _domains(volume: Volume, shown: list[Plane]) -> dict[str, object]:
    """Share the width by the planes' extents in mm and tie all axes to the first, so that 1 mm is 1 mm everywhere."""
    widths = np.array([volume.shape[p.across] * volume.spacing[p.across] for p in shown])
    free = (1 - GAP * (len(shown) - 1)) * widths / widths.sum()
    layout: dict[str, object] = {"legend": {"orientation": "h", "y": -0.14, "x": 0, "tracegroupgap": 0}}
    left = 0.0
    for number, width in enumerate(free, 1):
        suffix = "" if number == 1 else str(number)
        layout[f"xaxis{suffix}"] = {"domain": [left, left + width], "anchor": f"y{suffix}"}
        layout[f"yaxis{suffix}"] = {"anchor": f"x{suffix}", "constraintoward": "top"}
        left += width + GAP
    return layout


def _axis_titles(fig: go.Figure, panel: Panel, theme: Theme) -> None:
    name = planes.AXIS_NAMES
    suffix = panel.x[1:]
    fig.update_layout(
        {
            f"xaxis{suffix}": {"title": {"text": f"{name[panel.plane.across]}, mm"}, "nticks": 6},
            f"yaxis{suffix}": {"title": {"text": f"{name[panel.plane.up]}, mm", "standoff": 2}, "nticks": 6},
        }
    )
    if panel.number > 1:  # tied to the first panel: one scale in mm across the figure
        fig.update_layout({f"xaxis{suffix}": {"scaleanchor": "x"}})
    fig.add_annotation(
        text=f"<b>{panel.plane.name.capitalize()}</b>", x=0, y=1, xref=f"{panel.x} domain", yref=f"{panel.y} domain",
        xanchor="left", yanchor="bottom", showarrow=False, font={"size": 13, "color": INK[theme]}, name="panel title",
    )  # fmt: skip


def _draw_overlay(
    fig: go.Figure, panel: Panel, volume: Volume, voxel: Voxel, overlay: Overlay, theme: Theme, *, bar: bool
) -> None:
    if not overlay.is_labels:
        finite = overlay.array[np.isfinite(overlay.array)]
        low, high = overlay.limits or ((float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0))
        planes.draw_map(
            fig, panel, volume, np.asarray(overlay.array, np.float32), voxel, colorscale=VIRIDIS, zmin=low, zmax=high,
            opacity=overlay.opacity, showscale=bar, colorbar=colorbar(theme, overlay.title), hoverongaps=False,
            hovertemplate=f"{overlay.title or 'value'} %{{z:.4g}}<extra></extra>",
        )  # fmt: skip
        return
    values = [int(v) for v in np.unique(overlay.array) if v != 0]
    for value in values:  # the colour belongs to the value, so a label looks the same in every figure
        name = overlay.names.get(value, f"label {value}")
        _draw_label(fig, panel, volume, voxel, overlay, value, name, label_color(value))


def _draw_label(
    fig: go.Figure, panel: Panel, volume: Volume, voxel: Voxel, overlay: Overlay, value: int, name: str, color: str
) -> None:
    plane = panel.plane
    inside = planes.cut(overlay.array, plane, voxel[plane.normal]) == value
    (x0, dx), (y0, dy) = (planes.millimetres(volume, voxel, axis) for axis in (plane.across, plane.up))
    if panel.number == 1:  # the legend's entry: present even where this plane misses the label
        fig.add_scatter(x=[None], y=[None], mode="markers", name=name, legendgroup=name, xaxis="x", yaxis="y",
                        marker={"symbol": "square", "size": 11, "color": color})  # fmt: skip
    if not inside.any():
        return
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    top, left = rows[0], columns[0]
    box = inside[top : rows[-1] + 1, left : columns[-1] + 1]
    place = {"xaxis": panel.x, "yaxis": panel.y, "legendgroup": name, "showlegend": False, "name": name}
    if overlay.style == "fill":
        fig.add_heatmap(
            z=np.where(box, np.float32(value), np.float32(np.nan)), x0=x0 + left * dx, dx=dx, y0=y0 + top * dy, dy=dy,
            colorscale=[(0, color), (1, color)], showscale=False, opacity=overlay.opacity, hoverongaps=False,
            hovertemplate=f"{name}<extra></extra>", **place,
        )  # fmt: skip
    xs, ys = voxel_edges(box)
    fig.add_scatter(x=x0 + (xs + left) * dx, y=y0 + (ys + top) * dy, mode="lines", hoverinfo="skip",
                    line={"color": color, "width": 1.8 if overlay.style == "outline" else 1}, **place)  # fmt: skip


def voxel_edges(inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give the outline of a (rows, columns) mask along voxel edges as x and y in voxels, runs parted by NaN.

    Straight runs of edges are merged, so a square of any size takes four lines.
    """
    padded = np.pad(inside, 1).astype(np.int8)
    lines: list[tuple[float, float, float, float]] = []
    for axis in (0, 1):
        change = np.diff(padded, axis=axis) if axis == 0 else np.diff(padded, axis=axis).T
        for at, row in enumerate(change):  # an edge lies between voxels at - 1 and at
            bounds = np.flatnonzero(np.diff(np.concatenate([[0], row, [0]])))
            starts = [(a, b) for a, b in pairwise(bounds) if row[a] != 0]
            lines += [
                (at - 0.5, a - 1.5, at - 0.5, b - 1.5) if axis else (a - 1.5, at - 0.5, b - 1.5, at - 0.5)
                for a, b in starts
            ]
    drawn = np.full((len(lines), 3, 2), np.nan)
    drawn[:, :2] = np.asarray(lines, float).reshape(-1, 2, 2)
    return drawn[..., 0].ravel().astype(np.float32), drawn[..., 1].ravel().astype(np.float32)


def _captions(fig: go.Figure, volume: Volume, voxel: Voxel, convention: Convention, theme: Theme) -> None:
    x, y, z = volume.to_mm(np.array(voxel))
    side = {"radiological": "patient’s right on the left", "neurological": "patient’s right on the right"}[convention]
    parts = [f"voxel {voxel[0]}, {voxel[1]}, {voxel[2]} at {x:.1f}, {y:.1f}, {z:.1f} mm",
             "voxels of " + " × ".join(f"{s:.3g}" for s in volume.spacing) + " mm"]  # fmt: skip
    if not volume.is_picture:
        parts.append(f"{convention}: {side}")
    if planes.is_oblique(volume):
        parts.append("oblique: mm along the voxel axes")
    if (k := planes.stride_of(volume.shape)) > 1:
        parts.append(f"1 of {k} voxels drawn along each axis")
    fig.add_annotation(
        note(" · ".join(parts), theme, y=1, yanchor="bottom", yshift=22, font={"size": 12, "color": MUTED[theme]})
    )
    fig.update_layout(margin={"t": 58, "b": 64, "l": 56, "r": 16})


def _alt(volume: Volume, voxel: Voxel, overlay: Overlay | None, convention: str, shown: list[Plane]) -> str:
    drawn = ", ".join(p.name for p in shown).capitalize()
    text = f"{drawn} slices of a {volume.modality} volume through voxel {voxel}, {convention} convention"
    if overlay is None:
        return text + "."
    if not overlay.is_labels:
        return f"{text}, with a colour map of {overlay.title or 'values'} over it."
    names = [overlay.names.get(int(v), f"label {int(v)}") for v in np.unique(overlay.array) if v != 0]
    return f"{text}, with labels {listed(names)} ({overlay.style})."
