"""The wake-sleep task: one step by hand, its draws, chains, schedule and log, and that a resume is exact."""

from __future__ import annotations

from pathlib import Path

import lightning
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from workbench.errors import SettingsError
from workbench.models.belief_likelihood import log_z_by_enumeration
from workbench.models.class_rbm import ClassRBM
from workbench.models.dbn import DBN, Below
from workbench.models.layers import step_generator
from workbench.models.rbm import RBM
from workbench.models.up_down import UpDown
from workbench.tasks.boltzmann import ContrastiveDivergence
from workbench.tasks.wake_sleep import WakeSleep

NAMES = {"loss", "wake", "sleep", "contrast", "reconstruction"}


class Patterns(Dataset[dict[str, Tensor]]):
    """Noisy copies of four patterns of (1, 3, 3) pixels with their class, in a fixed order."""

    def __init__(self, n: int = 32, scale: float = 1.0) -> None:
        generator = torch.Generator().manual_seed(0)
        self.targets = torch.arange(n) % 4
        patterns = (torch.rand(4, 1, 3, 3, generator=generator) < 0.5).float()
        flips = (torch.rand(n, 1, 3, 3, generator=generator) < 0.1).float()
        self.images = scale * (patterns[self.targets] - flips).abs()

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"image": self.images[index], "target": self.targets[index]}


def dbn(n_classes: int = 0, seed: int = 0, **kinds: object) -> DBN:
    first = RBM(9, 6, seed=seed, init_scale=0.3, **kinds)  # type: ignore[arg-type]
    top = ClassRBM(6, 4, n_classes, seed=seed) if n_classes else RBM(6, 4, seed=seed + 1, init_scale=0.3)
    return DBN([first, top], (1, 3, 3))


def small(n_classes: int = 0, seed: int = 0) -> UpDown:
    return UpDown(dbn(n_classes, seed))


def fit(
    task: lightning.LightningModule,
    n_epochs: int = 1,
    checkpoint: Path | None = None,
    data: Dataset[dict[str, Tensor]] | None = None,
    validate: bool = False,
) -> lightning.Trainer:
    trainer = lightning.Trainer(
        max_epochs=n_epochs, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        enable_checkpointing=False, num_sanity_val_steps=0,
    )  # fmt: skip
    loader = DataLoader(data or Patterns(), batch_size=8)
    trainer.fit(task, loader, loader if validate else None, ckpt_path=None if checkpoint is None else str(checkpoint))
    return trainer


