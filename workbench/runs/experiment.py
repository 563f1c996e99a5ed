"""The Experiment: variants of one system trained on the same seeds, so that differences can be told from chance.

<system>-<date>-<time>-<4 hex>/
  experiment.json   what it is; never changes
  status.json       where it is, as of a run
  results.csv       one row a training: variant, seed, n_labels, run, state, and the scores of its held-out subjects
  runs/             one ordinary run folder a training
  result.json       written last, when every training was tried

Variants are compared seed by seed: what one seed decides (split, first weights, order of batches, which labels are
kept) is then the same on both sides of a difference.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import RunError
from workbench.paths import experiments_dir
from workbench.runs.folder import RUN_ID, read_json, write_json
from workbench.runs.process import lock_is_held, remove_folder
from workbench.runs.records import new_id, versions
from workbench.runs.results import Cell, add_result, paired_results, read_results, results_table, score_names
from workbench.runs.run import Run
from workbench.runs.status import Status, judge, write_status

if TYPE_CHECKING:
    import pandas as pd

INFO, RESULTS, RUNS = "experiment.json", "results.csv", "runs"


@dataclass(frozen=True)
class Experiment:
    """What is compared; opened with :func:`open_experiment`, made with :func:`create_experiment`.

    Attributes:
        id: ``<system>-<date>-<time>-<4 hex>``, in local time.
        system: name of the system.
        cohort: path of the cohort.csv.
        cohort_digest: of the cohort's table and files.
        preset: name of the preset that the settings start from.
        base: settings that all variants share, as changes to the preset.
        variants: name → changes to the base; the first is the reference.
        seeds: every variant is trained with each.
        n_labels: and with each of these numbers of labels; 0 for all. ``(0,)`` leaves the setting alone.
        title: its owner's.
        created: in seconds since 1970.
        versions: of python, torch, lightning, numpy and the workbench.
        folder: everything that it has.
    """

    id: str
    system: str
    cohort: str
    cohort_digest: str
    preset: str
    base: dict[str, Any]
    variants: dict[str, dict[str, Any]]
    seeds: tuple[int, ...]
    n_labels: tuple[int, ...]
    title: str
    created: float
    versions: dict[str, str]
    folder: Path = field(default=Path(), compare=False)

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """Every training, seed by seed, so that what is done first can already be compared."""
        return tuple(Cell(v, seed, n) for seed in self.seeds for n in self.n_labels for v in self.variants)

    @property
    def runs_dir(self) -> Path:
        """The folder of its runs."""
        return self.folder / RUNS

    @property
    def keeper(self) -> Run:
        """The folder as a Run, for what both have: lock, status, log and the request to stop."""
        return Run(self.folder)

    def status(self) -> Status:
        """Say where the experiment is; ``stage`` counts trainings."""
        return judge(self.folder)

    @property
    def is_in_use(self) -> bool:
        """Whether a living process works on it."""
        status = self.status()
        return lock_is_held(self.folder) or (status.is_live and status.pid is not None)

    def changes(self, cell: Cell) -> dict[str, Any]:
        """Give the settings of one training, as changes to the preset."""
        labels = {} if self.n_labels == (0,) else {"n_labels": cell.n_labels}
        return {**self.base, **self.variants[cell.variant], "seed": cell.seed, **labels}

    def rows(self) -> dict[Cell, dict[str, str]]:
        """Give the row of each training that was tried: its cells as text, by column."""
        return read_results(self.folder / RESULTS)

    @property
    def scores(self) -> list[str]:
        """The names of all scores so far."""
        return score_names(self.rows())

    def remaining(self) -> list[Cell]:
        """Give the trainings that are not finished, in order; those that failed among them."""
        done = {cell for cell, row in self.rows().items() if row.get("state") == "finished"}
        return [cell for cell in self.cells if cell not in done]

    def append_result(self, cell: Cell, run: str, state: str, scores: Mapping[str, float]) -> None:
        """Add a row; one of the same training is replaced.

        Args:
            cell: which training.
            run: id of its run.
            state: ``"finished"`` or ``"failed"``.
            scores: of its held-out subjects, by name; those that are not finite stay empty.
        """
        add_result(self.folder / RESULTS, cell, run, state, scores)

    def table(self) -> pd.DataFrame:
        """Give all rows: variant, seed, n_labels, run, state, and a column of float64 for each score (NaN: none)."""
        return results_table(self.rows())

    def paired(self, score: str, reference: str = "") -> pd.DataFrame:
        """Give every variant beside the reference, seed by seed.

        Args:
            score: one of :attr:`scores`.
            reference: a variant; the first one without it.

        Returns:
            Columns variant, n_labels, seed, value, reference_value and difference, one row where both are finished.

        Raises:
            RunError: no training has that score, or there is no such variant.
        """
        reference = reference or next(iter(self.variants))
        if reference not in self.variants:
            raise RunError(f"There is no variant {reference!r}; it is one of {', '.join(self.variants)}.")
        if score not in self.scores:
            known = ", ".join(self.scores) or "none yet"
            raise RunError(f"No training of experiment {self.id} has the score {score!r}; known ones are {known}.")
        return paired_results(self.table(), score, reference, list(self.variants))

    def delete(self) -> None:
        """Remove the folder with all its runs.

        Raises:
            RunError: it is in use.
        """
        if self.is_in_use:
            raise RunError(f"Experiment {self.id} is {self.status().state} and cannot be deleted now; stop it first.")
        remove_folder(self.folder, f"Experiment {self.id}")


def create_experiment(
    system: str,
    cohort: Path,
    variants: Mapping[str, Mapping[str, Any]],
    *,
    seeds: Sequence[int],
    n_labels: Sequence[int] = (0,),
    base: Mapping[str, Any] | None = None,
    preset: str = "",
    title: str = "",
    cohort_digest: str = "",
    root: Path | None = None,
) -> Experiment:
    """Make the folder of a new experiment with its experiment.json.

    Raises:
        RunError: the folder cannot be made.
    """
    if not variants or not seeds or not n_labels:
        raise ValueError("an experiment has at least one variant, one seed and one number of labels")
    root = experiments_dir() if root is None else root
    if not RUN_ID.fullmatch(name := new_id(system)):
        raise ValueError(f"a system's name has letters, digits and underscores only; got {system!r}")
    folder = root / name
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise RunError(
            f"No experiment can be made in {root} ({error.strerror}); check its permissions and free space."
        ) from error
    now = time.time()
    experiment = Experiment(
        name, system, str(cohort.resolve()), cohort_digest, preset, dict(base or {}),
        {k: dict(v) for k, v in variants.items()}, tuple(dict.fromkeys(seeds)), tuple(dict.fromkeys(n_labels)), title,
        now, versions(), folder,
    )  # fmt: skip
    write_status(folder, Status(state="queued", heartbeat=now, queued=now, n_stages=len(experiment.cells)))
    write_json(folder / INFO, {f.name: getattr(experiment, f.name) for f in fields(Experiment) if f.name != "folder"})
    return experiment


def open_experiment(id_or_folder: str | Path) -> Experiment:
    """Open an experiment by its id (text) or by its folder (a Path).

    Raises:
        RunError: the text is not an id, there is no such experiment, or experiment.json is damaged.
    """
    if isinstance(id_or_folder, str) and not RUN_ID.fullmatch(id_or_folder):
        raise RunError(f"{id_or_folder[:80]!r} is not the id of an experiment; choose one from the list.")
    folder = experiments_dir() / id_or_folder if isinstance(id_or_folder, str) else id_or_folder.expanduser().resolve()
    if folder.is_symlink() or not (folder / INFO).is_file():
        raise RunError(f"There is no experiment {id_or_folder}: its folder has no {INFO}. Choose one from the list.")
    values = read_json(folder / INFO)
    names = [f.name for f in fields(Experiment) if f.name != "folder"]
    kinds = {"variants": dict, "base": dict, "seeds": list, "n_labels": list, "system": str, "cohort": str}
    if any(n not in values for n in names) or any(not isinstance(values[n], kind) for n, kind in kinds.items()):
        raise RunError(f"{INFO} of experiment {folder.name} is damaged; restore the file or delete the experiment.")
    lists = {n: tuple(values[n]) for n in ("seeds", "n_labels")}
    return Experiment(**{**{n: values[n] for n in names}, **lists, "folder": folder})


def list_experiments(root: Path | None = None) -> list[Experiment]:
    """Give all experiments that can be read, newest first."""
    root = experiments_dir() if root is None else root
    found = []
    for path in root.iterdir() if root.is_dir() else ():
        if RUN_ID.fullmatch(path.name) and not path.is_symlink() and (path / INFO).is_file():
            try:
                found.append(open_experiment(path))
            except RunError:
                continue
    return sorted(found, key=lambda e: (e.created, e.id), reverse=True)
