"""Fully convolutional, dilated and stitched evaluation all equal evaluating every patch."""

# mypy: disable-error-code="union-attr, index, operator, arg-type, assignment"

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor, nn

from workbench.errors import SettingsError
from workbench.models.cnn import CNN, ConvBlock
from workbench.models.exactness import explain_inexact
from workbench.models.fcn import DilatedAveragePool, dilate, patchwise, shift_and_stitch, to_fcn
from workbench.models.receptive_field import box, receptive_fields

CASES: dict[str, tuple[tuple[int, ...], list[ConvBlock], dict[str, object], tuple[int, ...]]] = {
    "even patch": ((2, 10, 10), [ConvBlock(3, 3, pool=2), ConvBlock(4, 2)], {}, (17, 16)),
    "odd patch": ((1, 11, 9), [ConvBlock(3, 2, pool=2), ConvBlock(4, 2, pool=2)], {}, (16, 19)),
    "strided": ((1, 15, 15), [ConvBlock(3, 3, stride=2), ConvBlock(4, 3, stride=2), ConvBlock(2, 2)], {}, (20, 23)),
    "strided and pooled": ((1, 14, 14), [ConvBlock(3, 4, stride=(2, 1), pool=(1, 3))], {}, (18, 17)),
    "dilated already": ((1, 13, 13), [ConvBlock(3, 3, dilation=2, pool=2), ConvBlock(3, 2, dilation=2)], {}, (16, 15)),
    "average": ((1, 12, 10), [ConvBlock(3, 3, pool=2), ConvBlock(3, 2, pool=2)], {"pooling": "average"}, (18, 15)),
    "dressed": (
        (1, 10, 10), [ConvBlock(3, 3, pool=2)], {"batch_norm": True, "dropout": 0.5, "activation": "tanh"}, (13, 15),
    ),
    "rows left over": ((1, 10, 10), [ConvBlock(3, 2, pool=2), ConvBlock(3, 2, pool=2)], {}, (14, 15)),
    "3-D": ((1, 8, 7, 9), [ConvBlock(3, (3, 2, 2), pool=(2, 2, 2)), ConvBlock(2, 2)], {}, (11, 10, 11)),
    "3-D strided": ((2, 8, 8, 8), [ConvBlock(3, 2, stride=2), ConvBlock(2, 3)], {"pooling": "average"}, (10, 11, 9)),
}  # fmt: skip


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def lively(network: nn.Module) -> nn.Module:
    """Give biases and running statistics values that matter, so that no sign or shape can be wrong unseen."""
    draws = generator(7)
    for name, values in network.state_dict().items():
        if values.ndim == 1:
            noise = torch.rand(values.shape, generator=draws)
            values.copy_(noise + 0.5 if "running_var" in name or name.endswith("weight") else noise - 0.5)
    return network.eval()


def make(name: str, dtype: torch.dtype) -> tuple[CNN, Tensor]:
    shape, blocks, settings, image = CASES[name]
    network = CNN(shape, blocks, [6, 5], 3, seed=2, **settings)
    lively(network).to(dtype)
    return network, torch.randn(2, shape[0], *image, generator=generator(1), dtype=dtype)


def every_patch(network: nn.Module, x: Tensor, patch: tuple[int, ...]) -> Tensor:
    """The law: cut out each patch by itself and run the network on them."""
    counts = [n - p + 1 for n, p in zip(x.shape[2:], patch, strict=True)]
    places = product(*map(range, counts))
    patches = [x[(..., *(slice(a, a + p) for a, p in zip(at, patch, strict=True)))] for at in places]
    scores = network(torch.cat(patches)).reshape(len(patches), len(x), -1)  # (positions, B, K)
    return scores.permute(1, 2, 0).reshape(len(x), -1, *counts)


TOLERANCES = [(torch.float32, 1e-6), (torch.float64, 1e-10)]


@pytest.mark.parametrize(("dtype", "tolerance"), TOLERANCES)
@pytest.mark.parametrize("name", CASES)
def test_all_three_equal_patchwise_evaluation(name: str, dtype: torch.dtype, tolerance: float) -> None:
    network, x = make(name, dtype)
    assert explain_inexact(network) == []
    fcn, patch = to_fcn(network), network.shape[1:]
    with torch.no_grad():
        wanted = every_patch(network, x, patch)
        grid, stitched, dilated = fcn(x), shift_and_stitch(fcn, x), dilate(fcn)(x)
        by_patches = patchwise(network, x, patch, batch_size=50)
    inside = (..., *(slice(0, n) for n in wanted.shape[2:]))  # a patch may be larger than the receptive field
    jump = receptive_fields(fcn, x.shape[1:])[-1].jump
    on_grid = wanted[(..., *(slice(None, None, j) for j in jump))]
    bound = tolerance * max(1.0, float(wanted.abs().max()))
    assert wanted.numel() > 0 and float(wanted.std()) > 1e-3
    for what in (stitched[inside], dilated[inside], by_patches):
        assert what.shape == wanted.shape and float((what - wanted).abs().max()) < bound
    on = grid[(..., *(slice(0, n) for n in on_grid.shape[2:]))]
    assert on.shape == on_grid.shape and float((on - on_grid).abs().max()) < bound
    assert stitched.shape == dilated.shape


