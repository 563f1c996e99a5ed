"""Contrastive divergence: one step by hand, what it reaches on a known optimum, what is logged, and exact resumes."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from workbench.errors import SettingsError
from workbench.models.class_rbm import ClassRBM
from workbench.models.conv_rbm import ConvRBM
from workbench.models.layers import step_generator
from workbench.models.rbm import RBM
from workbench.patches.examples import ExampleDataModule, Examples
from workbench.runs.run import Run, create_run
from workbench.runs.training import StagePlan, Stopped, Training
from workbench.tasks.boltzmann import ContrastiveDivergence, parts_at_once
from workbench.tasks.contrast import chains_of, hybrid_gradient, observe

NAMES = {"loss", "free_energy", "reconstruction", "mean_activation", "dead_units"}
Batches = list[dict[str, Tensor]]


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batches(n: int = 4, size: int = 8, n_classes: int = 0, seed: int = 0) -> Batches:
    x = (torch.rand(n, size, 1, 2, 3, generator=draw(seed)) < 0.4).float()
    made = [{"image": part} for part in x]
    if n_classes:
        made = [b | {"target": (b["image"].flatten(1).sum(1) % n_classes).long()} for b in made]
    return made


def loader(data: Batches) -> DataLoader[Any]:
    return DataLoader(data, batch_size=None)  # type: ignore[arg-type]


def fit(
    task: ContrastiveDivergence, data: Batches, n_epochs: int = 1, checkpoint: Path | None = None, validate: Any = None
) -> lightning.Trainer:
    trainer = lightning.Trainer(
        max_epochs=n_epochs, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        enable_checkpointing=False, num_sanity_val_steps=0,
    )  # fmt: skip
    held_out = None if validate is None else loader(validate)
    trainer.fit(task, loader(data), held_out, ckpt_path=None if checkpoint is None else str(checkpoint))
    return trainer


def weights(task: ContrastiveDivergence) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in task.state_dict().items()}


def test_a_step_is_the_closed_form_with_weight_decay_and_the_momentum_of_its_epoch() -> None:
    data = batches(2)
    task = ContrastiveDivergence(
        RBM(6, 4), learning_rate=0.1, momentum=0.5, final_momentum=0.8, weight_decay=0.01, seed=3, stage=2
    )
    by_hand = RBM(6, 4)
    velocity: dict[str, Tensor] = {}
    for step in range(14):
        v = data[step % 2]["image"].flatten(1)
        gradient = by_hand.gradient(v, by_hand.gibbs(v, 1, step_generator(3, 2, step)))
        gradient["weight"] = gradient["weight"] + 0.01 * by_hand.weight.detach()
        for name, value in gradient.items():
            velocity[name] = (0.5 if step < 10 else 0.8) * velocity.get(name, 0) + value  # epochs 1 to 5, then 6 and 7
            by_hand.get_parameter(name).data -= 0.1 * velocity[name]
    fit(task, data, 7)
    for name, value in by_hand.named_parameters():
        assert torch.allclose(task.model.get_parameter(name), value, atol=1e-6), name


def test_mini_batches_are_the_same_updates_as_small_batches() -> None:
    small = batches(4)
    large = [{"image": torch.cat([b["image"] for b in small])}]
    one, other = (ContrastiveDivergence(RBM(6, 4), mini_batch=m, persistent=True, n_chains=8) for m in (0, 8))
    fit(one, small)
    fit(other, large)
    assert all(torch.equal(a, b) for a, b in zip(weights(one).values(), weights(other).values(), strict=True))
    assert int(other.n_steps) == 4


def bars_and_stripes() -> Tensor:
    """Give the 30 patterns (30, 16) of 4 x 4 whose rows or whose columns are all alike."""
    rows = [torch.tensor(bits).repeat_interleave(4) for bits in itertools.product((0.0, 1.0), repeat=4)]
    columns = [torch.tensor(bits).repeat(4) for bits in itertools.product((0.0, 1.0), repeat=4)]
    return torch.unique(torch.stack(rows + columns), dim=0)


def exact_log_likelihood(rbm: RBM, v: Tensor) -> float:
    exact = rbm.double().requires_grad_(False)
    h = torch.tensor(list(itertools.product((0.0, 1.0), repeat=rbm.n_hidden)), dtype=torch.float64)
    return float(-exact.free_energy(v.double()).mean() - torch.logsumexp(exact.log_marginal_hidden(h), 0))


@pytest.mark.parametrize("persistent,centered", [(False, False), (True, False), (True, True)])
def test_training_raises_the_exact_likelihood_towards_the_optimum(persistent: bool, centered: bool) -> None:
    """30 patterns, each with probability 1/30: no model exceeds -log 30 = -3.401."""
    v = bars_and_stripes()
    assert v.shape == (30, 16)
    rbm = RBM(16, 12, centered=centered, init_scale=0.1)
    rbm.set_base_rates(v.mean(0))
    begin = exact_log_likelihood(RBM(16, 12, init_scale=0.1), v)
    task = ContrastiveDivergence(
        rbm, k=5, persistent=persistent, n_chains=60, learning_rate=0.2, learning_rate_end=0.0, n_steps_total=2000,
        weight_decay=0.0, mini_batch=30, momentum=0.0, final_momentum=0.0,
    )  # fmt: skip
    fit(task, [{"image": v.repeat(100, 1).reshape(-1, 1, 4, 4)}], 20)
    end = exact_log_likelihood(rbm, v)
    assert int(task.n_steps) == 2000
    assert begin < -10.5 and -4.8 < end <= -3.401, (begin, end)


@pytest.mark.parametrize("kind", ["cd", "pcd", "centered", "labels", "sparse gaussian"])
def test_resuming_gives_the_state_of_an_unbroken_run(kind: str, tmp_path: Path) -> None:
    data = batches(5, n_classes=2 if kind == "labels" else 0)

    def task() -> ContrastiveDivergence:
        model = {
            "labels": lambda: ClassRBM(6, 4, 2),
            "centered": lambda: RBM(6, 4, centered=True),
            "sparse gaussian": lambda: RBM(6, 4, visible="gaussian", hidden="noisy_relu"),
        }.get(kind, lambda: RBM(6, 4))()
        return ContrastiveDivergence(
            model, persistent=kind != "cd", n_chains=7, learning_rate=0.1, learning_rate_end=0.0, n_steps_total=40,
            sparsity_target=0.1, sparsity_weight=float("sparse" in kind), seed=1,
            generative_share=0.5 if kind == "labels" else 1.0,
        )  # fmt: skip

    unbroken, first, second = task(), task(), task()
    fit(unbroken, data, 8)
    fit(first, data, 3).save_checkpoint(tmp_path / "part.ckpt")
    fit(second, data, 8, tmp_path / "part.ckpt")
    end = weights(unbroken)
    assert all(torch.equal(value, end[name]) for name, value in weights(second).items())
    assert "chains" in end and int(end["n_steps"]) == 40
    assert kind == "cd" or not torch.equal(end["chains"], weights(first)["chains"])
    torch.load(tmp_path / "part.ckpt", weights_only=True)


class StopAt(ContrastiveDivergence):
    """Asks for a stop at the beginning of a batch."""

    def ask(self, run: Run, step: int) -> StopAt:
        self.run, self.at = [run], step
        return self

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        if int(self.n_steps) == self.at:
            self.run[0].request_stop()


@pytest.mark.parametrize("at", [2, 6, 16])
def test_a_stop_within_an_epoch_changes_no_bit(at: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Through a run's own training, in mini-batches, with persistent chains and momentum."""
    monkeypatch.setenv("WORKBENCH_DATA", str(tmp_path))
    monkeypatch.setattr("workbench.runs.training.STOP_POLL_S", 0.0)
    x = torch.cat([b["image"] for b in batches(4, 8)])
    examples = Examples(x, None, torch.zeros(32, dtype=torch.int64), ["one"])

    def train(run: Run, stop: int) -> ContrastiveDivergence:
        task = StopAt(RBM(6, 4, centered=True), persistent=True, n_chains=5, mini_batch=4, learning_rate=0.1)
        data = ExampleDataModule(examples, None, batch_size=8, seed=0)
        Training(run, [StagePlan("rbm", 3)], "cpu").stage("rbm", task.ask(run, stop), data, n_epochs=3)
        return task

    whole = train(create_run("toy", {}, seed=4, cohort=None), -1)
    run = create_run("toy", {}, seed=4, cohort=None)
    with pytest.raises(Stopped):
        train(run, at)
    run.withdraw_stop()
    end = weights(whole)
    assert int(end["n_steps"]) == 24
    assert all(torch.equal(value, end[name]) for name, value in weights(train(run, -1)).items())


