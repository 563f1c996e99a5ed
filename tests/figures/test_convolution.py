from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from workbench.figures.convolution import convolution_diagram, corners, middle_unit, upright
from workbench.figures.convolution_parts import Card, ConvolutionParts, Field, MapLayer


def layer(kind: str, n: int, size: int, jump: int, start: float) -> MapLayer:
    return MapLayer(kind, kind, (n, n), 8, np.zeros((3, n, n)), range(3), (size,) * 2, (jump,) * 2, (start,) * 2)


def parts(spatial_dims: int = 2) -> ConvolutionParts:
    """Give 12 → conv 3 → 10 → pool 2 → 5."""
    layers = [layer("convolution", 10, 3, 1, 1), layer("pooling", 5, 4, 2, 1.5)]
    return ConvolutionParts(np.eye(12), layers, spatial_dims, "T1")


def test_every_map_is_drawn_and_the_field_is_marked_on_each_layer() -> None:
    fig = convolution_diagram(parts(), (1, 2, 3))
    assert len([t for t in fig.data if t.type == "heatmap"]) == 1 + 3 + 3
    marks = [t for t in fig.data if t.name == "field" and t.fill == "toself"]
    assert len(marks) == 3 and len([t for t in fig.data if t.name == "beam"]) == 2
    assert "2, 3 of pooling sees, 4 × 4" in " ".join(a.text for a in fig.layout.annotations)


def test_a_marked_field_is_as_large_as_its_share_of_the_map() -> None:
    fig = convolution_diagram(parts(), (1, 2, 3))
    picture = next(t for t in fig.data if t.name == "T1")
    mark = next(t for t in fig.data if t.name == "field")
    assert np.ptp(mark.x) == pytest.approx(4 * picture.dx) and np.ptp(mark.y) == pytest.approx(4 * picture.dy)


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_a_field_lies_where_its_voxels_are_drawn(spatial_dims: int) -> None:
    picture = np.zeros((12, 12))
    picture[2:5, 7:9] = 1
    rows = upright(picture, spatial_dims)[::-1]  # from the bottom, as plotly counts
    ys, xs = np.nonzero(rows)
    drawn = (xs.min(), xs.max() + 1, ys.min(), ys.max() + 1)
    edges = corners(parts(spatial_dims), Card(-1, 0, 0, 0, 12, 12), Field(-1, (2, 7), (5, 9)))
    assert edges == pytest.approx(drawn)


def test_a_volume_is_drawn_in_the_radiological_convention() -> None:
    right_front = np.zeros((3, 3))
    right_front[2, 2] = 1
    assert upright(right_front, 3)[0, 0] == 1
    assert "right on the left" in " ".join(a.text for a in convolution_diagram(parts(3)).layout.annotations)


def test_the_middle_of_the_last_map_is_marked_by_default() -> None:
    assert middle_unit(parts()) == (1, 2, 2)


def test_shared_kernels_are_drawn_with_zero_neutral() -> None:
    with_kernels = replace(parts().layers[0], kernels=np.array([[[1.0, -2], [0, 1]]]))
    fig = convolution_diagram(ConvolutionParts(np.eye(12), [with_kernels]), theme="dark")
    kernel = next(t for t in fig.data if t.name == "kernel")
    assert kernel.zmin == -2 and kernel.zmax == 2 and kernel.zmid == 0
