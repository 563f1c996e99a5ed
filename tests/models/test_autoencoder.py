"""One auto-encoder: shapes, ties, seeds, the contractive penalty, and what linear ones and denoising ones learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import subspace_angles
from scipy.optimize import linear_sum_assignment

from workbench.models.autoencoder import AutoEncoder
from workbench.models.layers import Corruption, step_generator


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def planted(seed: int = 0, n: int = 400) -> torch.Tensor:
    """Draw centered data (n, 12) with three strong directions and a weak rest."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.normal(size=(12, 12)))[0]
    data = rng.normal(size=(n, 12)) * np.r_[3.0, 2.0, 1.5, np.full(9, 0.2)] @ basis.T
    return torch.tensor(data - data.mean(0))


def fit_linear(model: AutoEncoder, data: torch.Tensor) -> AutoEncoder:
    """Minimize the squared error of a linear auto-encoder by L-BFGS to convergence."""
    model = model.double()
    optimizer = torch.optim.LBFGS(
        model.parameters(), max_iter=500, tolerance_grad=1e-11, tolerance_change=1e-15, line_search_fn="strong_wolfe"
    )

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = (model(data) - data).square().sum(1).mean()
        loss.backward()
        return loss

    for _ in range(4):
        optimizer.step(closure)
    return model


@pytest.mark.parametrize("tied", [True, False])
def test_linear_autoencoder_spans_the_pca_subspace(tied: bool) -> None:
    data = planted()
    model = fit_linear(AutoEncoder(12, 3, hidden="linear", tied=tied, generator=generator(1)), data)
    components = np.linalg.svd(data.numpy(), full_matrices=False)[2][:3]
    angles = subspace_angles(model.decoder_weight.detach().numpy(), components.T)
    assert np.degrees(angles.max()) < 1


def test_tied_linear_autoencoder_has_the_error_of_pca() -> None:
    data = planted(2)
    model = fit_linear(AutoEncoder(12, 3, hidden="linear", generator=generator(1)), data)
    error = float((model(data) - data).square().mean().detach())
    floor = float((torch.linalg.svdvals(data)[3:] ** 2).sum()) / data.numel()
    assert abs(error / floor - 1) < 1e-4


def recovered(seed: int, corruption: Corruption) -> float:
    """Train 16 units on mixtures of 8 planted atoms in 30 dimensions; give the smallest matched |cosine|."""
    rng = np.random.default_rng(seed)
    atoms = np.linalg.qr(rng.normal(size=(30, 30)))[0][:, :8].T
    codes = (rng.random((2000, 8)) < 0.15) * (1 + rng.random((2000, 8)))
    data = torch.tensor(codes @ atoms + 0.05 * rng.normal(size=(2000, 30)), dtype=torch.float32)
    model = AutoEncoder(30, 16, hidden="relu", generator=generator(seed))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for step in range(400):
        chance = step_generator(seed, step)
        batch = data[torch.randint(len(data), (100,), generator=chance)]
        loss = (model(corruption(batch, chance)) - batch).square().sum(1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    cosines = np.abs(torch.nn.functional.normalize(model.weight.detach(), dim=1).numpy() @ atoms.T)
    return float(cosines[linear_sum_assignment(-cosines)].min())


@pytest.mark.slow
@pytest.mark.parametrize("kind,amount", [("gaussian", 0.3), ("masking", 0.25), ("salt_and_pepper", 0.25)])
def test_denoising_autoencoder_recovers_planted_atoms(kind: str, amount: float) -> None:
    worst = [recovered(seed, Corruption(kind, amount)) for seed in range(5)]  # type: ignore[arg-type]
    assert min(worst) >= 0.9, f"smallest matched |cosine| of each seed: {np.round(worst, 3)}"


@pytest.mark.slow
def test_without_noise_the_same_autoencoder_does_not_recover_them() -> None:
    worst = [recovered(seed, Corruption()) for seed in range(5)]
    assert max(worst) < 0.9, f"smallest matched |cosine| of each seed: {np.round(worst, 3)}"


def test_shapes_and_ties() -> None:
    tied, free = AutoEncoder(6, 4), AutoEncoder(6, 4, tied=False)
    v = torch.rand(5, 6, generator=generator())
    assert tied.encode(v).shape == (5, 4) and tied(v).shape == (5, 6) and free(v).shape == (5, 6)
    assert torch.equal(tied.decoder_weight, tied.weight.T)
    assert not torch.equal(free.decoder_weight, free.weight.T)
    assert len(tied.weights) == 1 and len(free.weights) == 2
    assert {name for name, _ in tied.named_parameters()} == {"weight", "hidden_bias", "visible_bias"}


def test_same_seed_same_weights() -> None:
    first, again, other = (AutoEncoder(6, 4, tied=False, generator=generator(s)) for s in (3, 3, 4))
    assert torch.equal(first.weight, again.weight) and torch.equal(first.decoder_weight, again.decoder_weight)
    assert not torch.equal(first.weight, other.weight)


@pytest.mark.parametrize("hidden", ["sigmoid", "tanh", "relu", "leaky_relu", "linear"])
def test_contraction_is_the_squared_norm_of_the_jacobian(hidden: str) -> None:
    model = AutoEncoder(5, 3, hidden=hidden, generator=generator(2)).double()  # type: ignore[arg-type]
    v = torch.randn(4, 5, generator=generator(), dtype=torch.double)
    jacobians = [torch.autograd.functional.jacobian(model.encode, row[None]) for row in v]
    expected = sum(j.square().sum() for j in jacobians) / 4
    assert torch.isclose(model.contraction(model.encode(v)), expected, rtol=1e-10)


def test_constructor_says_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="needs visible and hidden units; got 0 and 3"):
        AutoEncoder(0, 3)
    with pytest.raises(LookupError, match="visible units are linear or sigmoid; got 'relu'"):
        AutoEncoder(2, 3, visible="relu")  # type: ignore[arg-type]
