"""Figure 6: three slices of template, subject and the subject as each method registers it, with contours and Dice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from workbench.figures.planes import PLANES, Convention, Panel
from workbench.figures.registration_panels import (
    FIXED_LINE,
    MOVED_LINE,
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
    whole_box,
)
from workbench.figures.theme import INK, MUTED, Theme, finish
from workbench.imaging.volume import Volume

MARGIN_MM = 12.0


@dataclass(frozen=True)
class Registration:
    """One column of Figure 6.

    Attributes:
        title: of the column: the method.
        image: the subject on the template's lattice.
        labels: (X, Y, Z) the subject's labels on that lattice, 0 is nothing; None where there are none.
        dice: with the template's labels, over the whole volume; None where it is not known.
        folded_share: fraction of voxels that fold; None where nothing was deformed.
    """

    title: str
    image: Volume
    labels: np.ndarray | None = None
    dice: float | None = None
    folded_share: float | None = None


def figure_6(
    template: Volume, labels: np.ndarray | None, registrations: Sequence[Registration], *, plane: str = "axial",
    slices: Sequence[int] = (), around_labels: bool = True, convention: Convention = "radiological",
    theme: Theme = "light",
) -> go.Figure:  # fmt: skip
    """Draw a row a slice: the template, and the subject as every method brings it there; Dice beneath each column.

    Args:
        template: the fixed image.
        labels: (X, Y, Z) its labels, red; None where there are none.
        registrations: a column each; the first is the subject before it is deformed.
        plane: of the slices.
        slices: their indices; none chooses three through the labels.
        around_labels: whether only the labels' surroundings are shown.
        convention: which side the patient's right is drawn on; always printed.
        theme: the page it is shown on.
    """
    if not registrations:
        raise ValueError("Figure 6 needs at least one registration")
    known = [a for a in (labels, *(r.labels for r in registrations)) if a is not None]
    cut, empty = PLANES[plane], np.zeros(template.shape, bool)
    chosen = list(slices) or three_slices(labels if labels is not None else empty, template.shape, cut.normal)
    box = box_around(template, known, cut, MARGIN_MM) if around_labels else whole_box(template, cut)
    columns = 1 + len(registrations)
    drawn = sheet([[plane] * columns] * len(chosen), {plane: box}, max_px=860, tail_px=104, convention=convention)
    for row, index in zip(drawn.rows, sorted(chosen, reverse=True), strict=True):
        voxel = _voxel(template, cut.normal, index)
        is_first = row is drawn.rows[0]
        draw_gray(drawn, row[0], template, voxel, f"a  Template · {_at(template, cut.normal, index)}" if is_first
                  else _at(template, cut.normal, index), theme)  # fmt: skip
        _contours(drawn, row[0], template, voxel, labels, None)
        for number, (panel, one) in enumerate(zip(row[1:], registrations, strict=True)):
            title = f"{'bcdefghijklmnop'[number]}  {one.title}" if is_first else ""
            draw_gray(drawn, panel, one.image, voxel, title, theme)
            _contours(drawn, panel, template, voxel, labels, one.labels)
    move_together(drawn)
    _beneath(drawn, registrations, theme)
    key_line(drawn.fig, "template's labels", FIXED_LINE)
    key_line(drawn.fig, "subject's labels, registered", MOVED_LINE)
    drawn.fig.update_layout(legend={"orientation": "h", "x": 0, "y": 0, "yanchor": "top", "yref": "paper"},
                            showlegend=bool(known))  # fmt: skip
    drawn.fig.layout.legend.y = -64 / max(1, drawn.height - 138)
    side_note(drawn.fig, convention, theme, "Dice over the whole volume")
    drawn.fig.layout.annotations[-1].yshift = -46
    told = "; ".join(f"{r.title} {_dice(r)}" for r in registrations)
    alt = f"{len(chosen)} {plane} slices of the template and of the subject by {columns - 1} methods. {told}."
    return finish(drawn.fig, theme, alt=alt, height=drawn.height)


def _contours(
    drawn: Sheet, panel: Panel, template: Volume, voxel: Voxel, fixed: np.ndarray | None, moved: np.ndarray | None
) -> None:
    for labels, look in ((fixed, FIXED_LINE), (moved, MOVED_LINE)):
        if labels is not None:
            draw_contours(drawn.fig, panel, template, voxel, labels, look)


def _beneath(drawn: Sheet, registrations: Sequence[Registration], theme: Theme) -> None:
    """Write Dice, its gain over the first column, and what folds, under the last row."""
    first = registrations[0].dice
    for panel, one in zip(drawn.rows[-1][1:], registrations, strict=True):
        more = ""
        if one is not registrations[0] and one.dice is not None and first is not None:
            more = f"{one.dice - first:+.3f}"
        if one.folded_share:
            more += f"{' · ' if more else ''}{100 * one.folded_share:.2g} % folds"
        text = f"<b>{_dice(one)}</b>" + (f"<br><span style='color:{MUTED[theme]}'>{more}</span>" if more else "")
        drawn.fig.add_annotation(text=text, x=0.5, y=0, xref=f"{panel.x} domain", yref=f"{panel.y} domain",
                                 xanchor="center", yanchor="top", yshift=-3, showarrow=False,
                                 font={"size": 13, "color": INK[theme]}, name="dice")  # fmt: skip


def _dice(one: Registration) -> str:
    return "no labels" if one.dice is None else f"Dice {one.dice:.3f}"


def _voxel(volume: Volume, normal: int, index: int) -> Voxel:
    middle = [n // 2 for n in volume.shape]
    middle[normal] = index
    return middle[0], middle[1], middle[2]


def _at(volume: Volume, normal: int, index: int) -> str:
    return f"{'xyz'[normal]} {volume.to_mm(np.array(_voxel(volume, normal, index)))[normal]:.1f} mm"
