"""Nesterov's gradient against its recursion and against torch's; the momentum table; rates of each layer."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from workbench.errors import SettingsError
from workbench.models.mlp import MLP
from workbench.tasks.optimizers import (
    OPTIMIZERS,
    Nesterov,
    clip_incoming,
    make_optimizer,
    momentum_schedule,
    parameter_groups,
)

TABLE = {0: 0.5, 250: 0.75, 500: 1 - 1 / 6, 1000: 0.9, 5000: 1 - 1 / 42, 25_000: 0.99}


@pytest.mark.parametrize("step", TABLE)
def test_the_schedule_is_the_sheets_table(step: int) -> None:
    assert momentum_schedule(step, 0.99) == pytest.approx(TABLE[step], abs=1e-12)


def test_the_schedule_rises_to_its_maximum_and_falls_at_the_end() -> None:
    values = [momentum_schedule(step, 0.995, 40_000) for step in range(0, 40_000, 50)]
    body, end = values[: 39_000 // 50], values[39_000 // 50 :]
    assert body == sorted(body) and max(body) == 0.995 and set(end) == {0.9}
    assert {momentum_schedule(step, 0.0) for step in (0, 999, 50_000)} == {0.0}
    assert [momentum_schedule(step, 0.99, 800) for step in (0, 300, 799)] == [0.5, 0.75, 1 - 1 / 8], (
        "never pushed up to 0.9"
    )
    with pytest.raises(ValueError, match="at least 0 and below 1; got 1"):
        momentum_schedule(0, 1.0)


def bowl(theta: Tensor) -> Tensor:
    """Give a smooth function whose gradient differs everywhere."""
    return (theta[0] - 1).pow(4) + 5 * (theta[1] - theta[0].sin()).square() + theta.square().sum()


def descend(optimizer: torch.optim.Optimizer, theta: Tensor, mus: list[float]) -> list[Tensor]:
    path = []

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = bowl(theta)
        loss.backward()
        return loss

    for mu in mus:
        for group in optimizer.param_groups:
            group["momentum"] = mu
        optimizer.step(closure)
        path.append(theta.detach().clone())
    return path


def start() -> Tensor:
    return torch.tensor([2.0, -1.5], dtype=torch.double, requires_grad=True)


@pytest.mark.parametrize("mus", [[0.9] * 30, [momentum_schedule(40 * t, 0.99) for t in range(30)]])
def test_nesterov_is_the_look_ahead_recursion(mus: list[float]) -> None:
    theta = start()
    path = descend(Nesterov([theta], lr=0.01), theta, mus)
    by_hand, velocity = start().detach(), torch.zeros(2, dtype=torch.double)
    for mu, place in zip(mus, path, strict=True):
        ahead = (by_hand + mu * velocity).requires_grad_(True)
        (gradient,) = torch.autograd.grad(bowl(ahead), ahead)
        velocity = mu * velocity - 0.01 * gradient
        by_hand = by_hand + velocity
        assert torch.allclose(place, by_hand, rtol=0, atol=1e-12)


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_torchs_nesterov_is_the_same_in_look_ahead_variables_while_momentum_stays(decay: float) -> None:
    """torch carries phi = theta + mu v, with buffer -v / rate; both begin at v = 0."""
    mu, theta, phi = 0.9, start(), start()
    optimizer = Nesterov([theta], lr=0.01, weight_decay=decay)
    peer = torch.optim.SGD([phi], lr=0.01, momentum=mu, nesterov=True, weight_decay=decay)
    for _ in range(30):
        descend(optimizer, theta, [mu])
        descend(peer, phi, [mu])
        ahead = theta + mu * optimizer.state[theta]["velocity"]
        assert torch.allclose(ahead, phi, rtol=0, atol=1e-12)


def test_torchs_nesterov_is_not_the_same_when_momentum_changes() -> None:
    mus = [momentum_schedule(100 * t, 0.99) for t in range(20)]
    theta, phi = start(), start()
    optimizer = Nesterov([theta], lr=0.01)
    descend(optimizer, theta, mus)
    descend(torch.optim.SGD([phi], lr=0.01, momentum=0.5, nesterov=True), phi, mus)
    assert (theta + mus[-1] * optimizer.state[theta]["velocity"] - phi).abs().max() > 1e-3


def test_nesterov_goes_on_from_its_state() -> None:
    whole, half = start(), start()
    descend(Nesterov([whole], lr=0.01), whole, [0.9] * 20)
    first = Nesterov([half], lr=0.01)
    descend(first, half, [0.9] * 10)
    second = Nesterov([half], lr=0.5)
    second.load_state_dict(first.state_dict())
    descend(second, half, [0.9] * 10)
    assert torch.equal(whole, half)


def test_nesterov_wants_a_closure_and_passes_its_value_on() -> None:
    theta = start()
    with pytest.raises(ValueError, match="give step\\(\\) a closure"):
        Nesterov([theta]).step()
    assert Nesterov([theta]).step(lambda: 7) == 7
    assert torch.equal(theta, start())  # without a gradient nothing moves


def step(network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = network(torch.ones(4, 3)).square().mean()
        loss.backward()
        return loss

    optimizer.step(closure)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_layers_keep_their_own_rates_and_frozen_ones_every_bit(name: str) -> None:
    def moved(rates: dict[str, float]) -> dict[str, Tensor]:
        network = MLP((3,), (5, 4), 2, activation="tanh", seed=1)
        before = {key: value.detach().clone() for key, value in network.named_parameters()}
        step(network, make_optimizer(name, parameter_groups(network, 0.01, 0.0, rates)))
        return {key: value.detach() - before[key] for key, value in network.named_parameters()}

    plain = moved({})
    rated = moved({"hidden": 0.5, "hidden.0": 0.0, "output.bias": 3.0})
    assert all((rated[f"hidden.0.{part}"] == 0).all() for part in ("weight", "bias"))
    for key, factor in {"hidden.1.weight": 0.5, "hidden.1.bias": 0.5, "output.bias": 3.0, "output.weight": 1.0}.items():
        assert torch.allclose(rated[key], factor * plain[key], rtol=1e-3, atol=1e-7) and plain[key].any(), key


def test_frozen_layers_thaw_when_they_get_a_rate_again() -> None:
    network = MLP((3,), (5,), 2)
    parameter_groups(network, 0.1, layer_rates={"hidden.0": 0})
    assert [p.requires_grad for p in network.parameters()] == [False, False, True, True]
    parameter_groups(network, 0.1)
    assert all(p.requires_grad for p in network.parameters())


def test_a_name_fits_whole_words_only() -> None:
    network = MLP((3,), [2] * 11, 2)
    groups = parameter_groups(network, 1.0, layer_rates={"hidden.1": 0.5})
    slow = {id(p) for group in groups if group["lr"] == 0.5 for p in group["params"]}
    assert slow == {id(p) for p in network.hidden[1].parameters()}
    with pytest.raises(LookupError, match=r"no layer is called 'hidde'; parameters are hidden\.0\.weight"):
        parameter_groups(network, 1.0, layer_rates={"hidde": 0.5})


@pytest.mark.parametrize("name", ["sgd", "nesterov"])
def test_weights_decay_and_biases_do_not(name: str) -> None:
    network = MLP((3,), (5,), 2, batch_norm=True)
    nn.init.ones_(network.output.bias)
    before = {key: value.detach().clone() for key, value in network.named_parameters()}
    optimizer = make_optimizer(name, parameter_groups(network, 0.1, 0.5))

    def closure() -> Tensor:
        for parameter in network.parameters():
            parameter.grad = torch.zeros_like(parameter)
        return torch.zeros(())

    optimizer.step(closure)
    for key, value in network.named_parameters():
        assert torch.allclose(value, before[key] * (0.95 if value.ndim > 1 else 1.0)), key


@pytest.mark.parametrize("make", [lambda: MLP((30,), (20, 10), 3, initialization="normal")])
def test_max_norm_shortens_the_weights_into_hidden_units_alone(make: Callable[[], MLP]) -> None:
    network = make()
    before = [p.detach().clone() for p in network.parameters()]
    clip_incoming(network, 2.0)
    for layer in network.hidden:
        assert (layer.weight.norm(dim=1) <= 2.0 + 1e-5).all()
    direction = nn.functional.cosine_similarity(network.hidden[0].weight, before[0], dim=1)
    assert torch.allclose(direction, torch.ones(20))
    assert torch.equal(network.output.weight, before[-2])
    clip_incoming(network, 100.0)
    assert torch.allclose(network.hidden[0].weight.norm(dim=1), torch.full((20,), 2.0), atol=1e-5)


@pytest.mark.parametrize("name", ["rmsprop", "adadelta"])
def test_scaled_gradients_are_their_recursions_by_hand(name: str) -> None:
    theta = nn.Parameter(torch.tensor([2.0, -1.5], dtype=torch.double))
    optimizer = make_optimizer(name, [{"params": [theta], "lr": 0.1, "weight_decay": 0.0}], momentum=0.9)
    squares, moves, wanted = torch.zeros(2).double(), torch.zeros(2).double(), theta.detach().clone()
    for _ in range(20):
        optimizer.zero_grad()
        bowl(theta).backward()
        g = theta.grad
        assert g is not None
        if name == "rmsprop":
            squares = 0.9 * squares + 0.1 * g**2
            wanted = wanted - 0.1 * g / (squares.sqrt() + 1e-8)
        else:
            squares = 0.95 * squares + 0.05 * g**2
            move = g * ((moves + 1e-6) / (squares + 1e-6)).sqrt()
            moves = 0.95 * moves + 0.05 * move**2
            wanted = wanted - 0.1 * move
        optimizer.step()
        assert torch.allclose(theta, wanted, rtol=1e-10)


def test_nothing_to_train_is_a_sentence() -> None:
    with pytest.raises(SettingsError, match="Every layer is frozen"):
        make_optimizer("rmsprop", [])


def test_unknown_optimizers_are_named() -> None:
    with pytest.raises(LookupError, match="'lion'; known are adam, sgd, nesterov, rmsprop, adadelta"):
        make_optimizer("lion", parameter_groups(MLP((3,), (), 2), 0.1))
