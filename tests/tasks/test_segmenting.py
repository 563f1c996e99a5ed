"""Losses and scores of batches and epochs by hand, schedules in training, and resumes that change no bit."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import lightning
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from workbench.errors import SettingsError
from workbench.imaging.subject import Subject
from workbench.patches.labelled import LabelledPatchDataModule, WholeImageDataModule
from workbench.patches.prepared import Prepared
from workbench.patches.right_angles import RightAngles
from workbench.patches.store import PatchStore
from workbench.runs.run import Run, create_run
from workbench.runs.training import Stopped, Training
from workbench.tasks.schedules import Schedule
from workbench.tasks.segmenting import Segmenter

N_BATCHES = 5
PLATEAU = Schedule("plateau", n_steps=2, window=2, n_stalled=0)


@cache
def store() -> PatchStore:
    """Give two noisy images of three classes, in slabs along x."""

    def prepare(subject: Subject) -> Prepared:
        rng = np.random.default_rng(len(subject.name))
        labels = np.repeat(np.repeat(np.array([0, 1, 2, 0, 1])[:, None, None], 9, 1), 8, 2)
        image = labels[None] + rng.normal(0, 0.4, size=(2, *labels.shape))
        return Prepared(image.astype(np.float32), labels=labels)

    return PatchStore.build([Subject("a"), Subject("bb")], prepare, Path(mkdtemp()) / "store", key="k", margin=3)


def patches(**changes: Any) -> LabelledPatchDataModule:
    settings = {
        "patch_size": (5, 5, 5), "label_size": (3, 3, 3), "batch_size": 4, "n_patches": 18, "seed": 3,
        "turns": RightAngles(axis_permutations=True),
    } | changes  # fmt: skip
    return LabelledPatchDataModule(store(), store(), **settings)


def network(dropout: float = 0.0) -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv3d(2, 6, 3), nn.ReLU(), nn.Dropout(dropout), nn.Conv3d(6, 3, 1))


def fit(task: Segmenter, data: lightning.LightningDataModule, n_epochs: int = 3) -> lightning.Trainer:
    trainer = lightning.Trainer(
        max_epochs=n_epochs, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        enable_checkpointing=False, num_sanity_val_steps=0,
    )  # fmt: skip
    trainer.fit(task, datamodule=data)
    return trainer


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def state_of(module: nn.Module) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in module.state_dict().items()}


class Rates(Segmenter):
    """Notes the rates with which each step is taken."""

    def training_step(self, batch: dict[str, Tensor], batch_index: int) -> Tensor:
        self.__dict__.setdefault("rates", []).append([g["lr"] for g in self.optimizers().param_groups])  # type: ignore[union-attr]
        return super().training_step(batch, batch_index)


@pytest.mark.parametrize("weights", [None, (1.0, 2.0, 0.5)])
def test_a_batch_is_judged_by_hand(weights: tuple[float, ...] | None) -> None:
    batch = patches().train_batch(0, 0)
    net, label = network(), batch["label"]
    judged = Segmenter(net, n_classes=3, class_weights=weights).judge(batch["image"], label)
    y = net(batch["image"])
    known = label >= 0
    each = torch.ones(3) if weights is None else torch.tensor(weights)
    nll = -y.log_softmax(1).movedim(1, -1)[known][torch.arange(int(known.sum())), label[known]]
    assert not known.all()
    assert torch.isclose(judged.loss, (nll * each[label[known]]).sum() / each[label[known]].sum())
    assert judged.weight == pytest.approx(float(each[label[known]].sum()))
    guess = y.argmax(1)
    for k in range(3):
        assert judged.counts[:, k].tolist() == [
            int(((guess == k) & (label == k)).sum()), int(((guess == k) & known).sum()), int((label == k).sum())
        ]  # fmt: skip


def test_one_label_a_patch_fits_vectors_and_single_voxels() -> None:
    batch = patches(patch_size=(3, 3, 3), label_size=(1, 1, 1)).train_batch(0, 0)
    net = network()
    maps = Segmenter(net, n_classes=3).judge(batch["image"], batch["label"])
    vectors = Segmenter(nn.Sequential(net, nn.Flatten()), n_classes=3).judge(batch["image"], batch["label"])
    assert torch.equal(maps.loss, vectors.loss) and torch.equal(maps.counts, vectors.counts)
    assert torch.isclose(maps.loss, F.cross_entropy(net(batch["image"]).flatten(1), batch["label"]))


def test_an_epoch_is_scored_as_one(tmp_path: Path) -> None:
    """The validation's loss and scores are those of all its voxels together, though batches differ in size."""
    task, data = Segmenter(network(), n_classes=3, learning_rate=0.05), patches(n_patches=35)
    metrics = fit(task, data, 12).callback_metrics
    assert set(metrics) == {"loss", "accuracy", "dice", "val_loss", "val_accuracy", "val_dice"}
    held_out = list(data.val_dataloader())
    assert [len(b["image"]) for b in held_out] == [4, 3]
    y, label = (torch.cat(parts) for parts in zip(*((task(b["image"]), b["label"]) for b in held_out), strict=True))
    assert float(metrics["val_loss"]) == pytest.approx(
        float(F.cross_entropy(y, label, ignore_index=-1).detach()), rel=1e-5
    )
    known, guess = label >= 0, y.argmax(1)
    assert float(metrics["val_accuracy"]) == pytest.approx(float((guess == label)[known].float().mean()))
    dice = [
        2 * int(((guess == k) & (label == k)).sum()) / int(((guess == k) & known).sum() + (label == k).sum())
        for k in (1, 2)
    ]
    assert float(metrics["val_dice"]) == pytest.approx(np.mean(dice), rel=1e-6)
    assert metrics["val_accuracy"] > 0.75, "it has learned"


