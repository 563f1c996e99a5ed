from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from workbench.errors import Cancelled, SettingsError
from workbench.metrics.likelihood import (
    ais,
    binary_states,
    default_betas,
    estimate_partition,
    log_z_by_enumeration,
    mean_log_likelihood,
    reverse_ais,
)


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Fields:
    """Independent binary units with fields ``a``: log Z is sum log(1 + exp(a)); the path begins at fields ``base``."""

    def __init__(self, a: Tensor, base: Tensor) -> None:
        self.a, self.base, self.n_units = a, base, len(a)

    def at(self, beta: float) -> Tensor:
        return torch.lerp(self.base, self.a, beta)

    def base_log_z(self) -> Tensor:
        return F.softplus(self.base).sum()

    def base_sample(self, n: int, generator: torch.Generator) -> Tensor:
        return self.step(torch.zeros(n, self.n_units, dtype=torch.float64), 0.0, generator)

    def log_weight(self, x: Tensor, beta: float) -> Tensor:
        return x @ self.at(beta)

    def step(self, x: Tensor, beta: float, generator: torch.Generator) -> Tensor:
        p = torch.sigmoid(self.at(beta)).expand_as(x)
        return (torch.rand(x.shape, generator=generator, dtype=x.dtype) < p).to(x.dtype)


class ToyRBM:
    """A restricted Boltzmann machine written down once more, states are visible, from visible biases ``base``."""

    def __init__(self, n_visible: int, n_hidden: int, scale: float, base: Tensor | None = None, seed: int = 0) -> None:
        g = draw(seed)
        self.w = scale * torch.randn(n_hidden, n_visible, generator=g, dtype=torch.float64)
        self.b = torch.randn(n_visible, generator=g, dtype=torch.float64)
        self.c = torch.randn(n_hidden, generator=g, dtype=torch.float64)
        self.base = torch.zeros_like(self.b) if base is None else base
        self.n_units = n_visible

    def base_log_z(self) -> Tensor:
        return F.softplus(self.base).sum() + len(self.c) * math.log(2)

    def base_sample(self, n: int, generator: torch.Generator) -> Tensor:
        return self.flip(self.base.expand(n, -1), generator)

    def log_weight(self, x: Tensor, beta: float) -> Tensor:
        return x @ torch.lerp(self.base, self.b, beta) + F.softplus(beta * (self.c + x @ self.w.T)).sum(1)

    def step(self, x: Tensor, beta: float, generator: torch.Generator) -> Tensor:
        h = self.flip(beta * (self.c + x @ self.w.T), generator)
        return self.flip(torch.lerp(self.base, self.b, beta) + beta * h @ self.w, generator)

    @staticmethod
    def flip(x: Tensor, generator: torch.Generator) -> Tensor:
        return (torch.rand(x.shape, generator=generator, dtype=x.dtype) < torch.sigmoid(x)).to(x.dtype)

    def log_p_hidden(self, h: Tensor) -> Tensor:
        return h @ self.c + F.softplus(self.b + h @ self.w).sum(1)

    def exact(self) -> float:
        return float(log_z_by_enumeration(self.log_p_hidden, len(self.c)))

    def samples(self, n: int) -> Tensor:
        """Exact samples: hidden states by their enumerated probability, then visible ones."""
        g, states = draw(9), binary_states(len(self.c))
        p = torch.softmax(self.log_p_hidden(states), 0)
        h = states[torch.multinomial(p, n, replacement=True, generator=g)]
        return self.flip(self.b + h @ self.w, g)


def test_binary_states_are_all_different_and_in_counting_order() -> None:
    assert binary_states(2).tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert len(binary_states(7).unique(dim=0)) == 2**7


@pytest.mark.parametrize("chunk", [1, 5, 2**14])
def test_enumeration_of_independent_units_is_their_product(chunk: int) -> None:
    a = torch.tensor([0.3, -2.0, 5.0, 0.0], dtype=torch.float64)
    assert torch.isclose(log_z_by_enumeration(lambda x: x @ a, 4, chunk), F.softplus(a).sum(), rtol=0, atol=1e-12)


def test_enumeration_of_either_side_of_a_machine_is_the_same() -> None:
    rbm = ToyRBM(7, 5, 1.0)
    other_side = log_z_by_enumeration(lambda v: rbm.log_weight(v, 1.0), 7)
    assert float(other_side) == pytest.approx(rbm.exact(), abs=1e-10)


def test_enumeration_refuses_what_would_never_end() -> None:
    with pytest.raises(SettingsError, match=r"at most 22 units, but this model has 23 .* annealed importance"):
        log_z_by_enumeration(lambda x: x.sum(1), 23)


@pytest.mark.parametrize("n", [10, 37, 500, 14_500])
def test_betas_rise_from_0_to_1_and_are_dense_at_the_end(n: int) -> None:
    betas = default_betas(n)
    assert len(betas) == n and betas[0] == 0 and betas[-1] == 1 and bool((betas.diff() > 0).all())
    assert betas.diff()[0] > betas.diff()[-1]


def test_default_betas_are_500_4000_and_10000() -> None:
    betas = default_betas()
    assert int((betas < 0.5).sum()) == 500 and int(((betas >= 0.5) & (betas < 0.9)).sum()) == 4000


