"""Scores of segmentations as tables: what a score is, worst cases, runs paired subject by subject, lesions by size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import GeometryError, SettingsError

if TYPE_CHECKING:
    import numpy as np

    from workbench.metrics.segmentation import ScoreKind
    from workbench.systems.segmented import Segmented

Scores = Mapping[str, Mapping[str, Mapping[str, float]]]
"""Subject → structure → score → value."""
SIZES_MM3 = (10.0, 30.0, 100.0, 300.0, 1000.0)
"""Volumes that part the ranges in which lesions are counted."""


@dataclass(frozen=True)
class PairedScores:
    """Runs on the same subjects.

    Attributes:
        cases: rows run, subject, value, of subjects that have the score in every run.
        summary: rows run, mean, low, high: 95 % intervals over subjects.
        differences: the same of value − value of the first run, subject by subject; no row for the first run.
        n_left_out: subjects that some run has no score of.
    """

    cases: list[dict[str, Any]]
    summary: list[dict[str, Any]]
    differences: list[dict[str, Any]]
    n_left_out: int


def score_kinds() -> Mapping[str, ScoreKind]:
    """Give what the scores of a segmentation are called, their unit, and the value of a perfect one."""
    from workbench.metrics.segmentation import SCORES

    return SCORES


def worst_cases(scores: Scores, structure: str, score: str) -> list[tuple[str, float]]:
    """Give (subject, value), the worst first; what has no meaning comes as NaN."""
    from workbench.metrics.segmentation import worst_first

    return worst_first({s: {k: dict(v) for k, v in of.items()} for s, of in scores.items()}, structure, score)


def score_summary(scores: Scores, groups: Mapping[str, str] | None = None) -> dict[str, dict[str, list[float]]]:
    """Give structure → score → mean, low, high over these subjects (95 %); ``groups`` as in :func:`paired_scores`."""
    from workbench.metrics.segmentation import summarize_scores

    tables = {s: {k: dict(v) for k, v in of.items()} for s, of in scores.items()}
    found = summarize_scores(tables, groups=groups)
    return {s: {n: [i.mean, i.low, i.high] for n, i in row.items()} for s, row in found.items()}


def paired_scores(
    runs: Mapping[str, Scores], structure: str, score: str, groups: Mapping[str, str] | None = None
) -> PairedScores:
    """Pair runs subject by subject; the first one is what the others are compared with.

    Args:
        runs: run → its scores.
        structure: of which.
        score: which.
        groups: subject → what belongs together, such as the patient; drawn together for the intervals.

    Raises:
        SettingsError: no subject has the score in all of them.
    """
    import numpy as np

    from workbench.metrics.intervals import mean_interval, paired_difference_interval

    found = {
        run: {s: float(of[structure][score]) for s, of in scores.items() if score in of.get(structure, {})}
        for run, scores in runs.items()
    }
    everyone = list(dict.fromkeys(s for values in found.values() for s in values))
    subjects = [s for s in everyone if all(np.isfinite(values.get(s, np.nan)) for values in found.values())]
    if not subjects:
        raise SettingsError(
            f"No subject has {score} of {structure} in all {len(runs)} runs; evaluate them on the same cohort first."
        )
    clusters = [(groups or {}).get(s) or f"subject {s}" for s in subjects]
    values = {run: np.array([of[s] for s in subjects]) for run, of in found.items()}
    first = next(iter(values))
    return PairedScores(
        cases=[
            {"run": r, "subject": s, "value": v}
            for r, of in values.items()
            for s, v in zip(subjects, of.tolist(), strict=True)
        ],
        summary=[{"run": r} | mean_interval(of, clusters=clusters)._asdict() for r, of in values.items()],
        differences=[
            {"run": r} | paired_difference_interval(of, values[first], clusters=clusters)._asdict()
            for r, of in values.items()
            if r != first
        ],
        n_left_out=len(everyone) - len(subjects),
    )


def reference_classes(found: Segmented, reference: Path | str) -> np.ndarray:
    """Read another rater's or tool's label map as classes (X, Y, Z) of a segmented subject; -1 where ignored.

    Args:
        found: a segmented subject.
        reference: an image of label values, or of a mask, on the lattice of the subject's image.

    Raises:
        FileError: it cannot be read.
        GeometryError: it lies on another lattice.
    """
    import numpy as np

    from workbench.imaging.files import read_volume
    from workbench.imaging.geometry import same_lattice

    other = read_volume(Path(reference).expanduser(), "reference")
    if not same_lattice(other, found.image):
        raise GeometryError(
            f"{Path(reference).name} has {other.shape} voxels and the image has {found.image.shape}, or they lie at "
            "different places; resample the reference like the image first."
        )
    labels = np.rint(other.data[0]).astype(np.int32)
    return (labels > 0).astype(np.int32) if found.meaning.from_mask else found.meaning.encode(labels)


def lesion_bands(found: Segmented, number: int, sizes_mm3: Sequence[float] = SIZES_MM3) -> list[dict[str, float]]:
    """Count the lesions of one class by size: found, missed and false; empty without truth.

    Args:
        found: a segmented subject.
        number: of the class.
        sizes_mm3: volumes that part the ranges, ascending.
    """
    from workbench.metrics.lesions import lesion_scores

    if found.truth is None:
        return []
    known = found.truth >= 0
    scores = lesion_scores(
        (found.classes == number) & known, found.truth == number, found.image.spacing, sizes_mm3=sizes_mm3
    )
    return [{name: float(value) for name, value in band._asdict().items()} for band in scores.by_size]
