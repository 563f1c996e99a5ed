"""Weights as sparse as one wants: an L1 penalty that is steered while a network trains (Section 3.5, Reference 121).

The penalty sum_l sum_j beta_lj |W_lj|_1 keeps its strengths beta as buffers. After every step the sparsity of each
layer, or of the weights into each unit, is measured, and its strength moves by a fixed step towards the target:

    nonzero   share of weights that are not 0        beta += mu sign(share - target)
    hoyer     (sqrt(n) - |w|_1 / |w|_2) / (sqrt(n) - 1), 0 all alike to 1 a single one (Hoyer, JMLR 2004)
                                                     beta += mu sign(target - hoyer)

each clipped to 0..beta_max. Kim, Calhoun, Shim and Lee, NeuroImage 124:127-146, 2016; the strengths are part of the
task, so a checkpoint holds them and a resumed training goes on alike. Logged at the end of every epoch for each
layer: ``nonzero <layer>`` or ``hoyer <layer>``, and ``beta <layer>``, means over its units.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Self, get_args

import lightning
import torch
from torch import Tensor, nn

from workbench.tasks.autoencoding import LayerPretraining
from workbench.tasks.supervised import Supervised

Measure = Literal["nonzero", "hoyer"]
Scope = Literal["layer", "node"]
Method = Literal["proximal", "subgradient"]

EPSILON = 1e-3
"""Below it a weight counts as 0 under the subgradient, which never makes exact zeros."""


class SparsityController(nn.Module):
    """Steer the sparsity of weights (n_units, n_inputs).

    ``subgradient`` adds the penalty to the loss: weights then tremble about 0. ``proximal`` shrinks after the step,
    w ← sign(w) max(|w| - rate beta, 0), which gives exact zeros. Under Adam this is a penalty beside the adaptive step
    (as in AdamW), so a strength of 1 shrinks a weight by as much as Adam's largest step moves it.

    A bang-bang controller swings about its target; the swings are small where mu is (for the subgradient:
    rate mu far below ``EPSILON``).

    Args:
        network: holds the weights; not changed here, and not part of the controller.
        layers: what each layer is called, with the name of its weight among ``network.named_parameters()``.
        targets: one for each layer, or one for all.
        measure: see the module.
        scope: one strength a layer, or one for the weights into each unit; the target is then that of every unit.
        method: see above.
        step: mu.
        beta_max: one for each layer, or one for all.
        scale: multiplies the subgradient's penalty; for a loss that is a sum, where strengths are those of a mean.
    """

    def __init__(
        self,
        network: nn.Module,
        layers: Mapping[str, str],
        targets: Sequence[float],
        *,
        measure: Measure = "nonzero",
        scope: Scope = "layer",
        method: Method = "proximal",
        step: float = 5e-5,
        beta_max: Sequence[float] = (1.0,),
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        for value, known in ((measure, Measure), (scope, Scope), (method, Method)):
            if value not in get_args(known):
                raise LookupError(f"no sparsity control is {value!r}; known are {', '.join(get_args(known))}")
        weights = dict(network.named_parameters())
        if unknown := [path for path in layers.values() if path not in weights or weights[path].ndim != 2]:
            raise LookupError(f"no weight matrix is called {', '.join(unknown)}; parameters are {', '.join(weights)}")
        self.names, self.paths = tuple(layers), tuple(layers.values())
        self.targets, self.beta_max = _each("target", targets, len(layers)), _each("beta_max", beta_max, len(layers))
        if any(not 0 <= t <= 1 for t in self.targets) or any(b < 0 for b in self.beta_max) or step <= 0 or scale <= 0:
            raise ValueError(
                f"targets lie in 0 to 1, beta_max at 0 or above, step and scale above 0; got {self.targets}, "
                f"{self.beta_max}, {step}, {scale}"
            )
        self.measure, self.scope, self.method, self.step, self.scale = measure, scope, method, step, scale
        self._weights = [weights[path] for path in self.paths]
        for index, weight in enumerate(self._weights):
            n = len(weight) if scope == "node" else 1
            self.register_buffer(f"beta_{index}", torch.zeros(n, 1, dtype=weight.dtype))

    @property
    def settings(self) -> dict[str, Any]:
        """Give plain values for a checkpoint's hyper-parameters."""
        return {
            "control_layers": list(self.paths), "control_targets": list(self.targets), "control_measure": self.measure,
            "control_scope": self.scope, "control_method": self.method, "control_step": self.step,
            "control_beta_max": list(self.beta_max), "control_scale": self.scale,
        }  # fmt: skip

    @property
    def betas(self) -> list[Tensor]:
        """The strengths, (n_units, 1) or (1, 1) a layer."""
        return [self.get_buffer(f"beta_{index}") for index in range(len(self.names))]

    def penalty(self) -> Tensor:
        """Give what the subgradient adds to the loss; 0 for the proximal step."""
        if self.method == "proximal":
            return self._weights[0].new_zeros(())
        parts = [(b * w.abs()).sum() for b, w in zip(self.betas, self._weights, strict=True)]
        return self.scale * torch.stack(parts).sum()

    @torch.no_grad()
    def follow(self, optimizer: torch.optim.Optimizer) -> None:
        """Shrink the weights where the method is proximal, then move the strengths; call after each step."""
        if self.method == "proximal":
            for beta, weight in zip(self.betas, self._weights, strict=True):
                weight.copy_(soft_threshold(weight, _rate(optimizer, weight) * beta))
        for beta, value, target, most in zip(self.betas, self.measured(), self.targets, self.beta_max, strict=True):
            too_dense = value - target if self.measure == "nonzero" else target - value
            beta.add_(self.step * torch.sign(too_dense)).clamp_(0, most)

    @torch.no_grad()
    def measured(self) -> list[Tensor]:
        """Give the present sparsity, (n_units, 1) or (1, 1) a layer."""
        rows = [w if self.scope == "node" else w.reshape(1, -1) for w in self._weights]
        if self.measure == "hoyer":
            return [hoyer(row) for row in rows]
        return [nonzero(row, 0.0 if self.method == "proximal" else EPSILON) for row in rows]

    def log(self) -> dict[str, Tensor]:
        """Give what is logged: means over each layer's units."""
        named = zip(self.names, self.measured(), self.betas, strict=True)
        return {key: v for n, m, b in named for key, v in ((f"{self.measure} {n}", m.mean()), (f"beta {n}", b.mean()))}


