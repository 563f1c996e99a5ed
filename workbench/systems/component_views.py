"""What a machine's units and the components of other methods show beside each other; plain arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workbench.metrics.recovery import match


@dataclass(frozen=True, eq=False)
class Penalties:
    """How a penalty was chosen.

    Attributes:
        values: (G,) tried.
        reproducibility: (G,) mean |r| of the maps of one half of the subjects with their partners of the other half.
        explained: (G,) share of the variance of a half's volumes that the other half's machine explains.
        chosen: one of the values.
        by: what decided.
    """

    values: np.ndarray
    reproducibility: np.ndarray
    explained: np.ndarray
    chosen: float
    by: str


@dataclass(frozen=True, eq=False)
class Comparison:
    """Maps and courses of several methods from the same signals.

    Attributes:
        methods: the machine first.
        maps: method → (K, R), learnt from all subjects of the run.
        courses: method → (T, K) of one subject.
        subject: whose courses these are.
        tr_s: time between volumes in s; None where unknown.
        fnc: method → (K, K) correlations of the courses over all subjects: functional network connectivity.
        reproducibility: method → (K,) |r| of each map of one half of the subjects with its partner of the other half.
        explained: method → (N,) share of each subject's variance that the other half's components explain.
        regions: (R,) names.
        penalties: how the machine's L1 was chosen.
        notes: such as methods that did not converge.
    """

    methods: tuple[str, ...]
    maps: dict[str, np.ndarray]
    courses: dict[str, np.ndarray]
    subject: str
    tr_s: float | None
    fnc: dict[str, np.ndarray]
    reproducibility: dict[str, np.ndarray]
    explained: dict[str, np.ndarray]
    regions: tuple[str, ...]
    penalties: Penalties
    notes: tuple[str, ...]

    def partners(self, method: str) -> tuple[np.ndarray, np.ndarray]:
        """Give for each of the machine's units its partner (K,) among a method's maps, and r (K,) with its sign.

        A unit without a partner has -1 and 0.
        """
        own = self.maps[self.methods[0]]
        found = match(self.maps[method], own)
        place = np.full(len(own), -1)
        place[found.pairs[:, 1]] = found.pairs[:, 0]
        return place, found.correlation * found.sign

    def agreement(self) -> np.ndarray:
        """Give the mean |r| of matched maps between any two methods, (methods, methods); 1 on the diagonal."""
        table = np.eye(len(self.methods))
        for i, one in enumerate(self.methods):
            for j, other in enumerate(self.methods[:i]):
                found = match(self.maps[one], self.maps[other])
                table[i, j] = table[j, i] = found.correlation[found.pairs[:, 1]].mean()
        return table
