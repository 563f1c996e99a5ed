"""Pretraining and fine-tuning: the loss by hand, what learns, what is logged, and that a resume is exact."""

from __future__ import annotations

from pathlib import Path

import lightning
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from workbench.models.conv_autoencoder import ConvolutionalAutoEncoder, ConvStageSettings
from workbench.models.layers import Corruption, KLSparsity, kl_divergence, step_generator
from workbench.models.stack import Stack
from workbench.models.stacked_autoencoder import StackedAutoEncoder
from workbench.tasks.autoencoding import FineTuning, LayerPretraining

NAMES = {"loss", "reconstruction", "mse", "sparsity", "mean_activation", "dead_units"}


class Patches(Dataset[dict[str, torch.Tensor]]):
    """Random patches in the order they were drawn."""

    def __init__(self, shape: tuple[int, ...], n: int = 32) -> None:
        self.images = torch.rand(n, *shape, generator=torch.Generator().manual_seed(0))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {"image": self.images[index]}


def fit(
    task: lightning.LightningModule, n_epochs: int = 1, checkpoint: Path | None = None, validate: bool = False
) -> lightning.Trainer:
    trainer = lightning.Trainer(
        max_epochs=n_epochs, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        enable_checkpointing=False,
    )  # fmt: skip
    loader = DataLoader(Patches(task.stack.patch_shape), batch_size=8)  # type: ignore[union-attr,arg-type]
    trainer.fit(task, loader, loader if validate else None, ckpt_path=None if checkpoint is None else str(checkpoint))
    return trainer


def small(seed: int = 0) -> StackedAutoEncoder:
    return StackedAutoEncoder((1, 4, 4), (6, 3), seed=seed)


def small_convolutional() -> ConvolutionalAutoEncoder:
    return ConvolutionalAutoEncoder((1, 9, 9), (ConvStageSettings(4, 5, 2), ConvStageSettings(3, 3, 1)))


def parameters(stack: Stack) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in stack.named_parameters()}


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_loss_is_summed_error_plus_beta_kl_plus_decay() -> None:
    stack, x = small(), torch.rand(8, 1, 4, 4, generator=draw())
    task = LayerPretraining(stack, 0, rho=0.1, beta=0.5, weight_decay=0.01, decay=0.0)
    losses = task.losses(x, draw(), Corruption())
    layer, v = stack.layer(0), x.flatten(1)
    h = torch.sigmoid(v @ layer.weight.T + layer.hidden_bias)
    z = h @ layer.weight + layer.visible_bias
    error, kl = ((z - v) ** 2).sum() / 8, kl_divergence(0.1, h.mean(0)).sum()
    assert torch.isclose(losses["loss"], error + 0.5 * kl + 0.01 * (layer.weight**2).sum())
    assert torch.isclose(losses["reconstruction"], error) and torch.isclose(losses["mse"], ((z - v) ** 2).mean())
    assert torch.isclose(losses["sparsity"], kl) and torch.isclose(losses["mean_activation"], h.mean())


def test_contractive_penalty_is_added_with_its_weight() -> None:
    stack, x = small(), torch.rand(8, 1, 4, 4, generator=draw())
    plain, contractive = (
        LayerPretraining(stack, 0, beta=0, contraction=c).losses(x, draw(), Corruption())["loss"] for c in (0.0, 2.0)
    )
    assert torch.isclose(contractive - plain, 2 * stack.layer(0).contraction(stack.encode(x, 1)))


def test_corruption_destroys_the_layers_own_input_and_the_target_stays_clean() -> None:
    """With everything masked, h is sigmoid(bias) whatever the patch, while the layer below still saw the patch."""
    stack, x = small(), torch.rand(8, 1, 4, 4, generator=draw())
    losses = LayerPretraining(stack, 1, beta=0).losses(x, draw(), Corruption("masking", 1.0))
    layer = stack.layer(1)
    blind = layer.decode(torch.sigmoid(layer.hidden_bias).expand(8, -1))
    target = stack.encode(x, 1)
    assert torch.isclose(losses["reconstruction"], ((blind - target) ** 2).sum(1).mean())


def test_fine_tuning_loss_is_the_error_of_the_patch() -> None:
    stack = StackedAutoEncoder((1, 4, 4), (6, 3), normalization="center", tied=False)
    x = torch.rand(8, 1, 4, 4, generator=draw())
    losses = FineTuning(stack, weight_decay=0.1).losses(x, draw(), Corruption())
    error = (stack(x) - stack.normalize(x)).square().sum((1, 2, 3)).mean()
    norms = sum((w**2).sum() for name, w in stack.named_parameters() if name.endswith("weight"))
    assert torch.isclose(losses["loss"], error + 0.1 * norms)


@pytest.mark.parametrize("make", [small, small_convolutional])
@pytest.mark.parametrize("index", [0, 1])
def test_pretraining_changes_its_layer_only(make: type, index: int) -> None:
    stack = make()
    before = parameters(stack)
    fit(LayerPretraining(stack, index))
    for name, value in parameters(stack).items():
        assert torch.equal(value, before[name]) != name.startswith(f"layers.{index}."), name


@pytest.mark.parametrize("make", [small, small_convolutional])
def test_fine_tuning_changes_every_layer_and_lowers_the_error(make: type) -> None:
    stack = make()
    before = parameters(stack)
    stack.requires_grad_(False)
    trainer = fit(FineTuning(stack, learning_rate=1e-2), 1)
    first = float(trainer.callback_metrics["mse"])
    assert not any(torch.equal(value, before[name]) for name, value in parameters(stack).items())
    assert float(fit(FineTuning(stack, learning_rate=1e-2), 5).callback_metrics["mse"]) < first


