"""Functional connectivity: how strongly the signals of two regions go together, as matrices and as vectors.

Section 3.5's systems start from the correlation of regional signals (Kim et al., NeuroImage 2016), its Fisher
transform and a normalization over the training subjects. The order of a vector's edges is nilearn's: the lower triangle
row by row without the diagonal, so (1, 0), (2, 0), (2, 1), (3, 0), …
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from workbench.errors import CohortError, SettingsError
from workbench.progress import Progress, silent

Kind = Literal["correlation", "covariance", "shrunk", "partial", "shrunk partial", "sparse"]
LARGEST_R = 1 - 1e-7
COLUMNS_AT_ONCE = 8192


def connectivity(values: np.ndarray, kind: Kind = "correlation") -> np.ndarray:
    """Give the connectivity of one subject's regions.

    ``correlation`` is Pearson's, ``covariance`` the empirical one in the signals' units squared. ``shrunk`` is the
    correlation after the shrinkage of Ledoit and Wolf (2004), which is what nilearn gives unless told otherwise.
    ``partial`` takes out what all other regions explain, from the empirical covariance; ``shrunk partial`` from the
    shrunk one; ``sparse`` is the partial correlation of the graphical lasso (Friedman et al. 2008) with its penalty
    chosen by cross-validation, whose absent edges are exactly 0. All but ``covariance`` look at z-scored signals.

    Args:
        values: (T, R) signals, rows are time.
        kind: which of them.

    Returns:
        (R, R) float64, symmetric; the diagonal is 1, or the variances for ``covariance``.

    Raises:
        CohortError: values are NaN, a region is constant, there are too few volumes, or the lasso does not converge.
        SettingsError: the kind is not known.
    """
    if kind not in get_args(Kind):
        raise SettingsError(f"There is no connectivity {kind!r}; choose one of {', '.join(get_args(Kind))}.")
    signals = _signals(values)
    if kind == "covariance":
        return np.atleast_2d(np.cov(signals, rowvar=False, bias=True))
    n_volumes, n_regions = signals.shape
    if kind == "partial" and n_volumes <= n_regions:
        raise CohortError(
            f"Partial correlations of {n_regions} regions need more than {n_regions} volumes, but there are "
            f"{n_volumes}; choose 'shrunk partial' or 'sparse', or fewer regions."
        )
    z = (signals - signals.mean(0)) / signals.std(0, ddof=1)
    return _ESTIMATES[kind](z)


def connectivity_vectors(
    series: Sequence[np.ndarray], kind: Kind = "correlation", *, fisher: bool = True, progress: Progress = silent
) -> np.ndarray:
    """Give the edges of many subjects, (N, E) float32: Fisher z of them, or as they are.

    Args:
        series: N arrays (T_n, R); lengths may differ.
        kind: see :func:`connectivity`.
        fisher: whether to transform by :func:`fisher_z`; covariances may exceed 1 and are not for it.
        progress: told after each subject.
    """
    if fisher and kind == "covariance":
        raise SettingsError("Fisher's transform is for correlations; a covariance is taken as it is.")
    n_regions = {np.shape(one)[1] for one in series}
    if len(n_regions) != 1:
        raise CohortError(f"Subjects must have the same regions, but their numbers are {sorted(n_regions)}.")
    n = n_regions.pop()
    edges = np.empty((len(series), n * (n - 1) // 2), np.float32)
    for index, one in enumerate(series):
        try:
            vector = vectorize(connectivity(one, kind))
        except CohortError as error:
            raise CohortError(f"Subject number {index + 1}: {error}") from error
        edges[index] = fisher_z(vector) if fisher else vector
        progress((index + 1) / len(series), f"connected {index + 1:,} of {len(series):,} subjects")
    return edges


def fisher_z(r: np.ndarray) -> np.ndarray:
    """Give atanh(r), whose variance hardly depends on r (Fisher 1915); |r| is cut at 1 - 1e-7."""
    return np.arctanh(np.clip(np.asarray(r, np.float64), -LARGEST_R, LARGEST_R))


def inverse_fisher_z(z: np.ndarray) -> np.ndarray:
    """Give the correlation of a Fisher z."""
    return np.tanh(np.asarray(z, np.float64))


def effective_length(values: np.ndarray) -> float:
    """Give how many independent volumes say as much about a correlation as these autocorrelated ones.

    Bartlett (1946): T / (1 + 2 Σ_k (1 - k/T) ρ_a(k) ρ_b(k)), with the product averaged over the pairs of regions, so
    that the variance of a Fisher z is about 1 / (T_eff - 3) where regions are unrelated. The products are taken whole
    up to √T lags and fall to 0 at 2 √T (a flat-top window, Politis 2003), for far lags are noise. Where T_eff
    is small it comes out somewhat too large: by 4 % at 90 and by 15 % at 20, for first-order autoregressive signals.

    Args:
        values: (T, R) with at least two regions.

    Returns:
        Volumes, between 1 and T.
    """
    signals = _signals(values)
    n_volumes, n_regions = signals.shape
    if n_regions < 2:
        raise ValueError("an effective length is that of a correlation, so it takes at least two regions")
    n_lags = min(n_volumes - 1, max(2, int(2 * np.sqrt(n_volumes))))
    spectrum = np.fft.rfft(signals - signals.mean(0), 2 * n_volumes, axis=0)
    covariance = np.fft.irfft(np.square(np.abs(spectrum)), axis=0)[: n_lags + 1]
    k = np.arange(1, n_lags + 1)
    rho = covariance[1:] / covariance[0] / (1 - k / n_volumes)[:, None]  # (lags, R)
    of_pairs = (np.square(rho.sum(1)) - np.square(rho).sum(1)) / (n_regions * (n_regions - 1))
    taper = np.minimum(1, 2 - 2 * k / n_lags) * (1 - k / n_volumes)
    return float(np.clip(n_volumes / max(1e-6, 1 + 2 * (taper * of_pairs).sum()), 1, n_volumes))


def vectorize(matrix: np.ndarray) -> np.ndarray:
    """Give the edges (E,) of a symmetric matrix (R, R), E = R (R - 1) / 2, in the order of the module."""
    n, n_columns = matrix.shape
    if n != n_columns:
        raise ValueError(f"expected a square matrix; got {matrix.shape}")
    return matrix[np.tril_indices(n, -1)]


def to_matrix(vector: np.ndarray, diagonal: float = 0.0) -> np.ndarray:
    """Give the symmetric matrix (R, R) of edges (E,), the inverse of :func:`vectorize`."""
    n = n_regions_of(len(vector))
    matrix = np.zeros((n, n), np.result_type(vector, np.float32))
    matrix[np.tril_indices(n, -1)] = vector
    matrix += matrix.T
    np.fill_diagonal(matrix, diagonal)
    return matrix


def n_regions_of(n_edges: int) -> int:
    """Give R with R (R - 1) / 2 edges."""
    n = round((1 + (1 + 8 * n_edges) ** 0.5) / 2)
    if n_edges < 1 or n * (n - 1) // 2 != n_edges:
        raise ValueError(f"{n_edges} is not a number of edges R (R - 1) / 2")
    return n


def edge_pairs(n_regions: int) -> np.ndarray:
    """Give the regions (E, 2) of each edge, counted from 0, the higher one first."""
    return np.stack(np.tril_indices(n_regions, -1), 1)


def edge_names(regions: Sequence[str]) -> tuple[str, ...]:
    """Give the name of each edge: the two regions with an en dash between them."""
    return tuple(f"{regions[a]} – {regions[b]}" for a, b in edge_pairs(len(regions)))


@dataclass(frozen=True, eq=False)
class EdgeScaling:
    """The normalization of edges by their mean and standard deviation over the training subjects.

    Attributes:
        mean: (E,) float64.
        sd: (E,) float64, divided by N - 1; 1 where the edge is constant.
        constant: edges that do not differ among the training subjects, counted from 0. They become 0 for everybody.
    """

    mean: np.ndarray
    sd: np.ndarray
    constant: tuple[int, ...]

    @classmethod
    def learn(cls, x: np.ndarray) -> EdgeScaling:
        """Learn from training subjects (N, E), a few columns at a time so that memory stays small.

        Raises:
            CohortError: there are fewer than two subjects, or values are NaN.
        """
        if len(x) < 2:
            raise CohortError(f"To normalize edges takes at least 2 training subjects; there are {len(x)}.")
        mean, sd = np.empty(x.shape[1]), np.empty(x.shape[1])
        for start in range(0, x.shape[1], COLUMNS_AT_ONCE):
            some = np.asarray(x[:, start : start + COLUMNS_AT_ONCE], np.float64)
            if not np.isfinite(some).all():
                subject, edge = np.argwhere(~np.isfinite(some))[0]
                raise CohortError(
                    f"Training subject number {subject + 1} has no number at edge {start + edge}; leave out regions "
                    "that are missing in anybody."
                )
            mean[start : start + some.shape[1]] = some.mean(0)
            sd[start : start + some.shape[1]] = some.std(0, ddof=1)
        constant = sd <= 1e-7 * np.maximum(1, np.abs(mean))  # the rounding of float32
        return cls(mean, np.where(constant, 1.0, sd), tuple(int(e) for e in np.flatnonzero(constant)))

    def apply(self, x: np.ndarray) -> np.ndarray:
        """Give (x - mean) / sd of subjects (N, E) in their own float type; constant edges are 0."""
        x = np.asarray(x)
        kind = x.dtype if x.dtype.kind == "f" else np.dtype(np.float64)
        scaled = (x - self.mean.astype(kind)) / self.sd.astype(kind)
        scaled[..., list(self.constant)] = 0
        return scaled

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Give what to save."""
        return {"mean": self.mean, "sd": self.sd, "constant": np.array(self.constant, np.int64)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> EdgeScaling:
        """Give the scaling that was saved."""
        return cls(arrays["mean"], arrays["sd"], tuple(int(e) for e in arrays["constant"]))


def _signals(values: np.ndarray) -> np.ndarray:
    """Give the signals in float64, or say which regions cannot be compared."""
    if np.ndim(values) != 2:
        raise ValueError(f"expected signals (T, R); got {np.shape(values)}")
    signals = np.asarray(values, np.float64)
    if len(signals) < 3:
        raise CohortError(f"A correlation over time takes at least 3 volumes; there are {len(signals)}.")
    missing = np.flatnonzero(~np.isfinite(signals).all(0))
    if len(missing):
        raise CohortError(f"{_numbered(missing)} without a number at some volume; leave such regions or volumes out.")
    constant = np.flatnonzero(signals.std(0) <= 1e-7 * np.abs(signals).max(0))
    if len(constant):
        raise CohortError(f"{_numbered(constant)} constant over time, so correlated with nothing; leave such out.")
    return signals


def _numbered(regions: np.ndarray) -> str:
    first = ", ".join(str(r + 1) for r in regions[:8])
    more = f" and {len(regions) - 8} more" if len(regions) > 8 else ""
    return f"Region number {first} is" if len(regions) == 1 else f"Regions number {first}{more} are"


def _correlation_of(covariance: np.ndarray) -> np.ndarray:
    """Scale a covariance to a diagonal of exactly 1."""
    scale = 1 / np.sqrt(np.diag(covariance))
    matrix = covariance * scale * scale[:, None]
    matrix = (matrix + matrix.T) / 2
    np.fill_diagonal(matrix, 1.0)
    return matrix


def _partial_of(precision: np.ndarray) -> np.ndarray:
    matrix = -_correlation_of(precision)
    np.fill_diagonal(matrix, 1.0)
    return matrix + 0.0  # no -0 for the absent edges


def _pearson(z: np.ndarray) -> np.ndarray:
    return np.clip(_correlation_of(z.T @ z), -1, 1)


def _shrunk_covariance(z: np.ndarray) -> np.ndarray:
    from sklearn.covariance import ledoit_wolf

    return ledoit_wolf(z)[0]


def _graphical_lasso(z: np.ndarray) -> np.ndarray:
    import warnings

    from sklearn.covariance import GraphicalLassoCV

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return GraphicalLassoCV(cv=4).fit(z).precision_
    except (FloatingPointError, np.linalg.LinAlgError) as error:
        raise CohortError(
            f"The sparse inverse covariance of {z.shape[1]} regions from {z.shape[0]} volumes did not converge; choose "
            "'shrunk partial', or fewer regions."
        ) from error


_ESTIMATES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "correlation": _pearson,
    "shrunk": lambda z: _correlation_of(_shrunk_covariance(z)),
    "partial": lambda z: _partial_of(np.linalg.inv(z.T @ z / len(z))),
    "shrunk partial": lambda z: _partial_of(np.linalg.inv(_shrunk_covariance(z))),
    "sparse": lambda z: _partial_of(_graphical_lasso(z)),
}
