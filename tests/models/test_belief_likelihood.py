"""Likelihoods of belief networks: Equation 4 by brute force, and bounds that lie where they must."""

from __future__ import annotations

import copy
import itertools

import pytest
import torch
from belief_nets import bernoulli, draw, exact_bound, random_rbm, small, states
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor

from workbench.metrics.likelihood import ais, default_betas
from workbench.models.belief_likelihood import binary_states, log_z_by_enumeration
from workbench.models.class_rbm import ClassRBM
from workbench.models.dbn import DBN
from workbench.models.layers import step_generator
from workbench.models.rbm import RBM
from workbench.models.up_down import UpDown


def by_hand(net: DBN, v: Tensor) -> Tensor:
    """log p(v) of a net with three levels by Equation 4: P(v | h1) P(h1, h2) summed, everything as probabilities."""
    h1, h2 = states(net.sizes[1]), states(net.sizes[2])
    top = net.top
    joint = torch.exp(-torch.stack([top.energy(h1, row.expand(len(h1), -1)) for row in h2], 1))  # (h1, h2)
    p_h1 = (joint / joint.sum()).sum(1)
    p_v = bernoulli(v[:, None], net.layer(0).visible_mean(h1)[None])  # (v, h1)
    return (p_v @ p_h1).log()


@pytest.mark.parametrize("centered", [False, True])
def test_exact_likelihood_is_equation_4_by_brute_force(centered: bool) -> None:
    net, v = small(centered=centered), states(8)
    exact = net.exact_log_likelihood(v)
    assert torch.allclose(exact, by_hand(net, v), atol=1e-10, rtol=0)
    assert torch.isclose(exact.exp().sum(), torch.ones((), dtype=torch.float64), atol=1e-10)


def test_exact_likelihood_sums_to_1_with_four_levels_and_with_one_layer() -> None:
    for net in (small((5, 4, 3, 4)), small((5, 3))):
        total = net.exact_log_likelihood(states(5)).exp().sum()
        assert torch.isclose(total, torch.ones((), dtype=torch.float64), atol=1e-10)


def test_exact_likelihood_with_gaussian_visible_units_integrates_to_1() -> None:
    net = small((1, 3, 2), visible="gaussian", sigma=0.7)
    v = torch.linspace(-12, 12, 4001, dtype=torch.float64)[:, None]
    assert torch.isclose(torch.trapezoid(net.exact_log_likelihood(v).exp(), v[:, 0]), v.new_ones(()), atol=1e-8)


@pytest.mark.parametrize("seed", [0, 1])
def test_bound_lies_below_the_exact_value_for_every_v(seed: int) -> None:
    net, v = small(seed=seed), states(8)
    exact, bound = net.exact_log_likelihood(v), exact_bound(net, v)
    assert (bound <= exact + 1e-10).all() and (exact - bound).max() > 0.1
    n_runs, log_z = 150, log_z_by_enumeration(net.top)
    found = torch.stack([net.bound(v, log_z, draw(s), 10) for s in range(n_runs)])
    z = (found.mean(0) - bound) / (found.std(0) / n_runs**0.5)  # 256 of them
    assert z.abs().max() < 5 and 0.6 < z.square().mean() < 1.5


def test_importance_weighted_bound_lies_between() -> None:
    net, v, n_runs = small(), states(8), 40
    exact, bound, log_z = net.exact_log_likelihood(v), exact_bound(net, v), log_z_by_enumeration(net.top)
    found = torch.stack([net.importance_weighted(v, log_z, draw(s), 10) for s in range(n_runs)])
    mean, error = found.mean(0), found.std(0) / n_runs**0.5
    assert (mean > bound - 4 * error - 1e-9).all() and (mean < exact + 4 * error + 1e-9).all()
    assert bound.mean() < mean.mean() < exact.mean()
    ratio = (net.importance_weighted(v, log_z, draw(7), 2000) - exact).exp()  # of probabilities: unbiased
    assert (ratio.mean() - 1).abs() < 4 * ratio.std() / 256**0.5


@pytest.mark.parametrize("centered", [False, True])
def test_log_z_is_the_same_from_either_side(centered: bool) -> None:
    labeled = ClassRBM(4, 5, 3, init_scale=1.0, centered=centered).double()
    for rbm in (random_rbm(5, 4, centered=centered), random_rbm(4, 5, centered=centered), labeled):
        from_visible = (-rbm.free_energy(states(rbm.n_visible))).logsumexp(0)
        from_hidden = rbm.log_marginal_hidden(states(rbm.n_hidden)).logsumexp(0)
        assert torch.isclose(from_visible, from_hidden, atol=1e-10)
        assert torch.isclose(log_z_by_enumeration(rbm), from_visible, atol=1e-10)


def test_bound_of_one_layer_is_exact() -> None:
    net, v = small((6, 4)), states(6)
    bound = net.bound(v, log_z_by_enumeration(net.top), draw(), 1)
    assert torch.allclose(bound, net.exact_log_likelihood(v), atol=1e-10)


def test_likelihoods_are_double_whatever_the_net_is() -> None:
    net = small().float()
    v = states(8)[:5].float()
    exact = net.exact_log_likelihood(v)
    assert exact.dtype == torch.float64 and net.top.weight.dtype == torch.float32
    assert torch.allclose(exact, small().exact_log_likelihood(v.double()), atol=1e-5)


