from __future__ import annotations

import numpy as np
import pytest

from workbench.figures.filters import activation_histogram, filter_tiles
from workbench.figures.mosaic import compose, tiles_of
from workbench.figures.patches import patch_grid, reconstruction_pairs


def test_tiles_put_superior_first_and_the_patients_right_on_the_left() -> None:
    patch = np.zeros((1, 1, 3, 3, 3))
    patch[0, 0, 2, 2, 2] = 1  # right, in front, high
    tile = tiles_of(patch, "slices")[0]
    assert tile.shape == (3 * 3 + 2, 3)
    assert tuple(np.argwhere(tile == 1)[0]) == (0, 0)
    assert np.isnan(tile[3]).all()


def test_orthogonal_tiles_are_three_middle_slices() -> None:
    patch = np.zeros((1, 2, 3, 5, 7))
    patch[0, :, 1, 2, 3] = 1
    tile = tiles_of(patch, "orthogonal")[0]
    assert tile.shape == (5 + 7 + 7 + 2, 2 * 5 + 1)
    assert (tile == 1).sum() == 6


def test_2d_tiles_are_pictures_with_their_channels_below_each_other() -> None:
    patch = np.arange(12.0).reshape(1, 2, 2, 3)
    tile = tiles_of(patch)[0]
    assert tile.shape == (7, 2)
    np.testing.assert_array_equal(tile[:3], patch[0, 0].T)


def test_composed_tiles_lie_at_their_corners() -> None:
    tiles = np.arange(5 * 4, dtype=float).reshape(5, 2, 2)
    mosaic = compose(tiles, 3)
    for number, (row, column) in enumerate(mosaic.corners):
        np.testing.assert_array_equal(mosaic.image[row : row + 2, column : column + 2], tiles[number])
    assert np.isfinite(mosaic.image).sum() == tiles.size
    assert np.nanmax(mosaic.index()) == 4


@pytest.mark.parametrize("scale", ["each", "shared"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_zero_is_the_neutral_middle(scale: str, theme: str) -> None:
    weights = np.random.default_rng(0).normal(size=(6, 1, 5, 5, 5)) + 3  # mostly positive: the scale stays symmetric
    heat = filter_tiles(weights, scale=scale, theme=theme).data[0]
    assert heat.zmin == -heat.zmax and heat.zmid == 0
    middle = dict(heat.colorscale)[0.5]
    red, green, blue = (int(middle[i : i + 2], 16) for i in (1, 3, 5))
    assert max(red, green, blue) - min(red, green, blue) < 24


def test_pointer_reads_unit_weight_and_mean_activation() -> None:
    weights = np.random.default_rng(0).normal(size=(4, 1, 3, 3))
    heat = filter_tiles(weights, mean_activation=np.array([0.1, 0.2, 0.3, 0.4]), order=[2, 0]).data[0]
    unit, weight, activation = heat.customdata[0, 0]
    assert unit == 2 and weight == pytest.approx(weights[2, 0, 0, 0], rel=1e-5) and activation == pytest.approx(0.3)


def test_dead_units_are_hatched_and_counted() -> None:
    weights = np.random.default_rng(0).normal(size=(9, 1, 5, 5))
    dead = np.zeros(9, bool)
    dead[[1, 7]] = True
    fig = filter_tiles(weights, dead=dead)
    legend = [t.name for t in fig.data if t.showlegend is not False and t.type == "scatter"]
    assert legend == ["× dead unit: 2 of 9"]
    assert "<b>1</b> ×" in next(t.text for t in fig.data if t.name == "unit")
    assert "2 of them are dead" in fig.layout.meta["alt"]


@pytest.mark.parametrize("layout", ["slices", "orthogonal", "middle"])
def test_512_units_are_small_to_send(layout: str) -> None:
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(512, 1, 11, 11, 11)).astype(np.float32)
    fig = filter_tiles(weights, mean_activation=rng.random(512), dead=rng.random(512) < 0.2, layout=layout)
    assert len(fig.to_json()) < 5_000_000


def test_weights_of_one_value_and_zero_do_not_divide_by_zero() -> None:
    fig = filter_tiles(np.zeros((2, 1, 3, 3)))
    assert np.nanmax(np.abs(fig.data[0].z)) == 0


def test_no_units_and_unknown_layouts_are_refused() -> None:
    with pytest.raises(ValueError, match="no unit"):
        filter_tiles(np.zeros((0, 1, 3, 3)))
    with pytest.raises(LookupError, match="middle"):
        filter_tiles(np.zeros((1, 1, 3, 3, 3)), layout="diagonal")  # type: ignore[arg-type]


def test_histogram_shows_the_aim_and_counts_the_dead() -> None:
    fig = activation_histogram(np.array([0.0, 0.0004, 0.1, 0.2]), 0.1)
    assert "2 dead" in fig.layout.meta["alt"]
    assert any(a.text == "aim ρ = 0.1" for a in fig.layout.annotations)
    assert fig.layout.xaxis.title.text == "mean activation of a unit, fraction"


def test_reconstructions_lie_below_inputs_and_differences_are_signed() -> None:
    patches = np.zeros((3, 1, 3, 3))
    patches[0] = 1
    rebuilt = patches + 0.5
    fig = reconstruction_pairs(patches, rebuilt)
    assert list(fig.layout.yaxis.ticktext) == ["input", "reconstruction", "difference"]
    grey, signed = fig.data
    assert grey.z[0, 0] == 1 and np.isnan(signed.z[0, 0]) and np.nanmax(signed.z) == 0.5
    assert signed.zmin == -signed.zmax and list(fig.layout.xaxis.ticktext) == ["0.25"] * 3


def test_reconstructions_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="patches' shape"):
        reconstruction_pairs(np.zeros((2, 1, 3, 3)), np.zeros((2, 1, 4, 4)))


def test_patches_tell_their_subject_and_place() -> None:
    fig = patch_grid(
        np.random.default_rng(0).random((2, 1, 5, 5, 5)), ["anna", "ben"], np.array([[1, 2, 3], [4, 5, 6]])
    )
    assert fig.data[1].hovertext[1] == "ben<br>4, 5, 6 mm"
    assert "2 subjects" in fig.layout.meta["alt"]


def test_coloured_patches_keep_their_colours() -> None:
    red = np.zeros((1, 3, 4, 4))
    red[:, 0] = 1
    fig = patch_grid(red)
    assert fig.data[0].type == "image" and list(np.asarray(fig.data[0].z)[0, 0]) == [255, 0, 0, 255]
