"""Runs: train, launch, resume, stop, compare, and hand on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.doors.cohorts import default_split, open_cohort
from workbench.doors.systems import system
from workbench.runs import archive
from workbench.runs import launch as launching
from workbench.runs import run as runs
from workbench.runs.run import Run, create_run
from workbench.systems import catalog

if TYPE_CHECKING:
    from workbench.systems.base import System

RunId = str | Path


def train(
    name: str, cohort: str | Path, changes: dict[str, Any] | None = None, *, preset: str = "", title: str = ""
) -> Run:
    """Train in this process and give the run; it may have failed or been stopped, its status says so."""
    return train_run(_new_run(name, cohort, changes or {}, preset, title).folder)


def launch(
    name: str, cohort: str | Path, changes: dict[str, Any] | None = None, *, preset: str = "", title: str = ""
) -> Run:
    """Make a run and train it in a process of its own, which outlives this one."""
    run = _new_run(name, cohort, changes or {}, preset, title)
    launching.launch(run)
    return run


def train_run(folder: Path, *, in_turn: bool = False) -> Run:
    """Train what a run's folder says, in this process; resumes where it was left.

    Args:
        folder: of the run.
        in_turn: whether to wait for runs that were started before.
    """
    run = runs.open_run(folder)
    with launching.attend(run, in_queue=in_turn):  # torch is imported after the wait, so that a waiting run is light
        if in_turn:
            launching.wait_for_turn(run)
        cohort = open_cohort(run.info.cohort or "")
        if run.info.cohort_digest and cohort.digest != run.info.cohort_digest:
            run.log("the cohort's files have changed since the run was made")
        system_of(run).fit(cohort, run)
    return run


def resume_here(run_id: RunId, extend: int = 0) -> Run:
    """Go on with a run in this process."""
    run = open_run(run_id)
    launching.prepare_to_resume(run, extend)
    return train_run(run.folder)


def resume(run_id: RunId, extend: int = 0) -> Run:
    """Go on with a run in a process of its own."""
    run = open_run(run_id)
    launching.prepare_to_resume(run, extend)
    launching.launch(run)
    return run


def stop(run_id: RunId) -> None:
    """Ask a run to save its present step and end."""
    launching.stop(open_run(run_id))


def open_run(run: RunId) -> Run:
    """Open a run by its id (text) or its folder (a path); text never leads out of the folder of runs.

    Raises:
        RunError: there is none.
    """
    return runs.open_run(run)


def system_of(run: Run, changes: dict[str, Any] | None = None) -> System:
    """Give the system that a run trained, with its settings; ``changes`` apply on top, for example another modality."""
    return system(run.info.system, run.info.settings | (changes or {}))


def list_runs() -> list[Run]:
    """Give all runs, newest first."""
    return runs.list_runs()


def recover() -> list[Run]:
    """Mark runs whose process is gone as lost; give those that were found now."""
    return launching.recover()


def delete_run(run_id: RunId) -> None:
    """Delete a run; one that is in use is refused."""
    open_run(run_id).delete()


def export_run(run_id: RunId) -> bytes:
    """Give a zip of a run without its checkpoints: whoever has it has the result."""
    return archive.export_run(open_run(run_id))


def compare(run_ids: Sequence[RunId]) -> archive.Comparison:
    """Put 2 to 6 runs side by side: curves, the settings that differ, scores."""
    return archive.compare([open_run(i) for i in run_ids])


def _new_run(name: str, cohort: str | Path, changes: dict[str, Any], preset: str, title: str) -> Run:
    presets = catalog.load(name).presets
    preset = preset if preset and (preset != "published" or any(p.name == preset for p in presets)) else presets[0].name
    chosen, data = system(name, changes, preset), open_cohort(cohort)
    chosen.check(data)
    split = default_split(data, chosen.seed)
    return create_run(
        name, chosen.model_dump(mode="json"), seed=chosen.seed, cohort=data.path, cohort_digest=data.digest,
        split=None if split is None else split.to_dict(), split_hash="" if split is None else split.hash,
        quick=preset == "quick", preset=preset, title=title,
    )  # fmt: skip
