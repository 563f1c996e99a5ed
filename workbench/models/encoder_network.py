"""The convolutional encoder network with a shortcut (Section 3.4; Brosch et al., IEEE TMI 2016, Reference 49).

    image (C)  ──conv W1──► x1 (M) ──average 2──► ──conv W2──► x2 (M)
                             │                                  │ deconv D2
                          shortcut S                         y2 (M)
                             ▼                                  │ unpool 2
    p (1)  ◄──── sigmoid( D1 deconv unpool(y2) + S deconv x1 + c )

Convolutions without padding, deconvolutions that undo their shrinking, so that the output has the input's size whatever
that is. Hidden maps are rectified. Without the second level it is the network of three layers.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from workbench.errors import SettingsError
from workbench.models.conv_rbm import ConvRBM

POOL = 2


class EncoderNetwork(nn.Module):
    """Give the probability (B, 1, X, Y, Z) of images (B, C, X, Y, Z), whole ones.

    Args:
        n_channels: C.
        n_maps: M of every layer.
        kernels: of the first and of the second convolution; one alone makes the network of three layers.
        shortcut: whether the first maps reach the output past the second level.
        seed: of the weights, drawn after Glorot and Bengio.
        bias: of the output at first, below 0 so that it begins with few lesions.

    Raises:
        SettingsError: no kernel, more than two, or one without voxels.
    """

    def __init__(
        self,
        n_channels: int,
        n_maps: int = 32,
        kernels: Sequence[Sequence[int]] = ((9, 9, 5), (10, 10, 5)),
        *,
        shortcut: bool = True,
        seed: int = 0,
        bias: float = 0.0,
    ) -> None:
        super().__init__()
        if len(kernels) not in (1, 2):
            raise SettingsError(f"This network has one or two levels; got kernels for {len(kernels)}.")
        if any(n < 1 for kernel in kernels for n in kernel):
            raise SettingsError(
                f"Kernels have at least 1 voxel along each axis; got {' and '.join(map(str, kernels))}."
            )
        first, *second = (tuple(k) for k in kernels)
        self.kernels = (first, *second)
        self.convolution1 = nn.Conv3d(n_channels, n_maps, first)  # type: ignore[arg-type]
        self.deconvolution1 = nn.ConvTranspose3d(n_maps, 1, first)  # type: ignore[arg-type]
        if second:
            self.convolution2 = nn.Conv3d(n_maps, n_maps, second[0])  # type: ignore[arg-type]
            self.deconvolution2 = nn.ConvTranspose3d(n_maps, n_maps, second[0])  # type: ignore[arg-type]
        self.shortcut = (
            nn.ConvTranspose3d(n_maps, 1, first, bias=False) if shortcut and second else None  # type: ignore[arg-type]
        )
        generator = torch.Generator().manual_seed(seed)
        for module in self.modules():
            if isinstance(module, (nn.Conv3d, nn.ConvTranspose3d)):
                nn.init.xavier_uniform_(module.weight, generator=generator)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        if bias and self.deconvolution1.bias is not None:
            nn.init.constant_(self.deconvolution1.bias, bias)

    @property
    def has_two_levels(self) -> bool:
        """Whether there is a second convolution."""
        return len(self.kernels) == 2

    @property
    def smallest(self) -> tuple[int, ...]:
        """The smallest image along each axis."""
        return smallest_image(self.kernels)

    def first_maps(self, x: Tensor) -> Tensor:
        """Give the first maps (B, M, *n) of images (B, C, *n + k - 1)."""
        return F.relu(self.convolution1(x))

    def forward(self, x: Tensor) -> Tensor:
        """Give the probability of class 1 at every voxel.

        Images whose first maps cannot be halved get one voxel more, of 0, which is cut off again.

        Raises:
            SettingsError: an image smaller than the kernels.
        """
        size = x.shape[2:]
        if any(n < least for n, least in zip(size, self.smallest, strict=True)):
            raise SettingsError(
                f"The network needs images of at least {' × '.join(map(str, self.smallest))} voxels; this has "
                f"{' × '.join(map(str, size))}. Choose smaller kernels or voxels."
            )
        if self.has_two_levels:
            odd = [(n - k + 1) % POOL for n, k in zip(size, self.kernels[0], strict=True)]
            x = F.pad(x, [v for n in reversed(odd) for v in (0, n)])
        x1 = self.first_maps(x)
        if not self.has_two_levels:
            return torch.sigmoid(self.deconvolution1(x1))
        x2 = F.relu(self.convolution2(F.avg_pool3d(x1, POOL)))
        y2 = F.relu(self.deconvolution2(x2))
        out = self.deconvolution1(F.interpolate(y2, scale_factor=POOL, mode="nearest"))
        if self.shortcut is not None:
            out = out + self.shortcut(x1)
        return torch.sigmoid(out)[..., : size[0], : size[1], : size[2]]

    @torch.no_grad()
    def start_from(self, machines: Sequence[ConvRBM], seen: Sequence[VisibleValues]) -> None:
        """Begin at convolutional restricted Boltzmann machines, a level each.

        The way up takes filters and hidden biases, so that the maps before rectification are the machine's hidden
        input. The upper deconvolution takes filters and visible biases, so that it gives the machine's visible input,
        in the units of the maps. The output has one channel, and keeps its bias: it begins at the mean over channels,
        shared evenly between the last deconvolution and the shortcut.

        Args:
            machines: the first on images, the second on the averaged maps of the first.
            seen: how each of them saw its values.
        """
        n_levels = len(self.kernels)
        if len(machines) != n_levels or len(seen) != n_levels:
            raise ValueError(f"a network of {n_levels} levels begins at as many machines; got {len(machines)}")
        ways_up = [self.convolution1, *([self.convolution2] if self.has_two_levels else [])]
        for layer, machine, values in zip(ways_up, machines, seen, strict=True):
            assert layer.bias is not None
            precision = 1 / (machine.sigma.square() * values.scale)
            layer.weight.copy_(machine.weight * precision[None, :, None, None, None])
            # W (x - offset) + c = W x + (c - W offset)
            layer.bias.copy_(machine.hidden_bias - layer.weight.sum((2, 3, 4)) @ values.offset)
        last = machines[0].weight.mean(1, keepdim=True)
        self.deconvolution1.weight.copy_(last / (1 if self.shortcut is None else 2))
        if self.shortcut is not None:
            self.shortcut.weight.copy_(last / 2)
        if self.has_two_levels:
            down, machine, values = self.deconvolution2, machines[1], seen[1]
            assert down.bias is not None
            down.weight.copy_(machine.weight * values.scale[None, :, None, None, None])
            down.bias.copy_(machine.visible_bias * values.scale + values.offset)


def smallest_image(kernels: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """Give the voxels along each axis of the smallest image for kernels of one level or two."""
    if len(kernels) == 1:
        return tuple(kernels[0])
    return tuple(POOL * b + a - 1 for a, b in zip(*kernels, strict=True))


class VisibleValues(nn.Module):
    """What a machine sees of crops: them, or maps below it averaged over blocks, with mean 0 and deviation 1.

    Rectified maps have a mean far from 0. Left in, it decides the sign of every hidden input, and most maps die; and
    with their small deviation left in, the rate of learning would depend on it.

    Args:
        examples: (B, C, *crop), of which mean and deviation of every channel, or map, are taken.
        below: the trained machine below; None for the first level.

    Attributes:
        offset: (C,) or (M,) what is subtracted.
        scale: what is divided by then.
    """

    offset: Tensor
    scale: Tensor

    def __init__(self, examples: Tensor, below: ConvRBM | None = None, below_sees: VisibleValues | None = None) -> None:
        super().__init__()
        self.below, self.below_sees = below, below_sees
        values, axes = self._values(examples), (0, 2, 3, 4)
        self.register_buffer("offset", values.mean(axes))
        self.register_buffer("scale", values.std(axes).clamp_min(1e-6))

    @torch.no_grad()
    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Give values (B, C, *crop) or (B, M, *n) of crops (B, C, *crop); nothing is drawn."""
        return (self._values(x) - self.offset[:, None, None, None]) / self.scale[:, None, None, None]

    @torch.no_grad()
    def _values(self, x: Tensor) -> Tensor:
        if self.below is None or self.below_sees is None:
            return x
        return F.avg_pool3d(F.relu(self.below.hidden_input(self.below_sees(x))), POOL)


def untrained_machine(values: Tensor, n_maps: int, kernel: Sequence[int], seed: int) -> ConvRBM:
    """Give an untrained machine, with noisy rectified maps, on standardized values (B, C, *n)."""
    return ConvRBM(tuple(values.shape[1:]), n_maps, kernel, hidden="noisy_relu", seed=seed)
