"""Simple classifiers on the features of a layer, and the plane in which a layer's subjects are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from workbench.systems.regional_cv import PENALTIES, linear_machine

CLASSIFIERS = ("SVM", "logistic regression", "nearest neighbours")
N_NEIGHBOURS = 5
N_TRUSTED = 7
N_PRINCIPAL = 50
PERPLEXITY = 30.0
START_SD = 1e-4  # what t-SNE begins at: larger layouts hardly move


def predictions(x: np.ndarray, target: np.ndarray, held: np.ndarray, seed: int) -> np.ndarray:
    """Give the classes (C, n) that each of :data:`CLASSIFIERS` says of held-out features.

    Penalties are chosen among the training subjects; features are z-scored by them.

    Args:
        x: (N, F) to learn from.
        target: (N,) 0 or 1.
        held: (n, F).
        seed: of inner folds.
    """
    mean, sd = x.mean(0), x.std(0)
    sd = np.where(sd > 1e-6, sd, 1.0)
    x, held = _in_span((x - mean) / sd, (held - mean) / sd)
    return np.stack([one.predict(held) for one in _fitted(x, target, seed)])


def macro_f(target: np.ndarray, predicted: np.ndarray) -> float:
    """Give the mean of the two classes' F-scores: 1/3 for always saying one of two equal classes, 1/2 at chance."""
    found = []
    for k in (0, 1):
        hits = np.count_nonzero((target == k) & (predicted == k))
        said = np.count_nonzero(target == k) + np.count_nonzero(predicted == k)
        found.append(2 * hits / said if said else 0.0)
    return float(np.mean(found))


def principal(x: np.ndarray, seed: int) -> np.ndarray:
    """Give at most 50 principal components (N, F) of features, which keep who is near whom."""
    from sklearn.decomposition import PCA

    return PCA(min(N_PRINCIPAL, *x.shape), random_state=seed).fit_transform(x).astype(np.float32)


def layouts(features: Sequence[np.ndarray], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Lay subjects out in the plane by t-SNE for each depth, beginning at the layout of the depth below.

    Args:
        features: D arrays (N, F_d), N at least 8.
        seed: of t-SNE.

    Returns:
        Places (D, N, 2), and the trustworthiness (D,) of each.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE, trustworthiness

    n = len(features[0])
    start = PCA(2, random_state=seed).fit_transform(features[0])
    places, trusted = [], []
    for x in features:
        start = START_SD * start / max(float(start.std()), 1e-12)
        model = TSNE(perplexity=min(PERPLEXITY, (n - 1) / 3), init=start.astype(np.float32), random_state=seed)
        start = model.fit_transform(x)
        places.append(start)
        trusted.append(trustworthiness(x, start, n_neighbors=min(N_TRUSTED, n // 2 - 1)))
    return np.stack(places), np.array(trusted)


def _in_span(x: np.ndarray, held: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Turn features (N, F) and (n, F) into coordinates in the span of the first where that has fewer axes.

    Nothing is lost: penalized linear classifiers put no weight on what is orthogonal to all they learn from, and it
    adds the same to a held-out subject's distance to each of those.
    """
    if x.shape[1] <= len(x):
        return x, held
    u, s, axes = np.linalg.svd(x, full_matrices=False)
    return u * s, held @ axes.T


def _fitted(x: np.ndarray, target: np.ndarray, seed: int) -> list[Any]:
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, StratifiedKFold
    from sklearn.neighbors import KNeighborsClassifier

    fewest = int(np.bincount(target).min())
    logistic: Any = LogisticRegression(class_weight="balanced", max_iter=2000)
    if fewest >= 2:
        inner = StratifiedKFold(min(3, fewest), shuffle=True, random_state=seed)
        logistic = GridSearchCV(logistic, {"C": PENALTIES}, scoring="balanced_accuracy", cv=inner)
    near = KNeighborsClassifier(min(N_NEIGHBOURS, len(x)))
    return [linear_machine(x, target, seed), logistic.fit(x, target), near.fit(x, target)]
