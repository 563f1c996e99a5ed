"""Joint training of a deep Boltzmann machine: the step by hand, what is kept for a resume, and that it learns."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import lightning
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from workbench.models.dbm import DBM
from workbench.models.layers import step_generator
from workbench.runs.run import Run, create_run
from workbench.runs.training import Stopped, Training
from workbench.tasks.deep_boltzmann import JointDBM

N_BATCHES, N_EPOCHS = 6, 3


def bars(n: int = 60, seed: int = 0) -> Tensor:
    """3 x 3 images of one full row or one full column: structure that pixel means do not hold."""
    g = torch.Generator().manual_seed(seed)
    images, lines = torch.zeros(n, 3, 3), torch.randint(6, (n,), generator=g)
    for image, line in zip(images, lines.tolist(), strict=True):
        if line < 3:
            image[line] = 1
        else:
            image[:, line - 3] = 1
    return images.flatten(1)


def machine(centered: bool = False, n_classes: int = 0) -> DBM:
    dbm = DBM.chain(9, [8, 5], centered=centered, n_classes=n_classes, seed=1)
    dbm.set_base_rates(bars().mean(0))
    return dbm


def two_paths() -> DBM:
    return DBM.multimodal({"MRI": (4, [3]), "PET": (5, [3])}, 3, seed=1)


def run_epochs(task: JointDBM, images: Tensor, n_epochs: int, target: Tensor | None = None) -> JointDBM:
    optimizer = task.configure_optimizers()
    for epoch in range(n_epochs):
        order = torch.randperm(len(images), generator=step_generator(0, epoch))
        for rows in order.split(20):
            batch = {"image": images[rows]} | ({} if target is None else {"target": target[rows]})
            task.learn(batch, optimizer, epoch)
    return task


class Batches:
    """Batches that are functions of (epoch, index) and follow the trainer."""

    def __init__(self, trainer: lightning.Trainer) -> None:
        self.trainer = trainer

    def __len__(self) -> int:
        return N_BATCHES

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        while (index := self.trainer.fit_loop.batch_idx + 1) < N_BATCHES:
            yield {"image": bars(10, 100 * self.trainer.current_epoch + index)}

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


class Data(lightning.LightningDataModule):
    def train_dataloader(self) -> Batches:
        assert self.trainer is not None
        return Batches(self.trainer)

    def val_dataloader(self) -> Any:
        return DataLoader([{"image": image} for image in bars(20, 9)], 10)  # type: ignore[arg-type]


class StopAt(JointDBM):
    """Asks for the stop at the beginning of a batch."""

    def __init__(self, dbm: DBM, run: Run, step: int, **settings: Any) -> None:
        super().__init__(dbm, **settings)
        self.run, self.at = [run], step

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        if int(self.n_steps) == self.at:
            self.run[0].request_stop()


SETTINGS: dict[str, Any] = {"k": 2, "n_chains": 7, "learning_rate": 0.05, "learning_rate_end": 0.0}


def trained(run: Run, task: JointDBM) -> dict[str, Tensor]:
    Training(run, ["joint"], "cpu").stage("joint", task, Data(), n_epochs=N_EPOCHS)
    return task.state_dict()


@pytest.mark.parametrize("negative", ["pcd", "cd"])
@pytest.mark.parametrize("step", [3, N_BATCHES - 1, N_BATCHES + 2])
def test_a_resumed_training_ends_with_the_weights_and_chains_of_an_undisturbed_one(
    monkeypatch: pytest.MonkeyPatch, negative: str, step: int
) -> None:
    monkeypatch.setattr("workbench.runs.training.STOP_POLL_S", 0.0)
    settings = SETTINGS | {"negative": negative, "n_steps_total": N_BATCHES * N_EPOCHS, "sparsity_weight": 0.1}
    whole = trained(create_run("toy", {}, seed=4, cohort=None), JointDBM(machine(True), **settings))
    run = create_run("toy", {}, seed=4, cohort=None)
    with pytest.raises(Stopped):
        trained(run, StopAt(machine(True), run, step, **settings))
    run.withdraw_stop()
    resumed = trained(run, JointDBM(machine(True), **settings))
    assert resumed.keys() == whole.keys() and {"chains", "rates", "n_steps"} < set(whole)
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)
    assert int(whole["n_steps"]) == N_BATCHES * N_EPOCHS


def test_everything_is_logged_and_a_dead_layer_is_counted() -> None:
    dbm = machine()
    dbm.weights["h1>h2"].data.zero_()
    task = JointDBM(dbm, learning_rate=0.0, reference=bars(20, 9))
    trainer = lightning.Trainer(
        max_epochs=1, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        enable_checkpointing=False,
    )  # fmt: skip
    trainer.fit(task, datamodule=Data())
    metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
    both = {"reconstruction", "free_energy"}
    assert set(metrics) == both | {f"val_{name}" for name in both} | {
        "loss", "free_energy_gap", "mean_activation", "change", "weight_h1", "weight_h2", "sd_h1", "sd_h2",
        "dead_layers",
    }  # fmt: skip
    assert metrics["dead_layers"] >= 1 and metrics["weight_h2"] == 0
    assert metrics["free_energy_gap"] == pytest.approx(0, abs=1e-5)  # the reference is the validation data


def test_a_step_goes_against_the_gradient_of_mean_field_and_chains() -> None:
    task = JointDBM(machine(), k=3, n_chains=7, learning_rate=0.1, weight_decay=0.01, seed=5, stage=2)
    before, chains = copy.deepcopy(task.dbm), task.chains.clone()
    batch = {"image": bars(10)}
    task.learn(batch, task.configure_optimizers(), 0)
    positive = before.mean_field(batch["image"], n_iterations=10).state
    start = dict(zip(("v", "h1", "h2"), chains.split([9, 8, 5], 1), strict=True))
    negative = before.gibbs(start, 3, step_generator(5, 2, 0))
    gradient = before.gradient(positive, negative)
    for name, parameter in before.named_parameters():
        decay = 0.01 * parameter if name.startswith("weights") else 0
        expected = parameter - 0.1 * (gradient[name] + decay)
        assert torch.allclose(task.dbm.get_parameter(name), expected, atol=1e-7), name
    assert torch.equal(task.chains, torch.cat([negative[n] for n in ("v", "h1", "h2")], 1))


def test_persistent_chains_walk_on_and_those_of_cd_begin_at_the_data() -> None:
    persistent, restarted = (run_epochs(JointDBM(machine(), negative=n), bars(), 1) for n in ("pcd", "cd"))
    assert not torch.equal(persistent.chains, JointDBM(machine()).chains)
    assert torch.equal(restarted.chains, JointDBM(machine(), negative="cd").chains)
    task = JointDBM(DBM.chain(9, [8, 5]), negative="cd", k=1)
    task.dbm.weights["v>h1"].data.copy_(20 * torch.eye(9)[:8])  # h1 copies v, and v copies h1
    task.dbm.biases["h1"].data.fill_(-10)
    task.dbm.biases["v"].data.fill_(-10)
    images = bars(30)
    negative = task._negative(task.positive({"image": images})[0], {"image": images}, step_generator(0))
    assert float((negative["v"][:, :8] - images[:, :8]).abs().mean()) < 0.01


def test_the_rate_falls_along_a_line_and_momentum_rises_after_five_epochs() -> None:
    task = JointDBM(machine(), learning_rate=0.4, learning_rate_end=0.1, n_steps_total=3, momentum=0.5)
    optimizer, seen = task.configure_optimizers(), []
    for epoch in (0, 4, 5, 9):
        task.learn({"image": bars(4)}, optimizer, epoch)
        seen.append((round(optimizer.param_groups[0]["lr"], 6), optimizer.param_groups[0]["momentum"]))
    assert seen == [(0.4, 0.5), (0.3, 0.5), (0.2, 0.9), (0.1, 0.9)]


def test_the_seed_and_the_stage_govern_the_samples() -> None:
    ends = [
        run_epochs(JointDBM(machine(), seed=seed, stage=stage), bars(), 1).chains
        for seed, stage in ((1, 0), (1, 0), (2, 0), (1, 1))
    ]
    assert torch.equal(ends[0], ends[1])
    assert not torch.equal(ends[0], ends[2]) and not torch.equal(ends[0], ends[3])


def test_offsets_follow_the_means_of_a_centered_machine() -> None:
    task = JointDBM(machine(True), learning_rate=0.0, centering_rate=0.5)
    task.dbm.offset("v").zero_()
    run_epochs(task, bars().roll(1, 1), 20)
    assert torch.allclose(task.dbm.offset("v"), bars().roll(1, 1).mean(0), atol=0.1)


def test_known_labels_are_clamped_and_unknown_ones_inferred() -> None:
    task = JointDBM(machine(n_classes=3))
    images, target = bars(5), torch.tensor([2, -1, 0, -1, 1])
    state, _ = task.positive({"image": images, "target": target})
    assert torch.equal(state["label"][[0, 2, 4]], torch.eye(3)[[2, 0, 1]])
    free = task.dbm.mean_field(images[[1, 3]], n_iterations=10).state
    assert torch.allclose(state["label"][[1, 3]], free["label"]) and torch.allclose(state["h1"][[1, 3]], free["h1"])
    assert torch.equal(state["v"], images)


def test_a_label_layer_learns_its_classes() -> None:
    """Rows and columns as two classes, a third of the labels unknown."""
    images = bars(200)
    target = (images.view(-1, 3, 3).sum(2).max(1).values < 3).long()
    known = torch.where(torch.arange(200) % 3 == 0, -1, target)
    dbm = DBM.chain(9, [10], n_classes=2, centered=True)
    task = JointDBM(dbm, negative="cd", k=2, learning_rate=0.05, weight_decay=0)
    run_epochs(task, images, 80, known)
    accuracy = (task.dbm.class_probabilities(images).argmax(1) == target).float().mean()
    assert float(accuracy) > 0.9


def test_an_image_is_cut_into_the_blocks_of_its_modalities() -> None:
    task = JointDBM(two_paths(), blocks={"PET": (0, 5), "MRI": (5, 9)})
    image = torch.arange(9.0)[None].expand(2, -1) / 9
    state, _ = task.positive({"image": image.reshape(2, 3, 3)})
    assert torch.equal(state["PET"], image[:, :5]) and torch.equal(state["MRI"], image[:, 5:])
    task.learn({"image": image}, task.configure_optimizers(), 0)


def test_sparsity_draws_activation_to_its_target() -> None:
    far = []
    for weight in (0.0, 1.0):
        task = JointDBM(
            machine(), k=1, learning_rate=0.05, final_momentum=0.5, sparsity_target=0.2, sparsity_weight=weight
        )
        run_epochs(task, bars(), 40)
        far.append(abs(float(task.dbm.mean_field(bars()).state["h1"].mean()) - 0.2))
    assert far[1] < 0.1 < far[0]


@pytest.mark.parametrize("negative", ["pcd", "cd"])
def test_learning_raises_the_exact_likelihood_above_independent_pixels(negative: str) -> None:
    """Bars of 3 x 3 pixels: log p is -5.7 with independent pixels, and log 1/6 = -1.8 at best."""
    images = bars(200)
    dbm = machine(True)
    before = float(dbm.log_likelihood(images).mean())
    settings: dict[str, Any] = {"negative": negative, "weight_decay": 0.0, "n_steps_total": 800, "k": 2}
    run_epochs(JointDBM(dbm, learning_rate=0.05, learning_rate_end=0.0, **settings), images, 80)
    after = float(dbm.log_likelihood(images).mean())
    assert before < -5 and after > -3.5, f"{before:.2f} before, {after:.2f} after"
    assert float(dbm.bound(images, dbm.exact_log_z()).detach().mean()) <= after


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(LookupError, match="known are pcd, cd"):
        JointDBM(machine(), negative="tempered")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least 1; got 0, 100, 10"):
        JointDBM(machine(), k=0)
    with pytest.raises(ValueError, match="goes to each of MRI, PET"):
        JointDBM(two_paths())
    with pytest.raises(ValueError, match="input layers MRI, PET; got MRI"):
        JointDBM(two_paths(), blocks={"MRI": (0, 4)})
