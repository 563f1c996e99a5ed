"""Figure 6: three slices of template, subject and the subject as each method registers it, with contours and Dice."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import plotly.graph_objects as go

from workbench.figures.planes import PLANES, Convention, Panel
from workbench.figures.registration_panels import (
    FIXED_LINE,
    MOVED_LINE,
    PAGE_PX,
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
HEAD_PX, TAIL_PX, LINE_PX = 26, 104, 17
HARD = "\xa0"
"""A space at which no line breaks."""
NARROW_PX = 130  # narrower columns have smaller words and thinner contours


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
    images, moved = [template, *(r.image for r in registrations)], [None, *(r.labels for r in registrations)]
    drawn = sheet([[plane] * len(images)] * len(chosen), {plane: box}, max_px=860, head_px=HEAD_PX, tail_px=TAIL_PX,
                  convention=convention)  # fmt: skip
    chosen.sort(reverse=True)
    names = [f"Template · {_at(template, cut.normal, chosen[0])}", *(r.title for r in registrations)]
    heads = [_wrapped(drawn, f"{a}{HARD}{HARD}{name}") for a, name in zip("abcdefghijklmnop", names, strict=False)]
    parts = []
    for row, index in zip(drawn.rows, chosen, strict=True):
        voxel = _voxel(template, cut.normal, index)
        place = _wrapped(drawn, _at(template, cut.normal, index))
        titles = heads if row is drawn.rows[0] else [place, *[""] * len(registrations)]
        for panel, image, own, title in zip(row, images, moved, titles, strict=True):
            parts.append(go.Figure())
            draw_gray(replace(drawn, fig=parts[-1]), panel, image, voxel, title, theme)
            _contours(parts[-1], panel, template, voxel, (labels, own), 1.0 if _width_px(drawn) >= NARROW_PX else 0.6)
    feet = _beneath(drawn, registrations, theme)
    _put(drawn, parts, feet)
    move_together(drawn)
    drawn.fig.update_layout(showlegend=bool(known))
    lines = [max(text.count("<br>") for text in texts) for texts in (heads, [foot["text"] for foot in feet])]
    height = _margins(drawn, (lines[0], lines[1] - 1), theme, convention)
    told = "; ".join(f"{r.title} {_dice(r)}" for r in registrations)
    alt = f"{len(chosen)} {plane} slices of the template and of the subject by {len(registrations)} methods. {told}."
    return finish(drawn.fig, theme, alt=alt, height=height)


def _width_px(drawn: Sheet) -> float:
    """Give how wide a column is on a page of the usual width."""
    low, high = drawn.fig.layout.xaxis.domain
    return float(high - low) * PAGE_PX


def _font_px(drawn: Sheet) -> int:
    return 13 if _width_px(drawn) >= NARROW_PX else 11


def _wrapped(drawn: Sheet, text: str) -> str:
    """Break a text at its words so that it fits into a column; a longer word stays whole."""
    n_letters = max(1, int(_width_px(drawn) / (0.61 * _font_px(drawn))))
    lines = textwrap.wrap(text, n_letters, break_long_words=False, break_on_hyphens=False)
    return "<br>".join(line.removesuffix(" ·").replace(HARD, " ") for line in lines)


def _put(drawn: Sheet, parts: Sequence[go.Figure], feet: Sequence[dict[str, Any]]) -> None:
    """Put all panels and the words beneath them onto the sheet at once: one by one takes plotly ever longer.

    Words are small in narrow columns; a scale's length stands where its bar begins, so that no edge cuts it.
    """
    layouts, size = [part.layout.to_plotly_json() for part in parts], _font_px(drawn)
    words = [*(word for layout in layouts for word in layout["annotations"]), *feet]
    shapes = [shape for layout in layouts for shape in layout["shapes"]]
    for word in words:
        if word.get("name") in ("panel title", "dice"):
            word["align"] = "left" if word["name"] == "panel title" else "center"
            word["font"]["size"] = size
    named = [[one for one in ones if one.get("name") == "scale bar"] for ones in (shapes, words)]
    for bar, length in zip(*named, strict=True):
        length.update(x=bar["x0"], xanchor="left")
        length["font"]["size"] = size - 2
    axes = {name: axis for layout in layouts for name, axis in layout.items() if name[1:5] == "axis"}
    drawn.fig.add_traces([trace for part in parts for trace in part.data])
    drawn.fig.update_layout(axes | {"annotations": words, "shapes": shapes})


def _margins(drawn: Sheet, more: tuple[int, int], theme: Theme, convention: Convention) -> int:
    """Write the key below all columns and make room for more lines above and below; give the figure's height in px."""
    head, tail = (LINE_PX * max(0, n) for n in more)
    key_line(drawn.fig, "template's labels", FIXED_LINE)
    key_line(drawn.fig, "subject's labels, registered", MOVED_LINE)
    side_note(drawn.fig, convention, theme, "Dice over the whole volume")
    drawn.fig.layout.annotations[-1].yshift = -46 - tail
    inner = max(1, drawn.height - HEAD_PX - TAIL_PX)
    legend = {"orientation": "h", "x": 0, "y": -(64 + tail) / inner, "yanchor": "top", "yref": "paper"}
    drawn.fig.update_layout(legend=legend, margin={"t": HEAD_PX + head, "b": TAIL_PX + tail})
    return drawn.height + head + tail


def _contours(
    fig: go.Figure, panel: Panel, template: Volume, voxel: Voxel,
    labels: tuple[np.ndarray | None, np.ndarray | None], thin: float,
) -> None:  # fmt: skip
    """Draw the outlines of the template's labels and of the subject's, so many times as wide as usual."""
    for of, (color, dash, width) in zip(labels, (FIXED_LINE, MOVED_LINE), strict=True):
        if of is not None:
            draw_contours(fig, panel, template, voxel, of, (color, dash, thin * width))


def _beneath(drawn: Sheet, registrations: Sequence[Registration], theme: Theme) -> list[dict[str, Any]]:
    """Give what stands under the last row: Dice, its gain over the first column, and what folds."""
    first, words = registrations[0].dice, []
    for panel, one in zip(drawn.rows[-1][1:], registrations, strict=True):
        more = []
        if one is not registrations[0] and one.dice is not None and first is not None:
            more.append(f"{one.dice - first:+.3f}")
        if one.folded_share:
            more.append(f"{100 * one.folded_share:.2g}{HARD}%{HARD}folds")
        said = _wrapped(drawn, " · ".join(more))
        text = f"<b>{_dice(one)}</b>" + (f"<br><span style='color:{MUTED[theme]}'>{said}</span>" if said else "")
        words.append({"text": text, "x": 0.5, "y": 0, "xref": f"{panel.x} domain", "yref": f"{panel.y} domain",
                      "xanchor": "center", "yanchor": "top", "yshift": -3, "showarrow": False,
                      "font": {"color": INK[theme]}, "name": "dice"})  # fmt: skip
    return words


def _dice(one: Registration) -> str:
    return "no labels" if one.dice is None else f"Dice {one.dice:.3f}"


def _voxel(volume: Volume, normal: int, index: int) -> Voxel:
    middle = [n // 2 for n in volume.shape]
    middle[normal] = index
    return middle[0], middle[1], middle[2]


def _at(volume: Volume, normal: int, index: int) -> str:
    return f"{'xyz'[normal]}{HARD}{volume.to_mm(np.array(_voxel(volume, normal, index)))[normal]:.1f}{HARD}mm"
