"""Label maps and thresholds as surfaces in mm: marching cubes on each label, thinned for the browser."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
from skimage.filters import gaussian
from skimage.measure import marching_cubes

from workbench.errors import GeometryError
from workbench.figures.theme import Theme, finish, label_color, listed, note
from workbench.imaging.volume import Volume

SMOOTHING_VOXELS = 0.7
FEWEST_TRIANGLES = 1500
LIGHTING = {"ambient": 0.45, "diffuse": 0.75, "specular": 0.25, "roughness": 0.55, "fresnel": 0.15}
AXES = {"xaxis": "x, mm (L → R)", "yaxis": "y, mm (P → A)", "zaxis": "z, mm (I → S)"}


def surface(
    labels: np.ndarray,
    where: Volume | np.ndarray,
    *,
    names: Mapping[int, str] | None = None,
    level: float = 0.5,
    opacity: float = 1.0,
    max_triangles: int = 180_000,
    theme: Theme = "light",
) -> go.Figure:
    """Draw every label as a surface that the legend switches on and off, with its volume in ml.

    The surface is slightly smoothed and, where there are too many triangles, coarsened; the volume is counted in voxels
    before either.

    Args:
        labels: (X, Y, Z) whole numbers (0 is nothing) or bool; floats are cut at ``level``.
        where: the volume on whose lattice the labels lie, or its affine (4, 4), voxel → mm.
        names: label → what the legend calls it.
        level: where a map of floats is cut.
        opacity: fraction.
        max_triangles: of all labels together.
        theme: the page it is shown on.

    Raises:
        GeometryError: the map is empty or flat, so it has no surface.
    """
    affine = where.affine if isinstance(where, Volume) else np.asarray(where, float)
    whole = _labels(labels, level)
    counts = {int(v): int(n) for v, n in zip(*np.unique(whole, return_counts=True), strict=True) if v != 0}
    if not counts:
        raise GeometryError("Nothing is labelled, so there is no surface; choose another map or a lower level.")
    voxel_ml = abs(float(np.linalg.det(affine[:3, :3]))) / 1000
    budget = max(FEWEST_TRIANGLES, max_triangles // len(counts))
    fig = go.Figure()
    coarsest = 1
    for value, count in counts.items():
        vertices, faces, step = triangles(whole == value, affine, budget)
        coarsest = max(coarsest, step)
        name = (names or {}).get(value, "surface" if len(counts) == 1 else f"label {value}")
        fig.add_mesh3d(
            **dict(zip("xyz", vertices.T, strict=True)),
            **dict(zip("ijk", faces.T, strict=True)),
            color=label_color(value),
            opacity=opacity,
            flatshading=False,
            lighting=LIGHTING,
            lightposition={"x": 2000, "y": 4000, "z": 6000},
            name=f"{name} · {_ml(count * voxel_ml)}",
            showlegend=True,
            hovertemplate=f"{name}<br>%{{x:.1f}}, %{{y:.1f}}, %{{z:.1f}} mm<extra></extra>",
        )
    _set_scene(fig)
    if coarsest > 1:
        fig.add_annotation(
            note(f"drawn with 1 of {coarsest} voxels along each axis; volumes are exact", theme, y=0, yanchor="bottom")
        )
    return finish(fig, theme, alt=f"Surfaces in mm of {listed([t.name for t in fig.data])}.", height=520)


def _labels(array: np.ndarray, level: float) -> np.ndarray:
    if array.ndim != 3 or min(array.shape) < 2:
        raise GeometryError(f"A surface needs a 3-D map of at least 2 voxels along each axis; this has {array.shape}.")
    return array.astype(np.int32) if array.dtype.kind in "biu" else (array > level).astype(np.int32)


def _set_scene(fig: go.Figure) -> None:
    """Name the axes, keep 1 mm alike along all of them, and look from the patient's left front, a little from above."""
    scene: dict[str, object] = {axis: {"title": {"text": text, "font": {"size": 12}}} for axis, text in AXES.items()}
    scene["aspectmode"] = "data"
    scene["camera"] = {"eye": {"x": -1.3, "y": 1.6, "z": 0.7}, "center": {"x": 0, "y": 0, "z": -0.12}}
    fig.update_layout(scene=scene, margin={"l": 0, "r": 0, "t": 8, "b": 8}, dragmode="orbit")
    fig.update_layout(legend={"x": 0, "y": 1, "yanchor": "top"})


def triangles(inside: np.ndarray, affine: np.ndarray, budget: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Give vertices (n, 3) mm, triangles (m, 3), m at most ``budget`` where possible, and the stride that this took."""
    low = np.array([np.flatnonzero(inside.any(axis=tuple(a for a in range(3) if a != axis)))[0] for axis in range(3)])
    high = np.array([np.flatnonzero(inside.any(axis=tuple(a for a in range(3) if a != axis)))[-1] for axis in range(3)])
    box = np.pad(inside[tuple(slice(a, b + 1) for a, b in zip(low, high, strict=True))], 3).astype(np.float32)
    smooth = gaussian(box, SMOOTHING_VOXELS, preserve_range=True)
    field = smooth if smooth.max() > 0.5 else box  # a label of a few voxels would be smoothed away
    step = 1
    vertices, faces, *_ = marching_cubes(field, 0.5)
    while len(faces) > budget and step < max(1, min(box.shape) // 4):
        step += 1
        vertices, faces, *_ = marching_cubes(gaussian(box, 0.5 * step, preserve_range=True), 0.5, step_size=step)
    voxels = vertices + low - 3
    points = voxels @ affine[:3, :3].T + affine[:3, 3]
    return points.astype(np.float32), faces.astype(np.int32), step


def _ml(volume: float) -> str:
    return f"{volume:,.0f} ml" if volume >= 100 else f"{volume:.3g} ml"
