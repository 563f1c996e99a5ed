from __future__ import annotations

import numpy as np
import pytest

from workbench.errors import GeometryError
from workbench.figures.surfaces import surface
from workbench.imaging.volume import Volume


def _ball(radius: float, n: int = 24) -> np.ndarray:
    grid = np.indices((n, n, n)) - (n - 1) / 2
    return (grid**2).sum(0) <= radius**2


def test_ball_lies_in_mm_around_its_centre_with_its_volume() -> None:
    ball = _ball(8)
    affine = np.diag([2.0, 1.0, 1.0, 1.0])
    affine[:3, 3] = (10, 20, 30)
    mesh = surface(ball, affine, names={1: "lesion"}).data[0]
    centre = affine[:3, :3] @ np.full(3, 11.5) + affine[:3, 3]
    points = np.stack([mesh.x, mesh.y, mesh.z], 1) - centre
    np.testing.assert_allclose(np.linalg.norm(points / [2, 1, 1], axis=1), 8, atol=0.7)
    assert mesh.name == f"lesion · {ball.sum() * 2 / 1000:.3g} ml"


def test_every_label_is_a_surface_of_its_own(volume: Volume) -> None:
    labels = np.zeros(volume.shape, np.int16)
    labels[1:5, 1:5, 1:4] = 2
    labels[7, 9, 4] = 5  # a single voxel is not smoothed away
    fig = surface(labels, volume, names={2: "putamen"})
    assert [t.name.split(" · ")[0] for t in fig.data] == ["putamen", "label 5"]
    assert all(len(t.i) > 0 and t.showlegend for t in fig.data) and len({t.color for t in fig.data}) == 2


def test_triangles_stay_within_the_budget_and_it_is_said() -> None:
    fig = surface(_ball(11), np.eye(4), max_triangles=1500)
    assert len(fig.data[0].i) <= 1500 and "1 of " in fig.layout.annotations[0].text


def test_axes_carry_mm_and_sides() -> None:
    scene = surface(_ball(5), np.eye(4)).layout.scene
    assert scene.xaxis.title.text == "x, mm (L → R)" and scene.aspectmode == "data"


def test_nothing_to_draw_is_a_sentence() -> None:
    with pytest.raises(GeometryError, match="Nothing is labelled"):
        surface(np.zeros((4, 4, 4)), np.eye(4))
    with pytest.raises(GeometryError, match="3-D map"):
        surface(np.ones((4, 4, 1)), np.eye(4))
