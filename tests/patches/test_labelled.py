"""Labels lie where the voxels are that they label; batches repeat themselves; epochs are drawn afresh."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from workbench.errors import SettingsError
from workbench.patches.labelled import LabelledPatchDataModule, WholeImageDataModule
from workbench.patches.right_angles import RightAngles

ALL_TURNS = RightAngles(True, True, True)


def module(store, **changes) -> LabelledPatchDataModule:
    settings = {"patch_size": (5, 5, 5), "label_size": (3, 3, 3), "batch_size": 8, "n_patches": 40, "seed": 5}
    settings |= {"sampler": "uniform"} | changes
    return LabelledPatchDataModule(store, store, **settings)


def same(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def label_of(image: Tensor) -> Tensor:
    """Give the label of voxels that tell where they are, 1000 s + 100 x + 10 y + z; -1 where there is nothing."""
    x = image.long() % 1000 // 100
    return torch.where(image == 0, -1, (x == 1) + 2 * (x == 2))


SYMMETRIC = [((5, 5, 5), (3, 3, 3), 1), ((7, 7, 7), (3, 3, 3), 2), ((5, 5, 3), (5, 5, 3), 1), ((9, 9, 9), (2, 2, 2), 4)]
LOPSIDED = [((9, 8, 5), (4, 4, 1), 2), ((6, 6, 6), (3, 3, 3), 1), ((7, 8, 4), (2, 2, 2), 3)]


@pytest.mark.parametrize(
    ("patch", "labels", "stride", "turns"),
    [(*sizes, turns) for sizes in SYMMETRIC for turns in (None, ALL_TURNS)] + [(*sizes, None) for sizes in LOPSIDED],
)
def test_a_label_is_that_of_its_voxel(make_store, patch, labels, stride, turns) -> None:
    data = module(make_store(5), patch_size=patch, label_size=labels, label_stride=stride, turns=turns)
    margins = [(p - stride * (n - 1) - 1) // 2 for p, n in zip(patch, labels, strict=True)]
    seen = 0
    for batch in data.train_dataloader():
        x, y, z = (slice(m, m + stride * (n - 1) + 1, stride) for m, n in zip(margins, labels, strict=True))
        assert torch.equal(batch["label"], label_of(batch["image"][:, 0, x, y, z]))
        assert batch["label"].dtype == torch.int64 and batch["image"].dtype == torch.float32
        if turns is None:
            i, j, k = (n // 2 for n in labels)
            x = batch["center"][:, 0]
            assert torch.equal(batch["label"][:, i, j, k], (x == 1) + 2 * (x == 2)), "the center's own label"
        seen += int((batch["label"] == -1).sum())
    assert seen > 0, "some patches reach beyond the subject"


@pytest.mark.parametrize(("patch", "labels", "stride"), [*SYMMETRIC, *LOPSIDED])
def test_the_margin_of_the_store_changes_nothing(make_store, patch, labels, stride) -> None:
    batches = [
        module(make_store(margin), patch_size=patch, label_size=labels, label_stride=stride).train_batch(0, 0)
        for margin in (0, max(patch) // 2, 12)
    ]
    assert same(batches[0], batches[2]) and same(batches[1], batches[2])


@pytest.mark.parametrize("size", [4, 5, 6])
def test_one_label_is_that_of_the_center(make_store, size: int) -> None:
    data = module(make_store(), patch_size=(size,) * 3, label_size=(1, 1, 1), sampler="balanced")
    batch = data.train_batch(0, 0)
    x = batch["center"][:, 0]
    assert batch["label"].shape == (8,) and torch.equal(batch["label"], (x == 1) + 2 * (x == 2))
    m = (size - 1) // 2
    middle = batch["image"][:, 0, m, m, m]
    assert torch.equal(label_of(middle), batch["label"])


def test_outputs_of_a_valid_network_see_the_patch_about_their_label(make_store) -> None:
    """A kernel of 4 that picks the voxel in its patch's middle, as a network of an even receptive field would."""
    pick = torch.zeros(1, 1, 4, 4, 4)
    pick[0, 0, 1, 1, 1] = 1
    for stride, patch in ((1, 6), (2, 8)):
        data = module(make_store(), patch_size=(patch,) * 3, label_size=(3, 3, 3), label_stride=stride)
        batch = data.train_batch(0, 0)
        assert torch.equal(label_of(F.conv3d(batch["image"], pick, stride=stride)[:, 0]), batch["label"])


