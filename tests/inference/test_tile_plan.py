"""Tiles cover every voxel once, fit in memory, and waste as little as can be."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.inference.tile_plan import bounds, tile_plan


@pytest.mark.parametrize(
    ("shape", "memory"),
    [
        ((1, 1, 1), 1.0), ((31, 7, 40), 1.0), ((31, 7, 40), 1e5), ((31, 7, 40), 1e6), ((31, 7, 40), 1e12),
        ((182, 218, 182), 1e6), ((182, 218, 182), 1e8), ((182, 218, 182), 1e12), ((512, 512, 3), 1e6),
    ],
)  # fmt: skip
def test_every_voxel_lies_in_one_tile_that_fits(shape, memory):
    plan = tile_plan(shape, (13, 13, 5), 10, memory)
    n_times = np.zeros(shape, np.uint8)
    for tile in plan:
        n_times[tile.index] += 1
        window = np.array(tile.shape) + np.array((12, 12, 4))
        assert 4 * 10 * np.prod(window) <= plan.n_bytes
    assert (n_times == 1).all()
    assert plan.n_bytes <= memory or plan.tile == (1, 1, 1)


def test_no_cut_into_equal_tiles_costs_less():
    shape, field, memory = np.array((40, 24, 31)), np.array((9, 9, 9)), 4.0 * 20**3
    plan = tile_plan(shape, field, 1, memory, lambda tiles: 1e9 * np.prod(tiles + 4.0, axis=1))

    def cost(tile):
        return np.prod(-(-shape // tile)) * np.prod(np.array(tile) + 4.0)

    fitting = [t for t in np.ndindex(*(shape + 1)) if min(t) > 0 and 4 * np.prod(np.array(t) + 8) <= memory]
    assert cost(plan.tile) == pytest.approx(min(map(cost, fitting)))


def test_more_memory_never_costs_more():
    plans = [tile_plan((182, 218, 182), (53, 53, 53), 50, memory) for memory in (1e8, 3e8, 1e9, 1e10)]
    costs = [len(list(p)) * np.prod(np.array(p.tile) + 26) for p in plans]
    assert costs == sorted(costs, reverse=True) and len(list(plans[-1])) == 1


def test_tiles_shrink_to_the_mask_and_empty_ones_go():
    mask = np.zeros((30, 8, 8), bool)
    mask[2, 3:5, 1] = mask[29, 7, 7] = True
    plan = tile_plan(mask.shape, (3, 3, 3), 1, 4.0 * 12 * 10 * 10)
    tiles = plan.within(mask)
    assert len(tiles) == 2 < len(plan.within(None))
    assert (tiles[0].low, tiles[0].high) == ((2, 3, 1), (3, 5, 2)) and tiles[1].low == (29, 7, 7)
    assert bounds(np.zeros((2, 2, 2), bool)) is None
