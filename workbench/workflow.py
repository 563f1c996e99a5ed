"""The one door that the command line, the pages and the notebooks use.

Each function takes names, paths and plain values and gives cohorts, runs, volumes or views to be drawn. Libraries that
are slow to import are imported by the functions that need them.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from workbench.errors import CohortError, RunError, SettingsError
from workbench.paths import cohorts_dir
from workbench.progress import Progress, silent
from workbench.runs import archive, job
from workbench.runs import launch as launching
from workbench.runs.run import Run, create_run
from workbench.runs.run import list_runs as _list_runs
from workbench.runs.run import open_run as _open_run
from workbench.systems import catalog

if TYPE_CHECKING:
    import numpy as np

    from workbench.figures.diagrams import EncoderDecoder
    from workbench.figures.theme import Theme
    from workbench.imaging.cohort import Cohort
    from workbench.imaging.fingerprint import Fingerprint
    from workbench.imaging.splits import Split
    from workbench.imaging.volume import Volume
    from workbench.phantoms.appearance import Difficulty
    from workbench.systems.base import Preset, System
    from workbench.systems.feature_search import SimilarityView
    from workbench.systems.feature_views import FilterBank, Reconstructions
    from workbench.systems.features_base import FeatureLearning, PatchPreview
    from workbench.systems.form import Estimate, Field

PHANTOM_KINDS = {
    "brain": "Brains made from the MNI152 template: the deformation, the tissues and the contrasts are known."
}

RunId = str | Path

list_systems = catalog.cards
job_progress, end_job, read_job, cancel_job = job.job_progress, job.end_job, job.read_job, job.cancel_job


# Systems and their settings


def system_presets(name: str) -> tuple[Preset, ...]:
    """Give a system's presets; the first is the published or the full form."""
    return catalog.load(name).presets


def system_fields(name: str) -> list[Field]:
    """Give what a form needs to know of each setting."""
    from workbench.systems.form import fields

    return fields(catalog.load(name))


def check_settings(name: str, changes: dict[str, Any], preset: str = "") -> dict[str, Any]:
    """Give complete settings from a preset and changes to it.

    Raises:
        SettingsError: a setting or preset is unknown, or a value is out of bounds.
    """
    return _system(name, changes, preset).model_dump(mode="json")


def estimate(name: str, settings: dict[str, Any]) -> Estimate:
    """Say what a training will take on this machine: minutes, parameters, memory."""
    from workbench.systems.form import estimate as _estimate

    return _estimate(_system(name, settings))


# Cohorts


def list_cohorts() -> list[Cohort]:
    """Give every readable cohort of the data folder, by name."""
    from workbench.imaging.cohort import read_cohort

    found = []
    for file in sorted(cohorts_dir().glob("*/cohort.csv")):
        try:
            found.append(read_cohort(file))
        except CohortError:  # it is listed by list_broken_cohorts, with the reason
            continue
    return found


def list_broken_cohorts() -> dict[str, str]:
    """Give folders of the data folder whose cohort cannot be read: name → why."""
    from workbench.imaging.cohort import read_cohort

    broken = {}
    for file in sorted(cohorts_dir().glob("*/cohort.csv")):
        try:
            read_cohort(file)
        except CohortError as error:
            broken[file.parent.name] = str(error)
    return broken


def open_cohort(name_or_path: str | Path) -> Cohort:
    """Open a cohort by its name in the data folder, its folder, or its cohort.csv.

    Raises:
        CohortError: there is none.
    """
    from workbench.imaging.cohort import read_cohort

    text = str(name_or_path)
    named = cohorts_dir() / text
    is_name = text and not any(c in text for c in "/\\") and (named / "cohort.csv").is_file()
    return read_cohort(named if is_name else Path(text))


