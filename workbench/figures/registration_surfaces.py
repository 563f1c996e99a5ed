"""Figure 7: what several features make of one pipeline, as a slice with contours and as surfaces beneath it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import plotly.graph_objects as go

from workbench.errors import GeometryError
from workbench.figures import planes
from workbench.figures.planes import PLANES, Convention
from workbench.figures.registration_panels import (
    RED,
    YELLOW,
    Sheet,
    Voxel,
    box_around,
    draw_contours,
    draw_gray,
    key_line,
    move_together,
    sheet,
    side_note,
    three_slices,
)
from workbench.figures.surfaces import LIGHTING, triangles
from workbench.figures.theme import INK, Theme, finish, listed
from workbench.imaging.volume import Volume

GRAY, MARGIN_MM, SCENE_PX, MOST_PANEL_PX = "#9AA3AF", 14.0, 250, 300
TRUTH_LINE, FOUND_LINE = (RED, "solid", 2.4), (YELLOW, "5px,3px", 2.2)
CAMERA = {"eye": {"x": -1.1, "y": 1.4, "z": 0.58}, "center": {"x": 0, "y": 0, "z": -0.02}}
LIT = {"lighting": LIGHTING, "lightposition": {"x": 2000, "y": 4000, "z": 6000}}


@dataclass(frozen=True)
class Patient:
    """Two rows of Figure 7.

    Attributes:
        name: of whom.
        image: whose first channel is drawn.
        truth: (X, Y, Z) bool, of whoever knows.
        predictions: feature → (X, Y, Z) bool, the same structure found with it.
        dice: feature → Dice over the whole volume.
    """

    name: str
    image: Volume
    truth: np.ndarray
    predictions: Mapping[str, np.ndarray]
    dice: Mapping[str, float] = field(default_factory=dict)


def figure_7(
    patients: Sequence[Patient], *, plane: str = "axial", convention: Convention = "radiological",
    max_triangles: int = 150_000, theme: Theme = "light",
) -> go.Figure:  # fmt: skip
    """Draw for each patient a row of slices, the truth red and what was found yellow, and beneath it a row of surfaces.

    The red surface is what was found, inside the see-through gray truth; under it the Dice.

    Args:
        patients: one or two; all with the same features.
        plane: of the slices, through the middle of the truth.
        convention: which side the patient's right is drawn on; always printed.
        max_triangles: of all surfaces together.
        theme: the page it is shown on.

    Raises:
        GeometryError: a truth is empty, or two patients have not the same features.
    """
    features = list(patients[0].predictions) if patients else []
    if not features or any(list(p.predictions) != features for p in patients):
        raise GeometryError("Figure 7 needs a patient, and of every patient the same features in the same order.")
    for one in patients:
        if not one.truth.any():
            raise GeometryError(f"There is nothing of this structure in the truth of {one.name}; choose another one.")
    cut = PLANES[plane]
    boxes = [box_around(p.image, [p.truth, *p.predictions.values()], cut, MARGIN_MM) for p in patients]
    low, high = np.min([b[:, 0] for b in boxes], 0), np.max([b[:, 1] for b in boxes], 0)
    drawn = sheet([[plane] * len(features)] * len(patients), {plane: np.stack([low, high], 1)}, tail_px=72,
                  foot_px=SCENE_PX + 34, max_px=MOST_PANEL_PX * len(patients), convention=convention)  # fmt: skip
    budget = max(1500, max_triangles // (len(patients) * (len(features) + 1)))
    for number, (row, one) in enumerate(zip(drawn.rows, patients, strict=True)):
        _slices(drawn, row, one, cut.normal, theme, is_first=number == 0)
        _scenes(drawn, row, one, budget, theme)
    if len(patients) == 1:
        move_together(drawn)
    key_line(drawn.fig, "truth", TRUTH_LINE)
    key_line(drawn.fig, "found", FOUND_LINE)
    drawn.fig.update_layout(legend={"orientation": "h", "x": 1, "xanchor": "right", "y": 0, "yanchor": "top"})
    side_note(drawn.fig, convention, theme, "surfaces: found red, truth see-through gray")
    told = "; ".join(f"{p.name}: " + ", ".join(f"{f} {_dice(p, f)}" for f in features) for p in patients)
    alt = f"Slices and surfaces of {listed([p.name for p in patients])} found with {listed(features)}. {told}."
    return finish(drawn.fig, theme, alt=alt, height=drawn.height)


def _slices(
    drawn: Sheet, row: Sequence[planes.Panel], one: Patient, normal: int, theme: Theme, *, is_first: bool
) -> None:
    middle = [n // 2 for n in one.image.shape]
    middle[normal] = three_slices(one.truth, one.image.shape, normal)[1]
    voxel: Voxel = (middle[0], middle[1], middle[2])
    for letter, panel, (feature, found) in zip("abcdefgh", row, one.predictions.items(), strict=False):
        title = f"{letter}  {feature}" if is_first else ""
        draw_gray(drawn, panel, one.image, voxel, title or (one.name if panel is row[0] else ""), theme)
        draw_contours(drawn.fig, panel, one.image, voxel, one.truth.astype(np.int32), TRUTH_LINE)
        draw_contours(drawn.fig, panel, one.image, voxel, found.astype(np.int32), FOUND_LINE)


def _scenes(drawn: Sheet, row: Sequence[planes.Panel], one: Patient, budget: int, theme: Theme) -> None:
    """Draw the surfaces under a row of slices, all in one box of mm and seen alike, with the Dice beneath."""
    fig, affine = drawn.fig, one.image.affine
    inner = drawn.height - float(fig.layout.margin.t) - float(fig.layout.margin.b)
    truth = _mesh(one.truth, affine, budget)
    meshes = {f: _mesh(a, affine, budget) if a.any() else None for f, a in one.predictions.items()}
    drawn_points = [np.stack([m[k] for k in "xyz"], 1) for m in (truth, *meshes.values()) if m is not None]
    low = np.min([p.min(0) for p in drawn_points], 0) - 1
    high = np.max([p.max(0) for p in drawn_points], 0) + 1
    for panel, (feature, mesh) in zip(row, meshes.items(), strict=True):
        number = panel.number
        name = f"scene{number if number > 1 else ''}"
        left, right = fig.layout[f"xaxis{panel.x[1:]}"].domain
        top = fig.layout[f"yaxis{panel.y[1:]}"].domain[0] - 4 / inner
        wide = max(right - left, 0.98 / len(row) - 0.02)
        middle = (left + right) / 2
        ends = [max(0.0, middle - wide / 2), min(1.0, middle + wide / 2)]
        axes = {f"{a}axis": {"visible": False, "range": [low[i], high[i]]} for i, a in enumerate("xyz")}
        place = {"x": ends, "y": [max(0.0, top - SCENE_PX / inner), top]}
        fig.update_layout({name: axes | {"aspectmode": "data", "camera": CAMERA, "domain": place}})
        if mesh is not None:
            fig.add_mesh3d(**mesh, color="#D7301F", **LIT, name=feature, scene=name, showlegend=False,
                           hovertemplate=feature + "<br>%{x:.1f}, %{y:.1f}, %{z:.1f} mm<extra></extra>")  # fmt: skip
        fig.add_mesh3d(**truth, color=GRAY, opacity=0.28, **LIT, name="Truth", scene=name,
                       showlegend=False, hoverinfo="skip")  # fmt: skip
        fig.add_annotation(text=f"<b>{_dice(one, feature)}</b>", x=middle, y=place["y"][0], xref="paper", yref="paper",
                           xanchor="center", yanchor="top", showarrow=False, font={"size": 13, "color": INK[theme]},
                           name="dice")  # fmt: skip


def _mesh(inside: np.ndarray, affine: np.ndarray, budget: int) -> dict[str, np.ndarray]:
    vertices, faces, _ = triangles(inside, affine, budget)
    return dict(zip("xyz", vertices.T, strict=True)) | dict(zip("ijk", faces.T, strict=True))


def _dice(one: Patient, feature: str) -> str:
    if not one.predictions[feature].any():
        return "nothing found"
    return f"Dice {one.dice[feature]:.3f}" if feature in one.dice else ""
