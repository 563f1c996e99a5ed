"""How often chance alone does as well: tests that shuffle the targets among whole subjects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from workbench.errors import CohortError, SettingsError
from workbench.metrics.classification import accuracy, auc, balanced_accuracy
from workbench.progress import Progress, silent

Name = Literal["auc", "accuracy", "balanced_accuracy", "correlation"]


@dataclass(frozen=True, eq=False)
class PermutationTest:
    """A statistic beside what it is when targets mean nothing.

    Attributes:
        observed: with the true targets.
        null: (n,) with shuffled ones.
        p: (b + 1) / (n + 1), b the shuffles that do at least as well (Phipson and Smyth 2010): never 0.
    """

    observed: float
    null: np.ndarray
    p: float


def permutation_test(
    target: np.ndarray,
    scores: np.ndarray,
    statistic: Name | Callable[[np.ndarray, np.ndarray], float] = "auc",
    *,
    subjects: Sequence[object] | None = None,
    within: Sequence[object] | None = None,
    n: int = 2000,
    seed: int = 0,
) -> PermutationTest:
    """Test whether held-out scores go with the targets more than by chance; high statistics are good.

    The scores stay as they are, so this asks about these predictions. Whether the whole way of learning finds anything
    is asked by :func:`permutation_test_of`, which learns again for every shuffle.

    Args:
        target: (N,) classes from 0, or numbers.
        scores: (N,) or (N, K) of examples held out from training; predicted classes for the accuracies.
        statistic: a name, or a function of targets and scores. ``correlation`` is Pearson's.
        subjects: (N,) whom each example belongs to: all of a subject's examples are shuffled together.
        within: (N,) the site or other stratum within which alone targets are shuffled, so that what differs between
            strata cannot make the statistic significant.
        n: shuffles.
        seed: of the shuffles.

    Raises:
        CohortError: targets differ within a subject, a subject is in two strata, or nothing can be shuffled.
        SettingsError: the statistic is not known.
    """
    if isinstance(statistic, str) and statistic not in _STATISTICS:
        raise SettingsError(f"There is no statistic {statistic!r}; choose one of {', '.join(_STATISTICS)}.")
    measure = _STATISTICS[statistic] if isinstance(statistic, str) else statistic
    values = np.asarray(scores)
    if len(values) != len(target):
        raise ValueError(f"expected a score for each of {len(target)} targets; got {len(values)}")
    return permutation_test_of(
        lambda shuffled: measure(shuffled, values), target, subjects=subjects, within=within, n=n, seed=seed
    )


def permutation_test_of(
    evaluate: Callable[[np.ndarray], float],
    target: np.ndarray,
    *,
    subjects: Sequence[object] | None = None,
    within: Sequence[object] | None = None,
    n: int = 2000,
    seed: int = 0,
    progress: Progress = silent,
) -> PermutationTest:
    """Test anything that gives a number for targets (N,), such as a whole cross-validation.

    Args:
        evaluate: the number, high is good.
        target: (N,).
        subjects: see :func:`permutation_test`.
        within: likewise.
        n: shuffles.
        seed: of the shuffles.
        progress: told after each shuffle.
    """
    target = np.asarray(target)
    if n < 1:
        raise SettingsError(f"A permutation test takes at least 1 shuffle; got {n}.")
    unit = _numbers(subjects, len(target))
    first = np.unique(unit, return_index=True)[1]
    of_unit, stratum = target[first], np.zeros(len(target), int) if within is None else _numbers(within, len(target))
    _check(target, unit, of_unit, stratum, stratum[first])
    strata = [np.flatnonzero(stratum[first] == s) for s in np.unique(stratum)]
    observed, rng, null = float(evaluate(target)), np.random.default_rng(seed), np.empty(n)
    for index in range(n):
        shuffled = of_unit.copy()
        for members in strata:
            shuffled[members] = of_unit[rng.permutation(members)]
        null[index] = evaluate(shuffled[unit])
        progress((index + 1) / n, f"shuffle {index + 1:,} of {n:,}")
    b = int((null >= observed - 1e-12).sum())
    return PermutationTest(observed, null, (b + 1) / (n + 1))


def _check(
    target: np.ndarray, unit: np.ndarray, of_unit: np.ndarray, stratum: np.ndarray, stratum_of: np.ndarray
) -> None:
    if (target != of_unit[unit]).any():
        raise CohortError("Targets differ within a subject, so they cannot be shuffled among subjects.")
    if (stratum != stratum_of[unit]).any():
        raise CohortError("A subject lies in two strata, so targets cannot be shuffled within strata.")
    if all(len(np.unique(of_unit[stratum_of == s])) < 2 for s in np.unique(stratum)):
        raise CohortError(
            "There is nothing to shuffle: all targets that may change places are equal; score a part of the cohort "
            "that holds at least two classes, or shuffle across strata."
        )


def _numbers(names: Sequence[object] | None, n: int) -> np.ndarray:
    if names is None:
        return np.arange(n)
    if len(names) != n:
        raise ValueError(f"expected a name for each of {n} targets; got {len(names)}")
    return np.unique([str(name) for name in names], return_inverse=True)[1]


def _correlation(target: np.ndarray, scores: np.ndarray) -> float:
    a, b = (np.asarray(v, float) - np.mean(v) for v in (target, scores))
    length = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / length) if length > 0 else 0.0


_STATISTICS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "auc": auc,
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "correlation": _correlation,
}
