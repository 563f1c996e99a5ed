"""Figure 5 as an instrument: where each feature finds the correspondence of one point, and how sure it is.

Similarities of different measures cannot share a colour scale, but their ranks can: a voxel is coloured by the share of
all voxels that score at least as high as it, on a logarithmic scale from the best tenth to the best ten-thousandth.
No monotone rescaling of a similarity changes that picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import plotly.graph_objects as go

from workbench.figures import planes
from workbench.figures.marks import OFF_SLICE_MM, draw_cross, draw_ring, panel_title
from workbench.figures.planes import PLANES, Convention, Panel
from workbench.figures.ranks import overlay_ramp, rank_colors
from workbench.figures.theme import POINT, Theme, colorbar_above, finish, listed, note
from workbench.imaging.volume import Volume

GAP_X, CAPTION_PX, TITLE_PX, HEAD_PX = 0.02, 60, 28, 78
MARGIN_MM = 6.0
DIM = 1.35
"""How much further the grey window reaches under a map, so that its colours stand out."""


@dataclass(frozen=True)
class SimilarityMaps:
    """One template point and where it was looked for.

    Attributes:
        template, subject: the two images.
        point_mm: (3,) mm, the point in the template.
        maps: name of the feature and measure → similarity (X, Y, Z) on the subject's lattice, NaN outside its mask.
        best_mm: the same names → (3,) mm where that map is highest.
        truth_mm: (3,) mm in the subject, where it is known.
        registered: the subject on the template's lattice after registration.
        captions: the same names → lines of text beneath the panel (rank, distance, …).
    """

    template: Volume
    subject: Volume
    point_mm: np.ndarray
    maps: Mapping[str, np.ndarray]
    best_mm: Mapping[str, np.ndarray]
    truth_mm: np.ndarray | None = None
    registered: Volume | None = None
    captions: Mapping[str, str] = field(default_factory=dict)


def similarity_panels(
    found: SimilarityMaps,
    *,
    plane: str = "axial",
    scale: Literal["rank", "similarity"] = "rank",
    convention: Convention = "radiological",
    theme: Theme = "light",
) -> go.Figure:
    """Draw template, subject, registered subject and one similarity map a feature (Figure 5 a–f).

    Every map is cut where the truth lies; where that is not known, at its own best match. A best match off the drawn
    slice has an open cross and its distance in words.

    Args:
        found: the point and its maps.
        plane: ``"axial"``, ``"coronal"`` or ``"sagittal"``.
        scale: colours by rank, or by the similarity between the lowest and the highest of each map.
        convention: which side the patient's right is drawn on; it is always printed.
        theme: the page it is shown on.
    """
    if plane not in PLANES:
        raise LookupError(f"plane must be one of {', '.join(PLANES)}; got {plane!r}")
    if missing := [name for name in found.maps if name not in found.best_mm]:
        raise ValueError(f"best_mm lacks {listed(missing)}")
    n_columns = 4 if len(found.maps) in (4, 7, 8) else 3
    anatomy = [("Template", found.template, found.point_mm), ("Subject", found.subject, found.truth_mm)]
    if found.registered is not None:
        anatomy.append(("Registered subject", found.registered, found.point_mm))
    n_rows = 1 + -(-len(found.maps) // n_columns)
    panels = [Panel(number, PLANES[plane], convention) for number in range(1, len(anatomy) + len(found.maps) + 1)]
    view = _view([volume for _, volume, _ in anatomy], PLANES[plane])
    height = _height(view, n_columns, n_rows)
    places = [(0, i) for i in range(len(anatomy))] + [
        (1 + i // n_columns, i % n_columns) for i in range(len(found.maps))
    ]
    fig = go.Figure()
    fig.update_layout(_domains(places, n_columns, n_rows, height))
    for panel, (title, volume, point) in zip(panels, anatomy, strict=False):
        _anatomy_panel(fig, panel, volume, point, title, found, view, theme)
    for index, (panel, name) in enumerate(zip(panels[len(anatomy) :], found.maps, strict=True)):
        _map_panel(fig, panel, found, name, scale, view, theme, bar=index == 0)
    _legend(fig, found, convention, theme)
    return finish(fig, theme, alt=_alt(found, plane, scale), height=height)


def _view(volumes: list[Volume], plane: planes.Plane) -> np.ndarray:
    """Give the part that all panels show, (2, 2) mm: what is not dark in any of the images, and a margin."""
    boxes = np.stack([planes.foreground_mm(volume, plane) for volume in volumes])
    return np.stack([boxes[:, :, 0].min(0) - MARGIN_MM, boxes[:, :, 1].max(0) + MARGIN_MM], 1)


def _height(view: np.ndarray, n_columns: int, n_rows: int) -> int:
    across, up = view[:, 1] - view[:, 0]
    width = 960 * (1 - GAP_X * (n_columns - 1)) / n_columns
    return round(n_rows * (min(up / across, 1.4) * width + TITLE_PX) + (n_rows - 1) * CAPTION_PX + HEAD_PX + 8)


def _domains(places: list[tuple[int, int]], n_columns: int, n_rows: int, height: int) -> dict[str, object]:
    """Place the panels: a title above each, captions below all but the first row; a narrow page closes rows up."""
    width = (1 - GAP_X * (n_columns - 1)) / n_columns
    inner = height - HEAD_PX - CAPTION_PX
    title, caption = TITLE_PX / inner, CAPTION_PX / inner
    high = (1 - n_rows * title - (n_rows - 2) * caption) / n_rows
    layout: dict[str, object] = {"margin": {"t": HEAD_PX, "b": CAPTION_PX, "l": 12, "r": 12}}
    for number, (row, column) in enumerate(places, 1):
        suffix = "" if number == 1 else str(number)
        top = 1 - title - row * (high + title) - max(0, row - 1) * caption
        left = column * (width + GAP_X)
        bare = {"showticklabels": False, "ticks": ""}
        layout[f"xaxis{suffix}"] = bare | {
            "domain": [left, left + width],
            "anchor": f"y{suffix}",
            "constraintoward": "left",
        }
        layout[f"yaxis{suffix}"] = bare | {"domain": [max(0.0, top - high), top], "anchor": f"x{suffix}",
                                           "constraintoward": "top" if row else "bottom"}  # fmt: skip
    return layout


def _look_at(fig: go.Figure, panel: Panel, view: np.ndarray) -> None:
    across, up = view.tolist()
    fig.update_layout(
        {
            f"xaxis{panel.x[1:]}": {"range": across[::-1] if panel.mirrored else across},
            f"yaxis{panel.y[1:]}": {"range": up},
        }
    )


def _anatomy_panel(
    fig: go.Figure,
    panel: Panel,
    volume: Volume,
    point: np.ndarray | None,
    title: str,
    found: SimilarityMaps,
    view: np.ndarray,
    theme: Theme,
) -> None:
    voxel = _voxel(volume, point if point is not None else found.point_mm)
    planes.draw_anatomy(fig, panel, volume, voxel)
    _look_at(fig, panel, view)
    planes.scale_bar(fig, panel, volume)
    panel_title(fig, panel, title, theme)
    if title == "Subject":
        if point is not None:
            draw_ring(fig, panel, point)
    else:
        draw_cross(fig, panel, np.asarray(point), 0.0, "template point" if title == "Template" else "the same place")


def _map_panel(
    fig: go.Figure,
    panel: Panel,
    found: SimilarityMaps,
    name: str,
    scale: str,
    view: np.ndarray,
    theme: Theme,
    *,
    bar: bool,
) -> None:
    subject, best = found.subject, np.asarray(found.best_mm[name], float)
    shown = best if found.truth_mm is None else np.asarray(found.truth_mm, float)
    voxel = _voxel(subject, shown)
    low, high = planes.window_of(subject)
    planes.draw_anatomy(fig, panel, subject, voxel, (low, low + DIM * (high - low)))
    _look_at(fig, panel, view)
    fig.data[-1].update(hoverinfo="skip", hovertemplate=None)
    colors, percent, style = rank_colors(found.maps[name], scale)
    title = "share of voxels scoring at least as high" if scale == "rank" else "similarity ÷ range of its map"
    look = {"zmin": style["low"], "zmax": style["high"], "colorscale": overlay_ramp(), "hoverongaps": False}
    look |= {"showscale": bar, "colorbar": colorbar_above(theme, title, 270, style["ticks"])}
    hover = f"{name}<br>{style['hover']}<extra></extra>"
    planes.draw_map(fig, panel, subject, colors, voxel, hover=percent, hovertemplate=hover, **look)
    off = float(best[panel.plane.normal] - shown[panel.plane.normal])
    if found.truth_mm is not None:
        draw_ring(fig, panel, shown)
    draw_cross(fig, panel, best, off, f"best match of {name}")
    panel_title(fig, panel, name, theme)
    lines = [found.captions.get(name, "")]
    if abs(off) >= OFF_SLICE_MM:
        lines.append(f"best match {abs(off):.0f} mm {_towards(panel.plane.normal, off)} this slice")
    _caption(fig, panel, [line for line in lines if line], theme)


def _caption(fig: go.Figure, panel: Panel, lines: list[str], theme: Theme) -> None:
    place = {"xref": f"{panel.x} domain", "yref": f"{panel.y} domain", "yanchor": "top", "name": "caption"}
    fig.add_annotation(note("<br>".join(lines), theme, x=0, y=0, **place))


def _legend(fig: go.Figure, found: SimilarityMaps, convention: Convention, theme: Theme) -> None:
    side = "left" if convention == "radiological" else "right"
    parts = [
        f"<span style='color:{POINT}'><b>+</b></span> template point, best match",
        f"<span style='color:{POINT}'><b>×</b></span> best match off this slice",
    ]
    if found.truth_mm is not None:
        parts.append("<b>○</b> true correspondence")
    parts.append(f"{convention}: patient’s right on the {side}")
    fig.add_annotation(note("<br>".join(parts), theme, x=0, y=1, yanchor="bottom", yshift=4, name="key"))


def _voxel(volume: Volume, point_mm: np.ndarray) -> tuple[int, int, int]:
    nearest = np.clip(np.rint(volume.to_voxels(np.asarray(point_mm, float))), 0, np.array(volume.shape) - 1).astype(int)
    return int(nearest[0]), int(nearest[1]), int(nearest[2])


def _towards(axis: int, off: float) -> str:
    words = (("left of", "right of"), ("behind", "in front of"), ("below", "above"))
    return words[axis][int(off > 0)]


def _alt(found: SimilarityMaps, plane: str, scale: str) -> str:
    captions = "; ".join(
        f"{name}: {found.captions[name].replace('<br>', ', ')}" for name in found.maps if name in found.captions
    )
    names = listed(list(found.maps))
    text = f"Template point and {plane} similarity maps over the subject for {names}, coloured by {scale}"
    return f"{text}. {captions}." if captions else f"{text}."
