"""Saliency and occlusion by law: linear networks, unused regions, sums."""

# mypy: disable-error-code="index"

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from workbench.models.cnn import CNN, ConvBlock
from workbench.models.fcn import to_fcn
from workbench.models.feature_inspection import gradient, input_x_gradient, occlusion, saliency


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def linear(shape: tuple[int, ...], n_outputs: int = 3) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(int(torch.tensor(shape).prod()), n_outputs)).double()


SHAPES = [(2, 5, 6), (1, 4, 3, 5)]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_linear_network_is_explained_by_its_weights(shape: tuple[int, ...]) -> None:
    net = linear(shape)
    x = torch.randn(shape, generator=generator(), dtype=torch.float64)
    weights = net[1].weight.detach()[1].reshape(shape)  # type: ignore[operator]
    assert torch.equal(gradient(net, x, 1), weights)
    assert torch.equal(saliency(net, x, 1), weights.abs().amax(0))
    assert torch.allclose(input_x_gradient(net, x, 1), (weights * x).sum(0))


@pytest.mark.parametrize("shape", SHAPES)
def test_occlusion_of_a_linear_network_by_single_zeros_is_value_times_weight(shape: tuple[int, ...]) -> None:
    net = linear(shape)
    x = torch.randn(shape, generator=generator(), dtype=torch.float64)
    fall = occlusion(net, x, 1, window=1, fill=0.0, batch_size=7)
    assert fall.shape == shape[1:] and torch.allclose(fall, input_x_gradient(net, x, 1), atol=1e-12)


@pytest.mark.parametrize("activation", ["relu", "leaky_relu"])
def test_shares_add_up_to_the_output_of_a_rectified_network_without_biases(activation: str) -> None:
    net = CNN((2, 9, 9), [ConvBlock(3, 3, pool=2), ConvBlock(4, 2)], [5], 3, activation=activation)  # type: ignore[arg-type]
    net = net.double()  # biases begin at 0
    x = torch.randn(2, 9, 9, generator=generator(), dtype=torch.float64)
    for output in range(3):
        share = input_x_gradient(net, x, output)
        assert float(share.sum()) == pytest.approx(float(net(x[None])[0, output].detach()), abs=1e-10)


@pytest.mark.parametrize("n_axes", [2, 3])
def test_a_region_that_is_not_used_has_neither_gradient_nor_occlusion(n_axes: int) -> None:
    class Corner(nn.Module):
        """Sees the first four voxels along every axis."""

        def __init__(self) -> None:
            super().__init__()
            self.body = CNN((1, *[4] * n_axes), [ConvBlock(3, 2, pool=2)], [], 2, activation="tanh")

        def forward(self, x: Tensor) -> Tensor:
            return self.body(x[(..., *[slice(0, 4)] * n_axes)])

    x = torch.rand(1, *[8] * n_axes, generator=generator(), dtype=torch.float64)
    for answer in (saliency(Corner().double(), x, 0), occlusion(Corner().double(), x, 0, window=2)):
        used = answer.clone()
        used[tuple([slice(0, 5)] * n_axes)] = 0  # a window of 2 reaches one voxel further than the network
        assert float(used.abs().max()) < 1e-12 and float(answer.abs().max()) > 0


def test_each_voxel_gets_the_mean_over_the_windows_that_hide_it() -> None:
    weights = torch.arange(1.0, 6)

    class Weighted(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x[:, 0, :, 0] * weights).sum(1)

    fall = occlusion(Weighted(), torch.ones(1, 5, 1), window=(2, 1), fill=0.0)
    pairs = [3.0, 5.0, 7.0, 9.0]  # what each window of two takes away: 1 + 2, 2 + 3, …
    assert fall[:, 0].tolist() == [3, (pairs[0] + pairs[1]) / 2, (pairs[1] + pairs[2]) / 2, 8, 9]


def test_the_default_fill_is_each_channel_s_mean() -> None:
    net = linear((2, 4, 4))
    x = torch.stack([torch.full((4, 4), 3.0), torch.full((4, 4), -1.0)]).double()
    assert float(occlusion(net, x).abs().max()) < 1e-12  # a flat channel cannot lose anything
    assert float(occlusion(net, x, fill=0.0).abs().max()) > 0.1


def test_the_largest_output_is_explained_by_default() -> None:
    net = linear((1, 4, 4))
    x = torch.randn(1, 4, 4, generator=generator(), dtype=torch.float64)
    best = int(net(x[None]).argmax())
    assert torch.equal(saliency(net, x), saliency(net, x, best))
    assert torch.equal(occlusion(net, x, window=2), occlusion(net, x, best, window=2))


def test_the_network_and_the_input_are_left_as_they_were() -> None:
    net = CNN((1, 9, 9), [ConvBlock(3, 3, pool=2)], [5], 2, batch_norm=True, dropout=0.5).train()
    before = {name: values.clone() for name, values in net.state_dict().items()}
    x = torch.rand(1, 9, 9, generator=generator())
    copy = x.clone()
    with torch.no_grad():  # a page may be inside of this
        assert torch.equal(saliency(net, x), saliency(net, x))
    assert torch.equal(occlusion(net, x), occlusion(net, x))
    assert net.training and torch.equal(x, copy) and not x.requires_grad
    assert all(p.grad is None for p in net.parameters())
    assert all(torch.equal(values, before[name]) for name, values in net.state_dict().items())


def test_single_numbers_and_dense_scores_are_explained_too() -> None:
    number = CNN((1, 9, 9), [ConvBlock(3, 3)], [], 1)
    dense = to_fcn(CNN((1, 5, 5), [ConvBlock(3, 3)], [], 2).eval())
    x = torch.rand(1, 9, 9, generator=generator())
    for net in (number, dense):
        assert saliency(net, x, 0).shape == occlusion(net, x, 0).shape == (9, 9)


def test_impossible_requests_are_refused() -> None:
    net, x = linear((1, 4, 4)), torch.zeros(1, 4, 4, dtype=torch.float64)
    with pytest.raises(LookupError, match="3 outputs"):
        saliency(net, x, 3)
    for window in (0, 5, (2, 2, 2)):
        with pytest.raises(ValueError, match="window of 1 to"):
            occlusion(net, x, window=window)