class _Controlled(lightning.LightningModule):
    """What a task gains by a controller."""

    @property
    def control(self) -> SparsityController | None:
        """The controller, if there is one."""
        found = self._modules.get("controller")
        return found if isinstance(found, SparsityController) else None

    def controlled_by(self, control: SparsityController) -> Self:
        """Let a controller steer the weights; before training, and before a checkpoint is loaded."""
        self.controller = control
        self.save_hyperparameters(control.settings)
        return self

    def training_step(self, batch: dict[str, Tensor], batch_index: int) -> Tensor:
        """Give the loss of one batch with the penalty."""
        loss = super().training_step(batch, batch_index)
        assert isinstance(loss, Tensor)
        return loss if self.control is None else loss + self.control.penalty()

    def optimizer_step(
        self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Callable[[], Any] | None = None
    ) -> None:
        """Take the step, then let the controller follow."""
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        if self.control is not None:
            self.control.follow(optimizer)

    def on_train_epoch_end(self) -> None:
        """Log what the controller measures and does."""
        super().on_train_epoch_end()
        if self.control is not None:
            self.log_dict(self.control.log())


class ControlledPretraining(_Controlled, LayerPretraining):
    """Pretraining of one auto-encoder whose encoder weights are steered; call :meth:`controlled_by`."""


class ControlledSupervised(_Controlled, Supervised):
    """Training on targets with steered weights; call :meth:`controlled_by`.

    Attributes:
        anneal: epochs after which the learning rate begins to fall, and in which it has fallen to a tenth; None keeps
            it. The rate falls evenly from epoch to epoch.
    """

    anneal: tuple[int, int] | None = None

    def on_train_epoch_start(self) -> None:
        """Set the rate of this epoch, a function of the epoch alone."""
        if self.anneal is None:
            return
        begin, end = self.anneal
        share = min(1.0, max(0.0, (self.current_epoch - begin) / max(1, end - begin)))
        optimizer = self.optimizers()
        assert not isinstance(optimizer, list)
        for group in optimizer.param_groups:
            group.setdefault("full_lr", group["lr"])
            group["lr"] = group["full_lr"] * (1 - 0.9 * share)


def soft_threshold(w: Tensor, amount: Tensor | float) -> Tensor:
    """Give argmin_u (u - w)² / 2 + amount |u|: the proximal operator of the L1 norm."""
    return torch.sign(w) * (w.abs() - amount).clamp_min(0)


def nonzero(rows: Tensor, epsilon: float = 0.0) -> Tensor:
    """Give the share of elements of each row (N, n) above ``epsilon`` in size, (N, 1)."""
    return (rows.abs() > epsilon).to(rows.dtype).mean(1, keepdim=True)


def hoyer(rows: Tensor) -> Tensor:
    """Give Hoyer's sparseness of each row (N, n), (N, 1); 1 for a row of zeros, which is as sparse as can be."""
    n = rows.shape[1]
    if n < 2:
        raise ValueError("the sparseness of a single weight has no meaning")
    l1, l2 = rows.abs().sum(1, keepdim=True), rows.norm(dim=1, keepdim=True)
    ratio = torch.where(l2 > 0, l1 / l2.clamp_min(torch.finfo(rows.dtype).tiny), torch.ones_like(l1))
    return (math.sqrt(n) - ratio) / (math.sqrt(n) - 1)


def _rate(optimizer: torch.optim.Optimizer, weight: Tensor) -> float:
    """Give the learning rate of a weight; 0 where it is frozen."""
    for group in optimizer.param_groups:
        if any(p is weight for p in group["params"]):
            return float(group["lr"])
    return 0.0


def _each(what: str, values: Sequence[float], n: int) -> tuple[float, ...]:
    """Give a value for each of n layers."""
    found = tuple(float(v) for v in values)
    if len(found) not in (1, n):
        raise ValueError(f"expected one {what}, or one for each of {n} layers; got {len(found)}")
    return found * n if len(found) == 1 else found
