"""Surfaces of truth and predictions beside each other, as the review's Figure 7 has them.

Either as the figure draws them, the prediction in red inside the see-through gray truth, or with every point of the
prediction in the color of its distance to the truth's surface in mm.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import plotly.graph_objects as go
from scipy.ndimage import distance_transform_edt, map_coordinates

from workbench.errors import GeometryError
from workbench.figures.surfaces import LIGHTING, triangles
from workbench.figures.theme import DIVERGING, INK, Theme, colorbar, finish, listed, note

Look = Literal["distance", "overlay"]
RED, GRAY = "#D7301F", "#9AA3AF"
TOLD: dict[Look, str] = {
    "distance": "orange: outside the truth · blue: inside it · gray: on its surface",
    "overlay": "red: prediction · see-through gray: truth, as in Figure 7 of the review",
}
CAMERA = {"eye": {"x": -1.05, "y": 1.3, "z": 0.55}, "center": {"x": 0, "y": 0, "z": -0.05}}
SIDES = {"xaxis": "L → R", "yaxis": "P → A", "zaxis": "I → S"}


def surface_pairs(
    truth: np.ndarray,
    predictions: Mapping[str, np.ndarray],
    affine: np.ndarray,
    *,
    look: Look = "distance",
    limit_mm: float | None = None,
    max_triangles: int = 120_000,
    theme: Theme = "light",
) -> go.Figure:
    """Draw the truth and each prediction of one structure in scenes beside each other.

    Args:
        truth: (X, Y, Z) bool.
        predictions: what it is called → (X, Y, Z) bool.
        affine: (4, 4), voxel → mm.
        look: ``"distance"`` colors predictions by how far outside (positive) or inside the truth they lie and shows
            the truth beside them; ``"overlay"`` draws them red inside the gray truth.
        limit_mm: distance at the ends of the colors; None for the 98th percentile of all.
        max_triangles: of all surfaces together.
        theme: the page it is shown on.

    Raises:
        GeometryError: nothing is in the truth, or nothing in any prediction.
    """
    drawn = {name: array for name, array in predictions.items() if array.any()}
    if not truth.any() or not drawn:
        empty = "the truth" if not truth.any() else listed(list(predictions))
        raise GeometryError(f"There is nothing of this structure in {empty}, so no surfaces; choose another structure.")
    scenes = ["Truth", *drawn] if look == "distance" else list(drawn)
    budget = max(1500, max_triangles // (len(drawn) + 1))
    fig = go.Figure()
    true_mesh = _mesh(truth, affine, budget)
    if look == "distance":
        fig.add_mesh3d(**true_mesh, color=GRAY, lighting=LIGHTING, name="Truth", scene="scene",
                       hovertemplate="truth<br>%{x:.1f}, %{y:.1f}, %{z:.1f} mm<extra></extra>")  # fmt: skip
        _add_colored(fig, truth, drawn, affine, budget, limit_mm, theme)
    else:
        for number, (name, array) in enumerate(drawn.items(), 1):
            scene = f"scene{number if number > 1 else ''}"
            fig.add_mesh3d(**_mesh(array, affine, budget), color=RED, lighting=LIGHTING, name=name, scene=scene,
                           hovertemplate=name + "<br>%{x:.1f}, %{y:.1f}, %{z:.1f} mm<extra></extra>")  # fmt: skip
            fig.add_mesh3d(**true_mesh, color=GRAY, opacity=0.3, lighting=LIGHTING, name="Truth", scene=scene,
                           hoverinfo="skip")  # fmt: skip
    _scenes(fig, scenes, TOLD[look], theme)
    how = "colored by their distance to the truth in mm" if look == "distance" else "red, inside the gray truth"
    return finish(fig, theme, alt=f"Surfaces of {listed(list(drawn))}, {how}.", height=480)


def _add_colored(
    fig: go.Figure, truth: np.ndarray, drawn: Mapping[str, np.ndarray], affine: np.ndarray, budget: int,
    limit_mm: float | None, theme: Theme,
) -> None:  # fmt: skip
    meshes = {name: _mesh(array, affine, budget) for name, array in drawn.items()}
    signed = signed_distance(truth, np.linalg.norm(affine[:3, :3], axis=0))
    found = {name: _at(signed, mesh, affine) for name, mesh in meshes.items()}
    limit = limit_mm or max(float(np.percentile(np.abs(np.concatenate(list(found.values()))), 98)), 0.5)
    for number, (name, mesh) in enumerate(meshes.items(), 2):
        bar = colorbar(theme, "distance, mm", len=0.7)
        fig.add_mesh3d(**mesh, intensity=found[name], colorscale=DIVERGING["light"], cmin=-limit, cmax=limit,
                       showscale=number == len(meshes) + 1, colorbar=bar, lighting=LIGHTING, name=name,
                       scene=f"scene{number}",
                       hovertemplate=name + "<br>%{intensity:.1f} mm from the truth<extra></extra>")  # fmt: skip


def signed_distance(inside: np.ndarray, spacing_mm: np.ndarray) -> np.ndarray:
    """Give (X, Y, Z) mm to the border between inside and outside: negative inside, positive outside."""
    padded = np.pad(inside, 1)
    out = distance_transform_edt(~padded, sampling=spacing_mm) - distance_transform_edt(padded, sampling=spacing_mm)
    half = 0.5 * float(np.min(spacing_mm))  # the border lies between the voxels, not at the middle of the next one
    return np.asarray(out - np.sign(out) * half, np.float32)[1:-1, 1:-1, 1:-1]


def _at(signed: np.ndarray, mesh: Mapping[str, np.ndarray], affine: np.ndarray) -> np.ndarray:
    points = np.stack([mesh["x"], mesh["y"], mesh["z"]], 1) - affine[:3, 3]
    voxels = points @ np.linalg.inv(affine[:3, :3]).T
    return np.asarray(map_coordinates(signed, voxels.T, order=1, mode="nearest"), np.float32)


def _mesh(inside: np.ndarray, affine: np.ndarray, budget: int) -> dict[str, np.ndarray]:
    vertices, faces, _ = triangles(inside, affine, budget)
    return dict(zip("xyz", vertices.T, strict=True)) | dict(zip("ijk", faces.T, strict=True))


def _scenes(fig: go.Figure, titles: list[str], told: str, theme: Theme) -> None:
    """Give every scene the same box in mm and the same camera, so that sizes compare; and say what is drawn."""
    points = np.concatenate([np.stack([t.x, t.y, t.z], 1) for t in fig.data])
    low, high = points.min(0) - 2, points.max(0) + 2
    wide = 1 / len(titles)
    axes = {axis: {"title": {"text": text, "font": {"size": 11}}, "range": [low[i], high[i]], "showticklabels": False,
                   "ticks": ""} for i, (axis, text) in enumerate(SIDES.items())}  # fmt: skip
    for number, title in enumerate(titles, 1):
        left = (number - 1) * wide
        scene = axes | {"aspectmode": "data", "camera": CAMERA, "domain": {"x": [left, left + wide], "y": [0, 1]}}
        fig.update_layout({f"scene{number if number > 1 else ''}": scene})
        fig.add_annotation(note(f"<b>{title}</b>", theme, x=left + 0.01, y=1, yanchor="bottom",
                                font={"size": 13, "color": INK[theme]}))  # fmt: skip
    box = " × ".join(f"{side:.0f}" for side in high - low)
    fig.add_annotation(note(f"{told} · boxes of {box} mm", theme, x=0.01, y=0, yanchor="top", yshift=-2))
    fig.update_layout(margin={"l": 0, "r": 0, "t": 30, "b": 24}, dragmode="orbit", showlegend=False)
