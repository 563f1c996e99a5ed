"""Sparse non-negative codes: one vector written as a few positive multiples of others, thousands of vectors at once.

    min_a 1/2 ‖f − aᵀD‖² + eta ‖a‖₁ + ridge/2 ‖a − center‖²,  a ≥ 0

with one dictionary D (K, F) a vector f, as sparse patch matching asks (review Section 3.1, Reference 90: Guo, Gao &
Shen, IEEE TMI 2016). The last term is ours and 0 unless it is asked for: it ties a code to a given one.

Solved by ADMM (Boyd et al., Foundations and Trends in Machine Learning 2011, Section 6.4): a least-squares step, whose
matrix is factored once, alternates with setting negative entries to 0. Patches that lie near each other are almost
parallel, so that D Dᵀ has one eigenvalue near K and many near 0; there gradient steps as long as 1 / K (ISTA, FISTA)
are still far from the solution after hundreds of iterations, and this takes some tens.
"""

from __future__ import annotations

import numpy as np
import torch

RELAXATION = 1.7
PENALTY = 0.05  # of the mean squared length of the atoms
CHECK_EVERY = 5


def relative_penalty(dictionary: np.ndarray, target: np.ndarray, share: float) -> np.ndarray:
    """Give eta (B,) as a share of max |D f|, the penalty at which the code becomes 0; (B, K, F) and (B, F) come in."""
    return share * np.abs(dictionary @ target[..., None])[..., 0].max(1, initial=0)


def nonnegative_sparse_codes(
    dictionary: np.ndarray,
    target: np.ndarray,
    eta: np.ndarray | float,
    *,
    n_iterations: int = 1000,
    tolerance: float = 1e-3,
    ridge: np.ndarray | float = 0.0,
    center: np.ndarray | None = None,
) -> np.ndarray:
    """Code each target over its own dictionary.

    Args:
        dictionary: (B, K, F), float32 or float64; rows of zeros are places without an atom and get weight 0.
        target: (B, F).
        eta: the price of weight, for all or (B,); must be positive.
        n_iterations: at most so many.
        tolerance: no weight of a solution still moves by more than this fraction of the largest.
        ridge: the price of leaving `center`, for all or (B,).
        center: (B, K); without it the ridge pulls to 0.

    Returns:
        (B, K) weights ≥ 0 of the dictionary's type: those of a positive lasso without intercept whose alpha is eta / F.
    """
    _check(dictionary, target)
    (n_problems, n_atoms, _), kind = dictionary.shape, dictionary.dtype
    eta_, ridge_ = (np.broadcast_to(np.asarray(v, kind), n_problems)[:, None] for v in (eta, ridge))
    if n_problems and (eta_.min() <= 0 or ridge_.min() < 0):
        raise ValueError("eta must be positive and ridge at least 0")
    codes, known = np.zeros((n_problems, n_atoms), kind), dictionary.any(2)
    if not codes.size:
        return codes
    pull = (dictionary @ target[..., None])[..., 0] - eta_
    if center is not None:
        pull += ridge_ * center
    norms = np.square(dictionary).sum((1, 2))[:, None] / np.maximum(1, known.sum(1))[:, None]
    rho = PENALTY * np.where(norms > 0, norms, 1).astype(kind)
    _alternate(codes, pull, _factor(dictionary, rho + ridge_), rho, rho + ridge_, n_iterations, tolerance)
    codes[~known] = 0
    return codes


def _check(dictionary: np.ndarray, target: np.ndarray) -> None:
    """Raise ValueError unless the arrays fit together."""
    if dictionary.ndim != 3 or target.shape != (dictionary.shape[0], dictionary.shape[2]):
        raise ValueError(f"expected (B, K, F) and (B, F); got {dictionary.shape} and {target.shape}")
    if dictionary.dtype not in (np.float32, np.float64):
        raise ValueError(f"expected a dictionary of float32 or float64, got {dictionary.dtype}")


def _factor(dictionary: np.ndarray, diagonal: np.ndarray) -> np.ndarray:
    """Give W (B, K, R) with (D Dᵀ + d I)⁻¹ = (I − W Wᵀ) / d, where R is F.

    By Woodbury (D Dᵀ + d I)⁻¹ = (I − D (Dᵀ D + d I)⁻¹ Dᵀ) / d, and W = D L⁻ᵀ for the Cholesky factor L of the inner
    matrix, D being (K, F): no K × K matrix is made, and W holds half as many numbers as the inverse where F = K / 2.
    """
    atoms = torch.from_numpy(np.ascontiguousarray(dictionary))
    inner = atoms.mT @ atoms
    inner.diagonal(dim1=1, dim2=2).add_(torch.from_numpy(np.ascontiguousarray(diagonal)))
    lower = torch.linalg.cholesky(inner)
    return torch.linalg.solve_triangular(lower, atoms.mT, upper=False).mT.contiguous().numpy()


def _alternate(
    codes: np.ndarray,
    pull: np.ndarray,
    factor: np.ndarray,
    rho: np.ndarray,
    diagonal: np.ndarray,
    n_iterations: int,
    tolerance: float,
) -> None:
    """Run ADMM on all problems and write into `codes`; problems leave the batch when they have converged."""
    at = np.arange(len(codes))
    z, u = np.zeros_like(codes), np.zeros_like(codes)
    for i in range(1, n_iterations + 1):
        q = pull + rho * (z - u)
        x = (q - (factor @ (factor.mT @ q[..., None]))[..., 0]) / diagonal
        relaxed = RELAXATION * x + (1 - RELAXATION) * z
        before, z = z, np.maximum(relaxed + u, 0)
        u = u + relaxed - z
        if i % CHECK_EVERY and i < n_iterations:
            continue
        wrong = np.maximum(np.abs(x - z), np.abs(z - before)).max(1)
        going = wrong > tolerance * z.max(1)
        codes[at] = z
        if not going.any():
            return
        if np.count_nonzero(going) < 0.7 * len(at):  # a smaller batch costs a copy of the factors
            at, z, u, pull, factor = at[going], z[going], u[going], pull[going], factor[going]
            rho, diagonal = rho[going], diagonal[going]
