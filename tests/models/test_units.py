"""Units by their laws: partition functions as sums and integrals, means as derivatives, draws by their moments."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import integrate, stats

from workbench.models.units import Bernoulli, Gaussian, NoisyReLU, Softmax, Units, units

KINDS: list[Units] = [Bernoulli(), Gaussian(0.7), Gaussian(torch.tensor([0.3, 1.0, 2.0])), NoisyReLU(), Softmax()]
X = torch.tensor([[-3.0, -0.4, 0.0], [0.3, 1.2, 5.0], [2.0, -8.0, 11.0]], dtype=torch.float64)


def in_double(kind: Units) -> Units:
    return Gaussian(kind.sigma.double()) if isinstance(kind, Gaussian) else kind


@pytest.mark.parametrize("kind", KINDS)
def test_mean_is_the_derivative_of_the_log_partition(kind: Units) -> None:
    kind, x = in_double(kind), X.clone().requires_grad_()
    (slope,) = torch.autograd.grad(kind.log_partition(x).sum(), x)
    assert torch.allclose(slope / kind.precision, kind.mean(X), atol=1e-12)


def test_log_partition_of_binary_and_softmax_units_is_a_sum_over_their_values() -> None:
    assert torch.allclose(Bernoulli().log_partition(X), torch.log(1 + torch.exp(X)))
    assert torch.allclose(Softmax().log_partition(X)[:, 0], torch.log(torch.exp(X).sum(1)))


@pytest.mark.parametrize("sigma", [0.3, 1.0, 2.0])
def test_log_partition_of_gaussian_units_is_an_integral_over_their_values(sigma: float) -> None:
    kind = Gaussian(sigma)
    for x in (-1.3, 0.0, 2.0):

        def density(u: float, x: float = x) -> float:
            return math.exp(-float(kind.base_energy(torch.tensor(u, dtype=torch.float64))) + u * x / sigma**2)

        total, _ = integrate.quad(density, x - 12 * sigma, x + 12 * sigma)
        assert math.isclose(float(kind.log_partition(torch.tensor([[x]], dtype=torch.float64))), math.log(total))


@pytest.mark.parametrize("x", [-5.0, -1.0, 0.0, 0.01, 2.5, 9.99, 10.01, 30.0])
def test_log_partition_of_noisy_rectified_units_is_the_integral_of_their_mean(x: float) -> None:
    def mean(u: float) -> float:
        return float(NoisyReLU().mean(torch.tensor(u, dtype=torch.float64)))

    area, _ = integrate.quad(mean, -10, x, epsabs=1e-12, limit=200)
    value = float(NoisyReLU().log_partition(torch.tensor(x, dtype=torch.float64)))
    assert abs(value - area) < 1e-9 * max(1, area)


@pytest.mark.parametrize("x", [-2.0, 0.0, 1.0, 4.0])
def test_noisy_rectified_mean_and_entropy_are_those_of_the_rectified_normal(x: float) -> None:
    s = math.sqrt(1 / (1 + math.exp(-x)))
    normal, atom = stats.norm(x, s), stats.norm(x, s).cdf(0)
    mean, _ = integrate.quad(lambda u: u * normal.pdf(u), 0, x + 12 * s)
    density, _ = integrate.quad(lambda u: -normal.pdf(u) * normal.logpdf(u), 0, x + 12 * s)
    at = torch.tensor([[x]], dtype=torch.float64)
    assert math.isclose(float(NoisyReLU().mean(at)), mean, rel_tol=1e-8, abs_tol=1e-14)
    assert math.isclose(float(NoisyReLU().entropy(at)), density - atom * math.log(atom), rel_tol=1e-7, abs_tol=1e-14)


def test_entropies_are_those_of_the_distributions() -> None:
    cases = [
        (Bernoulli(), torch.distributions.Bernoulli(logits=X).entropy()),
        (Gaussian(0.7), torch.distributions.Normal(X, 0.7).entropy()),
        (Softmax(), torch.distributions.Categorical(logits=X).entropy()[:, None]),
    ]
    for kind, expected in cases:
        assert torch.allclose(kind.entropy(X), expected.double(), atol=1e-7), kind.name


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", KINDS)
def test_draws_have_the_mean(kind: Units, dtype: torch.dtype) -> None:
    x = X.to(dtype)[:2]
    draws = kind.sample(x.repeat(40_000, 1), torch.Generator().manual_seed(1)).reshape(40_000, 2, 3)
    error = draws.double().std(0) / math.sqrt(40_000)
    assert draws.dtype == dtype
    assert ((draws.double().mean(0) - kind.mean(x.double())).abs() < 5 * error + 1e-6).all()


def test_draws_have_the_spread_and_support_of_their_kind() -> None:
    x = torch.full((100_000, 1), 0.5)
    generator = torch.Generator().manual_seed(0)
    assert Bernoulli().sample(x, generator).unique().tolist() == [0, 1]
    assert math.isclose(float(Gaussian(0.7).sample(x, generator).std()), 0.7, rel_tol=0.02)
    rectified = NoisyReLU().sample(x, generator)
    s = math.sqrt(float(torch.sigmoid(torch.tensor(0.5))))
    assert math.isclose(float((rectified == 0).float().mean()), stats.norm(0.5, s).cdf(0), rel_tol=0.03)
    one_hot = Softmax().sample(torch.zeros(50, 4), generator)
    assert (one_hot.sum(1) == 1).all() and set(one_hot.unique().tolist()) == {0.0, 1.0}


def test_binary_draws_hit_rare_and_certain_events_as_often_as_they_should() -> None:
    """The quick draws of single precision have all their 24 bits, not the first 16 alone."""
    generator = torch.Generator().manual_seed(0)
    for p in (2.0**-18, 2.0**-10, 0.3, 1 - 2.0**-10):
        x = torch.full((4_000_003,), math.log(p / (1 - p)))
        hits, expected = float(Bernoulli().sample(x, generator).sum()), 4_000_003 * p
        assert abs(hits - expected) < 5 * math.sqrt(expected * (1 - p)), p
    assert not Bernoulli().sample(torch.full((1_000_000,), -200.0), generator).any()
    assert Bernoulli().sample(torch.full((1_000_000,), 200.0), generator).all()


def test_binary_draws_of_neighbors_are_independent() -> None:
    draws = Bernoulli().sample(torch.zeros(8, 200_000), torch.Generator().manual_seed(3))
    for shift in (1, 2, 3, 4, 8, 16):
        agreement = float((draws == draws.roll(shift, 1)).float().mean())
        assert abs(agreement - 0.5) < 5 * 0.5 / math.sqrt(draws.numel()), shift


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_same_generator_draws_the_same(kind: Units, dtype: torch.dtype) -> None:
    draws = [kind.sample(X.to(dtype), torch.Generator().manual_seed(seed)) for seed in (5, 5, 6)]
    assert torch.equal(draws[0], draws[1])
    many = X.to(dtype).repeat(50, 1)
    again = [kind.sample(many, torch.Generator().manual_seed(seed)) for seed in (5, 6)]
    assert not torch.equal(again[0], again[1])


def test_input_of_inverts_the_mean() -> None:
    rates = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)
    for kind in (Bernoulli(), Gaussian(2.0), Softmax()):
        assert torch.allclose(kind.mean(kind.input_of(rates)[None])[0], rates), kind.name
    assert Bernoulli().input_of(torch.tensor([0.0, 1.0])).isfinite().all()


def test_units_are_found_by_name() -> None:
    assert [units(name).name for name in ("bernoulli", "gaussian", "noisy_relu", "softmax")] == [
        "bernoulli", "gaussian", "noisy_relu", "softmax"
    ]  # fmt: skip
    with pytest.raises(LookupError, match="'spike'; known are bernoulli, gaussian, noisy_relu, softmax"):
        units("spike")


def test_noisy_rectified_units_say_that_they_have_no_energy() -> None:
    with pytest.raises(ValueError, match="no energy of their own"):
        NoisyReLU().base_energy(X)
