from __future__ import annotations

import numpy as np
import pytest

from workbench.figures.decision import Grid, decision_regions, energy_landscape

GRID = Grid(np.linspace(-1, 1, 5), np.linspace(0, 2, 9), ("volume, ml", "age, years"))


def probabilities(n_classes: int = 2) -> np.ndarray:
    p = np.zeros((9, 5, n_classes))
    p[:, :2, 0] = 1
    p[:, 2:, 1] = 1
    return p


def test_regions_take_the_colour_of_the_class_and_boundaries_lie_between() -> None:
    fig = decision_regions(probabilities(), GRID)
    image = np.asarray(fig.data[0].z)
    assert len(np.unique(image[:, :2].reshape(-1, 3), axis=0)) == 1
    assert (image[0, 0] != image[0, 4]).any()
    boundary = next(t for t in fig.data if t.name == "boundary")
    assert np.asarray(boundary.z)[0].tolist() == [1, 1, -1, -1, -1]
    assert fig.layout.xaxis.title.text == "volume, ml"


def test_the_less_sure_the_fainter() -> None:
    p = np.full((9, 5, 2), 0.5)
    p[0, 0] = (0.9, 0.1)
    image = np.asarray(decision_regions(p, GRID).data[0].z).astype(int)
    assert image[0, 0].sum() < image[4, 4].sum()


def test_wrong_cases_have_a_ring() -> None:
    points = np.array([[-1.0, 0], [1, 2], [-0.5, 1]])
    fig = decision_regions(probabilities(), GRID, points, np.array([0, 1, 1]), names=["NC", "AD"], theme="dark")
    ring = next(t for t in fig.data if t.name and t.name.startswith("decided wrongly"))
    assert list(ring.x) == [-0.5] and ring.name.endswith("(1)")
    assert {t.name for t in fig.data} >= {"NC (1)", "AD (2)"}


def test_three_classes_have_their_boundaries() -> None:
    fig = decision_regions(np.full((9, 5, 3), 1 / 3), GRID)
    assert len([t for t in fig.data if t.name == "boundary"]) == 3


def test_landscape_says_where_it_is_lowest() -> None:
    y, x = np.meshgrid(GRID.y, GRID.x, indexing="ij")
    fig = energy_landscape((x - 0.5) ** 2 + (y - 1.5) ** 2 - 2, GRID, data=np.zeros((3, 2)), chain=np.ones((4, 2)))
    assert "lowest, -2 nats, at 0.5, 1.5" in fig.layout.meta["alt"]
    assert any(t.name == "Gibbs chain, 3 steps" for t in fig.data)


def test_two_binary_units_have_four_written_values() -> None:
    fig = energy_landscape(np.array([[1.0, 2], [3, -4]]), Grid(np.arange(2.0), np.arange(2.0)))
    assert {a.text for a in fig.layout.annotations} == {"<b>1</b>", "<b>2</b>", "<b>3</b>", "<b>-4</b>"}


def test_values_off_the_grid_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(9, 5"):
        decision_regions(np.zeros((5, 9, 2)), GRID)
    with pytest.raises(ValueError, match=r"\(9, 5\)"):
        energy_landscape(np.zeros((5, 9)), GRID)
