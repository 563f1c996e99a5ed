"""Projected gradient under Lightning: what is logged, and that a run which was stopped ends as if it had not been."""

from __future__ import annotations

from pathlib import Path

import lightning
import pytest
import torch

from workbench.models.isa import ISA
from workbench.models.stacked_isa import descend
from workbench.patches.examples import ExampleDataModule, Examples
from workbench.tasks.subspaces import AxesLearning, SubspaceLearning


def rows(n: int = 200) -> torch.Tensor:
    z = torch.randn(n, 8, generator=torch.Generator().manual_seed(0)) ** 3
    return (z - z.mean(0)) / z.std(0)


def fit(
    task: lightning.LightningModule, n_epochs: int, batch_size: int = 200, checkpoint: Path | None = None
) -> lightning.Trainer:
    trainer = lightning.Trainer(
        max_epochs=n_epochs, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        enable_checkpointing=False,
    )  # fmt: skip
    examples = Examples(rows(), None, torch.zeros(200, dtype=torch.int64), ["one"])
    data = ExampleDataModule(examples, examples.take(list(range(50))), batch_size=batch_size, seed=0)
    trainer.fit(task, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    return trainer


@pytest.mark.parametrize("batch_size", [200, 64])
def test_a_resumed_run_is_bitwise_the_undisturbed_one(batch_size: int, tmp_path: Path) -> None:
    whole, half, rest = (SubspaceLearning(ISA(8, 8, seed=1)) for _ in range(3))
    fit(whole, 30, batch_size)
    fit(half, 13, batch_size).save_checkpoint(tmp_path / "half.ckpt")  # step 25 puts filters together anew
    fit(rest, 30, batch_size, tmp_path / "half.ckpt")
    for name, value in whole.state_dict().items():
        assert bool((value == rest.state_dict()[name]).all()), name
    assert int(rest.n_steps) == 30 * -(-200 // batch_size)
    assert not torch.equal(half.layer.weight, whole.layer.weight)


def test_a_batch_of_all_rows_is_the_plain_descent() -> None:
    task, layer, z = SubspaceLearning(ISA(8, 8, seed=2)), ISA(8, 8, seed=2), rows()
    trainer = fit(task, 10)
    for step in range(10):
        before, after = descend(layer, z, step)
    torch.testing.assert_close(task.layer.weight, layer.weight, atol=1e-4, rtol=1e-4)  # rows come in another order
    logged = trainer.callback_metrics
    assert float(logged["loss"]) == pytest.approx(after, rel=1e-4)
    assert float(logged["fall"]) == pytest.approx(before - after, abs=1e-5) and float(logged["orthonormality"]) < 1e-5
    assert float(logged["val_loss"]) == pytest.approx(layer.objective(z[:50]), rel=1e-3)


def test_axes_are_learnt_once_and_the_lost_share_is_the_loss() -> None:
    calls: list[int] = []

    def learn() -> float:
        calls.append(1)
        return 0.75

    trainer = fit(AxesLearning(learn, torch.nn.Module()), 1)
    assert len(calls) == 1 and float(trainer.callback_metrics["loss"]) == pytest.approx(0.25)
