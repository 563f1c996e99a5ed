"""Auto-context iteration by iteration: what is believed of one structure, over the image, with its Dice beneath."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from workbench.figures import planes
from workbench.figures.planes import PLANES, Convention, Panel
from workbench.figures.registration_panels import (
    Sheet,
    Voxel,
    box_around,
    draw_contours,
    draw_gray,
    key_line,
    move_together,
    sheet,
    side_note,
)
from workbench.figures.theme import INK, MUTED, VIRIDIS, Theme, colorbar, finish
from workbench.imaging.volume import Volume

LEAST, OPACITY = 0.05, 0.62
"""Probabilities below are left see-through; the others are drawn as dense as this (fractions)."""
MARGIN_MM, FOOT_PX = 12.0, 26
TRUTH_LINE, HALF_LINE = ("#FFFFFF", "4px,2px", 2.0), ("#FF3B30", "solid", 1.8)


@dataclass(frozen=True, eq=False)
class ProbabilitySteps:
    """How the probability of a structure changes.

    Attributes:
        image: (1, X, Y, Z).
        maps: (S, X, Y, Z) probabilities of the structure, a step each.
        names: of the steps.
        structure: what it is called.
        dice: (S,) fraction, NaN or None where it is not known.
        truth: (X, Y, Z), above 0 inside the structure; None where nobody knows it.
    """

    image: Volume
    maps: np.ndarray
    names: Sequence[str]
    structure: str = "structure"
    dice: Sequence[float] | np.ndarray | None = None
    truth: np.ndarray | None = None

    def __post_init__(self) -> None:
        n_steps = len(self.names)
        if not n_steps or self.maps.shape != (n_steps, *self.image.shape):
            raise ValueError(f"{n_steps} steps on {self.image.shape} voxels were named; the maps are {self.maps.shape}")
        if self.truth is not None and self.truth.shape != self.image.shape:
            raise ValueError(f"the truth has {self.truth.shape} voxels but the image has {self.image.shape}")
        if self.dice is not None and len(self.dice) != n_steps:
            raise ValueError(f"there are {n_steps} steps but {len(self.dice)} Dice coefficients")


def context_strip(
    steps: ProbabilitySteps, *, plane: str = "coronal", index: int | None = None,
    convention: Convention = "radiological", theme: Theme = "light",
) -> go.Figure:  # fmt: skip
    """Draw a panel a step: the probability over the image, where it is one half, the truth, and Dice beneath.

    Args:
        steps: what to draw; every panel has the same slice and colors.
        plane: ``"axial"``, ``"coronal"`` or ``"sagittal"``.
        index: of the slice; None for the one with most of the truth, or of the last map where there is none.
        convention: which side the patient's right is drawn on; always printed.
        theme: the page it is shown on.
    """
    if plane not in PLANES:
        raise LookupError(f"plane is one of {', '.join(PLANES)}; got {plane!r}")
    cut = PLANES[plane]
    believed = (steps.maps >= 0.5).astype(np.int32)
    where = believed[-1] if steps.truth is None else (steps.truth > 0).astype(np.int32)
    voxel = _through(where if where.any() else steps.maps[-1], cut.normal, index)
    shown = [where, *believed] if where.any() or believed.any() else []
    box = box_around(steps.image, shown, cut, MARGIN_MM)
    drawn = sheet(
        [[plane] * len(steps.names)], {plane: box}, foot_px=FOOT_PX, tail_px=44, max_px=380, convention=convention
    )
    for number, panel in enumerate(drawn.panels):
        draw_gray(drawn, panel, steps.image, voxel, "", theme)
        _probability(drawn.fig, panel, steps, number, voxel, theme)
        draw_contours(drawn.fig, panel, steps.image, voxel, believed[number], HALF_LINE)
        if steps.truth is not None:
            draw_contours(drawn.fig, panel, steps.image, voxel, where, TRUTH_LINE)
        _words(drawn, panel, steps, number, theme)
    move_together(drawn)
    key_line(drawn.fig, "probability of one half", HALF_LINE)
    if steps.truth is not None:  # white on the images, and on white paper in the ink of the page
        key_line(drawn.fig, "truth (white)", (INK[theme], *TRUTH_LINE[1:]))
    at = f"{planes.AXIS_NAMES[cut.normal]} {steps.image.to_mm(np.array(voxel))[cut.normal]:.1f} mm"
    side_note(drawn.fig, convention, theme, f"{plane}, {at}")
    drawn.fig.update_layout(legend={"orientation": "h", "x": 1, "xanchor": "right", "y": 0, "yanchor": "top"},
                            margin={"r": 84})  # fmt: skip
    told = ", ".join(f"{n}{_dice(steps, i, ' Dice ')}" for i, n in enumerate(steps.names))
    alt = f"{plane.capitalize()} slice at {at} with the probability of {steps.structure} at each step: {told}."
    return finish(drawn.fig, theme, alt=alt, height=drawn.height)


def _through(values: np.ndarray, normal: int, index: int | None) -> Voxel:
    """Give the middle voxel of the slice that holds most of what is given, or of the one that was asked for."""
    middle = [n // 2 for n in values.shape]
    if index is not None and not 0 <= index < values.shape[normal]:
        raise ValueError(f"there are slices 0 to {values.shape[normal] - 1}; got {index}")
    sums = values.sum(axis=tuple(a for a in range(3) if a != normal))
    middle[normal] = int(sums.argmax()) if index is None else index
    return middle[0], middle[1], middle[2]


def _probability(
    fig: go.Figure, panel: Panel, steps: ProbabilitySteps, number: int, voxel: Voxel, theme: Theme
) -> None:
    plane = panel.plane
    values = planes.cut(steps.maps[number], plane, voxel[plane.normal]).astype(np.float32)
    (x0, dx), (y0, dy) = (planes.millimetres(steps.image, voxel, a) for a in (plane.across, plane.up))
    fig.add_heatmap(
        z=np.where(values >= LEAST, values, np.float32(np.nan)), x0=x0, dx=dx, y0=y0, dy=dy, zmin=0, zmax=1,
        xaxis=panel.x, yaxis=panel.y, colorscale=VIRIDIS, opacity=OPACITY, hoverongaps=False, name="probability",
        showscale=number == len(steps.names) - 1, colorbar=colorbar(theme, f"p({steps.structure})"),
        hovertemplate=f"{steps.names[number]}: %{{z:.2f}}<extra></extra>",
    )  # fmt: skip


def _words(drawn: Sheet, panel: Panel, steps: ProbabilitySteps, number: int, theme: Theme) -> None:
    """Write the name of a step above its panel and Dice beneath."""
    place = {"x": 0.5, "xref": f"{panel.x} domain", "yref": f"{panel.y} domain", "showarrow": False}
    drawn.fig.add_annotation(text=f"<b>{steps.names[number]}</b>", y=1, yanchor="bottom", name="step",
                             font={"size": 13, "color": INK[theme]}, **place)  # fmt: skip
    drawn.fig.add_annotation(text=_dice(steps, number, "Dice ") or "truth not known", y=0, yanchor="top", yshift=-4,
                             name="dice", font={"size": 13, "color": MUTED[theme]}, **place)  # fmt: skip


def _dice(steps: ProbabilitySteps, number: int, word: str) -> str:
    known = steps.dice is not None and np.isfinite(steps.dice[number])
    return f"{word}{steps.dice[number]:.3f}" if known and steps.dice is not None else ""
