"""Training on targets: losses by hand, what is logged and frozen, early stopping, and resumes that change no bit."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from workbench.errors import SettingsError
from workbench.models.layers import Corruption
from workbench.models.mlp import MLP
from workbench.runs.run import Run, create_run
from workbench.runs.training import Stopped, Training
from workbench.tasks.supervised import Supervised

N_BATCHES = 5


def examples(n: int, seed: int, n_classes: int = 3) -> dict[str, Tensor]:
    """Give points about the corners of a cube, with their corner's class."""
    g = torch.Generator().manual_seed(seed)
    target = torch.randint(n_classes, (n,), generator=g)
    return {"image": F.one_hot(target, 4).float() + 0.4 * torch.randn(n, 4, generator=g), "target": target}


class Batches:
    """Batches that are functions of (epoch, index) and follow the trainer."""

    def __init__(self, trainer: lightning.Trainer, numbers: bool) -> None:
        self.trainer, self.numbers = trainer, numbers

    def __len__(self) -> int:
        return N_BATCHES

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        while (index := self.trainer.fit_loop.batch_idx + 1) < N_BATCHES:
            batch = examples(16, 100 * self.trainer.current_epoch + index)
            yield batch | {"target": batch["image"][:, 0]} if self.numbers else batch

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


class Data(lightning.LightningDataModule):
    def __init__(self, validation: bool = True, numbers: bool = False) -> None:
        super().__init__()
        self.validation, self.numbers = validation, numbers

    def train_dataloader(self) -> Batches:
        return Batches(self.trainer, self.numbers)

    def val_dataloader(self) -> Any:
        held_out = examples(30, 999)
        if self.numbers:
            held_out["target"] = held_out["image"][:, 0]
        rows = [{key: value[i] for key, value in held_out.items()} for i in range(30)]
        return DataLoader(rows, 8) if self.validation else []  # type: ignore[arg-type]


def fit(task: Supervised, n_epochs: int = 3, **options: Any) -> lightning.Trainer:
    trainer = lightning.Trainer(
        max_epochs=n_epochs, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        enable_checkpointing=False, num_sanity_val_steps=0,
    )  # fmt: skip
    torch.manual_seed(5)
    trainer.fit(task, datamodule=Data(**options))
    return trainer


def network(**options: Any) -> MLP:
    return MLP((4,), (8, 6), 3, seed=1, **options)


