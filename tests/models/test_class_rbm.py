"""The RBM with labels against sums over its states, and its two learning rules against each other."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from workbench.models.class_rbm import ClassRBM
from workbench.models.label_group import UNLABELED

V, M, K = 5, 4, 3
KINDS = list(itertools.product(("bernoulli", "gaussian"), ("bernoulli", "noisy_relu"), (False, True)))


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def states(n: int) -> Tensor:
    return torch.tensor(list(itertools.product([0.0, 1.0], repeat=n)), dtype=torch.float64)


def make(visible: str = "bernoulli", hidden: str = "bernoulli", centered: bool = False) -> ClassRBM:
    rbm = ClassRBM(V, M, K, visible=visible, hidden=hidden, sigma=0.7, centered=centered, init_scale=0.4).double()
    generator = draw(9)
    with torch.no_grad():
        for bias in (rbm.visible_bias, rbm.hidden_bias, rbm.label_bias):
            bias.copy_(torch.randn(bias.shape, generator=generator))
        if centered:
            for offset in (rbm.visible_offset, rbm.hidden_offset, rbm.label_offset):
                offset.copy_(torch.rand(offset.shape, generator=generator))
    return rbm


def inputs(rbm: ClassRBM, n: int, seed: int = 0) -> Tensor:
    return rbm.visible_units.sample(torch.randn(n, V, generator=draw(seed)).double(), draw(seed + 1))


def classes(n: int, seed: int = 0) -> Tensor:
    return torch.randint(0, K, (n,), generator=draw(seed))


def joint_energy(rbm: ClassRBM, v: Tensor, target: Tensor) -> Tensor:
    """E(v, y, h) (N, 2^M) from the formula."""
    h, y = states(M), F.one_hot(target, K).double()
    scale = rbm.sigma**-2 if rbm.visible == "gaussian" else torch.ones_like(rbm.sigma)
    alone = ((v - rbm.visible_bias) ** 2 * scale / 2).sum(1) if rbm.visible == "gaussian" else -v @ rbm.visible_bias
    inner = ((v - rbm.visible_offset) * scale) @ rbm.weight.T + (y - rbm.label_offset) @ rbm.label_weight.T
    return (alone - y @ rbm.label_bias)[:, None] - h @ rbm.hidden_bias - inner @ (h - rbm.hidden_offset).T


@pytest.mark.parametrize("visible", ["bernoulli", "gaussian"])
@pytest.mark.parametrize("centered", [False, True])
def test_posterior_and_free_energies_are_sums_over_hidden_states_and_labels(visible: str, centered: bool) -> None:
    rbm = make(visible, centered=centered)
    v = inputs(rbm, 12)
    energy = torch.stack([joint_energy(rbm, v, torch.full((12,), k)) for k in range(K)], 1)  # (N, K, 2^M)
    posterior = torch.softmax(-energy.flatten(1), 1).reshape(energy.shape)
    assert torch.allclose(rbm.class_probabilities(v), posterior.sum(2), atol=1e-10)
    assert torch.allclose(rbm.free_energy(v), -torch.logsumexp(-energy, (1, 2)), atol=1e-10)
    assert torch.allclose(rbm.hidden_mean(v), posterior.sum(1) @ states(M), atol=1e-10)
    target = classes(12)
    mine = energy[torch.arange(12), target]
    assert torch.allclose(rbm.free_energy(rbm.joint(v, target)), -torch.logsumexp(-mine, 1), atol=1e-10)
    assert torch.allclose(rbm.hidden_mean(rbm.joint(v, target)), torch.softmax(-mine, 1) @ states(M), atol=1e-10)


@pytest.mark.parametrize("centered", [False, True])
def test_labels_and_inputs_given_hidden_units_are_sums_over_their_states(centered: bool) -> None:
    rbm, v, h = make(centered=centered), states(V), states(M)
    energy = torch.stack([joint_energy(rbm, v, torch.full((2**V,), k)) for k in range(K)])  # (K, 2^V, 2^M)
    assert torch.allclose(rbm.log_marginal_hidden(h), torch.logsumexp(-energy, (0, 1)), atol=1e-10)
    given = torch.softmax(-energy.flatten(0, 1), 0).reshape(energy.shape)
    assert torch.allclose(rbm.label_mean(h), given.sum(1).T, atol=1e-10)
    assert torch.allclose(rbm.visible_mean(h), given.sum(0).T @ v, atol=1e-10)
    drawn = rbm.sample_label(h[5].expand(30_000, -1), draw())
    assert torch.allclose(F.one_hot(drawn, K).double().mean(0), rbm.label_mean(h[5:6])[0], atol=0.015)


@pytest.mark.parametrize("visible,hidden,centered", KINDS)
def test_generative_gradient_is_that_of_the_joint_free_energies(visible: str, hidden: str, centered: bool) -> None:
    rbm = make(visible, hidden, centered)
    data, model = (rbm.joint(inputs(rbm, n, s), classes(n, s)) for n, s in ((7, 1), (9, 2)))
    (rbm.free_energy(data).mean() - rbm.free_energy(model).mean()).backward()
    gradient = rbm.gradient(data, model)
    assert gradient.keys() == {name for name, _ in rbm.named_parameters()}
    for name, value in gradient.items():
        assert torch.allclose(value, rbm.get_parameter(name).grad, atol=1e-10), name


@pytest.mark.parametrize("centered", [False, True])
def test_discriminative_gradient_is_the_published_one(centered: bool) -> None:
    """sum_j s(o_yj) do_yj - sum_y* p(y*|v) sum_j s(o_y*j) do_y*j, written out with loops."""
    rbm = make(centered=centered)
    plain = rbm.uncentered()
    v, target = inputs(rbm, 6), classes(6)
    p = torch.softmax(plain.class_logits(v), 1)
    weight, label_weight, bias = (torch.zeros_like(x) for x in (rbm.weight, rbm.label_weight, rbm.hidden_bias))
    for n, k in itertools.product(range(6), range(K)):
        o = plain.hidden_bias + plain.label_weight[:, k] + plain.weight @ v[n]
        share = (p[n, k] - float(k == target[n])) * torch.sigmoid(o) / 6
        weight = weight + share[:, None] * v[n]
        bias = bias + share
        label_weight = label_weight + share[:, None] * F.one_hot(torch.tensor(k), K)
    gradient = plain.discriminative_gradient(v, target)
    assert torch.allclose(gradient["weight"], weight, atol=1e-12)
    assert torch.allclose(gradient["label_weight"], label_weight, atol=1e-12)
    assert torch.allclose(gradient["hidden_bias"], bias, atol=1e-12)
    assert torch.allclose(gradient["label_bias"], (p - F.one_hot(target, K)).mean(0), atol=1e-12)
    assert torch.allclose(rbm.discriminative_loss(v, target), plain.discriminative_loss(v, target), atol=1e-12)


@pytest.mark.parametrize("visible,hidden,centered", KINDS)
def test_discriminative_loss_passes_gradcheck(visible: str, hidden: str, centered: bool) -> None:
    rbm = make(visible, hidden, centered)
    v, target, names = inputs(rbm, 3), classes(3), ["weight", "hidden_bias", "label_weight", "label_bias"]

    def loss(*values: Tensor) -> Tensor:
        given = dict(zip(names, values, strict=True))
        return torch.func.functional_call(_Loss(rbm), {f"rbm.{k}": x for k, x in given.items()}, (v, target))

    start = tuple(rbm.get_parameter(name).detach().clone().requires_grad_() for name in names)
    assert torch.autograd.gradcheck(loss, start, atol=1e-7)


class _Loss(torch.nn.Module):
    def __init__(self, rbm: ClassRBM) -> None:
        super().__init__()
        self.rbm = rbm

    def forward(self, v: Tensor, target: Tensor) -> Tensor:
        return self.rbm.discriminative_loss(v, target)


@pytest.mark.parametrize("visible,hidden,centered", KINDS)
def test_uncentered_and_moved_offsets_keep_the_distribution(visible: str, hidden: str, centered: bool) -> None:
    rbm = make(visible, hidden, centered)
    v = rbm.joint(inputs(rbm, 20), classes(20))
    others = [rbm.uncentered()]
    if centered:
        others.append(make(visible, hidden, centered))
        others[1].move_offsets(torch.rand(V + K, generator=draw()).double(), torch.rand(M).double(), 0.5)
    for other in others:
        difference = (other.free_energy(v) - rbm.free_energy(v)).detach()
        assert float((difference - difference.mean()).abs().max()) < 1e-10
        assert torch.allclose(other.class_probabilities(v[:, :V]), rbm.class_probabilities(v[:, :V]))


def test_gibbs_draws_inputs_and_labels_from_the_joint() -> None:
    rbm, v = make(), states(V)
    every = torch.cat([rbm.joint(v, torch.full((2**V,), k)) for k in range(K)])
    p = torch.softmax(-rbm.free_energy(every).detach(), 0)
    begin = rbm.joint(inputs(rbm, 20_000), classes(20_000))
    chains = rbm.gibbs(begin, 30, draw(4))
    assert torch.allclose(chains.mean(0), p @ every, atol=0.02)
    assert set(chains[:, V:].unique().tolist()) == {0.0, 1.0} and (chains[:, V:].sum(1) == 1).all()
    assert rbm.gibbs(inputs(rbm, 7), 2, draw()).shape == (7, V)


def test_unknown_classes_are_drawn_from_the_posterior_and_known_ones_stay() -> None:
    rbm = make()
    v = inputs(rbm, 1).expand(20_000, -1)
    target = torch.full((20_000,), UNLABELED)
    target[:100] = 2
    joint = rbm.complete(v, target, draw())
    assert (joint[:100, V + 2] == 1).all() and torch.equal(joint[:, :V], v)
    assert torch.allclose(joint[100:, V:].mean(0), rbm.class_probabilities(v[:1])[0], atol=0.015)


@pytest.mark.parametrize("visible", ["bernoulli", "gaussian"])
@pytest.mark.parametrize("centered", [False, True])
def test_annealing_covers_inputs_and_labels(visible: str, centered: bool) -> None:
    rbm = make(visible, centered=centered)
    path, v = rbm.annealed(torch.full((V,), 0.3)), rbm.joint(inputs(rbm, 9), classes(9))
    assert path.n_units == V + K
    assert torch.allclose(path.log_weight(v, 1.0), -rbm.free_energy(v), atol=1e-10)
    assert path.step(path.base_sample(6, draw()), 0.5, draw()).shape == (6, V + K)
    if visible == "bernoulli":
        every = torch.cat([rbm.joint(states(V), torch.full((2**V,), k)) for k in range(K)])
        assert torch.allclose(path.base_log_z(), torch.logsumexp(path.log_weight(every, 0.0), 0), atol=1e-10)


def test_one_class_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 classes; got 1"):
        ClassRBM(3, 2, 1)
