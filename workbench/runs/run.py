"""The Run: one folder with its records, weights, arrays, log and result.

<system>-<date>-<time>-<4 hex>/
  run.json              what it is; never changes
  notes.json            title, note, star
  status.json           where it is; replaced in one step
  metrics.csv           time, stage, epoch, step, name, value
  checkpoints/          <stage>.ckpt and stages.json
  weights.safetensors   what it learnt
  estimators/ predictions/ samples/ scores.json
  log.txt
  result.json           written last: its presence is success
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import Cancelled, RunError
from workbench.paths import runs_dir
from workbench.progress import Progress
from workbench.runs.contents import RunContents
from workbench.runs.folder import RUN_ID, child_folder, plain, write_json
from workbench.runs.process import lock_is_held, remove_folder
from workbench.runs.records import INFO, RunInfo, new_id, read_info, read_notes, versions, write_notes
from workbench.runs.stages import StageBook
from workbench.runs.status import RESULT, STOP, Reporter, Status, judge, write_status

if TYPE_CHECKING:
    pass


class Stopped(Cancelled):
    """The user asked the run to stop; what it had learnt is saved and it can be resumed."""


class Run(RunContents):
    """A training run; opened with :func:`open_run`, made with :func:`create_run`.

    Attributes:
        folder: everything that the run has.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._info: RunInfo | None = None
        self._reporter: Reporter | None = None

    def __repr__(self) -> str:
        return f"Run({self.id!r})"

    @property
    def info(self) -> RunInfo:
        """What the run is (run.json).

        Raises:
            RunError: run.json is missing or damaged.
        """
        if self._info is None:
            self._info = read_info(self.folder)
        return self._info

    @property
    def stages(self) -> StageBook:
        """Which stages are complete."""
        return StageBook(self.folder)

    @property
    def reporter(self) -> Reporter:
        """Who writes status.json; only for the process that trains the run."""
        if self._reporter is None:
            self._reporter = Reporter(self.folder)
        return self._reporter

    def status(self) -> Status:
        """Say where the run is; a damaged status file gives the state failed with a message, never an error."""
        return judge(self.folder)

    @property
    def is_in_use(self) -> bool:
        """Whether a living process trains the run or waits for its turn; not so before it was launched."""
        status = self.status()
        return lock_is_held(self.folder) or (status.is_live and status.pid is not None)

    def request_stop(self) -> None:
        """Ask the run to save its present step and end."""
        (self.folder / STOP).touch()

    def withdraw_stop(self) -> None:
        """Take back :meth:`request_stop`."""
        (self.folder / STOP).unlink(missing_ok=True)

    def stop_requested(self) -> bool:
        """Say whether the run is to stop."""
        return (self.folder / STOP).exists()

    def check_stop(self) -> None:
        """Raise when the run is to stop; for long work between stages.

        Raises:
            Stopped: there is a request to stop.
        """
        if self.stop_requested():
            raise Stopped(f"Run {self.id} was stopped; resume it to go on.")

    def finish(self, result: dict[str, Any]) -> None:
        """Make the run a success: ``result`` is written last."""
        info = self.info
        lineage = {"run": info.id, "system": info.system, "parent": info.parent, "finished": time.time()}
        whole = plain({**lineage, "extensions": self.stages.extensions(), **result})
        self.reporter.update(now=True, state="finished", fraction=1.0, eta_s=0.0, message="")
        write_json(self.folder / RESULT, whole)

    def fail(self, sentence: str) -> None:
        """Note that the run failed, and why."""
        self.log(f"failed: {sentence}")
        self.reporter.update(now=True, state="failed", eta_s=None, message=sentence)

    @property
    def title(self) -> str:
        """The owner's title; empty when there is none."""
        return read_notes(self.folder).title

    @property
    def note(self) -> str:
        """The owner's note."""
        return read_notes(self.folder).note

    @note.setter
    def note(self, text: str) -> None:
        write_notes(self.folder, replace(read_notes(self.folder), note=text))

    @property
    def star(self) -> bool:
        """Whether the owner marked the run."""
        return read_notes(self.folder).star

    @star.setter
    def star(self, on: bool) -> None:
        write_notes(self.folder, replace(read_notes(self.folder), star=bool(on)))

    def rename(self, title: str) -> None:
        """Give the run another title; its id stays."""
        write_notes(self.folder, replace(read_notes(self.folder), title=title.strip()))

    def extend(self, n_epochs: int, stage: str | None = None) -> None:
        """Lengthen the last stage, or the given one; training goes on when the run is resumed.

        The result of a finished run is kept as ``result-<k>.json``.

        Raises:
            RunError: the run is in use, there is no such stage, or ``n_epochs`` is not positive.
        """
        self._refuse_while_live("extended")
        self.stages.extend(n_epochs, stage)
        if (self.folder / RESULT).exists():
            kept = self.folder / f"result-{len(self.stages.extensions())}.json"
            write_status(
                self.folder, Status(state="stopped", message=f"Extended by {n_epochs} epochs; resume to train them.")
            )
            (self.folder / RESULT).replace(kept)

    def delete(self) -> None:
        """Remove the folder.

        Raises:
            RunError: the run is in use.
        """
        self._refuse_while_live("deleted")
        remove_folder(self.folder, f"Run {self.id}")

    def _refuse_while_live(self, what: str) -> None:
        if self.is_in_use:
            raise RunError(f"Run {self.id} is {self.status().state} and cannot be {what} now; stop it first.")


