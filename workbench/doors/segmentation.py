"""Segmentation: label a subject with a trained run, keep the answer in the run, score it, hand it on.

What a run said of a subject lies in ``predictions/<cohort>-<digest>-<time>/<subject>.npz`` of its folder, with its
scores beside it. The digest changes with the cohort's files, the time when the run is trained further, so that nothing
outdated is shown.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from workbench.doors.cohorts import nifti_bytes, open_cohort
from workbench.doors.runs import RunId, open_run
from workbench.doors.segmentation_tables import reference_classes
from workbench.doors.views import able, shown
from workbench.errors import CohortError, RunError, SettingsError
from workbench.progress import Progress, silent
from workbench.runs import job

if TYPE_CHECKING:
    from workbench.figures.architecture import ArchitectureParts
    from workbench.imaging.cohort import Cohort
    from workbench.systems.segmented import Segmented

Scores = dict[str, dict[str, float]]
Export = Literal["labels", "probabilities", "uncertainty"]
EXPORTS = ("labels", "probabilities", "uncertainty")


def segment(run_id: RunId, cohort: str | Path, subject: str, progress: Progress = silent) -> Segmented:
    """Label a subject, or give what was kept when it was labelled before.

    Raises:
        RunError: the run segments nothing, or is not finished.
        CohortError: the subject lacks a modality.
        Cancelled: ``progress`` said so; nothing is kept.
    """
    kept = segmented(run_id, cohort, subject)
    if kept is not None:
        return kept
    data = open_cohort(cohort)
    found = able(run_id, "segment").segment(data[subject], open_run(run_id), progress)
    file = _file(run_id, data, subject)
    file.parent.mkdir(parents=True, exist_ok=True)
    found.save(file)
    file.with_suffix(".json").write_text(json.dumps(found.scores(), allow_nan=True), encoding="utf-8")
    return found


def segmented(run_id: RunId, cohort: str | Path, subject: str) -> Segmented | None:
    """Give what a run said of a subject, if it was asked before."""
    data = open_cohort(cohort)
    file = _file(run_id, data, subject)
    if not file.is_file():
        return None
    return able(run_id, "segment").unsegmented(data[subject], open_run(run_id)).loaded(file)


def segmented_subjects(run_id: RunId, cohort: str | Path) -> list[str]:
    """Give the subjects of a cohort that a run has labelled, in the cohort's order."""
    data = open_cohort(cohort)
    folder = _folder(run_id, data)
    return [s.name for s in data if (folder / f"{s.name}.npz").is_file()]


def segment_many(
    run_id: RunId, cohort: str | Path, subjects: list[str] | None = None, progress: Progress = silent
) -> list[str]:
    """Label several subjects, all of them by default; those that were labelled before are passed over.

    Returns:
        Their names.
    """
    data = open_cohort(cohort)
    names = [data[name].name for name in subjects] if subjects else [s.name for s in data]
    for i, name in enumerate(names):

        def told(fraction: float, message: str, i: int = i) -> None:
            progress((i + fraction) / len(names), f"{message} ({i + 1} of {len(names)})")

        segment(run_id, cohort, name, told)
    progress(1.0, f"Segmented {len(names)} subjects")
    return names


def start_segmenting(run_id: RunId, cohort: str, subjects: list[str] | None = None) -> job.Job:
    """Begin :func:`segment_many` in a process of its own; follow it with :func:`read_job`."""
    able(run_id, "segment")
    data = open_cohort(cohort)
    chosen = [text for name in subjects or [] for text in ("--subject", data[name].name)]
    return job.start_job(
        ["segment", str(open_run(run_id).folder), "--cohort", str(data.path.parent), *chosen]
    )  # fmt: skip


