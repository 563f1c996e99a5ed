from __future__ import annotations

import numpy as np
import pytest
import torch

from workbench.errors import SettingsError
from workbench.patches.augmentation import Augmentation
from workbench.patches.datamodule import PatchDataModule


def same(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def module(store, **changes) -> PatchDataModule:
    settings = {"patch_size": (3, 3, 3), "batch_size": 4, "n_patches": 10, "seed": 5} | changes
    return PatchDataModule(store, store, **settings)


@pytest.mark.parametrize("augment", [False, True])
def test_a_batch_is_a_function_of_seed_epoch_and_index(make_store, augment: bool) -> None:
    a, b = module(make_store(), augment=augment), module(make_store(), augment=augment)
    later = b.train_batch(3, 1)
    assert same(a.train_batch(3, 1), later)
    assert not same(a.train_batch(2, 1), later)
    assert not same(a.train_batch(3, 0), later)
    assert not same(module(make_store(), seed=6, augment=augment).train_batch(3, 1), later)


def test_an_epoch_holds_exactly_the_patches_asked_for(make_store) -> None:
    sizes = [len(b["image"]) for b in module(make_store()).train_dataloader()]
    assert sizes == [4, 4, 2]


def test_without_a_trainer_epochs_are_counted(make_store) -> None:
    data = module(make_store())
    loader = data.train_dataloader()
    list(loader)
    assert same(next(iter(loader)), data.train_batch(1, 0))


def test_validation_is_fixed_and_apart_from_training(make_store) -> None:
    data = module(make_store(), n_patches=40)
    first, second = (list(data.val_dataloader()) for _ in range(2))
    assert [len(b["image"]) for b in first] == [4, 4]
    assert all(same(a, b) for a, b in zip(first, second, strict=True))
    assert not same(first[0], data.train_batch(0, 0))


def test_no_validation_gives_no_loader(make_store) -> None:
    store = make_store()
    assert PatchDataModule(store, patch_size=(3, 3, 3), batch_size=1, n_patches=1).val_dataloader() == []


def test_batch_says_where_patches_come_from(make_store) -> None:
    batch = module(make_store(), sampler="balanced").train_batch(0, 0)
    assert batch["image"].dtype == torch.float32
    expected = 1000 * (batch["subject"] + 1) + batch["center"] @ torch.tensor([100, 10, 1])
    assert torch.equal(batch["image"][:, 0, 1, 1, 1], expected.float())
    x = batch["center"][:, 0]
    assert torch.equal(batch["label"], (x == 1) + 2 * (x == 2))


def test_two_sizes_give_planes_and_three_planes_give_channels(make_store) -> None:
    assert module(make_store(), patch_size=(5, 3)).train_batch(0, 0)["image"].shape == (4, 1, 5, 3)
    assert module(make_store(), view="three_planes").train_batch(0, 0)["image"].shape == (4, 3, 3, 3)


def test_augmented_patches_have_their_size(make_store) -> None:
    data = module(make_store(), augment=Augmentation(rotation=20))
    assert data.train_batch(0, 0)["image"].shape == (4, 1, 3, 3, 3)
    planes = module(make_store(), patch_size=(5, 3), augment=True)
    assert planes.train_batch(0, 0)["image"].shape == (4, 1, 5, 3)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"batch_size": 0}, "batch size must be at least 1; got 0"),
        ({"n_patches": 0}, "number of patches must be at least 1"),
        ({"patch_size": (3, 0, 3)}, "patch size must be at least 1"),
        ({"sampler": "everywhere"}, "must be one of uniform, inside, balanced, weighted; got 'everywhere'"),
        ({"view": "three_planes", "patch_size": (3, 3, 5)}, "same size on X, Y and Z"),
        ({"view": "three_planes", "augment": True}, "cannot be augmented"),
    ],
)
def test_impossible_settings_are_sentences(make_store, changes: dict, sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        module(make_store(), **changes)


def test_batches_can_be_trained_on_in_place(make_store) -> None:
    batch = module(make_store()).train_batch(0, 0)["image"]
    batch += 1  # a view of the read-only file would refuse
    assert np.isfinite(batch.numpy()).all()
