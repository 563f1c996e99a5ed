"""Independent subspace analysis: filters whose energies, pooled in small groups, are as sparse as possible.

Hyvärinen and Hoyer (Neural Computation 2000); on patches by projected gradient: Le, Zou, Yeung, Ng (CVPR 2011). The
features of Wu et al. (MICCAI 2013; the review's Reference 52) and Kim, Wu, Shen (MLMI 2013; Reference 92).
"""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import torch
from torch import Tensor, nn

from workbench.models.principal_axes import PrincipalAxes

EPSILON = 1e-4
"""Under the root of every response, so that it has a gradient at 0; whitened rows have a variance of 1."""
GROWTH, SHRINK, MOST_TRIES = 2.0, 0.5, 14
GROUPING_ROWS, N_ANGLES = 2048, 24


class ISA(nn.Module):
    """One layer: whiten, filter, pool the squares of each group of filters.

        row x (V) ─minus mean, whiten─► z (K) ─W─► y (M) ─groups of d─► r_j = sqrt(ε + Σ_{k in j} y_k²) (M / d)

    V of the equation R_j(x) = sqrt(Σ_k V_jk (Σ_m W_km x_m)²) is fixed: filters d·j … d·j + d - 1 form subspace j.
    W keeps orthonormal rows: W Wᵀ = 1. A response depends on how much of z lies in the plane of its filters and not on
    where in the plane, so it keeps its value where a pattern moves within the subspace: a shifted edge, another phase.

    Args:
        n_visible: V.
        n_components: K, kept by the whitening; also M, the number of filters.
        subspace_size: d; 1 gives independent component analysis.
        seed: of the initial W, a random rotation.
    """

    mean: Tensor
    whitening: Tensor
    weight: Tensor
    step_size: Tensor

    def __init__(self, n_visible: int, n_components: int, *, subspace_size: int = 2, seed: int = 0) -> None:
        super().__init__()
        if not 1 <= n_components <= n_visible:
            raise ValueError(f"rows of {n_visible} have 1 to {n_visible} components; got {n_components}")
        if subspace_size < 1 or n_components % subspace_size:
            raise ValueError(f"{n_components} filters cannot be divided into subspaces of {subspace_size}")
        self.subspace_size = subspace_size
        generator = torch.Generator().manual_seed(seed)
        self.register_buffer("mean", torch.zeros(n_visible))
        self.register_buffer("whitening", torch.eye(n_components, n_visible))
        start = torch.randn(n_components, n_components, generator=generator)
        self.register_buffer("weight", orthonormal_rows(start))
        self.register_buffer("step_size", torch.ones(()))

    @property
    def n_units(self) -> int:
        """Subspaces, and so responses."""
        return len(self.weight) // self.subspace_size

    def whiten_like(self, found: PrincipalAxes) -> None:
        """Whiten from now on along these axes."""
        self.mean.copy_(found.mean)
        self.whitening.copy_(found.axes / found.variances.sqrt()[:, None])

    def whiten(self, x: Tensor) -> Tensor:
        """Give rows (B, V) along the kept axes, each with variance 1 over what was learnt from: (B, K)."""
        return (x - self.mean) @ self.whitening.T

    def filters(self) -> Tensor:
        """Give the filters as patterns of the input, (M, V): W times the whitening."""
        return self.weight @ self.whitening

    def forward(self, x: Tensor) -> Tensor:
        """Give the responses (B, M / d) of rows (B, V)."""
        return pooled((x - self.mean) @ self.filters().T, self.subspace_size)

    def objective(self, z: Tensor) -> float:
        """Give the mean response over whitened rows (N, K): see :func:`objective`."""
        return objective(self.weight, z, self.subspace_size)

    def rebuild(self, x: Tensor) -> Tensor:
        """Give what the kept components say of rows: (B, V). W is a rotation, so nothing else is lost."""
        spread = self.whitening.square().sum(1)  # one over the variance along each axis
        return self.mean + (self.whiten(x) / spread) @ self.whitening


class Step(NamedTuple):
    """What one step of the projected gradient came to.

    Attributes:
        weight: (M, K) after it.
        before, after: the objective; never does it rise.
        step_size: to begin the next step with.
    """

    weight: Tensor
    before: float
    after: float
    step_size: float


def pooled(y: Tensor, subspace_size: int) -> Tensor:
    """Give the root of the summed squares of each group: (B, M) → (B, M / d)."""
    return (y.unflatten(1, (-1, subspace_size)).square().sum(2) + EPSILON).sqrt()


def _pooled_columns(y: Tensor, subspace_size: int) -> Tensor:
    """Do what :func:`pooled` does for (M, N): (M / d, N)."""
    return y.square().unflatten(0, (-1, subspace_size)).sum(1).add_(EPSILON).sqrt_()


def objective(weight: Tensor, z: Tensor, subspace_size: int) -> float:
    """Give the mean response of a unit over whitened rows (N, K): what is made small, sparse responses having it so.

    With their squares fixed on average by the whitening and W Wᵀ = 1, a smaller mean is a sparser response.
    """
    return float(_pooled_columns(weight @ z.T, subspace_size).mean(dtype=torch.float64))


