"""Kinds of units: what a unit does with its net input x = bias + what its neighbors send (Section 2.3.2).

A unit adds base(u) - precision * u * x to the energy, so that

    log_partition(x) = log sum_u exp(-base(u) + precision u x),    mean(x) = d log_partition / d (precision x)

Every energy model is written against this interface, hence its free energy, conditionals and gradient are those of
any of these units.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

RATE_MARGIN = 1e-3
"""Base rates are held this far from 0 and 1, so that a voxel that is always off does not get an infinite bias."""

LOG_2PI = math.log(2 * math.pi)

TABLE_LOW, TABLE_HIGH, TABLE_STEP = -6.0, 10.0, 1 / 64
"""Below the table the mean of a noisy rectified unit is 0 in double precision, above it the net input itself."""


class Units(ABC):
    """One kind of units; ``x`` is the net input (B, n) everywhere."""

    name: str
    precision: float | Tensor = 1.0
    """What multiplies u * x in the energy: 1, or 1 / sigma² of Gaussian units."""

    @abstractmethod
    def mean(self, x: Tensor) -> Tensor:
        """Give the expected values (B, n)."""

    @abstractmethod
    def sample(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        """Draw values (B, n) of the dtype and on the device of ``x``; without a generator from torch's global one."""

    @abstractmethod
    def log_partition(self, x: Tensor) -> Tensor:
        """Give the log-partition of each unit (B, n); softmax groups have one, (B, 1)."""

    @abstractmethod
    def entropy(self, x: Tensor) -> Tensor:
        """Give the entropy of each unit in nats (B, n); softmax groups have one, (B, 1)."""

    def base_energy(self, u: Tensor) -> Tensor:
        """Give base(u), the energy of values (B, n) without any input."""
        return torch.zeros_like(u)

    def input_of(self, mean: Tensor) -> Tensor:
        """Give the net inputs (n,) at which the units have this mean (n,); rates are held off 0 and 1."""
        return mean.clamp(RATE_MARGIN, 1 - RATE_MARGIN).logit()


