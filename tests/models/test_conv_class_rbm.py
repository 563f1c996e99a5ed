"""Convolutional RBMs with labels against sums over all states, and both kinds of learning."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from workbench.models.conv_class_rbm import ConvClassRBM
from workbench.models.label_group import UNLABELED
from workbench.tasks.contrast import chains_of, hybrid_gradient, observe

N = 3


def randomized(engine: Any = "spatial", **settings: Any) -> ConvClassRBM:
    model = ConvClassRBM((1, 1, 5), 2, (1, 3), N, visible="bernoulli", engine=engine, **settings).double()
    with torch.no_grad():
        for parameter in model.parameters():
            values = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
            parameter.copy_(0.8 * values)
    return model


def states(*shape: int) -> Tensor:
    n = int(torch.tensor(shape).prod())
    return torch.tensor(list(product([0.0, 1.0], repeat=n)), dtype=torch.float64).reshape(-1, *shape)


def all_joint(model: ConvClassRBM) -> tuple[Tensor, Tensor, Tensor]:
    """Give images, every joint state (images times classes, class last), and the energies with every map."""
    v, h = states(1, 1, 5), states(*model.hidden_shape)
    rows = model.joint(v.repeat_interleave(N, 0), torch.arange(N).repeat(len(v)))
    return v, rows, torch.stack([model.energy(rows, one.expand(len(rows), *one.shape)) for one in h], 1)


@pytest.mark.parametrize("engine", ["spatial", "frequency"])
def test_posterior_and_free_energies_equal_enumeration(engine: Any) -> None:
    model = randomized(engine)
    v, rows, energies = all_joint(model)
    free = -(-energies).logsumexp(1)
    torch.testing.assert_close(model.free_energy(rows), free)
    by_class = -free.reshape(len(v), N)
    torch.testing.assert_close(model.class_probabilities(v), by_class.softmax(1))
    torch.testing.assert_close(model.free_energy(v), -by_class.logsumexp(1))
    h = states(*model.hidden_shape)
    torch.testing.assert_close(model.log_marginal_hidden(h), (-energies).logsumexp(0))


def test_conditionals_equal_enumeration() -> None:
    model = randomized()
    v, rows, energies = all_joint(model)
    h = states(*model.hidden_shape)
    p = torch.softmax(-energies.reshape(len(v), N * len(h)), 1).reshape(len(v), N, len(h))
    torch.testing.assert_close(model.hidden_mean(v), torch.einsum("vyh,hkab->vkab", p, h))
    torch.testing.assert_close(model.hidden_mean(rows), torch.einsum("rh,hkab->rkab", (-energies).softmax(1), h))
    labels = torch.softmax(-energies, 0).reshape(len(v), N, len(h)).sum(0).T
    torch.testing.assert_close(model.label_mean(h), labels)


def test_generative_gradient_is_that_of_mean_free_energy() -> None:
    model = randomized("frequency", average_over_map=False)
    v = states(1, 1, 5)
    data, chains = model.joint(v[3:7], torch.tensor([0, 2, 1, 2])), model.joint(v[20:23], torch.tensor([1, 1, 0]))
    names = [name for name, _ in model.named_parameters()]
    loss = model.free_energy(data).mean() - model.free_energy(chains).mean()
    expected = torch.autograd.grad(loss, list(model.parameters()))
    found = model.gradient(data, chains)
    assert set(found) == set(names)
    for name, value in zip(names, expected, strict=True):
        torch.testing.assert_close(found[name], value, atol=1e-10, rtol=1e-9)


def test_exact_gradient_of_the_joint_likelihood() -> None:
    """With every state weighted by its probability the generative gradient is that of -log p(v, y)."""
    model = randomized(average_over_map=False)
    _, rows, _ = all_joint(model)
    data = rows[[4, 31, 50]]
    loss = model.free_energy(data).mean() + (-model.free_energy(rows)).logsumexp(0)
    expected = dict(
        zip(dict(model.named_parameters()), torch.autograd.grad(loss, list(model.parameters())), strict=True)
    )
    p = torch.softmax(-model.free_energy(rows), 0).detach()
    each = [model.gradient(data, row[None]) for row in rows]
    for name, value in expected.items():
        found = sum(weight * g[name] for weight, g in zip(p, each, strict=True))
        torch.testing.assert_close(found, value, atol=1e-10, rtol=1e-8)


def test_discriminative_gradient_and_the_mixture() -> None:
    model = randomized(average_over_map=False)
    v, target = states(1, 1, 5)[[3, 9, 14, 27]], torch.tensor([0, 1, 2, 1])
    names = ["weight", "hidden_bias", "label_weight", "label_bias"]
    loss = F.nll_loss(model.class_probabilities(v).log(), target)
    expected = torch.autograd.grad(loss, [model.get_parameter(name) for name in names])
    alone = model.discriminative_gradient(v, target)
    for name, value in zip(names, expected, strict=True):
        torch.testing.assert_close(alone[name], value, atol=1e-10, rtol=1e-8)
    generator = torch.Generator().manual_seed(0)
    data = observe(model, v, target, generator)
    chains = chains_of(model, model.gibbs(data.joint, 1, generator))
    only = hybrid_gradient(model, data, chains, 0.0, 1.0)
    both = hybrid_gradient(model, data, chains, 0.25, 1.0)
    generative = hybrid_gradient(model, data, chains, 1.0, 1.0)
    for name in names:
        torch.testing.assert_close(only[name], alone[name])
        torch.testing.assert_close(both[name], 0.25 * generative[name] + 0.75 * alone[name])


def test_both_gradients_are_divided_alike() -> None:
    model = randomized()
    v, target = states(1, 1, 5)[[3, 9, 14]], torch.tensor([0, 1, 2])
    joint = model.joint(v, target)
    chains = model.gibbs(joint, 1, torch.Generator().manual_seed(0))
    divided = model.gradient(joint, chains), model.discriminative_gradient(v, target)
    model.average_over_map = False
    whole = model.gradient(joint, chains), model.discriminative_gradient(v, target)
    places = {"weight": 3, "hidden_bias": 3, "label_weight": 3, "label_bias": 1, "visible_bias": 5}
    for small, large in zip(divided, whole, strict=True):
        for name in small:
            torch.testing.assert_close(small[name] * places[name], large[name])


def test_gibbs_visits_joint_states_as_often_as_their_probability() -> None:
    model = randomized()
    v, rows, _ = all_joint(model)
    exact = torch.softmax(-model.free_energy(rows), 0).reshape(len(v), N).sum(0)
    start = model.joint(torch.zeros(4_000, 1, 1, 5, dtype=torch.float64), torch.zeros(4_000, dtype=torch.long))
    last = model.gibbs(start, 20, torch.Generator().manual_seed(0))
    rates = last[:, 1:, 0, 0].mean(0)
    assert ((rates - exact).abs() < 5 * (exact * (1 - exact) / 4_000).sqrt()).all()


def test_unknown_classes_are_drawn_and_known_ones_kept() -> None:
    model = randomized()
    v, target = states(1, 1, 5)[:6], torch.tensor([0, UNLABELED, 2, UNLABELED, 1, 0])
    joint = model.complete(v, target, torch.Generator().manual_seed(0))
    label = joint[:, 1:, 0, 0]
    assert joint.shape[1:] == model.visible_shape and label.sum(1).eq(1).all()
    assert label.argmax(1)[target != UNLABELED].tolist() == [0, 2, 1, 0]


def test_gradient_without_labels_is_refused() -> None:
    model, v = randomized(), states(1, 1, 5)[:2]
    with pytest.raises(ValueError, match="joint states with labels"):
        model.gradient(v, v)