def segmentation_scores(run_id: RunId, cohort: str | Path) -> dict[str, Any] | None:
    """Give the scores of the subjects that a run has labelled and that have truth; None where there are none.

    Returns:
        ``subjects``: name → structure → score → number, ``summary``: structure → score → mean, low, high over
        subjects (95 %), ``parts``: name → train, validation, test, or empty for subjects that the run never met.
    """
    from workbench.metrics.segmentation import summarize_scores

    data, run = open_cohort(cohort), open_run(run_id)
    tables: dict[str, Scores] = {}
    folder = _folder(run_id, data)
    for name in segmented_subjects(run_id, cohort):
        file = folder / f"{name}.json"
        table = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        if table:
            tables[name] = table
    if not tables:
        return None
    parts = {name: part for part, names in (run.info.split or {}).items() for name in names}
    summary = summarize_scores(tables)
    return {
        "subjects": tables,
        "summary": {s: {n: [i.mean, i.low, i.high] for n, i in row.items()} for s, row in summary.items()},
        "parts": {name: parts.get(name, "") if run.info.cohort_digest == data.digest else "" for name in tables},
    }


def score_against(run_id: RunId, cohort: str | Path, subject: str, reference: Path | str) -> Scores:
    """Score a run's answer against a second rater's label map, or another tool's mask.

    Args:
        run_id: of the run.
        cohort: of the subject.
        subject: labelled before.
        reference: an image of label values on the lattice of the subject's image.

    Raises:
        RunError: the subject was not labelled yet.
        GeometryError: the reference lies on another lattice.
    """
    found = _needed(run_id, cohort, subject)
    return found.scores(reference_classes(found, reference))


def threshold_rows(run_id: RunId, cohort: str | Path, subject: str, name: str, n: int = 101) -> list[dict[str, float]]:
    """Give Dice, sensitivity, specificity and PPV of one class at n thresholds of its probability, 0 to 1.

    Raises:
        SettingsError: no class of that name.
        CohortError: the subject has no truth.
    """
    import numpy as np

    from workbench.metrics.overlap import threshold_sweep

    found = _needed(run_id, cohort, subject)
    if name not in found.meaning.names:
        raise SettingsError(f"There is no class {name!r}; this run has {', '.join(found.meaning.names)}.")
    if found.truth is None:
        raise CohortError(f"Subject {subject} has no truth, so no threshold can be judged on it.")
    k = found.meaning.names.index(name) + 1
    thresholds = np.linspace(0, 1, n).tolist()
    return [
        row._asdict()
        for row in threshold_sweep(found.probabilities[k], found.truth == k, thresholds, within=found.truth >= 0)
    ]


def export_segmentation(run_id: RunId, cohort: str | Path, subject: str, what: Export = "labels") -> bytes:
    """Give a NIfTI file on the lattice and stored grid of the subject's image.

    Args:
        run_id: of the run.
        cohort: of the subject.
        subject: labelled before.
        what: ``labels`` in the user's own values, ``probabilities`` (one volume a class, background first), or
            ``uncertainty``, the entropy of these, 0 to 1.
    """
    if what not in EXPORTS:
        raise SettingsError(f"What can be exported is one of {', '.join(EXPORTS)}; got {what!r}.")
    found = _needed(run_id, cohort, subject)
    if what == "labels":
        return nifti_bytes(found.label_map)
    array = found.probabilities if what == "probabilities" else found.uncertainty
    return nifti_bytes(found.image.with_data(array, what))


def architecture_parts(run_id: RunId) -> ArchitectureParts:
    """Give what Figure 8 draws, from the live model."""
    return shown(run_id, "architecture_parts")


def _needed(run_id: RunId, cohort: str | Path, subject: str) -> Segmented:
    found = segmented(run_id, cohort, subject)
    if found is None:
        raise RunError(f"This run has not segmented {subject} yet; segment it first.")
    return found


def _folder(run_id: RunId, data: Cohort) -> Path:
    """Give where a run keeps what it said of a cohort; the cohort's files are looked at each time."""
    run = open_run(run_id)
    trained = int((run.result() or {}).get("finished", 0))
    return run.folder / "predictions" / f"{data.name}-{data.digest}-{trained}"


def _file(run_id: RunId, data: Cohort, subject: str) -> Path:
    return _folder(run_id, data) / f"{data[subject].name}.npz"