def test_the_training_scores_are_those_of_the_last_epoch_alone() -> None:
    """At a rate of nearly nothing the network stays, so each epoch can be scored anew."""
    task, data = Segmenter(network(), n_classes=3, learning_rate=1e-30), patches()
    metrics = fit(task, data, 3).callback_metrics
    batches = [data.train_batch(2, i) for i in range(N_BATCHES)]
    guess, label = (
        torch.cat(parts) for parts in zip(*((task(b["image"]).argmax(1), b["label"]) for b in batches), strict=True)
    )
    assert float(metrics["accuracy"]) == pytest.approx(float((guess == label)[label >= 0].double().mean()), rel=1e-6)
    earlier = [data.train_batch(e, i) for e in range(2) for i in range(N_BATCHES)]
    found = torch.cat([(task(b["image"]).argmax(1) == b["label"])[b["label"] >= 0] for b in earlier])
    assert float(metrics["accuracy"]) != pytest.approx(float(found.double().mean()), rel=1e-6)


def test_linear_schedule_and_layer_rates_in_training() -> None:
    task = Rates(
        network(), n_classes=3, learning_rate=0.1, layer_rates={"0": 0.1}, n_steps_total=10,
        schedule=Schedule("linear", end=0.01),
    )  # fmt: skip
    metrics = fit(task, patches(), 2).callback_metrics
    rates = np.array(task.rates)
    assert np.allclose(rates[:, 1], 0.1 * np.linspace(1, 0.01, 10)) and np.allclose(rates[:, 0], rates[:, 1] / 10)
    assert float(metrics["learning_rate"]) == pytest.approx(0.001)


def test_a_plateau_halves_the_rate_and_ends_the_training() -> None:
    """At a rate of nearly nothing the loss of the same batch never falls."""
    task = Rates(
        network(), n_classes=3, learning_rate=1e-30, schedule=Schedule("plateau", n_steps=4, window=3, n_stalled=14)
    )
    images = [np.random.default_rng(0).normal(size=(2, 5, 5, 5)).astype(np.float32)] * 4
    labels = [np.ones((3, 3, 3), int)] * 4
    data = WholeImageDataModule(images, [np.ones((5, 5, 5), int)] * 4)
    data.labels = labels  # as a valid network gives them
    trainer = fit(task, data, 50)
    shares = [rate[0] / 1e-30 for rate in task.rates]
    assert shares == pytest.approx([1] * 7 + [0.5] * 4 + [0.25] * 4 + [0.125] * 4 + [0.0625])
    assert trainer.global_step == 20, "3 + 14 updates, and the rest of the epoch"


def disturbed(kind: type[Segmenter] = Segmenter) -> Segmenter:
    return kind(
        network(dropout=0.4), n_classes=3, optimizer="nesterov", learning_rate=0.4, weight_decay=1e-3, patience=4,
        layer_rates={"0": 0.5}, schedule=PLATEAU, seed=4,
    )  # fmt: skip


