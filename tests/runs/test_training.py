from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import lightning
import pytest
import torch
from toy import N_BATCHES, N_EPOCHS, STAGES, ToyData, ToyModule, train_three

from workbench.errors import RunError
from workbench.runs.launch import attend, prepare_to_resume
from workbench.runs.run import Run, create_run
from workbench.runs.training import StagePlan, Stopped, Training, run_progress

N_STEPS = N_BATCHES * N_EPOCHS


@pytest.fixture
def make_run() -> Callable[[], Run]:
    return lambda: create_run("toy", {"seconds_per_step": 0.0}, seed=4, cohort=None)


def train_one(run: Run, n_validation: int = 0, n_epochs: int = N_EPOCHS, **options: Any) -> ToyModule:
    training = Training(
        run, [StagePlan("only", n_epochs)], "cpu", checkpoint_seconds=options.pop("checkpoint_seconds", 15)
    )
    module = ToyModule(**options)
    training.stage("only", module, ToyData(n_validation=n_validation), n_epochs=n_epochs)
    return module


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


class StopAt(ToyModule):
    """Asks for the stop at the beginning of a batch."""

    def __init__(self, run: Run, step: int) -> None:
        super().__init__()
        self.run, self.at = [run], step

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        if self.global_step == self.at:
            self.run[0].request_stop()


@pytest.mark.parametrize("n_validation", [0, 2])
@pytest.mark.parametrize("step", [0, 1, N_BATCHES - 2, N_BATCHES - 1, N_BATCHES, N_STEPS - 2, N_STEPS - 1])
def test_a_stop_at_any_step_changes_no_bit(
    make_run: Callable[[], Run], monkeypatch: pytest.MonkeyPatch, step: int, n_validation: int
) -> None:
    monkeypatch.setattr("workbench.runs.training.STOP_POLL_S", 0.0)
    whole = train_one(make_run(), n_validation)
    run = make_run()
    training = Training(run, ["only"], "cpu")
    with pytest.raises(Stopped):
        training.stage("only", StopAt(run, step), ToyData(n_validation=n_validation), n_epochs=N_EPOCHS)
    saved = torch.load(run.folder / "checkpoints" / "only.ckpt", weights_only=True)
    assert saved["global_step"] == step + 1
    run.withdraw_stop()
    resumed = train_one(run, n_validation)
    assert same(resumed.state_dict(), whole.state_dict())
    table = run.metrics()
    assert not table.duplicated(["stage", "step", "name"]).any()
    assert table[table.name == "size"].epoch.tolist() == [1, 2, 3]


