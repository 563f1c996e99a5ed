"""The claim of Figure 5, measured: how confusing is each kind of feature over many points whose match is known?

The review says that raw patches find too many points that do not correspond, that SIFT responds too little, and that
learnt features are least confusing. Rank-based scores decide, since the share of voxels above a fixed similarity
changes under any monotone rescaling of it. One table row holds one point under one feature and measure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pandas as pd
import torch
from scipy.ndimage import gaussian_gradient_magnitude

from workbench.errors import CohortError
from workbench.inference.similarity import FeatureMeasure
from workbench.metrics.correspondence import correspondence
from workbench.metrics.intervals import mean_interval
from workbench.patches.gather import gather
from workbench.patches.samplers import weighted
from workbench.progress import Progress, silent
from workbench.systems.feature_search import (
    EXCLUSION_MM,
    PATCH_CORRELATION,
    PATCH_L2,
    SIFT,
    SubjectSearch,
    learnt_name,
    true_match,
)  # fmt: skip

MEASURES: tuple[FeatureMeasure, ...] = ("correlation", "l2")
SCORES = ("share_above", "rank", "distance_mm", "found")
FOUND_MM = 3.0
CHUNK = 4096
SIFT_CORRELATION = "SIFT, correlation"

Pieces = Callable[[int], np.ndarray]


def study_pair(
    template: SubjectSearch,
    subject: SubjectSearch,
    n_points: int = 200,
    seed: int = 0,
    *,
    only_learnt: bool = False,
    progress: Progress = silent,
) -> pd.DataFrame:
    """Search a subject for points of a template, drawn where the template's gradient is large.

    Args:
        template, subject: phantoms searched by the same run.
        n_points: points.
        seed: of the choice of points.
        only_learnt: leave out what does not depend on the run.
        progress: told of each feature.

    Returns:
        One row a point and feature: ``template``, ``subject``, ``point``, ``feature``, ``share_above`` (%), ``rank``
        (from 1), ``distance_mm`` (best match to truth), ``found`` (1 within 3 mm), ``peak_ratio``.

    Raises:
        CohortError: the deformation between the two is not known.
    """
    image = template.volume.data[0]
    weights = gaussian_gradient_magnitude(image, 1.0) * template.mask
    centers = weighted(weights, n_points, np.random.default_rng([seed, 5]))
    points = template.volume.to_mm(centers)
    truth = true_match(template.subject, subject.subject, points)
    if truth is None:
        raise CohortError(
            f"The deformation between {template.subject.name} and {subject.subject.name} is not known; choose phantoms."
        )
    rows = []
    for number, (feature, found) in enumerate(_similarities(template, subject, centers, only_learnt)):
        progress(number / 7, f"{subject.subject.name}: {feature}")
        for point, (similarity, match) in enumerate(zip(found, truth, strict=True)):
            score = correspondence(similarity, subject.points_mm, match, EXCLUSION_MM)
            rows.append({
                "template": template.subject.name, "subject": subject.subject.name, "point": point, "feature": feature,
                "share_above": 100 * score.share_above, "rank": score.rank, "distance_mm": score.distance_mm,
                "found": float(score.distance_mm <= FOUND_MM), "peak_ratio": score.peak_ratio,
            })  # fmt: skip
    return pd.DataFrame(rows)


def summarize(
    rows: pd.DataFrame, by: Sequence[str] = ("condition", "feature"), scores: Sequence[str] = SCORES
) -> pd.DataFrame:
    """Give means with 95 % intervals; points of one pair are resampled together, since they share a brain.

    Returns:
        One row a group and score: the group's columns, ``score``, ``mean``, ``low``, ``high``, ``n_points``,
        ``n_pairs``.
    """
    found = []
    for group, part in rows.groupby(list(by), sort=False):
        clusters = pd.factorize(part["template"] + " " + part["subject"])[0]
        for score in scores:
            mean, low, high = mean_interval(part[score].to_numpy(float), clusters=clusters)
            labels = dict(zip(by, group, strict=True))
            found.append(
                {
                    **labels,
                    "score": score,
                    "mean": mean,
                    "low": low,
                    "high": high,
                    "n_points": len(part),
                    "n_pairs": len(set(clusters)),
                }
            )
    return pd.DataFrame(found)


def _similarities(
    template: SubjectSearch, subject: SubjectSearch, centers: np.ndarray, only_learnt: bool
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield (feature, (n_points, N) similarities): products of matrices instead of a transform a point."""
    lookup = np.full(template.volume.shape, -1, np.int64)
    lookup[tuple(template.codes.voxels.T)] = np.arange(len(template.codes.voxels))
    rows = lookup[tuple(centers.T)]
    n, size = len(subject.codes.voxels), template.patches.size
    queries = gather(template.volume.data, centers, size).reshape(len(centers), -1)

    def patches(start: int) -> np.ndarray:
        some = gather(subject.volume.data, subject.codes.voxels[start : start + CHUNK], size)
        return some.reshape(-1, queries.shape[1])

    sift = np.asarray(template.sift.features[rows], np.float32)
    codes = np.asarray(template.codes.features[rows], np.float32)
    if not only_learnt:
        yield PATCH_L2, _l2(queries, patches, n)
        yield PATCH_CORRELATION, _correlation(queries, patches, n)
        yield SIFT, _l2(sift, _pieces(subject.sift.features), n)
        yield SIFT_CORRELATION, _correlation(sift, _pieces(subject.sift.features), n)
    yield learnt_name(subject.learnt, "correlation"), _correlation(codes, _pieces(subject.codes.features), n)
    yield learnt_name(subject.learnt, "l2"), _l2(codes, _pieces(subject.codes.features), n)


def _pieces(features: np.ndarray) -> Pieces:
    return lambda start: np.asarray(features[start : start + CHUNK], np.float32)


def _l2(queries: np.ndarray, rows: Pieces, n: int) -> np.ndarray:
    """Give the negative squared distance, (n_queries, n): it ranks as the distance does."""
    q = torch.from_numpy(queries).double()
    found = np.empty((len(queries), n), np.float32)
    for start in range(0, n, CHUNK):
        piece = torch.from_numpy(rows(start)).double()
        square = q.square().sum(1)[:, None] + piece.square().sum(1) - 2 * q @ piece.T
        found[:, start : start + CHUNK] = -square.numpy()
    return found


def _correlation(queries: np.ndarray, rows: Pieces, n: int) -> np.ndarray:
    """Give Pearson's correlation, (n_queries, n); that of a constant is 0."""
    q = _unit(torch.from_numpy(queries))
    found = np.empty((len(queries), n), np.float32)
    for start in range(0, n, CHUNK):
        found[:, start : start + CHUNK] = (q @ _unit(torch.from_numpy(rows(start))).T).numpy()
    return found


def _unit(rows: torch.Tensor) -> torch.Tensor:
    centered = rows - rows.mean(1, keepdim=True)
    return centered / centered.norm(dim=1, keepdim=True).clamp_min(1e-6)