def test_chains_begin_at_the_data_and_go_on() -> None:
    task = ContrastiveDivergence(RBM(6, 4), persistent=True, n_chains=20, learning_rate=0.0)
    data = batches(1)
    fit(task, data)
    v = data[0]["image"].flatten(1)
    begin = v[torch.arange(20) % 8]
    generator = step_generator(0, 0, 0)
    expected = RBM(6, 4).gibbs(begin, 1, generator)
    assert torch.equal(task.chains, expected)


def test_everything_is_logged_for_training_and_validation() -> None:
    data = batches()
    reference = torch.cat([b["image"] for b in data])
    task = ContrastiveDivergence(RBM(6, 4), reference=reference, learning_rate=0.1)
    metrics = fit(task, data, 2, validate=data).callback_metrics
    assert set(metrics) == NAMES | {"val_reconstruction", "val_free_energy", "free_energy_gap"}
    assert all(torch.isfinite(value) for value in metrics.values())
    assert abs(float(metrics["free_energy_gap"])) < 1e-5, "the reference is the held-out data itself"
    v = reference.flatten(1)
    error = (task.model.decode(task.model.encode(v)) - v).square().sum(1).mean()
    assert torch.isclose(metrics["val_reconstruction"], error.detach())
    assert torch.isclose(metrics["val_free_energy"], task.model.free_energy(v).mean().detach())
    assert "reference" not in task.state_dict()