class Bernoulli(Units):
    """Units that are 0 or 1: p(u = 1) = sigmoid(x)."""

    name = "bernoulli"

    def mean(self, x: Tensor) -> Tensor:
        """Give sigmoid(x)."""
        return torch.sigmoid(x)

    def sample(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        """Draw zeros and ones."""
        return _uniform(x, generator).lt_(torch.sigmoid(x))  # in place: the result has x's dtype without a cast

    def log_partition(self, x: Tensor) -> Tensor:
        """Give log(1 + exp(x))."""
        return F.softplus(x)

    def entropy(self, x: Tensor) -> Tensor:
        """Give log(1 + exp(x)) - x sigmoid(x)."""
        return F.softplus(x) - x * torch.sigmoid(x)


class Gaussian(Units):
    """Real units with a fixed standard deviation: u ~ N(x, sigma²).

    The energy is scaled by the *variance*: E = sum_i (v_i - b_i)² / (2 s_i²) - c.h - sum_i (v_i / s_i²) (W h)_i, so
    that x = b + W h is the conditional mean itself. (The other published scaling divides by s and has mean
    b + s W h.) The log-partition is x² / (2 s²) + log(s sqrt(2 pi)).

    Args:
        sigma: standard deviation, one or one a unit (n,), in the units of the data.
    """

    name = "gaussian"

    def __init__(self, sigma: float | Tensor = 1.0) -> None:
        self.sigma = sigma if isinstance(sigma, Tensor) else torch.tensor(float(sigma), dtype=torch.float64)
        self.precision: Tensor = self.sigma.square().reciprocal()

    def mean(self, x: Tensor) -> Tensor:
        """Give x."""
        return x

    def sample(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        """Draw from N(x, sigma²)."""
        draw = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
        return draw.mul_(self.sigma).add_(x)

    def log_partition(self, x: Tensor) -> Tensor:
        """Give x² / (2 sigma²) + log(sigma sqrt(2 pi))."""
        return self.base_energy(x) + self.sigma.log() + LOG_2PI / 2

    def entropy(self, x: Tensor) -> Tensor:
        """Give log(2 pi e sigma²) / 2, whatever x."""
        return torch.zeros_like(x) + self.sigma.log() + (LOG_2PI + 1) / 2

    def base_energy(self, u: Tensor) -> Tensor:
        """Give u² / (2 sigma²)."""
        return u.square() * (self.precision / 2)

    def input_of(self, mean: Tensor) -> Tensor:
        """Give the mean itself."""
        return mean


class NoisyReLU(Units):
    """Rectified units with input-dependent noise: u = max(0, x + N(0, sigmoid(x))) (Nair and Hinton, ICML 2010).

    ``mean`` is the exact mean of that. No exponential family has these units as its conditional, so they have no
    base energy and models with them no joint energy. ``log_partition`` is the integral of ``mean``: with it the
    gradient of the free energy is the rule by which such models learn.
    """

    name = "noisy_relu"

    def mean(self, x: Tensor) -> Tensor:
        """Give x Phi(x / s) + s phi(x / s) with s² = sigmoid(x)."""
        s, z = _noise(x)
        return x * torch.special.ndtr(z) + s * torch.exp(-(z.square() + LOG_2PI) / 2)

    def sample(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        """Draw max(0, x + N(0, sigmoid(x)))."""
        draw = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
        return draw.mul_(torch.sigmoid(x).sqrt_()).add_(x).clamp_min_(0)

    def log_partition(self, x: Tensor) -> Tensor:
        """Give the integral of ``mean`` from -infinity to x, to 1e-9; its derivative is ``mean`` itself."""
        return _MeanIntegral.apply(x)

    def entropy(self, x: Tensor) -> Tensor:
        """Give the entropy of the mixture of an atom at 0 and a density above it."""
        s, z = _noise(x)
        above = torch.special.ndtr(z)
        density = torch.exp(-(z.square() + LOG_2PI) / 2)
        return torch.special.entr(1 - above) + above * (s.log() + LOG_2PI / 2) + (above - z * density) / 2

    def base_energy(self, u: Tensor) -> Tensor:
        """Say that there is none."""
        raise ValueError("noisy ReLU units have no energy of their own; only free energies are defined with them")

    def input_of(self, mean: Tensor) -> Tensor:
        """Say that it has no closed form."""
        raise ValueError("the net input of noisy ReLU units with a given mean has no closed form")


class Softmax(Units):
    """A group of units of which exactly one is 1: p(u_k = 1) = softmax(x)_k."""

    name = "softmax"

    def mean(self, x: Tensor) -> Tensor:
        """Give the probabilities (B, n), which sum to 1."""
        return torch.softmax(x, 1)

    def sample(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        """Draw one-hot rows."""
        index = torch.multinomial(self.mean(x), 1, generator=generator)
        return torch.zeros_like(x).scatter_(1, index, 1)

    def log_partition(self, x: Tensor) -> Tensor:
        """Give log sum_k exp(x_k) of the group, (B, 1)."""
        return torch.logsumexp(x, 1, keepdim=True)

    def entropy(self, x: Tensor) -> Tensor:
        """Give the entropy of the group, (B, 1)."""
        return self.log_partition(x) - (x * self.mean(x)).sum(1, keepdim=True)

    def input_of(self, mean: Tensor) -> Tensor:
        """Give log(mean)."""
        return mean.clamp(RATE_MARGIN, 1 - RATE_MARGIN).log()


_UNITS: dict[str, type[Units]] = {u.name: u for u in (Bernoulli, Gaussian, NoisyReLU, Softmax)}


def units(name: str) -> Units:
    """Give the kind of units of that name; Gaussian ones with sigma 1.

    Raises:
        LookupError: the name is not known; the known ones are listed.
    """
    if name not in _UNITS:
        raise LookupError(f"no units are called {name!r}; known are {', '.join(_UNITS)}")
    return _UNITS[name]()


def _uniform(x: Tensor, generator: torch.Generator | None) -> Tensor:
    """Draw from U[0, 1) in the shape, dtype and place of ``x``.

    ``torch.rand`` takes nearly half as long for a batch as the matrix product before it, since it spends 32 bits on
    each number. In single precision on a CPU the same multiples of 2^-24 are put together from 16 and 8 bits.
    """
    if x.dtype != torch.float32 or x.device.type != "cpu":
        return torch.rand(x.shape, generator=generator, device=x.device, dtype=x.dtype)
    n, high = x.numel(), -(-x.numel() // 4)
    words = torch.empty(high - (-n // 8), dtype=torch.int64).random_(-(2**63), None, generator=generator)
    draw = words[:high].view(torch.int16)[:n].to(torch.float32)
    draw.add_(words[high:].view(torch.int8)[:n], alpha=2**-8)
    return draw.add_(2**15 + 0.5).mul_(2**-16).reshape(x.shape)  # int16 begins at -2^15, int8 / 2^8 at -1/2


def _noise(x: Tensor) -> tuple[Tensor, Tensor]:
    s = torch.exp(F.logsigmoid(x) / 2)
    return s, x / s


class _MeanIntegral(torch.autograd.Function):
    """The integral of the noisy rectified mean, from a table by cubic Hermite interpolation."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        value, slope = (torch.from_numpy(a).to(x) for a in _table())
        inside = x.clamp(TABLE_LOW, TABLE_HIGH - 1e-6)
        place = (inside - TABLE_LOW) / TABLE_STEP
        i = place.long().clamp_max(len(value) - 2)
        t = place - i
        bend = value[i + 1] - value[i]
        s0, s1 = slope[i] * TABLE_STEP, slope[i + 1] * TABLE_STEP
        table = value[i] + t * (s0 + t * (3 * bend - 2 * s0 - s1 + t * (s0 + s1 - 2 * bend)))
        return torch.where(x > TABLE_HIGH, value[-1] + (x.square() - TABLE_HIGH**2) / 2, table)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return gradient * NoisyReLU().mean(x)


@cache
def _table() -> tuple[np.ndarray, np.ndarray]:
    """Give the integral and the mean at the knots, by Gauss-Legendre quadrature between them."""
    n = round((TABLE_HIGH - TABLE_LOW) / TABLE_STEP)
    knots = TABLE_LOW + TABLE_STEP * np.arange(n + 1)
    nodes, weights = np.polynomial.legendre.leggauss(8)
    places = knots[:-1, None] + TABLE_STEP * (nodes + 1) / 2  # (n, 8)
    mean = NoisyReLU().mean(torch.from_numpy(places)).numpy()
    steps = mean @ weights * TABLE_STEP / 2
    return np.concatenate([[0.0], np.cumsum(steps)]), NoisyReLU().mean(torch.from_numpy(knots)).numpy()
