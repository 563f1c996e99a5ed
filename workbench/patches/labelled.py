"""The LightningDataModules of segmentation: patches with the labels in them, and whole images.

Where a label lies in its patch: a network of valid convolutions sees f = patch - step (n - 1) voxels for each of its n
outputs along an axis, and output i labels voxel (f - 1) // 2 + step i of the patch: the middle of what it sees, just
below it for even f. Label n // 2 is that of the center drawn, so that shares of classes hold for it exactly.

    patch 9, 3 labels, step 2:    . . 0 . c . 2 . .      f = 5
    patch 4, 1 label:             . c . .                f = 4
    patch 4, 4 labels:            0 1 c 3                f = 1: a network that keeps the size
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import lightning
import numpy as np
import torch
from torch import Tensor

from workbench.errors import SettingsError
from workbench.patches.datamodule import VALIDATION_EPOCH, PatchDataModule
from workbench.patches.loader import Batch, FixedLoader, PatchLoader, position_of
from workbench.patches.right_angles import RightAngles
from workbench.patches.store import PatchStore, SamplerName

Plane = Literal["axial", "coronal", "sagittal"]
FIXED_AXIS = {"axial": 2, "coronal": 1, "sagittal": 0}


class LabelledPatchDataModule(PatchDataModule):
    """Patches with labels, for training and validation.

    A batch is a dict: ``image`` (B, C, *patch) float32; ``label`` int64, (B,) when all label sizes are 1 and else
    (B, *label_size), -1 beyond the subject; ``subject`` (B,) int64; ``center`` (B, 3) int64 voxels. Training draws
    afresh each epoch; validation patches are fixed and never turned. Label maps may hold -1 where nothing is to be
    learned.

    Args:
        train: prepared training subjects, with label maps.
        validation: prepared validation subjects; None for no validation. They give a fifth of the training's patches.
        patch_size: two numbers for planes, three for blocks.
        label_size: labels along each axis of the patch.
        label_stride: voxels from label to label, the network's output stride.
        batch_size: patches in a batch.
        n_patches: patches in an epoch; 0 with a quota.
        sampler: where centers are drawn.
        shares: with ``balanced``, the probability of each class at the center, up to a factor; None for all alike. A
            class that a subject lacks leaves its share to the subject's other classes, in proportion to theirs.
        quota: an epoch is so many centers of each class of each subject, none twice and all where there are fewer
            (Moeskops 2016), instead of ``n_patches`` independent draws; with ``balanced``. 0 is off.
        turns: how training patches are turned and mirrored; None for not at all.
        plane: the planes of patches with two numbers.
        seed: of everything random here.

    Raises:
        SettingsError: a size or count out of bounds, a store without what the sampler needs or without label maps,
            or labels that do not lie in the middle of patches that are to be turned.
    """

    def __init__(
        self,
        train: PatchStore,
        validation: PatchStore | None,
        *,
        patch_size: Sequence[int],
        label_size: Sequence[int],
        batch_size: int,
        n_patches: int = 0,
        label_stride: int = 1,
        sampler: SamplerName = "balanced",
        shares: Mapping[int, float] | None = None,
        quota: int = 0,
        turns: RightAngles | None = None,
        plane: Plane = "axial",
        seed: int = 0,
    ) -> None:
        _check_labels(patch_size, label_size, label_stride, turns)
        if plane not in FIXED_AXIS:
            raise LookupError(f"no plane is called {plane!r}; known are {', '.join(FIXED_AXIS)}")
        if quota and (n_patches or quota < 0):
            raise SettingsError(
                f"An epoch is a quota of at least 1 center of each class, or a number of patches, not both; got a "
                f"quota of {quota} and {n_patches} patches."
            )
        if sampler != "balanced" and (quota or shares):
            raise SettingsError(
                f"Shares and quotas of classes need the balanced sampler; got {sampler}. Choose balanced, or leave "
                "them out."
            )
        if quota:
            n_patches = train.label_maps.n_of_each(quota)
        super().__init__(
            train, validation, patch_size=patch_size, batch_size=batch_size, n_patches=n_patches, sampler=sampler,
            seed=seed,
        )  # fmt: skip
        self.fixed_axis = FIXED_AXIS[plane] if self.is_plane else None
        self.patch_size, self.label_size = self._block(patch_size), self._block(label_size)
        self.label_stride, self.quota, self.turns = label_stride, quota, turns
        self._shift = np.array(
            [_shift(*sizes, label_stride) for sizes in zip(self.patch_size, self.label_size, strict=True)]
        )
        stores = [store for store in (train, validation) if store is not None]
        self._shares = {id(s): s.label_maps.shares(shares) if sampler == "balanced" else None for s in stores}
        self._epoch, self._centers = -1, (np.empty(0, np.int64), np.empty((0, 3), np.int64))

    def train_batch(self, epoch: int, index: int) -> Batch:
        """Give one batch, a function of (seed, epoch, index) and, with several processes, of the rank."""
        begin = index * self.batch_size
        n = min(self.batch_size, self.n_patches - begin)
        rng = np.random.default_rng([self.seed, epoch, index, *self._rank()])
        if not self.quota:
            which, centers = self._draw(self.train, n, rng)
        else:
            which, centers = (values[begin : begin + n] for values in self._centers_of(epoch))
        return self._labelled(self.train, which, centers, rng)

    def validation_batch(self, index: int) -> Batch:
        """Give one batch of the fixed validation patches."""
        assert self.validation is not None
        n = min(self.batch_size, self.n_validation_patches - index * self.batch_size)
        rng = np.random.default_rng([self.seed, VALIDATION_EPOCH, index, *self._rank()])
        return self._labelled(self.validation, *self._draw(self.validation, n, rng), None)

    def _draw(self, store: PatchStore, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        return store.draw_centers(n, rng, self.sampler, self._shares[id(store)])

    def _labelled(
        self, store: PatchStore, which: np.ndarray, centers: np.ndarray, rng: np.random.Generator | None
    ) -> Batch:
        """Put the labels beside the patches, and turn both when there is chance to turn them by."""
        first = [-self.label_stride * (n // 2) for n in self.label_size]
        labels = torch.from_numpy(store.label_maps.about(which, centers, first, self.label_size, self.label_stride))
        images = torch.from_numpy(store.take(which, centers + self._shift, self.patch_size).patches)
        if self.fixed_axis is not None:
            images, labels = images.squeeze(2 + self.fixed_axis), labels.squeeze(1 + self.fixed_axis)
        if labels[0].numel() == 1:
            labels = labels.flatten()  # (B,)
        if self.turns is not None and rng is not None:
            images, labels = self.turns(images, labels, rng)
        return {
            "image": images,
            "label": labels,
            "subject": torch.from_numpy(which),
            "center": torch.from_numpy(centers),
        }

    def _centers_of(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Give an epoch's subjects and centers, kept while it lasts."""
        if epoch != self._epoch:
            rng = np.random.default_rng([self.seed, epoch, *self._rank()])
            self._epoch, self._centers = epoch, self.train.label_maps.some_of_each(self.quota, rng)
        return self._centers

    def _block(self, sizes: Sequence[int]) -> tuple[int, int, int]:
        """Give three sizes, 1 across a plane."""
        whole = [int(n) for n in sizes]
        if self.fixed_axis is not None:
            whole.insert(self.fixed_axis, 1)
        x, y, z = whole
        return x, y, z


