"""checkpoints/stages.json: which stages are complete, and by how many epochs a run was extended.

That a stage is complete is said here, after its last checkpoint is on the disk, and not inside the checkpoint: a
process that dies in between resumes at the last step and has nothing left to do.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.errors import RunError
from workbench.runs.folder import read_json, safe_name, write_json


@dataclass(frozen=True)
class StagePlan:
    """What is known of a stage before it begins; it makes the remaining time an estimate from the first minute on.

    Attributes:
        name: what the stage is called; also its checkpoint's file name.
        n_epochs: epochs planned.
        n_batches: batches of an epoch; None when unknown, then that of the present stage is assumed.
    """

    name: str
    n_epochs: int = 1
    n_batches: int | None = None


class StageBook:
    """The book of a run's stages; every change is on the disk before the method returns."""

    def __init__(self, run_folder: Path) -> None:
        self._folder = run_folder / "checkpoints"
        self._path = self._folder / "stages.json"

    def begin(self, names: Sequence[str]) -> None:
        """Note the stages in their order.

        Raises:
            ValueError: two stages would share a checkpoint.
        """
        files = [safe_name(name, ".ckpt") for name in names]
        if len(set(files)) != len(files):
            raise ValueError(f"The names of stages must differ, also as file names: {list(names)}.")
        book = self._read()
        if book["order"] != list(names):
            self._write({**book, "order": list(names)})

    def checkpoint(self, name: str) -> Path:
        """Give the path of a stage's checkpoint."""
        return self._folder / safe_name(name, ".ckpt")

    def order(self) -> list[str]:
        """Give the names of the stages in their order; empty before training began."""
        return list(self._read()["order"])

    def is_complete(self, name: str, n_epochs: int) -> bool:
        """Say whether a stage was trained to its end for at least ``n_epochs``."""
        stage = self._read()["stages"].get(name)
        return stage is not None and stage["planned"] >= n_epochs and self.checkpoint(name).exists()

    def complete(self, name: str, *, planned: int, n_epochs: int, n_steps: int) -> None:
        """Note that a stage is complete.

        Args:
            name: the stage.
            planned: the epochs that were asked for.
            n_epochs: the epochs that were trained; fewer when the stage ended early by its own rule.
            n_steps: the batches that were trained.
        """
        book = self._read()
        done = {"planned": planned, "n_epochs": n_epochs, "n_steps": n_steps, "time": time.time()}
        self._write({**book, "stages": {**book["stages"], name: done}})

    def n_steps(self, name: str) -> int | None:
        """Give the batches of a complete stage; None when it is not complete."""
        stage = self._read()["stages"].get(name)
        return None if stage is None else int(stage["n_steps"])

    def extend(self, n_epochs: int, stage: str | None) -> None:
        """Lengthen a stage, the last one when ``stage`` is None; the stages after it will be trained anew.

        Raises:
            RunError: there is no such stage, or the number of epochs is not positive.
        """
        book = self._read()
        order = book["order"]
        if n_epochs < 1:
            raise RunError(f"A run is extended by at least 1 epoch, not by {n_epochs}.")
        if stage is not None and stage not in order:
            raise RunError(f"There is no stage {stage!r} to extend; this run has {', '.join(order) or 'none yet'}.")
        later = order[order.index(stage) + 1 :] if stage is not None else []
        stages = {name: done for name, done in book["stages"].items() if name not in later}
        extension = {"stage": stage or (order[-1] if order else None), "n_epochs": n_epochs, "time": time.time()}
        self._write({**book, "stages": stages, "extensions": [*book["extensions"], extension]})
        for name in later:
            self.checkpoint(name).unlink(missing_ok=True)

    def extensions(self) -> list[dict[str, Any]]:
        """Give all extensions in their order: stage, n_epochs, time (s since 1970)."""
        return list(self._read()["extensions"])

    def extra_epochs(self, name: str) -> int:
        """Give by how many epochs a stage was extended in all."""
        book = self._read()
        last = book["order"][-1] if book["order"] else None
        return sum(item["n_epochs"] for item in book["extensions"] if (item["stage"] or last) == name)

    def _read(self) -> dict[str, Any]:
        empty: dict[str, Any] = {"order": [], "stages": {}, "extensions": []}
        return {**empty, **read_json(self._path)} if self._path.exists() else empty

    def _write(self, book: dict[str, Any]) -> None:
        write_json(self._path, book)