@pytest.mark.parametrize(("plane", "axis"), [("axial", 2), ("coronal", 1), ("sagittal", 0)])
@pytest.mark.parametrize("turns", [None, ALL_TURNS])
def test_planes_lie_through_the_center(make_store, plane: str, axis: int, turns: RightAngles | None) -> None:
    data = module(make_store(3), patch_size=(7, 7), label_size=(3, 3), plane=plane, turns=turns, n_patches=200)
    seen = 0
    for batch in data.train_dataloader():
        assert batch["image"].shape == (8, 1, 7, 7) and batch["label"].shape == (8, 3, 3)
        assert torch.equal(batch["label"], label_of(batch["image"][:, 0, 2:5, 2:5]))
        digit = batch["image"].long() % 1000 // 10 ** (2 - axis) % 10
        fixed = batch["center"][:, axis].reshape(8, 1, 1, 1)
        assert ((digit == fixed) | (batch["image"] == 0)).all()
        seen += int((batch["label"] == -1).sum())
    assert seen > 0


@pytest.mark.parametrize("settings", [{}, {"turns": ALL_TURNS}, {"n_patches": 0, "quota": 6, "sampler": "balanced"}])
def test_a_batch_is_a_function_of_seed_epoch_and_index(make_store, settings: dict) -> None:
    a, b = (module(make_store(), **settings) for _ in range(2))
    later = b.train_batch(3, 1)
    a.train_batch(0, 0)
    assert same(a.train_batch(3, 1), later)
    assert not same(a.train_batch(2, 1), later) and not same(a.train_batch(3, 0), later)
    assert not same(module(make_store(), seed=6, **settings).train_batch(3, 1), later)


def test_validation_is_fixed_and_not_turned(make_store) -> None:
    data, plain = module(make_store(), turns=ALL_TURNS), module(make_store())
    assert data.n_validation_patches == 8
    first, second = (list(data.val_dataloader()) for _ in range(2))
    assert len(first) == 1 and all(same(a, b) for a, b in zip(first, second, strict=True))
    assert same(first[0], plain.validation_batch(0))
    alone = LabelledPatchDataModule(make_store(), None, patch_size=(3, 3), label_size=(1, 1), batch_size=2, n_patches=2)
    assert alone.val_dataloader() == []


def test_shares_reach_the_batches(make_store) -> None:
    data = module(
        make_store(), patch_size=(3, 3), label_size=(1, 1), sampler="balanced", shares={0: 0.6, 2: 0.4}, n_patches=4000,
        batch_size=4000,
    )  # fmt: skip
    labels = data.train_batch(0, 0)["label"]
    assert set(labels.tolist()) == {0, 2} and abs(float((labels == 0).double().mean()) - 0.6) < 0.04
    assert set(data.validation_batch(0)["label"].tolist()) == {0, 2}


