"""Batches that are a function of (seed, epoch, index), and that follow a resumed training.

Lightning restores how many batches of an epoch are done, not which ones a loader has given. So this loader keeps no
count while a trainer is there: it asks the trainer which batch comes next, and a training that was cut off in the
middle of an epoch goes on with exactly the batch it would have seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor

from workbench.errors import RunError

Batch = dict[str, Tensor]


def position_of(trainer: Any) -> tuple[int, int]:
    """Ask a Lightning trainer which epoch it is in and which batch comes next.

    Its batch_idx is that of the last batch begun in this epoch, -1 before the first.
    """
    return trainer.current_epoch, trainer.fit_loop.batch_idx + 1


class PatchLoader:
    """The training loader.

    Args:
        batch: gives the batch of (epoch, index).
        n_batches: in an epoch.
        identity: what the order of batches depends on; a checkpoint of a different one is refused.
        position: says which epoch the trainer is in and which of its batches comes next; None to count here.
    """

    def __init__(
        self,
        batch: Callable[[int, int], Batch],
        n_batches: int,
        identity: dict[str, int],
        position: Callable[[], tuple[int, int]] | None = None,
    ) -> None:
        self._batch = batch
        self._n_batches = n_batches
        self._identity = identity
        self._position = position
        self._epoch = -1

    def __len__(self) -> int:
        return self._n_batches

    def __iter__(self) -> Iterator[Batch]:
        self._epoch += 1
        return self._count(self._epoch) if self._position is None else self._follow(self._position)

    def state_dict(self) -> dict[str, Any]:
        """Give what a checkpoint must agree on; its presence tells Lightning that this loader resumes exactly."""
        return dict(self._identity)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Compare with a checkpoint.

        Raises:
            RunError: it was made with another seed, batch size or number of patches.
        """
        for name, value in self._identity.items():
            if state.get(name, value) != value:
                raise RunError(
                    f"The training was begun with {name} {state[name]} and cannot go on with {value}; "
                    "restore the setting or start a new run."
                )

    def _follow(self, position: Callable[[], tuple[int, int]]) -> Iterator[Batch]:
        while (place := position())[1] < self._n_batches:
            yield self._batch(*place)

    def _count(self, epoch: int) -> Iterator[Batch]:
        for index in range(self._n_batches):
            yield self._batch(epoch, index)


class FixedLoader:
    """The validation loader: the same batches every time.

    Args:
        batch: gives the batch of an index.
        n_batches: how many there are.
    """

    def __init__(self, batch: Callable[[int], Batch], n_batches: int) -> None:
        self._batch = batch
        self._n_batches = n_batches

    def __len__(self) -> int:
        return self._n_batches

    def __iter__(self) -> Iterator[Batch]:
        return (self._batch(index) for index in range(self._n_batches))
