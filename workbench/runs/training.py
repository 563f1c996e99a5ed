"""The Training: stages under Lightning that can be stopped, killed, resumed and extended.

A stage that was cut off anywhere goes on from its last checkpoint and ends with bitwise the weights of an undisturbed
run of the same seed. What that rests on:

* A batch is a function of (seed, epoch, index), and the loader follows the trainer: Lightning restores its counters,
  but makes the iterator *before* it sets the epoch, and never skips batches. So the loader's ``__iter__`` is a
  generator that reads ``trainer.current_epoch`` and ``trainer.fit_loop.batch_idx + 1`` when a batch is asked for,
  has a length, and offers ``state_dict`` and ``load_state_dict`` (their presence says that it resumes exactly).
* Before every batch torch's global generator is seeded from (seed, stage, batch), so dropout repeats itself;
  between stages likewise, so that a network is initialized alike whether the stage before was trained or loaded.
* Checkpoints are written at the end of a batch that is not the last of its epoch, or at the end of an epoch. A
  module therefore leaves no work to its own ``on_train_batch_end``, which runs after the checkpoint.

Not exact: ``ReduceLROnPlateau``, and epoch means of training metrics of an epoch that was cut off (they cover its
later part). Only plain types are saved, and checkpoints are read with ``weights_only=True``.
"""

from __future__ import annotations

import logging
import math
import signal
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.utilities.exceptions import SIGTERMException

from workbench.errors import RunError
from workbench.runs.checkpoint import check_fits, read_checkpoint, verify_plain
from workbench.runs.curves import Curves, LossWatch, loss_of
from workbench.runs.folder import write_file
from workbench.runs.pace import Pace
from workbench.runs.run import Run, Stopped, run_progress
from workbench.runs.stages import StagePlan

__all__ = ["StagePlan", "Stopped", "Training", "run_progress"]

STOP_POLL_S = 0.2
MAX_SAVING_SHARE = 0.05
ACCELERATORS = {"auto": "auto", "cpu": "cpu", "cuda": "gpu", "gpu": "gpu", "mps": "mps"}


