"""The sparsity controller: its operator, its measures, its targets reached, and resumes that change no bit."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from workbench.models.layers import Corruption
from workbench.models.mlp import MLP
from workbench.models.stacked_autoencoder import StackedAutoEncoder
from workbench.patches.examples import ExampleDataModule, Examples
from workbench.runs.run import Run, create_run
from workbench.runs.training import Stopped, Training
from workbench.tasks.aside import train_aside
from workbench.tasks.sparsity_control import (
    EPSILON,
    ControlledPretraining,
    ControlledSupervised,
    Method,
    SparsityController,
    hoyer,
    nonzero,
    soft_threshold,
)
from workbench.tasks.supervised import Supervised

LAYER = {"layer 1": "hidden.0.weight"}
N_EPOCHS = 4


def examples(n: int = 40, n_edges: int = 200, n_planted: int = 10, seed: int = 0) -> Examples:
    """Give two classes that differ in some of many edges."""
    rng = np.random.default_rng(seed)
    target = np.arange(n) % 2
    x = rng.normal(size=(n, n_edges)) + 1.5 * target[:, None] * (np.arange(n_edges) < n_planted)
    return Examples(
        torch.from_numpy(x - x.mean(0)).float(), torch.from_numpy(target), torch.arange(n), [str(i) for i in range(n)]
    )


def network(n_edges: int = 200, n_units: int = 8) -> MLP:
    return MLP((n_edges,), (n_units,), 2, activation="tanh", seed=1)


def controlled(net: MLP, targets: tuple[float, ...] = (0.3,), **options: Any) -> ControlledSupervised:
    task = ControlledSupervised(net, optimizer="sgd", learning_rate=0.02, momentum_max=0.0)
    return task.controlled_by(SparsityController(net, LAYER, targets, **options))


def trained(task: ControlledSupervised, n_epochs: int, data: Examples) -> SparsityController:
    train_aside(task, ExampleDataModule(data, None, batch_size=len(data), seed=0), n_epochs)
    assert task.control is not None
    return task.control


@pytest.mark.parametrize("amount", [0.0, 0.3, 2.0])
def test_the_proximal_step_solves_what_defines_it(amount: float) -> None:
    w = torch.linspace(-3, 3, 25, dtype=torch.float64)
    u = torch.linspace(-4, 4, 80_001, dtype=torch.float64)
    cost = 0.5 * (u[:, None] - w).square() + amount * u[:, None].abs()  # (candidates, weights)
    torch.testing.assert_close(soft_threshold(w, amount), u[cost.argmin(0)], atol=1e-4, rtol=0)


def test_measures_by_hand_and_by_law() -> None:
    assert nonzero(torch.tensor([[0.0, 1.0, -2.0, 0.0]])).item() == 0.5
    assert nonzero(torch.tensor([[0.0, 1e-4, -2.0, 0.0]]), EPSILON).item() == 0.25
    rows = torch.tensor([[3.0, -3.0, 3.0, 3.0], [0.0, 0.0, -2.0, 0.0], [0.0, 0.0, 0.0, 0.0], [3.0, 4.0, 0.0, 0.0]])
    expected = [0.0, 1.0, 1.0, 2 - 7 / 5]
    torch.testing.assert_close(hoyer(rows)[:, 0], torch.tensor(expected))
    torch.testing.assert_close(hoyer(17 * rows), hoyer(rows))
    with pytest.raises(ValueError, match="a single weight"):
        hoyer(torch.ones(2, 1))


def test_the_subgradient_adds_the_strength_times_the_sign() -> None:
    net = network(5, 3)
    control = SparsityController(net, LAYER, (0.5,), scope="node", method="subgradient", scale=2.0)
    control.betas[0].copy_(torch.tensor([[0.1], [0.0], [0.3]]))
    weight = net.hidden[0].weight
    assert isinstance(weight, Tensor)
    (gradient,) = torch.autograd.grad(control.penalty(), weight)
    torch.testing.assert_close(gradient, 2 * control.betas[0] * torch.sign(weight))


@pytest.mark.parametrize("measure,target", [("nonzero", 0.2), ("hoyer", 0.9)])
def test_strengths_move_by_one_step_towards_the_target_within_their_bounds(measure: Any, target: float) -> None:
    net = network(30, 4)
    control = SparsityController(net, LAYER, (target,), measure=measure, scope="node", step=0.04, beta_max=(0.1,))
    sgd = torch.optim.SGD(net.parameters(), lr=0.0)
    generator = torch.Generator().manual_seed(3)
    seen = []
    for _ in range(60):
        with torch.no_grad():
            weight = net.hidden[0].weight
            assert isinstance(weight, Tensor)
            kept = torch.rand(4, 1, generator=generator)  # dense rows and sparse ones
            weight.copy_(
                torch.randn(4, 30, generator=generator) * (torch.rand(4, 30, generator=generator) < kept.square())
            )
        before, value = control.betas[0].clone(), control.measured()[0]
        control.follow(sgd)
        up = (value > target) if measure == "nonzero" else (value < target)
        expected = torch.where(up, before + 0.04, torch.where(value == target, before, before - 0.04)).clamp(0, 0.1)
        torch.testing.assert_close(control.betas[0], expected)
        seen.append(control.betas[0].clone())
    values = torch.cat(seen)
    assert values.min() == 0 and values.max() == pytest.approx(0.1) and len(values.unique()) > 3


def drive(control_of: Any, n_steps: int, n_units: int = 8, spread: float = 1.0) -> tuple[SparsityController, Tensor]:
    """Train by full batches without a trainer; units begin with weights that differ up to ``spread``-fold in size."""
    net, data = network(n_units=n_units), examples()
    weight = net.hidden[0].weight
    assert isinstance(weight, Tensor) and data.target is not None
    with torch.no_grad():
        weight.mul_(torch.logspace(-0.5, 0.5, n_units, spread)[:, None])
    control = control_of(net)
    descend(net, control, data.x, data.target, torch.optim.SGD(net.parameters(), lr=0.05, weight_decay=0.02), n_steps)
    return control, weight.detach()


def descend(
    net: MLP, control: SparsityController | None, x: Tensor, target: Tensor, optimizer: torch.optim.SGD, n_steps: int
) -> None:
    for _ in range(n_steps):
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x), target)
        (loss if control is None else loss + control.penalty()).backward()
        optimizer.step()
        if control is not None:
            control.follow(optimizer)


@pytest.mark.parametrize("method", ["proximal", "subgradient"])
@pytest.mark.parametrize("target", [0.3, 0.1])
def test_the_nonzero_share_comes_to_its_target(method: Method, target: float) -> None:
    control, weight = drive(lambda net: SparsityController(net, LAYER, (target,), method=method, step=2e-5), 3000)
    assert control.measured()[0].item() == pytest.approx(target, abs=0.01)
    assert (weight == 0).any() == (method == "proximal")


@pytest.mark.parametrize("target", [0.6, 0.8])
def test_hoyers_sparseness_comes_to_its_target(target: float) -> None:
    control, _ = drive(lambda net: SparsityController(net, LAYER, (target,), measure="hoyer", step=2e-5), 3000)
    assert control.measured()[0].item() == pytest.approx(target, abs=0.03)


def test_every_unit_comes_to_the_target_where_each_has_its_strength() -> None:
    """Units begin ten-fold apart in size, so one strength for all leaves them far apart; 0.005 is one weight."""
    apart, shares = {}, {}
    for scope in ("node", "layer"):
        _, weight = drive(
            lambda net, s=scope: SparsityController(net, LAYER, (0.2,), scope=s, step=2e-5), 3000, spread=10.0
        )
        shares[scope] = nonzero(weight)
        apart[scope] = (shares[scope] - 0.2).abs()
    assert apart["node"].shape == (8, 1)
    assert apart["node"].mean() <= 0.02 and apart["node"].max() <= 0.06 and apart["layer"].max() > apart["node"].max()


def test_zeros_are_exact_and_planted_edges_stay() -> None:
    _, weight = drive(lambda net: SparsityController(net, LAYER, (0.1,), step=2e-5), 2000)
    assert (weight == 0).float().mean() > 0.8
    assert (weight.norm(dim=0).argsort(descending=True)[:10] < 10).float().mean() >= 0.7


def test_pretraining_is_steered_too() -> None:
    data = examples(30, 60)
    stack = StackedAutoEncoder((60,), (6, 4), hidden="tanh", seed=0)
    task = ControlledPretraining(stack, 0, beta=0.0, learning_rate=1e-3, corruption=Corruption("masking", 0.2))
    second = stack.layer(1).weight.detach().clone()
    task.controlled_by(SparsityController(stack, {"layer 1": "layers.0.weight"}, (0.4,), step=0.02, beta_max=(10.0,)))
    train_aside(task, ExampleDataModule(data, None, batch_size=30, seed=0), 400)
    assert task.control is not None
    assert task.control.measured()[0].item() == pytest.approx(0.4, abs=0.06)
    assert torch.equal(stack.layer(1).weight, second)


def test_without_a_controller_nothing_changes() -> None:
    data, nets = examples(), [network(), network(), network()]
    tasks = [
        Supervised(nets[0]),
        ControlledSupervised(nets[1]),
        ControlledSupervised(nets[2]).controlled_by(SparsityController(nets[2], LAYER, (1.0,))),  # never too dense
    ]
    for task in tasks:
        train_aside(task, ExampleDataModule(data, None, batch_size=10, seed=0), 3)
    states = [net.state_dict() for net in nets]
    assert all(torch.equal(states[0][k], states[1][k]) and torch.equal(states[0][k], states[2][k]) for k in states[0])


def test_frozen_weights_are_not_shrunk() -> None:
    net = network()
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    task = ControlledSupervised(net, layer_rates={"hidden": 0.0})
    task.controlled_by(SparsityController(net, LAYER, (0.0,), step=0.5))
    trained(task, 3, examples())
    assert torch.equal(before["hidden.0.weight"], net.hidden[0].weight)  # type: ignore[arg-type]
    assert not torch.equal(before["output.weight"], net.output.weight)


def test_the_rate_falls_evenly_to_a_tenth() -> None:
    rates: list[float] = []

    class Watched(ControlledSupervised):
        def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
            rates.append(self.optimizers().param_groups[0]["lr"])  # type: ignore[union-attr]

    task = Watched(network(), learning_rate=0.5)
    task.anneal = (2, 7)
    train_aside(task, ExampleDataModule(examples(), None, batch_size=40, seed=0), 8)
    np.testing.assert_allclose(rates, 0.5 * np.array([1, 1, 1, 0.82, 0.64, 0.46, 0.28, 0.1]))


def staged(run: Run, stop_at: int | None = None) -> ControlledSupervised:
    """Train three batches an epoch under a node-wise controller and a falling rate, as a stage of a run."""

    class Stopping(ControlledSupervised):
        def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
            if self.global_step == stop_at:
                run.request_stop()

    net = MLP((200,), (8,), 2, activation="tanh", dropout=0.3, seed=1)
    task = Stopping(net, corruption=Corruption("masking", 0.2), learning_rate=0.01)
    task.anneal = (1, N_EPOCHS)
    task.controlled_by(SparsityController(net, LAYER, (0.3,), scope="node", step=0.1))
    training = Training(run, ["train"], "cpu")
    training.stage("train", task, ExampleDataModule(examples(), None, batch_size=14, seed=0), n_epochs=N_EPOCHS)
    return task


@pytest.mark.parametrize("stop_at", [0, 4, 5, 10])
def test_a_resumed_training_is_the_same_to_the_last_bit(stop_at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.runs.training.STOP_POLL_S", 0.0)
    undisturbed = create_run("toy", {}, seed=4, cohort=None)
    whole = staged(undisturbed)
    run = create_run("toy", {}, seed=4, cohort=None)
    with pytest.raises(Stopped):
        staged(run, stop_at)
    run.withdraw_stop()
    resumed = staged(run)
    first, second = whole.state_dict(), resumed.state_dict()
    assert "controller.beta_0" in first and first["controller.beta_0"].max() > 0
    assert first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)
    tables = [r.metrics().query("name == 'beta layer 1' or name == 'nonzero layer 1'") for r in (undisturbed, run)]
    assert len(tables[0]) == 2 * N_EPOCHS
    for column in ("epoch", "step", "name", "value"):
        assert tables[0][column].tolist() == tables[1][column].tolist()


def test_a_training_aside_leaves_the_global_generator_and_can_be_stopped() -> None:
    task = controlled(network())
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    trained(task, 2, examples())
    assert torch.equal(torch.rand(2), expected)
    calls = []

    def stop() -> None:
        calls.append(1)
        if len(calls) == 3:
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        train_aside(
            controlled(network()), ExampleDataModule(examples(), None, batch_size=40, seed=0), 50, check_stop=stop
        )
    assert len(calls) == 3


def test_impossible_settings_are_named() -> None:
    with pytest.raises(LookupError, match=r"no weight matrix is called hidden\.7\.weight"):
        SparsityController(network(), {"layer 8": "hidden.7.weight"}, (0.3,))
    with pytest.raises(LookupError, match="'l0'; known are nonzero, hoyer"):
        SparsityController(network(), LAYER, (0.3,), measure="l0")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="one for each of 1 layers; got 2"):
        SparsityController(network(), LAYER, (0.3, 0.2))
    with pytest.raises(ValueError, match="beta_max at 0 or above"):
        SparsityController(network(), LAYER, (0.3,), beta_max=(-1.0,))


@pytest.mark.slow
def test_targets_planted_edges_and_error_in_the_setting_of_the_plan() -> None:
    """1,770 edges of which 40 differ by 0.175 (standard deviation 0.115), 100 subjects to learn from, 200 to test."""
    rng, target = np.random.default_rng(0), np.arange(300) % 2
    planted = np.arange(1770) < 40
    z = rng.normal(0, 0.115, (300, 1770)) + 0.175 * target[:, None] * planted
    x = torch.from_numpy((z - z[:100].mean(0)) / z[:100].std(0)).float()
    y = torch.from_numpy(target)
    errors, hits = {}, {}
    for name, options, wanted, tolerance in (
        ("none", None, 0.0, math.inf),
        ("nonzero", {"measure": "nonzero", "step": 1e-5}, 0.1, 0.01),
        ("hoyer", {"measure": "hoyer", "step": 5e-4, "beta_max": (0.01,)}, 0.8, 0.03),
    ):
        net = MLP((1770,), (20,), 2, activation="tanh", seed=1)
        control = None if options is None else SparsityController(net, LAYER, (wanted,), **options)  # type: ignore[arg-type]
        descend(net, control, x[:100], y[:100], torch.optim.SGD(net.parameters(), lr=0.02), 1600)
        if control is not None:
            assert abs(control.measured()[0].item() - wanted) <= tolerance
        with torch.no_grad():
            errors[name] = float((net(x[100:]).argmax(1) != y[100:]).float().mean())
            logits = F.cross_entropy(net(x[:100]), y[:100])
        assert logits < 0.1
        weight = net.hidden[0].weight
        assert isinstance(weight, Tensor)
        hits[name] = float((weight.detach().norm(dim=0).argsort(descending=True)[:40] < 40).float().mean())
    for name in ("nonzero", "hoyer"):
        assert hits[name] >= 0.9 > hits["none"] and errors[name] <= errors["none"]