def test_models_with_labels_log_their_class() -> None:
    data = batches(n_classes=3)
    metrics = fit(
        ContrastiveDivergence(ClassRBM(6, 4, 3), generative_share=0.5), data, 2, validate=data
    ).callback_metrics
    classes = {"class_loss", "accuracy"}
    assert set(metrics) == NAMES | classes | {"val_reconstruction", "val_free_energy"} | {f"val_{n}" for n in classes}


def test_the_loss_is_the_difference_of_free_energies() -> None:
    data = batches(1)
    metrics = fit(ContrastiveDivergence(RBM(6, 4), learning_rate=0.1), data).callback_metrics
    rbm, v = RBM(6, 4), data[0]["image"].flatten(1)
    model = rbm.gibbs(v, 1, step_generator(0, 0, 0))
    assert torch.isclose(metrics["loss"], (rbm.free_energy(v).mean() - rbm.free_energy(model).mean()).detach())


def gradient_of(rbm: ClassRBM, target: Tensor, share: float, unlabeled: float = 1.0) -> dict[str, Tensor]:
    v = batches(1, 12)[0]["image"].flatten(1).double()
    data = observe(rbm, v, target, draw())
    return hybrid_gradient(rbm, data, chains_of(rbm, rbm.gibbs(data.joint, 1, draw(1))), share, unlabeled)


def test_hybrid_goes_from_discriminative_to_generative() -> None:
    rbm, target = ClassRBM(6, 4, 3, init_scale=0.5).double(), torch.arange(12) % 3
    v = batches(1, 12)[0]["image"].flatten(1).double()
    discriminative, ends = rbm.discriminative_gradient(v, target), {a: gradient_of(rbm, target, a) for a in (0.0, 1.0)}
    joint = rbm.joint(v, target)
    generative = rbm.gradient(joint, rbm.gibbs(joint, 1, draw(1)))
    for name in generative:
        assert torch.allclose(ends[1.0][name], generative[name], atol=1e-12), name
        label_part = discriminative.get(name, torch.zeros_like(generative[name]))
        assert torch.allclose(ends[0.0].get(name, torch.zeros_like(label_part)), label_part, atol=1e-12), name
        between = gradient_of(rbm, target, 0.25)[name]
        mixed = 0.25 * generative[name] + 0.75 * label_part
        assert torch.allclose(between, mixed, atol=1e-12), name
    nearly = gradient_of(rbm, target, 1e-9)
    assert all(torch.allclose(nearly[name], value, atol=1e-8) for name, value in discriminative.items())


