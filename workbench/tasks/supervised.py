"""Any network on classes or numbers (Section 2.1, Equation 3; Section 2.4; Section 2.6 as switches).

Batches are ``{"image": (B, *shape), "target": (B,)}``. Logged for training, and with ``val_`` before the name:

    loss       what is minimized without the weight decay: cross-entropy (nats), or the mean squared error
    accuracy   share of right classes (classification)
    mae        mean absolute error, in the target's unit (regression)

Training values are means over the epoch, of corrupted inputs and dropped units; validation is clean.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from workbench.errors import SettingsError
from workbench.models.layers import Corruption, step_generator
from workbench.tasks.early_stopping import Batch, EarlyStopping
from workbench.tasks.optimizers import (
    BATCH_NORMS,
    OptimizerName,
    clip_incoming,
    make_optimizer,
    momentum_schedule,
    parameter_groups,
)

TaskName = Literal["classification", "regression"]


class Supervised(EarlyStopping):
    """Train a network on targets.

    With a ``patience``, training stops early; see :class:`workbench.tasks.early_stopping.EarlyStopping` and call
    :meth:`keep_best` when the stage has ended or was loaded.

    Args:
        network: (B, *shape) → logits (B, K), or (B,) or (B, 1) numbers; in classification a single output is the
            logit of class 1. Changed in place.
        task: ``classification`` has int64 classes as targets, ``regression`` float numbers (B,) or (B, K).
        optimizer: ``sgd`` and ``nesterov`` follow the momentum schedule; ``adam`` has no use for it.
        learning_rate: of layers without a rate of their own.
        momentum_max: where the schedule ends; 0 is Equation 3 as it stands.
        weight_decay: lambda of the penalty lambda / 2 ||W||^2; biases do not decay.
        corruption: of the input in training (input noise after denoising auto-encoders).
        layer_rates: multiplies the rate of layers, see :func:`workbench.tasks.optimizers.parameter_groups`; 0 freezes
            a layer with its running statistics.
        class_weights: (K,) weight of each class in the loss.
        max_norm: the weights into a hidden unit are kept this short; 0 is off.
        patience: epochs; 0 is no early stopping.
        n_steps_total: steps of the whole training, for the end of the momentum schedule; 0 if it is not known.
        seed: of the corruption.
        stage: number of the stage in its run, likewise.
    """

    class_weights: Tensor | None

    def __init__(
        self,
        network: nn.Module,
        *,
        task: TaskName = "classification",
        optimizer: OptimizerName = "adam",
        learning_rate: float = 1e-3,
        momentum_max: float = 0.9,
        weight_decay: float = 0.0,
        corruption: Corruption | None = None,
        layer_rates: Mapping[str, float] | None = None,
        class_weights: Sequence[float] | None = None,
        max_norm: float = 0.0,
        patience: int = 0,
        n_steps_total: int = 0,
        seed: int = 0,
        stage: int = 0,
    ) -> None:
        super().__init__()
        if task not in ("classification", "regression"):
            raise LookupError(f"no task is called {task!r}; known are classification, regression")
        self.network, self.corruption = network, corruption or Corruption()
        self.layer_rates = dict(layer_rates or {})
        self.settings: dict[str, Any] = {
            "task": task, "optimizer": optimizer, "learning_rate": learning_rate, "momentum_max": momentum_max,
            "weight_decay": weight_decay, "corruption": self.corruption.kind, "amount": self.corruption.amount,
            "layer_rates": self.layer_rates, "max_norm": max_norm, "patience": patience,
            "n_steps_total": n_steps_total, "seed": seed, "stage": stage,
        }  # fmt: skip
        self.save_hyperparameters(self.settings)
        weights = None if class_weights is None else torch.tensor(class_weights, dtype=torch.float32)
        self.register_buffer("class_weights", weights)
        parameter_groups(network, learning_rate, weight_decay, self.layer_rates)  # an unknown layer is found at once
        self.begin_patience()

    def losses(self, x: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Give ``loss`` and what is logged beside it, for inputs (B, *shape) and targets."""
        y = self.network(x)
        if y.ndim == 2 and y.shape[1] == 1:
            y = y.squeeze(1)
        if self.settings["task"] == "regression":
            target = target.to(y.dtype).reshape(y.shape)
            return {"loss": F.mse_loss(y, target), "mae": F.l1_loss(y.detach(), target)}
        if y.ndim == 1:
            y = torch.stack([torch.zeros_like(y), y], 1)  # (B, 2): softmax of (0, y) is the logistic function of y
        loss = F.cross_entropy(y, target, self.class_weights)
        return {"loss": loss, "accuracy": (y.argmax(1) == target).float().mean()}

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Give the loss of one batch; the corruption is drawn from (seed, stage, step) alone."""
        x = batch["image"]
        if len(x) == 1 and any(isinstance(m, BATCH_NORMS) and m.training for m in self.network.modules()):
            raise SettingsError(
                "Batch normalization compares the examples of a batch, but a batch has only one; choose a batch size "
                "of at least 2 that does not leave a single example at the end of an epoch."
            )
        if self.corruption.kind != "none":
            settings = self.settings
            x = self.corruption(
                x, step_generator(settings["seed"], settings["stage"], self.global_step, device=x.device)
            )
        losses = self.losses(x, batch["target"])
        self._log(losses, "", len(x))
        return losses["loss"]

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Log the losses of one clean batch."""
        losses, n = self.losses(batch["image"], batch["target"]), len(batch["image"])
        self._log(losses, "val_", n)
        if self.settings["patience"]:
            self.count(losses["loss"], n)

    def held_out_loss(self, batch: Batch) -> tuple[Tensor, float]:
        """Give the loss of a validation batch, which counts by its examples."""
        return self.losses(batch["image"], batch["target"])["loss"], len(batch["image"])

    def optimizer_step(
        self,
        epoch: int,
        batch_idx: int,
        optimizer: Any,
        optimizer_closure: Callable[[], Any] | None = None,
    ) -> None:
        """Set the momentum of this step, take it, and shorten weights that became too long."""
        settings = self.settings
        for group in optimizer.param_groups:
            if "momentum" in group:
                mu = momentum_schedule(self.global_step, settings["momentum_max"], settings["n_steps_total"])
                group["momentum"] = mu
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        if settings["max_norm"]:
            clip_incoming(self.network, settings["max_norm"])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Give the optimizer of all layers that are not frozen."""
        settings = self.settings
        groups = parameter_groups(
            self.network, settings["learning_rate"], settings["weight_decay"], settings["layer_rates"]
        )
        return make_optimizer(settings["optimizer"], groups, momentum_schedule(0, settings["momentum_max"]))

    def _log(self, losses: dict[str, Tensor], prefix: str, n: int) -> None:
        values = {prefix + name: value.detach() for name, value in losses.items()}
        self.log_dict(values, on_step=False, on_epoch=True, batch_size=n)