def state(module: torch.nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def test_a_step_goes_against_the_gradient_of_its_draws() -> None:
    net, batch = small(), Patterns(8).images
    before = state(net)
    found = net.wake_sleep(batch, 2, step_generator(5, 3, 0))
    fit(WakeSleep(net, k=2, learning_rate=0.1, weight_decay=0.5, seed=5, stage=3), data=Patterns(8))
    for name, parameter in net.named_parameters():
        decay = 0.5 * before[name] if before[name].ndim == 2 else 0
        assert torch.allclose(parameter, before[name] - 0.1 * (found.gradient[name] + decay), atol=1e-6), name


def test_everything_is_logged_for_training_and_validation() -> None:
    metrics = fit(WakeSleep(small()), validate=True).callback_metrics
    assert set(metrics) == NAMES | {f"val_{name}" for name in NAMES}
    assert all(torch.isfinite(value) for value in metrics.values())
    assert torch.isclose(metrics["loss"], metrics["wake"] + metrics["sleep"] + metrics["contrast"], atol=1e-5)


def test_wake_sleep_improves_the_likelihood_of_its_data() -> None:
    net, images = small(), Patterns().images
    before = net.exact_log_likelihood(images).mean()
    fit(WakeSleep(net, k=1, learning_rate=0.05), 60)
    assert net.exact_log_likelihood(images).mean() > before + 0.5


def test_resuming_gives_the_weights_of_an_unbroken_run(tmp_path: Path) -> None:
    def task() -> WakeSleep:
        return WakeSleep(small(), k=(1, 3), n_steps_total=16, n_chains=5, learning_rate=0.05, seed=1)

    unbroken, first, second = task(), task(), task()
    fit(unbroken, 4)
    fit(first, 2).save_checkpoint(tmp_path / "half.ckpt")
    saved = torch.load(tmp_path / "half.ckpt", weights_only=True)
    assert saved["hyper_parameters"]["k"] == [1, 3] and int(saved["state_dict"]["n_steps"]) == 8
    fit(second, 4, tmp_path / "half.ckpt")
    assert all(torch.equal(a, b) for a, b in zip(state(unbroken).values(), state(second).values(), strict=True))
    assert not torch.equal(unbroken.chains, first.chains)


def test_numbers_of_gibbs_steps_share_the_training() -> None:
    task = WakeSleep(small(), k=(3, 6, 10), n_steps_total=9)
    assert [task.k_at(step) for step in range(11)] == [3, 3, 3, 6, 6, 6, 10, 10, 10, 10, 10]
    assert WakeSleep(small(), k=4).k_at(99) == 4


def test_persistent_chains_are_kept_between_steps() -> None:
    task = WakeSleep(small(), n_chains=5)
    fit(task)
    assert task.chains.shape == (5, 6) and set(task.chains.unique().tolist()) == {0.0, 1.0}
    assert WakeSleep(small()).chains.shape == (0, 6)


@pytest.mark.parametrize("n_chains", [0, 5])
def test_classes_at_the_top_are_learned(n_chains: int) -> None:
    net, data = UpDown(greedy(n_classes=4)), Patterns()

    def score() -> Tensor:
        return net.class_probabilities(data.images)[range(32), data.targets].log().mean()

    before = score()
    fit(WakeSleep(net, learning_rate=0.1, n_chains=n_chains), 150)
    assert score() > before + 0.2


def greedy(propagate: str = "mean", n_classes: int = 0, n_epochs: int = 30) -> DBN:
    """The review's steps 1 to 4, layer by layer with the task of single machines."""
    net, images = dbn(n_classes), Patterns().images
    for index in range(2):
        net.set_base_rates(index, images)
        below = Below(net, index, propagate)  # type: ignore[arg-type]
        fit(ContrastiveDivergence(net.layer(index), learning_rate=0.1, below=below, stage=index), n_epochs)
    return net


def test_greedy_training_by_means_and_by_samples() -> None:
    images, results = Patterns().images, {}
    for propagate in ("mean", "sample"):
        net = greedy(propagate)
        results[propagate] = net.top.weight.detach()
        base = net.exact_log_likelihood(images).mean()
        assert base > dbn().exact_log_likelihood(images).mean() + 0.5
        assert (net.bound(images, log_z_by_enumeration(net.top), torch.Generator(), 20).mean() < base + 0.1).all()
    assert not torch.allclose(results["mean"], results["sample"], atol=1e-3)


def test_settings_that_make_no_sense_are_explained() -> None:
    with pytest.raises(ValueError, match=r"each at least 1; got \(0, 2\)"):
        WakeSleep(small(), k=(0, 2))
    with pytest.raises(ValueError, match="give n_steps_total"):
        WakeSleep(small(), k=(1, 2))
    with pytest.raises(SettingsError, match=r"values in 0\.\.1, but these hold 0 to 2"):
        fit(WakeSleep(small()), data=Patterns(scale=2.0))


def test_gaussian_images_are_trained_in_their_own_units() -> None:
    net, data = UpDown(dbn(visible="gaussian")), Patterns(scale=3.0)
    before = float(fit(WakeSleep(net, learning_rate=0.02), data=data).callback_metrics["wake"])
    assert float(fit(WakeSleep(net, learning_rate=0.02), 30, data=data).callback_metrics["wake"]) < before - 1
