"""A label group of an RBM: its parameters, its posterior given the input, and what is learnt from that posterior.

What the machines of Larochelle et al. (JMLR 2012) and of van Tulder and de Bruijne (IEEE TMI 2016) have in common;
inputs are vectors (B, V) in the one, images (B, C, *spatial) in the other.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

UNLABELED = -1
"""The target of an example whose class is not known."""


class LabelGroup(nn.Module):
    """A softmax group over K classes beside the visible units; a base that stands before the RBM.

    Attributes:
        n_classes: K.
        label_weight: (M, K), of each hidden unit or map.
        label_bias: (K,).
    """

    n_classes: int
    label_weight: nn.Parameter
    label_bias: nn.Parameter

    def add_labels(self, n_hidden: int, n_classes: int, *, seed: int, init_scale: float) -> None:
        """Make the group's parameters, once those of the RBM are made."""
        if n_classes < 2:
            raise ValueError(f"a label group has at least 2 classes; got {n_classes}")
        self.n_classes = n_classes
        generator = torch.Generator().manual_seed(seed + 1)
        self.label_weight = nn.Parameter(torch.randn((n_hidden, n_classes), generator=generator) * init_scale)
        self.label_bias = nn.Parameter(torch.zeros(n_classes))

    def joint(self, v: Tensor, target: Tensor) -> Tensor:
        """Give joint states of inputs and classes (B,) int64."""
        raise NotImplementedError  # abstract

    def class_logits(self, v: Tensor) -> Tensor:
        """Give log p(y | v) up to a constant per row, (B, K), exactly; differentiable."""
        raise NotImplementedError  # abstract

    def label_mean(self, h: Tensor) -> Tensor:
        """Give p(y | h) (B, K) of hidden values."""
        raise NotImplementedError  # abstract

    def class_probabilities(self, v: Tensor) -> Tensor:
        """Give p(y | v) (B, K)."""
        return torch.softmax(self.class_logits(v), 1)

    def sample_label(self, h: Tensor, generator: torch.Generator | None) -> Tensor:
        """Draw classes (B,) int64 given hidden values."""
        return torch.multinomial(self.label_mean(h), 1, generator=generator)[:, 0]

    def complete(self, v: Tensor, target: Tensor | None, generator: torch.Generator | None) -> Tensor:
        """Give joint states: unknown classes (no target, or ``UNLABELED``) are drawn from p(y | v)."""
        if target is not None and bool((target != UNLABELED).all()):
            return self.joint(v, target)
        drawn = torch.multinomial(self.class_probabilities(v).detach(), 1, generator=generator)[:, 0]
        return self.joint(v, drawn if target is None else torch.where(target == UNLABELED, drawn, target))

    def discriminative_loss(self, v: Tensor, target: Tensor) -> Tensor:
        """Give the mean of -log p(y | v) in nats, a scalar, of inputs and classes (B,) int64."""
        return F.cross_entropy(self.class_logits(v), target)

    def discriminative_gradient(self, v: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Give the exact gradient of :meth:`discriminative_loss` by parameter name; visible biases have none."""
        names = ["weight", "hidden_bias", "label_weight", "label_bias"]
        with torch.enable_grad():
            loss = self.discriminative_loss(v, target)
            gradients = torch.autograd.grad(loss, [self.get_parameter(name) for name in names])
        return dict(zip(names, gradients, strict=True))