def train(run: Run, kind: type[Segmenter] = Segmenter, n_epochs: int = 4, **data: Any) -> Segmenter:
    task = disturbed(kind)
    Training(run, ["only"], "cpu", checkpoint_seconds=0).stage("only", task, patches(**data), n_epochs=n_epochs)
    return task


@cache
def whole_state() -> tuple[dict[str, Tensor], dict[str, Tensor], list[list[Any]]]:
    run = create_run("toy", {}, seed=4, cohort=None)
    task = train(run)
    state = state_of(task)
    return state, state_of(task.keep_best()), table(run)


def table(run: Run) -> list[list[Any]]:
    """Give what does not depend on the clock, or on where an epoch was cut: its mean loss covers the later part."""
    rows = run.metrics().query("name != 'loss' and name != 'loss_step'")
    return rows[["epoch", "step", "name", "value"]].values.tolist()


def stopping(run: Run, at: int) -> type[Segmenter]:
    class StopAt(Segmenter):
        def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
            if self.global_step == at:
                run.request_stop()

    return StopAt


@pytest.mark.parametrize("at", [0, 1, 3, 7, 8, 11, 13, 17, 19])
def test_a_stop_anywhere_changes_no_bit(monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """Weights, velocity, best weights, patience, the plateau's losses and the counts of the epoch."""
    monkeypatch.setattr("workbench.runs.training.STOP_POLL_S", 0.0)
    whole, best, rows = whole_state()
    assert 0 < float(whole["plateau.values"][1]) < 1, "the rate has fallen"
    run = create_run("toy", {}, seed=4, cohort=None)
    with pytest.raises(Stopped):
        train(run, stopping(run, at))
    run.withdraw_stop()
    resumed = train(run)
    assert same(state_of(resumed), whole)
    assert same(state_of(resumed.keep_best()), best)
    cut = at // N_BATCHES + 1 if (at + 1) % N_BATCHES == 0 else None  # a stop cuts the validation that follows
    wanted = [row for row in rows if row[0] != cut or not row[2].startswith("val_")]
    assert table(run) == wanted


def test_a_stop_in_an_epoch_of_a_quota_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.runs.training.STOP_POLL_S", 0.0)
    quota = {"n_patches": 0, "quota": 3}
    whole = state_of(train(create_run("toy", {}, seed=4, cohort=None), **quota))
    run = create_run("toy", {}, seed=4, cohort=None)
    with pytest.raises(Stopped):
        train(run, stopping(run, 6), **quota)
    run.withdraw_stop()
    assert same(state_of(train(run, **quota)), whole)
    assert not same(whole, whole_state()[0])


@pytest.mark.parametrize("optimizer", ["sgd", "nesterov", "adam", "rmsprop", "adadelta"])
def test_whole_images_resume_exactly_with_every_optimizer(monkeypatch: pytest.MonkeyPatch, optimizer: str) -> None:
    monkeypatch.setattr("workbench.runs.training.STOP_POLL_S", 0.0)

    def run_to_the_end(run: Run, kind: type[Segmenter] = Segmenter) -> dict[str, Tensor]:
        torch.manual_seed(2)
        net = nn.Sequential(nn.Conv3d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv3d(4, 1, 3, padding=1), nn.Sigmoid())
        task = kind(net, n_classes=2, loss="sensitivity_specificity", optimizer=optimizer, learning_rate=0.01)  # type: ignore[arg-type]
        data = WholeImageDataModule(*lesions(3), lesions(2), seed=1, flips=True)
        Training(run, ["only"], "cpu", checkpoint_seconds=0).stage("only", task, data, n_epochs=3)
        return state_of(task)

    whole = run_to_the_end(create_run("toy", {}, seed=4, cohort=None))
    run = create_run("toy", {}, seed=4, cohort=None)
    with pytest.raises(Stopped):
        run_to_the_end(run, stopping(run, 4))
    run.withdraw_stop()
    assert same(run_to_the_end(run), whole)


def lesions(n: int, size: int = 10) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Give noise in which a bright cube of 2 voxels a side is the lesion."""
    images, labels = [], []
    for i in range(n):
        rng = np.random.default_rng(i)
        label = np.zeros((size,) * 3, int)
        x, y, z = rng.integers(1, size - 3, 3)
        label[x : x + 2, y : y + 2, z : z + 2] = 1
        labels.append(label)
        images.append((1.5 * label + rng.normal(0, 0.4, label.shape)).astype(np.float32)[None])
    return images, labels


def test_the_weighted_loss_finds_lesions_where_the_squared_error_predicts_none() -> None:
    """From the same start, after the same updates."""
    dice = {}
    for loss in ("sensitivity_specificity", "squared_error"):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Conv3d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv3d(8, 1, 3, padding=1), nn.Sigmoid())
        task = Segmenter(net, n_classes=2, loss=loss, optimizer="adam", learning_rate=0.01)  # type: ignore[arg-type]
        dice[loss] = float(fit(task, WholeImageDataModule(*lesions(6), lesions(3)), 8).callback_metrics["val_dice"])
    assert dice["squared_error"] == 0 and dice["sensitivity_specificity"] > 0.3, dice


def test_dice_cross_entropy_learns() -> None:
    task = Segmenter(network(), n_classes=3, loss="dice_cross_entropy", optimizer="adam", learning_rate=0.02)
    assert fit(task, patches(n_patches=60), 12).callback_metrics["val_dice"] > 0.75


def test_batches_without_a_label_teach_nothing_and_leave_the_plateau_alone() -> None:
    task = Segmenter(network(), n_classes=3, learning_rate=0.1, schedule=PLATEAU)
    before = state_of(task.network)
    data = WholeImageDataModule([np.ones((2, 5, 5, 5), np.float32)] * 3, [np.ones((5, 5, 5), int)] * 3)
    data.labels = [np.full((3, 3, 3), -1)] * 3
    metrics = fit(task, data).callback_metrics
    assert same(state_of(task.network), before) and task.plateau is not None and not task.plateau.counts.any()
    assert set(metrics) == {"learning_rate"}


def test_early_stopping_keeps_the_weights_with_the_lowest_validation_loss() -> None:
    class Memory(Segmenter):
        def on_train_epoch_end(self) -> None:
            row = (float(self.trainer.callback_metrics["val_loss"]), state_of(self.network))
            self.__dict__.setdefault("epochs", []).append(row)
            super().on_train_epoch_end()

    task = Memory(network(dropout=0.5), n_classes=3, learning_rate=0.5, patience=3)
    trainer = fit(task, patches(), 60)
    losses = [loss for loss, _ in task.epochs]
    best = int(np.argmin(losses))
    assert len(losses) == trainer.current_epoch == best + 4 < 60
    assert same(state_of(task.keep_best()), task.epochs[best][1])


def test_frozen_layers_keep_every_bit_and_their_statistics() -> None:
    net = nn.Sequential(nn.Conv3d(2, 4, 3), nn.BatchNorm3d(4), nn.ReLU(), nn.Conv3d(4, 3, 1))
    before = state_of(net)
    fit(Segmenter(net, n_classes=3, layer_rates={"0": 0, "1": 0}, learning_rate=0.1), patches())
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name]) == name.startswith(("0", "1")), name


def test_checkpoints_hold_plain_types(tmp_path: Path) -> None:
    task = Segmenter(network(), n_classes=3, schedule=PLATEAU, class_weights=(1, 2, 3), patience=1)
    fit(task, patches(), 1).save_checkpoint(tmp_path / "stage.ckpt")
    saved = torch.load(tmp_path / "stage.ckpt", weights_only=True)
    assert Schedule(**saved["hyper_parameters"]["schedule"]) == PLATEAU
    again = Segmenter(network(), n_classes=3, schedule=PLATEAU, class_weights=(1, 1, 1), patience=1)
    again.load_state_dict(saved["state_dict"])
    assert same(state_of(again), state_of(task))


def test_slips_are_named() -> None:
    with pytest.raises(LookupError, match="no loss is called 'hinge'; known are cross_entropy"):
        Segmenter(network(), n_classes=3, loss="hinge")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="squared_error needs 2 classes; got 3"):
        Segmenter(network(), n_classes=3, loss="squared_error")
    with pytest.raises(ValueError, match="2 or more classes; got 1"):
        Segmenter(network(), n_classes=1)
    with pytest.raises(LookupError, match="no layer is called 'decoder'"):
        Segmenter(network(), n_classes=3, layer_rates={"decoder": 0.1})
    with pytest.raises(SettingsError, match="over how many steps"):
        Segmenter(network(), n_classes=3, schedule=Schedule("linear"))
    with pytest.raises(ValueError, match=r"gives \(1, 3, 3, 3, 3\) for labels \(1, 2, 3, 3\)"):
        Segmenter(network(), n_classes=3).judge(torch.zeros(1, 2, 5, 5, 5), torch.zeros(1, 2, 3, 3, dtype=torch.long))
