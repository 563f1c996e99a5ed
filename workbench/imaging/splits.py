"""Which subjects are learnt from, which tune, and which only test.

A group (patient, site) is never on two sides: two sessions of one brain in training and test would be a leak. A
split depends on names, groups and the seed alone, never on the order of rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

from workbench.errors import CohortError
from workbench.imaging.cohort import Cohort
from workbench.imaging.subject import Subject

PARTS = ("train", "validation", "test")
PART_NAMES = {"training": "train", "valid": "validation", "val": "validation", "dev": "validation", "testing": "test"}
PART_NAMES |= {part: part for part in PARTS}


@dataclass(frozen=True)
class Split:
    """Names of the subjects of each part.

    Attributes:
        train: subjects to learn from.
        validation: subjects to choose settings and stopping by.
        test: subjects to report.
        hash: short digest of the three sets of names; equal splits have equal hashes whatever their order.
    """

    train: tuple[str, ...]
    validation: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    hash: str = field(init=False)

    def __post_init__(self) -> None:
        state = hashlib.sha256()
        for part in PARTS:
            state.update("\0".join([part, *sorted(self.part(part))]).encode() + b"\0\0")
        object.__setattr__(self, "hash", state.hexdigest()[:12])

    def part(self, name: str) -> tuple[str, ...]:
        """Give the subjects of ``"train"``, ``"validation"`` or ``"test"``."""
        if name not in PARTS:
            raise LookupError(f"no part {name!r}; known: {', '.join(PARTS)}")
        return tuple(getattr(self, name))

    def to_dict(self) -> dict[str, list[str] | str]:
        """Give plain lists and the hash, for run.json."""
        return {**{part: list(self.part(part)) for part in PARTS}, "hash": self.hash}

    @classmethod
    def from_dict(cls, parts: dict[str, list[str]]) -> Split:
        """Read what :meth:`to_dict` wrote."""
        return cls(*(tuple(parts.get(part, ())) for part in PARTS))


def split_by_group(cohort: Cohort, fractions: tuple[float, float, float] = (0.7, 0.15, 0.15), seed: int = 0) -> Split:
    """Deal the groups of a cohort to train, validation and test.

    Where the cohort has a ``split`` column its subjects stay where it puts them; groups without one are dealt to the
    parts that nobody was put in (to train if there is no such part). The larger groups are dealt first, each to the
    part furthest below its share, and no part that should have a share stays empty.

    Args:
        cohort: its subjects; one without a group is a group of its own.
        fractions: shares of train, validation and test among the subjects; zero leaves a part empty.
        seed: chooses among the splits of these shares.

    Raises:
        CohortError: fewer groups than parts, a ``split`` cell of an unknown name, or a group that it tears apart.
    """
    _check_fractions(fractions)
    fixed, groups = _fixed_parts(cohort)
    taken = {part for part in PARTS if fixed[part]}
    shares = {part: f for part, f in zip(PARTS, fractions, strict=True) if f > 0 and part not in taken}
    if groups and not shares:
        shares = {"train": 1.0}
    if 0 < len(groups) < len(shares):
        raise CohortError(
            f"Cohort {cohort.name} has {len(groups)} {_group_noun(cohort, len(groups))} to divide into "
            f"{_list(shares)}; "
            f"it needs at least {len(shares)}. Add subjects, or set the share of a part to 0."
        )
    if not groups and not fixed["train"]:
        raise CohortError(
            f"The split column of cohort {cohort.name} puts nobody in train; write train for some subjects."
        )
    for part, members in _deal(groups, shares, seed).items():
        fixed[part] += members
    return Split(*(tuple(sorted(fixed[part])) for part in PARTS))


def folds(cohort: Cohort, n_folds: int = 5, seed: int = 0, stratify_by_target: bool = False) -> list[Split]:
    """Give the splits of a cross-validation by group: each subject is tested once; validation is left empty.

    Args:
        cohort: its subjects; the ``split`` column is not looked at.
        n_folds: how many.
        seed: chooses among the cross-validations.
        stratify_by_target: keep the shares of the target's classes alike in every fold.

    Raises:
        CohortError: fewer groups than folds, or subjects without a target when stratifying.
    """
    subjects = sorted(cohort, key=lambda s: s.name)
    groups = [group_of(s) for s in subjects]
    n_groups = len(set(groups))
    if n_folds < 2 or n_groups < n_folds:
        raise CohortError(
            f"Cohort {cohort.name} has {n_groups} {_group_noun(cohort, n_groups)}: expected between 2 and {n_groups} "
            "folds, "
            f"got {n_folds}."
        )
    names = np.array([s.name for s in subjects])
    order = _shuffled_groups(groups, seed)
    if stratify_by_target:
        folder = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
        parts = list(folder.split(names, _targets(subjects, cohort), order))
    else:
        parts = list(GroupKFold(n_folds).split(names, groups=order))
    if any(len(train) == 0 or len(test) == 0 for train, test in parts):
        raise CohortError(f"{n_folds} folds of cohort {cohort.name} would leave one empty; use fewer folds.")
    return [Split(tuple(names[train].tolist()), (), tuple(names[test].tolist())) for train, test in parts]


def check_split(cohort: Cohort, split: Split) -> None:
    """Check that a split fits a cohort and separates no group.

    Raises:
        CohortError: it names a subject that the cohort lacks, names one twice, trains on nobody, or a group leaks.
    """
    side: dict[str, tuple[str, str]] = {}
    seen: set[str] = set()
    if not split.train:
        raise CohortError("The split has nobody to train on; move at least one subject to train.")
    for part in PARTS:
        for name in split.part(part):
            if name in seen:
                raise CohortError(f"Subject {name} is named twice in the split; leave it in one part.")
            seen.add(name)
            group = group_of(cohort[name])
            other, first = side.setdefault(group, (part, name))
            if other != part:
                raise CohortError(
                    f"Group {group} leaks: {first} is in {other} and {name} in {part}. Put the whole group in one part."
                )


def group_of(subject: Subject) -> str:
    """Give the subject's group; a subject without one is its own."""
    return subject.group or subject.name


