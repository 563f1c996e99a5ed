"""Networks of small kernels: published sizes, equal weights with and without borders, what a unit sees."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from workbench.models.exactness import explain_inexact
from workbench.models.fcn import patchwise, shift_and_stitch, to_fcn
from workbench.models.small_kernel_cnn import STAGES, patch_edge, small_kernel_cnn


def n_parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(("architecture", "n"), [("hgg", 2_118_213), ("lgg", 1_933_701)])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_parameters_of_the_paper(architecture: str, n: int, padding: str) -> None:
    assert n_parameters(small_kernel_cnn(4, 5, architecture=architecture, padding=padding)) == n


def test_the_shallow_network_has_about_as_many() -> None:
    shallow = n_parameters(small_kernel_cnn(4, 5, architecture="shallow"))
    assert abs(shallow / 2_118_213 - 1) < 0.02


def edges(network: nn.Sequential, patch: int) -> list[int]:
    x, found = torch.zeros(1, 4, patch, patch), []
    for name, layer in network.named_children():
        x = layer(x)
        if name.startswith(("conv", "pool")):
            found.append(x.shape[-1])
    return found


def test_map_sizes_of_the_paper() -> None:
    assert patch_edge("hgg", "same") == patch_edge("lgg", "same") == 33
    assert edges(small_kernel_cnn(4, 5, width=0.1), 33) == [33, 33, 33, 16, 16, 16, 16, 7]
    assert edges(small_kernel_cnn(4, 5, architecture="lgg", width=0.1), 33) == [33, 33, 16, 16, 16, 7]


def test_map_sizes_without_borders_end_alike() -> None:
    assert patch_edge("hgg", "valid") == patch_edge("shallow", "valid") == 49 and patch_edge("lgg", "valid") == 43
    valid = small_kernel_cnn(4, 5, padding="valid", width=0.1)
    assert edges(valid, 49) == [47, 45, 43, 21, 19, 17, 15, 7]


@pytest.mark.parametrize("architecture", STAGES)
def test_the_whole_patch_without_borders_is_seen(architecture: str) -> None:
    """One pixel less would be too small a patch, and every pixel of it counts."""
    edge = patch_edge(architecture, "valid")
    network = small_kernel_cnn(1, 2, architecture=architecture, padding="valid", width=0.1, dropout=0).double()
    for layer in network:
        if isinstance(layer, nn.Conv2d):
            nn.init.constant_(layer.weight, 1e-2)  # all alike, so that no unit is switched off
    pools = {n: nn.AvgPool2d(3, 2) for n, m in network.named_children() if isinstance(m, nn.MaxPool2d)}
    for name, layer in pools.items():
        setattr(network, name, layer)
    x = torch.ones(1, 1, edge, edge, dtype=torch.double, requires_grad=True)
    network(x)[0, 0].backward()
    assert x.grad is not None and bool((x.grad != 0).all())
    with pytest.raises(RuntimeError):
        network(torch.ones(1, 1, edge - 1, edge - 1, dtype=torch.double))


@pytest.mark.parametrize("architecture", STAGES)
def test_without_borders_whole_images_equal_patches(architecture: str) -> None:
    edge = patch_edge(architecture, "valid")
    network = small_kernel_cnn(2, 3, architecture=architecture, padding="valid", width=0.1, seed=2).eval()
    image = torch.randn(1, 2, edge + 5, edge + 3)
    assert explain_inexact(network) == []
    with torch.no_grad():
        dense = shift_and_stitch(to_fcn(network, (2, edge, edge)), image)
        torch.testing.assert_close(dense, patchwise(network, image, (edge, edge)), rtol=0, atol=1e-5)


def test_borders_are_named_as_what_forbids_it() -> None:
    faults = explain_inexact(small_kernel_cnn(4, 5, width=0.1).eval())
    assert {f.layer for f in faults} == {f"conv{i}" for i in range(1, 7)}


def test_biases_begin_at_a_tenth_and_weights_with_the_variance_of_glorot() -> None:
    network = small_kernel_cnn(4, 5, seed=1)
    for layer in network:
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            assert bool((layer.bias == 0.1).all())
    weight = network.get_submodule("conv2").weight
    assert isinstance(weight, torch.Tensor)
    assert weight.var().item() == pytest.approx(2 / (64 * 9 + 64 * 9), rel=0.03)


def test_rectifiers() -> None:
    x = torch.tensor([-3.0, 2.0])
    leaky = small_kernel_cnn(1, 2, width=0.1).get_submodule("activation1")(x)
    plain = small_kernel_cnn(1, 2, width=0.1, activation="relu").get_submodule("activation1")(x)
    torch.testing.assert_close(leaky, torch.tensor([-0.999, 2.0]))
    torch.testing.assert_close(plain, torch.tensor([0.0, 2.0]))


def test_unknown_architecture_is_named() -> None:
    with pytest.raises(LookupError, match="hgg, lgg, shallow"):
        small_kernel_cnn(4, 5, architecture="vgg")  # type: ignore[arg-type]
