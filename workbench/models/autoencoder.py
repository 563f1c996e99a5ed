"""One auto-encoder (Section 2.3.1; Bourlard and Kamp, Biol. Cybern. 1988, is the review's Reference 69).

    v (B, V) ──f(W v + b)──► h (B, M) ──g(W' h + c)──► z (B, V)

Sparse, denoising and contractive auto-encoders are this network under other losses (``tasks/autoencoding.py``).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from workbench.models.layers import LEAK, ActivationName, activation

VisibleName = Literal["linear", "sigmoid"]


class AutoEncoder(nn.Module):
    """Encode vectors by one layer and decode them by another.

    Weights are drawn from U(-r, r) with r = sqrt(6 / (V + M)), after Glorot and Bengio (2010); biases begin at 0.

    Args:
        n_visible: V, elements of the input.
        n_hidden: M, hidden units.
        hidden: activation f.
        visible: activation g; ``linear`` for real inputs (squared error), ``sigmoid`` for inputs in [0, 1]
            (cross-entropy).
        tied: whether W' is W transposed, which halves the parameters and prevents a tiny encoder with a huge decoder.
        generator: draws the weights; the same state gives the same weights.
    """

    free_decoder_weight: nn.Parameter | None

    def __init__(
        self,
        n_visible: int,
        n_hidden: int,
        *,
        hidden: ActivationName = "sigmoid",
        visible: VisibleName = "linear",
        tied: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if n_visible < 1 or n_hidden < 1:
            raise ValueError(f"an auto-encoder needs visible and hidden units; got {n_visible} and {n_hidden}")
        if visible not in ("linear", "sigmoid"):
            raise LookupError(f"visible units are linear or sigmoid; got {visible!r}")
        activation(hidden)
        self.n_visible, self.n_hidden = n_visible, n_hidden
        self.hidden, self.visible, self.tied = hidden, visible, tied
        generator = generator if generator is not None else torch.Generator().manual_seed(0)
        radius = (6 / (n_visible + n_hidden)) ** 0.5
        self.weight = nn.Parameter(_uniform((n_hidden, n_visible), radius, generator))
        self.hidden_bias = nn.Parameter(torch.zeros(n_hidden))
        self.visible_bias = nn.Parameter(torch.zeros(n_visible))
        decoder = None if tied else nn.Parameter(_uniform((n_visible, n_hidden), radius, generator))
        self.register_parameter("free_decoder_weight", decoder)

    @property
    def decoder_weight(self) -> Tensor:
        """W' (V, M): the transpose of ``weight`` when tied."""
        return self.weight.T if self.free_decoder_weight is None else self.free_decoder_weight

    @property
    def weights(self) -> list[nn.Parameter]:
        """The weight matrices that decay acts on: one when tied, else two. Biases do not decay."""
        return [p for name, p in self.named_parameters() if name.endswith("weight")]

    def encode(self, v: Tensor) -> Tensor:
        """Give hidden activations (B, M) of visible values (B, V)."""
        return activation(self.hidden)(F.linear(v, self.weight, self.hidden_bias))

    def decode(self, h: Tensor) -> Tensor:
        """Give the reconstruction (B, V) of hidden activations (B, M)."""
        return activation(self.visible)(F.linear(h, self.decoder_weight, self.visible_bias))

    def forward(self, v: Tensor) -> Tensor:
        """Give the reconstruction (B, V) of visible values (B, V)."""
        return self.decode(self.encode(v))

    def contraction(self, h: Tensor) -> Tensor:
        """Give the squared Frobenius norm of dh/dv, averaged over the batch (Rifai et al., ICML 2011), a scalar.

        For sigmoid units it is sum_j (h_j (1 - h_j))^2 ||W_j||^2; the other activations have their own slope.
        """
        slopes = {"sigmoid": h * (1 - h), "tanh": 1 - h.square(), "relu": (h > 0).to(h.dtype)}
        slopes["leaky_relu"] = torch.ones_like(h).where(h > 0, LEAK)
        slope = slopes.get(self.hidden, torch.ones_like(h))
        return (slope.square() @ self.weight.square().sum(1)).mean()


def _uniform(shape: tuple[int, int], radius: float, generator: torch.Generator) -> Tensor:
    return (2 * torch.rand(shape, generator=generator) - 1) * radius