class Training:
    """Trains the stages of a run one after the other.

    Make it before the modules: it seeds torch's global generator, from which their weights are drawn.

    Args:
        run: its folder gets everything; its seed governs everything random.
        stages: all stages in their order, names or, for a better estimate of the remaining time, plans.
        device: auto, cpu, cuda or mps.
        checkpoint_seconds: time between checkpoints within an epoch.
    """

    def __init__(
        self, run: Run, stages: Sequence[StagePlan | str], device: str = "auto", *, checkpoint_seconds: float = 15.0
    ) -> None:
        if device not in ACCELERATORS:
            raise ValueError(f"device is one of {', '.join(ACCELERATORS)}; got {device!r}")
        if device in ("cuda", "gpu") and not torch.cuda.is_available():
            raise RunError(f"The device {device} was asked for, but torch finds no GPU; choose auto or cpu.")
        self.run = run
        self.plans = {plan.name: plan for plan in (StagePlan(s) if isinstance(s, str) else s for s in stages)}
        self.device = device
        self.checkpoint_seconds = checkpoint_seconds
        self.book = run.stages
        self.book.begin([s if isinstance(s, str) else s.name for s in stages])
        self.pace = Pace(list(self.plans.values()))
        self.seed(0, -1)

    def check_stop(self) -> None:
        """Raise :class:`Stopped` when the run is to stop; for long preparations between stages."""
        self.run.check_stop()

    def stage(
        self,
        name: str,
        module: lightning.LightningModule,
        data: lightning.LightningDataModule,
        *,
        n_epochs: int,
        on_epoch: Callable[[int], None] | None = None,
    ) -> lightning.LightningModule:
        """Train a stage, load it when it is complete, or go on in its middle.

        Args:
            name: one of the stages.
            module: what is trained, in place; hyper-parameters of plain types only.
            data: its batches, functions of (seed, epoch, index).
            n_epochs: epochs, without extensions.
            on_epoch: called with the number of each epoch (from 1) when it ends, before its checkpoint.

        Returns:
            The module, on the CPU, in evaluation mode.

        Raises:
            Stopped: the user asked for it; the present step is saved.
            RunError: the loss is not finite, or the checkpoint does not belong here.
        """
        if name not in self.plans:
            raise LookupError(f"there is no stage {name!r}; this training has {', '.join(self.plans)}")
        if n_epochs < 1:
            raise ValueError(f"n_epochs is at least 1; got {n_epochs}")
        self.check_stop()
        index = list(self.plans).index(name)
        n_epochs += self.book.extra_epochs(name)
        self.run.reporter.update(
            state="running", stage=index + 1, n_stages=len(self.plans), stage_name=name, step=0, epoch=0, message=""
        )
        if self.book.is_complete(name, n_epochs):
            self._load(name, module)
        else:
            self._fit(name, module, data, n_epochs, on_epoch)
        self.pace.pass_stage(name, self.book.n_steps(name) or 0)
        self.seed(index + 1, -1)
        return module.cpu().eval()

    def seed(self, stage_index: int, step: int) -> None:
        """Seed torch's global generator from (seed, stage, step); step -1 is the time before the stage."""
        state = np.random.SeedSequence([self.run.info.seed, stage_index, step + 1]).generate_state(1, np.uint64)
        # torch.manual_seed also queues a call for each kind of device that never wakes, a millisecond every batch
        torch.default_generator.manual_seed(int(state[0]))
        if torch.cuda.is_initialized():
            torch.cuda.manual_seed_all(int(state[0]))

    def _load(self, name: str, module: lightning.LightningModule) -> None:
        checkpoint = read_checkpoint(self.book.checkpoint(name), name)
        check_fits(checkpoint["state_dict"], module, name)
        module.on_load_checkpoint(checkpoint)
        module.load_state_dict(checkpoint["state_dict"])

    def _fit(
        self,
        name: str,
        module: lightning.LightningModule,
        data: lightning.LightningDataModule,
        n_epochs: int,
        on_epoch: Callable[[int], None] | None,
    ) -> None:
        path = self.book.checkpoint(name)
        if path.exists():
            check_fits(read_checkpoint(path, name)["state_dict"], module, name)
        recorder = _Recorder(self, name, n_epochs, on_epoch)
        logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)  # advice on hardware and logging
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            trainer = lightning.Trainer(
                max_epochs=n_epochs,
                accelerator=ACCELERATORS[self.device],
                devices=1,
                deterministic="warn",
                logger=False,
                callbacks=[recorder],
                enable_progress_bar=False,
                enable_model_summary=False,
                num_sanity_val_steps=0,
                default_root_dir=self.run.folder,
            )
            try:
                trainer.fit(module, datamodule=data, ckpt_path=path if path.exists() else None, weights_only=True)
            except SIGTERMException as error:  # only where no handler asks for a stop, see on_train_start
                raise Stopped(f"Run {self.run.id} was ended by a signal; resume it to go on.") from error
        n_steps = trainer.fit_loop.total_batch_idx + 1
        self.book.complete(name, planned=n_epochs, n_epochs=trainer.current_epoch, n_steps=n_steps)


