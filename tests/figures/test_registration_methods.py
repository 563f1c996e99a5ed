"""Figures 6 and 7: a panel for every slice and method, contours of the right color, Dice beneath, surfaces below."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.errors import GeometryError
from workbench.figures.registration_methods import Registration, figure_6
from workbench.figures.registration_panels import BLUE, RED, YELLOW
from workbench.figures.registration_surfaces import GRAY, Patient, figure_7
from workbench.imaging.volume import Volume

N = 16


def ball(radius: float, shift: int = 0) -> np.ndarray:
    grid = np.indices((N, N, N)) - N / 2
    grid[0] -= shift
    return np.asarray((grid**2).sum(0) <= radius**2)


@pytest.fixture
def image() -> Volume:
    return Volume.from_array(np.random.default_rng(0).random((N, N, N), np.float32), np.diag([2.0, 2, 2, 1]), "T1")


@pytest.fixture
def columns(image: Volume) -> list[Registration]:
    return [
        Registration("Subject", image, ball(4, 3).astype(int), 0.5),
        Registration("Demons", image, ball(4, 1).astype(int), 0.8, 0.02),
        Registration("HAMMER", image, ball(4).astype(int), 0.75, 0.0),
    ]


def test_figure_6_has_three_slices_of_every_column(image: Volume, columns: list[Registration]) -> None:
    fig = figure_6(image, ball(4).astype(int), columns)
    assert sum(t.type == "heatmap" for t in fig.data) == 3 * 4
    contours = [t for t in fig.data if t.name == "contour"]
    assert sum(t.line.color == RED for t in contours) == 12, "the template's, in every panel"
    assert sum(t.line.color == BLUE for t in contours) == 9, "the subject's, in all but the template"
    titles = [a.text for a in fig.layout.annotations if a.name == "panel title"]
    assert titles[0].startswith("<b>a  Template") and titles[3] == "<b>d  HAMMER</b>"


def test_dice_its_gain_and_folds_stand_beneath_each_column(image: Volume, columns: list[Registration]) -> None:
    fig = figure_6(image, ball(4).astype(int), columns)
    dice = [a.text for a in fig.layout.annotations if a.name == "dice"]
    assert [t.split("<")[1] for t in dice] == ["b>Dice 0.500", "b>Dice 0.800", "b>Dice 0.750"]
    assert "+0.300" in dice[1] and "2 % folds" in dice[1] and "+0.250" in dice[2] and "folds" not in dice[2]
    assert "Demons Dice 0.800" in fig.layout.meta["alt"]


def test_many_columns_have_heads_that_fit(image: Volume, columns: list[Registration]) -> None:
    titles = ["Diffeomorphic demons", "HAMMER, learnt features (SAE), 23:54:00", "Demons", *["HAMMER, raw patches"] * 4]
    many = [columns[0], *(Registration(t, image, ball(4).astype(int), 0.81234, 0.02) for t in titles)]
    fig, few = figure_6(image, ball(4).astype(int), many), figure_6(image, ball(4).astype(int), columns)
    heads = [a for a in fig.layout.annotations if a.name == "panel title"][:9]
    low, high = fig.layout.xaxis.domain
    for head in heads:
        lines = head.text.removeprefix("<b>").removesuffix("</b>").split("<br>")
        assert all(0.61 * head.font.size * len(line) <= 1000 * (high - low) or line.count(" ") <= 2 for line in lines)
    text = " ".join(a.text.replace("<br>", " ") for a in heads)
    assert all(t in text for t in titles), "nothing of a name is lost"
    assert fig.layout.margin.t > few.layout.margin.t and "+0.312<br>2 % folds" in str(fig.layout.annotations)
    inner, wide = (f.layout.height - f.layout.margin.t - f.layout.margin.b for f in (fig, few))
    assert 0 < inner < wide


def test_chosen_slices_are_drawn_from_the_top(image: Volume, columns: list[Registration]) -> None:
    fig = figure_6(image, None, columns[:1], plane="coronal", slices=[3, 9], around_labels=False)
    titles = [a.text for a in fig.layout.annotations if a.name == "panel title"]
    assert "y 18.0 mm" in titles[0] and any("y 6.0 mm" in t for t in titles)
    assert fig.layout.xaxis.range == (31.0, -1.0)


def test_without_labels_figure_6_says_so(image: Volume) -> None:
    fig = figure_6(image, None, [Registration("Affine", image)])
    assert not [t for t in fig.data if t.name == "contour"]
    assert "no labels" in fig.layout.meta["alt"] and fig.layout.showlegend is False
    with pytest.raises(ValueError, match="at least one"):
        figure_6(image, None, [])


def test_figure_7_has_a_slice_and_a_scene_of_every_feature(image: Volume) -> None:
    found = {"Intensity": ball(3), "SAE": ball(5, 1)}
    patients = [Patient(n, image, ball(5), found, {"Intensity": 0.6, "SAE": 0.9}) for n in ("one", "two")]
    fig = figure_7(patients)
    assert sum(t.type == "heatmap" for t in fig.data) == 4
    meshes = [t for t in fig.data if t.type == "mesh3d"]
    scenes = {t.scene for t in meshes}
    assert len(scenes) == 4 and sum(t.color == GRAY and t.opacity < 0.5 for t in meshes) == 4
    assert sum(t.opacity is None for t in meshes) == 4, "what was found is opaque"
    colors = {t.line.color for t in fig.data if t.name == "contour"}
    assert colors == {RED, YELLOW}
    assert [a.text for a in fig.layout.annotations if a.name == "dice"] == [
        "<b>Dice 0.600</b>",
        "<b>Dice 0.900</b>",
    ] * 2
    boxes = {tuple(fig.layout[s].xaxis.range) for s in scenes}
    assert len(boxes) == 1, "sizes compare only in equal boxes"


def test_scenes_lie_below_their_slices_and_nothing_overlaps(image: Volume) -> None:
    fig = figure_7([Patient("one", image, ball(5), {"a": ball(4), "b": ball(5), "c": ball(6)})])
    for number in (1, 2, 3):
        suffix = "" if number == 1 else str(number)
        slice_, scene = fig.layout[f"yaxis{suffix}"].domain, fig.layout[f"scene{suffix}"].domain
        assert 0 <= scene.y[0] < scene.y[1] <= slice_[0]
        x = fig.layout[f"xaxis{suffix}"].domain
        assert sum(scene.x) / 2 == pytest.approx(sum(x) / 2, abs=1e-6)


def test_what_was_not_found_is_said_and_an_empty_truth_is_an_error(image: Volume) -> None:
    nothing = np.zeros((N, N, N), bool)
    fig = figure_7([Patient("one", image, ball(5), {"a": nothing, "b": ball(4)})])
    assert "nothing found" in fig.layout.meta["alt"]
    with pytest.raises(GeometryError, match="truth of one"):
        figure_7([Patient("one", image, nothing, {"a": ball(3)})])
    with pytest.raises(GeometryError, match="same features"):
        figure_7([Patient("1", image, ball(5), {"a": ball(3)}), Patient("2", image, ball(5), {"b": ball(3)})])
