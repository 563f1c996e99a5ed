"""Examples that fit in memory (pictures, feature vectors, fixed patches) and the DataModule that trains on them.

Each epoch goes once through all examples in an order of its own. The order is a function of (seed, epoch) alone and a
batch one of (epoch, index), so training resumes exactly in the middle of an epoch, like
:mod:`workbench.patches.datamodule`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import lightning
import numpy as np
import torch
from torch import Tensor

from workbench.errors import SettingsError
from workbench.patches.augmentation import Augmentation
from workbench.patches.loader import Batch, FixedLoader, PatchLoader, position_of

NO_CLASS = -1  # the target of an example whose class is not known; of a number it is NaN


@dataclass(frozen=True, eq=False)
class Examples:
    """Things to learn from, in memory.

    Attributes:
        x: (N, *shape) float32: (N, V) vectors, (N, C, H, W) pictures, (N, C, X, Y, Z) blocks.
        target: (N,) int64 classes, -1 where unknown, or float32 numbers, NaN where unknown; None without any.
        subject: (N,) int64, whose example it is: a place in ``names``.
        names: of the subjects.
    """

    x: Tensor
    target: Tensor | None
    subject: Tensor
    names: list[str]

    def __post_init__(self) -> None:
        if self.x.ndim < 2 or self.x.dtype != torch.float32:
            raise ValueError(f"examples are (N, *shape) float32; got {tuple(self.x.shape)} {self.x.dtype}")
        if self.target is not None and self.target.dtype not in (torch.int64, torch.float32):
            raise ValueError(f"targets are int64 classes or float32 numbers; got {self.target.dtype}")
        for what, values in (("subject", self.subject), ("target", self.target)):
            if values is not None and values.shape != self.x.shape[:1]:
                raise ValueError(f"{what} has shape {tuple(values.shape)}; expected one for each of {len(self.x)}")

    def __len__(self) -> int:
        return len(self.x)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one example."""
        return tuple(self.x.shape[1:])

    @property
    def labelled(self) -> Tensor:
        """Where the target is known: (N,) bool."""
        if self.target is None:
            return torch.zeros(len(self), dtype=torch.bool)
        return ~torch.isnan(self.target) if self.target.is_floating_point() else self.target >= 0

    def take(self, indices: np.ndarray | Tensor | list[int]) -> Examples:
        """Give these examples, in this order; ``names`` stay, so that subjects keep their numbers."""
        chosen = torch.as_tensor(indices, dtype=torch.int64)
        target = None if self.target is None else self.target[chosen]
        return replace(self, x=self.x.index_select(0, chosen), target=target, subject=self.subject[chosen])

    def stratified(self, n: int, rng: np.random.Generator) -> Examples:
        """Draw ``n`` examples whose target is known, classes in proportion and at least one of each.

        One order of all examples is drawn and its first ``n`` are given (in their old order), so that from equal
        generators a smaller draw is part of every larger one. Numbers are drawn evenly.

        Raises:
            SettingsError: ``n`` is less than the number of classes, or more than there are labelled examples.
        """
        known = np.flatnonzero(self.labelled.numpy())
        n_classes = 1 if self.target is None or self.target.is_floating_point() else len(self.target[known].unique())
        if not n_classes <= n <= len(known):
            raise SettingsError(
                f"From {len(known)} labelled examples of {n_classes} classes between {n_classes} and {len(known)} can "
                f"be drawn; got {n}."
            )
        drawn = rng.permutation(known)
        if n_classes > 1 and self.target is not None:
            drawn = drawn[np.argsort(_shares(self.target.numpy()[drawn]), kind="stable")]
        return self.take(np.sort(drawn[:n]))

    def map(self, fn: Callable[[Tensor], Tensor], batch_size: int = 0) -> Examples:
        """Give the examples with ``x`` replaced by ``fn(x)``, for example the code of a trained layer; no gradients.

        Args:
            fn: (B, *shape) → (B, *other).
            batch_size: how many at a time, for an ``fn`` that needs much memory; 0 for all at once.
        """
        with torch.no_grad():
            made = torch.cat([fn(part) for part in self.x.split(batch_size or max(1, len(self)))])
        if len(made) != len(self):
            raise ValueError(f"fn must give as many examples as it gets; {len(self)} became {len(made)}")
        return replace(self, x=made.float())


