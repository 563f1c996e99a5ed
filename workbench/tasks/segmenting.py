"""Any network that labels voxels: one at the center of a patch, a grid of them, or a whole image (Section 3.3).

Batches are ``{"image": (B, C, *patch), "label": (B,) or (B, *s)}``; label -1 is left out everywhere. Logged for
training, and with ``val_`` before the name:

    loss       what is minimized, without the weight decay
    accuracy   share of voxels with the right class
    dice       of all voxels of an epoch together, the mean over the classes above 0 that are there
    learning_rate   of the last update of an epoch, when a schedule changes it

Training values are those of an epoch's batches as they were trained on, so with dropped units and drawn as the sampler
draws: a Dice of class-balanced patches is not that of whole images.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from workbench.tasks.early_stopping import Batch, EarlyStopping
from workbench.tasks.optimizers import OptimizerName, make_optimizer, parameter_groups
from workbench.tasks.schedules import Plateau, Schedule
from workbench.tasks.segmentation_losses import (
    IGNORED,
    cross_entropy,
    dice_cross_entropy,
    overlap_counts,
    scores,
    sensitivity_specificity_loss,
    squared_error,
    weights_of,
)

SegmentationLoss = Literal["cross_entropy", "sensitivity_specificity", "squared_error", "dice_cross_entropy"]
PROBABILITY_LOSSES = ("sensitivity_specificity", "squared_error")


class Judged(NamedTuple):
    """What a batch gives.

    Attributes:
        loss: a scalar, with its gradient.
        weight: of this batch in a mean over batches: labelled voxels (weighted by class), or images.
        counts: (3, K) voxels of each class rightly found, predicted, true.
    """

    loss: Tensor
    weight: float
    counts: Tensor


class Segmenter(EarlyStopping):
    """Train a network on label maps.

    With a ``patience``, training stops early; see :class:`workbench.tasks.early_stopping.EarlyStopping` and call
    :meth:`keep_best` when the stage has ended or was loaded. A plateau schedule ends the training by itself, at the
    end of the epoch in which its rule says so.

    Args:
        network: (B, C, *patch) → logits (B, K) or (B, K, *s); for the sensitivity-specificity loss and the squared
            error the probability (B, 1, *s) of class 1. Changed in place.
        n_classes: K, with class 0; 2 where the network gives one probability.
        loss: see :mod:`workbench.tasks.segmentation_losses`.
        class_weights: (K,) weight of each class in the cross-entropy.
        sensitivity_ratio: r of the sensitivity-specificity loss; Brosch 2016 is remembered to have about 0.02.
        optimizer: ``sgd`` and ``nesterov`` have the momentum; see :func:`workbench.tasks.optimizers.make_optimizer`.
        learning_rate: the first one, of layers without a rate of their own.
        momentum: constant.
        weight_decay: lambda of the penalty lambda / 2 ||W||^2; biases do not decay.
        schedule: how the learning rate falls.
        layer_rates: multiplies the rate of layers, see :func:`workbench.tasks.optimizers.parameter_groups`; 0 freezes
            a layer with its running statistics.
        patience: epochs without a lower validation loss; 0 is no early stopping.
        n_steps_total: updates of the whole training, for a linear schedule; 0 if it is not known.
        seed: of the run; it has no use for it yet, since all chance here is the network's own.
        stage: number of the stage in its run, likewise.
    """

    counts: Tensor
    class_weights: Tensor | None

    def __init__(
        self,
        network: nn.Module,
        *,
        n_classes: int,
        loss: SegmentationLoss = "cross_entropy",
        class_weights: Sequence[float] | None = None,
        sensitivity_ratio: float = 0.05,
        optimizer: OptimizerName = "sgd",
        learning_rate: float = 1e-3,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        schedule: Schedule | None = None,
        layer_rates: Mapping[str, float] | None = None,
        patience: int = 0,
        n_steps_total: int = 0,
        seed: int = 0,
        stage: int = 0,
    ) -> None:
        super().__init__()
        if loss not in get_args(SegmentationLoss):
            raise LookupError(f"no loss is called {loss!r}; known are {', '.join(get_args(SegmentationLoss))}")
        if n_classes < 2 or (loss in PROBABILITY_LOSSES and n_classes != 2):
            raise ValueError(
                f"{loss} needs {'2' if loss in PROBABILITY_LOSSES else '2 or more'} classes; got {n_classes}"
            )
        self.network, self.schedule = network, schedule or Schedule()
        self.layer_rates = dict(layer_rates or {})
        self.settings = {
            "n_classes": n_classes, "loss": loss, "sensitivity_ratio": sensitivity_ratio, "optimizer": optimizer,
            "learning_rate": learning_rate, "momentum": momentum, "weight_decay": weight_decay,
            "schedule": asdict(self.schedule), "layer_rates": self.layer_rates, "patience": patience,
            "n_steps_total": n_steps_total, "seed": seed, "stage": stage,
        }  # fmt: skip
        self.save_hyperparameters(self.settings)
        self.schedule.share(0, n_steps_total)  # a fall over unknown steps is found at once, and so is a layer
        parameter_groups(network, learning_rate, weight_decay, self.layer_rates)
        self.plateau = Plateau(self.schedule) if self.schedule.kind == "plateau" else None
        self.register_buffer("class_weights", weights_of(class_weights, n_classes))
        self.register_buffer("counts", torch.zeros(3, n_classes, dtype=torch.long))
        self._held_out_counts = torch.zeros(3, n_classes, dtype=torch.long)
        self.begin_patience()

    def judge(self, image: Tensor, label: Tensor) -> Judged:
        """Give loss, weight and counts of images (B, C, *patch) and labels (B,) or (B, *s)."""
        name, n_classes = self.settings["loss"], self.settings["n_classes"]
        y = self.network(image)
        if label.ndim == 1 and y.ndim > 2 and y.shape[2:].numel() == 1:
            y = y.flatten(1)  # (B, K): a fully convolutional network on a patch of its receptive field
        n_outputs = 1 if name in PROBABILITY_LOSSES else n_classes
        if y.shape != (len(label), n_outputs, *label.shape[1:]):
            raise ValueError(
                f"the network gives {tuple(y.shape)} for labels {tuple(label.shape)}; {name} expects "
                f"{(len(label), n_outputs, *label.shape[1:])}"
            )
        if name in PROBABILITY_LOSSES:
            with torch.no_grad():
                counts = overlap_counts((y[:, 0] >= 0.5).long(), label, n_classes)
            if name == "squared_error":
                return Judged(squared_error(y, label), float((label != IGNORED).sum()), counts)
            return Judged(sensitivity_specificity_loss(y, label, self.settings["sensitivity_ratio"]), len(y), counts)
        counts = overlap_counts(y.detach().argmax(1), label, n_classes)
        loss, weight = cross_entropy(y, label, self.class_weights)
        if name == "dice_cross_entropy":
            return Judged(dice_cross_entropy(y, label, self.class_weights), len(y), counts)
        return Judged(loss, float(weight), counts)

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Give the loss of one batch."""
        judged = self.judge(batch["image"], batch["label"])
        self.counts += judged.counts
        # noted here and not after the step: checkpoints are written before a module's own hook at a batch's end
        if self.plateau is not None and judged.counts[2].any():
            self.plateau.add(judged.loss.detach())
        if judged.weight:
            self.log("loss", judged.loss.detach(), on_step=False, on_epoch=True, batch_size=len(batch["image"]))
        return judged.loss

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Take one batch into the validation."""
        self.count(*self.held_out_loss(batch))

    def held_out_loss(self, batch: Batch) -> tuple[Tensor, float]:
        """Give the loss of a validation batch and its weight, and count its voxels."""
        judged = self.judge(batch["image"], batch["label"])
        self._held_out_counts = self._held_out_counts.to(judged.counts.device) + judged.counts
        return judged.loss, judged.weight

    def on_validation_epoch_start(self) -> None:
        """Begin a new validation."""
        super().on_validation_epoch_start()
        self._held_out_counts = torch.zeros_like(self.counts)

    def on_validation_epoch_end(self) -> None:
        """Log the validation; keep the best weights, and stop when the patience is at its end."""
        super().on_validation_epoch_end()
        if self._sums[1]:
            named = {"loss": self.validation_loss, **scores(self._held_out_counts)}
            self.log_dict({f"val_{name}": value for name, value in named.items()})

    def on_train_epoch_end(self) -> None:
        """Log the scores of the epoch; stop when the patience or the schedule is at its end."""
        named = scores(self.counts)
        self.counts.zero_()
        if self.schedule.kind != "constant":
            named["learning_rate"] = self.settings["learning_rate"] * self._share(self.global_step - 1)
        self.log_dict(named)
        super().on_train_epoch_end()

    def has_ended(self) -> bool:
        """Say whether training is to end with this epoch."""
        return super().has_ended() or (self.plateau is not None and self.plateau.has_ended)

    def optimizer_step(
        self,
        epoch: int,
        batch_idx: int,
        optimizer: Any,
        optimizer_closure: Callable[[], Any] | None = None,
    ) -> None:
        """Set the learning rate of this step, and take it."""
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * self._share(self.global_step)
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Give the optimizer of all layers that are not frozen."""
        settings = self.settings
        groups = parameter_groups(
            self.network, settings["learning_rate"], settings["weight_decay"], settings["layer_rates"]
        )
        groups = [{**group, "initial_lr": group["lr"]} for group in groups]
        return make_optimizer(settings["optimizer"], groups, settings["momentum"])

    def _share(self, step: int) -> float:
        if self.plateau is not None:
            return self.plateau.share
        return self.schedule.share(step, self.settings["n_steps_total"])
