"""Training on examples that was cut off sees the batches, and ends with the weights, of one that was not."""

from __future__ import annotations

import warnings
from pathlib import Path

import lightning
import pytest
import torch
from torch import nn

from workbench.errors import RunError
from workbench.patches.examples import ExampleDataModule, Examples

N_BATCHES = 3  # 7 examples in batches of at most 3
N_EPOCHS = 3


class Line(lightning.LightningModule):
    """Two parameters, and a record of what they saw."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2))
        self.seen: list[tuple[int, int, float]] = []

    def training_step(self, batch: dict, index: int) -> torch.Tensor:
        self.seen.append((self.current_epoch, index, float(batch["image"].sum())))
        means = batch["image"].flatten(1).mean(dim=1)
        return ((self.weight[0] * means + self.weight[1] - batch["target"]) ** 2).mean()

    def validation_step(self, batch: dict, index: int) -> torch.Tensor:
        return batch["image"].mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=0.1)


class StopAt(lightning.Callback):
    """Saves after a number of steps and ends the training, as a stop request does."""

    def __init__(self, step: int, path: Path, moment: str) -> None:
        self.step, self.path, self.moment = step, path, moment

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: object) -> None:
        if trainer.global_step == self.step and self.moment == "batch":
            trainer.save_checkpoint(self.path)
            trainer.should_stop = True

    def on_train_epoch_end(self, trainer: lightning.Trainer, *_: object) -> None:
        if trainer.global_step == self.step and self.moment == "epoch":
            trainer.save_checkpoint(self.path)
            trainer.should_stop = True


def data(with_validation: bool, augment: bool = False, **changes: int) -> ExampleDataModule:
    g = torch.Generator().manual_seed(0)
    examples = Examples(
        torch.rand(7, 1, 5, 5, generator=g), torch.rand(7, generator=g), torch.arange(7), list("abcdefg")
    )
    settings = {"batch_size": 3, "seed": 4} | changes
    return ExampleDataModule(examples, examples if with_validation else None, augment=augment, **settings)


def fit(line: Line, examples: ExampleDataModule, callbacks: list, resume: Path | None = None) -> None:
    trainer = lightning.Trainer(
        max_epochs=N_EPOCHS, accelerator="cpu", callbacks=callbacks, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, log_every_n_steps=1,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*across ranks is zero.*")  # no validation
        warnings.filterwarnings("error", message=".*not resumable.*")
        trainer.fit(line, datamodule=examples, ckpt_path=resume, weights_only=None if resume is None else True)


@pytest.mark.parametrize(("with_validation", "augment"), [(False, False), (True, True)])
@pytest.mark.parametrize("step", range(1, N_BATCHES * N_EPOCHS))
def test_interrupt_after_any_batch_changes_nothing(
    tmp_path: Path, step: int, with_validation: bool, augment: bool
) -> None:
    whole, first, second = Line(), Line(), Line()
    fit(whole, data(with_validation, augment), [])
    checkpoint = tmp_path / "stop.ckpt"
    fit(first, data(with_validation, augment), [StopAt(step, checkpoint, "batch")])
    fit(second, data(with_validation, augment), [], checkpoint)
    assert len(whole.seen) == N_BATCHES * N_EPOCHS
    assert first.seen[:step] + second.seen == whole.seen
    assert torch.equal(second.weight, whole.weight)


@pytest.mark.parametrize("epoch", [1, 2])
def test_resume_from_the_end_of_an_epoch_changes_nothing(tmp_path: Path, epoch: int) -> None:
    whole, first, second = Line(), Line(), Line()
    fit(whole, data(True), [])
    checkpoint = tmp_path / "stop.ckpt"
    fit(first, data(True), [StopAt(epoch * N_BATCHES, checkpoint, "epoch")])
    fit(second, data(True), [], checkpoint)
    assert first.seen + second.seen == whole.seen
    assert torch.equal(second.weight, whole.weight)


def test_another_batch_size_is_refused_in_mid_epoch(tmp_path: Path) -> None:
    checkpoint = tmp_path / "stop.ckpt"
    fit(Line(), data(False), [StopAt(2, checkpoint, "batch")])
    with pytest.raises(RunError, match="begun with batch_size 3 and cannot go on with 2"):
        fit(Line(), data(False, batch_size=2), [], checkpoint)