def parameters(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in module.named_parameters()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_losses_are_cross_entropy_and_mean_squared_error() -> None:
    x, target = examples(20, 0).values()
    y = network()(x)
    losses = Supervised(network(), class_weights=(1.0, 2.0, 0.5)).losses(x, target)
    weights = torch.tensor([1.0, 2.0, 0.5])[target]
    nll = -y.log_softmax(1)[torch.arange(20), target]
    assert torch.isclose(losses["loss"], (weights * nll).sum() / weights.sum())
    assert losses["accuracy"] == (y.argmax(1) == target).float().mean()
    numbers = torch.randn(20)
    single = MLP((4,), (5,), 1)
    losses = Supervised(single, task="regression").losses(x, numbers)
    assert torch.isclose(losses["loss"], (single(x) - numbers).square().mean())
    assert torch.isclose(losses["mae"], (single(x) - numbers).abs().mean())
    column = nn.Sequential(nn.Linear(4, 1))
    wanted = (column(x)[:, 0] - numbers).square().mean()
    assert torch.isclose(Supervised(column, task="regression").losses(x, numbers)["loss"], wanted)


def test_a_single_output_is_the_logit_of_class_1() -> None:
    x, target = examples(20, 0, n_classes=2).values()
    single = MLP((4,), (5,), 1)
    losses = Supervised(single).losses(x, target)
    assert torch.isclose(losses["loss"], F.binary_cross_entropy_with_logits(single(x), target.float()))
    assert losses["accuracy"] == ((single(x) > 0) == (target == 1)).float().mean()


@pytest.mark.parametrize("optimizer,rate", [("adam", 0.02), ("sgd", 0.3), ("nesterov", 0.3)])
def test_every_optimizer_learns_and_logs(optimizer: str, rate: float) -> None:
    task = Supervised(network(), optimizer=optimizer, learning_rate=rate)  # type: ignore[arg-type]
    metrics = fit(task, 15).callback_metrics
    assert set(metrics) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert metrics["val_accuracy"] > 0.7, metrics
    single = MLP((4,), (8,), 1)
    metrics = fit(Supervised(single, task="regression", learning_rate=0.02), 15, numbers=True).callback_metrics
    assert set(metrics) == {"loss", "mae", "val_loss", "val_mae"} and metrics["val_mae"] < 0.3


def test_one_step_without_momentum_is_equation_3() -> None:
    """theta - rate grad E(theta), with the decay of weights in E."""
    net = network(activation="tanh")
    before = parameters(net)
    task = Supervised(net, optimizer="sgd", learning_rate=0.1, momentum_max=0.0, weight_decay=0.2)
    batch = examples(16, 0)
    loss = task.losses(**{"x": batch["image"], "target": batch["target"]})["loss"]
    penalty = sum(p.square().sum() for p in net.parameters() if p.ndim > 1)
    gradients = torch.autograd.grad(loss + 0.1 * penalty, list(net.parameters()))
    trainer = lightning.Trainer(
        max_steps=1, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        enable_checkpointing=False, limit_val_batches=0,
    )  # fmt: skip
    trainer.fit(task, datamodule=Data())
    for (name, value), gradient in zip(net.named_parameters(), gradients, strict=True):
        assert torch.allclose(value, before[name] - 0.1 * gradient, atol=1e-6), name


def test_the_schedule_reaches_the_optimizer() -> None:
    seen = []

    class Watch(Supervised):
        def training_step(self, batch: dict[str, Tensor], batch_index: int) -> Tensor:
            seen.append([group["momentum"] for group in self.optimizers().param_groups])  # type: ignore[union-attr]
            return super().training_step(batch, batch_index)

    fit(
        Watch(network(), optimizer="nesterov", momentum_max=0.7, learning_rate=0.01, weight_decay=0.1),
        51,
        validation=False,
    )
    assert seen[0] == [0.5, 0.5] and seen[249] == [0.5, 0.5] and seen[250] == [0.7, 0.7]


def test_input_noise_destroys_training_inputs_alone() -> None:
    task = Supervised(network(), corruption=Corruption("masking", 1.0), learning_rate=0.01)
    before = parameters(task.network)
    fit(task)
    after = parameters(task.network)
    assert torch.equal(before["hidden.0.weight"], after["hidden.0.weight"]), "blank inputs teach no first weights"
    assert not torch.equal(before["output.bias"], after["output.bias"])
    clean = fit(Supervised(task.network, learning_rate=1e-9)).callback_metrics["val_loss"]
    x, target = examples(30, 999).values()
    assert torch.isclose(clean, F.cross_entropy(task.network.eval()(x), target), atol=1e-5)


def test_frozen_layers_keep_every_bit_and_their_statistics() -> None:
    net = network(batch_norm=True)
    state = {key: value.clone() for key, value in net.state_dict().items()}
    fit(Supervised(net, layer_rates={"hidden.0": 0, "norms.0": 0, "hidden.1": 0.1}, weight_decay=0.1))
    for name, value in net.state_dict().items():
        assert torch.equal(value, state[name]) == name.startswith(("hidden.0", "norms.0")), name
    with pytest.raises(LookupError, match="no layer is called 'hiden'"):
        Supervised(net, layer_rates={"hiden": 0.1})
    with pytest.raises(SettingsError, match="Every layer is frozen"):
        Supervised(net, layer_rates={"hidden": 0, "norms": 0, "output": 0}).configure_optimizers()


def test_a_network_that_comes_in_evaluation_is_trained_with_its_devices() -> None:
    """A network that an earlier stage returned is in evaluation, but must drop units in this one."""
    one, other = network(dropout=0.5).eval(), network(dropout=0.5).train()
    fit(Supervised(one))
    fit(Supervised(other))
    assert same(parameters(one), parameters(other))
    without = network().eval()
    fit(Supervised(without))
    assert not same(parameters(one), parameters(without))


def test_max_norm_holds_after_every_epoch() -> None:
    task = Supervised(network(initialization="normal"), max_norm=0.5, learning_rate=0.5)
    fit(task)
    assert all((layer.weight.norm(dim=1) <= 0.5 + 1e-5).all() for layer in task.network.hidden)
    assert (task.network.output.weight.norm(dim=1) > 0.5).any()


def test_batches_of_one_do_not_fit_batch_normalization() -> None:
    task, batch = Supervised(network(batch_norm=True)), examples(1, 0)
    with pytest.raises(SettingsError, match="choose a batch size of at least 2"):
        task.training_step(batch, 0)


class Memory(Supervised):
    """Notes the held-out loss and the weights of every epoch."""

    def on_train_epoch_end(self) -> None:
        if not hasattr(self, "epochs"):
            self.epochs: list[tuple[float, dict[str, Tensor]]] = []
        self.epochs.append((float(self.trainer.callback_metrics["val_loss"]), parameters(self.network)))
        super().on_train_epoch_end()


def test_early_stopping_keeps_the_best_weights() -> None:
    """A rate this high makes the held-out loss go up and down."""
    task = Memory(network(), learning_rate=0.3, patience=3)
    trainer = fit(task, 60)
    losses = [loss for loss, _ in task.epochs]
    best = min(range(len(losses)), key=losses.__getitem__)
    assert len(losses) == trainer.current_epoch == best + 1 + 3 < 60
    assert not same(parameters(task.network), task.epochs[best][1])
    task.keep_best()
    assert same(parameters(task.network), task.epochs[best][1])
    assert float(task.best_loss) == pytest.approx(losses[best], rel=1e-5)


def test_without_patience_nothing_is_kept() -> None:
    task = Supervised(network())
    fit(task)
    last = parameters(task.network)
    assert same(parameters(task.keep_best()), last) and not list(task.best.buffers())


def undisturbed() -> dict[str, Any]:
    """Give settings with a rate so high that the held-out loss goes up and down."""
    return {
        "optimizer": "nesterov", "learning_rate": 3.0, "corruption": Corruption("gaussian", 0.2), "patience": 3,
        "weight_decay": 1e-3, "max_norm": 2.0, "seed": 4,
    }  # fmt: skip


def hard() -> MLP:
    return network(dropout=0.3, dropconnect=0.3, batch_norm=True)


def train(run: Run, n_epochs: int = 6, kind: type[Supervised] = Supervised) -> Supervised:
    training = Training(run, ["only"], "cpu", checkpoint_seconds=0)
    task = kind(hard(), **undisturbed())
    training.stage("only", task, Data(), n_epochs=n_epochs)
    return task


@cache
def whole_state() -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Give the state of a run that nothing disturbed, and of its network with the best weights."""
    task = train(create_run("toy", {}, seed=4, cohort=None))
    state = {key: value.clone() for key, value in task.state_dict().items()}
    return state, {key: value.clone() for key, value in task.keep_best().state_dict().items()}


def stopping(run: Run, at: int, where: str) -> type[Supervised]:
    class StopAt(Supervised):
        def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
            if where == "training" and self.global_step == at:
                run.request_stop()

        def validation_step(self, batch: dict[str, Tensor], batch_index: int) -> None:
            super().validation_step(batch, batch_index)
            if where == "validation" and self.global_step == at and batch_index == 1:
                run.request_stop()

    return StopAt


@pytest.mark.parametrize(
    "at,where",
    [(0, "training"), (7, "training"), (9, "training"), (10, "training"), (10, "validation"), (20, "validation")],
)
def test_a_stop_anywhere_changes_no_bit(monkeypatch: pytest.MonkeyPatch, at: int, where: str) -> None:
    """Weights, the best weights, and the patience: with dropout, DropConnect, noise, batch norm, and max-norm."""
    monkeypatch.setattr("workbench.runs.training.STOP_POLL_S", 0.0)
    whole, best = whole_state()
    run = create_run("toy", {}, seed=4, cohort=None)
    with pytest.raises(Stopped):
        train(run, kind=stopping(run, at, where))
    run.withdraw_stop()
    resumed = train(run)
    assert same(resumed.state_dict(), whole)
    assert same(resumed.keep_best().state_dict(), best) and not same(best, network_of(whole))
    assert same(train(run).keep_best().state_dict(), best), "a stage that was loaded has its best weights too"


def network_of(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix("network."): value for key, value in state.items() if key.startswith("network.")}


def test_a_run_whose_patience_ended_does_not_go_on(tmp_path: Path) -> None:
    """As if it was killed after its last checkpoint and before the stage was noted as complete."""
    run = create_run("toy", {}, seed=4, cohort=None)
    first = train(run, 60)
    run = create_run("toy", {}, seed=4, cohort=None)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("workbench.runs.stages.StageBook.complete", _interrupt)
        train(run, 60)
    assert same(train(run, 60).state_dict(), first.state_dict())


def _interrupt(*arguments: Any, **options: Any) -> None:
    raise KeyboardInterrupt


def test_checkpoints_hold_plain_types(tmp_path: Path) -> None:
    task = Supervised(network(), patience=2, layer_rates={"hidden.0": 0.5}, class_weights=(1, 2, 3))
    fit(task).save_checkpoint(tmp_path / "stage.ckpt")
    saved = torch.load(tmp_path / "stage.ckpt", weights_only=True)
    assert saved["hyper_parameters"]["layer_rates"] == {"hidden.0": 0.5}
    again = Supervised(network(), patience=2, class_weights=(1, 1, 1))
    again.load_state_dict(saved["state_dict"])
    assert same(again.keep_best().state_dict(), task.keep_best().state_dict())


def test_unknown_tasks_are_named() -> None:
    with pytest.raises(LookupError, match="'ranking'; known are classification, regression"):
        Supervised(network(), task="ranking")  # type: ignore[arg-type]
