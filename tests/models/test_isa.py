"""Independent subspaces: orthonormal at every step, never rising, recovered where they are known, blind to phase."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from workbench.metrics.subspace_recovery import subspace_index
from workbench.models.isa import EPSILON, ISA, objective, orthonormal_rows, pooled, projected_step, regrouped
from workbench.models.principal_axes import principal_axes
from workbench.models.stacked_isa import descend


def mixed(n_subspaces: int, size: int, seed: int, n: int = 3000) -> tuple[torch.Tensor, torch.Tensor]:
    """Give white rows (n, K) from subspaces whose directions are even and whose lengths are sparse, and the truth."""
    generator = torch.Generator().manual_seed(seed)
    direction = torch.randn(n, n_subspaces, size, generator=generator)
    direction /= direction.norm(dim=2, keepdim=True)
    sources = (direction * torch.randn(n, n_subspaces, 1, generator=generator).square()).flatten(1)
    truth = orthonormal_rows(torch.randn(n_subspaces * size, n_subspaces * size, generator=generator))
    return sources / sources.std(0) @ truth, truth


def learned(z: torch.Tensor, size: int, seed: int, n_steps: int = 100) -> ISA:
    layer = ISA(z.shape[1], z.shape[1], subspace_size=size, seed=seed)
    for step in range(n_steps):
        before, after = descend(layer, z, step)
        if step % 25 == 24 and after >= before:
            break
    return layer


def test_gradient_is_that_of_autograd() -> None:
    """A tiny step moves along the negative gradient's part that keeps rows orthonormal."""
    z, _ = mixed(3, 2, 0, n=200)
    z = z.double()
    weight = orthonormal_rows(torch.randn(6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(5)))
    free = weight.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(pooled(z @ free.T, 2).mean(), free)
    along = gradient @ weight.T
    tangent = gradient - (along + along.T) / 2 @ weight
    step = 1e-6
    moved = projected_step(weight, z, 2, step).weight
    got = (weight - moved) / step
    factor = float((got * tangent).sum() / tangent.square().sum())
    torch.testing.assert_close(got, factor * tangent, atol=1e-5, rtol=1e-3)
    assert factor > 0


def test_rows_stay_orthonormal_and_the_objective_never_rises() -> None:
    z, _ = mixed(6, 2, 1)
    layer = ISA(12, 12, subspace_size=2, seed=3)
    last = layer.objective(z)
    first = last
    for step in range(60):
        before, after = descend(layer, z, step)
        error = float((layer.weight @ layer.weight.T - torch.eye(12)).abs().max())
        assert error < 1e-5 and after <= before <= last + 1e-6
        last = after
    assert last < 0.9 * first


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("n_subspaces", "size"), [(5, 2), (3, 3)])
def test_known_subspaces_are_found(n_subspaces: int, size: int, seed: int) -> None:
    z, truth = mixed(n_subspaces, size, seed)
    begin = subspace_index(
        ISA(len(truth), len(truth), subspace_size=size, seed=seed + 50).weight.numpy(), truth.numpy(), size
    )
    found = learned(z, size, seed + 50)
    assert begin > 0.3 and subspace_index(found.weight.numpy(), truth.numpy(), size) < 0.01


def test_without_new_groups_halves_of_subspaces_stay_together() -> None:
    """Why ``regrouped`` is there: plain descent ends in a group of two halves, from most starts."""
    stuck = []
    for seed in range(3):
        z, truth = mixed(5, 2, seed, n=2000)
        weight, size = ISA(10, 10, seed=seed + 50).weight, 1.0
        for _ in range(60):
            weight, _, _, size = projected_step(weight, z, 2, size)
        stuck.append(subspace_index(weight.numpy(), truth.numpy(), 2))
    assert np.mean(np.array(stuck) > 0.03) >= 0.5


def test_groups_that_are_right_are_left_alone() -> None:
    z, truth = mixed(5, 2, 0)
    assert regrouped(truth, z, 2) is truth
    torn = truth[[0, 2, 1, 3, *range(4, 10)]]  # two subspaces in halves
    again = regrouped(torn, z, 2)
    assert objective(again, z, 2) < objective(torn, z, 2) - 1e-3
    assert subspace_index(torn.numpy(), truth.numpy(), 2) > 0.05
    assert subspace_index(again.numpy(), truth.numpy(), 2) < 0.01


def test_whitening_gives_unit_covariance_and_only_what_is_left_out_is_lost() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2000, 3, generator=generator) @ torch.randn(3, 9, generator=generator) + 2  # rank 3
    layer = ISA(9, 3, subspace_size=1)
    layer.whiten_like(principal_axes([x], 3))
    z = layer.whiten(x)
    torch.testing.assert_close(z.T @ z / len(z), torch.eye(3), atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(layer.rebuild(x), x, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(layer(x), (z @ layer.weight.T).square().add(EPSILON).sqrt(), atol=1e-4, rtol=1e-4)


def test_responses_do_not_change_when_filters_turn_within_their_subspace() -> None:
    z, _ = mixed(3, 2, 0, n=50)
    layer = ISA(6, 6, subspace_size=2, seed=1)
    before = layer(z)
    c, s = np.cos(0.7), np.sin(0.7)
    a, b = layer.weight[0].clone(), layer.weight[1].clone()
    layer.weight[0], layer.weight[1] = c * a + s * b, c * b - s * a
    torch.testing.assert_close(layer(z), before, atol=1e-5, rtol=1e-5)


def gratings(wave: tuple[int, int], phases: np.ndarray) -> np.ndarray:
    y, x = np.mgrid[:8, :8] / 8
    return np.cos(2 * np.pi * (wave[0] * x + wave[1] * y) + phases[:, None, None]).reshape(len(phases), -1)


def test_responses_are_blind_to_the_phase_of_gratings() -> None:
    """Trained on gratings of random phase; over phases a response varies less than half as much as a filter does."""
    rng = np.random.default_rng(0)
    waves = [(1, 0), (0, 1), (1, 1), (1, -1), (2, 1), (1, 2)]
    n = 2000
    patches = sum(rng.normal(size=(n, 1)) ** 2 * gratings(w, rng.uniform(0, 2 * np.pi, n)) for w in waves)
    x = torch.from_numpy((patches + 0.02 * rng.normal(size=(n, 64))).astype(np.float32))
    layer = ISA(64, 12, subspace_size=2, seed=1)
    layer.whiten_like(principal_axes([x], 12))
    z = layer.whiten(x)
    for step in range(50):
        descend(layer, z, step)
    shifted = [torch.from_numpy(gratings(w, np.arange(16) * np.pi / 8).astype(np.float32)) for w in waves]
    units, filters = [], []
    for probe in shifted:
        pooled_answer, answer = layer(probe), (layer.whiten(probe) @ layer.weight.T).abs()
        best = int(pooled_answer.mean(0).argmax())
        units.append(float(pooled_answer[:, best].std() / pooled_answer[:, best].mean()))
        filters.append(float((answer.std(0) / answer.mean(0))[2 * best : 2 * best + 2].mean()))
    assert np.mean(units) < 0.5 * np.mean(filters) and np.mean(filters) > 0.4


def test_impossible_sizes_are_named() -> None:
    with pytest.raises(ValueError, match="7 filters cannot be divided into subspaces of 2"):
        ISA(9, 7)
    with pytest.raises(ValueError, match="1 to 9 components"):
        ISA(9, 10)
