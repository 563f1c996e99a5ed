"""Gibbs chains of RBMs and belief networks: what is held fixed stays, and in the long run they draw the model."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from workbench.metrics.likelihood import binary_states
from workbench.models.class_rbm import ClassRBM
from workbench.models.dbn import DBN
from workbench.models.rbm import RBM
from workbench.systems.belief_chains import belief_chains

N_VISIBLE, N_HIDDEN, N_CLASSES = 5, 3, 3
N_CHAINS = 4000


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def machine(kind: str = "rbm", scale: float = 0.7) -> RBM:
    """Give a machine whose weights and biases are far from 0."""
    rbm = ClassRBM(N_VISIBLE, N_HIDDEN, N_CLASSES) if kind == "labels" else RBM(N_VISIBLE, N_HIDDEN)
    with torch.no_grad():
        for parameter in rbm.parameters():
            parameter.copy_(scale * torch.randn(parameter.shape, generator=generator(5)))
    return rbm


def net_of(*rbms: RBM) -> DBN:
    return DBN(list(rbms), (rbms[0].n_visible,))


def two_layers() -> DBN:
    top = ClassRBM(N_HIDDEN, 4, N_CLASSES, init_scale=0.7)
    return net_of(machine(), top)


def some_bits(n: int) -> Tensor:
    return (torch.rand((n, N_VISIBLE), generator=generator(1)) < 0.5).float()


def exact_mean(rbm: RBM, keep: Tensor | None = None) -> Tensor:
    """Give E[v] (V,) by enumeration, or E[v | the states that are kept]."""
    v = binary_states(N_VISIBLE).float()
    weights = torch.softmax(-rbm.free_energy(v).detach().double() + (0 if keep is None else keep.log()), 0)
    return (weights[:, None] * v).sum(0)


def assert_near(means: Tensor, expected: Tensor) -> None:
    """Compare the mean over chains with what is expected, within 4.5 standard errors of independent chains."""
    error = means.double().std(0) / math.sqrt(len(means))
    assert ((means.double().mean(0) - expected).abs() <= 4.5 * error + 1e-6).all(), (means.mean(0), expected)


def test_long_chains_of_an_rbm_have_the_mean_of_the_model() -> None:
    rbm = machine()
    means, free = belief_chains(net_of(rbm), None, N_CHAINS, (0, 60), generator())
    assert means.shape == (N_CHAINS, 2, N_VISIBLE) and free.shape == (N_CHAINS, 2)
    assert_near(means[:, 1], exact_mean(rbm))
    v = binary_states(N_VISIBLE).float()
    energy = rbm.free_energy(v).detach().double()
    assert_near(free[:, 1:], (torch.softmax(-energy, 0) * energy).sum()[None])


def test_long_chains_with_a_part_held_fixed_have_the_conditional_mean() -> None:
    rbm, bounds = machine(), (1, 3)
    values = torch.tensor([1.0, 0.0])
    held = values.expand(N_CHAINS, 2)
    means, _ = belief_chains(net_of(rbm), None, N_CHAINS, (0, 1, 60), generator(), clamped={bounds: held})
    assert torch.equal(means[:, :, 1:3], held[:, None].expand(-1, 3, -1)), "the part that is held moved"
    keep = (binary_states(N_VISIBLE)[:, 1:3] == values).all(1).double()
    assert_near(means[:, 2, [0, 3, 4]], exact_mean(rbm, keep)[[0, 3, 4]])


@pytest.mark.parametrize("label", range(N_CLASSES))
def test_long_chains_of_a_class_have_the_mean_of_the_class(label: int) -> None:
    rbm = machine("labels")
    assert isinstance(rbm, ClassRBM)
    classes = torch.full((N_CHAINS,), label)
    means, free = belief_chains(net_of(rbm), None, N_CHAINS, (0, 60), generator(), classes=classes)
    v = binary_states(N_VISIBLE).float()
    of_class = rbm.free_energy(rbm.joint(v, torch.full((len(v),), label))).detach().double()
    weights = torch.softmax(-of_class, 0)
    assert_near(means[:, 1], (weights[:, None] * v).sum(0))
    # free energies are those of joint states with the very class: any other would give other values
    assert torch.isclose(free[:, :, None].double(), of_class, atol=1e-4).any(2).all()


def test_chains_without_a_class_draw_it_too() -> None:
    rbm = machine("labels")
    means, _ = belief_chains(net_of(rbm), None, N_CHAINS, (0, 60), generator())
    assert_near(means[:, 1], exact_mean(rbm))


@pytest.mark.parametrize("make", [lambda: net_of(machine()), lambda: net_of(machine("labels")), two_layers])
def test_step_0_is_the_start_and_kept_steps_do_not_depend_on_each_other_in_number(make: object) -> None:
    net: DBN = make()  # type: ignore[operator]
    start = some_bits(6)
    means, _ = belief_chains(net, start, 6, (0, 1, 4), generator())
    assert torch.equal(means[:, 0], start)
    assert not torch.equal(means[:, 1], start) and ((means >= 0) & (means <= 1)).all()


def test_same_seed_gives_the_same_chains_and_training_mode_is_left() -> None:
    net = two_layers().train()
    first, second = (belief_chains(net, None, 5, (0, 3), generator(7))[0] for _ in range(2))
    other, _ = belief_chains(net, None, 5, (0, 3), generator(8))
    assert torch.equal(first, second) and not torch.equal(first, other)


def test_chains_of_a_deep_network_have_the_mean_of_the_model() -> None:
    net = net_of(machine(), RBM(N_HIDDEN, 2, init_scale=0.7, seed=3))
    v = binary_states(N_VISIBLE).float()
    p = net.exact_log_likelihood(v).exp()
    assert float(p.sum()) == pytest.approx(1, abs=1e-6)
    means, _ = belief_chains(net, None, N_CHAINS, (60,), generator())
    assert_near(means[:, 0], (p[:, None] * v).sum(0).double())


def test_free_energy_of_an_unbounded_machine_is_not_given() -> None:
    net = net_of(RBM(N_VISIBLE, N_HIDDEN, visible="gaussian", hidden="noisy_relu"))
    _, free = belief_chains(net, None, 3, (0, 2), generator())
    assert free.isnan().all()


def test_what_cannot_be_held_is_refused() -> None:
    with pytest.raises(ValueError, match="belief network is directed"):
        belief_chains(two_layers(), None, 2, (1,), generator(), clamped={(0, 1): torch.ones(2, 1)})
    with pytest.raises(ValueError, match="label group"):
        belief_chains(net_of(machine()), None, 2, (1,), generator(), classes=torch.zeros(2, dtype=torch.long))
