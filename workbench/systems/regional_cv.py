"""Cross-validation of systems that tell two classes of subjects apart by their regional signals.

Everything is learnt inside the training folds; a subject is scored by models that saw neither the subject nor its
group. The same folds score a linear machine on the connectivity, without which no number of a deep one means much.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from workbench.classical.connectivity import EdgeScaling
from workbench.errors import CohortError
from workbench.imaging.cohort import Cohort
from workbench.imaging.splits import group_of
from workbench.imaging.subject import Subject
from workbench.metrics.classification import accuracy, auc, balanced_accuracy, statistic_interval
from workbench.metrics.intervals import Interval
from workbench.metrics.permutation import permutation_test
from workbench.metrics.roc import RocBand, roc_band

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
N_SHUFFLES = 2000
FEWEST_OF_A_CLASS = 4
FEWEST_GROUPS = 10  # to draw groups with replacement: a handful gives intervals far too short
P_NOTE = (
    "p shuffles the classes among the held-out scores as they are and comes out too small, since folds share subjects "
    "that they learn from; a run with the classes shuffled first is the stricter control."
)


@dataclass(frozen=True, eq=False)
class Deal:
    """Who is scored by whom.

    Attributes:
        subjects: (N,) names.
        target: (N,) 0 or 1.
        classes: names of the two.
        groups: (N,) what folds never divide.
        fold: (N,) the fold that holds each subject out, from 0.
        notes: how the folds were made.
    """

    subjects: tuple[str, ...]
    target: np.ndarray
    classes: tuple[str, str]
    groups: tuple[str, ...]
    fold: np.ndarray
    notes: tuple[str, ...]

    @property
    def n_folds(self) -> int:
        """How many folds."""
        return int(self.fold.max()) + 1


def deal(
    cohort: Cohort, names: Sequence[str], target: str, n_folds: int, seed: int, *, permute: bool, by_group: bool = True
) -> Deal:
    """Deal subjects to folds by group, the classes in proportion.

    Args:
        cohort: where the subjects are.
        names: those that take part.
        target: a covariate with two values; empty takes the subject's target.
        n_folds: fewer where there are fewer groups.
        seed: of the folds, and of the permutation.
        permute: shuffle the classes among the subjects first, as a control.
        by_group: whether a group (site, family) is held out as a whole.

    Raises:
        CohortError: no target, not two classes, too few subjects of one, or fewer than two groups.
    """
    part = cohort.only(list(names))
    values = [class_of(s, target) for s in part]
    classes = tuple(sorted(set(values), key=_order))
    if len(classes) != 2:
        raise CohortError(
            f"Two classes are told apart here, but the subjects have {len(classes)}: {', '.join(classes[:6])}; choose "
            "another target, or subjects of two classes."
        )
    coded = np.array([classes.index(v) for v in values])
    fewest = int(np.bincount(coded).min())
    if fewest < FEWEST_OF_A_CLASS:
        raise CohortError(
            f"Class {classes[int(np.bincount(coded).argmin())]} has {fewest} subjects to learn from; at least "
            f"{FEWEST_OF_A_CLASS} are needed."
        )
    notes = []
    if permute:
        coded = np.random.default_rng([seed, 7]).permutation(coded)
        notes.append("The classes were shuffled among the subjects before anything was learnt: this run is a control.")
    groups = tuple(group_of(s) if by_group else s.name for s in part)
    if len(set(groups)) == 1:
        groups = tuple(s.name for s in part)
        notes.append("All subjects are of one group, so single subjects are held out.")
    n_groups = len(set(groups))
    n = min(n_folds, n_groups)
    fold = _folds(coded, groups, n, seed)
    whole = "group" if n_groups < len(part) else "subject"
    of = f"{len(part)} subjects" + (f" of {n_groups} groups" if n_groups < len(part) else "")
    notes.append(f"{n} folds; no {whole} is on both sides of one. {of}.")
    missing = [i + 1 for i in range(n) if len(set(coded[fold != i])) < 2]
    if missing:
        raise CohortError(f"The training part of fold {missing[0]} has one class only; take fewer folds.")
    return Deal(tuple(s.name for s in part), coded, (classes[0], classes[1]), groups, fold, tuple(notes))


def _folds(target: np.ndarray, groups: tuple[str, ...], n: int, seed: int) -> np.ndarray:
    """Give the fold (N,) of each subject; with as many folds as groups each is held out alone."""
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

    alone = n == len(set(groups))
    folder = GroupKFold(n) if alone else StratifiedGroupKFold(n, shuffle=True, random_state=seed)
    fold = np.empty(len(target), int)
    for i, (_, held) in enumerate(folder.split(target, target, groups)):
        fold[held] = i
    return fold


def class_of(subject: Subject, target: str) -> str:
    """Give a subject's class as text.

    Raises:
        CohortError: it has none.
    """
    value = subject.covariates.get(target) if target else subject.target
    if value is None or not str(value).strip():
        what = f"value of {target}" if target else "target"
        raise CohortError(f"Subject {subject.name} has no {what}; fill the column, or leave the subject out.")
    return str(value).strip()


def linear_scores(edges: np.ndarray, target: np.ndarray, fold: np.ndarray, seed: int = 0) -> np.ndarray:
    """Score subjects by a linear support vector machine on their edges, held out fold by fold.

    Edges are normalized and the penalty is chosen, by three folds, among the training subjects alone.

    Args:
        edges: (N, E) Fisher z.
        target: (N,) 0 or 1.
        fold: (N,) who is held out together.
        seed: of the inner folds.

    Returns:
        (N,) signed distances, high for class 1.
    """
    scores = np.empty(len(target))
    for i in np.unique(fold):
        held = fold == i
        scaling = EdgeScaling.learn(edges[~held])
        machine = linear_machine(scaling.apply(edges[~held]), target[~held], seed)
        scores[held] = machine.decision_function(scaling.apply(edges[held]))
    return scores


def linear_machine(x: np.ndarray, target: np.ndarray, seed: int = 0) -> Any:
    """Fit a linear support vector machine (N, E) with the penalty chosen by up to three inner folds.

    The kernel is computed once, so that thousands of edges cost no more than dozens.
    """
    from sklearn.model_selection import GridSearchCV, StratifiedKFold
    from sklearn.svm import SVC

    n_inner = min(3, int(np.bincount(target).min()))
    machine = SVC(kernel="linear", class_weight="balanced")
    if n_inner < 2:
        return machine.set_params(C=PENALTIES[2]).fit(x, target)
    inner = StratifiedKFold(n_inner, shuffle=True, random_state=seed)
    search = GridSearchCV(machine, {"C": PENALTIES}, scoring="balanced_accuracy", cv=inner)
    return search.fit(x, target).best_estimator_


def summary(
    held_out: Deal, scores: dict[str, np.ndarray], zero: Callable[[str], float] = lambda _: 0.0, seed: int = 0
) -> dict[str, list[float]]:
    """Give each method's area under the ROC curve, accuracy and balanced accuracy with 95 % intervals, and p.

    Intervals draw groups of subjects, or single ones where there are fewer than ten groups, and are widened by
    :func:`shared_training`. The p value shuffles the classes among the held-out scores as they are, and so is too small
    where folds share their training subjects.

    Returns:
        ``"<method>: auc"`` and so on → [value, low, high]; ``"<method>: p"`` → [p].
    """
    found: dict[str, list[float]] = {}
    target, wider = held_out.target, shared_training(held_out.n_folds)
    groups = held_out.groups if len(set(held_out.groups)) >= FEWEST_GROUPS else held_out.subjects
    for name, values in scores.items():
        predicted = (values > zero(name)).astype(int)
        measures = {"auc": (auc, values), "accuracy": (accuracy, predicted),
                    "balanced accuracy": (balanced_accuracy, predicted)}  # fmt: skip
        for what, (measure, given) in measures.items():
            value, low, high = statistic_interval(measure, target, given, groups, seed=seed)
            found[f"{name}: {what}"] = [
                float(value), max(0.0, float(value - wider * (value - low))),
                min(1.0, float(value + wider * (high - value))),
            ]  # fmt: skip
        found[f"{name}: p"] = [permutation_test(target, values, "auc", n=N_SHUFFLES, seed=seed).p]
    return found


def shared_training(n_folds: int) -> float:
    """Give what widens an interval over held-out subjects for the training subjects that folds share.

    Scores of one fold go up and down together, and models of different folds learnt from much the same subjects, so
    drawing subjects alone gives intervals that are too short: for classes without any difference a nominal 95 % held
    0.5 in 83 to 88 of 100 cohorts (40 and 100 subjects, 2 to 10 folds, a linear machine); so widened in 94 to 97. The
    factor is that of Nadeau and Bengio (Machine Learning 52:239–281, 2003) for k folds: sqrt(1 + k / (k - 1)).
    """
    return float(np.sqrt(1 + n_folds / (n_folds - 1)))


def widened_roc(target: np.ndarray, scores: np.ndarray, subjects: Sequence[str], n_folds: int) -> RocBand:
    """Give the ROC curve of held-out scores; its band and the area's interval are widened as in :func:`summary`."""
    band, wider = roc_band(target, scores, subjects), shared_training(n_folds)
    middle, (area, low_end, high_end) = band.true_positive_rate, band.auc
    low = np.maximum(0, middle - wider * (middle - band.low))
    high = np.minimum(1, middle + wider * (band.high - middle))
    ends = max(0.0, area - wider * (area - low_end)), min(1.0, area + wider * (high_end - area))
    return replace(band, low=low, high=high, auc=Interval(area, *ends))


