"""Networks by the methods that came before deep learning: ICA, PCA, sparse dictionaries and NMF.

The partners of restricted Boltzmann machines in Section 3.5 (Plis et al., Front. Neurosci. 2014). Each writes signals
as courses times maps. ``fast_ica`` seeks courses that are independent over time, ``spatial_ica`` maps that are
independent over space, which is the practice of fMRI (McKeown et al. 1998); ``dictionary`` seeks sparse maps.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from workbench.errors import CohortError, SettingsError

Method = Literal["fast_ica", "spatial_ica", "pca", "dictionary", "nmf"]
VoxelMethod = Literal["can_ica", "dictionary"]
LARGE = 500  # columns and rows from which only the largest singular values are sought


@dataclass(frozen=True, eq=False)
class Components:
    """Maps and their courses: signals ≈ mean + courses @ maps.

    The largest weight of each map is positive, and maps stand in falling order of what they add to the signals.

    Attributes:
        maps: (K, R) weight of each region or voxel.
        courses: (T, K) over time; the recordings one after another where there were several.
        mean: (R,) what was taken off each region first.
        notes: whether the method had not converged.
    """

    maps: np.ndarray
    courses: np.ndarray
    mean: np.ndarray
    notes: tuple[str, ...] = ()

    def project(self, values: np.ndarray) -> np.ndarray:
        """Give the courses (T', K) of other signals (T', R) on these maps, by least squares."""
        return (values - self.mean) @ np.linalg.pinv(self.maps)

    def reconstruct(self) -> np.ndarray:
        """Give the signals (T, R) that the components stand for."""
        return self.mean + self.courses @ self.maps


def decompose(x: np.ndarray, method: Method, n_components: int, seed: int = 0, *, sparsity: float = 0.1) -> Components:
    """Decompose regional signals.

    Args:
        x: (T, R), one recording or several one after another, each z-scored by region where that is wanted.
        method: which; for ``nmf`` the least value of each region is taken off first, as it knows no negative numbers.
        n_components: K, at most min(T, R).
        seed: of the start.
        sparsity: penalty of ``dictionary`` on the absolute weights of its maps where signals and courses have length
            1: about the correlation with a course below which a region's weight is 0.

    Raises:
        SettingsError: the method is not known, or there are more components than regions or volumes.
        CohortError: signals are NaN, or have fewer independent directions than components.
    """
    if method not in get_args(Method):
        raise SettingsError(f"There is no decomposition {method!r}; choose one of {', '.join(get_args(Method))}.")
    signals = np.asarray(x, np.float64)
    if signals.ndim != 2:
        raise ValueError(f"expected signals (T, R); got {signals.shape}")
    if not np.isfinite(signals).all():
        raise CohortError(
            f"{np.count_nonzero(~np.isfinite(signals).all(0))} regions hold values that are no number; leave them out."
        )
    if not 1 <= n_components <= min(signals.shape):
        raise SettingsError(
            f"From {signals.shape[0]} volumes of {signals.shape[1]} regions come 1 to {min(signals.shape)} components; "
            f"got {n_components}."
        )
    mean = signals.min(0) if method == "nmf" else signals.mean(0)
    rank = rank_up_to(signals - signals.mean(0), n_components)
    if rank < n_components and method != "nmf":
        raise CohortError(
            f"The signals have {rank} independent directions, fewer than {n_components} components; ask for fewer."
        )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        maps, courses = _METHODS[method](signals - mean, n_components, seed, sparsity)
    return _in_order(maps, courses, mean, _convergence(caught))


def rank_up_to(x: np.ndarray, most: int) -> int:
    """Give how many independent directions the rows of (T, R) have; of large ones at most ``most``."""
    if min(x.shape) <= LARGE:
        return int(np.linalg.matrix_rank(x))
    s = _largest(x, min(most, min(x.shape)), 0)[1]
    return int((s > s[0] * max(x.shape) * np.finfo(np.float64).eps).sum())


def decompose_images(
    images: Sequence[Any],
    mask: Any,
    n_components: int,
    *,
    method: VoxelMethod = "can_ica",
    smoothing_fwhm_mm: float | None = None,
    sparsity: float = 10.0,
    seed: int = 0,
) -> Components:
    """Decompose the voxels of many 4-D images into maps that the group shares, by nilearn.

    ``can_ica`` is canonical ICA (Varoquaux et al., NeuroImage 2010), ``dictionary`` dictionary learning with sparse
    maps (Mensch et al., ISBI 2016) that starts from it. Signals are detrended and standardized by voxel.

    Args:
        images: 4-D NIfTI files on one grid, or such images in memory.
        mask: 3-D NIfTI file or image on the same grid; the voxels to look at.
        n_components: K.
        method: which.
        smoothing_fwhm_mm: full width at half maximum of a Gaussian; none without it.
        sparsity: penalty of ``dictionary`` on the absolute weights of its maps, nilearn's alpha.
        seed: of the starts.

    Returns:
        Maps over the voxels of the mask in C order, as ``mask_array[mask]`` gives them.

    Raises:
        SettingsError: the method is not known.
        CohortError: there is no image, or nilearn cannot decompose them.
    """
    from nilearn.decomposition import CanICA, DictLearning

    if method not in get_args(VoxelMethod):
        raise SettingsError(f"There is no decomposition {method!r}; choose one of {', '.join(get_args(VoxelMethod))}.")
    if len(images) == 0:
        raise CohortError("There is no image to decompose; choose a part of the cohort that is not empty.")
    kind = CanICA if method == "can_ica" else partial(DictLearning, alpha=sparsity)
    model = kind(
        n_components=n_components,
        mask=str(mask) if isinstance(mask, Path) else mask,
        smoothing_fwhm=smoothing_fwhm_mm,
        standardize="zscore_sample",
        random_state=seed,
    )
    files = [str(image) if isinstance(image, Path) else image for image in images]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            model.fit(files)
            courses = np.concatenate(model.transform(files))
        except ValueError as error:
            raise CohortError(
                f"These images could not be decomposed into {n_components} components: {error}"
            ) from error
    maps = np.asarray(model.components_, np.float64)
    filled = maps.any(axis=1)  # a map of which the threshold left nothing has no course
    notes = _convergence(caught)
    if not filled.all():
        notes += (f"{int((~filled).sum())} of {len(maps)} maps are empty and left out",)
    if not filled.any():
        raise CohortError(f"No map is left of {n_components} components; the images may hold nothing but noise.")
    return _in_order(maps[filled], courses, np.zeros(maps.shape[1]), notes)


def _fast_ica(x: np.ndarray, n: int, seed: int, _: float) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.decomposition import FastICA

    model = FastICA(n, whiten="unit-variance", max_iter=1000, tol=1e-4, random_state=seed)
    if min(x.shape) <= LARGE:
        courses = model.fit_transform(x)
        return model.mixing_.T, courses
    left, sizes, axes = _largest(x, n, seed)  # whitening keeps these alone
    courses = model.fit_transform(left * sizes)
    return model.mixing_.T @ axes, courses


def _spatial_ica(x: np.ndarray, n: int, seed: int, _: float) -> tuple[np.ndarray, np.ndarray]:
    """Seek independent maps; a volume's mean over all regions is left out, as no map of mean 0 holds it."""
    from sklearn.decomposition import FastICA

    model = FastICA(n, whiten="unit-variance", max_iter=1000, tol=1e-4, random_state=seed)
    if min(x.shape) <= LARGE:
        maps = model.fit_transform(x.T).T
    else:
        scores = _largest(x - x.mean(1, keepdims=True), n, seed)
        maps = model.fit_transform(scores[2].T * scores[1]).T
    return maps, x @ np.linalg.pinv(maps)


