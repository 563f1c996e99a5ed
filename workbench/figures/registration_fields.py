"""What a registration does to space: a grid that was straight before, volume change (Jacobian), length of the way."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
from skimage.measure import find_contours

from workbench.figures import planes
from workbench.figures.planes import PLANES, Convention, Panel
from workbench.figures.registration_panels import (
    Sheet,
    Voxel,
    draw_gray,
    draw_values,
    middle,
    sheet,
    side_note,
    whole_box,
)
from workbench.figures.theme import DIVERGING, VIRIDIS, Theme, colorbar, finish
from workbench.imaging.volume import Volume

GRID_COLOR, FOLD_COLOR = "#FFD166", "#FF2D95"
LEAST_LIMIT = 0.25
"""Ends of the colors of log2 J at least: a map of almost no change shall not look like a great one."""


def deformed_grid(
    image: Volume, deformation: np.ndarray, voxel: Voxel | None = None, *, spacing_mm: float | None = None,
    convention: Convention = "radiological", theme: Theme = "light",
) -> go.Figure:  # fmt: skip
    """Draw a grid that was straight on the moving image, as it lies on the fixed one, over the registered image.

    A line is where the point that a voxel is brought from has a round coordinate; so squares that have grown show
    where the moving image was stretched, and lines that cross themselves where the map folds.

    Args:
        image: the registered image.
        deformation: (3, X, Y, Z) voxels, from each voxel to where it comes from.
        voxel: through which the three planes go; None for the middle.
        spacing_mm: between lines; None for about twenty lines.
        convention: which side the patient's right is drawn on; always printed.
        theme: the page it is shown on.
    """
    if deformation.shape != (3, *image.shape):
        raise ValueError(f"a deformation on {image.shape} voxels is (3, X, Y, Z); got {deformation.shape}")
    voxel = voxel or middle(image)
    spacing = spacing_mm or grid_spacing(image)
    drawn = _three(image, convention)
    for panel in drawn.panels:
        draw_gray(drawn, panel, image, voxel, panel.plane.name.capitalize(), theme)
        xs, ys = _grid_lines(image, deformation, panel, voxel, spacing)
        drawn.fig.add_scatter(x=xs, y=ys, xaxis=panel.x, yaxis=panel.y, mode="lines", hoverinfo="skip", name="grid",
                              showlegend=False, line={"color": GRID_COLOR, "width": 1.1})  # fmt: skip
    side_note(
        drawn.fig,
        convention,
        theme,
        f"{_where(image, voxel)} · lines every {spacing:g} mm, straight before the deformation",
    )
    alt = f"Three planes of the registered image with the deformed grid, lines every {spacing:g} mm."
    return finish(drawn.fig, theme, alt=alt, height=drawn.height)


def jacobian_map(
    image: Volume, jacobian: np.ndarray, voxel: Voxel | None = None, *, folded_share: float | None = None,
    limit: float | None = None, convention: Convention = "radiological", theme: Theme = "light",
) -> go.Figure:  # fmt: skip
    """Draw the local change of volume on a logarithmic scale: white is none; voxels that fold are marked.

    Args:
        image: on whose lattice it lies.
        jacobian: (X, Y, Z) determinant, volume after over volume before; 0 and below is a fold.
        voxel: through which the three planes go; None for the middle.
        folded_share: fraction of voxels that fold; None counts them here.
        limit: log2 at the ends of the colors; None for the 99.5th percentile.
        convention: which side the patient's right is drawn on; always printed.
        theme: the page it is shown on.
    """
    voxel = voxel or middle(image)
    log, limit = log_jacobian(jacobian), limit or jacobian_limit(jacobian)
    share = float((jacobian <= 0).mean()) if folded_share is None else folded_share
    ticks = jacobian_ticks(limit)
    bar = colorbar(theme, "volume in the moving image ÷ here (×)", tickvals=list(ticks), ticktext=list(ticks.values()))
    drawn = _three(image, convention)
    for panel in drawn.panels:
        plane = panel.plane
        rows = planes.cut(log, plane, voxel[plane.normal])
        true = np.asarray(planes.cut(jacobian, plane, voxel[plane.normal]), np.float32)
        draw_values(drawn, panel, image, rows, voxel, plane.name.capitalize(), theme, customdata=true, zmin=-limit,
                    zmax=limit, colorscale=DIVERGING["light"], showscale=panel.number == 1, colorbar=bar,
                    hovertemplate="× %{customdata:.3f}<extra></extra>")  # fmt: skip
        _mark_folds(drawn, panel, image, planes.cut(jacobian <= 0, plane, voxel[plane.normal]), voxel)
    words = folds(share)
    side_note(drawn.fig, convention, theme, f"{_where(image, voxel)} · {words}")
    drawn.fig.update_layout(margin={"r": 92})
    return finish(drawn.fig, theme, alt=f"Jacobian determinant on three planes; {words}.", height=drawn.height)


def displacement_map(
    image: Volume, deformation: np.ndarray, voxel: Voxel | None = None, *, limit_mm: float | None = None,
    convention: Convention = "radiological", theme: Theme = "light",
) -> go.Figure:  # fmt: skip
    """Draw how far every voxel was brought, in mm, on three planes.

    Args:
        image: on whose lattice it lies.
        deformation: (3, X, Y, Z) voxels.
        voxel: through which the three planes go; None for the middle.
        limit_mm: at the end of the colors; None for the 99.5th percentile.
        convention: which side the patient's right is drawn on; always printed.
        theme: the page it is shown on.
    """
    voxel = voxel or middle(image)
    length = lengths_mm(deformation, image.affine)
    limit = limit_mm or max(float(np.percentile(length, 99.5)), 0.1)
    drawn = _three(image, convention)
    for panel in drawn.panels:
        rows = planes.cut(length, panel.plane, voxel[panel.plane.normal])
        draw_values(drawn, panel, image, rows, voxel, panel.plane.name.capitalize(), theme, zmin=0, zmax=limit,
                    colorscale=VIRIDIS, showscale=panel.number == 1, colorbar=colorbar(theme, "displacement, mm"),
                    hovertemplate="%{z:.2f} mm<extra></extra>")  # fmt: skip
    side_note(drawn.fig, convention, theme,
              f"{_where(image, voxel)} · mean {length.mean():.2f} mm, largest {length.max():.2f} mm")  # fmt: skip
    drawn.fig.update_layout(margin={"r": 92})
    alt = f"Length of the displacement on three planes, 0 to {limit:.1f} mm."
    return finish(drawn.fig, theme, alt=alt, height=drawn.height)


def lengths_mm(deformation: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Give how far (X, Y, Z) mm each voxel is brought by a deformation (3, X, Y, Z) in voxels."""
    return np.asarray(np.linalg.norm(np.tensordot(affine[:3, :3], deformation, 1), axis=0), np.float32)


