"""Early stopping that a resumed run repeats: the best weights and the patience are part of the checkpoint."""

from __future__ import annotations

import math
from typing import Any, Self

import lightning
import torch
from torch import Tensor, nn

from workbench.tasks.optimizers import hold_frozen_statistics

Batch = dict[str, Tensor]


class EarlyStopping(lightning.LightningModule):
    """What tasks with a ``patience`` share.

    With a patience, the weights with the lowest validation loss are kept beside the present ones, and training ends
    after ``patience`` epochs without a lower one. They are part of the checkpoint, so that a resumed run ends alike.
    :meth:`keep_best` puts them into the network; call it when the stage has ended or was loaded.

    A task sets ``network``, ``layer_rates`` and ``settings`` (with ``patience``), calls :meth:`begin_patience` in its
    constructor and :meth:`count` in its validation step, and gives :meth:`held_out_loss`.
    """

    network: nn.Module
    settings: dict[str, Any]
    layer_rates: dict[str, float]
    best_loss: Tensor
    n_worse: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """Give the network's outputs."""
        return self.network(x)

    def train(self, mode: bool = True) -> Self:
        """Switch to training or evaluation; the normalizations of frozen layers stay in evaluation."""
        super().train(mode)
        hold_frozen_statistics(self.network, self.layer_rates)
        return self

    def begin_patience(self) -> None:
        """Make room for the best weights; there is none without a patience."""
        self.register_buffer("best_loss", torch.tensor(math.inf, dtype=torch.float64))
        self.register_buffer("n_worse", torch.zeros((), dtype=torch.long))
        self.best = nn.Module()
        for index, value in enumerate(self.network.state_dict().values() if self.settings["patience"] else ()):
            self.best.register_buffer(str(index), value.detach().clone())
        self._sums, self._n_batches = [0.0, 0.0], 0

    def held_out_loss(self, batch: Batch) -> tuple[Tensor, float]:
        """Give the loss of a validation batch, and its weight in the mean over all batches."""
        raise NotImplementedError

    def count(self, loss: Tensor, weight: float) -> None:
        """Take one batch into the validation loss."""
        self._sums = [self._sums[0] + float(loss) * weight, self._sums[1] + weight]
        self._n_batches += 1

    @property
    def validation_loss(self) -> float:
        """The mean over the batches counted so far; NaN before the first."""
        return self._sums[0] / self._sums[1] if self._sums[1] else math.nan

    def has_ended(self) -> bool:
        """Say whether training is to end with this epoch."""
        return 0 < self.settings["patience"] <= int(self.n_worse)

    def on_validation_epoch_start(self) -> None:
        """Begin a new validation loss."""
        self._sums, self._n_batches = [0.0, 0.0], 0

    def on_validation_epoch_end(self) -> None:
        """Keep the best weights, and stop when the patience is at its end.

        A stop may have cut the validation short; the loss is then taken anew, as an undisturbed run would have it.
        """
        if not self.settings["patience"] or self.trainer.sanity_checking:
            return
        if self._n_batches < sum(self.trainer.num_val_batches):
            self._validate_again()
        self._judge(self.validation_loss)

    def on_train_start(self) -> None:
        """Switch to training, and end at once a run whose patience had ended when it was cut off.

        Lightning leaves a network in the mode in which it comes, and a stage before leaves it in evaluation.
        """
        self.train()
        self._stop_if_ended()

    def on_train_epoch_end(self) -> None:
        """Stop when the patience is at its end."""
        self._stop_if_ended()

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

    def _stop_if_ended(self) -> None:
        if self.has_ended():
            self.trainer.should_stop = True

    def _validate_again(self) -> None:
        self.on_validation_epoch_start()
        self.network.eval()
        with torch.no_grad():
            for batch in self.trainer.val_dataloaders or ():
                self.count(*self.held_out_loss({name: value.to(self.device) for name, value in batch.items()}))
