"""The restricted Boltzmann machine (Section 2.3.2; Smolensky 1986, Hinton, Neural Comput. 2002).

    h (B, M)  hidden units, no edge among them        p(h_j | v) = hidden units on x_j = c_j + W_j (v - mu) / s²
    │ W (M, V), every pair
    v (B, V)  visible units, no edge among them       p(v_i | h) = visible units on x_i = b_i + W_i' (h - la)

    E(v, h) = Q(v; b) - c.h - ((v - mu) / s²) W' (h - la),   Q(v; b) = -b.v, or sum (v - b)² / (2 s²) for Gaussian v

``weight`` is the transpose of the review's W. The offsets mu, la are 0 unless the model is centered (Melchior, Fischer
and Wiskott, JMLR 2016); they change how it learns, not what it can represent.
"""

from __future__ import annotations

import copy
from typing import Self

import torch
from torch import Tensor, nn

from workbench.models.rbm_path import RBMPath
from workbench.models.units import Gaussian, Units, units

SIGMA_FLOOR = 0.05


class RBM(nn.Module):
    """One layer of hidden units above one of visible units, with an energy for every joint state.

    Weights are drawn from N(0, init_scale²), biases begin at 0; :meth:`set_base_rates` gives the visible ones the
    data's mean (Hinton, A Practical Guide to Training RBMs, 2012).

    Args:
        n_visible: V.
        n_hidden: M.
        visible: ``bernoulli`` for inputs in [0, 1], ``gaussian`` for real ones, ``softmax`` for one group.
        hidden: ``bernoulli``, ``gaussian``, ``noisy_relu`` or ``softmax``.
        sigma: standard deviation of Gaussian visible units, in the units of the data; fixed while learning.
        centered: whether offsets are subtracted from the units.
        seed: of the weights.
        init_scale: standard deviation of the first weights.

    Attributes:
        up_factor: what multiplies W v in the hidden input, and
        down_factor: W' h in the visible input; 1, or 2 in the pretraining of deep Boltzmann machines
            (Salakhutdinov and Hinton, AISTATS 2009).
    """

    reuses_hidden_input = True
    sigma: Tensor
    visible_offset: Tensor
    hidden_offset: Tensor

    def __init__(
        self,
        n_visible: int,
        n_hidden: int,
        *,
        visible: str = "bernoulli",
        hidden: str = "bernoulli",
        sigma: float = 1.0,
        centered: bool = False,
        seed: int = 0,
        init_scale: float = 0.01,
    ) -> None:
        super().__init__()
        if min(n_visible, n_hidden) < 1:
            raise ValueError(f"an RBM needs visible and hidden units; got {n_visible} and {n_hidden}")
        if visible not in ("bernoulli", "gaussian", "softmax"):
            raise LookupError(f"visible units are bernoulli, gaussian or softmax; got {visible!r}")
        if sigma < SIGMA_FLOOR:
            raise ValueError(f"sigma is at least {SIGMA_FLOOR}; got {sigma}")
        self.n_visible, self.n_hidden, self.centered = n_visible, n_hidden, centered
        self.visible, self.hidden = visible, hidden
        self.hidden_units, self._plain_units = units(hidden), units(visible)
        self.up_factor = self.down_factor = 1.0
        generator = torch.Generator().manual_seed(seed)
        self.weight = nn.Parameter(torch.randn((n_hidden, n_visible), generator=generator) * init_scale)
        self.visible_bias = nn.Parameter(torch.zeros(n_visible))
        self.hidden_bias = nn.Parameter(torch.zeros(n_hidden))
        self.register_buffer("sigma", torch.full((n_visible,), float(sigma)))
        self.register_buffer("visible_offset", torch.zeros(n_visible))
        self.register_buffer("hidden_offset", torch.zeros(n_hidden))
        if centered:
            self.hidden_offset.copy_(self.hidden_units.mean(torch.zeros(1, n_hidden))[0])

    @property
    def visible_shape(self) -> tuple[int, ...]:
        """Shape of one visible state: what a Markov chain holds."""
        return (self.n_visible,)

    @property
    def visible_units(self) -> Units:
        """The kind of the visible units, with the present sigma."""
        return Gaussian(self.sigma) if self.visible == "gaussian" else self._plain_units

    @torch.no_grad()
    def set_base_rates(self, mean: Tensor, std: Tensor | None = None) -> None:
        """Set the visible biases so that the model without weights has the data's mean; offsets likewise.

        Args:
            mean: (V,) of the training data.
            std: (V,) of the training data; becomes sigma of Gaussian units, not below ``SIGMA_FLOOR``.
        """
        mean = mean.to(self.visible_bias)
        self.visible_bias.copy_(self.visible_units.input_of(mean))
        self.visible_offset.copy_(mean if self.centered else torch.zeros_like(mean))
        if std is not None and self.visible == "gaussian":
            self.sigma.copy_(std.clamp_min(SIGMA_FLOOR))

    def hidden_input(self, v: Tensor) -> Tensor:
        """Give the net inputs of the hidden units (B, M) for visible values (B, V)."""
        weight, bias = self._weight(), self.hidden_bias.view(-1)
        if self.centered:
            bias = bias - self.up_factor * (weight @ self._scaled(self._offset()))
        return torch.addmm(bias, self._scaled(v), weight.T, alpha=self.up_factor)

    def visible_input(self, h: Tensor) -> Tensor:
        """Give the net inputs of the visible units (B, V) for hidden values (B, M)."""
        return self._joint_input(h)

    def hidden_mean(self, v: Tensor, *, hidden_input: Tensor | None = None) -> Tensor:
        """Give E[h | v] (B, M) of visible values (B, V); their net input saves a product when it is known."""
        return self.hidden_units.mean(self.hidden_input(v) if hidden_input is None else hidden_input)

    def visible_mean(self, h: Tensor) -> Tensor:
        """Give E[v | h] (B, V) of hidden values (B, M)."""
        return self.visible_units.mean(self.visible_input(h))

    def sample_hidden(self, v: Tensor, generator: torch.Generator | None) -> Tensor:
        """Draw hidden values (B, M) given visible ones (B, V)."""
        return self.hidden_units.sample(self.hidden_input(v), generator)

    def sample_visible(self, h: Tensor, generator: torch.Generator | None) -> Tensor:
        """Draw visible values (B, V) given hidden ones (B, M)."""
        return self.visible_units.sample(self.visible_input(h), generator)

    def encode(self, v: Tensor) -> Tensor:
        """Give E[h | v] (B, M)."""
        return self.hidden_mean(v)

    def decode(self, h: Tensor) -> Tensor:
        """Give E[v | h] (B, V)."""
        return self.visible_mean(h)

    def energy(self, v: Tensor, h: Tensor) -> Tensor:
        """Give E(v, h) (B,) of joint states (B, V), (B, M); noisy rectified units have none."""
        self._check_one_energy()
        hidden = (self.hidden_units.base_energy(h) - h * self.hidden_bias).sum(1)
        coupling = ((self._scaled(v - self._offset()) @ self._weight().T) * (h - self.hidden_offset)).sum(1)
        return self._visible_energy(v) + hidden - self.up_factor * coupling

    def free_energy(self, v: Tensor, *, hidden_input: Tensor | None = None) -> Tensor:
        """Give F(v) = -log sum_h exp(-E(v, h)) (B,) of visible values (B, V), E with ``up_factor``; differentiable."""
        x = self.hidden_input(v) if hidden_input is None else hidden_input
        free = self._visible_energy(v) - self.hidden_units.log_partition(x).sum(1)
        if self.centered:
            free = free + self.up_factor * (self._scaled(v - self._offset()) @ (self.hidden_offset @ self._weight()))
        return free

    def log_marginal_hidden(self, h: Tensor) -> Tensor:
        """Give log p*(h) = log sum_v exp(-E(v, h)) (B,) of hidden values (B, M), the visible units summed out."""
        self._check_one_energy()
        kind, bias = self._visible(), self._visible_bias()
        free = kind.log_partition(self._joint_input(h)).sum(1) - kind.base_energy(bias[None]).sum()
        hidden = (self.hidden_units.base_energy(h) - h * self.hidden_bias).sum(1)
        offset = self.down_factor * (self._weight() @ self._scaled(self._offset()))
        return free - hidden - (h - self.hidden_offset) @ offset

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
        """Give visible values (B, V) after sweeps v -> h -> v that begin at ``v``; hidden units are always drawn.

        Args:
            v: (B, V).
            n_steps: sweeps, at least 1.
            generator: of the draws; None takes torch's global one.
            sample_visible: whether the *last* visible values are drawn; otherwise they are their means, which has
                less noise but is no state of the chain. Those in between are always drawn.
            hidden_input: net input (B, M) of ``v`` when it is already known; saves a matrix product.
        """
        for step in range(n_steps):
            x = self.hidden_input(v) if step or hidden_input is None else hidden_input
            x = self._joint_input(self.hidden_units.sample(x, generator))
            drawn = sample_visible or step < n_steps - 1
            v = self._visible().sample(x, generator) if drawn else self._visible().mean(x)
        return v

    @torch.no_grad()
    def gradient(
        self, v_data: Tensor, v_model: Tensor, *, hidden_input: Tensor | None = None, model_input: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Give the gradient of mean F(v_data) - mean F(v_model) (Section 2.3.2, Eq. 8) in closed form.

        Both sides use E[h | v]. ``up_factor`` is left out of the weights' part: it is a matter of the learning rate.

        Args:
            v_data: (B, V) observed.
            v_model: (B', V) from the chains, taken as constants.
            hidden_input: net input (B, M) of ``v_data`` when it is known; saves a matrix product. Likewise
            model_input: (B', M) of ``v_model``.

        Returns:
            By parameter name, in the parameter's shape; learning descends it.
        """
        h_data = self.hidden_mean(v_data, hidden_input=hidden_input)
        h_model = self.hidden_mean(v_model, hidden_input=model_input)
        hidden_bias = h_model.mean(0) - h_data.mean(0)
        if self.centered:
            h_data, h_model = (h - self.hidden_offset for h in (h_data, h_model))
            v_data, v_model = (v - self._offset() for v in (v_data, v_model))
        v_data, v_model = self._scaled(v_data), self._scaled(v_model)
        weight = (h_model / len(h_model)).T @ v_model
        weight.addmm_((h_data / len(h_data)).T, v_data, alpha=-1)  # a factor on the result would cost a pass over it
        return {"weight": weight, "visible_bias": v_model.mean(0) - v_data.mean(0), "hidden_bias": hidden_bias}

    @torch.no_grad()
    def move_offsets(self, visible_mean: Tensor, hidden_mean: Tensor, rate: float) -> None:
        """Move the offsets a share ``rate`` of the way to these means (V,), (M,); the distribution stays."""
        if not self.centered:
            raise ValueError("this model is not centered, so it has no offsets to move")
        self._shift_offsets(rate * (visible_mean - self._offset()), rate * (hidden_mean - self.hidden_offset))

    @torch.no_grad()
    def uncentered(self) -> Self:
        """Give a copy with the same distribution and offsets of 0; its free energies differ by one constant."""
        other = copy.deepcopy(self)
        if self.centered:
            other._shift_offsets(-self._offset(), -self.hidden_offset)
        other.centered = False
        return other

    def annealed(self, base_rates: Tensor | None) -> RBMPath:
        """Give the path from independent visible units to this model, in float64, for estimating log Z.

        Args:
            base_rates: (V,) mean of the training data, where the path begins. None begins at fair coins, or at the
                biases of Gaussian units; far from the data, forward estimates of log Z come out too low.
        """
        self._check_one_energy()
        if self.hidden == "noisy_relu":
            raise ValueError("noisy ReLU units have no Gibbs step that leaves a distribution as it is: no annealing")
        model = copy.deepcopy(self).double().requires_grad_(False)
        plain = model.uncentered()
        bias = plain._visible_bias()
        base = bias.clone() if self.visible == "gaussian" else torch.zeros_like(bias)
        if base_rates is not None:
            base[: self.n_visible] = self.visible_units.input_of(base_rates.to(bias))
        v = torch.zeros_like(bias[None])
        constant = float(plain.free_energy(v) - model.free_energy(v))
        weight, kinds = self.up_factor * plain._weight(), (plain._visible(), plain.hidden_units)
        return RBMPath(weight, bias, plain.hidden_bias, base, *kinds, constant)

    def _visible(self) -> Units:  # this and the next three are replaced where there are more visible groups
        return self.visible_units

    def _weight(self) -> Tensor:
        return self.weight

    def _visible_bias(self) -> Tensor:
        return self.visible_bias

    def _offset(self) -> Tensor:
        return self.visible_offset

    def _shift_offsets(self, d_visible: Tensor, d_hidden: Tensor) -> None:
        self.hidden_bias.add_(self.weight @ self._scaled(d_visible), alpha=self.up_factor)
        self.visible_bias.add_(d_hidden @ self.weight, alpha=self.down_factor)
        self.visible_offset += d_visible
        self.hidden_offset += d_hidden

    def _joint_input(self, h: Tensor) -> Tensor:
        weight, bias = self._weight(), self._visible_bias()
        if self.centered:
            bias = bias - self.down_factor * (self.hidden_offset @ weight)
        return torch.addmm(bias, h, weight, alpha=self.down_factor)

    def _scaled(self, v: Tensor) -> Tensor:
        precision = self._visible().precision
        return v * precision[: v.shape[-1]] if isinstance(precision, Tensor) else v

    def _visible_energy(self, v: Tensor) -> Tensor:
        """Give Q(v; b) (B,), the energy of visible values (B, V) alone."""
        kind, bias = self._visible(), self._visible_bias()
        return (kind.base_energy(v) + kind.base_energy(bias[None])).sum(1) - self._scaled(v) @ bias

    def _check_one_energy(self) -> None:
        if self.up_factor != self.down_factor:
            factors = f"{self.up_factor} upward and {self.down_factor} downward"
            raise ValueError(f"with inputs multiplied by {factors} there is no joint energy; set both to 1")