class WholeImageDataModule(lightning.LightningDataModule):
    """Whole images with their label maps, one a batch, each once an epoch in an order of its own (Brosch 2016).

    A batch is a dict: ``image`` (1, C, X, Y, Z) float32, ``label`` (1, X, Y, Z) int64, ``subject`` (1,) int64. It is a
    function of (seed, epoch, index), so training resumes exactly. Images may differ in size.

    Args:
        images: (C, X, Y, Z) each; maps of files are read when they are needed.
        labels: (X, Y, Z) integers each, -1 where nothing is to be learned.
        validation: images and labels likewise, in their order and never mirrored; None for no validation.
        seed: of the order and the mirroring.
        flips: mirror training images along random axes.

    Raises:
        SettingsError: no image.
    """

    def __init__(
        self,
        images: Sequence[np.ndarray],
        labels: Sequence[np.ndarray],
        validation: tuple[Sequence[np.ndarray], Sequence[np.ndarray]] | None = None,
        *,
        seed: int = 0,
        flips: bool = False,
    ) -> None:
        super().__init__()
        self.images, self.labels, self.validation = images, labels, validation
        self.seed = seed
        self.turns = RightAngles(quarter_turns=False) if flips else None
        for some_images, some_labels in ((images, labels), *((validation,) if validation else ())):
            _check_images(some_images, some_labels)

    @property
    def n_batches(self) -> int:
        """Batches in an epoch."""
        return len(self.images)

    def train_batch(self, epoch: int, index: int) -> Batch:
        """Give one image, a function of (seed, epoch, index)."""
        chosen = int(np.random.default_rng([self.seed, epoch]).permutation(len(self.images))[index])
        batch = _whole(self.images, self.labels, chosen)
        if self.turns is not None:
            rng = np.random.default_rng([self.seed, epoch, index])
            batch["image"], batch["label"] = self.turns(batch["image"], batch["label"], rng)
        return batch

    def train_dataloader(self) -> PatchLoader:
        """Give the loader that follows the trainer."""
        identity = {"seed": self.seed, "n_images": len(self.images)}
        return PatchLoader(self.train_batch, self.n_batches, identity, self._position if self.trainer else None)

    def val_dataloader(self) -> FixedLoader | list[FixedLoader]:
        """Give the loader of the validation images; an empty list when there are none."""
        if self.validation is None:
            return []
        images, labels = self.validation
        return FixedLoader(lambda index: _whole(images, labels, index), len(images))

    def _position(self) -> tuple[int, int]:
        return position_of(self.trainer)


