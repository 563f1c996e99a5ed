"""Train a task beside a run's stages: the candidates of a nested choice, of which nothing is kept but a score."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Callable
from typing import Any

import lightning
import numpy as np
import torch


def train_aside(
    task: lightning.LightningModule,
    data: lightning.LightningDataModule,
    n_epochs: int,
    *,
    seed: int = 0,
    check_stop: Callable[[], None] | None = None,
) -> None:
    """Train a task on the CPU, in place; nothing is written, and nothing can be resumed.

    Args:
        task: ends in evaluation mode.
        data: its batches.
        n_epochs: epochs.
        seed: torch's global generator is seeded from (seed, step) before each batch, and is afterwards as it was.
        check_stop: called after each epoch; may raise.
    """
    before = torch.get_rng_state()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)  # advice on hardware and logging
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as nowhere:
        warnings.filterwarnings("ignore", module="lightning")
        trainer = lightning.Trainer(
            max_epochs=n_epochs, accelerator="cpu", devices=1, deterministic="warn", logger=False,
            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
            callbacks=[_Seeding(seed, check_stop)], default_root_dir=nowhere,
        )  # fmt: skip
        trainer.fit(task, datamodule=data)
    torch.set_rng_state(before)
    task.eval()


class _Seeding(lightning.Callback):
    def __init__(self, seed: int, check_stop: Callable[[], None] | None) -> None:
        self._seed, self._check_stop = seed, check_stop

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        state = np.random.SeedSequence([self._seed, trainer.global_step]).generate_state(1, np.uint64)
        torch.default_generator.manual_seed(int(state[0]))

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if self._check_stop is not None:
            self._check_stop()
