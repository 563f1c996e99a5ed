"""Training and the patch loader together: a stop at any batch, with dropout and augmentation, changes no bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from workbench.imaging.subject import Subject
from workbench.patches.datamodule import PatchDataModule
from workbench.patches.prepared import Prepared
from workbench.patches.store import PatchStore
from workbench.runs.run import Run, create_run
from workbench.runs.training import Stopped, Training

N_BATCHES, N_EPOCHS = 4, 2


class Patchwise(lightning.LightningModule):
    def __init__(self, stop_at: int | None = None, run: Run | None = None) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.Flatten(), nn.Linear(27, 5), nn.Dropout(0.3), nn.Linear(5, 27))
        self.stop_at, self.stopped_run = stop_at, [run]

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        if self.global_step == self.stop_at and self.stopped_run[0] is not None:
            self.stopped_run[0].request_stop()
        loss = (self.network(batch["image"]) - batch["image"].flatten(1)).square().mean()
        self.log("mse", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        self.log("val_mse", self.network(batch["image"]).square().mean())

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), lr=0.01)


@pytest.fixture
def patches(tmp_path: Path) -> PatchDataModule:
    def prepare(subject: Subject) -> Prepared:
        image = np.random.default_rng(len(subject.name)).normal(size=(1, 9, 8, 7)).astype(np.float32)
        return Prepared(image, mask=None, labels=None, weights=None, affine=np.eye(4))

    store = PatchStore.build([Subject("a"), Subject("bb")], prepare, tmp_path / "store", key="k", margin=6)
    return PatchDataModule(store, store, patch_size=(3, 3, 3), batch_size=5, n_patches=18, seed=3, augment=True)


def train(run: Run, patches: PatchDataModule, stop_at: int | None = None) -> dict[str, Tensor]:
    training = Training(run, ["only"], "cpu")
    return training.stage("only", Patchwise(stop_at, run), patches, n_epochs=N_EPOCHS).state_dict()


@pytest.mark.parametrize("step", range(N_BATCHES * N_EPOCHS))
def test_a_stop_changes_no_bit(patches: PatchDataModule, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    monkeypatch.setattr("workbench.runs.training.STOP_POLL_S", 0.0)
    whole, run = (create_run("toy", {}, seed=1, cohort=None) for _ in range(2))
    expected = train(whole, patches)
    with pytest.raises(Stopped):
        train(run, patches, stop_at=step)
    run.withdraw_stop()
    resumed = train(run, patches)
    assert all(torch.equal(resumed[key], expected[key]) for key in expected)
    columns = ["epoch", "step", "name", "value"]
    ours, theirs = (r.metrics().query("name == 'val_mse'")[columns].values.tolist() for r in (run, whole))
    cut = step // N_BATCHES + 1 if (step + 1) % N_BATCHES == 0 else None  # a stop cuts the validation that follows
    assert ours == [row for row in theirs if row[0] != cut]
