"""Published architectures, at full and narrow width, and the law that dense evaluation obeys."""

from __future__ import annotations

from itertools import product

import numpy as np
import torch
from torch import nn

KLEESIEK_MAPS = (16, 24, 28, 34, 42, 50, 50)
KLEESIEK_KERNELS = (4, 5, 5, 5, 5, 5, 5)
ZHANG_MAPS = (64, 256, 768)


def kleesiek(width: float = 1.0, n_channels: int = 1, kernels: tuple[int, ...] = KLEESIEK_KERNELS) -> nn.Sequential:
    """3-D, all convolutions valid, one pooling after the first: 53³ voxels seen, 1,005,870 parameters at width 1."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    below = n_channels
    for number, (n_maps, kernel) in enumerate(zip(KLEESIEK_MAPS, kernels, strict=False)):
        above = max(round(n_maps * width), 2)
        layers.append(nn.Conv3d(below, above, kernel))
        layers += [nn.MaxPool3d(2), nn.ReLU()] if number == 0 else [nn.ReLU()]
        below = above
    return lively(nn.Sequential(*layers, nn.Conv3d(below, 2, 1)))


def zhang(width: float = 1.0, pooled: bool = False) -> nn.Sequential:
    """2-D, 3 × 13 × 13 pixels, response normalization between convolutions: 5,332,995 parameters at width 1.

    ``pooled``: instead 3 × 22 × 22 pixels with a pooling after the first convolution, an even patch.
    """
    torch.manual_seed(0)
    a, b, c = (max(round(n * width), 3) for n in ZHANG_MAPS)
    first = [nn.Conv2d(3, a, 7), nn.MaxPool2d(2)] if pooled else [nn.Conv2d(3, a, 5)]
    last = nn.Conv2d(b, c, 4 if pooled else 5)
    norms = [nn.LocalResponseNorm(5), nn.LocalResponseNorm(5)]
    body = [*first, nn.ReLU(), norms[0], nn.Conv2d(a, b, 5), nn.ReLU(), norms[1], last, nn.ReLU()]
    return lively(nn.Sequential(*body, nn.Flatten(), nn.Dropout(0.5), nn.Linear(c, 3)))


def lively(network: nn.Sequential) -> nn.Sequential:
    """Draw weights and biases that keep the maps' spread, so that every layer matters."""
    for layer in network:
        if isinstance(layer, (nn.Conv2d, nn.Conv3d, nn.Linear)):
            nn.init.kaiming_normal_(layer.weight)
            assert layer.bias is not None
            nn.init.uniform_(layer.bias, -0.3, 0.3)
    return network


def by_voxel(
    network: nn.Module, image: np.ndarray, patch: tuple[int, int, int], fill: float, voxels: np.ndarray
) -> np.ndarray:
    """Cut out each voxel's patch, by index arithmetic alone, and run the network on it: (n, K) probabilities.

    ``patch`` has the size 1 along the axis that a plane stays on, which is dropped.
    """
    before = [(n - 1) // 2 for n in patch]
    network.eval()
    rows = []
    for voxel in voxels:
        cut = np.full((len(image), *patch), fill, np.float32)
        for at in product(*(range(n) for n in patch)):
            source = [v - b + i for v, b, i in zip(voxel, before, at, strict=True)]
            if all(0 <= s < n for s, n in zip(source, image.shape[1:], strict=True)):
                cut[:, at[0], at[1], at[2]] = image[:, source[0], source[1], source[2]]
        size = [n for n in patch if n > 1] if 1 in patch else patch
        with torch.no_grad():
            rows.append(network(torch.from_numpy(cut.reshape(1, len(image), *size))).reshape(-1).softmax(0).numpy())
    return np.array(rows)