@pytest.mark.parametrize("centered", [(False, False), (True, True), (True, False), (False, True)])
def test_a_layer_started_from_the_transposed_first_leaves_the_likelihood(centered: tuple[bool, bool]) -> None:
    below, above = random_rbm(7, 5, 0, centered=centered[0]), random_rbm(5, 7, 1, centered=centered[1])
    net, v = DBN([below, above], (7,)), states(7)
    net.initialize_from_below(1)
    assert torch.allclose(net.exact_log_likelihood(v), DBN([below], (7,)).exact_log_likelihood(v), atol=1e-10)


def test_a_transposed_start_needs_mirrored_layers() -> None:
    with pytest.raises(ValueError, match="got 4 bernoulli and 8 bernoulli"):
        small().initialize_from_below(1)
    with pytest.raises(ValueError, match="layers 1 to 1 have one below; got 0"):
        small().initialize_from_below(0)


def train(rbm: RBM, data: Tensor, n_steps: int, net: DBN, index: int, rate: float = 0.1, seed: int = 0) -> None:
    """CD-1 on samples of what the layers below make of the data, by the RBM's own closed-form gradient."""
    for step in range(n_steps):
        generator = step_generator(seed, index, step)
        v = net.layer_input(data, index, generator)
        gradient = rbm.gradient(v, rbm.gibbs(v, 1, generator))
        with torch.no_grad():
            for name, value in gradient.items():
                rbm.get_parameter(name).sub_(rate * (1 - step / n_steps) * value)


def bars(n_side: int = 3) -> Tensor:
    """Bars and stripes: every row alike or every column alike."""
    rows = states(n_side)[:, :, None].expand(-1, n_side, n_side)
    return torch.cat([rows, rows.transpose(1, 2)]).reshape(-1, n_side**2)


def test_adding_and_training_a_layer_does_not_lower_the_bound() -> None:
    """Difference of bounds on the data, pattern by pattern, over seeds."""
    data, gains = bars(), []
    for seed in range(3):
        below, above = RBM(9, 6, seed=seed, init_scale=0.1).double(), RBM(6, 9, seed=seed).double()
        one, two = DBN([below], (9,)), DBN([below, above], (9,))
        below.set_base_rates(data.mean(0))
        train(below, data, 1500, one, 0, seed=seed)
        before = one.exact_log_likelihood(data).mean()
        assert before > -9 * 0.6932 + 0.3  # the first layer has learnt more than base rates
        two.initialize_from_below(1)
        train(above, data, 1500, two, 1, rate=0.05, seed=seed)
        bounds = torch.stack([two.bound(data, log_z_by_enumeration(above), draw(s), 100).mean() for s in range(10)])
        gains.append((bounds.mean() - before, bounds.std() / 10**0.5))
    for gain, error in gains:
        assert gain > -3 * error, gains
    assert sum(float(gain) for gain, _ in gains) > 0


def binary_digits() -> tuple[Tensor, Tensor]:
    """Give digits of 8 x 8 pixels, 8 of 16 gray levels and more being 1, as 1437 training and 360 test vectors."""
    x, y = load_digits(return_X_y=True)
    parts = train_test_split((x >= 8).astype("float32"), test_size=360, random_state=0, stratify=y)
    return torch.from_numpy(parts[0]), torch.from_numpy(parts[1])


@pytest.mark.slow
def test_on_digits_a_second_layer_and_then_wake_sleep_raise_the_bound() -> None:
    """Held-out bounds in nats, paired by digit: neither step loses more than chance explains, and both together win."""
    data, held_out = binary_digits()
    below, above = RBM(64, 14), RBM(14, 64)
    one, two = DBN([below], (64,)), DBN([below, above], (64,))
    one.set_base_rates(0, data)
    for index, (net, rate) in enumerate(((one, 0.05), (two, 0.02))):
        if index:
            first = one.exact_log_likelihood(held_out)
            two.initialize_from_below(1)
            assert torch.allclose(two.exact_log_likelihood(held_out), first, atol=1e-10)
        for epoch in range(40):
            for step, rows in enumerate(torch.randperm(1437, generator=step_generator(0, index, epoch)).split(20)):
                train(net.layer(index), data[rows], 1, net, index, rate, seed=1000 * epoch + step)
    greedy = bound_of(two, held_out)
    net = UpDown(two)
    for step in range(2000):
        rows = torch.randint(1437, (20,), generator=draw(step))
        for name, value in net.wake_sleep(data[rows], 3, step_generator(0, step)).gradient.items():
            net.get_parameter(name).data.sub_(0.02 * (1 - step / 2000) * value)
    untied = bound_of(net, held_out)
    for before, after in ((first, greedy), (greedy, untied)):
        gain = after - before
        assert gain.mean() > -3 * gain.std() / 360**0.5
    gain = untied - first
    assert gain.mean() > 3 * gain.std() / 360**0.5
    exact = net.exact_log_likelihood(held_out)
    assert untied.mean() <= exact.mean()
    assert (untied <= exact + 1.0).all()  # one digit's estimate from 100 draws is off by up to half a nat


def bound_of(net: DBN | UpDown, x: Tensor) -> Tensor:
    """Give the bound with an annealed log Z of the top, which must agree with its enumeration."""
    found = ais(net.top.annealed(net.encode(x, 1).mean(0)), betas=default_betas(2000), n_chains=100)
    top = copy.deepcopy(net.top).double()
    assert abs(float(found.value) - float(log_z_by_enumeration(top))) < 0.1
    return net.bound(x, found.value, draw(), 100)


def test_binary_states_are_all_states() -> None:
    found = binary_states(4, like=torch.zeros(1, dtype=torch.float64))
    assert {tuple(row) for row in found.tolist()} == set(itertools.product((0.0, 1.0), repeat=4))