class _Recorder(Checkpoint):
    """Writes what happens in a stage and stops it on request.

    It is a Checkpoint so that Lightning calls it after the module's own hooks at the end of an epoch.
    """

    def __init__(self, training: Training, stage: str, n_epochs: int, on_epoch: Callable[[int], None] | None) -> None:
        self._training, self._stage, self._n_epochs, self._on_epoch = training, stage, n_epochs, on_epoch
        self._index = list(training.plans).index(stage)
        self._run = training.run
        self._curves = Curves(training.run.folder / "metrics.csv", stage)
        self._watch = LossWatch()
        self._validation_cut = self._stopping = self._verified = False
        self._last_poll = self._last_save = -math.inf
        self._saving_s = 0.0
        self._on_sigterm = signal.getsignal(signal.SIGTERM)

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Forget the metrics after the resumed step, and begin to measure the pace."""
        if callable(self._on_sigterm) and threading.current_thread() is threading.main_thread():
            # Lightning's own handler ends training after the present batch without a checkpoint
            signal.signal(signal.SIGTERM, self._on_sigterm)
        done = _steps_done(trainer)
        self._curves.rewind(done, list(self._training.plans)[self._index + 1 :])
        n_batches = int(trainer.num_training_batches)
        self._training.pace.begin_stage(StagePlan(self._stage, self._n_epochs, n_batches), done)
        self._last_save = time.monotonic()
        self._run.log(f"stage {self._stage}: {'resumed after' if done else 'begins with'} step {done}")
        self._report(trainer)

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Seed what the batch draws from torch's global generator."""
        self._training.seed(self._index, _steps_done(trainer))

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Watch the loss, log, save when due, stop on request; the last batch leaves that to the epoch's end."""
        self._watch.add(outputs)
        if trainer.strategy.root_device.type == "cpu":  # elsewhere a look would wait for the device
            self._check_finite(trainer)
        self._log_step(trainer, outputs)
        self._training.pace.tick(_steps_done(trainer))
        self._report(trainer)
        stopping = self._is_stopping(trainer)
        if trainer.is_last_batch:
            return
        if stopping or time.monotonic() - self._last_save >= self._training.checkpoint_seconds:
            self._save(trainer)
        if stopping:
            raise Stopped(f"Run {self._run.id} was stopped in stage {self._stage}; resume it to go on.")

    def on_validation_batch_start(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Cut validation short when the run is to stop; its incomplete metrics are then not written."""
        if self._is_stopping(trainer):
            self._validation_cut = True
            raise StopIteration  # ends Lightning's evaluation loop as if there were no more batches

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Log the epoch, show its samples, save, stop on request."""
        self._check_finite(trainer)
        epoch = trainer.current_epoch + 1
        self._curves.add_epoch(
            trainer.callback_metrics, epoch, _steps_done(trainer), validated=not self._validation_cut
        )
        if self._on_epoch is not None:
            self._on_epoch(epoch)
        stopping = self._is_stopping(trainer)
        ends = epoch >= self._n_epochs or trainer.should_stop
        if ends or stopping or time.monotonic() - self._last_save >= self._saving_s / MAX_SAVING_SHARE:
            self._save(trainer)
        self._report(trainer)
        if stopping:
            raise Stopped(f"Run {self._run.id} was stopped in stage {self._stage}; resume it to go on.")

    def _is_stopping(self, trainer: lightning.Trainer) -> bool:
        if time.monotonic() - self._last_poll >= STOP_POLL_S:
            self._last_poll = time.monotonic()
            self._stopping = self._stopping or self._run.stop_requested()
        return self._stopping or trainer.received_sigterm

    def _check_finite(self, trainer: lightning.Trainer) -> None:
        if not self._watch.is_finite:
            raise RunError(
                f"The loss of stage {self._stage} is no longer a finite number at step {_steps_done(trainer)}; "
                "choose a lower learning rate, or normalize the intensities, and start again."
            )

    def _log_step(self, trainer: lightning.Trainer, outputs: Any) -> None:
        step = _steps_done(trainer)
        if self._curves.is_due(step):
            self._check_finite(trainer)
            self._curves.add_step(trainer.callback_metrics, loss_of(outputs), trainer.current_epoch + 1, step)

    def _save(self, trainer: lightning.Trainer) -> None:
        """Write the checkpoint in one step; the first one of a stage is read back as a resume would."""
        self._check_finite(trainer)
        begin = time.monotonic()
        path = self._training.book.checkpoint(self._stage)
        write_file(path, lambda partial: trainer.save_checkpoint(partial))
        if not self._verified:
            verify_plain(path)
            self._verified = True
        self._last_save = time.monotonic()
        self._saving_s = self._last_save - begin

    def _report(self, trainer: lightning.Trainer) -> None:
        pace, n_steps = self._training.pace, int(trainer.num_training_batches) * self._n_epochs
        self._run.reporter.update(
            step=_steps_done(trainer), n_steps=n_steps, epoch=min(self._n_epochs, trainer.current_epoch + 1),
            n_epochs=self._n_epochs, fraction=pace.fraction, eta_s=pace.eta_s,
        )  # fmt: skip


def _steps_done(trainer: lightning.Trainer) -> int:
    """Batches of the stage that were begun and are, at the end of a batch, done."""
    return trainer.fit_loop.total_batch_idx + 1
