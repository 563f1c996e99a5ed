"""A tiny stage for the tests of runs, and a training of three of them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import lightning
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

N_BATCHES = 7
STAGES = ("pretrain 1", "pretrain 2", "fine-tune")
N_EPOCHS = 3


class Batches:
    """Batches that are functions of (seed, epoch, index) and follow the trainer."""

    def __init__(self, trainer: lightning.Trainer, n_batches: int) -> None:
        self.trainer, self.n_batches = trainer, n_batches

    def __len__(self) -> int:
        return self.n_batches

    def __iter__(self) -> Iterator[Tensor]:
        while (index := self.trainer.fit_loop.batch_idx + 1) < self.n_batches:
            generator = torch.Generator().manual_seed(1000 * self.trainer.current_epoch + index)
            yield torch.randn(8, 4, generator=generator)

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


class ToyData(lightning.LightningDataModule):
    def __init__(self, n_batches: int = N_BATCHES, n_validation: int = 0) -> None:
        super().__init__()
        self.n_batches, self.n_validation = n_batches, n_validation

    def train_dataloader(self) -> Batches:
        return Batches(self.trainer, self.n_batches)

    def val_dataloader(self) -> Any:
        return DataLoader(TensorDataset(torch.ones(2 * self.n_validation, 4)), 2) if self.n_validation else []


class ToyModule(lightning.LightningModule):
    """A network with dropout, an optimizer with momenta and a schedule: all must survive a resume."""

    def __init__(self, seconds_per_step: float = 0.0, learning_rate: float = 0.01, validation_s: float = 0.0) -> None:
        super().__init__()
        plain = {"seconds_per_step": seconds_per_step, "learning_rate": learning_rate, "validation_s": validation_s}
        self.save_hyperparameters(plain)
        self.network = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Dropout(0.5), nn.Linear(5, 4))

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        time.sleep(self.hparams["seconds_per_step"])
        loss = (self.network(batch) - batch).square().mean()
        self.log("reconstruction", loss, on_step=True, on_epoch=True)
        self.log("size", batch.abs().mean(), on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        time.sleep(self.hparams["validation_s"])
        image = batch[0]
        self.log("val_reconstruction", (self.network(image) - image).square().mean())

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.parameters(), lr=self.hparams["learning_rate"])
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.9)]


def train_three(run: Any, seconds_per_step: float = 0.0, checkpoint_seconds: float = 0.0) -> dict[str, Tensor]:
    """Train three stages of which each begins with the weights of the one before."""
    from workbench.runs.training import StagePlan, Training

    training = Training(
        run, [StagePlan(s, N_EPOCHS, N_BATCHES) for s in STAGES], "cpu", checkpoint_seconds=checkpoint_seconds
    )
    module = ToyModule(seconds_per_step)
    for name in STAGES:
        following = ToyModule(seconds_per_step)
        following.network[0].load_state_dict(module.network[0].state_dict())
        module = following
        training.stage(name, module, ToyData(n_validation=2), n_epochs=N_EPOCHS)
    weights = {key: tensor.clone() for key, tensor in module.state_dict().items()}
    run.save_weights("weights", weights)
    run.finish({"ok": True})
    return weights
