"""How similar is every voxel to one point (the review's Figure 5), by patches or by features.

Every measure is *higher is better*: L2 is the negative Euclidean distance; correlation is Pearson's, of a patch's
values or of a code's elements; cosine leaves the mean in. What does not depend on the query is computed once for a
subject, so a further click costs one Fourier transform (patches) or one pass over the rows (features). The measure
matters as much as the feature: raw patches under L2 and under correlation are two different rivals.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from math import prod
from typing import Literal, get_args

import numpy as np
import torch
from scipy.fft import irfftn, next_fast_len, rfftn

from workbench.inference.boxes import Triple, box_moments, pad_about, triple
from workbench.inference.dense import as_voxels

PatchMeasure = Literal["l2", "correlation"]
FeatureMeasure = Literal["l2", "correlation", "cosine"]

FLAT = 1e-12
"""A patch or code whose variance is below this share of the largest is constant: its correlation is 0."""
PIECE_BYTES = 8 * 2**20


class PatchIndex:
    """The raw patches about the voxels of one subject, none of them materialized.

    |a - b|² = |a|² + |b|² - 2 ab: the sums of squares come from boxes about every voxel, the products from one Fourier
    transform, in double precision because they nearly cancel where patches are alike.

    Args:
        image: (C, X, Y, Z); zero outside, as everywhere.
        voxels: (N, 3) indices or an (X, Y, Z) bool mask: the candidates.
        size: of a patch, in voxels.
    """

    def __init__(self, image: np.ndarray, voxels: np.ndarray, size: Sequence[int]) -> None:
        self.size, self.voxels = triple(size), as_voxels(voxels, triple(image.shape[1:]))
        self._typical = float(image.mean(dtype=np.float64))
        # a constant taken from image and query alike changes neither measure and saves digits
        self._padded = pad_about(image, self.size).astype(np.float64) - self._typical
        self._places = tuple(self.voxels.T)
        self._n_elements = len(image) * prod(self.size)
        mean, variance = box_moments(self._padded, self.size)
        self._mean, self._variance = mean[self._places], variance[self._places]  # (N,) each
        self._flat = FLAT * max(float(variance.max(initial=0)), np.finfo(float).tiny)

    def patch(self, voxel: Sequence[int] | np.ndarray) -> np.ndarray:
        """Give the patch about any voxel of the image, (C, *size) float64."""
        x, y, z = (int(v) for v in voxel)
        sx, sy, sz = self.size
        return self._padded[:, x : x + sx, y : y + sy, z : z + sz] + self._typical

    def similarity(self, patch: np.ndarray, measure: PatchMeasure) -> np.ndarray:
        """Compare a patch with that of every candidate.

        Args:
            patch: (C, *size), from this image or from another.
            measure: ``l2`` or ``correlation``.

        Returns:
            (N,) float32, higher is better.
        """
        _check(measure, PatchMeasure)
        if patch.shape != (len(self._padded), *self.size):
            raise ValueError(f"expected a patch {(len(self._padded), *self.size)}; got {patch.shape}")
        query = patch.astype(np.float64) - self._typical
        mean, variance = query.mean(), query.var()
        covariance = self._products(query - mean) / self._n_elements
        if measure == "correlation":
            if variance <= FLAT * max(variance + mean * mean, np.finfo(float).tiny):
                return np.zeros(len(self.voxels), np.float32)
            scale = np.sqrt(np.where(self._variance > self._flat, self._variance, np.inf) * variance)
            return np.clip(covariance / scale, -1, 1).astype(np.float32)
        square = self._variance + variance - 2 * covariance + np.square(self._mean - mean)
        return -np.sqrt(self._n_elements * np.maximum(square, 0)).astype(np.float32)

    @cached_property
    def _transform_shape(self) -> Triple:
        return triple([next_fast_len(n, real=True) for n in self._padded.shape[1:]])

    @cached_property
    def _spectrum(self) -> np.ndarray:
        return rfftn(self._padded, s=self._transform_shape, axes=(1, 2, 3), workers=_workers())

    def _products(self, query: np.ndarray) -> np.ndarray:
        """Give the inner product of a patch with each candidate's: (N,)."""
        spectrum = rfftn(query, s=self._transform_shape, axes=(1, 2, 3), workers=_workers())
        product = (self._spectrum * spectrum.conj()).sum(0)
        return irfftn(product, s=self._transform_shape, workers=_workers(), overwrite_x=True)[self._places]