def log_jacobian(jacobian: np.ndarray) -> np.ndarray:
    """Give log2 of the determinant as float32, NaN where it is 0 or below."""
    positive = np.where(jacobian > 0, jacobian, np.nan)
    return np.log2(positive, dtype=np.float32)


def jacobian_limit(jacobian: np.ndarray) -> float:
    """Give the log2 at which the colors end, the same on both sides of no change."""
    log = np.abs(log_jacobian(jacobian))
    known = log[np.isfinite(log)]
    return max(float(np.percentile(known, 99.5)), LEAST_LIMIT) if known.size else LEAST_LIMIT


def jacobian_ticks(limit: float) -> dict[float, str]:
    """Give the places on a log2 scale that are written, each with its factor: ends, half-way, no change."""
    places = (-limit, -limit / 2, 0.0, limit / 2, limit)
    return {place: "× 1" if place == 0 else f"× {2**place:.2g}" for place in places}


def folds(share: float) -> str:
    """Say which share of the voxels fold."""
    return "no voxel folds" if share == 0 else f"{100 * share:.2g} % of the voxels fold (marked)"


def grid_spacing(image: Volume) -> float:
    """Give a round distance in mm that puts about twenty lines across the longest side."""
    longest = max(n * s for n, s in zip(image.shape, image.spacing, strict=True))
    return float(min((1, 2, 5, 10, 20, 50), key=lambda mm: abs(longest / mm - 20)))


def _grid_lines(
    image: Volume, deformation: np.ndarray, panel: Panel, voxel: Voxel, spacing: float
) -> tuple[np.ndarray, np.ndarray]:
    """Give the lines of a panel in mm, parted by NaN: level sets of where each voxel comes from, along each axis."""
    plane, found = panel.plane, []
    (x0, dx), (y0, dy) = (planes.millimetres(image, voxel, a) for a in (plane.across, plane.up))
    steps = {plane.across: (x0, dx), plane.up: (y0, dy)}
    for axis, (start, step) in steps.items():
        here = start + step * np.arange(image.shape[axis])
        here = here[None] if axis == plane.across else here[:, None]
        comes_from = here + step * planes.cut(deformation[axis], plane, voxel[plane.normal])
        low, high = comes_from.min(), comes_from.max()
        for level in np.arange(np.ceil(low / spacing), np.floor(high / spacing) + 1) * spacing:
            for line in find_contours(comes_from, level):
                found.append(np.stack([x0 + dx * line[:, 1], y0 + dy * line[:, 0]], 1))
                found.append(np.full((1, 2), np.nan))
    joined = np.concatenate(found) if found else np.zeros((0, 2))
    return joined[:, 0].astype(np.float32), joined[:, 1].astype(np.float32)


def _mark_folds(drawn: Sheet, panel: Panel, image: Volume, folded: np.ndarray, voxel: Voxel) -> None:
    if not folded.any():
        return
    (x0, dx), (y0, dy) = (planes.millimetres(image, voxel, a) for a in (panel.plane.across, panel.plane.up))
    rows, columns = np.nonzero(folded)
    drawn.fig.add_scatter(x=x0 + dx * columns, y=y0 + dy * rows, xaxis=panel.x, yaxis=panel.y, mode="markers",
                          showlegend=False, name="folds", hovertemplate="folds<extra></extra>",
                          marker={"symbol": "x", "size": 6, "color": FOLD_COLOR})  # fmt: skip


def _three(image: Volume, convention: Convention) -> Sheet:
    shown = ["axial"] if image.is_picture else list(PLANES)
    boxes = {name: whole_box(image, PLANES[name]) for name in shown}
    return sheet([shown], boxes, max_px=430, convention=convention)


def _where(image: Volume, voxel: Voxel) -> str:
    return ", ".join(f"{v:.1f}" for v in image.to_mm(np.array(voxel))) + " mm"
