"""A kept unit survives its way through the URL; tables behind the figures say what was logged."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from workbench.app.family_views import pinned, written
from workbench.app.likelihood_view import gap_sentence, gap_table, noise_table
from workbench.app.network_view import Chosen
from workbench.figures.convolution_parts import ConvolutionParts, MapLayer
from workbench.figures.network_parts import LayerParts, LinkParts, NetworkParts

UNITS = NetworkParts(
    "rbm", [LayerParts("v", 9, [0, 4, 8]), LayerParts("h1", 5, [1, 3])], [LinkParts("v", "h1", np.ones((2, 3)))]
)
MAPS = ConvolutionParts(
    np.zeros((8, 8)), [MapLayer("conv1", "convolution", (6, 6), 4, np.zeros((2, 6, 6)), [0, 3], (3, 3), (1, 1), (1, 1))]
)


@pytest.mark.parametrize("chosen", [Chosen("h1", 3), Chosen("v", 8)])
def test_a_kept_unit_is_found_again(chosen: Chosen) -> None:
    assert pinned(written(chosen), UNITS) == chosen


def test_a_kept_place_on_a_map_is_found_again() -> None:
    assert pinned(written(Chosen("conv1", 3, (5, 0))), MAPS) == Chosen("conv1", 3, (5, 0))


@pytest.mark.parametrize("text", ["", "h1", "h1:2", "h2:1", "h1:x", "h1:-1", "h1:3:0:0", ":", "h1:3:"])
def test_a_link_to_a_unit_of_another_network_keeps_nothing(text: str) -> None:
    assert pinned(text, UNITS) is None


@pytest.mark.parametrize("text", ["conv1:3", "conv1:3:6:0", "conv1:1:0:0", "conv1:3:0", "conv1:3:0:0:0"])
def test_a_place_outside_the_map_keeps_nothing(text: str) -> None:
    assert pinned(text, MAPS) is None


def test_the_gap_is_what_was_logged_and_training_follows_from_it() -> None:
    rows = [
        (stage, step, name, value + step)
        for stage in ("pretrain 1", "pretrain 2")
        for step in (10, 20)
        for name, value in (("val_free_energy", -50.0), ("free_energy_gap", 2.0), ("loss", 7.0))
    ]
    rows.append(("pretrain 2", 30, "val_free_energy", -10.0))
    found = gap_table(pd.DataFrame(rows, columns=["stage", "step", "name", "value"]), "pretrain 2")
    assert list(found["step"]) == [10, 20] and list(found["gap"]) == [12.0, 22.0]
    assert np.allclose(found["held_out"] - found["training"], found["gap"])
    assert "from 12.00 to 22.00 nats" in gap_sentence(found)


def test_noise_intervals_hold_the_mean_and_shrink_with_examples() -> None:
    rng = np.random.default_rng(0)
    curves = {str(n): SimpleNamespace(levels=np.array([0.0, 1.0]), change=rng.random((2, n))) for n in (20, 2000)}
    found = noise_table(curves)
    assert ((found["low"] < found["mean"]) & (found["mean"] < found["high"])).all()
    width = (found["high"] - found["low"]).groupby(found["variant"]).mean()
    assert width["2000"] < width["20"] / 5