def _whole(images: Sequence[np.ndarray], labels: Sequence[np.ndarray], index: int) -> Batch:
    image: Tensor = torch.from_numpy(np.array(images[index], np.float32))[None]  # a copy: files' maps are read-only
    label: Tensor = torch.from_numpy(np.array(labels[index], np.int64))[None]
    return {"image": image, "label": label, "subject": torch.tensor([index])}


def _check_images(images: Sequence[np.ndarray], labels: Sequence[np.ndarray]) -> None:
    if not images:
        raise SettingsError("There is no image to learn from; choose a split that leaves some.")
    if len(images) != len(labels):
        raise ValueError(f"each image needs a label map; got {len(images)} and {len(labels)}")
    for image, label in zip(images, labels, strict=True):
        if image.ndim != 4 or image.shape[1:] != label.shape or len(image) != len(images[0]):
            raise ValueError(
                f"images are (C, X, Y, Z) with equal C and labels (X, Y, Z); got {image.shape} and {label.shape}"
            )


def _shift(patch: int, n_labels: int, stride: int) -> int:
    """Say how far from the center drawn a patch is to be cut, so that the center has its label at n_labels // 2."""
    seen = patch - stride * (n_labels - 1)
    return patch // 2 - ((seen - 1) // 2 + stride * (n_labels // 2))


def _check_labels(
    patch_size: Sequence[int], label_size: Sequence[int], label_stride: int, turns: RightAngles | None
) -> None:
    if len(label_size) != len(patch_size):
        raise ValueError(f"label_size has as many numbers as patch_size; got {tuple(label_size)}, {tuple(patch_size)}")
    seen = [p - label_stride * (n - 1) for p, n in zip(patch_size, label_size, strict=True)]
    if min(label_size) < 1 or label_stride < 1 or min(seen) < 1:
        raise SettingsError(
            f"Labels {tuple(label_size)} at a stride of {label_stride} must number at least 1 along each axis and fit "
            f"into the patch {tuple(patch_size)}; choose a larger patch."
        )
    if turns is not None and any(f % 2 == 0 for f in seen):
        raise SettingsError(
            f"Labels {tuple(label_size)} at a stride of {label_stride} do not lie in the middle of a patch "
            f"{tuple(patch_size)}, so it cannot be turned with them; choose patches larger or smaller by one, or no "
            "turns."
        )