class FeatureIndex:
    """The feature vectors of one subject's voxels, with their norms.

    Args:
        features: (N, M) of any float type; a memory map is read in pieces.
    """

    def __init__(self, features: np.ndarray) -> None:
        if features.ndim != 2:
            raise ValueError(f"expected features (N, M); got {features.shape}")
        self.features = features

    def similarity(self, vector: np.ndarray, measure: FeatureMeasure, rows: np.ndarray | None = None) -> np.ndarray:
        """Compare a vector with every row, or with some.

        Args:
            vector: (M,).
            measure: ``l2``, ``correlation`` or ``cosine``.
            rows: (n,) indices of the rows to compare with.

        Returns:
            (N,) or (n,) float32, higher is better. Constant vectors correlate 0, vectors of zeros have cosine 0.
        """
        _check(measure, FeatureMeasure)
        if vector.shape != self.features.shape[1:]:
            raise ValueError(f"expected a vector of {self.features.shape[1]} features; got shape {vector.shape}")
        query = torch.from_numpy(vector.astype(np.float32))
        if measure == "l2":
            return -self._each(lambda piece: _distance(piece, query), rows)
        if measure == "correlation":
            query = query - query.mean()
        norm = float(query.norm())
        if norm <= np.sqrt(FLAT) * float(np.linalg.norm(vector)):
            return np.zeros(len(self.features) if rows is None else len(rows), np.float32)
        query = query / norm
        norms = self._centered_norms if measure == "correlation" else self._norms
        products = self._each(lambda piece: piece @ query, rows)
        return np.clip(products / (norms if rows is None else norms[rows]), -1, 1)

    @cached_property
    def _norms(self) -> np.ndarray:
        return _or_infinite(self._each(lambda piece: piece.norm(dim=1)))

    @cached_property
    def _centered_norms(self) -> np.ndarray:
        return _or_infinite(self._each(lambda piece: (piece - piece.mean(1, keepdim=True)).norm(dim=1)))

    def _each(self, function: Callable[[torch.Tensor], torch.Tensor], rows: np.ndarray | None = None) -> np.ndarray:
        """Apply (m, M) → (m,) to pieces of the rows that fit in the cache: (N,) or (n,) float32."""
        n_rows = len(self.features) if rows is None else len(rows)
        answer = np.empty(n_rows, np.float32)
        step = max(1, PIECE_BYTES // (4 * max(1, self.features.shape[1])))
        for start in range(0, n_rows, step):
            some = slice(start, start + step)
            piece = np.array(self.features[some if rows is None else rows[some]])  # a copy: memory maps are read-only
            answer[some] = function(torch.from_numpy(piece).float()).numpy()
        return answer


def patch_similarity(
    image: np.ndarray, voxels: np.ndarray, patch: np.ndarray, measure: PatchMeasure = "correlation"
) -> np.ndarray:
    """Compare one patch with that of every voxel, once; for further clicks keep a :class:`PatchIndex`.

    Args:
        image: (C, X, Y, Z).
        voxels: (N, 3) indices or an (X, Y, Z) bool mask.
        patch: (C, *size).
        measure: ``l2`` (negative distance) or ``correlation``.

    Returns:
        (N,) float32, higher is better.
    """
    return PatchIndex(image, voxels, patch.shape[1:]).similarity(patch, measure)


def feature_similarity(
    features: np.ndarray, vector: np.ndarray, measure: FeatureMeasure = "correlation", rows: np.ndarray | None = None
) -> np.ndarray:
    """Compare one vector (M,) with every row of (N, M); for further clicks keep a :class:`FeatureIndex`.

    Returns:
        (N,) float32, higher is better; ``l2`` is the negative distance.
    """
    return FeatureIndex(features).similarity(vector, measure, rows)


def _distance(piece: torch.Tensor, query: torch.Tensor) -> torch.Tensor:
    """Distances without the detour over |a|² + |b|² - 2 ab, which would lose the small ones."""
    return torch.cdist(piece, query[None], compute_mode="donot_use_mm_for_euclid_dist")[:, 0]


def _or_infinite(norms: np.ndarray) -> np.ndarray:
    """Make norms of vectors that are constant or zero infinite, so that what they divide becomes 0."""
    return np.where(norms > np.sqrt(FLAT) * norms.max(initial=0), norms, np.inf).astype(np.float32)


def _check(measure: str, known: object) -> None:
    if measure not in get_args(known):
        raise LookupError(f"no such measure as {measure!r}; known are {', '.join(get_args(known))}")


def _workers() -> int:
    return torch.get_num_threads()