@pytest.mark.parametrize("make", [small, small_convolutional])
def test_everything_is_logged_for_training_and_validation(make: type) -> None:
    for task in (LayerPretraining(make(), 0), FineTuning(make())):
        metrics = fit(task, validate=True).callback_metrics
        assert set(metrics) == NAMES | {f"val_{name}" for name in NAMES}
        assert all(torch.isfinite(value) for value in metrics.values())


def test_dead_units_are_counted() -> None:
    stack = small()
    with torch.no_grad():
        stack.layer(0).hidden_bias[:2] = -30
    metrics = fit(LayerPretraining(stack, 0, beta=0)).callback_metrics
    assert torch.isclose(metrics["dead_units"], torch.tensor(2 / 6))


@pytest.mark.parametrize("hidden,visible", [("sigmoid", "linear"), ("tanh", "linear"), ("sigmoid", "sigmoid")])
def test_mean_activation_ends_near_rho(hidden: str, visible: str) -> None:
    stack = StackedAutoEncoder((1, 4, 4), (12,), hidden=hidden, visible=visible)  # type: ignore[arg-type]
    task = LayerPretraining(stack, 0, rho=0.1, beta=10.0, learning_rate=0.02)
    mean = float(fit(task, 60).callback_metrics["mean_activation"])
    assert abs(mean / 0.1 - 1) < 0.2, mean


def test_checkpoint_holds_plain_types_and_loads_without_unpickling(tmp_path: Path) -> None:
    stack = small()
    task = LayerPretraining(stack, 1, corruption=Corruption("masking", 0.25), seed=3)
    fit(task).save_checkpoint(tmp_path / "stage.ckpt")
    saved = torch.load(tmp_path / "stage.ckpt", weights_only=True)
    settings = saved["hyper_parameters"]
    assert settings["corruption"] == "masking" and settings["amount"] == 0.25 and settings["seed"] == 3
    assert all(type(value) in (int, float, str) for value in settings.values())
    again = LayerPretraining(small(seed=9), 1)
    again.load_state_dict(saved["state_dict"])
    assert all(torch.equal(a, b) for a, b in zip(again.stack.parameters(), stack.parameters(), strict=True))
    assert torch.equal(again.sparsity.running, task.sparsity.running)


@pytest.mark.parametrize("make", [small, small_convolutional])
def test_resuming_gives_the_weights_of_an_unbroken_run(make: type, tmp_path: Path) -> None:
    def task() -> LayerPretraining:
        return LayerPretraining(make(), 0, corruption=Corruption("gaussian", 0.2), seed=1)

    unbroken, first, second = task(), task(), task()
    fit(unbroken, 4)
    fit(first, 2).save_checkpoint(tmp_path / "half.ckpt")
    fit(second, 4, tmp_path / "half.ckpt")
    assert all(
        torch.equal(a, b) for a, b in zip(unbroken.state_dict().values(), second.state_dict().values(), strict=True)
    )


def test_chance_depends_on_seed_stage_and_step_alone() -> None:
    stack, x = small(), torch.rand(8, 1, 4, 4, generator=draw())
    noise = Corruption("gaussian", 0.5)

    def loss(seed: int, index: int, step: int) -> float:
        task = LayerPretraining(stack, 0, corruption=noise, beta=0)
        return float(task.losses(x, step_generator(seed, index, step), noise)["loss"].detach())

    assert loss(0, 0, 5) == loss(0, 0, 5)
    assert len({loss(0, 0, 5), loss(1, 0, 5), loss(0, 1, 5), loss(0, 0, 6)}) == 4


def test_validation_is_clean_and_leaves_the_running_mean() -> None:
    stack = small()
    task = LayerPretraining(stack, 0, corruption=Corruption("masking", 1.0), beta=0, learning_rate=0.0)
    metrics = fit(task, validate=True).callback_metrics
    images = Patches((1, 4, 4)).images.flatten(1)
    clean = (stack.layer(0)(images) - images).square().mean()
    assert torch.isclose(metrics["val_mse"], clean.detach())
    assert metrics["mse"] > metrics["val_mse"]
    assert int(task.sparsity.n_batches) == 4


def test_sigmoid_visible_units_explain_inputs_out_of_range() -> None:
    stack = StackedAutoEncoder((1, 4, 4), (3,), visible="sigmoid")
    x = 3 * torch.rand(8, 1, 4, 4, generator=draw()) - 1
    for task in (LayerPretraining(stack, 0), FineTuning(stack)):
        with pytest.raises(ValueError, match=r"values in \[0, 1\], but these patches hold -\d.*rescale the images"):
            task.losses(x, draw(), Corruption())


def test_settings_that_make_no_sense_are_explained() -> None:
    with pytest.raises(ValueError, match="2 layers, counted from 0; there is no layer 2"):
        LayerPretraining(small(), 2)
    with pytest.raises(ValueError, match="set beta to 0"):
        LayerPretraining(StackedAutoEncoder((4,), (2,), hidden="linear"), 0, beta=0.1)
    with pytest.raises(LookupError, match="'rmsprop'; known are adam, sgd"):
        LayerPretraining(small(), 0, optimizer="rmsprop").configure_optimizers()  # type: ignore[arg-type]


def test_linear_units_train_without_sparsity() -> None:
    stack = StackedAutoEncoder((1, 4, 4), (3,), hidden="linear")
    metrics = fit(LayerPretraining(stack, 0, beta=0, optimizer="sgd")).callback_metrics
    assert metrics["sparsity"] == 0 and metrics["dead_units"] == 0
    assert isinstance(LayerPretraining(stack, 0, beta=0).sparsity, KLSparsity)
