from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from workbench.figures.convolution_parts import ConvolutionParts, MapLayer, fields, place_maps


def layer(n: int, size: int, jump: int, start: float, kind: str = "convolution", n_shown: int = 3) -> MapLayer:
    maps = np.zeros((n_shown, n, n)) if n > 1 else np.zeros((n_shown, 1, 1))
    return MapLayer(kind, kind, (n, n), 8, maps, range(n_shown), (size,) * 2, (jump,) * 2, (start,) * 2, (3, 3), (1, 1))


def network() -> ConvolutionParts:
    """Give 12 → conv 3 → 10 → pool 2 → 5 → conv 3 → 3 → one unit."""
    layers = [layer(10, 3, 1, 1), layer(5, 4, 2, 1.5, "pooling"), layer(3, 8, 2, 3.5), layer(1, 12, 1, 5.5, "dense")]
    return ConvolutionParts(np.zeros((12, 12)), layers)


def test_a_unit_sees_what_the_gradient_reaches() -> None:
    net = nn.Sequential(nn.Conv2d(1, 1, 3), nn.AvgPool2d(2), nn.Conv2d(1, 1, 3))
    for parameter in net.parameters():
        nn.init.ones_(parameter)
    x = torch.zeros(1, 1, 12, 12, requires_grad=True)
    maps = [x]
    for module in net:
        maps.append(module(maps[-1]))
    reached = torch.autograd.grad(maps[-1][0, 0, 2, 1], maps[:-1])
    for found, gradient in zip(fields(network(), (2, 2, 1)), reached, strict=False):
        seen = np.zeros(gradient.shape[2:], bool)
        seen[found.low[0] : found.high[0], found.low[1] : found.high[1]] = True
        np.testing.assert_array_equal(seen, gradient[0, 0].numpy() != 0)


def test_the_unit_itself_is_last_and_the_input_first() -> None:
    found = fields(network(), (1, 3, 4))
    assert [f.layer for f in found] == [-1, 0, 1]
    assert found[-1].low == (3, 4) and found[-1].high == (4, 5)


def test_a_padded_field_is_cut_at_the_edge() -> None:
    padded = ConvolutionParts(np.zeros((6, 6)), [layer(6, 3, 1, 0)])
    assert fields(padded, (0, 0, 5))[0] == (-1, (0, 4), (2, 6))


def test_a_dense_unit_sees_everything() -> None:
    found = fields(network(), (3, 0, 0))
    assert found[0].low == (0, 0) and found[0].high == (12, 12)
    assert found[3].high == (3, 3)


def test_cards_do_not_overlap_between_layers_and_fill_the_width() -> None:
    cards, height = place_maps(network())
    for index in range(-1, 3):
        right = max(c.x + c.width for c in cards if c.layer == index)
        assert right < min(c.x for c in cards if c.layer == index + 1)
    assert min(c.x for c in cards) >= 0 and max(c.x + c.width for c in cards) <= 100 + 1e-9
    assert all(c.y >= 0 and c.y + c.height <= height + 1e-9 for c in cards)


def test_maps_keep_their_order_of_size_and_single_units_stand_in_a_column() -> None:
    cards, _ = place_maps(network())
    widths = [max(c.width for c in cards if c.layer == index) for index in range(-1, 4)]
    assert widths[0] > widths[1] > widths[2] > widths[3]
    column = [c for c in cards if c.layer == 3]
    assert len({c.x for c in column}) == 1 and len({c.y for c in column}) == 3


def test_captions_say_what_a_layer_does() -> None:
    assert layer(10, 3, 1, 1).caption == ("8 × 10 × 10", "convolution 3 × 3")
    assert layer(5, 4, 2, 1.5, "pooling").caption[1] == "pooling 3 × 3, stride 1"
    assert layer(1, 12, 1, 5.5, "dense").caption[0] == "8 units"


def test_units_that_are_not_there_are_refused() -> None:
    with pytest.raises(LookupError, match="layers 0 to 3"):
        fields(network(), (4, 0, 0))
    with pytest.raises(LookupError, match=r"\(5, 5\)"):
        fields(network(), (1, 5, 0))
    with pytest.raises(ValueError, match="layer"):
        ConvolutionParts(np.zeros((3, 3)), [])