def site_accuracy(edges: np.ndarray, sites: Sequence[str], seed: int = 0) -> list[float] | None:
    """Give how well a linear machine tells the sites from the edges, [balanced accuracy, low, high]; None for one site.

    A high value warns that a diagnosis which goes with the site can be told by the scanner alone.
    """
    from sklearn.model_selection import StratifiedKFold

    names, coded, counts = np.unique(np.asarray(sites, str), return_inverse=True, return_counts=True)
    enough = np.isin(coded, np.flatnonzero(counts >= 3))
    if len(names) < 2 or len(set(coded[enough])) < 2:
        return None
    x, y = edges[enough], np.unique(coded[enough], return_inverse=True)[1]
    predicted = np.empty(len(y), int)
    n_folds = int(min(5, np.bincount(y).min()))
    for train, test in StratifiedKFold(n_folds, shuffle=True, random_state=seed).split(x, y):
        scaling = EdgeScaling.learn(x[train])
        predicted[test] = linear_machine(scaling.apply(x[train]), y[train], seed).predict(scaling.apply(x[test]))
    return [float(v) for v in statistic_interval(balanced_accuracy, y, predicted, seed=seed)]


def _order(value: str) -> tuple[int, float, str]:
    """Sort numbers by size before words by letters; 'control' comes before what it is compared with."""
    try:
        return 0, float(value), value
    except ValueError:
        is_control = value.lower() in ("control", "controls", "nc", "hc", "cn", "healthy", "normal", "td")
        return 1, 0.0 if is_control else 1.0, value