def projected_step(weight: Tensor, z: Tensor, subspace_size: int, step_size: float) -> Step:
    """Go down the gradient of the objective and back to orthonormal rows: W ← (W Wᵀ)^(-1/2) W.

    Of the gradient only the part along the constraint is followed; the rest would be undone by the projection and
    only hide how far a step goes. The step is halved until the objective falls, and the next one begins twice as
    long. Where no step helps any more W stays as it is.

    Args:
        weight: (M, K) with orthonormal rows.
        z: (N, K) whitened rows.
        subspace_size: d.
        step_size: to try first.
    """
    y = weight @ z.T  # (M, N): long rows are pooled several times as fast as short ones
    responses = _pooled_columns(y, subspace_size)  # (M / d, N)
    before = float(responses.mean(dtype=torch.float64))
    ratio = (y.unflatten(0, (-1, subspace_size)) / responses[:, None]).flatten(0, 1)  # (M, N): dr_j / dy_k
    gradient = ratio @ z / len(z)
    along = gradient @ weight.T
    gradient = gradient - (along + along.T) / 2 @ weight
    for _ in range(MOST_TRIES):
        moved = orthonormal_rows(weight - step_size * gradient)
        after = objective(moved, z, subspace_size)
        if after < before:
            return Step(moved, before, after, step_size * GROWTH)
        step_size *= SHRINK
    return Step(weight, before, before, 1.0)


def orthonormal_rows(a: Tensor) -> Tensor:
    """Give the nearest matrix with orthonormal rows, (A Aᵀ)^(-1/2) A, reckoned in double precision; type of ``a``."""
    exact = a.double()
    values, vectors = torch.linalg.eigh(exact @ exact.T)
    return ((vectors * values.rsqrt()) @ (vectors.T @ exact)).to(a)


def regrouped(weight: Tensor, z: Tensor, subspace_size: int) -> Tensor:
    """Put filters together anew where that lowers the objective.

    Gradient descent finds the components of subspaces, but halves of two subspaces that it has put into one group stay
    there: between such a grouping and the right one the objective rises. So within each group the filters are turned
    until they are as sparse as they can be one by one, which leaves every response as it is; then the best exchange of
    two filters between groups is made, as long as one helps. What a pair costs together is the mean of
    sqrt(ε + y_k² + y_l²); for groups of two the sum of these costs is the objective itself.

    Args:
        weight: (M, K) with orthonormal rows.
        z: (N, K) whitened rows; ``GROUPING_ROWS`` of them, evenly spaced, are looked at.
        subspace_size: d.

    Returns:
        (M, K) with orthonormal rows; ``weight`` itself where no exchange helps over all of ``z``.
    """
    if subspace_size in (1, len(weight)):
        return weight
    some = z[:: max(1, len(z) // GROUPING_ROWS)]
    turned = _turned(weight, some, subspace_size)
    order = _exchanged(_pair_costs((some @ turned.T).square()), subspace_size)
    if bool((order == torch.arange(len(order))).all()):
        return weight
    moved = turned[order]
    return moved if objective(moved, z, subspace_size) < objective(weight, z, subspace_size) else weight


def _turned(weight: Tensor, z: Tensor, subspace_size: int) -> Tensor:
    """Turn the filters within each group, pair by pair, to the smallest mean |y|."""
    groups = weight.unflatten(0, (-1, subspace_size)).clone()  # (J, d, K)
    y = (z @ weight.T).unflatten(1, (-1, subspace_size))  # (N, J, d)
    angles = torch.linspace(0, torch.pi / 2, N_ANGLES + 1)[:-1]
    for p, q in combinations(range(subspace_size), 2):
        size = torch.stack(
            [(c * y[..., p] + s * y[..., q]).abs().mean(0) + (c * y[..., q] - s * y[..., p]).abs().mean(0)
             for c, s in zip(angles.cos(), angles.sin(), strict=True)]
        )  # fmt: skip  # (N_ANGLES, J)
        angle = angles[size.argmin(0)]
        c, s = angle.cos(), angle.sin()
        y[..., p], y[..., q] = c * y[..., p] + s * y[..., q], c * y[..., q] - s * y[..., p]
        c, s = c[:, None], s[:, None]
        groups[:, p], groups[:, q] = c * groups[:, p] + s * groups[:, q], c * groups[:, q] - s * groups[:, p]
    return orthonormal_rows(groups.flatten(0, 1))


def _exchanged(cost: Tensor, subspace_size: int) -> Tensor:
    """Give the order (M,) in which filters make cheap groups: the best exchange of two, until none helps."""
    n_filters = len(cost)
    order = torch.arange(n_filters)
    group = order // subspace_size
    for _ in range(10 * n_filters):
        c = cost[order][:, order]
        with_group = c.unflatten(1, (-1, subspace_size)).sum(2)  # (M, J): of each filter with each group
        own = with_group[torch.arange(n_filters), group]
        gain = own[:, None] + own - with_group[:, group] - with_group[:, group].T + 2 * c
        gain[group[:, None] == group] = 0
        best = int(gain.argmax())
        if gain.view(-1)[best] <= 1e-9 * own.mean():
            break
        k, other = divmod(best, n_filters)
        order[[k, other]] = order[[other, k]]
    return order


def _pair_costs(energy: Tensor) -> Tensor:
    """Give the mean of sqrt(ε + a + b) for each pair of columns of (N, M): (M, M) float64, 0 on the diagonal."""
    costs = torch.stack(
        [(energy + energy[:, k : k + 1] + EPSILON).sqrt().mean(0, dtype=torch.float64) for k in range(energy.shape[1])]
    )
    return costs.fill_diagonal_(0.0)