def create_run(
    system: str,
    settings: dict[str, Any],
    *,
    seed: int,
    cohort: Path | None,
    cohort_digest: str = "",
    split: dict[str, Any] | None = None,
    split_hash: str = "",
    parent: str | None = None,
    root: Path | None = None,
    quick: bool = False,
    preset: str = "",
    title: str = "",
) -> Run:
    """Make the folder of a new run with its run.json.

    Raises:
        RunError: the folder cannot be made.
    """
    root = runs_dir() if root is None else root
    if not RUN_ID.fullmatch(run_id := new_id(system)):
        raise ValueError(f"a system's name has letters, digits and underscores only; got {system!r}")
    folder = root / run_id
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        folder = root / (run_id := new_id(system))
        folder.mkdir(parents=True)
    except OSError as error:
        raise RunError(
            f"No run can be made in {root} ({error.strerror}); check its permissions and free space."
        ) from error
    path = None if cohort is None else str(cohort.resolve())
    info = RunInfo(
        run_id, system, plain(settings), seed, path, cohort_digest, plain(split), split_hash, versions(), parent, quick,
        preset, time.time(),
    )  # fmt: skip
    now = time.time()
    write_status(folder, Status(state="queued", heartbeat=now, queued=now))
    write_json(folder / INFO, vars(info))
    run = Run(folder)
    if title:
        run.rename(title)
    return run


def open_run(id_or_folder: str | Path) -> Run:
    """Open a run by its id (text) or by its folder (a Path).

    Raises:
        RunError: the text is not an id, or there is no such run.
    """
    if isinstance(id_or_folder, str):
        return Run(child_folder(runs_dir(), id_or_folder))
    folder = id_or_folder.expanduser().resolve()
    if not (folder / INFO).is_file():
        raise RunError(
            f"{id_or_folder} is not the folder of a run: it has no {INFO}. Give the folder of a run or its id."
        )
    return Run(folder)


def list_runs(root: Path | None = None) -> list[Run]:
    """Give all runs, newest first; other folders are skipped, damaged runs are not, so that they can be deleted."""
    root = runs_dir() if root is None else root
    if not root.is_dir():
        return []
    runs = [
        Run(path)
        for path in root.iterdir()
        if RUN_ID.fullmatch(path.name) and not path.is_symlink() and (path / INFO).is_file()
    ]
    return sorted(runs, key=_age, reverse=True)


def run_progress(run: Run, stage_name: str) -> Progress:
    """Give a progress callable for long preparations: it fills the status and raises :class:`Stopped` on request.

    Args:
        run: whose status is filled.
        stage_name: what is being prepared.
    """

    def progress(fraction: float, message: str) -> None:
        run.check_stop()
        run.reporter.update(
            stage_name=stage_name, message=f"{message} ({fraction:.0%})" if message else f"{fraction:.0%}"
        )

    return progress


def _age(run: Run) -> tuple[str, float, str]:
    """Order by the second in the id, then by the exact time of creation when run.json can be read."""
    match = RUN_ID.fullmatch(run.id)
    assert match is not None
    try:
        created = run.info.created
    except RunError:
        created = 0.0
    return match["date"] + match["time"], created, run.id
