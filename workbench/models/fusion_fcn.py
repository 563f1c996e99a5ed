"""Fully convolutional networks that fuse modalities late or early (Section 3.3, Figure 8; Nie et al., ISBI 2016).

    x[:, group 1] ─ encoder ─┐                  first    3 × conv 32@3, pool      64 × 64 → 32 × 32
    x[:, group 2] ─ encoder ─┼─ concat ─ decoder ─ y     second   2 × conv 64@3, pool      32 × 32 → 16 × 16
    x[:, group 3] ─ encoder ─┘  (B, 64 n, …/4)           third    conv 64@3                16 × 16
                                                         fourth   deconv 64@4 by 2         16 × 16 → 32 × 32
                                                         fifth    deconv K@4 by 2          32 × 32 → 64 × 64

Rectified but for the last. x is (B, C, X, Y) and y the logits (B, K, X, Y); both sides must be divisible by 4. One
encoder on one channel is the network of Figure 8, 180,868 parameters for 4 output maps; one encoder on three channels
fuses early, 181,444; three encoders on a channel each fuse late, 534,276.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from workbench.models.initialization import initialize

PoolingName = Literal["max", "average"]
N_MAPS = (32, 64, 64)
REDUCTION = 4
"""Pixels of the image to one of the highest maps, along an edge."""
LABELS = ("First", "Second", "Third", "Fourth", "Fifth")


class FusionFCN(nn.Module):
    """Encoders on groups of channels, joined by their highest maps, one decoder.

    Args:
        groups: the channels that each encoder sees.
        n_classes: K, the background among them.
        width: share of the published numbers of maps.
        pooling: of 2 × 2 pixels.
        seed: of the weights, drawn after Glorot.

    Attributes:
        n_channels: C, at least.
    """

    def __init__(
        self, groups: Sequence[Sequence[int]], n_classes: int, *, width: float = 1.0, pooling: PoolingName = "max",
        seed: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        if not groups or not all(groups):
            raise ValueError(f"each encoder needs a channel; got {groups}")
        n_maps = [max(1, round(width * n)) for n in N_MAPS]
        self.groups = [list(group) for group in groups]
        self.n_channels = 1 + max(max(group) for group in groups)
        self.encoders = nn.ModuleList([_encoder(len(group), n_maps, pooling) for group in groups])
        self.decoder = nn.Sequential(
            OrderedDict(
                fourth=nn.Sequential(nn.ConvTranspose2d(len(groups) * n_maps[2], n_maps[2], 4, 2, 1), nn.ReLU()),
                fifth=nn.Sequential(nn.ConvTranspose2d(n_maps[2], n_classes, 4, 2, 1)),
            )
        )
        initialize(self, "glorot", torch.Generator().manual_seed(seed))

    def features(self, x: Tensor) -> Tensor:
        """Give the highest maps of all encoders (B, n, X/4, Y/4) of images (B, C, X, Y)."""
        if any(n % REDUCTION for n in x.shape[2:]):
            raise ValueError(f"expected sides divisible by {REDUCTION}; got {tuple(x.shape[2:])}")
        found = [encoder(x[:, group]) for group, encoder in zip(self.groups, self.encoders, strict=True)]
        return torch.cat(found, 1) if len(found) > 1 else found[0]

    def forward(self, x: Tensor) -> Tensor:
        """Give the logits (B, K, X, Y) of images (B, C, X, Y)."""
        y: Tensor = self.decoder(self.features(x))
        return y

    def take_encoder(self, index: int, other: FusionFCN) -> None:
        """Begin an encoder with the weights of a network that has one, bit by bit; in place."""
        (source,) = other.encoders
        self.encoders[index].load_state_dict(source.state_dict())

    def layer_rates(self, *, encoders: float = 1.0, biases: float = 1.0) -> dict[str, float]:
        """Give what multiplies the learning rate of each parameter.

        Args:
            encoders: of all of their layers; the decoder's have 1.
            biases: of biases, beside weights of the same layer.
        """
        return {
            name: (encoders if name.startswith("encoders.") else 1.0) * (biases if name.endswith(".bias") else 1.0)
            for name, _ in self.named_parameters()
        }

    def architecture_groups(self) -> Mapping[str, str]:
        """Name the five groups of Figure 8: label → where its layers are."""
        places = [f"encoders.0.{name}" for name in ("first", "second", "third")] + ["decoder.fourth", "decoder.fifth"]
        return {f"{label} layer group": place for label, place in zip(LABELS, places, strict=True)}


def _encoder(n_channels: int, n_maps: Sequence[int], pooling: PoolingName) -> nn.Sequential:
    groups: OrderedDict[str, nn.Module] = OrderedDict()
    below = n_channels
    for name, n_layers, n_out in zip(("first", "second", "third"), (3, 2, 1), n_maps, strict=True):
        layers: list[nn.Module] = []
        for _ in range(n_layers):
            layers += [nn.Conv2d(below, n_out, 3, padding=1), nn.ReLU()]
            below = n_out
        if name != "third":
            layers.append(nn.MaxPool2d(2) if pooling == "max" else nn.AvgPool2d(2))
        groups[name] = nn.Sequential(*layers)
    return nn.Sequential(groups)
