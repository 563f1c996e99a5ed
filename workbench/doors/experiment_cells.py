"""The trainings of an experiment, one after the other in this process."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from workbench.doors.cohorts import default_split
from workbench.doors.runs import system_of, train_run
from workbench.doors.systems import system
from workbench.errors import Cancelled, WorkbenchError
from workbench.progress import Progress
from workbench.runs import launch as launching
from workbench.runs.experiment import Cell, Experiment
from workbench.runs.run import Run, Stopped, create_run, list_runs

if TYPE_CHECKING:
    from workbench.imaging.cohort import Cohort

WATCH_S = 0.5


def train_cells(found: Experiment, keeper: Run, data: Cohort, progress: Progress) -> None:
    """Train every cell that is left, and note each in the experiment's table.

    Args:
        found: the experiment.
        keeper: its folder as the run that this process attends.
        data: its cohort.
        progress: told before each cell.

    Raises:
        Stopped: the experiment, or the run under way, was asked to stop.
    """
    begun = {run.title: run for run in list_runs(found.runs_dir)}
    started, remaining = time.monotonic(), found.remaining()
    n_before, n_all = len(found.cells) - len(remaining), len(found.cells)
    with _passing_on(keeper) as current:
        for i, cell in enumerate(remaining):
            keeper.check_stop()
            eta_s = (time.monotonic() - started) / i * (len(remaining) - i) if i else None
            keeper.reporter.update(
                now=True, stage=n_before + i + 1, n_stages=n_all, stage_name=cell.title, eta_s=eta_s,
                fraction=(n_before + i) / n_all,
            )  # fmt: skip
            try:
                progress((n_before + i) / n_all, f"{cell.title}, {n_before + i + 1} of {n_all}")
            except Cancelled as error:
                raise Stopped(str(error)) from None
            _train_cell(found, cell, data, begun.get(cell.title), current)


def _train_cell(found: Experiment, cell: Cell, data: Cohort, begun: Run | None, current: list[Run]) -> None:
    """Train, score and note one cell; go on with its run where there is one already."""
    run = begun
    try:
        run = run or _new_run(found, cell, data)
        current[:] = [run]
        if run.result() is None:
            launching.prepare_to_resume(run)
            train_run(run.folder)
        if run.result() is None:
            raise Stopped(f"{cell.title} was stopped; resume the experiment to go on.")
        scores = _held_out_scores(run, data)
    except Cancelled:
        raise
    except WorkbenchError as error:
        found.keeper.log(f"{cell.title} failed: {error}")
        found.append_result(cell, run.id if run else "", "failed", {})
    else:
        found.append_result(cell, run.id, "finished", scores)
    finally:
        current.clear()


def _new_run(found: Experiment, cell: Cell, data: Cohort) -> Run:
    chosen = system(found.system, found.changes(cell), found.preset)
    split = default_split(data, chosen.seed)
    return create_run(
        found.system, chosen.model_dump(mode="json"), seed=chosen.seed, cohort=data.path, cohort_digest=data.digest,
        split=None if split is None else split.to_dict(), split_hash="" if split is None else split.hash,
        quick=found.preset == "quick", preset=found.preset, title=cell.title, root=found.runs_dir,
    )  # fmt: skip


def _held_out_scores(run: Run, data: Cohort) -> dict[str, float]:
    """Score a run on its test subjects, or where it has none on those of validation, or else on all."""
    split: dict[str, Any] = run.info.split or {}
    part = next((p for p in ("test", "validation") if split.get(p)), "all")
    subjects = data.only(split[part]) if part in split else data
    found = system_of(run).evaluate(subjects, run)
    run.save_scores({"run": run.id, "cohort": data.name, "cohort_digest": data.digest, "part": part, **found})
    means = {name: value[0] if isinstance(value, list | tuple) else value for name, value in found["summary"].items()}
    return {name: float(mean) for name, mean in means.items() if mean is not None}


@contextmanager
def _passing_on(keeper: Run) -> Iterator[list[Run]]:
    """Give a list for the run under way, which is asked to stop when the experiment is."""
    current: list[Run] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(WATCH_S):
            if keeper.stop_requested():
                for run in list(current):
                    run.request_stop()

    thread = threading.Thread(target=watch, name="stop", daemon=True)
    thread.start()
    try:
        yield current
    finally:
        ended.set()
        thread.join(timeout=5)