def make_phantom(
    kind: str, out: Path | str, *, n_subjects: int = 8, seed: int = 0, spacing_mm: float = 2.0, 
    difficulty: Difficulty = "easy", progress: Progress = silent,
) -> Cohort:  # fmt: skip
    """Make a cohort whose truth is known; a bare name goes to the data folder.

    Raises:
        SettingsError: no phantom of that kind or difficulty.
        CohortError: the folder exists already.
    """
    if kind not in PHANTOM_KINDS:
        raise SettingsError(f"There is no phantom {kind!r}; known ones are {', '.join(PHANTOM_KINDS)}.")
    from workbench.phantoms.brain import make_brain

    return make_brain(
        _new_cohort(out),
        n_subjects=n_subjects,
        seed=seed,
        spacing_mm=spacing_mm,
        difficulty=difficulty,
        progress=progress,
    )


def import_cohort(source: Path | str, out: Path | str, *, link: bool = False, progress: Progress = silent) -> Cohort:
    """Import BIDS, dataset.json, DICOM, a zip, a folder of files or one file; a bare name goes to the data folder.

    Raises:
        FileError, CohortError: nothing in the source can be used, or ``out`` exists.
        Cancelled: ``progress`` said so; nothing is left behind.
    """
    from workbench.imaging.importers import import_cohort as _import

    return _import(Path(source).expanduser(), _new_cohort(out), link=link, progress=progress)


def import_uploads(files: Iterable[tuple[str, BinaryIO]], out: str, progress: Progress = silent) -> Cohort:
    """Import files that came through the browser."""
    from workbench.imaging.uploads import staged

    with staged(files) as folder:
        return import_cohort(folder, out, progress=progress)


def start_import(source: str, name: str, *, link: bool = False) -> job.Job:
    """Import a folder of this machine in a process of its own; follow it with :func:`read_job`."""
    return job.start_job(["import", source, str(_new_cohort(name)), *(["--link"] if link else [])])


def start_phantom(
    name: str, *, n_subjects: int = 8, seed: int = 0, spacing_mm: float = 2.0, difficulty: Difficulty = "easy"
) -> job.Job:
    """Make a phantom cohort in a process of its own; follow it with :func:`read_job`."""
    numbers = [
        "--subjects",
        str(n_subjects),
        "--seed",
        str(seed),
        "--spacing",
        str(spacing_mm),
        "--difficulty",
        difficulty,
    ]
    return job.start_job(["phantom", "brain", str(_new_cohort(name)), *numbers])


def delete_cohort(name: str) -> None:
    """Delete a cohort of the data folder; runs trained on it stay.

    Raises:
        CohortError: there is no such cohort in the data folder.
    """
    from workbench.imaging.cohort import delete_cohort as _delete

    _delete(cohorts_dir(), name)


def inspect(cohort: Cohort, progress: Progress = silent) -> Fingerprint:
    """Give a cohort's fingerprint; it is kept beside the cohort until the data changes."""
    from workbench.imaging.stored_fingerprint import stored_fingerprint

    return stored_fingerprint(cohort, progress)


def describe_fingerprint(found: Fingerprint) -> str:
    """Give a fingerprint as lines of text."""
    from workbench.imaging.stored_fingerprint import describe

    return describe(found)


def make_split(cohort: Cohort, fractions: tuple[float, float, float] = (0.7, 0.15, 0.15), seed: int = 0) -> Split:
    """Split a cohort by group into training, validation and test."""
    from workbench.imaging.splits import split_by_group

    return split_by_group(cohort, fractions, seed)


def save_split(cohort: Cohort, split: Split | None) -> Cohort:
    """Write the split into cohort.csv; None takes it out again.

    Raises:
        CohortError: a group would be in two parts.
    """
    from dataclasses import replace

    from workbench.imaging.cohort import write_cohort
    from workbench.imaging.splits import check_split

    if split is not None:
        check_split(cohort, split)
    parts = (
        {} if split is None else {name: part for part in ("train", "validation", "test") for name in split.part(part)}
    )
    return write_cohort(cohort.path.parent, [replace(s, split=parts.get(s.name)) for s in cohort])


def load_volume(cohort: str, subject: str, modality: str) -> Volume:
    """Read one image of one subject."""
    return open_cohort(cohort)[subject].volume(modality)


def load_overlay(cohort: str, subject: str, kind: str, modality: str) -> np.ndarray | None:
    """Read the ``"label"`` map or ``"mask"`` of a subject on the lattice of one of its images, (X, Y, Z) or None."""
    found = open_cohort(cohort)[subject]
    like = found.volume(modality)
    return found.label_map(like) if kind == "label" else found.mask_array(like)


