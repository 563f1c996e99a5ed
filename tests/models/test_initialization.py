"""How weights begin: the moments each scheme promises, where nothing is drawn, and that the seed decides."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from workbench.models.dropconnect import DropConnectConv
from workbench.models.initialization import N_SPARSE, fans, initialize


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def layers() -> dict[str, nn.Module]:
    return {
        "linear": nn.Linear(300, 200),
        "2-D": nn.Conv2d(12, 40, (5, 5)),
        "3-D": nn.Conv3d(6, 40, (3, 5, 3)),
        "dropconnect": DropConnectConv(12, 40, (5, 5)),
    }


@pytest.mark.parametrize("kind", list(layers()))
@pytest.mark.parametrize("name", ["glorot", "he", "lecun", "normal"])
def test_weights_have_the_variance_of_their_scheme(kind: str, name: str) -> None:
    layer = layers()[kind]
    initialize(layer, name, draw())
    fan_in, fan_out = fans(layer)
    wanted = {"glorot": 2 / (fan_in + fan_out), "he": 2 / fan_in, "lecun": 1 / fan_in, "normal": 1.0}[name]
    weight, n = layer.weight.detach(), layer.weight.numel()
    assert abs(float(weight.var()) / wanted - 1) < 5 * (2 / n) ** 0.5  # 5 standard deviations of a variance
    assert abs(float(weight.mean())) < 5 * (wanted / n) ** 0.5
    assert not layer.bias.any()


def test_glorot_is_uniform_up_to_its_radius_and_four_times_as_wide_for_logistic_units() -> None:
    layer, radius = nn.Linear(300, 200), (6 / 500) ** 0.5
    for activation, gain in (("tanh", 1), ("sigmoid", 4)):
        initialize(layer, "glorot", draw(), activation=activation)
        largest = float(layer.weight.abs().max().detach())
        assert 0.999 * gain * radius < largest <= gain * radius


def test_signals_keep_their_variance_through_he_and_rectifiers() -> None:
    """E[h²] of the next rectified layer equals that of this one, which is what the 2 in 2 / fan_in is for."""
    h = torch.randn(200, 400, generator=draw(1))
    for seed in range(10):
        layer = nn.Linear(400, 400)
        initialize(layer, "he", draw(seed))
        h = torch.relu(layer(h))
    assert 0.5 < float(h.square().mean().detach()) * 2 < 2 * 1.5


@pytest.mark.parametrize("kind", list(layers()))
def test_sparse_units_see_fifteen_inputs(kind: str) -> None:
    layer = layers()[kind]
    initialize(layer, "sparse", draw())
    rows = layer.weight.detach().flatten(1)
    assert ((rows != 0).sum(1) == N_SPARSE).all()
    assert abs(float(rows[rows != 0].var()) - 1) < 5 * (2 / (N_SPARSE * len(rows))) ** 0.5
    assert len({tuple(row.nonzero().flatten().tolist()) for row in rows}) == len(rows)


def test_sparse_tanh_units_have_quarter_weights_and_half_biases() -> None:
    plain, tanh = nn.Linear(40, 30), nn.Linear(40, 30)
    initialize(plain, "sparse", draw())
    initialize(tanh, "sparse", draw(), activation="tanh")
    assert torch.equal(tanh.weight, plain.weight / 4)
    assert (tanh.bias == 0.5).all() and not plain.bias.any()


def test_units_with_few_inputs_keep_them_all() -> None:
    layer = nn.Linear(4, 30)
    initialize(layer, "sparse", draw())
    assert (layer.weight != 0).all()


def test_fans_count_connections() -> None:
    """A 3 × 3 kernel over 4 channels has 36 connections into a unit; with 2 groups each sees 2 channels."""
    assert fans(nn.Linear(7, 5)) == (7, 5)
    assert fans(nn.Conv2d(4, 6, 3)) == (36, 54)
    assert fans(nn.Conv2d(4, 6, 3, groups=2)) == (18, 27)
    assert fans(nn.ConvTranspose2d(4, 6, 3)) == (36, 54)
    assert fans(nn.Conv2d(4, 6, 3), pool_volume=4) == (36, 13)
    with pytest.raises(ValueError, match="only layers with a weight"):
        fans(nn.BatchNorm1d(3))


def test_a_network_is_drawn_layer_by_layer_and_normalizations_stay() -> None:
    def network() -> nn.Sequential:
        return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 3))

    first, again, other = network(), network(), network()
    for one, seed in ((first, 0), (again, 0), (other, 1)):
        initialize(one, "he", draw(seed))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not torch.equal(first[0].weight, other[0].weight)
    assert (first[1].weight == 1).all()


def test_unknown_schemes_are_named() -> None:
    with pytest.raises(LookupError, match="'xavier'; known are glorot, he, sparse, normal, lecun"):
        initialize(nn.Linear(2, 2), "xavier", draw())
