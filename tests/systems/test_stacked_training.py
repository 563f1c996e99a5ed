"""A stack trained in stages: a run that was stopped in the middle ends with the weights of one that was not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from workbench.imaging.subject import Subject
from workbench.models.layers import Corruption
from workbench.models.stacked_autoencoder import StackedAutoEncoder
from workbench.patches.prepared import Prepared
from workbench.patches.store import PatchStore
from workbench.runs.run import Run, Stopped, create_run
from workbench.runs.training import Training
from workbench.systems.stacked_training import REFINE, ClassedPatches, StackRecipe

RECIPE = StackRecipe(0.15, 0.05, 1e-4, Corruption("masking", 0.1), 5e-3, 1, 1, 2, seed=4)


def striped(subject: Subject) -> Prepared:
    """Give noise that is brighter where the class is 1."""
    rng = np.random.default_rng(int(subject.name))
    labels = (np.indices((12, 12, 8))[0] // 3) % 2
    image = rng.normal(size=(1, 12, 12, 8)) + 2.0 * labels
    weights = np.ones(labels.shape)
    return Prepared(image.astype(np.float32), np.ones(labels.shape, bool), labels, weights)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> PatchStore:
    folder = tmp_path_factory.mktemp("store")
    subjects = [Subject(str(i), {}, folder=folder) for i in range(3)]
    return PatchStore.build(subjects, striped, folder / "patches", key="striped", margin=2)


def trained(run: Run, store: PatchStore, *, stop_in: str = "") -> tuple[StackedAutoEncoder, StackedAutoEncoder]:
    """Train both stages; ask for a stop at the third batch of a stage."""
    n_layers = 2
    training = Training(run, RECIPE.plans(n_layers, 6))
    stack = StackedAutoEncoder((1, 5, 5, 3), (16, 8), normalization="center", seed=4)
    calls = {"n": 0}

    def batches(stage: int, sampler: str = "weighted") -> ClassedPatches:
        made = ClassedPatches(
            store, patch_size=(5, 5, 3), batch_size=32, n_patches=192, sampler=sampler, seed=stage  # type: ignore[arg-type]
        )  # fmt: skip
        if stop_in and stage == n_layers + (stop_in == REFINE):
            draw = made.train_batch

            def counted(epoch: int, index: int) -> dict[str, torch.Tensor]:
                calls["n"] += 1
                if calls["n"] == 3:
                    run.request_stop()
                return draw(epoch, index)

            made.train_batch = counted  # type: ignore[method-assign]
        return made

    RECIPE.pretrain(training, stack, batches)
    refined = RECIPE.refine(training, stack, 2, lambda stage: batches(stage, "balanced"))
    return stack, refined


@pytest.mark.parametrize("stage", ["fine-tune", REFINE])
def test_a_stopped_run_ends_with_the_same_weights(
    stage: str, tmp_path: Path, store: PatchStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.runs.training.STOP_POLL_S", 0.0)
    whole = create_run("guo2016", {}, seed=4, cohort=None, root=tmp_path / "whole")
    wanted = trained(whole, store)
    cut = create_run("guo2016", {}, seed=4, cohort=None, root=tmp_path / "cut")
    with pytest.raises(Stopped):
        trained(cut, store, stop_in=stage)
    cut.withdraw_stop()
    found = trained(cut, store)
    for one, other in zip(wanted, found, strict=True):
        for key, value in one.state_dict().items():
            assert torch.equal(value, other.state_dict()[key]), key


def test_refinement_learns_the_classes_and_leaves_the_stack(tmp_path: Path, store: PatchStore) -> None:
    run = create_run("guo2016", {}, seed=4, cohort=None, root=tmp_path)
    stack, refined = trained(run, store)
    assert [p.name for p in RECIPE.plans(2, 6)] == ["pretrain 1", "pretrain 2", "fine-tune", REFINE]
    kept = torch.load(run.folder / "checkpoints" / "fine-tune.ckpt", weights_only=True)["state_dict"]
    for key, value in stack.state_dict().items():
        assert torch.equal(value, kept[f"stack.{key}"])
    curves = run.metrics()
    accuracy = curves[(curves.stage == REFINE) & (curves.name == "accuracy")].value if "name" in curves else []
    assert len(accuracy)
    drawn = store.draw(400, (5, 5, 3), np.random.default_rng(9), "inside")
    labels = store.labels_at(drawn.subject_index, drawn.centers)
    with torch.no_grad():
        before, after = (s.eval().encode(torch.from_numpy(drawn.patches)).numpy() for s in (stack, refined))

    def told_apart(codes: np.ndarray) -> float:
        gap = codes[labels == 1].mean(0) - codes[labels == 0].mean(0)
        return float(np.abs(gap / codes.std(0)).max())

    assert told_apart(after) > told_apart(before)
