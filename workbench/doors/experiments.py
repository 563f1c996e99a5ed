"""Experiments: variants of a system trained on the same seeds, followed, stopped, resumed and compared."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.doors.cohorts import open_cohort
from workbench.doors.experiment_cells import train_cells
from workbench.doors.systems import system
from workbench.errors import RunError, SettingsError
from workbench.progress import Progress, silent
from workbench.runs import launch as launching
from workbench.runs.experiment import Experiment, create_experiment, list_experiments, open_experiment
from workbench.runs.folder import write_json
from workbench.runs.process import hand_lock, release_lock, take_lock
from workbench.runs.run import list_runs
from workbench.runs.status import RESULT, Status, write_status
from workbench.systems import catalog

if TYPE_CHECKING:
    import pandas as pd

    from workbench.imaging.cohort import Cohort
    from workbench.metrics.intervals import Interval

__all__ = [
    "compare_experiment", "delete_experiment", "experiment_progress", "list_experiments", "new_experiment",
    "open_experiment", "resume_experiment", "run_experiment", "start_experiment", "stop_experiment",
]  # fmt: skip

ExperimentId = str | Path


@dataclass(frozen=True)
class ExperimentProgress:
    """How far an experiment is.

    Attributes:
        state: queued, running, stopping, stopped, finished, failed or lost.
        n_done: trainings that were tried.
        n_failed: those of them that failed.
        n_trainings: all of them.
        fraction: 0 to 1, the training under way included.
        now: what is being trained; empty while nothing is.
        eta_s: seconds to the end; None while unknown.
        message: a sentence for people.
    """

    state: str
    n_done: int
    n_failed: int
    n_trainings: int
    fraction: float
    now: str
    eta_s: float | None
    message: str


@dataclass(frozen=True)
class PairedRow:
    """One variant against the reference, at one number of labels.

    Attributes:
        variant: its name.
        n_labels: 0 for all.
        n_pairs: seeds at which both are finished.
        mean: of the variant's scores over these seeds.
        reference_mean: of the reference's.
        difference: variant - reference, with its 95 % bootstrap interval over seeds; NaN ends for a single seed.
    """

    variant: str
    n_labels: int
    n_pairs: int
    mean: float
    reference_mean: float
    difference: Interval


@dataclass(frozen=True)
class PairedTable:
    """All variants against the reference.

    Attributes:
        score: what is compared.
        reference: the variant that the others are compared with.
        rows: one a variant and number of labels, without the reference itself.
        pairs: variant, n_labels, seed, value, reference_value, difference: one row a seed, the reference among them.
    """

    score: str
    reference: str
    rows: tuple[PairedRow, ...]
    pairs: pd.DataFrame


def new_experiment(
    name: str, cohort: str | Path, variants: Mapping[str, Mapping[str, Any]], *, base: Mapping[str, Any] | None = None,
    seeds: Sequence[int] | int = 10, n_labels: Sequence[int] = (0,), preset: str = "", title: str = "",
) -> Experiment:  # fmt: skip
    """Make an experiment without starting it; every variant's settings are checked first.

    Args:
        name: of the system.
        cohort: its name in the data folder, or its path.
        variants: name → settings that differ from the base; the first is the reference.
        base: settings that all share, as changes to the preset.
        seeds: the seeds, or how many: 0, 1, ….
        n_labels: numbers of labels to learn from; 0 for all.
        preset: where the settings start from; the system's first without it.
        title: for people.

    Raises:
        SettingsError: an unknown system or setting, a value out of bounds, or nothing to train.
        CohortError: the cohort does not fit the system.
    """
    seeds = tuple(range(seeds)) if isinstance(seeds, int) else tuple(int(s) for s in seeds)
    if not seeds or not variants or not n_labels:
        raise SettingsError("An experiment needs at least one variant, one seed and one number of labels (0 for all).")
    data, preset, base = open_cohort(cohort), preset or catalog.load(name).presets[0].name, dict(base or {})
    numbers = (int(base.pop("n_labels")),) if "n_labels" in base and tuple(n_labels) == (0,) else tuple(n_labels)
    _check(name, data, preset, base, variants, numbers)
    return create_experiment(
        name, data.path, variants, seeds=seeds, n_labels=numbers, base=base, preset=preset, title=title.strip(),
        cohort_digest=data.digest,
    )  # fmt: skip


def start_experiment(
    name: str, cohort: str | Path, base: Mapping[str, Any], variants: Mapping[str, Mapping[str, Any]],
    seeds: Sequence[int] | int, n_labels: Sequence[int] = (0,), title: str = "", *, preset: str = "",
) -> Experiment:  # fmt: skip
    """Make an experiment, as :func:`new_experiment`, and train it in a process of its own, which outlives this one."""
    made = new_experiment(name, cohort, variants, base=base, seeds=seeds, n_labels=n_labels, preset=preset, title=title)
    _launch(made)
    return made


def resume_experiment(experiment: ExperimentId) -> Experiment:
    """Go on with an experiment in a process of its own; what failed is tried again.

    Raises:
        RunError: it is in use, or nothing is left to do.
    """
    found = open_experiment(experiment)
    if not found.remaining():
        raise RunError(f"Experiment {found.id} is finished; start a new one to try something else.")
    _launch(found)
    return found


def run_experiment(experiment: ExperimentId, progress: Progress = silent, *, launched: bool = False) -> Experiment:
    """Train what is left of an experiment in this process, one training after the other.

    A training that fails is noted and the others go on. Ctrl-C, or :func:`stop_experiment` from elsewhere, saves the
    present step; the experiment is then stopped and can be run again, which goes on in the middle of that training.

    Args:
        experiment: its id or folder.
        progress: told before each training; :class:`Cancelled` stops the experiment.
        launched: whether :func:`start_experiment` began this process, so that a request to stop is a new one.

    Raises:
        RunError: another process works on it, or the cohort has changed.
    """
    found = open_experiment(experiment)
    if not found.remaining():
        return found
    keeper, data = found.keeper, open_cohort(found.cohort)
    take_lock(found.folder)
    if not launched:
        _make_ready(found)
    with launching.attend(keeper):
        if found.cohort_digest and data.digest != found.cohort_digest:
            raise RunError(
                f"The files of cohort {data.name} have changed since experiment {found.id} began, so its trainings "
                "could not be compared any more; start a new experiment."
            )
        train_cells(found, keeper, data, progress)
        n_failed = len(found.remaining())
        keeper.reporter.update(now=True, state="finished", fraction=1.0, eta_s=0.0, message="")
        write_json(found.folder / RESULT, {"n_trainings": len(found.cells), "n_failed": n_failed})
        progress(1.0, f"{len(found.cells)} trainings, {n_failed} failed")
    return found


def experiment_progress(experiment: ExperimentId) -> ExperimentProgress:
    """Say how far an experiment is."""
    found = open_experiment(experiment)
    status, rows = found.status(), found.rows()
    n_done, n_all = sum(cell in rows for cell in found.cells), len(found.cells)
    under_way = next((s.fraction for r in list_runs(found.runs_dir) if (s := r.status()).is_live), 0.0)
    n_failed = sum(row.get("state") == "failed" for row in rows.values())
    is_over = status.state == "finished"
    fraction = 1.0 if is_over else min(1.0, (n_done + under_way) / n_all)
    now = status.stage_name if status.is_live else ""
    message = status.message or (f"{n_failed} of {n_all} trainings failed; the log says why." if n_failed else "")
    return ExperimentProgress(status.state, n_done, n_failed, n_all, fraction, now, status.eta_s, message)


def stop_experiment(experiment: ExperimentId) -> None:
    """Ask an experiment to save the present step of the present training and end.

    Raises:
        RunError: no process works on it.
    """
    found = open_experiment(experiment)
    if not found.status().is_live:
        raise RunError(f"Experiment {found.id} is {found.status().state}, so there is nothing to stop.")
    found.keeper.request_stop()


def delete_experiment(experiment: ExperimentId) -> None:
    """Delete an experiment with all its runs; one that is in use is refused."""
    open_experiment(experiment).delete()


def compare_experiment(experiment: ExperimentId, score: str, reference: str = "") -> PairedTable:
    """Compare every variant with the reference on one score, seed by seed, with 95 % intervals of the difference.

    Args:
        experiment: its id or folder.
        score: one of the experiment's ``scores``.
        reference: a variant; the first one without it.

    Raises:
        RunError: no such score or variant.
    """
    from workbench.metrics.intervals import paired_difference_interval

    found = open_experiment(experiment)
    reference = reference or next(iter(found.variants))
    pairs = found.paired(score, reference)
    rows = []
    for (_, variant), part in pairs.groupby(["n_labels", "variant"], sort=False):
        if variant != reference:
            value, base = part["value"].to_numpy(), part["reference_value"].to_numpy()
            difference = paired_difference_interval(value, base)
            rows.append(
                PairedRow(
                    str(variant),
                    int(part["n_labels"].iloc[0]),
                    len(part),
                    float(value.mean()),
                    float(base.mean()),
                    difference,
                )
            )
    return PairedTable(score, reference, tuple(rows), pairs)


def _check(
    name: str, data: Cohort, preset: str, base: dict[str, Any], variants: Mapping[str, Mapping[str, Any]],
    n_labels: tuple[int, ...],
) -> None:  # fmt: skip
    """Check the settings of every variant before anything is trained."""
    if n_labels != (0,) and "n_labels" not in catalog.load(name).model_fields:
        raise SettingsError(f"{name} has no setting n_labels, so numbers of labels cannot be varied; leave them out.")
    for changes in variants.values():
        if clash := ({"seed", "n_labels"} & set(changes)) | ({"seed"} & set(base)):
            raise SettingsError(f"{clash.pop()} cannot be set in an experiment; its seeds and numbers of labels are.")
        labels = [{"n_labels": n} if n else {} for n in n_labels]
        for number in labels[1:]:
            system(name, {**base, **changes, **number}, preset)
        system(name, {**base, **changes, **labels[0]}, preset).check(data)


def _launch(found: Experiment) -> None:
    """Start the detached child that runs an experiment, and hand it the lock."""
    take_lock(found.folder)
    try:
        _make_ready(found)
        now = time.time()
        queued = Status(heartbeat=now, queued=now, n_stages=len(found.cells), message="Starting.")
        write_status(found.folder, queued)
        command = [sys.executable, "-m", "workbench", "experiment", "--run", str(found.folder)]
        hand_lock(found.folder, launching.start_detached(command, found.folder / "log.txt").pid)
    except BaseException:
        release_lock(found.folder)
        raise


def _make_ready(found: Experiment) -> None:
    """Forget that it was stopped, or that it ended with trainings that failed."""
    found.keeper.withdraw_stop()
    (found.folder / RESULT).unlink(missing_ok=True)