def test_a_quota_is_kept_exactly_and_drawn_afresh_each_epoch(make_store) -> None:
    """Inside the masks x < 3 each of three classes has 30 voxels in a and 48 in b."""
    data = module(
        make_store(),
        patch_size=(3, 3, 3),
        label_size=(1, 1, 1),
        sampler="balanced",
        n_patches=0,
        quota=40,
        batch_size=32,
    )
    assert data.n_patches == 3 * 30 + 3 * 40 and data.n_batches == 7
    epochs = []
    for epoch in range(2):
        batches = [data.train_batch(epoch, i) for i in range(data.n_batches)]
        labels, subject = (torch.cat([b[name] for b in batches]) for name in ("label", "subject"))
        assert torch.bincount(labels[subject == 0]).tolist() == [30] * 3
        assert torch.bincount(labels[subject == 1]).tolist() == [40] * 3
        rows = torch.cat([torch.cat([b["subject"][:, None], b["center"]], 1) for b in batches]).tolist()
        assert len({tuple(row) for row in rows}) == len(rows)
        assert int(batches[0]["label"].unique().numel()) == 3, "classes are mixed"
        epochs.append(rows)
    assert sorted(epochs[0]) != sorted(epochs[1])


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"label_size": (6, 6, 6)}, "fit into the patch"),
        ({"label_size": (3, 3, 3), "label_stride": 3}, "choose a larger patch"),
        ({"label_size": (0, 1, 1)}, "at least 1 along each axis"),
        ({"patch_size": (6, 6, 6), "turns": ALL_TURNS}, "do not lie in the middle"),
        ({"shares": {0: 1.0}}, "need the balanced sampler; got uniform"),
        ({"quota": 3, "n_patches": 0}, "need the balanced sampler"),
        ({"quota": 3, "sampler": "balanced"}, "not both; got a quota of 3 and 40 patches"),
        ({"n_patches": 0}, "number of patches must be at least 1"),
        ({"batch_size": 0}, "batch size must be at least 1"),
        ({"sampler": "balanced", "shares": {5: 1.0}}, "Subject a has no voxel with label 5"),
    ],
)
def test_impossible_settings_are_sentences(make_store: Callable, changes: dict, sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        module(make_store(), **changes)


def test_a_programmers_slips_are_named(make_store: Callable) -> None:
    with pytest.raises(ValueError, match="as many numbers as patch_size"):
        module(make_store(), label_size=(1, 1))
    with pytest.raises(LookupError, match="no plane is called 'oblique'"):
        module(make_store(), plane="oblique")


def whole(seed: int = 0, **options) -> WholeImageDataModule:
    rng = np.random.default_rng(9)
    labels = [rng.integers(-1, 2, size=(4, 5, 3 + i)) for i in range(5)]
    images = [np.stack([label, 10 * label]).astype(np.float32) for label in labels]
    return WholeImageDataModule(images, labels, (images[:2], labels[:2]), seed=seed, **options)


@pytest.mark.parametrize("flips", [False, True])
def test_an_epoch_goes_once_through_all_images(flips: bool) -> None:
    data = whole(flips=flips)
    orders = []
    for epoch in range(3):
        batches = [data.train_batch(epoch, i) for i in range(data.n_batches)]
        orders.append([int(b["subject"]) for b in batches])
        for index, batch in enumerate(batches):
            image, label = batch["image"], batch["label"]
            assert image.shape == (1, 2, *label.shape[1:]) and label.dtype == torch.int64
            assert torch.equal(image[:, 0].long(), label) and torch.equal(image[:, 1], 10 * image[:, 0])
            assert same(batch, whole(flips=flips).train_batch(epoch, index))
    assert all(sorted(order) == [0, 1, 2, 3, 4] for order in orders) and len(set(map(tuple, orders))) > 1
    held_out = list(data.val_dataloader())
    assert [int(b["subject"]) for b in held_out] == [0, 1]
    assert torch.equal(held_out[1]["label"][0], torch.from_numpy(data.labels[1]))


def test_flips_mirror_some_images() -> None:
    plain, mirrored = whole(), whole(flips=True)
    pairs = [(plain.train_batch(e, i), mirrored.train_batch(e, i)) for e in range(3) for i in range(5)]
    changed = [not torch.equal(a["label"], b["label"]) for a, b in pairs]
    assert any(changed) and all(torch.equal(a["label"].sum(), b["label"].sum()) for a, b in pairs)


def test_whole_images_are_checked() -> None:
    image, label = np.zeros((1, 3, 3, 3), np.float32), np.zeros((3, 3, 3), int)
    with pytest.raises(SettingsError, match="no image to learn from"):
        WholeImageDataModule([], [])
    with pytest.raises(ValueError, match="each image needs a label map; got 2 and 1"):
        WholeImageDataModule([image, image], [label])
    with pytest.raises(ValueError, match="equal C and labels"):
        WholeImageDataModule([image], [label[:2]])
    assert WholeImageDataModule([image], [label]).val_dataloader() == []
