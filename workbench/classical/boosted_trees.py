"""Gradient boosted trees as plain arrays: fitted by scikit-learn, kept and read without pickles, walked here.

Gradient boosting (Friedman 2001) on histograms of the columns, as scikit-learn does it. What it fits are nodes; here
they are laid end to end, so that a forest is a few arrays, and all rows walk all trees at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

ROWS_AT_ONCE = 1024
MIN_LEAF = 20
ARRAYS = ("feature", "threshold", "left", "right", "value", "roots", "baseline", "classes")


@dataclass(frozen=True, eq=False)
class BoostedTrees:
    """Trees whose leaves add up to a logit a class.

    Attributes:
        feature: (n_nodes,) int32 column that a node asks about; -1 in a leaf.
        threshold: (n_nodes,) float64; rows with a value up to it go left.
        left, right: (n_nodes,) int32 where they go; a leaf leads to itself.
        value: (n_nodes,) float64, what a leaf adds.
        roots: (n_rounds, n_outputs) int32, the first node of each tree; one output for two classes.
        baseline: (n_outputs,) float64, the logits before the first tree.
        classes: (n_seen,) int32, which classes were there to be learnt, in the order of the outputs.
        n_classes: K.
    """

    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    value: np.ndarray
    roots: np.ndarray
    baseline: np.ndarray
    classes: np.ndarray
    n_classes: int

    def probabilities(self, rows: np.ndarray) -> np.ndarray:
        """Give the probabilities (N, K) float32 of rows (N, F) of finite numbers; 0 for a class that was never seen."""
        found = np.zeros((len(rows), self.n_classes), np.float32)
        if len(self.classes) == 1:
            found[:, self.classes[0]] = 1
            return found
        for begin in range(0, len(rows), ROWS_AT_ONCE):
            some = slice(begin, begin + ROWS_AT_ONCE)
            found[some, self.classes] = _softmax(self._logits(rows[some]))
        return found

    def shifted(self, factors: np.ndarray) -> BoostedTrees:
        """Give trees for where classes are more or less frequent than they were in the rows that were learnt from.

        By Bayes' rule the odds of two classes change by the ratio of their factors, so that it is enough to shift the
        logits before the first tree.

        Args:
            factors: (K,) how many times more frequent each class is there; positive for classes that were learnt.
        """
        moved = np.log(factors[self.classes])
        return replace(self, baseline=self.baseline + (moved if len(moved) > 2 else moved[1:] - moved[:1]))

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Give the same as arrays that :meth:`from_arrays` reads."""
        return {**{n: getattr(self, n) for n in ARRAYS}, "n_classes": np.array(self.n_classes, np.int32)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> BoostedTrees:
        """Read what :meth:`to_arrays` gave."""
        own = {name: arrays[name] for name in ARRAYS}
        return cls(**own, n_classes=int(arrays["n_classes"]))

    def _logits(self, rows: np.ndarray) -> np.ndarray:
        """Walk all trees: (N, n_outputs) float64. Few rows at a time stay in the cache, which triples the speed."""
        n_rounds, n_outputs = self.roots.shape
        feature = np.maximum(self.feature, 0).astype(np.intp)
        children = np.stack([self.left, self.right], axis=1).ravel().astype(np.intp)  # of node i at 2 i and 2 i + 1
        flat = np.ascontiguousarray(rows).ravel()
        begins = np.arange(len(rows))[:, None] * rows.shape[1]
        at = np.broadcast_to(self.roots.ravel().astype(np.intp), (len(rows), n_rounds * n_outputs))  # (N, trees)
        while True:
            goes_right = flat.take(feature.take(at) + begins) > self.threshold.take(at)
            below = children.take(2 * at + goes_right)
            if (below == at).all():  # leaves lead to themselves
                return self.baseline + self.value.take(at).reshape(len(rows), n_rounds, n_outputs).sum(1)
            at = below


def fit_boosted_trees(
    rows: np.ndarray,
    classes: np.ndarray,
    n_classes: int,
    *,
    n_rounds: int = 50,
    learning_rate: float = 0.1,
    max_leaves: int = 15,
    l2: float = 1.0,
    seed: int = 0,
) -> BoostedTrees:
    """Fit trees by scikit-learn's HistGradientBoostingClassifier.

    Args:
        rows: (N, F) finite numbers.
        classes: (N,) 0 to K - 1; those that do not occur get the probability 0.
        n_classes: K.
        n_rounds: trees an output.
        learning_rate: what each tree's leaves are multiplied by.
        max_leaves: of a tree.
        l2: penalty on leaf values.
        seed: of the rows that bins are found from.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    seen = np.unique(classes)
    if len(seen) == 1:
        return _constant(seen, n_classes)
    model = HistGradientBoostingClassifier(
        max_iter=n_rounds, learning_rate=learning_rate, max_leaf_nodes=max_leaves, l2_regularization=l2,
        min_samples_leaf=MIN_LEAF, early_stopping=False, random_state=seed,
    ).fit(rows, classes)  # fmt: skip
    return _laid_out(model, seen, n_classes)


def _laid_out(model: object, seen: np.ndarray, n_classes: int) -> BoostedTrees:
    """Put the nodes of all trees end to end."""
    trees = [tree.nodes for stage in model._predictors for tree in stage]  # type: ignore[attr-defined]
    starts = np.cumsum([0, *(len(t) for t in trees)])
    nodes = np.concatenate(trees)
    shift = np.repeat(starts[:-1], [len(t) for t in trees])
    own = np.arange(len(nodes))
    leaf = nodes["is_leaf"].astype(bool)
    return BoostedTrees(
        feature=np.where(leaf, -1, nodes["feature_idx"].astype(np.int64)).astype(np.int32),
        threshold=nodes["num_threshold"].astype(np.float64),
        left=np.where(leaf, own, nodes["left"].astype(np.int64) + shift).astype(np.int32),
        right=np.where(leaf, own, nodes["right"].astype(np.int64) + shift).astype(np.int32),
        value=np.where(leaf, nodes["value"], 0.0),
        roots=starts[:-1].reshape(len(model._predictors), -1).astype(np.int32),  # type: ignore[attr-defined]
        baseline=np.asarray(model._baseline_prediction, np.float64).ravel(),  # type: ignore[attr-defined]
        classes=seen.astype(np.int32),
        n_classes=n_classes,
    )


def _constant(seen: np.ndarray, n_classes: int) -> BoostedTrees:
    empty = np.zeros(0, np.int32)
    none = np.zeros(0)
    roots = np.zeros((0, 1), np.int32)
    return BoostedTrees(empty, none, empty, empty, none, roots, np.zeros(1), seen.astype(np.int32), n_classes)


def _softmax(logits: np.ndarray) -> np.ndarray:
    """Give probabilities of logits (N, K), or (N, 1) of the second of two classes."""
    if logits.shape[1] == 1:
        logits = np.concatenate([np.zeros_like(logits), logits], axis=1)
    raised = np.exp(logits - logits.max(1, keepdims=True))
    return raised / raised.sum(1, keepdims=True)
