"""The restricted Boltzmann machine with a label group (Larochelle et al., JMLR 2012, the review's Reference 119).

    h (B, M)  hidden units
    │ W (M, V)        │ U (M, K)
    v (B, V)          y (B, K), exactly one is 1

    E(v, y, h) = Q(v; b) - d.y - c.h - v W' h - y U' h

The posterior of the label is exact, p(y | v) = softmax_y[d_y + sum_j softplus(c_j + U_jy + W_j v)], and costs
O(M V + M K) since c + W v is shared. A visible state is *joint*, (B, V + K) with the one-hot label last, or *plain*,
(B, V), whose label is unknown and summed out.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from workbench.models.label_group import LabelGroup
from workbench.models.rbm import RBM
from workbench.models.units import Softmax, Units


class ClassRBM(LabelGroup, RBM):
    """An RBM over inputs and their class; generative, discriminative, or both (``tasks/boltzmann.py``).

    Args:
        n_visible: V, elements of the input.
        n_hidden: M.
        n_classes: K, at least 2.
        visible: ``bernoulli`` or ``gaussian``.
        hidden: as in :class:`RBM`; the exact posterior holds for each kind with a joint energy.
        sigma: of Gaussian visible units.
        centered: whether offsets are subtracted from the units, the labels' included.
        seed: of the weights.
        init_scale: standard deviation of the first weights, also of the labels'.
    """

    label_offset: Tensor

    def __init__(
        self,
        n_visible: int,
        n_hidden: int,
        n_classes: int,
        *,
        visible: str = "bernoulli",
        hidden: str = "bernoulli",
        sigma: float = 1.0,
        centered: bool = False,
        seed: int = 0,
        init_scale: float = 0.01,
    ) -> None:
        super().__init__(
            n_visible, n_hidden, visible=visible, hidden=hidden, sigma=sigma, centered=centered, seed=seed,
            init_scale=init_scale,
        )  # fmt: skip
        self.add_labels(n_hidden, n_classes, seed=seed, init_scale=init_scale)
        self.register_buffer("label_offset", torch.full((n_classes,), 1 / n_classes if centered else 0.0))

    @property
    def visible_shape(self) -> tuple[int, ...]:
        """Shape of one joint state, (V + K,)."""
        return (self.n_visible + self.n_classes,)

    def joint(self, v: Tensor, target: Tensor) -> Tensor:
        """Give joint states (B, V + K) of inputs (B, V) and classes (B,) int64."""
        return torch.cat([v, F.one_hot(target, self.n_classes).to(v.dtype)], 1)

    def class_logits(self, v: Tensor) -> Tensor:
        """Give log p(y | v) up to a constant per row, (B, K), exactly, of inputs (B, V); differentiable."""
        bias = self.label_bias - self.up_factor * (self.hidden_offset @ self.label_weight)
        inputs = self._class_inputs(v)  # (B, K, M)
        return bias + self.hidden_units.log_partition(inputs.flatten(0, 1)).sum(1).reshape(inputs.shape[:2])

    def label_mean(self, h: Tensor) -> Tensor:
        """Give p(y | h) (B, K) of hidden values (B, M)."""
        return torch.softmax(self._joint_input(h)[:, self.n_visible :], 1)

    def visible_input(self, h: Tensor) -> Tensor:
        """Give the net inputs of the units of v alone (B, V) for hidden values (B, M)."""
        return self._joint_input(h)[:, : self.n_visible]

    def hidden_mean(self, v: Tensor, *, hidden_input: Tensor | None = None) -> Tensor:
        """Give E[h | v, y] (B, M) of joint states, E[h | v] of plain ones, averaged over p(y | v)."""
        if v.shape[1] != self.n_visible:
            return super().hidden_mean(v, hidden_input=hidden_input)
        inputs = self._class_inputs(v)
        means = self.hidden_units.mean(inputs.flatten(0, 1)).reshape(inputs.shape)
        return (self.class_probabilities(v)[:, :, None] * means).sum(1)

    def sample_hidden(self, v: Tensor, generator: torch.Generator | None) -> Tensor:
        """Draw hidden values (B, M) given joint states, or given plain ones, whose class is drawn first."""
        return super().sample_hidden(self._as_joint(v, generator), generator)

    def free_energy(self, v: Tensor, *, hidden_input: Tensor | None = None) -> Tensor:
        """Give F(v, y) (B,) of joint states, or F(v) = -log sum_y exp(-F(v, y)) of plain ones."""
        if v.shape[1] != self.n_visible:
            return super().free_energy(v, hidden_input=hidden_input)
        target = torch.zeros(len(v), dtype=torch.long, device=v.device)
        return super().free_energy(self.joint(v, target)) + torch.log_softmax(self.class_logits(v), 1)[:, 0]

    @torch.no_grad()
    def gibbs(
        self,
        v: Tensor,
        n_steps: int,
        generator: torch.Generator | None,
        *,
        sample_visible: bool = True,
        hidden_input: Tensor | None = None,
    ) -> Tensor:
        """Give states after sweeps, joint from joint and plain from plain; the class is drawn, never the likeliest.

        ``sample_visible`` False gives the means of the last inputs and of the last labels.
        """
        joint = self._as_joint(v, generator)
        last = super().gibbs(joint, n_steps, generator, sample_visible=sample_visible, hidden_input=hidden_input)
        return last[:, : v.shape[1]]

    @torch.no_grad()
    def gradient(
        self, v_data: Tensor, v_model: Tensor, *, hidden_input: Tensor | None = None, model_input: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Give the gradient of mean F(v, y) between joint states (B, V + K) of the data and of the chains."""
        both = super().gradient(v_data, v_model, hidden_input=hidden_input, model_input=model_input)
        weight, bias = both["weight"], both["visible_bias"]
        return {
            "weight": weight[:, : self.n_visible], "visible_bias": bias[: self.n_visible],
            "hidden_bias": both["hidden_bias"],
            "label_weight": weight[:, self.n_visible :], "label_bias": bias[self.n_visible :],
        }  # fmt: skip

    def _class_inputs(self, v: Tensor) -> Tensor:
        """Give the net inputs of the hidden units (B, K, M) of inputs (B, V) with each class."""
        without = self.joint(v, torch.zeros(len(v), dtype=torch.long, device=v.device))
        first = self.hidden_input(without)
        difference = self.up_factor * (self.label_weight - self.label_weight[:, :1])
        return first[:, None] + difference.T

    def _as_joint(self, v: Tensor, generator: torch.Generator | None) -> Tensor:
        return v if v.shape[1] != self.n_visible else self.complete(v, None, generator)

    def _visible(self) -> Units:
        return _WithLabel(self.visible_units, self.n_visible, self.label_bias)

    def _weight(self) -> Tensor:
        return torch.cat([self.weight, self.label_weight], 1)

    def _visible_bias(self) -> Tensor:
        return torch.cat([self.visible_bias, self.label_bias])

    def _offset(self) -> Tensor:
        return torch.cat([self.visible_offset, self.label_offset])

    def _shift_offsets(self, d_visible: Tensor, d_hidden: Tensor) -> None:
        d_label = d_visible[self.n_visible :]
        super()._shift_offsets(d_visible[: self.n_visible], d_hidden)
        self.hidden_bias.add_(self.label_weight @ d_label, alpha=self.up_factor)
        self.label_bias.add_(d_hidden @ self.label_weight, alpha=self.down_factor)
        self.label_offset += d_label


