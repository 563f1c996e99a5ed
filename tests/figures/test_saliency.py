from __future__ import annotations

import numpy as np
import pytest

from workbench.figures.saliency import saliency_overlay


@pytest.mark.parametrize("spatial", [(6, 6), (5, 5, 5)])
def test_input_map_and_overlay_lie_beneath_each_other(spatial: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    images, maps = rng.random((2, 1, *spatial)), rng.random((2, *spatial))
    fig = saliency_overlay(images, maps, titles=["AD 0.9", "NC 0.6"])
    grey, alone, over = (np.asarray(t.z) for t in fig.data)
    tile = np.isfinite(alone).sum()
    assert np.isfinite(grey).sum() == 2 * tile and np.isfinite(over).sum() == tile
    assert np.nonzero(np.isfinite(alone))[0].max() < np.nonzero(np.isfinite(over))[0].min()
    np.testing.assert_array_equal(alone[np.isfinite(alone)], over[np.isfinite(over)])
    assert list(fig.layout.yaxis.ticktext) == ["input", "map", "map over input"]


def test_signed_maps_have_zero_neutral_and_their_own_scale() -> None:
    maps = np.stack([np.full((4, 4), -3.0), np.full((4, 4), 0.5)])
    alone = saliency_overlay(np.zeros((2, 1, 4, 4)), maps, signed=True, theme="dark").data[1]
    assert alone.zmin == -1 and alone.zmax == 1
    assert set(np.unique(np.asarray(alone.z)[np.isfinite(alone.z)])) == {-1, 1}


def test_maps_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(2, 4, 4\)"):
        saliency_overlay(np.zeros((2, 1, 4, 4)), np.zeros((2, 5, 5)))