def test_unlabeled_examples_learn_generatively_with_their_own_weight() -> None:
    rbm = ClassRBM(6, 4, 3, init_scale=0.5).double()
    target = torch.arange(12) % 3
    target[6:] = -1
    v = batches(1, 12)[0]["image"].flatten(1).double()
    joint = rbm.complete(v, target, draw())
    model = rbm.gibbs(joint, 1, draw(1))
    parts = [rbm.gradient(joint[rows], model[rows]) for rows in (slice(0, 6), slice(6, 12))]
    labels = rbm.discriminative_gradient(v[:6], target[:6])
    for name, value in gradient_of(rbm, target, 0.2, 0.7).items():
        mine = 0.5 * (0.2 * parts[0][name] + 0.7 * parts[1][name] + 0.8 * labels.get(name, torch.zeros(()).double()))
        assert torch.allclose(value, mine, atol=1e-12), name


@pytest.mark.parametrize("share", [0.0, 0.2, 1.0])
def test_models_with_labels_learn_their_classes(share: float) -> None:
    """Which half of the input is brighter."""
    x = (torch.rand(16, 40, 1, 2, 4, generator=draw()) < torch.tensor([0.2] * 4 + [0.8] * 4).reshape(1, 2, 4)).float()
    flipped = torch.rand(16, 40, generator=draw(1)) < 0.5
    x[flipped] = x[flipped].flip(-2)
    data = [{"image": part, "target": target} for part, target in zip(x, flipped.long(), strict=True)]
    task = ContrastiveDivergence(ClassRBM(8, 10, 2), learning_rate=0.2, generative_share=share)
    accuracy = fit(task, data, 15, validate=data).callback_metrics["val_accuracy"]
    assert float(accuracy) > 0.95


def test_sparsity_holds_the_mean_activation() -> None:
    data, ends = batches(8, 32), {}
    for weight in (0.0, 1.0):
        task = ContrastiveDivergence(
            RBM(6, 5), sparsity_target=0.1, sparsity_weight=weight, learning_rate=0.1, final_momentum=0.5
        )
        ends[weight] = float(fit(task, data, 25).callback_metrics["mean_activation"])
    assert abs(ends[1.0] - 0.1) < 0.03 < abs(ends[0.0] - 0.1), ends


def test_clipping_bounds_the_update_of_each_hidden_unit() -> None:
    data = [{"image": 100 * torch.randn(8, 1, 2, 3, generator=draw())}]
    moved = {}
    for limit in (0.0, 0.01):
        rbm = RBM(6, 4, visible="gaussian")
        begin = rbm.weight.detach().clone()
        fit(ContrastiveDivergence(rbm, max_update_norm=limit, learning_rate=0.1, weight_decay=0), data)
        moved[limit] = (rbm.weight.detach() - begin).norm(dim=1)
    assert (moved[0.01] <= 0.01 + 1e-6).all() and (moved[0.0] > 0.1).all()
    assert torch.allclose(moved[0.01], torch.full((4,), 0.01), atol=1e-6)


def test_offsets_of_a_centered_model_follow_the_data() -> None:
    data = batches(8, 32)
    rbm = RBM(6, 5, centered=True)
    fit(ContrastiveDivergence(rbm, learning_rate=0.0, centering_rate=0.2), data, 5)
    assert torch.allclose(rbm.visible_offset, torch.cat([b["image"] for b in data]).flatten(1).mean(0), atol=0.1)
    assert not torch.equal(rbm.hidden_offset, torch.full((5,), 0.5))


