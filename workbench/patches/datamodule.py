"""The LightningDataModule that trains from a store of prepared subjects.

Sampling happens in the main process: one fancy index a batch is faster than handing batches over from workers. A
batch is a function of (seed, epoch, index) alone, so training resumes exactly and two runs can be compared batch by
batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import lightning
import numpy as np
import torch

from workbench.errors import SettingsError
from workbench.patches.augmentation import Augmentation
from workbench.patches.loader import Batch, FixedLoader, PatchLoader, position_of
from workbench.patches.store import PatchStore, SamplerName, View

VALIDATION_SHARE = 0.2
VALIDATION_EPOCH = 2**32 - 1


class PatchDataModule(lightning.LightningDataModule):
    """Patches for training and validation.

    A batch is a dict: ``image`` (B, C, *patch) float32, ``subject`` (B,) int64, ``center`` (B, 3) int64 voxels, and
    ``label`` (B,) int64, the label at the center, when every subject has a label map.
    The last batch of an epoch holds what is left of ``n_patches``.

    Args:
        train: prepared training subjects.
        validation: prepared validation subjects; None for no validation. Their patches are drawn once, a fifth of
            ``n_patches``, and never augmented.
        patch_size: voxels along X, Y, Z, or along X, Y for axial planes (B, C, X, Y).
        batch_size: patches in a batch.
        n_patches: patches in an epoch.
        sampler: where centers are drawn.
        seed: of everything random here.
        augment: False, True for the default :class:`Augmentation`, or one with its own bounds.
        view: ``"three_planes"`` for 2.5-D, (B, 3 C, X, X); the patch size must then be a cube.

    Raises:
        SettingsError: a size or count below 1, or a store that lacks what the sampler needs.
    """

    def __init__(
        self,
        train: PatchStore,
        validation: PatchStore | None = None,
        *,
        patch_size: Sequence[int],
        batch_size: int,
        n_patches: int,
        sampler: SamplerName = "uniform",
        seed: int = 0,
        augment: bool | Augmentation = False,
        view: View = "block",
    ) -> None:
        super().__init__()
        _check_counts(patch_size, batch_size, n_patches, view)
        self.is_plane = len(patch_size) == 2
        self.patch_size = (int(patch_size[0]), int(patch_size[1]), 1 if self.is_plane else int(patch_size[2]))
        self.train, self.validation = train, validation
        self.batch_size, self.n_patches, self.seed = batch_size, n_patches, seed
        self.sampler: SamplerName = sampler
        self.view: View = view
        self.augmentation = (Augmentation() if augment else None) if isinstance(augment, bool) else augment
        self._check_stores()

    @property
    def n_batches(self) -> int:
        """Batches in an epoch."""
        return -(-self.n_patches // self.batch_size)

    @property
    def n_validation_patches(self) -> int:
        """Patches that are validated on."""
        return max(1, round(self.n_patches * VALIDATION_SHARE))

    def train_batch(self, epoch: int, index: int) -> Batch:
        """Give one batch, a function of (seed, epoch, index) and, with several processes, of the rank."""
        n = min(self.batch_size, self.n_patches - index * self.batch_size)
        return self._batch(self.train, n, [self.seed, epoch, index, *self._rank()], self.augmentation)

    def validation_batch(self, index: int) -> Batch:
        """Give one batch of the fixed validation patches."""
        assert self.validation is not None
        n = min(self.batch_size, self.n_validation_patches - index * self.batch_size)
        return self._batch(self.validation, n, [self.seed, VALIDATION_EPOCH, index, *self._rank()], None)

    def train_dataloader(self) -> PatchLoader:
        """Give the loader that follows the trainer."""
        identity = {"seed": self.seed, "batch_size": self.batch_size, "n_patches": self.n_patches}
        return PatchLoader(self.train_batch, self.n_batches, identity, self._position if self.trainer else None)

    def val_dataloader(self) -> FixedLoader | list[FixedLoader]:
        """Give the loader of the fixed patches; an empty list when there are no validation subjects."""
        if self.validation is None:
            return []
        return FixedLoader(self.validation_batch, -(-self.n_validation_patches // self.batch_size))

    def _batch(self, store: PatchStore, n: int, entropy: list[int], augmentation: Augmentation | None) -> Batch:
        rng = np.random.default_rng(entropy)
        size = self.patch_size if augmentation is None else augmentation.context(self.patch_size)
        drawn = store.draw(n, size, rng, self.sampler, self.view)
        images = torch.from_numpy(drawn.patches)
        if augmentation is not None:
            images = augmentation(images, self.patch_size, rng)
        batch = {
            "image": images.squeeze(-1) if self.is_plane else images,
            "subject": torch.from_numpy(drawn.subject_index),
            "center": torch.from_numpy(drawn.centers),
        }
        if store.has_labels:
            batch["label"] = torch.from_numpy(store.labels_at(drawn.subject_index, drawn.centers))
        return batch

    def _position(self) -> tuple[int, int]:
        return position_of(self.trainer)

    def _rank(self) -> list[int]:
        """Nothing in the first process, so that one GPU and no GPU see the same batches."""
        rank = self.trainer.global_rank if self.trainer is not None else 0
        return [rank] if rank > 0 else []

    def _check_stores(self) -> None:
        if self.augmentation is not None and self.view == "three_planes":
            raise SettingsError("Three-plane patches cannot be augmented; switch augmentation off or train on blocks.")
        for store in (self.train, self.validation):
            if store is not None:
                store.check_sampler(self.sampler)


def _check_counts(patch_size: Sequence[int], batch_size: int, n_patches: int, view: View) -> None:
    if len(patch_size) not in (2, 3):
        raise ValueError(f"patch_size has two or three numbers; got {tuple(patch_size)}")
    if view == "three_planes" and (len(patch_size) != 3 or len(set(patch_size)) != 1):
        raise SettingsError(f"Three-plane patches need the same size on X, Y and Z; got {tuple(patch_size)}.")
    for name, value in (("patch size", min(patch_size)), ("batch size", batch_size), ("number of patches", n_patches)):
        if value < 1:
            raise SettingsError(f"The {name} must be at least 1; got {value}.")