def _check_fractions(fractions: Sequence[float]) -> None:
    if len(fractions) != 3 or not all(np.isfinite(f) and f >= 0 for f in fractions) or abs(sum(fractions) - 1) > 1e-6:
        given = ", ".join(f"{f:g}" for f in fractions)
        raise CohortError(
            f"The shares of train, validation and test must be three numbers from 0 that add up to 1; got {given}."
        )
    if fractions[0] == 0:
        raise CohortError("The share of train is 0, so there would be nobody to learn from; give it a part.")


def _fixed_parts(cohort: Cohort) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Give the subjects of each part that the split column fixes, and the free groups with their subjects."""
    fixed: dict[str, list[str]] = {part: [] for part in PARTS}
    of_group: dict[str, str] = {}
    for subject in cohort:
        part = PART_NAMES.get((subject.split or "").strip().lower())
        if subject.split and part is None:
            raise CohortError(
                f"Subject {subject.name} has split {subject.split!r}; expected train, validation or test."
            )
        if part is not None and of_group.setdefault(group_of(subject), part) != part:
            raise CohortError(
                f"The split column puts group {group_of(subject)} in {of_group[group_of(subject)]} and in {part}; "
                "write the same part for the whole group."
            )
    groups: dict[str, list[str]] = {}
    for subject in sorted(cohort, key=lambda s: s.name):
        group = group_of(subject)
        (fixed[of_group[group]] if group in of_group else groups.setdefault(group, [])).append(subject.name)
    return fixed, groups


def _deal(groups: dict[str, list[str]], shares: dict[str, float], seed: int) -> dict[str, list[str]]:
    """Deal the groups, the larger first, each to the part that is furthest below its share."""
    dealt: dict[str, list[str]] = {part: [] for part in shares}
    total = sum(len(members) for members in groups.values())
    quota = {part: f / sum(shares.values()) * total for part, f in shares.items()}
    names = sorted(groups)
    rank = dict(zip(names, np.random.default_rng(seed).permutation(len(names)), strict=True))
    queue = sorted(names, key=lambda g: (-len(groups[g]), rank[g]))
    for position, group in enumerate(queue):
        empty = [part for part in shares if not dealt[part]]
        # The last groups are kept for parts that would otherwise stay empty.
        choice = empty if len(queue) - position <= len(empty) else list(shares)
        part = max(choice, key=_below(dealt, quota))
        dealt[part] += groups[group]
    return dealt


def _below(dealt: dict[str, list[str]], quota: dict[str, float]) -> Callable[[str], float]:
    return lambda part: quota[part] - len(dealt[part])


def _shuffled_groups(groups: list[str], seed: int) -> np.ndarray:
    """Number the groups by a random order: GroupKFold breaks ties of equal sizes by it."""
    names = sorted(set(groups))
    number = dict(zip(names, np.random.default_rng(seed).permutation(len(names)).tolist(), strict=True))
    return np.array([number[g] for g in groups])


def _targets(subjects: Sequence[Subject], cohort: Cohort) -> list[str]:
    without = [s.name for s in subjects if s.target is None]
    if without:
        raise CohortError(
            f"{len(without)} subjects of cohort {cohort.name} have no target ({without[0]} is one); "
            "fill the column or do not stratify."
        )
    return [str(s.target) for s in subjects]


def _group_noun(cohort: Cohort, n: int) -> str:
    noun = "group" if any(s.group for s in cohort) else "subject"
    return noun if n == 1 else noun + "s"


def _list(names: Sequence[str] | dict[str, float]) -> str:
    return ", ".join(names)
