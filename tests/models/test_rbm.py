"""The RBM against sums over all its states."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from workbench.models.rbm import RBM

V, M = 5, 4
KINDS = [
    (visible, hidden, centered)
    for visible in ("bernoulli", "gaussian", "softmax")
    for hidden in ("bernoulli", "gaussian", "noisy_relu", "softmax")
    for centered in (False, True)
]
WITH_ENERGY = [kinds for kinds in KINDS if kinds[1] != "noisy_relu"]


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def states(n: int) -> Tensor:
    return torch.tensor(list(itertools.product([0.0, 1.0], repeat=n)), dtype=torch.float64)


def make(visible: str = "bernoulli", hidden: str = "bernoulli", centered: bool = False, seed: int = 0) -> RBM:
    """Give a model in float64 with everything different from its default."""
    rbm = RBM(V, M, visible=visible, hidden=hidden, sigma=0.7, centered=centered, seed=seed, init_scale=0.3).double()
    generator = draw(seed + 100)
    with torch.no_grad():
        for bias in (rbm.visible_bias, rbm.hidden_bias):
            bias.copy_(torch.randn(bias.shape, generator=generator, dtype=torch.float64))
        if centered:
            rbm.visible_offset.copy_(torch.rand(V, generator=generator))
            rbm.hidden_offset.copy_(torch.rand(M, generator=generator))
        if visible == "gaussian":
            rbm.sigma.copy_(0.5 + torch.rand(V, generator=generator))
    return rbm


def some_visible(rbm: RBM, n: int, seed: int = 0) -> Tensor:
    x = torch.randn(n, rbm.n_visible, generator=draw(seed), dtype=torch.float64)
    return rbm.visible_units.sample(x, draw(seed + 1))


def joint_energy(rbm: RBM, v: Tensor, h: Tensor) -> Tensor:
    """E(v, h) for every pair (N, M'), from the formula, for binary hidden units."""
    inside = (v - rbm.visible_offset) / rbm.sigma**2 if rbm.visible == "gaussian" else v - rbm.visible_offset
    coupling = inside @ rbm.weight.T @ (h - rbm.hidden_offset).T
    alone = (
        ((v - rbm.visible_bias) ** 2 / (2 * rbm.sigma**2)).sum(1)
        if rbm.visible == "gaussian"
        else -v @ rbm.visible_bias
    )
    return alone[:, None] - (h @ rbm.hidden_bias)[None] - coupling


@pytest.mark.parametrize("visible", ["bernoulli", "gaussian"])
@pytest.mark.parametrize("centered", [False, True])
def test_energy_is_the_formula(visible: str, centered: bool) -> None:
    rbm = make(visible, centered=centered)
    v, h = some_visible(rbm, 16), states(M)
    assert torch.allclose(rbm.energy(v, h), joint_energy(rbm, v, h).diagonal(), atol=1e-12)


@pytest.mark.parametrize("visible", ["bernoulli", "gaussian"])
@pytest.mark.parametrize("centered", [False, True])
def test_free_energy_and_conditionals_are_sums_over_hidden_states(visible: str, centered: bool) -> None:
    rbm, h = make(visible, centered=centered), states(M)
    v = some_visible(rbm, 20)
    energy = joint_energy(rbm, v, h)
    assert torch.allclose(rbm.free_energy(v), -torch.logsumexp(-energy, 1), atol=1e-10)
    assert torch.allclose(rbm.hidden_mean(v), torch.softmax(-energy, 1) @ h, atol=1e-10)


@pytest.mark.parametrize("centered", [False, True])
def test_hidden_marginal_and_visible_conditional_are_sums_over_visible_states(centered: bool) -> None:
    rbm, v, h = make(centered=centered), states(V), states(M)
    energy = joint_energy(rbm, v, h)
    assert torch.allclose(rbm.log_marginal_hidden(h), torch.logsumexp(-energy, 0), atol=1e-10)
    assert torch.allclose(rbm.visible_mean(h), torch.softmax(-energy, 0).T @ v, atol=1e-10)


@pytest.mark.parametrize("centered", [False, True])
def test_hidden_marginal_of_gaussian_visible_units_is_an_integral(centered: bool) -> None:
    rbm, h = make("gaussian", centered=centered), states(M)
    one = RBM(1, M, visible="gaussian", centered=centered).double()  # one visible unit: an integral on a grid
    with torch.no_grad():
        for name, value in rbm.state_dict().items():
            cut = value[:, :1] if value.ndim == 2 else value[:1] if len(value) == V else value
            one.state_dict()[name].copy_(cut)
    grid = torch.linspace(-25, 25, 20_001, dtype=torch.float64)
    energy = joint_energy(one, grid[:, None], h)
    integral = torch.logsumexp(-energy, 0) + (grid[1] - grid[0]).log()
    assert torch.allclose(one.log_marginal_hidden(h), integral, atol=1e-9)
    mean = (torch.softmax(-energy, 0) * grid[:, None]).sum(0)
    assert torch.allclose(one.visible_mean(h)[:, 0], mean, atol=1e-9)


@pytest.mark.parametrize("visible,hidden,centered", KINDS)
def test_gradient_is_that_of_the_free_energies(visible: str, hidden: str, centered: bool) -> None:
    rbm = make(visible, hidden, centered)
    data, model = some_visible(rbm, 7), some_visible(rbm, 9, seed=5)
    (rbm.free_energy(data).mean() - rbm.free_energy(model).mean()).backward()
    known = {"hidden_input": rbm.hidden_input(data), "model_input": rbm.hidden_input(model)}
    for gradient in (rbm.gradient(data, model), rbm.gradient(data, model, **known)):
        assert gradient.keys() == {"weight", "visible_bias", "hidden_bias"}
        for name, value in gradient.items():
            assert torch.allclose(value, rbm.get_parameter(name).grad, atol=1e-10), name
    assert torch.equal(rbm.free_energy(data, hidden_input=known["hidden_input"]), rbm.free_energy(data))


@pytest.mark.parametrize("centered", [False, True])
def test_gradient_with_all_states_weighted_is_that_of_the_exact_likelihood(centered: bool) -> None:
    """Section 2.3.2, Eq. 8: chains that hold each visible state as often as the model has it."""
    rbm, v = make(centered=centered), states(V)
    data = some_visible(rbm, 6)
    log_z = torch.logsumexp(-rbm.free_energy(v), 0)
    (rbm.free_energy(data).mean() + log_z).backward()
    p = torch.softmax(-rbm.free_energy(v).detach(), 0)
    h = rbm.hidden_mean(v).detach()
    exact_bias = (p @ h) - rbm.hidden_mean(data).detach().mean(0)
    assert torch.allclose(rbm.hidden_bias.grad, exact_bias, atol=1e-10)
    one_each = [rbm.gradient(data, state[None]) for state in v]
    for name in ("weight", "visible_bias", "hidden_bias"):
        exact = sum(share * g[name] for share, g in zip(p, one_each, strict=True))
        assert torch.allclose(exact, rbm.get_parameter(name).grad, atol=1e-10), name


@pytest.mark.parametrize("visible,hidden,centered", KINDS)
def test_uncentered_keeps_the_distribution(visible: str, hidden: str, centered: bool) -> None:
    rbm = make(visible, hidden, centered)
    v, plain = some_visible(rbm, 30), rbm.uncentered()
    assert not plain.visible_offset.any() and not plain.hidden_offset.any() and not plain.centered
    difference = plain.free_energy(v) - rbm.free_energy(v)
    assert float((difference - difference.mean()).abs().max().detach()) < 1e-10
    h = rbm.sample_hidden(v, draw())
    assert torch.allclose(plain.hidden_mean(v), rbm.hidden_mean(v)) and torch.allclose(
        plain.visible_mean(h), rbm.visible_mean(h)
    )


@pytest.mark.parametrize("visible", ["bernoulli", "gaussian", "softmax"])
def test_moving_the_offsets_keeps_the_distribution_and_goes_its_share(visible: str) -> None:
    rbm = make(visible, centered=True)
    v, h, before = some_visible(rbm, 30), states(M), make(visible, centered=True)
    target_v, target_h = torch.rand(V, generator=draw(3)).double(), torch.rand(M, generator=draw(4)).double()
    rbm.move_offsets(target_v, target_h, 0.25)
    assert torch.allclose(rbm.visible_offset, torch.lerp(before.visible_offset, target_v, 0.25))
    assert torch.allclose(rbm.hidden_offset, torch.lerp(before.hidden_offset, target_h, 0.25))
    difference = (rbm.free_energy(v) - before.free_energy(v)).detach()
    assert float((difference - difference.mean()).abs().max()) < 1e-10
    assert torch.allclose(rbm.visible_mean(h), before.visible_mean(h), atol=1e-12)
    with pytest.raises(ValueError, match="not centered"):
        make().move_offsets(target_v, target_h, 0.1)


@pytest.mark.parametrize("visible,hidden,centered", WITH_ENERGY)
def test_annealing_ends_at_the_model_and_begins_at_the_base_rates(visible: str, hidden: str, centered: bool) -> None:
    rbm = make(visible, hidden, centered)
    rates = torch.tensor([0.1, 0.2, 0.15, 0.3, 0.25], dtype=torch.float64)
    path, v = rbm.annealed(rates), some_visible(rbm, 12)
    assert path.n_units == V and path.base_log_z().dtype == torch.float64
    assert torch.allclose(path.log_weight(v, 1.0), -rbm.free_energy(v), atol=1e-10)
    drawn = path.base_sample(40_000, draw())
    assert torch.allclose(drawn.mean(0), rates, atol=0.035)
    base = path.log_weight(v, 0.0)
    if visible == "gaussian":
        shape = -((v - rates) ** 2 / (2 * rbm.sigma**2)).sum(1)
    else:
        shape = v @ (rates.log() if visible == "softmax" else rates.logit())
    assert torch.allclose(base - base[0], shape - shape[0], atol=1e-10)


def test_base_log_z_is_the_sum_over_all_states() -> None:
    path, v = make(centered=True).annealed(torch.full((V,), 0.3)), states(V)
    assert torch.allclose(path.base_log_z(), torch.logsumexp(path.log_weight(v, 0.0), 0), atol=1e-10)
    one = make("gaussian").annealed(None)
    expected = (one.visible.sigma.log() + 0.9189385332046727).sum() + M * torch.log(torch.tensor(2.0)).double()
    assert torch.allclose(one.base_log_z(), expected, atol=1e-6)


@pytest.mark.parametrize("beta", [0.0, 0.37, 1.0])
@pytest.mark.parametrize("centered", [False, True])
def test_a_sweep_of_the_path_leaves_its_distribution(beta: float, centered: bool) -> None:
    """States drawn exactly from p_beta are, after a sweep, still distributed so."""
    path, v = make(centered=centered).annealed(torch.full((V,), 0.3)), states(V)
    p = torch.softmax(path.log_weight(v, beta), 0)
    n = 60_000
    begin = v[torch.multinomial(p, n, replacement=True, generator=draw())]
    after = path.step(begin, beta, draw(1))
    index = (after @ (2.0 ** torch.arange(V - 1, -1, -1, dtype=torch.float64))).long()
    counts = torch.bincount(index, minlength=2**V).double()
    chi = ((counts - n * p) ** 2 / (n * p)).sum()
    assert float(chi) < 31 + 5 * (2 * 31) ** 0.5


def test_gibbs_sampling_reaches_the_exact_moments() -> None:
    rbm, v = make(), states(V)
    p = torch.softmax(-rbm.free_energy(v).detach(), 0)
    chains = rbm.gibbs(some_visible(rbm, 20_000), 30, draw(2))
    assert torch.allclose(chains.mean(0), p @ v, atol=0.02)
    assert torch.allclose(chains.T @ chains / len(chains), v.T @ (p[:, None] * v), atol=0.02)


def test_gibbs_of_gaussian_units_reaches_the_mixture() -> None:
    rbm, h = make("gaussian"), states(M)
    weights = torch.softmax(rbm.log_marginal_hidden(h).detach(), 0)
    centers = rbm.visible_mean(h).detach()
    chains = rbm.gibbs(some_visible(rbm, 20_000), 50, draw(2))
    mean = weights @ centers
    spread = weights @ (centers - mean) ** 2 + rbm.sigma**2
    assert torch.allclose(chains.mean(0), mean, atol=0.05) and torch.allclose(chains.var(0), spread, rtol=0.05)


def test_the_last_visible_values_may_be_means() -> None:
    rbm = make()
    v = some_visible(rbm, 8)
    means = rbm.gibbs(v, 1, draw(), sample_visible=False)
    h = rbm.sample_hidden(v, draw())
    assert torch.allclose(means, rbm.visible_mean(h))
    known = rbm.gibbs(v, 3, draw(), hidden_input=rbm.hidden_input(v))
    assert torch.equal(known, rbm.gibbs(v, 3, draw()))


@pytest.mark.parametrize("centered", [False, True])
@pytest.mark.parametrize("visible", ["bernoulli", "gaussian", "softmax"])
def test_base_rates_are_the_mean_of_a_model_without_weights(visible: str, centered: bool) -> None:
    rbm = RBM(3, 2, visible=visible, centered=centered, init_scale=0).double()
    mean, std = torch.tensor([0.2, 0.5, 0.3]), torch.tensor([2.0, 1e-9, 1.0])
    rbm.set_base_rates(mean, std)
    assert torch.allclose(rbm.visible_mean(torch.zeros(1, 2).double())[0], mean.double())
    if visible == "gaussian":
        assert torch.allclose(rbm.sigma, torch.tensor([2.0, 0.05, 1.0]).double())
    if centered:
        assert torch.allclose(rbm.visible_offset, mean.double()) and (rbm.hidden_offset == 0.5).all()


def test_doubled_inputs_are_those_of_a_doubled_weight() -> None:
    rbm, doubled = make(centered=True), make(centered=True)
    v, h = some_visible(rbm, 6), states(M)
    doubled.up_factor = 2.0
    assert torch.allclose(doubled.visible_input(h), rbm.visible_input(h))
    part = rbm.hidden_input(v) - rbm.hidden_bias
    assert torch.allclose(doubled.hidden_input(v), rbm.hidden_bias + 2 * part)
    with pytest.raises(ValueError, match=r"2.0 upward and 1.0 downward there is no joint energy"):
        doubled.log_marginal_hidden(h)
    doubled.down_factor = 2.0
    energy = -torch.logsumexp(-torch.stack([doubled.energy(v, s.expand(6, -1)) for s in h], 1), 1)
    assert torch.allclose(doubled.free_energy(v), energy, atol=1e-10)
    assert torch.allclose(doubled.annealed(None).log_weight(v, 1.0), -energy, atol=1e-10)


def test_the_seed_decides_the_weights_and_state_dicts_carry_all() -> None:
    assert torch.equal(RBM(V, M, seed=3).weight, RBM(V, M, seed=3).weight)
    assert not torch.equal(RBM(V, M, seed=3).weight, RBM(V, M, seed=4).weight)
    rbm, other = make("gaussian", centered=True), RBM(V, M, visible="gaussian", centered=True).double()
    other.load_state_dict(rbm.state_dict())
    v = some_visible(rbm, 5)
    assert torch.equal(other.free_energy(v), rbm.free_energy(v))


def test_impossible_models_are_explained() -> None:
    with pytest.raises(ValueError, match="got 0 and 3"):
        RBM(0, 3)
    with pytest.raises(LookupError, match="visible units are bernoulli, gaussian or softmax; got 'noisy_relu'"):
        RBM(2, 3, visible="noisy_relu")
    with pytest.raises(LookupError, match="'spike'"):
        RBM(2, 3, hidden="spike")
    with pytest.raises(ValueError, match=r"sigma is at least 0.05; got 0.01"):
        RBM(2, 3, visible="gaussian", sigma=0.01)
    with pytest.raises(ValueError, match="no annealing"):
        make(hidden="noisy_relu").annealed(None)
    with pytest.raises(ValueError, match="no energy of their own"):
        make(hidden="noisy_relu").energy(states(V), torch.ones(2**V, M).double())
