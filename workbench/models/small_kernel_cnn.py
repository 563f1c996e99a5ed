"""Deep networks of 3 × 3 kernels on patches (Section 3.4; Pereira et al., IEEE Trans. Med. Imaging 2016).

    hgg       33 × 33 × C ─ 3 × conv 64@3 ─ pool ─ 3 × conv 128@3 ─ pool ─ 7 × 7 × 128 ─ full 256 ─ full 256 ─ K
    lgg       the same with 2 convolutions before each pooling
    shallow   the same with 1 convolution of 7 × 7 in place of 3 of 3 × 3, which see as much

Convolutions keep the size of their map by zeros about it, and poolings take 3 × 3 voxels every 2: 33, 16, 7. With
``padding="valid"`` there are no zeros and a larger patch ends in the same 7 × 7 maps: 49, 43, 21, 15, 7 for ``hgg``.
The weights are as many, but what a voxel is said to be then depends on its patch alone and not on where the patch ends,
so the network is exactly dense (Section 1, strategy e); the published one is not.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal

import torch
from torch import nn

from workbench.models.initialization import initialize

Architecture = Literal["hgg", "lgg", "shallow"]
Padding = Literal["same", "valid"]
Rectifier = Literal["leaky", "relu"]

STAGES: dict[str, tuple[int, int]] = {"hgg": (3, 3), "lgg": (2, 3), "shallow": (1, 7)}
"""Architecture → convolutions before each pooling, and their kernel."""
N_MAPS = (64, 128)
N_FULLY = (256, 256)
TOP = 7
PADDED_PATCH = 33
POOL, STRIDE = 3, 2
SLOPE = 0.333
BIAS = 0.1


def patch_edge(architecture: Architecture, padding: Padding) -> int:
    """Give the pixels along an edge of the patch that the network sees."""
    if padding == "same":
        return PADDED_PATCH
    n_convolutions, kernel = STAGES[architecture]
    edge = TOP
    for _ in N_MAPS:
        edge = (edge - 1) * STRIDE + POOL + n_convolutions * (kernel - 1)
    return edge


def small_kernel_cnn(
    n_channels: int,
    n_classes: int,
    *,
    architecture: Architecture = "hgg",
    padding: Padding = "same",
    activation: Rectifier = "leaky",
    dropout: float = 0.1,
    width: float = 1.0,
    seed: int = 0,
) -> nn.Sequential:
    """Give a network, (B, C, n, n) → logits (B, K); with 4 channels and 5 classes 2,118,213 or 1,933,701 parameters.

    Args:
        n_channels: C.
        n_classes: K.
        architecture: ``hgg`` for high-grade gliomas, ``lgg`` for low-grade ones, ``shallow`` to compare with.
        padding: ``same`` with zeros about each map, ``valid`` without.
        activation: ``leaky``, max(x, x / 3), or ``relu``.
        dropout: share of the fully connected hidden units that is dropped in training.
        width: share of the published numbers of maps and units.
        seed: of the weights, which are Glorot's; biases begin at 0.1.

    Raises:
        LookupError: no such architecture.
    """
    if architecture not in STAGES:
        raise LookupError(f"no architecture is called {architecture!r}; known are {', '.join(STAGES)}")
    n_convolutions, kernel = STAGES[architecture]
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    below, number = n_channels, 0
    for stage, n_published in enumerate(N_MAPS, 1):
        n_maps = _scaled(n_published, width)
        for _ in range(n_convolutions):
            number += 1
            layers[f"conv{number}"] = nn.Conv2d(below, n_maps, kernel, padding=kernel // 2 if padding == "same" else 0)
            layers[f"activation{number}"] = _rectifier(activation)
            below = n_maps
        layers[f"pool{stage}"] = nn.MaxPool2d(POOL, STRIDE)
    layers["flatten"] = nn.Flatten()
    below *= TOP**2
    for number, n_published in enumerate(N_FULLY, 1):
        n_units = _scaled(n_published, width)
        layers[f"full{number}"] = nn.Linear(below, n_units)
        layers[f"full_activation{number}"] = _rectifier(activation)
        layers[f"dropout{number}"] = nn.Dropout(dropout)
        below = n_units
    layers["output"] = nn.Linear(below, n_classes)
    network = nn.Sequential(layers)
    initialize(network, "glorot", torch.Generator().manual_seed(seed))
    for layer in network:
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            assert layer.bias is not None
            nn.init.constant_(layer.bias, BIAS)
    return network


def _rectifier(name: Rectifier) -> nn.Module:
    return nn.LeakyReLU(SLOPE) if name == "leaky" else nn.ReLU()


def _scaled(n: int, width: float) -> int:
    return max(1, round(n * width))
