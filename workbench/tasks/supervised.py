"""Any network on classes or numbers (Section 2.1, Equation 3; Section 2.4; Section 2.6 as switches).

Batches are ``{"image": (B, *shape), "target": (B,)}``. Logged for training, and with ``val_`` before the name:

    loss       what is minimized without the weight decay: cross-entropy (nats), or the mean squared error
    accuracy   share of right classes (classification)
    mae        mean absolute error, in the target's unit (regression)

Training values are means over the epoch, of corrupted inputs and dropped units; validation is clean.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import lightning
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from workbench.errors import SettingsError
from workbench.models.layers import Corruption, step_generator
from workbench.tasks.optimizers import (
    OptimizerName,
    clip_incoming,
    make_optimizer,
    momentum_schedule,
    parameter_groups,
    rate_of,
)

TaskName = Literal["classification", "regression"]
Batch = dict[str, Tensor]

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class Supervised(lightning.LightningModule):
    """Train a network on targets.

    Early stopping: with a ``patience``, the weights with the lowest validation loss are kept beside the present ones,
    and training ends after ``patience`` epochs without a lower one. They are part of the checkpoint, so that a resumed
    run ends alike. :meth:`keep_best` puts them into the network; call it when the stage has ended or was loaded.

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

    best_loss: Tensor
    n_worse: Tensor
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
        self.register_buffer("best_loss", torch.tensor(math.inf, dtype=torch.float64))
        self.register_buffer("n_worse", torch.zeros((), dtype=torch.long))
        self.best = nn.Module()
        for index, value in enumerate(network.state_dict().values() if patience else ()):
            self.best.register_buffer(str(index), value.detach().clone())
        parameter_groups(network, learning_rate, weight_decay, self.layer_rates)  # an unknown layer is found at once
        self._sums, self._n_batches = [0.0, 0], 0

    def forward(self, x: Tensor) -> Tensor:
        """Give the network's outputs."""
        return self.network(x)

    def train(self, mode: bool = True) -> Supervised:
        """Switch to training or evaluation; the normalizations of frozen layers stay in evaluation."""
        super().train(mode)
        for name, module in self.network.named_modules():
            if isinstance(module, _NORMS) and rate_of(name, self.layer_rates) == 0:
                module.eval()
        return self

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
        if len(x) == 1 and any(isinstance(m, _NORMS) and m.training for m in self.network.modules()):
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
            self._count(losses["loss"], n)

    def on_validation_epoch_start(self) -> None:
        """Begin a new validation loss."""
        self._sums, self._n_batches = [0.0, 0], 0

    def on_validation_epoch_end(self) -> None:
        """Keep the best weights, and stop when the patience is at its end.

        A stop may have cut the validation short; the loss is then taken anew, as an undisturbed run would have it.
        """
        if not self.settings["patience"] or self.trainer.sanity_checking:
            return
        if self._n_batches < sum(self.trainer.num_val_batches):
            self._validate_again()
        self._judge(self._sums[0] / self._sums[1])

    def on_train_start(self) -> None:
        """Switch to training, and end at once a run whose patience had ended when it was cut off.

        Lightning leaves a network in the mode in which it comes, and a stage before leaves it in evaluation.
        """
        self.train()
        self._stop_if_patience_ended()

    def on_train_epoch_end(self) -> None:
        """Stop when the patience is at its end."""
        self._stop_if_patience_ended()

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
        if not groups:
            raise SettingsError("Every layer is frozen, so nothing can be trained; give a layer a rate above 0.")
        return make_optimizer(settings["optimizer"], groups, momentum_schedule(0, settings["momentum_max"]))

    def keep_best(self) -> nn.Module:
        """Put the weights with the lowest validation loss into the network, if there was a validation.

        Returns:
            The network, which is also changed in place.
        """
        if self.settings["patience"] and torch.isfinite(self.best_loss):
            kept = dict(self.best.named_buffers())
            names = self.network.state_dict()
            self.network.load_state_dict({name: kept[str(index)] for index, name in enumerate(names)})
        return self.network

    def _judge(self, loss: float) -> None:
        """Compare a validation loss with the best one."""
        if loss < float(self.best_loss):
            self.best_loss.fill_(loss)
            self.n_worse.zero_()
            for kept, value in zip(self.best.buffers(), self.network.state_dict().values(), strict=True):
                kept.copy_(value)
        else:
            self.n_worse += 1

    def _stop_if_patience_ended(self) -> None:
        if 0 < self.settings["patience"] <= int(self.n_worse):
            self.trainer.should_stop = True

    def _validate_again(self) -> None:
        self.on_validation_epoch_start()
        self.network.eval()
        with torch.no_grad():
            for batch in self.trainer.val_dataloaders or ():
                image, target = batch["image"].to(self.device), batch["target"].to(self.device)
                self._count(self.losses(image, target)["loss"], len(image))

    def _count(self, loss: Tensor, n: int) -> None:
        self._sums = [self._sums[0] + float(loss) * n, self._sums[1] + n]
        self._n_batches += 1

    def _log(self, losses: dict[str, Tensor], prefix: str, n: int) -> None:
        values = {prefix + name: value.detach() for name, value in losses.items()}
        self.log_dict(values, on_step=False, on_epoch=True, batch_size=n)
