from __future__ import annotations

import numpy as np
import pytest

from workbench.figures import planes
from workbench.figures.slices import Overlay, slices, voxel_edges
from workbench.figures.theme import label_color
from workbench.imaging.volume import Volume


def _labels(volume: Volume) -> np.ndarray:
    labels = np.zeros(volume.shape, np.int32)
    labels[2:6, 2:6, 1:4] = 1
    labels[7, 9, 4] = 3
    return labels


def test_three_panels_with_units_cross_and_convention(volume: Volume) -> None:
    fig = slices(volume, (5, 6, 3))
    assert sum(t.type == "heatmap" for t in fig.data) == 3
    titles = [fig.layout[a].title.text for a in ("xaxis", "yaxis", "xaxis2", "yaxis2", "xaxis3", "yaxis3")]
    assert titles == ["x, mm", "y, mm", "x, mm", "z, mm", "y, mm", "z, mm"]
    assert sum(t.name == "crosshair" for t in fig.data) == 3
    printed = " ".join(a.text for a in fig.layout.annotations)
    assert "radiological: patient’s right on the left" in printed and "2 × 2 × 5 mm" in printed


def test_all_panels_share_one_scale(volume: Volume) -> None:
    fig = slices(volume)
    assert [fig.layout[a].scaleanchor for a in ("yaxis", "xaxis2", "yaxis2", "xaxis3", "yaxis3")] == [
        "x",
        "x",
        "x2",
        "x",
        "x3",
    ]


def test_every_label_is_in_the_legend_even_where_the_planes_miss_it(volume: Volume) -> None:
    fig = slices(volume, (3, 3, 2), overlay=Overlay(_labels(volume), {1: "hippocampus"}))
    assert [t.name for t in fig.data if t.showlegend is not False and t.type == "scatter"] == ["hippocampus", "label 3"]


def test_a_label_keeps_its_colour_when_others_are_absent(volume: Volume) -> None:
    fig = slices(volume, overlay=np.where(_labels(volume) == 3, 3, 0))
    assert fig.data[1].marker.color == label_color(3)


def test_outline_surrounds_the_voxels_exactly() -> None:
    inside = np.zeros((4, 5), bool)
    inside[1:3, 2:4] = True
    x, y = voxel_edges(inside)
    assert np.nanmin(x) == 1.5 and np.nanmax(x) == 3.5 and np.nanmin(y) == 0.5 and np.nanmax(y) == 2.5
    assert np.isnan(x).sum() == 4


def test_outline_of_a_hole_is_drawn_too() -> None:
    inside = np.ones((3, 3), bool)
    inside[1, 1] = False
    assert np.isnan(voxel_edges(inside)[0]).sum() == 8


def test_map_has_a_titled_colour_bar(volume: Volume) -> None:
    heat = np.where(volume.data[0] > 0, volume.data[0], np.nan)
    fig = slices(volume, overlay=Overlay(heat, title="perfusion, ml/min", limits=(0, 2)))
    bar = [t for t in fig.data if t.type == "heatmap" and t.showscale]
    assert len(bar) == 1 and bar[0].colorbar.title.text == "perfusion, ml/min" and (bar[0].zmin, bar[0].zmax) == (0, 2)


def test_large_volumes_are_thinned_and_say_so(volume: Volume, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planes, "MAX_SIDE", 6)
    fig = slices(volume)
    assert any("1 of 2 voxels drawn along each axis" in a.text for a in fig.layout.annotations)
    assert fig.data[0].dx == 4.0


def test_a_picture_has_one_panel_and_no_sides() -> None:
    fig = slices(Volume.from_array(np.random.default_rng(0).random((3, 8, 9, 1))))
    assert sum(t.type == "image" for t in fig.data) == 1
    assert not [a for a in fig.layout.annotations if (a.name or "").startswith("side")]


def test_wrong_voxels_and_overlays_are_refused(volume: Volume) -> None:
    with pytest.raises(ValueError, match="outside the volume"):
        slices(volume, (10, 0, 0))
    with pytest.raises(ValueError, match="overlay has"):
        slices(volume, overlay=np.zeros((2, 2, 2), int))


def test_a_large_volume_stays_small_as_json() -> None:
    big = Volume.from_array(np.random.default_rng(0).random((256, 256, 160)).astype(np.float32))
    assert len(slices(big).to_json()) < 2_000_000
