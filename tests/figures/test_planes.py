from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import pytest

from workbench.figures import planes
from workbench.figures.planes import PLANES, Panel
from workbench.imaging.volume import Volume

BRIGHT = (1, 9, 4)  # on the patient's left, in front, high: see the fixture


def _place_on_screen(fig: go.Figure) -> tuple[float, float]:
    """Give where the brightest cell is drawn: 0 left to 1 right, 0 bottom to 1 top."""
    trace = fig.data[0]
    row, column = np.unravel_index(np.argmax(trace.z), np.shape(trace.z))
    x, y = trace.x0 + column * trace.dx, trace.y0 + row * trace.dy
    (left, right), (bottom, top) = fig.layout.xaxis.range, fig.layout.yaxis.range
    return (x - left) / (right - left), (y - bottom) / (top - bottom)


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("convention", ["radiological", "neurological"])
def test_bright_voxel_is_drawn_beside_the_letters_of_its_sides(volume: Volume, plane: str, convention: str) -> None:
    fig = go.Figure()
    panel = Panel(1, PLANES[plane], convention)
    planes.draw_anatomy(fig, panel, volume, BRIGHT)
    x, y = _place_on_screen(fig)
    letters = planes.side_letters(panel)
    sides = {"axial": ("L", "A"), "coronal": ("L", "S"), "sagittal": ("A", "S")}[plane]
    assert letters["left" if x < 0.5 else "right"] == sides[0]
    assert letters["bottom" if y < 0.5 else "top"] == sides[1]
    written = {a.name.removeprefix("side "): a.text for a in fig.layout.annotations}
    assert written == {place: f"<b>{letter}</b>" for place, letter in letters.items()}


def test_radiological_has_the_patients_right_on_the_viewers_left() -> None:
    assert planes.side_letters(Panel(1, PLANES["axial"], "radiological"))["left"] == "R"
    assert planes.side_letters(Panel(1, PLANES["coronal"], "neurological"))["left"] == "L"


def test_cells_are_as_large_as_voxels_in_mm(volume: Volume) -> None:
    fig = go.Figure()
    planes.draw_anatomy(fig, Panel(1, PLANES["coronal"]), volume, BRIGHT)
    assert (fig.data[0].dx, fig.data[0].dy) == (2.0, 5.0)
    assert (fig.data[0].x0, fig.data[0].y0) == (-9.0, -12.0)
    assert fig.layout.yaxis.scaleanchor == "x" and fig.layout.yaxis.scaleratio == 1


def test_oblique_affine_is_recognised_and_true_at_the_cross(volume: Volume) -> None:
    angle = np.deg2rad(10)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine = volume.affine.copy()
    affine[:3, :3] = turn @ affine[:3, :3]
    oblique = Volume.from_array(volume.data, affine)
    start, step = planes.millimetres(oblique, BRIGHT, 1)
    assert planes.is_oblique(oblique) and not planes.is_oblique(volume)
    assert start + BRIGHT[1] * step == pytest.approx(oblique.to_mm(np.array(BRIGHT))[1])


def test_compact_keeps_values() -> None:
    for array, kind in (
        ([0, 200], np.uint8),
        ([-1000, 3000], np.int16),
        ([0.5, 1.0], np.float32),
        ([np.nan, 1], np.float32),
    ):
        small = planes.compact(np.array(array, float))
        assert small.dtype == kind
        np.testing.assert_array_equal(small, np.array(array, float))


def test_scale_bar_is_as_long_as_it_says(volume: Volume) -> None:
    fig = go.Figure()
    panel = Panel(1, PLANES["axial"])
    planes.draw_anatomy(fig, panel, volume, BRIGHT)
    planes.scale_bar(fig, panel, volume)
    bar = next(s for s in fig.layout.shapes if s.name == "scale bar")
    text = next(a.text for a in fig.layout.annotations if a.name == "scale bar")
    assert text == f"{abs(bar.x1 - bar.x0):g} mm"


def test_picture_runs_downwards_without_sides() -> None:
    picture = Volume.from_array(np.arange(12, dtype=np.float32).reshape(4, 3, 1))
    fig = go.Figure()
    planes.draw_anatomy(fig, Panel(1, PLANES["axial"], "neurological"), picture, (0, 0, 0))
    low, high = fig.layout.yaxis.range
    assert low > high and not fig.layout.annotations
