"""Two halves of the subjects, what comes back in both, and what one half's model explains of the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from workbench.metrics.recovery import match
from workbench.systems.regional_data import Regional

N_SHUFFLES = 20
OTHER_START = 1_000_003
"""Added to the seed of the second half: what begins alike may agree on what neither half has shown it."""
USEFUL = 0.1
"""Share of what the best penalty explains of the other half, below which a machine has been emptied."""
Rebuild = Callable[[np.ndarray], np.ndarray]


class Halves(NamedTuple):
    """What is learnt from, in two parts.

    Attributes:
        data: the series, of one subject its two halves in time.
        half: (N,) 0 or 1, of each series.
        note: how they were made.
    """

    data: Regional
    half: np.ndarray
    note: str

    def part(self, which: int) -> Regional:
        """Give one half."""
        return self.data.only(self.half == which)


def halves(data: Regional, groups: Sequence[str], seed: int) -> Halves:
    """Deal groups of subjects to two halves of about as many volumes; a single subject is cut in the middle.

    Args:
        data: all subjects that are learnt from.
        groups: (N,) what the halves do not divide; where there is one only, subjects are dealt.
        seed: of the deal.
    """
    if len(data) == 1:
        at = len(data.series[0]) // 2
        cut = Regional(data.names * 2, (data.series[0][:at], data.series[0][at:]), data.regions, data.tr_s)
        return Halves(cut, np.array([0, 1]), "The only subject was cut into two halves in time.")
    whole = len(set(groups)) > 1
    named = np.array(list(groups) if whole else list(data.names))
    sizes = {name: sum(len(data.series[i]) for i in np.flatnonzero(named == name)) for name in sorted(set(named))}
    drawn = np.random.default_rng([seed, 5]).permutation(list(sizes))
    filled, side = [0, 0], {}
    for name in sorted(drawn, key=lambda n: -sizes[n]):  # stable: groups of one size stay in the drawn order
        side[name] = int(filled[1] < filled[0])
        filled[side[name]] += sizes[name]
    what = "group" if whole else "subject"
    return Halves(data, np.array([side[n] for n in named]), f"Two halves; no {what} is in both.")


def reproducibility(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Give |r| of each map (K, R) of one half with its partner of the other half, (K,), largest first."""
    return -np.sort(-match(one, other).correlation)


def explained(series: Sequence[np.ndarray], rebuild: Rebuild) -> np.ndarray:
    """Give the share of the variance of each series (T, R) that its reconstruction explains, (N,); at most 1."""
    found = []
    for one in series:
        about = np.asarray(one, np.float64)
        rest = ((about - rebuild(one)) ** 2).sum()
        found.append(1 - rest / ((about - about.mean(0)) ** 2).sum())
    return np.array(found)


def crossed(parts: Halves, rebuilds: Sequence[Rebuild]) -> np.ndarray:
    """Give what the other half's model explains of each series, (N,)."""
    found = np.empty(len(parts.data))
    for which in (0, 1):
        found[parts.half == which] = explained(parts.part(which).series, rebuilds[1 - which])
    return found


def preferred(same: Sequence[float], told: Sequence[float], by: str) -> int:
    """Give the place of the penalty to take.

    The dust that too large a penalty leaves may agree between the halves, so agreement counts only among penalties
    whose machines explain at least a tenth as much of the other half as the best one; among all where none explains
    anything.

    Args:
        same: how well the maps of the halves agree under each penalty.
        told: the share of variance of the other half that is explained.
        by: ``reproducibility``, or ``held-out error`` for what explains most.
    """
    if by == "held-out error":
        return int(np.argmax(told))
    best = max(told)
    useful = np.array([best <= 0 or one >= USEFUL * best for one in told])
    return int(np.argmax(np.where(useful, same, -np.inf)))


def chance(one: np.ndarray, other: np.ndarray, seed: int) -> float:
    """Give the mean |r| of :func:`reproducibility` that shuffled regions give in one draw of twenty."""
    rng = np.random.default_rng([seed, 6])
    drawn = [reproducibility(one, other[:, rng.permutation(other.shape[1])]).mean() for _ in range(N_SHUFFLES)]
    return float(np.quantile(drawn, 0.95))


def frames(data: Regional, most: int, seed: int) -> np.ndarray:
    """Give the volumes (n, R) of all subjects one after another, or a draw of about ``most`` of them."""
    return np.concatenate(frames_by_subject(data, most, seed))


def frames_by_subject(data: Regional, most: int, seed: int) -> list[np.ndarray]:
    """Give the same subject by subject, in the order of time."""
    total = sum(len(one) for one in data.series)
    if total <= most:
        return list(data.series)
    rng = np.random.default_rng([seed, 3])
    share = most / total
    return [one[np.sort(rng.permutation(len(one))[: max(1, round(share * len(one)))])] for one in data.series]
