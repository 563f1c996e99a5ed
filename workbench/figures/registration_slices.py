"""Two images on one lattice compared: side by side, blended, as a checkerboard, by a wipe, flickering, subtracted.

Each image is drawn in its own gray window, so that two contrasts compare as well as one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import plotly.graph_objects as go

from workbench.figures import planes
from workbench.figures.planes import PLANES, Convention, Panel
from workbench.figures.registration_panels import (
    FIXED_LINE,
    MOVED_LINE,
    Sheet,
    Voxel,
    draw_contours,
    draw_values,
    key_line,
    middle,
    move_together,
    sheet,
    side_note,
    whole_box,
)
from workbench.figures.theme import DIVERGING, GREY, Theme, colorbar, finish
from workbench.imaging.volume import Volume

Mode = Literal["side by side", "blend", "checkerboard", "wipe", "flicker", "difference"]
MODES: tuple[Mode, ...] = get_args(Mode)
FLICKER_MS = 500
USUAL = {"blend": 0.5, "checkerboard": 20.0, "wipe": 0.5}


@dataclass(frozen=True)
class Compared:
    """A fixed image and one that was brought onto its lattice.

    Attributes:
        fixed: the image that stays.
        registered: the other one, on the same lattice.
        fixed_labels, registered_labels: (X, Y, Z) whole numbers on that lattice, 0 is nothing; None where unknown.
        names: of the two, for titles.
    """

    fixed: Volume
    registered: Volume
    fixed_labels: np.ndarray | None = None
    registered_labels: np.ndarray | None = None
    names: tuple[str, str] = ("Fixed", "Registered")

    def __post_init__(self) -> None:
        for name, shape in (
            ("registered image", self.registered.shape),
            ("fixed labels", getattr(self.fixed_labels, "shape", self.fixed.shape)),
            ("registered labels", getattr(self.registered_labels, "shape", self.fixed.shape)),
        ):
            if tuple(shape) != self.fixed.shape:
                raise ValueError(f"the {name} has {tuple(shape)} voxels but the fixed image has {self.fixed.shape}")


def compare_slices(
    pair: Compared, voxel: Voxel | None = None, *, mode: Mode = "checkerboard", amount: float | None = None,
    plane: str = "axial", convention: Convention = "radiological", theme: Theme = "light",
) -> go.Figure:  # fmt: skip
    """Draw a slice of both images in one of the ways to compare them.

    Args:
        pair: what is compared.
        voxel: through which the slice goes; None for the middle.
        mode: ``"flicker"`` has a button that plays it.
        amount: share of the registered image (blend), side of a square in mm (checkerboard), share of the width
            that shows the fixed image (wipe); None for the usual.
        plane: ``"axial"``, ``"coronal"`` or ``"sagittal"``.
        convention: which side the patient's right is drawn on; always printed.
        theme: the page it is shown on.
    """
    if plane not in PLANES or mode not in MODES:
        raise LookupError(
            f"plane is one of {', '.join(PLANES)} and mode of {', '.join(MODES)}; got {plane!r}, {mode!r}"
        )
    voxel = voxel or middle(pair.fixed)
    cut = PLANES[plane]
    titles = list(pair.names) if mode == "side by side" else [_title(pair, mode, amount)]
    drawn = sheet([[plane] * len(titles)], {plane: whole_box(pair.fixed, cut)}, max_px=520, convention=convention)
    fixed, moved = (_gray(image, cut, voxel) for image in (pair.fixed, pair.registered))
    for panel, title in zip(drawn.panels, titles, strict=True):
        look = {"colorscale": GREY, "zmin": 0, "zmax": 1, "showscale": False, "hoverinfo": "skip"}
        if mode == "difference":
            values = moved - fixed
            look |= {"colorscale": DIVERGING["dark"], "zmin": -1, "zmax": 1, "showscale": True,
                     "colorbar": colorbar(theme, "registered − fixed, share of the window")}  # fmt: skip
        else:
            values = _composed(pair, panel, fixed, moved, mode, amount, second=title == pair.names[1])
        draw_values(drawn, panel, pair.fixed, values, voxel, title, theme, **look)
        _draw_labels(drawn.fig, panel, pair, voxel)
    move_together(drawn)
    _legend(drawn.fig, pair)
    if mode == "flicker":
        _flicker(drawn, fixed, moved, pair.names)
    at = f"{planes.AXIS_NAMES[cut.normal]} {pair.fixed.to_mm(np.array(voxel))[cut.normal]:.1f} mm"
    side_note(drawn.fig, convention, theme, f"{plane}, slice {voxel[cut.normal]} at {at}")
    alt = f"{plane.capitalize()} slice at {at} of {pair.names[0]} and {pair.names[1]}, compared by {mode}."
    return finish(drawn.fig, theme, alt=alt, height=drawn.height)


def checkerboard(shape: tuple[int, int], step_mm: tuple[float, float], square_mm: float) -> np.ndarray:
    """Give (rows, columns) bool, true on every other square of a board whose squares are so many mm wide."""
    if square_mm <= 0:
        raise ValueError(f"squares must be wider than 0 mm; got {square_mm:g}")
    rows, columns = (np.arange(n) * step // square_mm for n, step in zip(shape, step_mm, strict=True))
    return np.asarray((rows[:, None] + columns[None]) % 2 == 1)


def _gray(image: Volume, cut: planes.Plane, voxel: Voxel) -> np.ndarray:
    low, high = planes.window_of(image)
    values = planes.cut(image.data[0], cut, voxel[cut.normal])
    return np.asarray(np.clip((np.nan_to_num(values) - low) / (high - low), 0, 1), np.float32)


def _composed(
    pair: Compared, panel: Panel, fixed: np.ndarray, moved: np.ndarray, mode: Mode, amount: float | None, *,
    second: bool,
) -> np.ndarray:  # fmt: skip
    amount = USUAL.get(mode, 0.0) if amount is None else amount
    if mode == "side by side":
        return moved if second else fixed
    if mode == "blend":
        return (1 - amount) * fixed + amount * moved
    if mode == "checkerboard":
        steps = pair.fixed.spacing[panel.plane.up], pair.fixed.spacing[panel.plane.across]
        return np.where(checkerboard(fixed.shape, steps, amount), moved, fixed)
    if mode == "wipe":
        share = (np.arange(fixed.shape[1]) + 0.5) / fixed.shape[1]
        on_the_left = share[::-1] < amount if panel.mirrored else share < amount  # as it lies on the screen
        return np.where(on_the_left[None], fixed, moved)
    return fixed


def _title(pair: Compared, mode: Mode, amount: float | None) -> str:
    first, second = pair.names
    share = USUAL.get(mode, 0.0) if amount is None else amount
    return {
        "blend": f"{1 - share:.0%} {first.lower()}, {share:.0%} {second.lower()}",
        "checkerboard": f"{first} and {second.lower()} in squares of {share:g} mm",
        "wipe": f"{first} on the left, {second.lower()} on the right",
        "flicker": f"{first} and {second.lower()} by turns",
        "difference": f"{second} less {first.lower()}, each in its own gray window",
    }[mode]


def _draw_labels(fig: go.Figure, panel: Panel, pair: Compared, voxel: Voxel) -> None:
    for labels, look in ((pair.fixed_labels, FIXED_LINE), (pair.registered_labels, MOVED_LINE)):
        if labels is not None:
            draw_contours(fig, panel, pair.fixed, voxel, labels, look)


def _legend(fig: go.Figure, pair: Compared) -> None:
    for labels, look, name in (
        (pair.fixed_labels, FIXED_LINE, pair.names[0]),
        (pair.registered_labels, MOVED_LINE, pair.names[1]),
    ):
        if labels is not None:
            key_line(fig, f"labels: {name.lower()}", look)
    fig.update_layout(legend={"orientation": "h", "x": 1, "xanchor": "right", "y": 0, "yanchor": "top"})


def _flicker(drawn: Sheet, fixed: np.ndarray, moved: np.ndarray, names: tuple[str, str]) -> None:
    """Give the figure two frames and buttons: it moves only when asked to, twice a second."""
    images = zip(names, (fixed, moved), strict=True)
    drawn.fig.frames = [go.Frame(name=n, data=[{"type": "heatmap", "z": z}], traces=[0]) for n, z in images]
    twenty_seconds = list(names) * 20  # a page cannot loop frames for ever
    how = {"frame": {"duration": FLICKER_MS, "redraw": True}, "transition": {"duration": 0}, "mode": "immediate"}
    now = how | {"frame": {"duration": 0, "redraw": True}}
    buttons = [{"label": "▶ Flicker", "method": "animate", "args": [twenty_seconds, how]}]
    buttons += [{"label": name, "method": "animate", "args": [[name], now]} for name in names]
    place = {"x": 0, "xanchor": "left", "y": 1, "yanchor": "bottom", "pad": {"b": 2}}  # the toolbar is on the right
    menu = {"type": "buttons", "direction": "right", "showactive": False, "buttons": buttons}
    drawn.fig.update_layout(updatemenus=[menu | place])
