"""What networks are made of: activations, corruption, sparsity, patch normalization, and the convolution stage.

Everything random takes a :class:`torch.Generator`; :func:`step_generator` makes the one of a training step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

ActivationName = Literal["sigmoid", "tanh", "relu", "leaky_relu", "linear"]
NormalizationName = Literal["none", "center", "standardize"]
CorruptionKind = Literal["none", "masking", "gaussian", "salt_and_pepper"]

PATCH_EPSILON = 1e-2
"""Added to the variance of a patch before its root divides it, so that flat patches do not become amplified noise.
It is in squared intensity units and meant for images scaled to 0..1 or to unit variance."""

DEAD_BELOW = 1e-3
"""A unit whose running mean activation is below this share is counted as dead."""

LEAK = 0.01
"""The slope of a leaky rectifier below 0 (Maas et al., ICML 2013)."""

_RATE_FLOOR = 1e-6


def _identity(x: Tensor) -> Tensor:
    return x


def _leaky_relu(x: Tensor) -> Tensor:
    return F.leaky_relu(x, LEAK)


_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "leaky_relu": _leaky_relu,
    "linear": _identity,
}


def activation(name: str) -> Callable[[Tensor], Tensor]:
    """Give the elementwise function of that name.

    Raises:
        LookupError: the name is not known; the known ones are listed.
    """
    if name not in _ACTIVATIONS:
        raise LookupError(f"no activation is called {name!r}; known are {', '.join(_ACTIVATIONS)}")
    return _ACTIVATIONS[name]


def activation_rate(h: Tensor, name: str) -> Tensor:
    """Give how active units are: h for sigmoid and relu, (h + 1) / 2 for tanh, else |h|; shape of ``h``."""
    if name == "tanh":
        return (h + 1) / 2
    return h.abs() if name in ("linear", "leaky_relu") else h


def normalize_patches(x: Tensor, mode: str) -> Tensor:
    """Take out of each patch what its brightness and contrast say.

    Statistics are those of one patch over all its channels and voxels, so that the contrast between channels stays.

    Args:
        x: (B, ...) patches.
        mode: ``none`` leaves them; ``center`` subtracts the patch's mean; ``standardize`` also divides by
            sqrt(variance + ``PATCH_EPSILON``), the variance being the biased one.

    Returns:
        (B, ...), the shape of ``x``.
    """
    if mode == "none":
        return x
    if mode not in ("center", "standardize"):
        raise LookupError(f"no patch normalization is called {mode!r}; known are none, center, standardize")
    axes = tuple(range(1, x.ndim))
    centered = x - x.mean(axes, keepdim=True)
    if mode == "center":
        return centered
    return centered / (centered.square().mean(axes, keepdim=True) + PATCH_EPSILON).sqrt()


def reconstruction_error(z: Tensor, target: Tensor, visible: str) -> Tensor:
    """Give the error of each patch, summed over its elements: (B,).

    Linear visible units have the squared error; sigmoid ones the cross-entropy (nats), whose targets lie in [0, 1].
    """
    error = F.binary_cross_entropy(z, target, reduction="none") if visible == "sigmoid" else (z - target).square()
    return error.flatten(1).sum(1)


def step_generator(seed: int, *position: int, device: torch.device | str = "cpu") -> torch.Generator:
    """Give the generator of one training step, a pure function of the seed and the position (stage, step, …).

    A run that is stopped and resumed therefore draws what it would have drawn without the stop.
    """
    state = int(np.random.SeedSequence([seed, len(position), *position]).generate_state(1, np.uint64)[0])
    return torch.Generator(device=device).manual_seed(state >> 1)


@dataclass(frozen=True)
class Corruption:
    """Destroy part of an input, for denoising auto-encoders (Vincent et al., JMLR 2010).

    Attributes:
        kind: ``masking`` sets elements to 0; ``gaussian`` adds noise; ``salt_and_pepper`` sets elements to the
            smallest or the largest value of the batch, by a fair coin.
        amount: the share of elements that are hit, 0 to 1; for ``gaussian`` the standard deviation, in the input's
            own units.
    """

    kind: CorruptionKind = "none"
    amount: float = 0.0

    def __post_init__(self) -> None:
        known = ("none", "masking", "gaussian", "salt_and_pepper")
        if self.kind not in known:
            raise LookupError(f"no corruption is called {self.kind!r}; known are {', '.join(known)}")
        if self.amount < 0 or (self.kind in ("masking", "salt_and_pepper") and self.amount > 1):
            raise ValueError(f"{self.kind} corruption hits a share of 0 to 1 of the input; got {self.amount}")

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Give a corrupted copy of ``x`` (B, ...); the generator lives on the device of ``x``."""
        if self.kind == "none" or self.amount == 0:
            return x
        if self.kind == "gaussian":
            return x + self.amount * torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
        draw = torch.rand(x.shape, generator=generator, device=x.device, dtype=x.dtype)
        if self.kind == "masking":
            return x.masked_fill(draw < self.amount, 0)
        low, high = torch.aminmax(x.detach())
        salted = torch.where(draw < self.amount / 2, low, x)
        return torch.where((draw >= self.amount / 2) & (draw < self.amount), high, salted)