class ExampleDataModule(lightning.LightningDataModule):
    """Examples for training and validation.

    A batch is a dict: ``image`` (B, *shape) float32, ``subject`` (B,) int64, and ``target`` (B,) where there are
    targets. Sizes of an epoch's batches differ by one at most, so that none is too small for a mean over the batch.

    Args:
        train: examples to learn from.
        validation: examples to validate on, in their order and never augmented; None for no validation.
        batch_size: examples in a batch, at most.
        seed: of order and augmentation.
        n_parts: so many batches are handed over at once, as one, for a task that cuts it into updates of ``batch_size``
            itself: small models spend more time between the trainer's batches than in them.
        augment: False, True for the default :class:`Augmentation`, or one with its own bounds. Corners that a turn
            lays bare repeat the border.

    Raises:
        SettingsError: no examples, a batch size below 1, or vectors that are to be augmented.
    """

    def __init__(
        self,
        train: Examples,
        validation: Examples | None,
        *,
        batch_size: int,
        seed: int,
        n_parts: int = 1,
        augment: bool | Augmentation = False,
    ) -> None:
        super().__init__()
        self.train, self.validation = train, validation
        self.batch_size, self.seed, self.n_parts = batch_size, seed, n_parts
        self.augmentation = (Augmentation() if augment else None) if isinstance(augment, bool) else augment
        self._check()
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.int64)

    @property
    def n_batches(self) -> int:
        """Batches handed over in an epoch; with several processes in each of them."""
        return -(-self.n_updates // self.n_parts)

    @property
    def n_updates(self) -> int:
        """Updates of ``batch_size`` examples in an epoch: the batches, unless they come in parts."""
        return -(-self._n_own // self.batch_size)

    def train_batch(self, epoch: int, index: int) -> Batch:
        """Give one batch, a function of (seed, epoch, index) and, with several processes, of the rank."""
        first, last = index * self.n_parts, min((index + 1) * self.n_parts, self.n_updates)
        begin, end = (self._n_own * k // self.n_updates for k in (first, last))
        batch = _batch(self.train, self._order_of(epoch)[begin:end])
        if self.augmentation is None:
            return batch
        rng = np.random.default_rng([self.seed, epoch, index, *self._rank()])
        return batch | {"image": _augmented(batch["image"], self.augmentation, rng)}

    def validation_batch(self, index: int) -> Batch:
        """Give one batch of the validation examples."""
        assert self.validation is not None
        begin = index * self.batch_size
        return _batch(self.validation, torch.arange(begin, min(begin + self.batch_size, len(self.validation))))

    def train_dataloader(self) -> PatchLoader:
        """Give the loader that follows the trainer."""
        identity = {"seed": self.seed, "batch_size": self.batch_size, "n_examples": len(self.train)}
        if self.n_parts > 1:
            identity["n_parts"] = self.n_parts
        return PatchLoader(self.train_batch, self.n_batches, identity, self._position if self.trainer else None)

    def val_dataloader(self) -> FixedLoader | list[FixedLoader]:
        """Give the loader of the validation examples; an empty list when there are none."""
        if self.validation is None:
            return []
        return FixedLoader(self.validation_batch, -(-len(self.validation) // self.batch_size))

    def _order_of(self, epoch: int) -> Tensor:
        """Give this process's examples in the order of an epoch, kept while the epoch lasts."""
        if epoch != self._epoch:
            order = np.random.default_rng([self.seed, epoch]).permutation(len(self.train))
            rank = self._rank()[0] if self._rank() else 0
            own = order[rank :: self._n_processes][: self._n_own]
            self._epoch, self._order = epoch, torch.from_numpy(own)
        return self._order

    @property
    def _n_own(self) -> int:
        """Examples of an epoch in each process: as many in one as in another."""
        return len(self.train) // self._n_processes

    @property
    def _n_processes(self) -> int:
        return self.trainer.world_size if self.trainer is not None else 1

    def _position(self) -> tuple[int, int]:
        return position_of(self.trainer)

    def _rank(self) -> list[int]:
        """Nothing in the first process, so that one GPU and no GPU see the same batches."""
        rank = self.trainer.global_rank if self.trainer is not None else 0
        return [rank] if rank > 0 else []

    def _check(self) -> None:
        for name, value in (
            ("batch size", self.batch_size),
            ("number of batches handed over at once", self.n_parts),
            ("number of training examples", len(self.train)),
            ("number of validation examples", 1 if self.validation is None else len(self.validation)),
        ):
            if value < 1:
                raise SettingsError(f"The {name} must be at least 1; got {value}.")
        if self.augmentation is not None and len(self.train.shape) not in (3, 4):
            raise SettingsError(
                "Only pictures and blocks can be turned and stretched, not vectors of features; switch augmentation "
                "off."
            )
        if self.validation is not None and self.validation.shape != self.train.shape:
            raise ValueError(f"training examples are {self.train.shape}, validation ones {self.validation.shape}")


def _shares(target: np.ndarray) -> np.ndarray:
    """Give each example's place in line, (N,), by Sainte-Laguë's rule: (k + 1/2) / size for the k-th of a class.

    The first of each class comes before all others.
    """
    places = np.empty(len(target))
    for label in np.unique(target):
        members = np.flatnonzero(target == label)
        places[members] = (np.arange(len(members)) + 0.5) / len(members)
        places[members[0]] = 0.0
    return places


def _batch(examples: Examples, chosen: Tensor) -> Batch:
    batch = {"image": examples.x.index_select(0, chosen), "subject": examples.subject.index_select(0, chosen)}
    return batch if examples.target is None else batch | {"target": examples.target.index_select(0, chosen)}


def _augmented(images: Tensor, augmentation: Augmentation, rng: np.random.Generator) -> Tensor:
    """Augment (B, C, H, W) or (B, C, X, Y, Z), whose size stays."""
    is_flat = images.ndim == 4
    blocks = images.unsqueeze(-1) if is_flat else images  # (B, C, H, W, 1)
    moved = augmentation(blocks, tuple(blocks.shape[2:]), rng)
    return moved.squeeze(-1) if is_flat else moved