def _largest(x: np.ndarray, n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give the largest singular values (n,) with their vectors (T, n) and (n, R), by random projection."""
    from sklearn.utils.extmath import randomized_svd

    u, s, axes = randomized_svd(np.asarray(x, np.float64), n, n_iter=7, random_state=seed)
    return u, s, axes


def _pca(x: np.ndarray, n: int, seed: int, _: float) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.decomposition import PCA

    model = PCA(n, random_state=seed)
    courses = model.fit_transform(x)
    return model.components_, courses


def _dictionary(x: np.ndarray, n: int, seed: int, sparsity: float) -> tuple[np.ndarray, np.ndarray]:
    """Take each region's course for an example: atoms are courses of length 1 and the regions' codes are sparse.

    Only products of courses count, so the examples are written in an orthonormal basis of their own, which is shorter.
    """
    from sklearn.decomposition import DictionaryLearning

    basis, examples = np.linalg.qr(x)  # (T, r), (r, R)
    scale = 1 / np.linalg.norm(x, axis=0).mean()
    model = DictionaryLearning(
        n, alpha=sparsity, max_iter=300, fit_algorithm="cd", transform_algorithm="lasso_cd", random_state=seed
    )
    code = model.fit_transform(examples.T * scale)  # (R, K)
    return code.T / scale, basis @ model.components_.T


def _nmf(x: np.ndarray, n: int, seed: int, _: float) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.decomposition import NMF

    model = NMF(n, init="nndsvda", max_iter=1000, random_state=seed)
    courses = model.fit_transform(x)
    return model.components_, courses


_METHODS = {"fast_ica": _fast_ica, "spatial_ica": _spatial_ica, "pca": _pca, "dictionary": _dictionary, "nmf": _nmf}


def _in_order(maps: np.ndarray, courses: np.ndarray, mean: np.ndarray, notes: tuple[str, ...]) -> Components:
    largest = np.take_along_axis(maps, np.abs(maps).argmax(1)[:, None], 1)[:, 0]
    sign = np.where(largest < 0, -1.0, 1.0)
    order = np.argsort(-np.linalg.norm(maps, axis=1) * np.linalg.norm(courses, axis=0), kind="stable")
    return Components((maps * sign[:, None])[order], (courses * sign)[:, order], mean, notes)


def _convergence(caught: list[warnings.WarningMessage]) -> tuple[str, ...]:
    from sklearn.exceptions import ConvergenceWarning

    # with the gap and the tolerance, which follow, a dictionary has a sentence of its own for every course
    said = {str(w.message).split(". ")[0].rstrip(".") for w in caught if issubclass(w.category, ConvergenceWarning)}
    return tuple(sorted(f"not converged: {text}." for text in said))