class _WithLabel(Units):
    """Units of one kind, the first n, and a softmax group after them."""

    name = "with_label"

    def __init__(self, first: Units, n: int, like_labels: Tensor) -> None:
        self.first, self.label, self.n = first, Softmax(), n
        if isinstance(first.precision, Tensor):
            self.precision = torch.cat([first.precision, torch.ones_like(like_labels)])

    def mean(self, x: Tensor) -> Tensor:
        """Give the means of both groups, side by side."""
        return torch.cat([self.first.mean(x[:, : self.n]), self.label.mean(x[:, self.n :])], 1)

    def sample(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        """Draw both groups."""
        first = self.first.sample(x[:, : self.n], generator)
        return torch.cat([first, self.label.sample(x[:, self.n :], generator)], 1)

    def log_partition(self, x: Tensor) -> Tensor:
        """Give those of the first units and, as one more column, of the group."""
        return torch.cat([self.first.log_partition(x[:, : self.n]), self.label.log_partition(x[:, self.n :])], 1)

    def entropy(self, x: Tensor) -> Tensor:
        """Give those of the first units and, as one more column, of the group."""
        return torch.cat([self.first.entropy(x[:, : self.n]), self.label.entropy(x[:, self.n :])], 1)

    def base_energy(self, u: Tensor) -> Tensor:
        """Give that of the first units, and 0 for the group."""
        return torch.cat([self.first.base_energy(u[:, : self.n]), torch.zeros_like(u[:, self.n :])], 1)
