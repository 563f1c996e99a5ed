"""The annealing path from a model without weights to a restricted Boltzmann machine (Section 2.3.2).

Annealed importance sampling walks it to estimate log Z (Salakhutdinov and Murray, ICML 2008):

    p*_beta(v) = exp(-(1 - beta) Q(v; b_A) - beta Q(v; b)) prod_j Z_j(beta x_j(v)),    Q(v; b) = base(v) + base(b) - b.v

with Q the energy of the visible units alone, b_A their base rates and Z_j the partition of a hidden unit, 1 + exp(x)
for binary ones. At beta = 0 the visible units are independent, at beta = 1 it is the model.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from workbench.models.units import Units


@dataclass(frozen=True, eq=False)
class RBMPath:
    """What annealed importance sampling asks of a model; states are visible values (n, V) in float64.

    Attributes:
        weight: (M, V) of the model without offsets.
        visible_bias: (V,).
        hidden_bias: (M,).
        base_bias: (V,) visible biases of the model without weights, from the data's mean.
        visible: kind of the visible units.
        hidden: kind of the hidden units.
        constant: what the model's negative free energy has beyond that of weight and biases alone.
    """

    weight: Tensor
    visible_bias: Tensor
    hidden_bias: Tensor
    base_bias: Tensor
    visible: Units
    hidden: Units
    constant: float = 0.0

    @property
    def n_units(self) -> int:
        """V, units of a state."""
        return self.weight.shape[1]

    def base_log_z(self) -> Tensor:
        """Give the exact log Z at beta = 0, a float64 scalar."""
        bias = self.base_bias[None]
        visible = self.visible.log_partition(bias).sum() - self.visible.base_energy(bias).sum()
        return visible + self.hidden.log_partition(torch.zeros_like(self.hidden_bias)[None]).sum()

    def base_sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw n independent visible states (n, V) at beta = 0."""
        return self.visible.sample(self.base_bias.expand(n, -1), generator)

    def log_weight(self, x: Tensor, beta: float) -> Tensor:
        """Give log p*_beta (n,) of visible states (n, V)."""
        free = self.hidden.log_partition(beta * self._hidden_input(x)).sum(1)
        base, model = self._visible_energy(x, self.base_bias), self._visible_energy(x, self.visible_bias)
        return free - (1 - beta) * base - beta * (model - self.constant)

    def step(self, x: Tensor, beta: float, generator: torch.Generator) -> Tensor:
        """Give visible states (n, V) after one Gibbs sweep that leaves p_beta as it is."""
        h = self.hidden.sample(beta * self._hidden_input(x), generator)
        visible_input = torch.addmm(self.visible_bias, h, self.weight)
        return self.visible.sample(torch.lerp(self.base_bias.expand_as(x), visible_input, beta), generator)

    def _hidden_input(self, x: Tensor) -> Tensor:
        return F.linear(x * self.visible.precision, self.weight, self.hidden_bias)

    def _visible_energy(self, x: Tensor, bias: Tensor) -> Tensor:
        base = self.visible.base_energy(x) + self.visible.base_energy(bias[None])
        return (base - x * (bias * self.visible.precision)).sum(1)
