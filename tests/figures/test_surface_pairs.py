"""Surfaces beside each other: distances are those of balls, scenes share a box, nothing to draw is a sentence."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.errors import GeometryError
from workbench.figures.surface_pairs import GRAY, RED, signed_distance, surface_pairs

N = 32


def ball(radius_mm: float, spacing: tuple[float, float, float] = (1, 1, 1)) -> np.ndarray:
    grid = (np.indices((N, N, N)) - (N - 1) / 2) * np.array(spacing).reshape(3, 1, 1, 1)
    return np.asarray((grid**2).sum(0) <= radius_mm**2)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (1.0, 1.0, 2.0)])
def test_the_distance_to_a_ball_is_that_to_its_middle_less_its_radius(spacing: tuple[float, float, float]) -> None:
    found = signed_distance(ball(9, spacing), np.array(spacing))
    grid = (np.indices((N, N, N)) - (N - 1) / 2) * np.array(spacing).reshape(3, 1, 1, 1)
    assert np.abs(found - (np.sqrt((grid**2).sum(0)) - 9)).max() < max(spacing)


def test_a_larger_prediction_is_colored_by_how_much_larger_it_is() -> None:
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = (-30, 5, 11)
    larger, smaller = (surface_pairs(ball(8), {"p": ball(r)}, affine).data[1] for r in (11, 5))
    assert np.median(larger.intensity) == pytest.approx(6, abs=1) and np.min(larger.intensity) > 3
    assert np.median(smaller.intensity) == pytest.approx(-6, abs=1)
    same = surface_pairs(ball(8), {"p": ball(8)}, affine).data[1]
    assert np.abs(same.intensity).mean() < 1  # half a voxel


def test_figure_7_has_a_scene_a_prediction_with_red_inside_gray() -> None:
    fig = surface_pairs(ball(9), {"intensity": ball(6), "learned": ball(8)}, np.eye(4), look="overlay", theme="dark")
    assert [(t.scene, t.color, t.name) for t in fig.data] == [
        ("scene", RED, "intensity"), ("scene", GRAY, "Truth"), ("scene2", RED, "learned"), ("scene2", GRAY, "Truth"),
    ]  # fmt: skip
    assert all(t.opacity == 0.3 for t in fig.data if t.color == GRAY)
    boxes = {tuple(fig.layout[s].xaxis.range) for s in ("scene", "scene2")}
    assert len(boxes) == 1, "sizes compare only in equal boxes"


def test_one_color_bar_and_symmetric_colors() -> None:
    fig = surface_pairs(ball(8), {"a": ball(7), "b": ball(10)}, np.eye(4))
    shown = [t for t in fig.data if t.showscale]
    assert len(shown) == 1 and all(t.cmin == -t.cmax for t in fig.data[1:]) and fig.data[1].cmax == fig.data[2].cmax
    assert surface_pairs(ball(8), {"a": ball(7)}, np.eye(4), limit_mm=4).data[1].cmax == 4


def test_nothing_to_draw_is_a_sentence() -> None:
    nothing = np.zeros((N, N, N), bool)
    with pytest.raises(GeometryError, match="in the truth"):
        surface_pairs(nothing, {"p": ball(5)}, np.eye(4))
    with pytest.raises(GeometryError, match="in mine"):
        surface_pairs(ball(5), {"mine": nothing}, np.eye(4))
