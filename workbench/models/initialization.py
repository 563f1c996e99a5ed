"""How weights begin: Section 2.6, item 1 (Glorot and Bengio, AISTATS 2010; Sutskever et al., ICML 2013).

    glorot   U(-a, a), a = gain sqrt(6 / (fan_in + fan_out)), which keeps the variance of signals and gradients;
             the gain is 4 for logistic units, whose slope at 0 is 1/4
    he       N(0, 2 / fan_in), for rectified units, half of which are silent (He et al., ICCV 2015)
    lecun    N(0, 1 / fan_in)
    sparse   15 weights of N(0, 1) into each unit, the others 0; under tanh a quarter of them, and biases 0.5
    normal   N(0, 1), the naive start that a deep logistic network does not recover from

Biases begin at 0 but for ``sparse`` under tanh. Drawn in the order of ``module.modules()``, so that the same generator
state gives the same network.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

InitializationName = Literal["glorot", "he", "sparse", "normal", "lecun"]
INITIALIZATIONS = ("glorot", "he", "sparse", "normal", "lecun")

N_SPARSE = 15
"""Weights into a unit that are not 0 after a sparse start."""


def initialize(
    module: nn.Module, name: str, generator: torch.Generator, *, activation: str = "linear", pool_volume: int = 1
) -> None:
    """Draw the weights of every linear and convolution layer of a module anew, and reset their biases; in place.

    Batch normalization and everything else without a matrix is left alone.

    Args:
        module: one layer or a whole network.
        name: the scheme.
        generator: on the CPU; weights elsewhere get the same values.
        activation: the units above the weights; changes ``glorot`` (sigmoid) and ``sparse`` (tanh).
        pool_volume: voxels of the max pooling that follows; divides ``fan_out``, as few of a map's voxels reach the
            next layer.

    Raises:
        LookupError: no scheme has this name.
    """
    if name not in INITIALIZATIONS:
        raise LookupError(f"no initialization is called {name!r}; known are {', '.join(INITIALIZATIONS)}")
    for layer in module.modules():
        weight = getattr(layer, "weight", None)
        if not isinstance(weight, nn.Parameter) or weight.ndim < 2 or isinstance(layer, nn.Embedding):
            continue
        fan_in, fan_out = fans(layer, pool_volume)
        values = _draw(name, tuple(weight.shape), (fan_in, fan_out), activation, generator)
        with torch.no_grad():
            weight.copy_(values)
            bias = getattr(layer, "bias", None)
            if isinstance(bias, nn.Parameter):
                bias.fill_(0.5 if (name, activation) == ("sparse", "tanh") else 0.0)


def fans(layer: nn.Module, pool_volume: int = 1) -> tuple[int, int]:
    """Give the connections into a unit and out of one, of a layer whose weight is (out, in, *kernel).

    Transposed convolutions hold (in, out, *kernel); with groups a unit sees only its group.
    """
    weight = layer.weight
    if not isinstance(weight, Tensor) or weight.ndim < 2:
        raise ValueError("only layers with a weight (out, in, *kernel) have fans")
    voxels, groups = math.prod(weight.shape[2:]), int(getattr(layer, "groups", 1))
    first, second = weight.shape[0] // groups * voxels, weight.shape[1] * voxels
    fan_in, fan_out = (first, second) if getattr(layer, "transposed", False) else (second, first)
    return fan_in, max(1, fan_out // pool_volume)


def _draw(
    name: str, shape: tuple[int, ...], fan: tuple[int, int], activation: str, generator: torch.Generator
) -> Tensor:
    fan_in, fan_out = fan
    if name == "glorot":
        radius = (4 if activation == "sigmoid" else 1) * math.sqrt(6 / (fan_in + fan_out))
        return (2 * torch.rand(shape, generator=generator) - 1) * radius
    weight = torch.randn(shape, generator=generator)
    if name == "sparse":
        return _thin(weight, generator) * (0.25 if activation == "tanh" else 1.0)
    return weight * {"he": math.sqrt(2 / fan_in), "lecun": math.sqrt(1 / fan_in), "normal": 1.0}[name]


def _thin(weight: Tensor, generator: torch.Generator) -> Tensor:
    """Keep ``N_SPARSE`` weights of each row (of all of them in a shorter one), at random places."""
    rows = weight.flatten(1)  # (out, in * kernel)
    order = torch.rand(rows.shape, generator=generator).argsort(1)
    return (rows * (order < N_SPARSE)).reshape(weight.shape)
