"""DropConnect: moments by Monte Carlo over masks, a mask per sample, and inference by moment matching."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from workbench.models.dropconnect import DropConnectConv, DropConnectLinear, expected
from workbench.models.initialization import initialize

Layer = DropConnectLinear | DropConnectConv
MAKERS: dict[str, Callable[[], tuple[Layer, Tensor]]] = {
    "linear": lambda: (DropConnectLinear(40, 16, drop=0.5), torch.rand(1, 40)),
    "linear, few dropped": lambda: (DropConnectLinear(40, 16, drop=0.2), torch.rand(1, 40)),
    "2-D": lambda: (DropConnectConv(4, 16, (3, 3), drop=0.5, stride=2, padding=1), torch.rand(1, 4, 3, 3)),
    "3-D": lambda: (DropConnectConv(2, 16, (3, 3, 3), drop=0.3), torch.rand(1, 2, 3, 3, 3)),
}


def make(kind: str) -> tuple[Layer, Tensor]:
    torch.manual_seed(0)
    layer, x = MAKERS[kind]()
    initialize(layer, "lecun", torch.Generator().manual_seed(1))
    with torch.no_grad():
        layer.bias.uniform_(-0.5, 0.5)
    return layer, x


def masked(layer: Layer, x: Tensor, n: int = 100_000) -> Tensor:
    """Give u of ``n`` masks; each sample of a batch of the same input has its own."""
    layer.train()
    with torch.no_grad():
        return torch.cat([layer(x.expand(2000, *x.shape[1:])) for _ in range(n // 2000)])


@pytest.mark.parametrize("kind", list(MAKERS))
def test_moments_are_those_of_the_masks(kind: str) -> None:
    layer, x = make(kind)
    u = masked(layer, x)
    mean, variance = (m[0].detach() for m in layer.moments(x))
    sampling = (variance / len(u)).sqrt()
    assert ((u.mean(0) - mean).abs() < 5 * sampling).all()
    assert ((u.var(0) / variance - 1).abs() < 0.03).all()
    layer.eval()
    assert torch.allclose(layer(x)[0], mean)


@pytest.mark.parametrize("kind", list(MAKERS))
@pytest.mark.parametrize("f", [torch.relu, torch.sigmoid])
def test_moment_matched_inference_is_within_a_percent_of_the_masks(kind: str, f: Callable[[Tensor], Tensor]) -> None:
    """With 18 to 54 inputs u is almost Gaussian: E[f(u)] by matching against 100,000 masks, and f(E[u]) is not it."""
    layer, x = make(kind)
    wanted = f(masked(layer, x)).mean(0)
    got = expected(layer.eval(), x, f, 100).detach()[0]
    assert (got - wanted).norm() < 0.01 * wanted.norm()
    if f is torch.relu:
        assert (f(layer(x))[0] - wanted).norm() > 3 * (got - wanted).norm()


def test_every_sample_has_a_mask_of_its_own() -> None:
    layer = DropConnectLinear(20, 5).train()
    u = layer(torch.ones(6, 20))
    assert len({tuple(row.tolist()) for row in u}) == 6
    conv = DropConnectConv(1, 1, (2, 2)).train()
    x = torch.ones(8, 1, 5, 5)
    maps = conv(x)
    assert (maps.flatten(1).std(1) < 1e-6).all(), "one mask for all positions of a map"
    assert len({round(float(v), 5) for v in maps[:, 0, 0, 0]}) > 1


def test_masks_repeat_with_the_global_seed() -> None:
    layer, x = DropConnectLinear(20, 5).train(), torch.ones(6, 20)
    torch.manual_seed(3)
    first = layer(x)
    torch.manual_seed(3)
    assert torch.equal(layer(x), first) and not torch.equal(layer(x), first)


@pytest.mark.parametrize("kind", list(MAKERS))
def test_gradients_of_a_mask_are_right(kind: str) -> None:
    """Seeded before each call, a training pass is a function; its gradients are compared with differences."""
    layer, x = make(kind)
    layer.double().train()
    x = x.double().expand(2, *x.shape[1:]).clone().requires_grad_(True)

    def u(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        torch.manual_seed(7)
        return torch.func.functional_call(layer, {"weight": weight, "bias": bias}, (x,))

    assert torch.autograd.gradcheck(u, (x, layer.weight, layer.bias), fast_mode=True)


def test_nothing_dropped_is_the_plain_layer() -> None:
    layer, x = DropConnectLinear(5, 4, drop=0.0), torch.rand(3, 5)
    plain = torch.nn.functional.linear(x, layer.weight, layer.bias)
    assert torch.allclose(layer.train()(x), plain) and torch.allclose(layer.eval()(x), plain)
    assert torch.allclose(expected(layer, x, torch.relu, 3), torch.relu(plain))


def test_inference_does_not_depend_on_the_batch() -> None:
    layer, x = DropConnectLinear(30, 4).eval(), torch.rand(5, 30)
    together = expected(layer, x, torch.relu, 20)
    alone = torch.cat([expected(layer, row[None], torch.relu, 20) for row in x])
    assert torch.allclose(together, alone, atol=1e-6)


def test_impossible_settings_are_explained() -> None:
    with pytest.raises(ValueError, match="not including 1 of the weights is dropped; got 1"):
        DropConnectLinear(2, 2, drop=1)
    with pytest.raises(ValueError, match=r"two or three sizes; got \(3,\)"):
        DropConnectConv(1, 1, (3,))
