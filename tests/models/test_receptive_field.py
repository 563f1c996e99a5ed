"""Receptive fields against autograd: a unit's field is where its gradient is not zero."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor, nn

from workbench.models.cnn import CNN, ConvBlock
from workbench.models.receptive_field import LayerField, box, center, chain, receptive_fields, walk

CHAINS: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "figure 3": (nn.Sequential(nn.Conv2d(1, 1, 3), nn.MaxPool2d(2)), (1, 8, 9)),
    "strided": (nn.Sequential(nn.Conv2d(1, 2, 5, stride=3), nn.ReLU(), nn.Conv2d(2, 1, 2)), (1, 17, 16)),
    "padded": (nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.MaxPool2d(3, 2, padding=1)), (1, 9, 10)),
    "dilated": (nn.Sequential(nn.Conv2d(1, 2, 2, dilation=(3, 1)), nn.AvgPool2d((1, 2))), (1, 9, 8)),
    "same, even kernel": (nn.Sequential(nn.Conv2d(1, 1, 4, padding="same"), nn.Conv2d(1, 1, (2, 1))), (1, 7, 7)),
    "ceil": (nn.Sequential(nn.MaxPool2d(2, 2, ceil_mode=True), nn.Conv2d(1, 1, 2)), (1, 7, 8)),
    "ceil that is dropped": (nn.Sequential(nn.MaxPool2d(2, 3, padding=1, ceil_mode=True)), (1, 6, 5)),
    "zero padding layer": (nn.Sequential(nn.ZeroPad2d((1, 2, 2, 0)), nn.Conv2d(1, 1, 3)), (1, 6, 7)),
    "adaptive": (nn.Sequential(nn.Conv2d(1, 1, 2), nn.AdaptiveAvgPool2d((2, 3))), (1, 7, 7)),
    "nested": (nn.Sequential(nn.Sequential(nn.Conv2d(1, 1, 2), nn.Tanh()), nn.AvgPool2d(2, 1)), (1, 6, 6)),
    "classifier": (
        nn.Sequential(nn.Conv2d(1, 2, 3), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8, 3), nn.ReLU(), nn.Linear(3, 2)),
        (1, 7, 6),
    ),
    "3-D": (CNN((1, 8, 7, 9), [ConvBlock(2, (3, 2, 3), pool=(2, 1, 2)), ConvBlock(2, 2, stride=(1, 2, 1))], [4], 2),
            (1, 8, 7, 9)),
    "1-D": (nn.Sequential(nn.Conv1d(1, 1, 3, stride=2), nn.MaxPool1d(2)), (1, 13)),
}  # fmt: skip


def smooth(network: nn.Module) -> nn.Module:
    """Replace what can hide a connection: maxima by means and rectifiers by nothing; all weights positive."""
    for module in network.modules():
        for name, child in module.named_children():
            if isinstance(child, (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)):
                kind = {nn.MaxPool1d: nn.AvgPool1d, nn.MaxPool2d: nn.AvgPool2d, nn.MaxPool3d: nn.AvgPool3d}[type(child)]
                setattr(module, name, kind(child.kernel_size, child.stride, child.padding, child.ceil_mode))
            elif isinstance(child, nn.ReLU):
                setattr(module, name, nn.Identity())
    for parameter in network.parameters():
        nn.init.uniform_(parameter, 0.5, 1)
    return network.double()


def touched(network: nn.Module, n_layers: int, x: Tensor, position: tuple[int, ...]) -> tuple[list[int], list[int]]:
    """Give the box of inputs with a gradient from one unit after some layers, by autograd."""
    x = x.clone().requires_grad_(True)
    y = x
    for _, layer in list(chain(network))[:n_layers]:
        y = layer(y)
    unit = y[0, 0] if y.ndim == 2 else y[(0, 0, *position)]
    (slope,) = torch.autograd.grad(unit, x)
    where = slope[0].abs().sum(0).nonzero()
    return where.min(0).values.tolist(), (where.max(0).values + 1).tolist()


@pytest.mark.parametrize("name", CHAINS)
def test_fields_are_where_autograd_finds_a_gradient(name: str) -> None:
    network, shape = CHAINS[name]
    network = smooth(network)
    x = torch.ones(1, *shape, dtype=torch.float64)
    n_checked = 0
    for n_layers, (_, layer, field) in enumerate(walk(network, shape), start=1):
        if isinstance(layer, (nn.Flatten, nn.ZeroPad2d)):  # vectors have no position, and zeros no gradient
            continue
        corners = product(*[sorted({0, n // 2, n - 1}) for n in field.map_shape])
        for position in corners:
            low, high = box(field, position, within=shape[1:])
            assert (list(low), list(high)) == touched(network, n_layers, x, position), (field, position)
            n_checked += 1
    assert n_checked > 3


@pytest.mark.parametrize("name", CHAINS)
def test_map_shapes_are_those_of_the_running_network(name: str) -> None:
    network, shape = CHAINS[name]
    y = torch.zeros(1, *shape, dtype=next(network.parameters(), torch.zeros(())).dtype)
    for _, layer, field in walk(network, shape):
        y = layer(y)
        assert tuple(y.shape[2:]) == (field.map_shape if y.ndim > 2 else ())


def test_figure_3_by_hand() -> None:
    conv, pool = receptive_fields(*CHAINS["figure 3"])
    assert conv == LayerField("0", "convolution", (3, 3), (1, 1), (1.0, 1.0), (6, 7))
    assert pool == LayerField("1", "pooling", (4, 4), (2, 2), (1.5, 1.5), (3, 3))
    assert box(pool, (1, 2)) == ((2, 4), (6, 8)) and center(pool, (1, 2)) == (3.5, 5.5)


def test_the_published_receptive_field_of_eight_layers_with_one_pooling() -> None:
    kernels = [4, 5, 5, 5, 5, 5, 5, 1]  # Kleesiek et al., NeuroImage 2016: 53 voxels, stride 2, 59 → 4
    layers: list[nn.Module] = [nn.Conv3d(1, 1, kernels[0]), nn.MaxPool3d(2)]
    layers += [nn.Conv3d(1, 1, k) for k in kernels[1:]]
    for size, n in ((53, 1), (59, 4), (65, 7)):
        last = receptive_fields(nn.Sequential(*layers), (1, size, size, size))[-1]
        assert (last.size, last.jump, last.map_shape) == ((53,) * 3, (2,) * 3, (n,) * 3)


def test_elementwise_layers_change_nothing_and_are_left_out() -> None:
    plain = receptive_fields(CNN((1, 9, 9), [ConvBlock(2, 3, pool=2)], [4], 2), (1, 9, 9))
    dressed = receptive_fields(
        CNN((1, 9, 9), [ConvBlock(2, 3, pool=2)], [4], 2, batch_norm=True, dropout=0.1), (1, 9, 9)
    )
    assert plain == dressed
    assert [(f.name, f.kind) for f in plain] == [
        ("conv1", "convolution"), ("pool1", "pooling"), ("full1", "fully connected"), ("output", "fully connected"),
    ]  # fmt: skip


def test_a_padded_box_begins_outside_unless_it_is_cut() -> None:
    (field,) = receptive_fields(nn.Sequential(nn.Conv2d(1, 1, 3, padding=1)), (1, 5, 5))
    assert box(field, (0, 4)) == ((-1, 3), (2, 6)) and box(field, (0, 4), within=(5, 5)) == ((0, 3), (2, 5))
    assert field.start == (0.0, 0.0) and field.map_shape == (5, 5)
    (field,) = receptive_fields(nn.Sequential(nn.Conv2d(1, 1, 2, padding=4)), (1, 5, 5))
    assert box(field, (0, 11), within=(5, 5)) == ((0, 5), (0, 5))  # sees zeros alone: empty


@pytest.mark.parametrize(
    ("layers", "sentence"),
    [
        ([nn.ConvTranspose2d(1, 1, 2)], "'0' is a ConvTranspose2d, whose window is not known"),
        ([nn.Upsample(scale_factor=2)], "Upsample"),
        ([nn.Linear(5, 2)], "needs an nn.Flatten"),
        ([nn.Conv2d(1, 1, 7)], r"spans \(7, 7\) but the map below it is only \(5, 5\)"),
        ([nn.AdaptiveAvgPool2d(2)], "unequal size"),
        ([nn.Flatten(), nn.MaxPool2d(2)], "above nn.Flatten"),
    ],
)
def test_what_is_not_known_is_refused_by_name(layers: list[nn.Module], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        receptive_fields(nn.Sequential(*layers), (1, 5, 5))


def test_a_position_has_one_index_for_each_axis() -> None:
    (field,) = receptive_fields(nn.Sequential(nn.Conv2d(1, 1, 3)), (1, 5, 5))
    with pytest.raises(ValueError, match="2 axes"):
        box(field, (1,))