def label_names(cohort: str) -> dict[int, str]:
    """Give what the values of a cohort's label maps mean: its labels.json; empty without one."""
    return open_cohort(cohort).label_names


# Runs


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
    run = _open_run(folder)
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
    return _open_run(run)


def system_of(run: Run, changes: dict[str, Any] | None = None) -> System:
    """Give the system that a run trained, with its settings; ``changes`` apply on top, for example another modality."""
    return _system(run.info.system, run.info.settings | (changes or {}))


def list_runs() -> list[Run]:
    """Give all runs, newest first."""
    return _list_runs()


def recover() -> list[Run]:
    """Mark runs whose process is gone as lost; give those that were found now."""
    return launching.recover()


def delete_run(run_id: RunId) -> None:
    """Delete a run; one that is in use is refused."""
    open_run(run_id).delete()


def export_run(run_id: RunId) -> bytes:
    """Give a zip of a run without its checkpoints: whoever has it has the result."""
    return archive.export_run(open_run(run_id))


def compare(run_ids: Sequence[RunId]) -> Comparison:
    """Put 2 to 6 runs side by side: curves, the settings that differ, scores."""
    return archive.compare([open_run(i) for i in run_ids])


Comparison = archive.Comparison


# What a run shows


def preview_patches(name: str, settings: dict[str, Any], cohort: str, n: int = 16) -> PatchPreview:
    """Draw a few patches as training would see them."""
    return _features(_system(name, settings)).preview(open_cohort(cohort), n)


def filters(run_id: RunId, depth: int = 1) -> FilterBank:
    """Give the learned weights of a layer, counted from 1."""
    from workbench.systems.feature_views import filter_bank

    run = open_run(run_id)
    return filter_bank(_features(system_of(run)), run, depth)


def reconstructions(run_id: RunId, n: int = 12) -> Reconstructions:
    """Give held-out patches and what the network makes of them."""
    from workbench.systems.feature_views import reconstructions as _reconstructions

    run = open_run(run_id)
    return _reconstructions(_features(system_of(run)), run, n)


def encoder_decoder(run_id: RunId) -> EncoderDecoder:
    """Give what Figures 2a and 4 draw, from the live model."""
    from workbench.systems.feature_views import encoder_decoder_parts

    run = open_run(run_id)
    return encoder_decoder_parts(_features(system_of(run)), run)


stack_diagram = encoder_decoder


def similarity(
    run_id: RunId, cohort: str, template: str, subject: str, point_mm: tuple[float, float, float], *,
    measure: str = "correlation", progress: Progress = silent,
) -> SimilarityView:  # fmt: skip
    """Compare one point of a template with every voxel of a subject, under each kind of feature (Figure 5)."""
    search = (
        _search(run_id, open_cohort(cohort).digest, cohort, template),
        _search(run_id, open_cohort(cohort).digest, cohort, subject),
    )
    from workbench.systems.feature_search import similarity_view

    return similarity_view(*search, point_mm, measure)


def prepare_similarity(run_id: RunId, cohort: str, subjects: list[str], progress: Progress = silent) -> None:
    """Compute the features of subjects ahead of the first click."""
    for i, name in enumerate(subjects):
        progress(i / len(subjects), f"Computing the features of {name}")
        _search(run_id, open_cohort(cohort).digest, cohort, name)
    progress(1.0, "Features are ready")


@lru_cache(maxsize=4)
def _search(run_id: RunId, digest: str, cohort: str, subject: str) -> Any:
    from workbench.systems.feature_search import SubjectSearch

    run = open_run(run_id)
    return SubjectSearch(_features(system_of(run)), run, open_cohort(cohort)[subject])


def predict(run_id: RunId, cohort: str, out: Path, progress: Progress = silent) -> list[Path]:
    """Apply a run to every subject; each prediction is a NIfTI file on the lattice of its input."""
    from workbench.imaging.predictions import write_predictions

    run = open_run(run_id)
    system = system_of(run)
    return write_predictions(open_cohort(cohort), lambda subject: system.predict(subject, run), out, progress)