def test_a_path_that_goes_nowhere_has_weights_of_1() -> None:
    a = torch.tensor([0.5, -1.0], dtype=torch.float64)
    for estimate in (ais(Fields(a, a), betas=default_betas(20)), reverse_ais(Fields(a, a), torch.zeros(9, 2).double())):
        assert torch.equal(estimate.log_weights, torch.zeros_like(estimate.log_weights))
        assert estimate.value == estimate.low == estimate.high == pytest.approx(float(F.softplus(a).sum()))


def test_forward_and_reverse_meet_at_the_exact_value_of_a_machine_of_15_hidden_units() -> None:
    rbm = ToyRBM(20, 15, 0.6)
    both = estimate_partition(rbm, samples=rbm.samples(200), exact=rbm.exact(), betas=default_betas(1500))
    assert both.exact is not None and both.reverse is not None and both.gap is not None
    assert both.forward.value == pytest.approx(both.exact, abs=0.05) and both.value == both.exact
    assert both.reverse.value == pytest.approx(both.exact, abs=0.05) and abs(both.gap) < 0.1
    assert both.forward.low <= both.forward.value <= both.forward.high
    assert both.forward.n_betas == 1500 and both.forward.log_weights.shape == (100,)


def test_few_betas_bracket_the_truth_from_both_sides() -> None:
    """By Jensen the mean of log w is below log Z forward and above it in reverse, here by more than the noise."""
    rbm = ToyRBM(20, 12, 1.0)
    exact, betas = rbm.exact(), torch.linspace(0, 1, 6).double()
    base = float(rbm.base_log_z())
    forward = ais(rbm, betas=betas, n_chains=400)
    reverse = reverse_ais(rbm, rbm.samples(400), betas=betas)
    assert base + float(forward.log_weights.mean()) < exact - 0.5
    assert base + float(reverse.log_weights.mean()) > exact + 0.5


def test_the_mean_weight_is_unbiased_whatever_the_betas() -> None:
    rbm = ToyRBM(6, 4, 0.7)
    ratio = ais(rbm, betas=torch.linspace(0, 1, 3).double(), n_chains=40_000).log_weights.exp()
    error = float(ratio.std()) / 40_000**0.5
    assert float(ratio.mean()) == pytest.approx(math.exp(rbm.exact() - float(rbm.base_log_z())), abs=4 * error)


def test_a_base_far_from_the_model_misleads_and_one_near_it_does_not() -> None:
    """From fair coins every chain falls into the wrong one of two modes, and they agree on an answer far too low."""
    rbm = ToyRBM(60, 1, 1.0)
    rbm.b = torch.full((60,), -6.0, dtype=torch.float64)  # a mode of all zeros …
    rbm.w = torch.full((1, 60), 7.0, dtype=torch.float64)
    rbm.c = torch.tensor([-100.0], dtype=torch.float64)  # … and a wide one near all ones, about e^-21 of its weight
    exact, betas = rbm.exact(), torch.linspace(0, 1, 201).double()
    far = ais(rbm, betas=betas)
    rbm.base = torch.full((60,), 0.01, dtype=torch.float64).logit()  # what data of this model would have as means
    near = ais(rbm, betas=betas)
    assert near.value == pytest.approx(exact, abs=0.05)
    assert far.high < exact - 10 and far.high - far.low < 2


def test_estimates_repeat_with_their_seed() -> None:
    rbm = ToyRBM(8, 4, 1.0)
    one, two, three = (ais(rbm, betas=default_betas(50), seed=seed).value for seed in (1, 1, 2))
    assert one == two != three


def test_progress_rises_to_the_end_and_can_cancel() -> None:
    told: list[float] = []
    rbm = ToyRBM(8, 4, 1.0)
    estimate_partition(rbm, samples=rbm.samples(10), betas=default_betas(50), progress=lambda f, _: told.append(f))
    assert told == sorted(told) and 0.9 < told[-1] <= 1

    def cancel(fraction: float, message: str) -> None:
        raise Cancelled(message)

    with pytest.raises(Cancelled, match="temperature 1 of 50"):
        ais(rbm, betas=default_betas(50), progress=cancel)


def test_wrong_betas_and_samples_are_refused() -> None:
    rbm = ToyRBM(8, 4, 1.0)
    with pytest.raises(ValueError, match="rise strictly from 0 to 1"):
        ais(rbm, betas=torch.tensor([0.0, 0.5, 0.5, 1.0]))
    with pytest.raises(ValueError, match=r"\(n, 8\); got \(3, 4\)"):
        reverse_ais(rbm, torch.zeros(3, 4).double())
    with pytest.raises(ValueError, match="at least 10"):
        default_betas(9)


def test_log_likelihoods_are_free_energies_less_log_z_and_carry_its_uncertainty() -> None:
    rbm = ToyRBM(6, 4, 1.0)
    states = binary_states(6)
    free, log_z = -rbm.log_weight(states, 1.0), rbm.exact()
    assert float((-free - log_z).logsumexp(0)) == pytest.approx(0, abs=1e-10)  # all probabilities sum to 1
    sure = mean_log_likelihood(free, log_z)
    assert sure.mean == pytest.approx(float((-free - log_z).mean())) and sure.low < sure.mean < sure.high
    estimate = ais(rbm, betas=default_betas(20))
    unsure = mean_log_likelihood(free, estimate)
    assert unsure.high - unsure.low == pytest.approx(sure.high - sure.low + estimate.high - estimate.low)
