"""Truth and prediction over the image: each label as an outline or filled, or where the two agree and differ.

The prediction has full lines (or is filled), the truth dashed ones, so that the two are told apart without color too
(Section 3.3; Figures 7 and 8 of the review show their segmentations like this).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import plotly.graph_objects as go

from workbench.figures import planes
from workbench.figures.planes import PLANES, Convention, Panel
from workbench.figures.slices import voxel_edges
from workbench.figures.theme import INK, MUTED, Theme, finish, label_color, listed, note
from workbench.imaging.volume import Volume

Style = Literal["outline", "fill"]
PlaneName = Literal["axial", "coronal", "sagittal"]
Voxel = tuple[int, int, int]
CASES = {1: ("found", "#009E73"), 2: ("false alarm", "#E69F00"), 3: ("missed", "#CC79A7")}
"""Code of :func:`difference` → what it says and its color: no pair of the three is told apart by red against green."""
PAGE_PX = 1000
TRUTH, PREDICTION, DIFFERENCE = "Truth", "Prediction", "Difference"


@dataclass(frozen=True)
class LabelMaps:
    """What a user sees of one segmentation.

    Attributes:
        image: on whose lattice the labels lie; its first channel is drawn.
        prediction: (X, Y, Z) whole numbers, 0 is nothing.
        truth: the same of whoever knows, below 0 where it is not known; None where nobody knows it.
        names: label → what the legend calls it.
    """

    image: Volume
    prediction: np.ndarray
    truth: np.ndarray | None = None
    names: Mapping[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, array in (("prediction", self.prediction), ("truth", self.truth)):
            if array is not None and array.shape != self.image.shape:
                raise ValueError(f"the {name} has {array.shape} voxels but the image has {self.image.shape}")

    def values(self) -> list[int]:
        """Give the labels that occur, without 0."""
        known = np.unique(self.prediction)
        return [int(v) for v in (known if self.truth is None else np.union1d(known, np.unique(self.truth))) if v > 0]


def difference(prediction: np.ndarray, truth: np.ndarray, label: int | None = None) -> np.ndarray:
    """Give (X, Y, Z) uint8: 0 nothing, 1 found, 2 false alarm, 3 missed.

    Args:
        prediction: (X, Y, Z) whole numbers.
        truth: the same; below 0 is not known, and nothing is said there.
        label: whose; None for all together, where a voxel of the wrong label counts as missed.
    """
    if label is None:
        right = (prediction == truth) & (truth != 0)
        codes = np.where(right, 1, np.where(truth != 0, 3, np.where(prediction != 0, 2, 0)))
    else:
        here, there = prediction == label, truth == label
        codes = np.where(here & there, 1, np.where(here, 2, np.where(there, 3, 0)))
    return np.where(truth < 0, 0, codes).astype(np.uint8)


def label_maps(
    maps: LabelMaps,
    voxel: Voxel | None = None,
    *,
    plane: PlaneName = "axial",
    style: Style = "outline",
    opacity: float = 0.45,
    convention: Convention = "radiological",
    theme: Theme = "light",
) -> go.Figure:
    """Draw a slice with the truth, with the prediction, and with both: the truth dashed over the prediction.

    Args:
        maps: what to draw; without truth there is one panel.
        voxel: through which the slice goes; None for the slice with most of the prediction.
        plane: of the slice.
        style: of the prediction and of the truth where they stand alone.
        opacity: of filled labels, fraction.
        convention: which side the patient's right is drawn on; always printed.
        theme: the page it is shown on.
    """
    voxel = voxel or fullest(maps, plane)
    titles = [PREDICTION] if maps.truth is None else [TRUTH, PREDICTION, "Prediction, truth dashed"]
    fig, panels = _panels(maps.image, titles, plane, convention, voxel, theme)
    _legend(fig, maps, theme)
    for panel, title in zip(panels, titles, strict=True):
        array = maps.truth if title == TRUTH and maps.truth is not None else maps.prediction
        dash = "dash" if title == TRUTH and style == "outline" else "solid"
        for value in maps.values():
            inside = planes.cut(array, panel.plane, voxel[panel.plane.normal]) == value
            shade = opacity if style == "fill" else 0.0
            _draw(fig, panel, maps.image, voxel, inside, (label_color(value), dash, shade), _name(maps, value))
            if title not in (TRUTH, PREDICTION) and maps.truth is not None:
                true = planes.cut(maps.truth, panel.plane, voxel[panel.plane.normal]) == value
                _draw(fig, panel, maps.image, voxel, true, ("#FFFFFF", "dash", 0.0), _name(maps, value))
    names = listed([_name(maps, v) for v in maps.values()]) or "nothing"
    both = "truth, prediction and both" if maps.truth is not None else "prediction"
    return _finished(fig, maps.image, voxel, plane, convention, theme, f"{both} with labels {names} as {style}")


def difference_map(
    maps: LabelMaps,
    voxel: Voxel | None = None,
    *,
    label: int | None = None,
    plane: PlaneName = "axial",
    opacity: float = 0.6,
    convention: Convention = "radiological",
    theme: Theme = "light",
) -> go.Figure:
    """Draw what was found, what is a false alarm and what was missed, over a slice, with their volumes in ml.

    Args:
        maps: with truth.
        voxel: through which the slice goes; None for the slice with most of the prediction.
        label: whose; None for all together.
        plane: of the slice.
        opacity: fraction.
        convention: which side the patient's right is drawn on; always printed.
        theme: the page it is shown on.
    """
    if maps.truth is None:
        raise ValueError("a difference needs a truth")
    voxel = voxel or fullest(maps, plane)
    codes = difference(maps.prediction, maps.truth, label)
    fig, [panel] = _panels(maps.image, [DIFFERENCE], plane, convention, voxel, theme)
    counts = np.bincount(codes.ravel(), minlength=4)
    told = []
    for code, (name, color) in CASES.items():
        told.append(f"{name} {_ml(counts[code] * voxel_ml(maps.image))}")
        fig.add_scatter(x=[None], y=[None], mode="markers", name=told[-1],
                        marker={"symbol": "square", "size": 11, "color": color})  # fmt: skip
        inside = planes.cut(codes, panel.plane, voxel[panel.plane.normal]) == code
        _draw(fig, panel, maps.image, voxel, inside,
              (color, "dash" if code == 3 else "solid", opacity * (0.5 if code == 1 else 1)), name)  # fmt: skip
    whose = "all labels" if label is None else _name(maps, label)
    return _finished(fig, maps.image, voxel, plane, convention, theme, f"what was found of {whose}: {', '.join(told)}")


def label_volumes(maps: LabelMaps) -> list[dict[str, float | str]]:
    """Give a row a label: its name, and its volume in ml in the prediction and, where known, in the truth."""
    one = voxel_ml(maps.image)
    rows = []
    for value in maps.values():
        row: dict[str, float | str] = {"Label": _name(maps, value)}
        row["Prediction, ml"] = float(np.count_nonzero(maps.prediction == value)) * one
        if maps.truth is not None:
            row["Truth, ml"] = float(np.count_nonzero(maps.truth == value)) * one
        rows.append(row)
    return rows


def fullest(maps: LabelMaps, plane: PlaneName) -> Voxel:
    """Give the middle voxel of the slice that holds most of the prediction (or of the truth where nothing is)."""
    array = maps.prediction if maps.prediction.any() or maps.truth is None else maps.truth
    normal = PLANES[plane].normal
    counts = np.count_nonzero(array, axis=tuple(a for a in range(3) if a != normal))
    middle = [n // 2 for n in maps.image.shape]
    if counts.any():
        middle[normal] = int(counts.argmax())
    return middle[0], middle[1], middle[2]


def voxel_ml(image: Volume) -> float:
    """Give the volume of a voxel in ml."""
    return abs(float(np.linalg.det(image.affine[:3, :3]))) / 1000


def _panels(
    image: Volume, titles: Sequence[str], name: str, convention: Convention, voxel: Voxel, theme: Theme
) -> tuple[go.Figure, list[Panel]]:
    plane, gap = PLANES[name], 0.03
    wide = (1 - gap * (len(titles) - 1)) / len(titles)
    fig, panels = go.Figure(), []
    for number, title in enumerate(titles, 1):
        panel = Panel(number, plane, convention)
        planes.draw_anatomy(fig, panel, image, voxel)
        left = (number - 1) * (wide + gap)
        suffix, hidden = panel.x[1:], {"showticklabels": False, "ticks": ""}
        fig.update_layout({
            f"xaxis{suffix}": {"domain": [left, left + wide], "anchor": f"y{suffix}"} | hidden,
            f"yaxis{suffix}": {"anchor": f"x{suffix}", "constraintoward": "top"} | hidden,
        })  # fmt: skip
        if number > 1:  # moved and magnified together
            fig.update_layout({f"xaxis{suffix}": {"matches": "x"}, f"yaxis{suffix}": {"matches": "y"}})
        fig.add_annotation(text=f"<b>{title}</b>", x=0, y=1, xref=f"{panel.x} domain", yref=f"{panel.y} domain",
                           xanchor="left", yanchor="bottom", showarrow=False,
                           font={"size": 13, "color": INK[theme]})  # fmt: skip
        planes.scale_bar(fig, panel, image)
        panels.append(panel)
    return fig, panels


def _legend(fig: go.Figure, maps: LabelMaps, theme: Theme) -> None:
    for value, row in zip(maps.values(), label_volumes(maps), strict=True):
        volumes = _ml(float(row["Prediction, ml"]))
        if "Truth, ml" in row:
            volumes += f" (truth {_ml(float(row['Truth, ml']))})"
        fig.add_scatter(x=[None], y=[None], mode="markers", name=f"{_name(maps, value)} · {volumes}",
                        marker={"symbol": "square", "size": 11, "color": label_color(value)})  # fmt: skip


def _draw(
    fig: go.Figure, panel: Panel, image: Volume, voxel: Voxel, inside: np.ndarray, look: tuple[str, str, float],
    name: str,
) -> None:  # fmt: skip
    """Draw a mask of the slice (rows, columns) with a color, the dash of its outline and the opacity of its inside."""
    if not inside.any():
        return
    color, dash, opacity = look
    (x0, dx), (y0, dy) = (planes.millimetres(image, voxel, a) for a in (panel.plane.across, panel.plane.up))
    place = {"xaxis": panel.x, "yaxis": panel.y, "showlegend": False, "name": name}
    if opacity:
        fig.add_heatmap(z=np.where(inside, np.float32(1), np.float32(np.nan)), x0=x0, dx=dx, y0=y0, dy=dy,
                        colorscale=[(0, color), (1, color)], showscale=False, opacity=opacity, hoverongaps=False,
                        hovertemplate=f"{name}<extra></extra>", **place)  # fmt: skip
    xs, ys = voxel_edges(inside)
    fig.add_scatter(x=x0 + xs * dx, y=y0 + ys * dy, mode="lines", hoverinfo="skip",
                    line={"color": color, "width": 1.8, "dash": "solid" if dash == "solid" else "2px,2px"},
                    **place)  # fmt: skip


def _finished(
    fig: go.Figure, image: Volume, voxel: Voxel, plane: str, convention: Convention, theme: Theme, what: str
) -> go.Figure:
    normal = PLANES[plane].normal
    at = f"{planes.AXIS_NAMES[normal]} {image.to_mm(np.array(voxel))[normal]:.1f} mm"
    side = {"radiological": "patient’s right on the left", "neurological": "patient’s right on the right"}[convention]
    words = f"{plane}, slice {voxel[normal]} at {at} · {convention}: {side}"
    fig.add_annotation(note(words, theme, y=0, yanchor="top", yshift=-6, font={"size": 12, "color": MUTED[theme]}))
    fig.update_layout(
        legend={"orientation": "h", "y": -0.09, "yanchor": "top", "x": 0}, margin={"l": 8, "r": 8, "t": 30, "b": 78}
    )
    alt = f"{plane.capitalize()} slice of a {image.modality} volume at {at} with {what}; {convention} convention."
    across, up = (image.shape[a] * image.spacing[a] for a in (PLANES[plane].across, PLANES[plane].up))
    n_panels = sum(a.text.startswith("<b>") and a.name is None for a in fig.layout.annotations)
    height = 108 + (PAGE_PX / max(n_panels, 2)) * up / across
    return finish(fig, theme, alt=alt, height=round(float(np.clip(height, 300, 560))))


def _name(maps: LabelMaps, value: int) -> str:
    return maps.names.get(value, f"label {value}")


def _ml(volume: float) -> str:
    return f"{volume:,.0f} ml" if volume >= 100 else f"{volume:.3g} ml"
