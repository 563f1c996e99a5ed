"""Which of Lightning's metrics are fresh, and when they are written.

``trainer.callback_metrics`` keeps old values beside new ones: within an epoch those of the epoch before, at its end
those of the last batch. What a module logs within an epoch is known before its first epoch ends; such values are
written with the ending ``_step``, the epoch's own under their plain names.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.runs.metrics_log import append_metrics, rewind_metrics

if TYPE_CHECKING:
    from torch import Tensor

LOG_S, LOG_STEPS, LOG_DENSE_UNTIL = 1.0, 10, 1000
FORKED = ("_step", "_epoch")


class Curves:
    """Writes the metrics of one stage.

    Within an epoch values are written every second and, for the first thousand batches, every tenth batch; reading
    them waits for the device, which so happens no more often than that.

    Args:
        path: the metrics.csv.
        stage: name of the stage.
    """

    def __init__(self, path: Path, stage: str) -> None:
        self._path, self._stage = path, stage
        self._step_names: set[str] = set()
        self._epoch_ended = False
        self._last = -math.inf

    def rewind(self, step: int, later_stages: Sequence[str]) -> None:
        """Drop what was written after ``step`` of this stage, and of later stages: it is about to come again."""
        rewind_metrics(self._path, lambda stage, at: stage not in later_stages and (stage != self._stage or at <= step))

    def is_due(self, step: int) -> bool:
        """Say whether values are to be written after this batch."""
        is_dense = step <= LOG_DENSE_UNTIL and (step % LOG_STEPS == 0 or step == 1)
        return is_dense or time.monotonic() - self._last >= LOG_S

    def add_step(self, metrics: Mapping[str, Tensor], loss: Tensor | None, epoch: int, step: int) -> None:
        """Write what the module logs batch by batch, or the loss when it logs nothing."""
        if not self._epoch_ended:
            self._step_names.update(name for name in metrics if not name.endswith(FORKED))
        self._last = time.monotonic()
        values = _scalars({name: value for name, value in metrics.items() if name in self._step_names})
        if not values and loss is not None:
            values = _scalars({"loss": loss})
        append_metrics(self._path, self._stage, epoch, step, {f"{name}_step": v for name, v in values.items()})

    def add_epoch(self, metrics: Mapping[str, Tensor], epoch: int, step: int, *, validated: bool) -> None:
        """Write what the module logs epoch by epoch.

        Args:
            metrics: all that the trainer holds.
            epoch: the epoch that ended, from 1.
            step: batches done in the stage.
            validated: whether validation ran to its end; without it names that begin with ``val`` are left out.
        """
        self._epoch_ended = True
        stale = {name for name in self._step_names if f"{name}_epoch" not in metrics}
        values = {
            name: value
            for name, value in _scalars(metrics).items()
            if not name.endswith(FORKED) and name not in stale and (validated or not name.startswith("val"))
        }
        append_metrics(self._path, self._stage, epoch, step, values)


class LossWatch:
    """Remembers on the device whether every loss so far was finite, without waiting for it."""

    def __init__(self) -> None:
        self._flag: Tensor | None = None

    def add(self, outputs: object) -> None:
        """Take the outputs of a training step; those without a loss change nothing."""
        loss = loss_of(outputs)
        if loss is not None:
            flag = loss.detach().sum() * 0  # 0, or not a number; sums keep the latter
            self._flag = flag if self._flag is None else self._flag + flag

    @property
    def is_finite(self) -> bool:
        """Whether every loss so far was a finite number."""
        return self._flag is None or math.isfinite(float(self._flag))


def loss_of(outputs: object) -> Tensor | None:
    """Give the loss in what Lightning hands on from a training step; None when there is none."""
    loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
    return loss if hasattr(loss, "detach") else None  # type: ignore[return-value]


def _scalars(metrics: Mapping[str, Tensor]) -> dict[str, float]:
    return {name: float(value) for name, value in metrics.items() if value.numel() == 1}
