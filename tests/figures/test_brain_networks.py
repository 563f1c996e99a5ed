"""Matrices, connectomes and glass brains show the edges that they were asked for, where the regions are."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import plotly.graph_objects as go
import pytest

from workbench.figures.connectivity_matrix import connectivity_matrix, runs
from workbench.figures.connectome import connectome
from workbench.figures.edges import (
    NEGATIVE,
    POSITIVE,
    UNNAMED,
    Regions,
    broken_lines,
    network_colors,
    network_order,
    shown_edges,
    strengths,
    width_classes,
)
from workbench.figures.functional_networks import FunctionalUnit, _spread, functional_networks
from workbench.figures.glass_brain import Place, draw_map, glass_brain, side_by_side, template_views
from workbench.imaging.brain_surface import BrainSurface

MATRIX = np.array([
    [1.0, 0.9, 0.1, -0.5],
    [0.9, 1.0, 0.0, 0.2],
    [0.1, 0.0, 1.0, np.nan],
    [-0.5, 0.2, np.nan, 1.0],
])  # fmt: skip
PLACES = np.array([[-40.0, 20, 10], [40, 20, 10], [0, -60, 30], [np.nan] * 3])
REGIONS = Regions(["A.L", "A.R", "B", "C"], PLACES, ["b", "a", "b", ""])
TETRAHEDRON = BrainSurface(
    np.array([[0, 0, 0], [9, 0, 0], [0, 9, 0], [0, 0, 9]], np.float32),
    np.array([[0, 1, 2], [0, 1, 3], [0, 2, 3], [1, 2, 3]], np.int32),
)


def test_edges_are_the_strongest_and_never_the_diagonal() -> None:
    edges = shown_edges(MATRIX)
    assert list(zip(edges.first, edges.second, edges.value, strict=True)) == [
        (2, 0, 0.1), (3, 1, 0.2), (3, 0, -0.5), (1, 0, 0.9)]  # fmt: skip
    assert shown_edges(MATRIX, density=2 / 6).value.tolist() == [-0.5, 0.9]
    assert shown_edges(MATRIX, value=0.2).value.tolist() == [0.2, -0.5, 0.9]
    assert shown_edges(MATRIX, value=0.15, most=1).value.tolist() == [0.9]
    assert shown_edges(np.eye(3)).value.size == 0


def test_a_map_of_voxels_shows_the_largest_value_along_the_view_at_its_place() -> None:
    places = np.array([[x, y, z] for x in (0.0, 8) for y in (-16.0, -8, 0) for z in (8.0, 16)])
    values = np.array([0, 1, -3, 2, np.nan, 0, 5, 0, 0, 0, 0, -4.0])
    voxels = Regions([str(i) for i in range(12)], places, (), 8.0)
    fig, place = go.Figure(), side_by_side(template_views(), ("axial",))[0]
    draw_map(fig, place, voxels, values, (5.0, "weight"), "light")
    (drawn,) = fig.data
    expected = {(0, -16): 1, (0, -8): -3, (8, -16): 5, (8, 0): -4}
    found = {
        (round(drawn.x0 + i * drawn.dx - place.shift[0]), round(drawn.y0 + j * drawn.dy - place.shift[1])): v
        for j, row in enumerate(np.asarray(drawn.z)) for i, v in enumerate(row) if np.isfinite(v)
    }  # fmt: skip
    assert found == expected
    draw_map(fig, place, voxels, np.zeros(12), (1.0, "weight"), "light")
    assert len(fig.data) == 1, "nothing is drawn of nothing"


def test_units_of_voxels_are_maps_and_emptied_ones_are_left_out() -> None:
    places = np.array([[8.0 * i, 8.0 * j, 8.0 * k] for i in range(4) for j in range(4) for k in range(3)])
    voxels = Regions([str(i) for i in range(48)], places, ["a", "b"] * 24, 8.0)
    weights = np.random.default_rng(0).normal(size=(3, 48)) * np.array([[1], [1], [0.001]])
    units = [
        FunctionalUnit(f"unit {i}", w, "a", p, 0.5)
        for i, (w, p) in enumerate(zip(weights, (0.9, 0.3, 0.2), strict=True))
    ]
    fig = functional_networks(units, voxels, n_regions=5)
    maps = [t for t in fig.data if t.name == "map"]
    assert len(maps) == 2 * 3, "three views of each unit that holds something"
    assert all(0 < np.isfinite(np.asarray(t.z, float)).sum() <= 5 for t in maps)
    texts = " ".join(str(a.text) for a in fig.layout.annotations)
    assert "1 units with next to no weight" in texts and "unit 2" not in texts and "Voxels of several" in texts


def test_two_thresholds_and_odd_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="not both"):
        shown_edges(MATRIX, density=0.1, value=0.1)
    with pytest.raises(ValueError, match=r"\(R, R\)"):
        shown_edges(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="3 networks"):
        Regions(["a", "b"], None, ["x", "y", "z"])
    with pytest.raises(ValueError, match=r"\(2, 3\) mm"):
        Regions(["a", "b"], np.zeros((3, 3)))


def test_strength_counts_every_edge_at_both_ends() -> None:
    edges = shown_edges(MATRIX, value=0.2)
    assert np.allclose(strengths(edges, 4), [1.4, 1.1, 0, 0.7])
    assert strengths(edges, 4).sum() == pytest.approx(2 * np.abs(edges.value).sum())


def test_networks_keep_their_first_order_and_the_unnamed_come_last() -> None:
    assert network_order(REGIONS).tolist() == [0, 2, 1, 3]
    assert REGIONS.groups == ["b", "a", "b", UNNAMED] and REGIONS.placed.tolist() == [True, True, True, False]
    colors = network_colors(REGIONS.groups, "light")
    assert len(set(colors.values())) == 3 and network_colors(["", "b"], "light")["b"] == colors["b"]


def test_every_edge_has_one_width_and_wider_is_stronger() -> None:
    edges = shown_edges(MATRIX)
    classes = width_classes(edges)
    assert sorted(i for *_, picked in classes for i in picked) == [0, 1, 2, 3]
    for sign, _, picked in classes:
        assert ((edges.value[picked] > 0) == sign).all()
    by_width = sorted((w, float(np.abs(edges.value[p]).min())) for _, w, p in classes)
    assert [v for _, v in by_width] == sorted(v for _, v in by_width)
    lines = broken_lines(PLACES, edges, np.array([3]))
    assert np.array_equal(lines[:2], PLACES[[1, 0]]) and np.isnan(lines[2]).all()


def test_the_matrix_is_ordered_masked_and_thresholded() -> None:
    z = np.asarray(connectivity_matrix(MATRIX, REGIONS).data[0].z)
    order = [0, 2, 1, 3]
    assert np.isnan(np.diag(z)).all()
    off = ~np.eye(4, dtype=bool)
    assert np.allclose(z[off], MATRIX[np.ix_(order, order)][off], equal_nan=True)
    fig = connectivity_matrix(MATRIX, REGIONS, density=1 / 6, quantity="Fisher z", limit=2)
    z = np.asarray(fig.data[0].z)
    assert np.isfinite(z).sum() == 2 and z[0, 2] == z[2, 0] == np.float32(0.9)
    assert fig.data[0].colorbar.title.text == "Fisher z" and (fig.data[0].zmin, fig.data[0].zmax) == (-2, 2)
    assert "1 of 6" in fig.layout.annotations[0].text


def test_bars_cover_the_networks_they_are_coloured_for() -> None:
    fig = connectivity_matrix(MATRIX, REGIONS)
    across = [s for s in fig.layout.shapes if s.type == "rect" and s.y1 < 0]
    colors = network_colors(REGIONS.groups, "light")
    assert [(s.x0, s.x1, s.fillcolor) for s in across] == [
        (-0.5, 1.5, colors["b"]), (1.5, 2.5, colors["a"]), (2.5, 3.5, colors[UNNAMED])]  # fmt: skip
    assert runs(["a", "a", "b"]) == [("a", 0, 1), ("b", 2, 2)]
    assert not connectivity_matrix(MATRIX, Regions(REGIONS.names)).layout.shapes


def test_the_connectome_draws_edges_between_known_places_only() -> None:
    fig = connectome(MATRIX, REGIONS, surface=TETRAHEDRON, value=0.05)
    lines = [t for t in fig.data[1:] if t.mode == "lines"]
    assert {t.line.color for t in lines} == {POSITIVE["light"]}  # the negative edge ends where no place is known
    ends = {tuple(map(float, p)) for t in lines for p in zip(t.x, t.y, t.z, strict=True) if np.isfinite(p).all()}
    assert ends == {tuple(p) for p in PLACES[:3]}
    assert "1 regions without coordinates" in fig.layout.annotations[0].text
    told = next(t for t in fig.data if t.name == "middle of an edge").hovertext
    assert "A.R – A.L<br>r 0.900" in told
    mesh = fig.data[0]
    assert mesh.type == "mesh3d" and len(mesh.i) == 4


def test_stronger_regions_are_larger() -> None:
    fig = connectome(MATRIX, REGIONS, surface=TETRAHEDRON, value=0.05)
    size = {text.split("</b>")[0][3:]: s for t in fig.data[1:] if t.mode == "markers" and t.hovertext is not None
            and t.name in ("a", "b") for text, s in zip(t.hovertext, t.marker.size, strict=True)}  # fmt: skip
    assert size["A.L"] > size["A.R"] > size["B"]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_glass_brain_shows_left_on_the_left(theme: str) -> None:
    fig = glass_brain(MATRIX, REGIONS, value=0.15, views=("axial",), theme=theme)  # type: ignore[arg-type]
    dots = next(t for t in fig.data if t.name == "regions")
    at = {text.split("</b>")[0][3:]: (x, y) for text, x, y in zip(dots.hovertext, dots.x, dots.y, strict=True)}
    assert at["A.L"][0] < at["A.R"][0] and at["B"][1] < at["A.L"][1] and "C" not in at
    assert {t.line.color.rsplit(",", 1)[0] for t in fig.data if t.name in ("positive", "negative")}
    assert fig.layout.meta["alt"] and NEGATIVE[theme] != POSITIVE[theme]


def test_nearer_regions_are_drawn_over_others() -> None:
    places = np.array([[30.0, -70, 0], [-30, 40, 60]])
    regions = Regions(["behind, right, low", "front, left, high"], places)
    fig = glass_brain(np.array([[0, 1.0], [1, 0]]), regions, views=("axial", "sagittal", "coronal"))
    last = [t.hovertext[-1].split("</b>")[0][3:] for t in fig.data if t.name == "regions"]
    assert last == ["front, left, high", "behind, right, low", "behind, right, low"]


def test_views_stand_beside_each_other_at_one_scale() -> None:
    places = side_by_side(template_views(), ("sagittal", "axial", "coronal"))
    for left, right in pairwise(places):
        assert left.box[1] < right.box[0]
    moved = Place(places[0].view, (5.0, -3.0)).project(np.array([[1.0, 2.0, 4.0]]))
    assert moved.tolist() == [[7.0, 1.0]]  # sagittal: y across, z up


def units() -> list[FunctionalUnit]:
    rng = np.random.default_rng(0)
    fits = [("a", 0.9), ("a", 0.8), ("b", 0.7), ("b", 0.4), ("a", 0.2), ("a", 0.5)]
    return [FunctionalUnit(f"unit {i}", rng.normal(size=20), n, p, p - 0.1) for i, (n, p) in enumerate(fits)]


def many() -> Regions:
    rng = np.random.default_rng(1)
    names = [f"R{i}.{'L' if i % 2 else 'R'}" for i in range(20)]
    return Regions(names, rng.uniform(-50, 50, (20, 3)), ["a"] * 10 + ["b"] * 10)


def test_figure_10_has_a_network_once_before_it_repeats_one() -> None:
    fig = functional_networks(units(), many(), rows=2, n_regions=8)
    heads = [a.text for a in fig.layout.annotations if "purity" in a.text and "Dice" in a.text]
    assert ["unit 0" in heads[0], "unit 2" in heads[1]] == [True, True]  # a and b, not a twice
    assert "<b>unit 3</b>" in heads[2] and "<b>unit 4</b>" in heads[3]  # the least pure at the right, sorted
    assert "purity 90%" in heads[0] and "Dice 0.80" in heads[0]


def test_figure_10_names_the_strongest_regions_and_joins_them_by_products() -> None:
    unit = FunctionalUnit("u", np.r_[np.arange(10, 0, -1.0), -np.ones(10) * 0.01], "a", 1.0, 1.0)
    fig = functional_networks([unit], many(), n_regions=8)
    written = {a.text for a in fig.layout.annotations}
    assert {f"R{i}.{'L' if i % 2 else 'R'}" for i in range(8)} <= written and "R8.R" not in written
    assert not [t for t in fig.data if t.name == "negative"]  # all eight weights are positive, so are their products
    turned = FunctionalUnit("u", unit.weights * np.r_[-1.0, np.ones(19)], "a", 1.0, 1.0)
    signs = [t for t in functional_networks([turned], many(), n_regions=8).data if t.name == "negative"]
    pairs = sum(np.isnan(np.asarray(t.x, float)).sum() for t in signs)
    assert pairs == 2 * 7  # seven products with the one negative weight, in two views
    with pytest.raises(ValueError, match="8 to 14"):
        functional_networks([unit], many(), n_regions=20)


def test_labels_keep_their_order_and_distance_within_bounds() -> None:
    at = _spread(np.array([50.0, 49.0, 48.0, -80.0]), -85.0, 70.0)
    assert (np.diff(at) <= -12.59).all() and at.min() >= -85 and at.max() <= 70
    crowded = _spread(np.full(14, -84.0), -85.0, 70.0)
    assert (np.diff(crowded) < 0).all() and crowded.min() >= -85.01 and crowded.max() <= 70.01
