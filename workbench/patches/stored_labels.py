"""The label maps of a store: labels about centers, and centers by the class that they have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np

from workbench.errors import SettingsError
from workbench.patches import samplers


class StoredLabels:
    """Label maps of many subjects, with the tables that say where each label is.

    Args:
        maps: (S, X, Y, Z) integers, each subject from the first voxel on.
        tables: ``by_label``, ``label_bounds`` and ``label_firsts`` of the store; they leave out voxels outside a mask.
        shapes: (S, 3) voxels of each subject.
        names: of the subjects, for messages.
    """

    def __init__(
        self, maps: np.ndarray, tables: Mapping[str, np.ndarray], shapes: np.ndarray, names: Sequence[str]
    ) -> None:
        self._maps, self._shapes, self._names = maps, shapes, names
        self._flat, self._bounds, self._firsts = (tables[n] for n in ("by_label", "label_bounds", "label_firsts"))

    @cached_property
    def values(self) -> np.ndarray:
        """Each subject's labels, ascending, subject after subject: (L,) int64."""
        which = np.repeat(np.arange(len(self._shapes)), np.diff(self._firsts))
        x, y, z = samplers.unravel(self._flat[self._bounds[:-1]], self._shapes[which]).T
        return self._maps[which, x, y, z].astype(np.int64)

    def about(
        self, which: np.ndarray, centers: np.ndarray, first: Sequence[int], n: Sequence[int], step: int
    ) -> np.ndarray:
        """Give a grid of labels for each center: (B, *n) int64, -1 beyond the subject.

        Args:
            which: (B,) subjects.
            centers: (B, 3) voxel indices.
            first: along X, Y, Z, where the grid begins, in voxels from the center.
            n: labels along X, Y, Z.
            step: voxels from label to label.
        """
        places, known = [], np.ones((len(centers), 1, 1, 1), bool)
        for axis in range(3):
            at = centers[:, axis, None] + first[axis] + step * np.arange(n[axis])  # (B, n)
            extent = self._shapes[which, axis, None]
            along = [len(centers), *(n[axis] if a == axis else 1 for a in range(3))]
            places.append(np.clip(at, 0, extent - 1).reshape(along))
            known = known & ((at >= 0) & (at < extent)).reshape(along)
        x, y, z = places
        return np.where(known, self._maps[which[:, None, None, None], x, y, z], -1).astype(np.int64)

    def shares(self, shares: Mapping[int, float] | None) -> np.ndarray:
        """Say how probable each label of each subject is at a center: (L,), for :meth:`centers`.

        A label that a subject lacks leaves its share to the labels that it has, in proportion to theirs.

        Args:
            shares: label to its probability, up to a factor; None for all alike. Labels without a share and negative
                ones are not drawn.

        Raises:
            SettingsError: shares that are negative or all 0, or a subject without any label that has a share.
        """
        if shares is not None and not (min(shares.values(), default=0) >= 0 < sum(shares.values()) < np.inf):
            raise SettingsError(f"The classes' shares must not be negative, nor all 0; got {dict(shares)}.")
        total, without = samplers.shares_of_labels(self.values, self._firsts, shares)
        if without:
            wanted = "0 or more" if shares is None else " or ".join(str(k) for k, v in shares.items() if v > 0)
            raise SettingsError(
                f"Subject {self._names[without[0]]} has no voxel with label {wanted}, so no patch of it can be drawn; "
                "give another class a share, or leave the subject out."
            )
        return total

    def centers(self, which: np.ndarray, shares: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw a center in each subject of ``which`` (n,) by the shares of :meth:`shares`: (n, 3) int64."""
        return samplers.among_shares(self._flat, self._bounds, shares, self._firsts, self._shapes, which, rng)

    def some_of_each(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draw up to n centers of each label of each subject, none twice, all in random order.

        Returns:
            (k,) subjects and (k, 3) centers; all of a label's voxels where there are fewer than n.
        """
        places, entries = samplers.some_of_each(self._bounds, self.values, n, rng)
        order = rng.permutation(len(places))
        which = np.searchsorted(self._firsts, entries[order], side="right") - 1
        return which, samplers.unravel(self._flat[places[order]], self._shapes[which])

    def n_of_each(self, n: int) -> int:
        """Say how many centers :meth:`some_of_each` gives."""
        return int(np.minimum(np.diff(self._bounds), n)[self.values >= 0].sum())
