"""Which values of a label map make which class: read from a text, or from the label maps of the training subjects.

    ""                               every value that occurs is a class of its own, named by labels.json
    "WM=2,41; GM=3,42; CSF=24"       classes in this order, each of one or several values; all others are background
    "brain=*"                        whatever is not 0
    "brain=mask"                     the mask of each subject in place of its label map
    "WM=2,41; ignore=85"             voxels of the value 85 are neither learnt from nor scored

Class 0 is the background: whatever no class claims.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from workbench.errors import CohortError, SettingsError
from workbench.imaging.subject import Subject
from workbench.imaging.volume import Volume

IGNORED = -1
IGNORE = "ignore"
BACKGROUND = "background"
MOST_CLASSES = 200
_PART = re.compile(r"\s*([^=;]+?)\s*=\s*(\*|mask|-?\d+(?:\s*,\s*-?\d+)*)\s*")


@dataclass(frozen=True)
class LabelClasses:
    """Classes of voxels.

    Attributes:
        names: of the classes above the background.
        groups: the label values of each; () takes whatever is not 0.
        ignored: values that are neither learnt from nor scored.
        from_mask: whether truth is each subject's mask.
    """

    names: tuple[str, ...]
    groups: tuple[tuple[int, ...], ...]
    ignored: tuple[int, ...] = ()
    from_mask: bool = False

    @property
    def n_classes(self) -> int:
        """With the background."""
        return len(self.names) + 1

    @property
    def all_names(self) -> tuple[str, ...]:
        """With the background."""
        return (BACKGROUND, *self.names)

    @property
    def values(self) -> tuple[int, ...]:
        """What is written into label maps for each class, the background's 0 first: the first value of each group."""
        return (0, *(group[0] if group else 1 for group in self.groups))

    def encode(self, labels: np.ndarray) -> np.ndarray:
        """Give classes (X, Y, Z) int32 of label values; -1 where they are ignored."""
        classes = np.zeros(labels.shape, np.int32)
        for k, group in enumerate(self.groups, 1):
            classes[np.isin(labels, group) if group else labels != 0] = k
        if self.ignored:
            classes[np.isin(labels, self.ignored)] = IGNORED
        return classes

    def decode(self, classes: np.ndarray) -> np.ndarray:
        """Give label values (X, Y, Z) int32 of classes."""
        return np.asarray(self.values, np.int32)[classes]

    def truth(self, subject: Subject, like: Volume | None) -> np.ndarray | None:
        """Give the classes (X, Y, Z) int32 of a subject; None where it has no label map, or no mask, to tell.

        Args:
            subject: whose.
            like: the image on whose lattice its labels must lie.
        """
        if self.from_mask:
            mask = subject.mask_array(like)
            return None if mask is None else mask.astype(np.int32)
        labels = subject.label_map(like)
        return None if labels is None else self.encode(labels)

    def has_truth(self, subject: Subject) -> bool:
        """Say whether a subject brings what truth is made of."""
        return (subject.mask if self.from_mask else subject.label) is not None

    def joined(self, by_value: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
        """Give named unions of classes for unions of label values.

        Left out are those of which a value is no class, and those that are called like a class: it is scored anyway.
        """
        place = {v: k for k, group in enumerate(self.groups, 1) for v in group}
        return {
            name: tuple(sorted({place[v] for v in values}))
            for name, values in by_value.items()
            if name not in self.names and all(v in place for v in values)
        }

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Give the same as arrays that :meth:`from_arrays` reads."""
        flat = [v for group in self.groups for v in group]
        return {
            "class_names": np.array(self.names, dtype=str),
            "class_values": np.array(flat, int),
            "class_sizes": np.array([len(g) for g in self.groups], int),
            "ignored": np.array(self.ignored, int),
            "from_mask": np.array(self.from_mask),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> LabelClasses:
        """Read what :meth:`to_arrays` gave."""
        ends = np.cumsum(arrays["class_sizes"])
        groups = [
            tuple(int(v) for v in arrays["class_values"][end - n : end])
            for n, end in zip(arrays["class_sizes"], ends, strict=True)
        ]
        return cls(
            tuple(str(n) for n in arrays["class_names"]), tuple(groups), tuple(int(v) for v in arrays["ignored"]),
            bool(arrays["from_mask"]),
        )  # fmt: skip


def parse_classes(text: str) -> LabelClasses | None:
    """Read classes from a text; None where it is empty, so that the cohort decides.

    Raises:
        SettingsError: it does not read ``name=values; name=values``, or names or values come twice.
    """
    if not text.strip():
        return None
    names: list[str] = []
    groups: list[tuple[int, ...]] = []
    ignored: tuple[int, ...] = ()
    from_mask = False
    for part in text.split(";"):
        if not part.strip():
            continue
        found = _PART.fullmatch(part)
        if not found:
            raise SettingsError(
                f"Classes read like 'WM=2,41; GM=3,42', 'brain=*' or 'brain=mask'; {part.strip()[:60]!r} does not."
            )
        name, values = found.groups()
        group = () if values in ("*", "mask") else tuple(int(v) for v in values.split(","))
        if name == IGNORE:
            ignored = group
            continue
        from_mask = from_mask or values == "mask"
        names.append(name)
        groups.append((1,) if values == "mask" else group)
    _check_groups(names, groups, ignored)
    return LabelClasses(tuple(names), tuple(groups), ignored, from_mask)


def classes_of(subjects: Iterable[Subject], names: Mapping[int, str]) -> LabelClasses:
    """Make every value that occurs in the label maps of these subjects a class of its own.

    Args:
        subjects: of the training part.
        names: value → name; others are called ``label 7``.

    Raises:
        CohortError: there is no label map, nothing is labelled, or there are more than 200 values.
    """
    values: set[int] = set()
    for subject in subjects:
        labels = subject.label_map()
        if labels is not None:
            values.update(int(v) for v in np.unique(labels))
    values.discard(0)
    if not values:
        raise CohortError(
            "None of the training subjects has a label map with anything labelled in it; segmentation learns from "
            "label maps: give them in the column label."
        )
    if len(values) > MOST_CLASSES:
        raise CohortError(
            f"The label maps hold {len(values)} values, and a network is given at most {MOST_CLASSES} classes; join "
            "values to classes with the setting Classes, like 'WM=2,41; GM=3,42'."
        )
    ordered = sorted(values)
    return LabelClasses(tuple(names.get(v, f"label {v}") for v in ordered), tuple((v,) for v in ordered))


def _check_groups(names: list[str], groups: list[tuple[int, ...]], ignored: tuple[int, ...]) -> None:
    if not names:
        raise SettingsError("The setting Classes names no class; give at least one, like 'brain=*'.")
    every = [v for group in groups for v in group] + list(ignored)
    if len(set(names)) < len(names) or BACKGROUND in names:
        raise SettingsError(f"Every class needs a name of its own, other than background; got {', '.join(names)}.")
    if len(set(every)) < len(every) or 0 in every:
        raise SettingsError("A label value belongs to one class, and 0 to the background; take the repeated one out.")
    if () in groups and len(groups) > 1:
        raise SettingsError("The class that takes every value (*) stands alone; name the values of each class instead.")
