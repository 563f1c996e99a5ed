"""DropConnect: connections are dropped where dropout drops units (Section 2.6, item 4; Wan et al., ICML 2013).

    training     u = (M * W) x + b     M_ij ~ Bernoulli(p), a mask of its own for every sample; p = 1 - drop
    inference    u ~ N(p W x + b, p (1 - p) (W * W)(x * x)), the sum of many independent terms, and E[f(u)]

The plain forward pass of inference gives the mean p W x + b ("mean"); :func:`expected` averages an activation f over
the Gaussian ("moment matching"). Biases are not dropped. Not to be confused with the "drop connect" of EfficientNet
code, which drops whole residual branches.

Masks come from torch's global generator, which a training seeds before every batch. They take B x out x in x kernel
numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class DropConnectLinear(nn.Linear):
    """A fully connected layer whose weights are dropped while it learns: (B, in) → (B, out), before the activation.

    Args:
        n_in: inputs.
        n_out: units.
        drop: share of the weights that a sample does not see, 0 up to but not including 1.
    """

    def __init__(self, n_in: int, n_out: int, *, drop: float = 0.5) -> None:
        super().__init__(n_in, n_out)
        self.keep = 1 - _checked(drop)

    @property
    def effective_weight(self) -> Tensor:
        """The weight (out, in) of inference, p W."""
        return self.keep * self.weight

    def forward(self, x: Tensor) -> Tensor:
        """Give u (B, out) of (B, in): by masks in training, else its mean."""
        if not self.training or self.keep == 1:
            return F.linear(x, self.effective_weight, self.bias)
        mask = torch.rand(len(x), *self.weight.shape, device=x.device) < self.keep  # (B, out, in)
        return torch.bmm(mask * self.weight, x.unsqueeze(2)).squeeze(2) + self.bias

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Give mean and variance of u over masks, each (B, out)."""
        variance = self.keep * (1 - self.keep) * F.linear(x.square(), self.weight.square())
        return F.linear(x, self.effective_weight, self.bias), variance

    def extra_repr(self) -> str:
        """Say what is dropped."""
        return f"{super().extra_repr()}, drop={1 - self.keep:g}"


class DropConnectConv(nn.Module):
    """A convolution (cross-correlation) whose kernels lose weights: (B, in, *spatial) → (B, out, *map).

    A sample has one mask for all positions of a map, as the weights are shared.

    Args:
        n_in: channels.
        n_out: maps.
        kernel: its size along each axis, two or three numbers.
        drop: as in :class:`DropConnectLinear`.
        stride: steps along every axis, in voxels.
        padding: zeros added on every side, in voxels.
        dilation: distance of kernel elements, in voxels.
    """

    def __init__(
        self,
        n_in: int,
        n_out: int,
        kernel: Sequence[int],
        *,
        drop: float = 0.5,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
    ) -> None:
        super().__init__()
        if len(kernel) not in (2, 3):
            raise ValueError(f"a kernel has two or three sizes; got {tuple(kernel)}")
        self.keep, self.stride, self.padding, self.dilation = 1 - _checked(drop), stride, padding, dilation
        radius = (n_in * math.prod(kernel)) ** -0.5  # as torch's own convolutions begin
        self.weight = nn.Parameter(torch.empty(n_out, n_in, *kernel).uniform_(-radius, radius))
        self.bias = nn.Parameter(torch.empty(n_out).uniform_(-radius, radius))

    @property
    def effective_weight(self) -> Tensor:
        """The weight (out, in, *kernel) of inference, p W."""
        return self.keep * self.weight

    def forward(self, x: Tensor) -> Tensor:
        """Give u (B, out, *map): by masks in training, else its mean."""
        if not self.training or self.keep == 1:
            return self._convolve(x, self.effective_weight, self.bias)
        n = len(x)
        mask = torch.rand(n, *self.weight.shape, device=x.device) < self.keep  # (B, out, in, *kernel)
        kernels = (mask * self.weight).flatten(0, 1)  # (B * out, in, *kernel)
        u = self._convolve(x.flatten(0, 1).unsqueeze(0), kernels, None, n)  # (1, B * out, *map)
        u = u.reshape(n, -1, *u.shape[2:])  # (B, out, *map)
        return u + self.bias.reshape(-1, *[1] * (u.ndim - 2))

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Give mean and variance of u over masks, each (B, out, *map)."""
        variance = self.keep * (1 - self.keep) * self._convolve(x.square(), self.weight.square(), None)
        return self._convolve(x, self.effective_weight, self.bias), variance

    def _convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None, groups: int = 1) -> Tensor:
        convolution = F.conv2d if weight.ndim == 4 else F.conv3d
        return convolution(x, weight, bias, self.stride, self.padding, self.dilation, groups)


def expected(
    layer: DropConnectLinear | DropConnectConv, x: Tensor, f: Callable[[Tensor], Tensor], n_draws: int
) -> Tensor:
    """Give E[f(u)] under the moment-matched Gaussian; the shape of ``f(u)``.

    The draws are the ``n_draws`` equally likely quantiles of the Gaussian and not random, so that a sample's output
    does not depend on its batch or on chance.
    """
    mean, variance = layer.moments(x)
    deviation = variance.sqrt()
    shares = (torch.arange(n_draws, device=x.device, dtype=x.dtype) + 0.5) / n_draws
    places = torch.special.ndtri(shares)
    places = places / places.square().mean().sqrt() if n_draws > 1 else places  # few quantiles are too narrow
    return torch.stack([f(mean + place * deviation) for place in places]).mean(0)


def _checked(drop: float) -> float:
    if not 0 <= drop < 1:
        raise ValueError(f"a share of 0 up to but not including 1 of the weights is dropped; got {drop}")
    return float(drop)
