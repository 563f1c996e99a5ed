"""What a study of depth shows: scores by depth and classifier, and the subjects as each depth sees them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class DepthScores:
    """F-scores on held-out subjects.

    Attributes:
        depths: ``"raw"``, ``"depth 1"``, ….
        classifiers: C names.
        f: (folds, C, D) mean of the two classes' F-scores in each fold; about 0.5 at chance.
        classes: names of the two.
        permuted: whether the classes were shuffled before anything was learnt.
        notes: how folds were made.
    """

    depths: tuple[str, ...]
    classifiers: tuple[str, ...]
    f: np.ndarray
    classes: tuple[str, str]
    permuted: bool
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Embedding:
    """Subjects in the plane by the features of each depth, each layout begun at that of the depth below.

    All depths are those of the first fold's network, so the held-out subjects are places that it never learnt from.

    Attributes:
        depths: ``"raw"``, ``"depth 1"``, ….
        places: (D, N, 2); axes have no meaning, neighbours do.
        trustworthiness: (D,) 1 where everybody's neighbours in the plane are neighbours among the features.
        subjects: (N,) names.
        target: (N,) 0 or 1.
        classes: names of the two.
        held_out: (N,) bool.
    """

    depths: tuple[str, ...]
    places: np.ndarray
    trustworthiness: np.ndarray
    subjects: tuple[str, ...]
    target: np.ndarray
    classes: tuple[str, str]
    held_out: np.ndarray
