"""What is wrong with a cohort, as sentences that say what to do."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from workbench.imaging.cohort import Cohort
from workbench.imaging.facts import ImageFacts, LabelFacts
from workbench.imaging.splits import PART_NAMES, group_of

GRID_TOLERANCE_MM = 1e-2
SPACING_RATIO = 1.2  # between the finest and the coarsest subject of a modality
SCALE_RATIO = 5.0  # between the brightest and the darkest subject of a modality
DIFFERENT_SCALES_ARE_NORMAL = ("PET",)
Duplicates = Sequence[Sequence[tuple[str, str]]]


def find_problems(
    cohort: Cohort, images: list[ImageFacts], labels: list[LabelFacts], duplicates: Duplicates
) -> list[str]:
    """Give every problem that the facts of a cohort show; those that spoil results come first."""
    return [
        *_duplicated(cohort, duplicates),
        *_torn_groups(cohort),
        *_targets(cohort),
        *_images(images),
        *_grids(images),
        *_labels(labels, images),
        *_missing(cohort),
        *_spread(images),
    ]


def same_grid(one: ImageFacts | LabelFacts, other: ImageFacts | LabelFacts) -> bool:
    """Say whether two images have the same voxels in the same places, to 0.01 mm."""
    return one.shape == other.shape and bool(np.allclose(one.affine, other.affine, rtol=0, atol=GRID_TOLERANCE_MM))


def straddling(duplicates: Duplicates, part_of: Mapping[str, str]) -> list[str]:
    """Give a sentence for every image that lies in several parts of a split under different names."""
    sentences = []
    for members in duplicates:
        parts = {part_of[name]: name for name, _ in members if name in part_of}
        if len(parts) > 1:
            where = " and ".join(f"{name} ({part})" for part, name in sorted(parts.items()))
            sentences.append(
                f"The same image is in {where}: what is tested was learnt from. Give these subjects one group, or "
                "remove one."
            )
    return sentences


def _duplicated(cohort: Cohort, duplicates: Duplicates) -> list[str]:
    part_of = {s.name: PART_NAMES.get((s.split or "").lower(), "") for s in cohort}
    sentences = straddling(duplicates, {name: part for name, part in part_of.items() if part})
    for members in duplicates:
        names = sorted({name for name, _ in members})
        shown = _some([f"{name} {modality}" for name, modality in members])
        if len(names) == 1:
            sentences.append(f"{shown} have the same voxels; see whether one file was taken for two modalities.")
        elif len({group_of(cohort[name]) for name in names}) > 1:
            sentences.append(
                f"{shown} have the same voxels but are of different groups, so a split may separate them; remove the "
                "copies "
                "or give them one group."
            )
        else:
            sentences.append(f"{shown} have the same voxels; remove the copies.")
    return sentences


def _torn_groups(cohort: Cohort) -> list[str]:
    parts: dict[str, set[str]] = defaultdict(set)
    for subject in cohort:
        if subject.split:
            parts[group_of(subject)].add(PART_NAMES.get(subject.split.lower(), subject.split))
    torn = [group for group, found in parts.items() if len(found) > 1]
    unknown = sorted({s.split for s in cohort if s.split and s.split.lower() not in PART_NAMES})
    sentences = [f"The split column separates {_count(torn, 'group')}; put each group in one part."] if torn else []
    return sentences + (
        [f"The split column has {_some(unknown)}; expected train, validation or test."] if unknown else []
    )


def _targets(cohort: Cohort) -> list[str]:
    targets = Counter(s.target for s in cohort if s.target is not None)
    sentences = []
    if len(targets) == 1 and len(cohort) > 1:
        sentences.append(
            f"Every target is {next(iter(targets))}, so there is nothing to tell apart; add subjects of another class."
        )
    without = [s.name for s in cohort if s.target is None]
    if targets and without:
        sentences.append(
            f"{_count(without)} without a target; fill the column, or take them out where a target is needed."
        )
    numeric = all(_is_number(t) for t in targets)
    rare = [t for t, n in targets.items() if n == 1] if not numeric or len(targets) <= 10 else []
    if rare and len(targets) > 1 and len(cohort) > 4:
        sentences.append(
            f"Only one subject has target {_some([str(t) for t in rare])}; such a class cannot be in training and in "
            "test."
        )
    return sentences


def _images(images: list[ImageFacts]) -> list[str]:
    constant = [f"{i.subject} {i.modality}" for i in images if i.is_constant]
    sentences = [f"{_count(constant, 'image')} with one value everywhere; remove or replace them."] if constant else []
    bad = [
        f"{i.subject} {i.modality} ({'some' if i.bad_share is None else f'{100 * i.bad_share:.2g} %'})"
        for i in images
        if i.bad_share != 0
    ]
    if bad:
        sentences.append(
            f"{_count(bad, 'image')} with voxels that are no numbers (NaN or infinite); import them again without "
            "links, "
            "which sets such voxels to 0."
        )
    return sentences


def _grids(images: list[ImageFacts]) -> list[str]:
    """Compare the modalities of each subject with its first."""
    first: dict[str, ImageFacts] = {}
    apart: dict[tuple[str, str], list[str]] = defaultdict(list)
    example: dict[tuple[str, str], str] = {}
    for image in images:
        base = first.setdefault(image.subject, image)
        if base is not image and not same_grid(base, image):
            pair = (base.modality, image.modality)
            apart[pair].append(image.subject)
            example.setdefault(pair, _difference(base, image))
    return [
        f"{one} and {other} of {_count(names)} lie on different grids ({example[one, other]}); resample one like the "
        "other where a system "
        "needs both."
        for (one, other), names in apart.items()
    ]


def _labels(labels: list[LabelFacts], images: list[ImageFacts]) -> list[str]:
    of_subject: dict[str, list[ImageFacts]] = defaultdict(list)
    for image in images:
        of_subject[image.subject].append(image)
    sentences = []
    for column, word in (("label", "label map"), ("mask", "mask")):
        maps = [m for m in labels if m.column == column]
        off = [
            m.subject for m in maps if of_subject[m.subject] and not any(same_grid(m, i) for i in of_subject[m.subject])
        ]
        if off:
            case = next(m for m in maps if m.subject == off[0])
            why = _difference(of_subject[off[0]][0], case)
            sentences.append(
                f"The {word} of {_count(off)} lies on no image's grid ({why}); resample it like the image, without "
                "interpolation."
            )
        broken = [m.subject for m in maps if not m.is_integer]
        if broken:
            sentences.append(
                f"The {word} of {_count(broken)} has values that are no whole numbers, or too many of them; it looks "
                "like an "
                "image or was interpolated. Export it again as integers."
            )
        empty = [m.subject for m in maps if m.is_integer and not m.values]
        if empty:
            sentences.append(
                f"The {word} of {_count(empty)} is 0 everywhere; that is right only if there is nothing to find."
            )
        several = [m.subject for m in maps if m.n_channels > 1]
        if several:
            sentences.append(f"The {word} of {_count(several)} holds several maps in one file; only the first is used.")
        negative = [m.subject for m in maps if any(v.value < 0 for v in m.values)]
        if negative:
            sentences.append(f"The {word} of {_count(negative)} has negative values; number the labels from 1.")
    return sentences


def _missing(cohort: Cohort) -> list[str]:
    sentences = []
    for modality in cohort.modalities:
        without = [s.name for s in cohort if modality not in s.images]
        if without:
            sentences.append(f"{_count(without)} without {modality}; a system that needs it can use only the others.")
    for column in ("label", "mask", "series"):
        without = [s.name for s in cohort if getattr(s, column) is None]
        if 0 < len(without) < len(cohort):
            sentences.append(f"{_count(without)} without a {column}; a system that needs it can use only the others.")
    return sentences


def _spread(images: list[ImageFacts]) -> list[str]:
    """Find modalities whose spacing or intensity scale differs much between subjects."""
    grouped: dict[str, list[ImageFacts]] = defaultdict(list)
    for image in images:
        grouped[image.modality].append(image)
    sentences = []
    for modality, members in grouped.items():
        spacings = np.array([m.spacing_mm for m in members])
        ratio = spacings.max(axis=0) / spacings.min(axis=0)
        if ratio.max() > SPACING_RATIO:
            axis = int(ratio.argmax())
            low, high = spacings[:, axis].min(), spacings[:, axis].max()
            sentences.append(
                f"{modality} has voxels from {low:.3g} to {high:.3g} mm along {'XYZ'[axis]}; resample to one spacing, "
                "or see that the "
                "system does."
            )
        tops = {m.subject: m.foreground[-1] for m in members if m.foreground[-1] > 0}
        if (
            len(tops) > 1
            and max(tops.values()) > SCALE_RATIO * min(tops.values())
            and modality not in DIFFERENT_SCALES_ARE_NORMAL
        ):
            dark, bright = min(tops, key=tops.__getitem__), max(tops, key=tops.__getitem__)
            sentences.append(
                f"The intensities of {modality} differ in scale ({dark} ends at {tops[dark]:.3g}, {bright} at "
                f"{tops[bright]:.3g}); "
                "normalize each image, for example by z-score."
            )
    return sentences


def _difference(one: ImageFacts, other: ImageFacts | LabelFacts) -> str:
    if one.shape != other.shape:
        return f"{_times(one.shape)} and {_times(other.shape)} voxels in {one.subject}"
    if not np.allclose(one.spacing_mm, other.spacing_mm, rtol=1e-3):
        return f"{_times(one.spacing_mm)} and {_times(other.spacing_mm)} mm in {one.subject}"
    shift = float(np.abs(np.array(one.affine) - np.array(other.affine)).max())
    return f"the same size but placed up to {shift:.3g} mm apart in {one.subject}"


def _count(names: Sequence[str], noun: str = "subject") -> str:
    if len(names) == 1:
        return f"{noun} {names[0]}"
    return f"{len(names)} {noun}s ({_some(names)})"


def _some(names: Sequence[str], limit: int = 3) -> str:
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")


def _times(sizes: Sequence[float]) -> str:
    return " × ".join(f"{s:.3g}" for s in sizes)


def _is_number(text: object) -> bool:
    try:
        float(str(text))
    except ValueError:
        return False
    return True
