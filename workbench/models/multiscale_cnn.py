"""One network that looks at a voxel at several scales (Section 3.3; Moeskops et al., IEEE Trans. Med. Imaging 2016).

    x (B, C, 75, 75) ─┬─ middle 25 ─ conv 24@5 ─ pool ─ conv 32@3 ─ pool ─ conv 48@3 ────────── full 256 ─┐
                      ├─ middle 51 ─ conv 24@7 ─ pool ─ conv 32@5 ─ pool ─ conv 48@3 ─ pool ─── full 256 ─┼─ y (B, K)
                      └─ all 75 ──── conv 24@9 ─ pool ─ conv 32@7 ─ pool ─ conv 48@5 ─ pool ─── full 256 ─┘

The small patch has the fine texture, the large one says where in the head it is; the branches share nothing below the
softmax. A map of odd size is mirrored by one row and one column before it is pooled, so that no unit is lost:

    25: 21 (22) 11,  9 (10) 5,  3          51: 45 (46) 23,  19 (20) 10,  8, 4          75: 67 (68) 34,  28, 14,  10, 5

What is mirrored lies inside the patch and would be another voxel in an image, so the network cannot be turned into a
fully convolutional one; :mod:`workbench.models.exactness` names the layers.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from workbench.models.initialization import initialize


@dataclass(frozen=True)
class Scale:
    """One branch.

    Attributes:
        patch: pixels along an edge.
        kernels: of its three convolutions.
        n_poolings: how many of these are followed by a pooling, from the first on.
    """

    patch: int
    kernels: tuple[int, int, int]
    n_poolings: int

    @property
    def map_sizes(self) -> list[tuple[int, int]]:
        """Pixels along an edge of each map, before and after pooling; twice the same where there is none."""
        sizes, below = [], self.patch
        for number, kernel in enumerate(self.kernels):
            before = below - kernel + 1
            below = -(-before // 2) if number < self.n_poolings else before
            sizes.append((before, below))
        return sizes


SCALES = {25: Scale(25, (5, 3, 3), 2), 51: Scale(51, (7, 5, 3), 3), 75: Scale(75, (9, 7, 5), 3)}
N_MAPS = (24, 32, 48)
N_FULLY = 256


class MultiScaleCNN(nn.Module):
    """Branches on concentric patches, joined by one softmax layer; 755,913 parameters for 1 channel and 9 classes.

    Args:
        n_channels: C.
        n_classes: K.
        scales: edges of the patches, some of 25, 51 and 75.
        width: share of the published numbers of maps and units.
        dropout: share of the fully connected units that is dropped in training.
        seed: of the weights.

    Raises:
        LookupError: there is no branch of that size.
    """

    def __init__(
        self, n_channels: int, n_classes: int, *, scales: Sequence[int] = (25, 51, 75), width: float = 1.0,
        dropout: float = 0.5, seed: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        unknown = [s for s in scales if s not in SCALES]
        if unknown or not scales or len(set(scales)) < len(scales):
            raise LookupError(f"scales are some of {', '.join(map(str, SCALES))}, each once; got {tuple(scales)}")
        self.scales, self.patch = tuple(scales), max(scales)
        n_fully = _scaled(N_FULLY, width)
        self.branches = nn.ModuleDict({f"scale{s}": _branch(SCALES[s], n_channels, width, dropout) for s in scales})
        self.output = nn.Linear(n_fully * len(scales), n_classes)
        generator = torch.Generator().manual_seed(seed)
        initialize(self.branches, "he", generator)
        initialize(self.output, "glorot", generator)

    def features(self, x: Tensor) -> Tensor:
        """Give the fully connected units of all branches (B, n) for patches (B, C, P, P) of the largest scale."""
        if x.shape[2:] != (self.patch, self.patch):
            raise ValueError(f"expected patches of {self.patch} x {self.patch}; got {tuple(x.shape)}")
        found = []
        for scale, branch in zip(self.scales, self.branches.values(), strict=True):
            low = (self.patch - scale) // 2
            found.append(branch(x[:, :, low : low + scale, low : low + scale]))
        return torch.cat(found, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Give the logits (B, K) of patches (B, C, P, P)."""
        y: Tensor = self.output(self.features(x))
        return y


def _branch(scale: Scale, n_channels: int, width: float, dropout: float) -> nn.Sequential:
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    below = n_channels
    for number, (kernel, (before, _)) in enumerate(zip(scale.kernels, scale.map_sizes, strict=True), 1):
        n_maps = _scaled(N_MAPS[number - 1], width)
        layers[f"conv{number}"] = nn.Conv2d(below, n_maps, kernel)
        layers[f"activation{number}"] = nn.ReLU()
        if number <= scale.n_poolings:
            if before % 2:
                layers[f"mirror{number}"] = nn.ReflectionPad2d((0, 1, 0, 1))
            layers[f"pool{number}"] = nn.MaxPool2d(2)
        below = n_maps
    layers["flatten"] = nn.Flatten()
    layers["full"] = nn.Linear(below * scale.map_sizes[-1][1] ** 2, _scaled(N_FULLY, width))
    layers["full_activation"] = nn.ReLU()
    layers["dropout"] = nn.Dropout(dropout)
    return nn.Sequential(layers)


def _scaled(n: int, width: float) -> int:
    return max(1, round(n * width))