def test_layers_below_make_the_visible_values() -> None:
    below, data = RBM(6, 5, seed=4, init_scale=1.0), batches(1)
    task = ContrastiveDivergence(RBM(5, 3), below=lambda x, generator: below.sample_hidden(x.flatten(1), generator))
    fit(task, data)
    generator, by_hand = step_generator(0, 0, 0), RBM(5, 3)
    v = below.sample_hidden(data[0]["image"].flatten(1), generator).detach()
    expected = by_hand.gradient(v, by_hand.gibbs(v, 1, generator))["hidden_bias"]
    assert torch.allclose(task.model.hidden_bias, -0.05 * expected, atol=1e-7)


def test_the_rate_falls_on_schedule() -> None:
    task = ContrastiveDivergence(RBM(6, 4), learning_rate=1.0, learning_rate_end=0.0, n_steps_total=31)
    rates = []
    for step in (0, 15, 30, 99):
        task._step = step
        rates.append(task._learning_rate())
    assert rates == [1.0, 0.5, 0.0, 0.0]


def test_dead_units_are_counted() -> None:
    rbm = RBM(6, 4)
    with torch.no_grad():
        rbm.hidden_bias[:3] = -30
    metrics = fit(ContrastiveDivergence(rbm, learning_rate=0.0), batches()).callback_metrics
    assert float(metrics["dead_units"]) == 0.75


@pytest.mark.parametrize(
    "settings,sentence",
    [
        ({"k": 0}, "k is at least 1; got 0"),
        ({"generative_share": 0.5}, "needs a model with labels"),
        ({"generative_share": 2.0}, "share of 0 to 1; got 2.0"),
        ({"sparsity_weight": 1.0}, "sparsity_target is above 0"),
        ({"learning_rate_end": 0.0}, "needs n_steps_total"),
    ],
)
def test_settings_that_make_no_sense_are_explained(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        ContrastiveDivergence(RBM(6, 4), **settings)


def test_binary_units_explain_values_out_of_range() -> None:
    data = [{"image": 3 * torch.randn(8, 1, 2, 3, generator=draw())}]
    with pytest.raises(SettingsError, match=r"values in 0\.\.1, but these hold -\d.*choose gaussian"):
        fit(ContrastiveDivergence(RBM(6, 4)), data)


@pytest.mark.parametrize(("n", "batch_size"), [(101, 100), (210, 100), (1437, 20), (1000, 10), (97, 10)])
def test_a_batch_in_parts_is_cut_into_as_many_updates_as_were_planned(n: int, batch_size: int) -> None:
    """The learning rate falls to 0 over the planned updates, so their number has to be right."""
    for n_parts in (1, 3, 20):
        examples = Examples(torch.zeros(n, 2), None, torch.zeros(n, dtype=torch.int64), ["a"])
        data = ExampleDataModule(examples, None, batch_size=batch_size, seed=0, n_parts=n_parts)
        sizes = [len(data.train_batch(0, i)["image"]) for i in range(data.n_batches)]
        assert sum(-(-size // batch_size) for size in sizes) == data.n_updates


def test_large_and_convolutional_machines_are_handed_one_update_at_a_time() -> None:
    small, large, convolutional = RBM(64, 16), RBM(4096, 4096), ConvRBM((1, 8, 8), 2, 3)
    assert parts_at_once(small, 20) > 1 == parts_at_once(large, 100) == parts_at_once(convolutional, 20)
    assert parts_at_once(RBM(784, 500), 100, 1) > parts_at_once(RBM(784, 500), 100, 100)


def test_an_absolute_penalty_adds_the_sign_of_each_weight_and_nothing_to_biases() -> None:
    batch = {"image": torch.rand(10, 6, generator=step_generator(1))}
    plain, penalized = RBM(6, 4, seed=2), RBM(6, 4, seed=2)
    before = plain.weight.detach().clone()
    for rbm, strength in ((plain, 0.0), (penalized, 0.3)):
        task = ContrastiveDivergence(rbm, learning_rate=0.1, momentum=0.0, weight_decay=0.0, weight_l1=strength)
        fit(task, [batch])
    torch.testing.assert_close(penalized.weight, plain.weight - 0.1 * 0.3 * before.sign())
    torch.testing.assert_close(penalized.hidden_bias, plain.hidden_bias)
