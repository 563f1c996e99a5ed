"""What a run on regional signals shows of itself: networks, states, diagnosis; plain arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class RegionalNetworks:
    """Learned units, or components, as patterns over regions.

    Attributes:
        weights: (M, R) one row a unit; signed.
        titles: (M,) what each is called, such as ``"unit 3"`` or ``"state 2"``.
        regions: (R,) names.
        coordinates_mm: (R, 3) in RAS+; NaN where unknown.
        networks: (R,) of the reference, "" where unknown.
        matrices: (M, R, R) connectivity that goes with each unit where a unit looks at edges, else None: an edge of a
            unit of regions is the product of its ends' weights.
        connectivity: (R, R) mean correlation over the training subjects; None of so many regions that it is not made.
        of_what: what the weights are, with their unit.
        voxel_mm: edge of the cubes where the regions are voxels on one lattice; None where they are regions.
    """

    weights: np.ndarray
    titles: tuple[str, ...]
    regions: tuple[str, ...]
    coordinates_mm: np.ndarray
    networks: tuple[str, ...]
    matrices: np.ndarray | None
    connectivity: np.ndarray | None
    of_what: str
    voxel_mm: float | None = None

    def matrix(self, unit: int) -> np.ndarray:
        """Give the (R, R) connectivity of one unit, with a diagonal of zeros."""
        if self.matrices is not None:
            return self.matrices[unit]
        w = self.weights[unit]
        made = np.outer(w, w)
        np.fill_diagonal(made, 0.0)
        return made


@dataclass(frozen=True, eq=False)
class StatesView:
    """Hidden states of a class of subjects.

    Attributes:
        model: whose it is, such as a class of subjects.
        subjects: (N,) names.
        classes: (N,) their classes.
        paths: N arrays (T_n,) of states, from Viterbi.
        tr_s: time between frames in s; None where unknown.
        transitions: (K, K) of the model; row: from.
        patterns: (K, R) mean signal of each state over regions, decoded from the code.
        codes: (K, D) the states' means in the code.
        held_out: (N,) bool, whether the subject took no part in fitting what its path is read from.
    """

    model: str
    subjects: tuple[str, ...]
    classes: tuple[str, ...]
    paths: tuple[np.ndarray, ...]
    tr_s: float | None
    transitions: np.ndarray
    patterns: np.ndarray
    codes: np.ndarray
    held_out: np.ndarray


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """Cross-validated scores of subjects, each from a model that saw neither the subject nor its group.

    Attributes:
        subjects: (N,) names.
        target: (N,) 0 or 1.
        classes: names of the two.
        scores: method → (N,), high for class 1.
        zero: the score at which the two classes are as likely, by method; NaN where scores have none.
        fold: (N,) which model scored the subject.
        site: (N,) group or site, as text.
        of_what: what the first method's score is, with its unit.
        notes: how folds were made, what to mind.
    """

    subjects: tuple[str, ...]
    target: np.ndarray
    classes: tuple[str, str]
    scores: dict[str, np.ndarray]
    zero: dict[str, float]
    fold: np.ndarray
    site: tuple[str, ...]
    of_what: str
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class ControlTrace:
    """How the sparsity controller drove the weights.

    Attributes:
        layer: its name.
        measure: ``"nonzero"`` or ``"hoyer"``.
        target: wanted value.
        steps: (S,) update.
        values: (S,) measured; a mean over units where each has its own control.
        betas: (S,) strength of the penalty; likewise.
    """

    layer: str
    measure: str
    target: float
    steps: np.ndarray
    values: np.ndarray
    betas: np.ndarray
