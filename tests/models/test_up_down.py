"""The untied network: equal to its DBN at the start, gradients as autograd finds them, and a bound that rises."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from workbench.models.belief_likelihood import log_probability, log_z_by_enumeration
from workbench.models.class_rbm import ClassRBM
from workbench.models.dbn import DBN
from workbench.models.layers import run_stages, step_generator
from workbench.models.rbm import RBM
from workbench.models.units import Bernoulli
from workbench.models.up_down import UpDown


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def states(n: int) -> Tensor:
    return torch.tensor(list(itertools.product((0.0, 1.0), repeat=n)), dtype=torch.float64)


def random_net(sizes: tuple[int, ...], *, centered: bool = False, n_classes: int = 0, **first: object) -> DBN:
    """Give a DBN in double precision whose parameters and offsets are far from 0."""
    rbms: list[RBM] = []
    for index, (below, above) in enumerate(itertools.pairwise(sizes)):
        options = {"seed": index, "init_scale": 1.0, "centered": centered} | (first if index == 0 else {})
        is_top = index == len(sizes) - 2
        rbm = ClassRBM(below, above, n_classes, **options) if is_top and n_classes else RBM(below, above, **options)  # type: ignore[arg-type]
        rbms.append(rbm.double())
    generator = draw(50)
    with torch.no_grad():
        for rbm in rbms:
            for name, value in (*rbm.named_parameters(), *rbm.named_buffers()):
                if "bias" in name or ("offset" in name and centered):
                    value += 0.5 * torch.randn(value.shape, generator=generator, dtype=torch.float64)
    return DBN(rbms, sizes[:1])


@pytest.mark.parametrize("centered", [False, True])
@pytest.mark.parametrize("visible", ["bernoulli", "gaussian"])
def test_at_the_start_it_is_the_dbn(centered: bool, visible: str) -> None:
    dbn = random_net((6, 5, 4, 3), centered=centered, visible=visible, sigma=0.6)
    net, x = UpDown(dbn), states(6)
    for index in range(3):
        level = dbn.encode(x, index)
        assert torch.allclose(net.up_input(index, level), dbn.up_input(index, level), atol=1e-10, rtol=0)
        above = torch.rand(8, net.sizes[index + 1], generator=draw(), dtype=torch.float64)
        assert torch.allclose(net.down_input(index, above), dbn.down_input(index, above), atol=1e-10, rtol=0)
    assert torch.allclose(net(x), dbn(x), atol=1e-10, rtol=0)
    assert torch.allclose(net.exact_log_likelihood(x), dbn.exact_log_likelihood(x), atol=1e-9, rtol=0)
    assert torch.allclose(net.bound(x, 1.0, draw(), 5), dbn.bound(x, 1.0, draw(), 5), atol=1e-9, rtol=0)
    assert torch.allclose(net.sample(9, 4, draw()), dbn.sample(9, 4, draw()), atol=1e-10, rtol=0)
    assert torch.allclose(net.back_projection(3), dbn.back_projection(3), atol=1e-10)
    assert torch.allclose(run_stages(net.as_convolutions(), x), dbn.encode(x), atol=1e-10)


def test_the_dbn_stays_as_it_is() -> None:
    dbn, x = random_net((6, 5, 4)), states(6)
    before = {name: value.clone() for name, value in dbn.state_dict().items()}
    net = UpDown(dbn)
    take_steps(net, x, 3, 0.1)
    assert not torch.equal(net.rbm.weight, before["layers.1.weight"])
    assert all(torch.equal(value, before[name]) for name, value in dbn.state_dict().items())


def take_steps(net: UpDown, x: Tensor, n: int, rate: float, seed: int = 0) -> None:
    for step in range(n):
        found = net.wake_sleep(x, 3, step_generator(seed, step))
        with torch.no_grad():
            for name, value in found.gradient.items():
                net.get_parameter(name).sub_(rate * value)


@pytest.mark.parametrize("options", [{}, {"visible": "gaussian", "sigma": 0.6}, {"n_classes": 3}, {"centered": True}])
def test_gradients_are_those_of_the_three_parts(options: dict[str, object]) -> None:
    """The closed form against autograd, with the same draws: likelihood of recognized levels, and of dreamt ones."""
    net = UpDown(random_net((6, 5, 4, 3), **options))  # type: ignore[arg-type]
    x, classes = states(6)[::3], torch.arange(22) % 3 if net.n_classes else None
    found = net.wake_sleep(x, 2, draw(4), classes=classes)
    generator, bernoulli = draw(4), Bernoulli()
    levels = [x]
    for i in range(2):
        levels.append(bernoulli.sample(net.up_input(i, levels[-1]).detach(), generator))
    data = net.rbm.joint(levels[2], classes) if isinstance(net.rbm, ClassRBM) else levels[2]  # type: ignore[arg-type]
    end = net.rbm.gibbs(data, 2, generator)
    assert torch.equal(end, found.end)
    dreams = [end[:, :4]]
    for i in (1, 0):
        dreams.insert(0, net.generative_units(i).sample(net.down_input(i, dreams[0]).detach(), generator))
    wake = -sum(
        log_probability(net.generative_units(i), levels[i], net.down_input(i, levels[i + 1])).mean() for i in (0, 1)
    )
    sleep = -sum(log_probability(bernoulli, dreams[i + 1], net.up_input(i, dreams[i])).mean() for i in (0, 1))
    contrast = net.rbm.free_energy(data).mean() - net.rbm.free_energy(end).mean()
    for value, expected in ((found.wake, wake), (found.sleep, sleep), (found.contrast, contrast)):
        assert torch.isclose(value, torch.as_tensor(expected), atol=1e-10)
    names = [name for name, _ in net.named_parameters()]
    assert set(found.gradient) == set(names)
    gradients = torch.autograd.grad(wake + sleep + contrast, [net.get_parameter(name) for name in names])
    for name, gradient in zip(names, gradients, strict=True):
        assert torch.allclose(found.gradient[name], gradient, atol=1e-10), name


def test_persistent_chains_go_on_where_they_ended() -> None:
    net, x = UpDown(random_net((6, 5, 4), n_classes=3)), states(6)
    chains = net.first_chains(7, x, draw())
    assert chains.shape == (7, 8) and torch.equal(chains[:, 5:].sum(1), chains.new_ones(7))
    found = net.wake_sleep(x, 2, draw(1), chains=chains)
    assert found.end.shape == chains.shape and not torch.equal(found.end, chains)


def prototypes(seed: int) -> Tensor:
    """Noisy copies of four patterns of 8 bits: data that one RBM with 4 hidden units does not exhaust."""
    generator = draw(seed)
    patterns = (torch.rand(4, 8, generator=generator) < 0.5).double()
    flips = torch.rand(60, 8, generator=generator) < 0.08
    return torch.where(flips, 1 - patterns.repeat(15, 1), patterns.repeat(15, 1))


def pretrained(data: Tensor, seed: int) -> DBN:
    rbms = [RBM(8, 5, seed=seed, init_scale=0.1).double(), RBM(5, 4, seed=seed + 1, init_scale=0.1).double()]
    dbn = DBN(rbms, (8,))
    for index, rbm in enumerate(rbms):
        dbn.set_base_rates(index, data)
        for step in range(500):
            generator = step_generator(seed, index, step)
            v = dbn.layer_input(data, index, generator)
            gradient = rbm.gradient(v, rbm.gibbs(v, 1, generator))
            with torch.no_grad():
                for name, value in gradient.items():
                    rbm.get_parameter(name).sub_(0.1 * value)
    return dbn


def test_wake_sleep_raises_bound_and_likelihood_in_the_mean_over_seeds() -> None:
    gains = []
    for seed in range(6):
        data = prototypes(seed)
        net = UpDown(pretrained(data, seed))
        values = []
        for n_steps in (0, 800):
            take_steps(net, data, n_steps, 0.05, seed)
            bound = net.bound(data, log_z_by_enumeration(net.top), draw(), 100).mean()
            values.append(torch.stack([bound, net.exact_log_likelihood(data).mean()]))
        gains.append(values[1] - values[0])
    found = torch.stack(gains).detach()
    assert (found.mean(0) > 2 * found.std(0) / len(found) ** 0.5).all(), found


def test_refusals_say_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="below the top RBM; this network has none"):
        UpDown(DBN([RBM(6, 4)], (6,)))
    with pytest.raises(ValueError, match="needs bernoulli units at level 1; got gaussian, noisy_relu"):
        UpDown(DBN([RBM(6, 4, hidden="noisy_relu"), RBM(4, 3, visible="gaussian")], (6,)))
