"""The template's surface is closed and where MNI space says, and its views show the sides they are named after."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.imaging.brain_surface import PLANES, brain_surface, brain_views


def edges_of(faces: np.ndarray) -> np.ndarray:
    return np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)


def test_every_edge_of_the_surface_belongs_to_two_triangles() -> None:
    _, counts = np.unique(edges_of(brain_surface(6).faces), axis=0, return_counts=True)
    assert (counts % 2 == 0).all()


def test_the_surface_spans_a_brain_in_mni_space() -> None:
    vertices = brain_surface(6).vertices
    low, high = vertices.min(0), vertices.max(0)
    assert np.allclose(low, [-72, -106, -73], atol=5) and np.allclose(high, [72, 74, 82], atol=5)


def test_the_hollows_inside_are_filled() -> None:
    """A lateral ventricle lies around (±12, −5, 18) mm; no piece of the surface may be there."""
    away = np.linalg.norm(np.abs(brain_surface(4).vertices) * [1, 0, 0] + brain_surface(4).vertices * [0, 1, 1]
                          - np.array([12, -5, 18]), axis=1)  # fmt: skip
    assert away.min() > 8


def test_a_spacing_that_makes_no_brain_is_refused() -> None:
    with pytest.raises(ValueError, match="2 to 10"):
        brain_surface(1)


@pytest.mark.parametrize("name", PLANES)
def test_shade_and_outline_agree(name: str) -> None:
    view = brain_views()[name]  # type: ignore[index]
    rows, columns = np.nonzero(np.isfinite(view.shade))
    for axis, at in ((0, columns), (1, rows)):
        ends = view.origin_mm[axis] + view.step_mm * np.array([at.min(), at.max()])
        outline = view.outline[:, axis]
        assert np.allclose(ends, [np.nanmin(outline), np.nanmax(outline)], atol=2 * view.step_mm + 1)
    assert np.nanmin(view.shade) >= 0 and np.nanmax(view.shade) <= 1


def test_the_coronal_view_is_from_behind() -> None:
    """Only from behind does the cerebellum, low in the middle, face the viewer: it is lit there."""
    view = brain_views()["coronal"]
    x = round((20 - view.origin_mm[0]) / view.step_mm)
    z = round((-40 - view.origin_mm[1]) / view.step_mm)
    assert view.shade[z, x] > 0.6


@pytest.mark.parametrize("name", PLANES)
def test_shading_has_no_broad_margin(name: str) -> None:
    """A view drawn beside another may not cover it."""
    inside = np.isfinite(brain_views()[name].shade)  # type: ignore[index]
    assert inside[1].any() and inside[-2].any() and inside[:, 1].any() and inside[:, -2].any()
    assert not (inside[0].any() or inside[-1].any() or inside[:, 0].any() or inside[:, -1].any())