@pytest.mark.parametrize("name", CASES)
def test_a_patch_alone_gets_its_own_scores(name: str) -> None:
    network, x = make(name, torch.float64)
    patch = x[(..., *(slice(0, n) for n in network.shape[1:]))]
    with torch.no_grad():
        scores = to_fcn(network)(patch)
    assert scores.shape == (2, 3, *[1] * (x.ndim - 2))
    assert torch.allclose(scores.flatten(1), network(patch), atol=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_an_output_position_sees_the_input_box_that_its_field_says(name: str) -> None:
    network, x = make(name, torch.float64)
    fcn = to_fcn(network)
    field = receptive_fields(fcn, x.shape[1:])[-1]
    x = x[:1].requires_grad_(True)
    position = tuple(n - 1 for n in field.map_shape)
    (slope,) = torch.autograd.grad(fcn(x)[(0, slice(None), *position)].sum(), x)
    low, high = box(field, position)
    assert low == tuple(i * j for i, j in zip(position, field.jump, strict=True))
    inside = (..., *(slice(a, b) for a, b in zip(low, high, strict=True)))
    outside = slope.clone()
    outside[inside] = 0
    assert float(outside.abs().max()) == 0 and float(slope[inside].abs().max()) > 0


@pytest.mark.parametrize("size", [24, 25])
@pytest.mark.parametrize("n_axes", [2, 3])
def test_the_brightest_score_points_back_at_a_planted_voxel(n_axes: int, size: int) -> None:
    network = CNN((1, *[7] * n_axes), [ConvBlock(1, 3, pool=2), ConvBlock(1, 1)], [], 1).eval()
    for parameter in network.parameters():
        nn.init.zeros_(parameter)
    nn.init.ones_(network.conv1.weight)
    network.conv1.weight.data[(0, 0, *[1] * n_axes)] = 2  # brightest with the voxel in the middle
    nn.init.ones_(network.conv2.weight)
    network.output.weight.data[0, 0] = 1  # looks at the first of its maps' voxels
    fcn = to_fcn(network)
    field = receptive_fields(fcn, (1, *[size] * n_axes))[1]  # of the pooled unit that the output looks at
    draws = generator(size)
    for _ in range(10):
        planted = torch.randint(2, size - 6, (n_axes,), generator=draws)
        x = torch.zeros(1, 1, *[size] * n_axes)
        x[(0, 0, *planted.tolist())] = 1
        with torch.no_grad():
            scores = fcn(x)[0, 0]
        best = torch.unravel_index(scores.argmax(), scores.shape)
        middle = [c + int(i) * j for c, i, j in zip(field.start, best, field.jump, strict=True)]
        assert max(abs(m - int(p)) for m, p in zip(middle, planted, strict=True)) <= 1


def test_names_and_weights_of_the_network_stay() -> None:
    network, _ = make("dressed", torch.float32)
    fcn, dilated = to_fcn(network), dilate(to_fcn(network))
    assert list(fcn.state_dict()) == list(dilated.state_dict()) == list(network.state_dict())
    assert fcn.full1.weight.shape == (6, 3, 4, 4) and fcn.full2.weight.shape == (5, 6, 1, 1)
    assert torch.equal(fcn.full1.weight.flatten(1), network.full1.weight)
    fcn.full1.weight.data.zero_()
    assert float(network.full1.weight.detach().abs().max()) > 0  # a copy


def test_a_trained_state_moves_from_the_fcn_to_its_dilated_form() -> None:
    network, x = make("even patch", torch.float64)
    fcn, other = to_fcn(network), to_fcn(CNN(network.shape, network.blocks, [6, 5], 3, seed=9).double().eval())
    dilated = dilate(other)
    dilated.load_state_dict(fcn.state_dict())
    with torch.no_grad():
        assert torch.allclose(dilated(x), shift_and_stitch(fcn, x), atol=1e-10)


def test_modes_and_frozen_weights_stay() -> None:
    network, _ = make("dressed", torch.float32)
    network.full1.requires_grad_(False)
    fcn = to_fcn(network.train())
    assert fcn.training and fcn.dropout1.training
    assert not fcn.full1.weight.requires_grad and fcn.full2.weight.requires_grad
    assert not to_fcn(network.eval()).norm1.training


def test_a_dilated_network_passes_gradients() -> None:
    network, x = make("average", torch.float64)
    network = to_fcn(network)
    a, b = dilate(network), network
    x = x[:1].clone().requires_grad_(True)
    one = torch.autograd.grad(a(x).square().sum(), x)[0]
    two = torch.autograd.grad(shift_and_stitch(b, x).square().sum(), x)[0]
    assert torch.allclose(one, two, atol=1e-10)


@pytest.mark.parametrize("n_axes", [1, 2, 3])
def test_any_sequence_of_standard_layers_is_turned(n_axes: int) -> None:
    conv, pool, mean = (getattr(nn, f"{kind}{n_axes}d") for kind in ("Conv", "MaxPool", "AdaptiveAvgPool"))
    torch.manual_seed(0)
    body = nn.Sequential(conv(1, 3, 2), nn.PReLU(3), pool(2), nn.LocalResponseNorm(2))
    network = nn.Sequential(
        body, conv(3, 4, 2), mean(1), nn.Flatten(), nn.Linear(4, 5, bias=False), nn.BatchNorm1d(5), nn.Softmax(dim=-1)
    )
    network = lively(network).double()
    x = torch.randn(1, 1, *[11] * n_axes, generator=generator(), dtype=torch.float64)
    fcn = to_fcn(network, (1, *[8] * n_axes))
    with torch.no_grad():
        wanted = every_patch(network, x, (8,) * n_axes)
        for dense in (shift_and_stitch(fcn, x), dilate(fcn)(x)):
            inside = (..., *[slice(0, 4)] * n_axes)
            assert torch.allclose(dense[inside], wanted, atol=1e-10)


def test_dilated_averages_by_hand() -> None:
    x = torch.arange(12.0).reshape(1, 1, 3, 4)
    pool = DilatedAveragePool((2, 2), (2, 1))
    assert pool(x).tolist() == [[[[4.5, 5.5, 6.5]]]]  # (0 + 1 + 8 + 9) / 4, …
    assert DilatedAveragePool((2, 2), (2, 1), divisor=1)(x)[0, 0, 0, 0] == 18


def test_a_dilated_network_can_be_dilated_again() -> None:
    fcn = to_fcn(make("average", torch.float64)[0])
    x = make("average", torch.float64)[1]
    with torch.no_grad():
        assert torch.equal(dilate(dilate(fcn))(x), dilate(fcn)(x))
        assert torch.equal(shift_and_stitch(dilate(fcn), x), dilate(fcn)(x))


def test_a_network_that_pads_is_refused_by_name() -> None:
    network = CNN((1, 8, 8), [ConvBlock(2, 3, padding=1, pool=2)], [], 2).eval()
    fcn = to_fcn(network)
    x = torch.rand(1, 1, 8, 8)
    assert torch.allclose(fcn(x).flatten(1), network(x), atol=1e-6)
    for refused in (lambda: dilate(fcn), lambda: shift_and_stitch(fcn, x)):
        with pytest.raises(SettingsError, match="conv1 pads the patch by 1 with zeros"):
            refused()


def test_training_mode_keeps_from_stitching_but_not_from_dilating() -> None:
    fcn = to_fcn(make("dressed", torch.float32)[0]).train()
    dilate(fcn)
    with pytest.raises(SettingsError, match="norm1 normalizes by the mean and variance of the batch"):
        shift_and_stitch(fcn, torch.zeros(1, 1, 12, 12))


def test_an_image_below_the_receptive_field_is_refused() -> None:
    fcn = to_fcn(make("even patch", torch.float32)[0])
    with pytest.raises(SettingsError, match=r"\(9, 12\) voxels is smaller than .* \(10, 10\)"):
        shift_and_stitch(fcn, torch.zeros(1, 2, 9, 12))


def test_what_cannot_be_turned_is_a_value_error() -> None:
    network = make("even patch", torch.float32)[0]
    with pytest.raises(ValueError, match="to_fcn first"):
        dilate(network)
    with pytest.raises(ValueError, match="to_fcn first"):
        shift_and_stitch(network, torch.zeros(1, 2, 12, 12))
    with pytest.raises(ValueError, match="patch shape"):
        to_fcn(nn.Sequential(nn.Conv2d(1, 1, 2)))
    with pytest.raises(ValueError, match="ends in flattened maps"):
        to_fcn(nn.Sequential(nn.Conv2d(1, 1, 2), nn.Flatten()), (1, 5, 5))
    with pytest.raises(ValueError, match="does not fit on a map"):
        to_fcn(nn.Sequential(nn.Conv2d(1, 2, 2), nn.Flatten(), nn.Linear(9, 2)), (1, 5, 5))
    with pytest.raises(ValueError, match="BatchNorm1d"):
        to_fcn(nn.Sequential(nn.Flatten(), nn.BatchNorm1d(25), nn.Linear(25, 2)), (1, 5, 5))