class KLSparsity(nn.Module):
    """Pull the mean activation of every hidden unit towards ``rho``.

    The penalty is sum_j KL(rho || rho_j) with rho_j a running mean over batches, since that of one small batch is
    noisy. Its *value* uses the running mean; its *gradient* is KL'(rho_j) times the gradient of this batch's mean,
    with weight 1 and not 1 - decay. This estimates the gradient of the penalty on the whole training set, and beta
    means the same whatever the decay. tanh units are rescaled to (h + 1) / 2. Rectified units have no target rate:
    they get the L1 penalty, the sum over units of their mean activation in the batch. Linear units get none.

    Args:
        n_hidden: units.
        rho: wanted mean activation, between 0 and 1.
        decay: weight of the past in the running mean; 0 uses the batch alone. The first batches are averaged with
            equal weights until 1 / (1 - decay) have been seen.
        hidden: name of the units' activation.
    """

    running: Tensor
    n_batches: Tensor

    def __init__(self, n_hidden: int, rho: float = 0.05, decay: float = 0.9, hidden: str = "sigmoid") -> None:
        super().__init__()
        if not 0 < rho < 1:
            raise ValueError(f"rho is a mean activation between 0 and 1; got {rho}")
        if not 0 <= decay < 1:
            raise ValueError(f"the decay of a running mean is at least 0 and below 1; got {decay}")
        activation(hidden)
        self.rho, self.decay, self.hidden = rho, decay, hidden
        self.register_buffer("running", torch.zeros(n_hidden))
        self.register_buffer("n_batches", torch.zeros((), dtype=torch.long))

    def observe(self, h: Tensor) -> None:
        """Take the mean activation of a batch of hidden units (B, M) into the running mean."""
        mean = activation_rate(h.detach(), self.hidden).mean(0).to(self.running.dtype)
        self.n_batches += 1
        weight = (1 / self.n_batches).clamp_min(1 - self.decay)
        self.running += weight * (mean - self.running)

    def penalty(self, h: Tensor) -> Tensor:
        """Give the penalty of hidden units (B, M) as a scalar.

        While training, the batch enters the running mean first; in eval mode the batch's own mean is used.
        """
        if self.training:
            self.observe(h)
        if self.hidden in ("relu", "leaky_relu"):
            return activation_rate(h, self.hidden).mean(0).sum()
        if self.hidden == "linear":
            return h.new_zeros(())
        mean = activation_rate(h, self.hidden).mean(0)
        level = self.running.to(mean.dtype) if self.training else mean.detach()
        level = level.clamp(_RATE_FLOOR, 1 - _RATE_FLOOR)
        return kl_divergence(self.rho, mean + (level - mean).detach()).sum()

    @property
    def dead_share(self) -> Tensor:
        """The share of units whose running mean activation is below ``DEAD_BELOW``, a scalar."""
        return (self.running < DEAD_BELOW).float().mean()


def kl_divergence(rho: float, rates: Tensor) -> Tensor:
    """Give KL(rho || rho_j) in nats between Bernoulli variables, elementwise: the shape of ``rates``."""
    return rho * (np.log(rho) - rates.log()) + (1 - rho) * (np.log1p(-rho) - torch.log1p(-rates))


@dataclass(frozen=True, eq=False)
class ConvStage:
    """One stage of an encoder as a convolution, so that it can be slid over a whole image.

    Attributes:
        weight: (out, in, k, k, k), (out, in, k, k), or (out, in) for plain vectors; cross-correlated, not flipped.
        bias: (out,).
        activation: name of the function after it.
        pool: kernel and stride of the max pooling after the activation; 1 is none. Windows begin at the first row;
            in patch form the map always divides exactly. Dense form: dilate what follows by ``pool``.
        normalization: what :func:`normalize_patches` does to the patch beforehand; other than ``none`` only in a
            first stage whose kernel is the whole patch.
    """

    weight: Tensor
    bias: Tensor
    activation: str
    pool: int = 1
    normalization: str = "none"


def run_stages(stages: Sequence[ConvStage], x: Tensor) -> Tensor:
    """Encode patches by convolution stages, in patch form.

    Args:
        stages: as from ``as_convolutions``.
        x: (B, C, *spatial) patches, or (B, V) vectors.

    Returns:
        (B, out, *map) of the last stage; the map is a single voxel when x has the size of the receptive field.
    """
    for stage in stages:
        x = normalize_patches(x, stage.normalization)
        x = convolve(x, stage.weight, stage.bias)
        x = max_pool(activation(stage.activation)(x), stage.pool)
    return x


def convolve(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Give the valid cross-correlation of (B, in, *spatial) with (out, in, *kernel), in 0, 2 or 3 dimensions."""
    if weight.ndim == 2:
        return F.linear(x, weight, bias)
    return F.conv2d(x, weight, bias) if weight.ndim == 4 else F.conv3d(x, weight, bias)


def max_pool(x: Tensor, pool: int) -> Tensor:
    """Give the maxima of windows of ``pool`` voxels along every axis of (B, C, *spatial)."""
    if pool == 1:
        return x
    return F.max_pool2d(x, pool) if x.ndim == 4 else F.max_pool3d(x, pool)
