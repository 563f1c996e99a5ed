"""Label maps scored: every structure of a subject, subjects together, and the worst of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from workbench.errors import SettingsError
from workbench.metrics.intervals import Interval, mean_interval
from workbench.metrics.label_pair import LabelPair, label_values, whole_numbers
from workbench.metrics.lesions import lesion_scores
from workbench.metrics.overlap import Overlap, as_mask, same_shape
from workbench.metrics.surface_distance import grid_steps, surface_distances

StructureScores = dict[str, dict[str, float]]

BRATS_NAMES: Mapping[int, str] = {1: "necrosis", 2: "edema", 3: "non-enhancing", 4: "enhancing"}
BRATS_COMPOSITES: Mapping[str, tuple[int, ...]] = {
    "complete tumor": (1, 2, 3, 4),
    "tumor core": (1, 3, 4),
    "enhancing tumor": (4,),
}


@dataclass(frozen=True)
class ScoreKind:
    """What a score is called, and which way is good.

    Attributes:
        title: for a table's head.
        unit: "" for a share of 0 to 1.
        best: the value of a perfect segmentation; NaN for a plain count or volume, which is neither good nor bad.
    """

    title: str
    unit: str = ""
    best: float = float("nan")


SCORES: Mapping[str, ScoreKind] = {
    "dice": ScoreKind("Dice", best=1),
    "jaccard": ScoreKind("Jaccard", best=1),
    "sensitivity": ScoreKind("Sensitivity", best=1),
    "specificity": ScoreKind("Specificity", best=1),
    "ppv": ScoreKind("PPV", best=1),
    "relative_volume_difference": ScoreKind("Relative volume difference", best=0),
    "volume_difference": ScoreKind("Relative volume difference, magnitude", best=0),
    "mean_surface_mm": ScoreKind("Mean surface distance", "mm", 0),
    "hd95_mm": ScoreKind("95 % Hausdorff distance", "mm", 0),
    "true_ml": ScoreKind("True volume", "ml"),
    "predicted_ml": ScoreKind("Predicted volume", "ml"),
    "ltpr": ScoreKind("Lesions found", best=1),
    "lfpr": ScoreKind("Lesions that are false", best=0),
    "n_true_lesions": ScoreKind("True lesions", "lesions"),
    "n_false_lesions": ScoreKind("False lesions", "lesions", 0),
}


def score_label_maps(
    predicted: np.ndarray,
    truth: np.ndarray,
    spacing_mm: Sequence[float] | np.ndarray,
    names: Mapping[int, str],
    *,
    composites: Mapping[str, tuple[int, ...]] | None = None,
    lesions: bool = False,
    within: np.ndarray | None = None,
) -> StructureScores:
    """Score every structure of one subject.

    All overlaps come of one table that counts each pair of labels; surfaces are measured inside the box of their
    structure.

    Args:
        predicted: (X, Y, Z) whole numbers.
        truth: the same of the truth.
        spacing_mm: voxel size along each axis, or the affine (4, 4) of both.
        names: structure of each label value; values of one name are one structure. Empty: each value of either map
            but 0, by its number.
        composites: more structures, each the label values it joins, such as :data:`BRATS_COMPOSITES`.
        lesions: whether to score lesion by lesion as well.
        within: (X, Y, Z) mask; outside it both maps count as empty, and specificity does not look.

    Returns:
        Structure to score to value, names first; the scores are those of :data:`SCORES`. A score without meaning is
        NaN: Dice of a structure that neither map holds, distances when one of them lacks it.
    """
    same_shape(predicted, truth, within)
    maps = (whole_numbers(predicted, "predicted label map"), whole_numbers(truth, "true label map"))
    inside = None if within is None else as_mask(within, "mask to score within")
    structures = _structures(names or {value: str(value) for value in label_values(*maps)}, composites or {})
    pair = LabelPair.of(maps, sorted({value for members in structures.values() for value in members}), inside)
    voxel_ml = float(abs(np.linalg.det(grid_steps(spacing_mm, truth.ndim)))) / 1000
    scored: StructureScores = {}
    for name, members in structures.items():
        masks = pair.masks(members)
        distances = surface_distances(*masks, spacing_mm)
        scored[name] = _of_overlap(pair.overlap(members), voxel_ml)
        scored[name] |= {"mean_surface_mm": distances.mean_mm, "hd95_mm": distances.hd95_mm}
        if lesions:
            counted = lesion_scores(*masks, spacing_mm)
            scored[name] |= {"ltpr": counted.ltpr, "lfpr": counted.lfpr}
            scored[name] |= {"n_true_lesions": float(counted.n_true), "n_false_lesions": float(counted.n_false)}
    return scored


def summarize_scores(
    by_subject: Mapping[str, StructureScores], *, groups: Mapping[str, object] | None = None, seed: int = 0
) -> dict[str, dict[str, Interval]]:
    """Give the mean over subjects of each score of each structure, with its bootstrap interval.

    Subjects whose score has no meaning are left out of its mean; :func:`n_scored` says how many remain. A structure
    that was missed altogether has a Dice of 0 but no distance, so read distances beside Dice and that number.

    Args:
        by_subject: what :func:`score_label_maps` gave for each subject.
        groups: subject to what subjects have in common, such as their patient or site, which are then drawn together.
            A subject without one is drawn alone.
        seed: of the draws.
    """
    group_of = groups or {}
    summary: dict[str, dict[str, Interval]] = {}
    for structure, scores in _columns(by_subject).items():
        summary[structure] = {}
        for score, column in scores.items():
            known = {subject: value for subject, value in column.items() if not np.isnan(value)}
            units = [("group", group_of[s]) if s in group_of else ("subject", s) for s in known]
            nothing = Interval(float("nan"), float("nan"), float("nan"))
            summary[structure][score] = (
                mean_interval(list(known.values()), clusters=units, seed=seed) if known else nothing
            )
    return summary


def n_scored(by_subject: Mapping[str, StructureScores]) -> dict[str, dict[str, int]]:
    """Give, for each structure and score, in how many subjects it has a meaning."""
    return {
        structure: {score: int(np.sum(~np.isnan(list(column.values())))) for score, column in scores.items()}
        for structure, scores in _columns(by_subject).items()
    }


def worst_first(by_subject: Mapping[str, StructureScores], structure: str, score: str) -> list[tuple[str, float]]:
    """Order subjects by how far a score is from that of a perfect segmentation, worst first.

    Where the score has no meaning, a subject comes first if its Dice is 0 (the structure was missed, or made up) and
    last otherwise (there was nothing to find). Subjects that were not scored on it are left out.

    Raises:
        LookupError: no subject has this structure and score, or no value of it is better than another.
    """
    columns = _columns(by_subject)
    if score not in columns.get(structure, {}):
        known = {name: sorted(scores) for name, scores in columns.items()}
        raise LookupError(f"nobody has a {score!r} of {structure!r}; known are {known}")
    best = SCORES[score].best
    if np.isnan(best):
        raise LookupError(f"no value of {score!r} is better than another")

    def badness(subject: str, value: float) -> float:
        if not np.isnan(value):
            return abs(value - best)
        return float("inf") if by_subject[subject][structure].get("dice") == 0 else -1.0

    return sorted(columns[structure][score].items(), key=lambda item: -badness(*item))


def _structures(names: Mapping[int, str], composites: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """Give the label values of each structure, of labels first."""
    structures: dict[str, tuple[int, ...]] = {}
    for value, name in names.items():
        structures[name] = (*structures.get(name, ()), int(value))
    for name, members in composites.items():
        if name in structures:
            raise SettingsError(f"Both a label and a union of labels are called {name!r}; rename one of them.")
        structures[name] = tuple(int(value) for value in members)
    return structures


def _of_overlap(common: Overlap, voxel_ml: float) -> dict[str, float]:
    return {
        "dice": common.dice,
        "jaccard": common.jaccard,
        "sensitivity": common.sensitivity,
        "specificity": common.specificity,
        "ppv": common.ppv,
        "relative_volume_difference": common.relative_volume_difference,
        "volume_difference": abs(common.relative_volume_difference),
        "true_ml": common.n_true * voxel_ml,
        "predicted_ml": common.n_predicted * voxel_ml,
    }


def _columns(by_subject: Mapping[str, StructureScores]) -> dict[str, dict[str, dict[str, float]]]:
    """Turn subject to structure to score into structure to score to subject, in the order of first appearance."""
    columns: dict[str, dict[str, dict[str, float]]] = {}
    for subject, structures in by_subject.items():
        for structure, scores in structures.items():
            for score, value in scores.items():
                columns.setdefault(structure, {}).setdefault(score, {})[subject] = value
    return columns
