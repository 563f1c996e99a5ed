"""What a supervised network is to say of an example: a class or a number, learnt from the training part alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch

from workbench.errors import CohortError, SettingsError
from workbench.imaging.cohort import Cohort
from workbench.patches.examples import Examples
from workbench.systems.example_source import targets_of

TaskName = Literal["auto", "classification", "regression"]
MAX_CLASSES = 200
FEW_VALUES = 20


@dataclass(frozen=True)
class Targets:
    """How targets as written become what a network is trained on.

    Attributes:
        classes: their names in the order of the outputs; empty for a number.
        mean, deviation: of the training numbers; regression is trained on z-scores.
    """

    classes: tuple[str, ...] = ()
    mean: float = 0.0
    deviation: float = 1.0

    @property
    def task(self) -> Literal["classification", "regression"]:
        """What the targets ask for."""
        return "classification" if self.classes else "regression"

    @property
    def n_outputs(self) -> int:
        """Outputs of the network: one a class, or one number."""
        return len(self.classes) or 1

    @classmethod
    def learn(cls, values: list[str], task: TaskName) -> Targets:
        """Learn from the training targets as written.

        Raises:
            CohortError: one class only, or numbers that are all the same.
            SettingsError: regression on words.
        """
        numbers = _numbers(values)
        if task == "regression" and numbers is None:
            word = next(v for v in values if _numbers([v]) is None)
            raise SettingsError(f"Regression needs numbers as targets; one is {word!r}. Choose classification.")
        distinct = sorted(set(values), key=_order)
        is_number = numbers is not None and (task == "regression" or _looks_continuous(numbers))
        if task != "classification" and is_number and numbers is not None:
            if np.ptp(numbers) == 0:
                raise CohortError(f"Every training target is {numbers[0]:g}, so there is nothing to predict.")
            return cls((), float(numbers.mean()), float(numbers.std()))
        if len(distinct) < 2:
            raise CohortError(
                f"All training examples are of the class {distinct[0]!r}; a classifier needs at least two classes in "
                "the training part of the split."
            )
        if len(distinct) > MAX_CLASSES:
            raise SettingsError(f"The targets have {len(distinct)} different values; choose regression for numbers.")
        return cls(tuple(distinct))

    def encode(self, values: list[str], part: str) -> torch.Tensor:
        """Give targets as (N,) int64 class indices or float32 z-scores.

        Raises:
            CohortError: a class that training does not have, or a word where a number is due.
        """
        if not self.classes:
            numbers = _numbers(values)
            if numbers is None:
                raise CohortError(f"A target of the {part} part is not a number, those of training are.")
            return torch.from_numpy(((numbers - self.mean) / self.deviation).astype(np.float32))
        place = {name: i for i, name in enumerate(self.classes)}
        unknown = sorted({v for v in values if v not in place})
        if unknown:
            raise CohortError(
                f"The class {unknown[0]!r} occurs in the {part} part but not in training, which has "
                f"{', '.join(self.classes[:8])}; make the split again, or leave these subjects out."
            )
        return torch.tensor([place[v] for v in values])

    def decode(self, z: np.ndarray) -> np.ndarray:
        """Give predicted z-scores in the target's own unit."""
        return z * self.deviation + self.mean


def with_subject_targets(part: Cohort, examples: Examples, targets: Targets, name: str, words: str) -> Examples:
    """Give every example its subject's target."""
    coded = targets.encode(targets_of(part, name), words)
    return replace(examples, target=coded[examples.subject])


def with_label_targets(examples: Examples, values: tuple[int, ...]) -> Examples:
    """Turn label values at patch centers into class indices; patches of a label that training lacks are left out.

    Raises:
        CohortError: a subject has no label map, or no patch a label that training has.
    """
    if examples.target is None:
        raise CohortError(
            "The run learns the labels at the centers of patches and a subject that is held out has no label map; "
            "bring its label map or leave it out."
        )
    matches = examples.target[:, None] == torch.tensor(values)  # (N, K)
    known = matches.any(1).nonzero().ravel()
    if not len(known):
        raise CohortError(
            f"None of the {len(examples)} patches has a label that training has ({', '.join(map(str, values))}) at "
            "its center; draw more patches, or bring other label maps."
        )
    return replace(examples, target=matches.long().argmax(1)).take(known)


def _numbers(values: list[str]) -> np.ndarray | None:
    try:
        found = np.array([float(v) for v in values])
    except ValueError:
        return None
    return found if np.isfinite(found).all() else None


def _looks_continuous(numbers: np.ndarray) -> bool:
    return len(np.unique(numbers)) > FEW_VALUES or bool((numbers != np.round(numbers)).any())


def _order(value: str) -> tuple[int, float, str]:
    """Sort numbers by size before words by letters."""
    numbers = _numbers([value])
    return (1, 0.0, value) if numbers is None else (0, float(numbers[0]), value)