def test_stopping_over_and_over_changes_no_bit(make_run: Callable[[], Run], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.runs.training.STOP_POLL_S", 0.0)
    whole, run = train_one(make_run(), 2), make_run()
    for _ in range(N_STEPS):
        run.request_stop()
        training = Training(run, ["only"], "cpu")
        run.withdraw_stop()
        with pytest.raises(Stopped):
            module = StopAt(run, training_step(run))
            training.stage("only", module, ToyData(n_validation=2), n_epochs=N_EPOCHS)
    run.withdraw_stop()
    assert same(train_one(run, 2).state_dict(), whole.state_dict())


def training_step(run: Run) -> int:
    path = run.folder / "checkpoints" / "only.ckpt"
    return int(torch.load(path, weights_only=True)["global_step"]) if path.exists() else 0


def test_same_seed_same_weights_and_other_seed_others(make_run: Callable[[], Run]) -> None:
    other = create_run("toy", {}, seed=5, cohort=None)
    first, second = train_one(make_run()), train_one(make_run())
    assert same(first.state_dict(), second.state_dict())
    assert not same(first.state_dict(), train_one(other).state_dict())


def test_a_complete_stage_is_loaded_not_trained(make_run: Callable[[], Run]) -> None:
    run = make_run()
    first = train_one(run)
    before = run.metrics()
    second = train_one(run)
    assert same(first.state_dict(), second.state_dict()) and not second.training
    assert run.metrics().equals(before)


def test_what_is_initialized_after_a_stage_does_not_depend_on_loading_it(make_run: Callable[[], Run]) -> None:
    run = make_run()
    train_one(run)
    trained = torch.rand(3)
    train_one(run)
    assert torch.equal(torch.rand(3), trained)


@pytest.mark.parametrize("n_validation", [0, 2])
def test_an_extended_run_equals_a_longer_one(make_run: Callable[[], Run], n_validation: int) -> None:
    longer = train_one(make_run(), n_validation, n_epochs=N_EPOCHS + 2)
    run = make_run()
    with attend(run):
        train_one(run, n_validation)
        run.finish({})
    prepare_to_resume(run, extend=2)
    assert run.status().state == "stopped"
    with attend(run):
        extended = train_one(run, n_validation)
        run.finish({})
    assert same(extended.state_dict(), longer.state_dict())
    result = run.result()
    assert result is not None and [e["n_epochs"] for e in result["extensions"]] == [2]
    assert (run.folder / "result-1.json").exists()
    assert run.metrics().query("name == 'size'").epoch.tolist() == [1, 2, 3, 4, 5]


def test_extending_an_early_stage_trains_the_later_ones_anew(make_run: Callable[[], Run]) -> None:
    run = make_run()
    with attend(run):
        train_three(run)
    prepare_to_resume(run, extend=1, stage=STAGES[1])
    assert run.stages.is_complete(STAGES[0], N_EPOCHS) and not run.stages.is_complete(STAGES[2], N_EPOCHS)
    with attend(run):
        train_three(run)
    n_epochs = run.metrics().query("name == 'size'").groupby("stage").epoch.max().to_dict()
    assert n_epochs == {STAGES[0]: 3, STAGES[1]: 4, STAGES[2]: 3}


def test_a_stop_ends_a_slow_validation_at_its_next_batch(make_run: Callable[[], Run]) -> None:
    run = make_run()
    training = Training(run, ["only"], "cpu")
    threading.Timer(1.0, run.request_stop).start()
    begin = time.monotonic()
    with pytest.raises(Stopped):
        training.stage("only", ToyModule(validation_s=0.2), ToyData(n_validation=1000), n_epochs=2)
    assert time.monotonic() - begin < 60  # of the 200 s that the whole validation would take
    assert not run.metrics().name.str.startswith("val").any()
    assert run.metrics().query("name == 'size'").epoch.tolist() == [1]


def test_sigterm_saves_the_present_step(make_run: Callable[[], Run]) -> None:
    run = make_run()
    threading.Timer(0.7, lambda: os.kill(os.getpid(), signal.SIGTERM)).start()
    with attend(run):
        train_one(run, n_epochs=1000, seconds_per_step=0.01)
    status = run.status()
    saved = torch.load(run.folder / "checkpoints" / "only.ckpt", weights_only=True)
    assert status.state == "stopped" and saved["global_step"] == status.step > 0
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_loss_that_is_not_finite_ends_with_advice(make_run: Callable[[], Run]) -> None:
    class Diverging(ToyModule):
        def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
            loss = super().training_step(batch, batch_idx)
            return loss * float("inf") if self.global_step == 3 else loss

    run = make_run()
    with pytest.raises(RunError, match=r"stage only .* at step 4; choose a lower learning rate"), attend(run):
        Training(run, ["only"], "cpu", checkpoint_seconds=0).stage("only", Diverging(), ToyData(), n_epochs=1)
    assert run.status().state == "failed" and "learning rate" in run.status().message
    saved = torch.load(run.folder / "checkpoints" / "only.ckpt", weights_only=True)
    assert all(bool(torch.isfinite(t).all()) for t in saved["state_dict"].values())


def test_samples_are_drawn_after_every_epoch(make_run: Callable[[], Run]) -> None:
    epochs: list[int] = []
    training = Training(make_run(), ["only"], "cpu")
    training.stage("only", ToyModule(), ToyData(), n_epochs=3, on_epoch=epochs.append)
    assert epochs == [1, 2, 3]


def test_curves_have_steps_and_epochs_under_their_own_names(make_run: Callable[[], Run]) -> None:
    run = make_run()
    train_one(run, n_validation=2)
    table = run.metrics()
    assert set(table.name) == {"reconstruction", "reconstruction_step", "size", "val_reconstruction"}
    means = table[table.name == "reconstruction"]
    assert means.step.tolist() == [N_BATCHES, 2 * N_BATCHES, 3 * N_BATCHES] and means.epoch.tolist() == [1, 2, 3]
    assert table[table.name == "reconstruction_step"].step.tolist() == [1, 10, 20]


def test_the_status_tells_stage_step_and_epoch(make_run: Callable[[], Run]) -> None:
    run = make_run()
    train_three(run)
    status = run.reporter.status
    assert (status.stage, status.n_stages, status.stage_name) == (3, 3, "fine-tune")
    assert (status.step, status.n_steps, status.epoch, status.n_epochs) == (N_STEPS, N_STEPS, 3, 3)
    assert run.status().state == "finished"


def test_a_checkpoint_of_another_network_is_refused(make_run: Callable[[], Run]) -> None:
    run = make_run()
    train_one(run)
    other = ToyModule()
    other.network[3] = torch.nn.Linear(5, 6)
    with pytest.raises(RunError, match="belongs to another network"):
        Training(run, ["only"], "cpu").stage("only", other, ToyData(), n_epochs=N_EPOCHS)
    (run.folder / "checkpoints" / "only.ckpt").write_bytes(b"nonsense")
    with pytest.raises(RunError, match="cannot be read"):
        train_one(run)


def test_hyper_parameters_that_are_not_plain_are_found_at_once(make_run: Callable[[], Run]) -> None:
    class Careless(ToyModule):
        def __init__(self, network: torch.nn.Module) -> None:
            super().__init__()
            self.save_hyperparameters()

    run = make_run()
    with pytest.raises(TypeError, match="plain types only"):
        Training(run, ["only"], "cpu").stage("only", Careless(torch.nn.Linear(1, 1)), ToyData(), n_epochs=1)
    assert not (run.folder / "checkpoints" / "only.ckpt").exists()


def test_long_preparations_can_be_stopped(make_run: Callable[[], Run]) -> None:
    run = make_run()
    progress = run_progress(run, "prepare")
    progress(0.25, "Reading")
    assert run.reporter.status.message == "Reading (25%)"
    run.request_stop()
    with pytest.raises(Stopped):
        progress(0.5, "Reading")
    with pytest.raises(Stopped):
        Training(run, ["only"], "cpu").check_stop()


def test_unknown_stages_and_devices_are_told() -> None:
    run = create_run("toy", {}, seed=0, cohort=None)
    with pytest.raises(LookupError, match="this training has a, b"):
        Training(run, ["a", "b"], "cpu").stage("c", lightning.LightningModule(), ToyData(), n_epochs=1)
    with pytest.raises(ValueError, match="device is one of"):
        Training(run, ["a"], "quantum")
    with pytest.raises(ValueError, match="must differ"):
        Training(run, ["a b", "a-b"], "cpu")