def evaluate(run_id: RunId, cohort: str, progress: Progress = silent) -> dict[str, Any]:
    """Score a run on a cohort; the scores are kept in the run's folder.

    Returns:
        ``run``, ``cohort``, ``subjects`` (name → scores) and ``summary`` (score → mean and 95 % interval).
    """
    run, data = open_run(run_id), open_cohort(cohort)
    scores = {
        "run": run.id,
        "cohort": data.name,
        "cohort_digest": data.digest,
        **system_of(run).evaluate(data, run, progress),
    }
    run.save_scores(scores)
    return scores


def figure_names() -> list[str]:
    """Give the names that :func:`figure` knows."""
    from workbench.systems.feature_figures import FIGURES

    return list(FIGURES)


def figure(run_id: RunId, name: str, theme: Theme = "light") -> Any:
    """Draw one figure of a run.

    Raises:
        SettingsError: there is no such figure or theme.
    """
    from workbench.systems.feature_figures import draw

    run = open_run(run_id)
    return draw(_features(system_of(run)), run, name, theme)


def save_figure(run_id: RunId, name: str, out: Path, theme: Theme = "light") -> Path:
    """Draw one figure of a run into a .html or .png file."""
    from workbench.figures.export import save

    return save(figure(run_id, name, theme), out)


def open_app() -> int:
    """Run the app until it is closed; give the server's exit code.

    Raises:
        RunError: the app's files are not beside the package.
    """
    entry = Path(__file__).resolve().parents[1] / "streamlit_app.py"
    if not entry.is_file():
        raise RunError(
            "The app's pages are not installed with the package; run `make app` or `streamlit run` in the checkout."
        )
    return subprocess.call([sys.executable, "-m", "streamlit", "run", str(entry)], cwd=entry.parent)


def _system(name: str, changes: dict[str, Any], preset: str = "") -> System:
    kind = catalog.load(name)
    base = dict(kind.preset(preset).changes) if preset else {}
    return kind.make(base | changes)


def _features(system: System) -> FeatureLearning:
    from workbench.systems.features_base import FeatureLearning

    if not isinstance(system, FeatureLearning):
        raise RunError(f"{type(system).__name__} learns no features, so it has no filters or similarity maps to show.")
    return system


def _new_run(name: str, cohort: str | Path, changes: dict[str, Any], preset: str, title: str) -> Run:
    presets = catalog.load(name).presets
    preset = preset if preset and (preset != "published" or any(p.name == preset for p in presets)) else presets[0].name
    system, data = _system(name, changes, preset), open_cohort(cohort)
    system.check(data)
    split = _default_split(data, system.seed)
    return create_run(
        name, system.model_dump(mode="json"), seed=system.seed, cohort=data.path, cohort_digest=data.digest,
        split=None if split is None else split.to_dict(), split_hash="" if split is None else split.hash,
        quick=preset == "quick", preset=preset, title=title,
    )  # fmt: skip


def _default_split(cohort: Cohort, seed: int) -> Split | None:
    """Split by group as far as there are groups: three parts, two, or everything for training."""
    from workbench.imaging.splits import group_of

    n_groups = len({group_of(subject) for subject in cohort})
    if n_groups == 1:
        return None
    return make_split(cohort, (0.7, 0.15, 0.15) if n_groups > 2 else (0.5, 0.5, 0.0), seed)


def _new_cohort(out: Path | str) -> Path:
    """Turn a bare name into a folder of the data folder, and refuse one that exists.

    Raises:
        CohortError: the folder exists, or the name cannot be a folder's.
    """
    path = Path(out).expanduser()
    if isinstance(out, str) and not any(c in out for c in "/\\"):
        if not out.strip() or out.startswith(".") or any(c in out for c in '<>:"|?*\0'):
            raise CohortError(f"{out!r} cannot name a cohort; use letters, digits, spaces, - and _.")
        path = cohorts_dir() / out.strip()
    if path.exists():
        raise CohortError(f"{path} exists already; choose another name or delete it first.")
    return path
