"""Flips, quarter turns and exchanged axes of a batch: exact, since no voxel is interpolated, and the labels move along.

Kleesiek 2016 flips axes and exchanges them; Pereira 2016 turns planes by multiples of 90 degrees, which made the
difference for classes with few examples (Section 3.3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations, product

import numpy as np
import torch
from torch import Tensor

Element = tuple[tuple[int, ...], tuple[bool, ...]]
"""Which old axis each new axis is, and which new axes are then flipped."""


@dataclass(frozen=True)
class RightAngles:
    """Moves each example of a batch by a random symmetry of the square or the cube.

    All elements of the group that the switches span are equally likely. Axes are exchanged only where the patches, and
    the labels, have the same size on both; whether they have the same spacing is the caller's concern.

    Attributes:
        flips: mirror images along any axes.
        quarter_turns: turns by multiples of 90 degrees about any axis: 4 of a plane, 24 of a cube.
        axis_permutations: any order of the axes.
    """

    flips: bool = True
    quarter_turns: bool = True
    axis_permutations: bool = False

    def __call__(self, images: Tensor, labels: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Move every example in its own way.

        Args:
            images: (B, C, *patch) with two or three spatial axes.
            labels: (B,), which stay as they are, or (B, *s) with as many spatial axes.
            rng: the only source of chance.

        Returns:
            New tensors of the same shapes.
        """
        n_axes = images.ndim - 2
        if labels.ndim not in (1, 1 + n_axes):
            raise ValueError(f"labels of images {tuple(images.shape)} have {1 + n_axes} axes or one; got {labels.ndim}")
        sizes = list(zip(images.shape[2:], labels.shape[1:] if labels.ndim > 1 else [1] * n_axes, strict=True))
        group = self.elements(sizes)
        chosen = torch.from_numpy(rng.integers(len(group), size=len(images)))
        moved_images, moved_labels = images.clone(), labels.clone()
        for number in chosen.unique().tolist():
            here = (chosen == number).nonzero().squeeze(1)
            moved_images[here] = _moved(images[here], group[number], 2)
            if labels.ndim > 1:
                moved_labels[here] = _moved(labels[here], group[number], 1)
        return moved_images, moved_labels

    def elements(self, sizes: Sequence[object]) -> list[Element]:
        """List the symmetries that are drawn from, for axes of these sizes; the identity is first."""
        n_axes = len(sizes)
        n_switches = self.flips + self.quarter_turns + self.axis_permutations
        found = []
        for order, signs in product(permutations(range(n_axes)), product((False, True), repeat=n_axes)):
            if any(sizes[new] != sizes[old] for new, old in enumerate(order)):
                continue
            keeps_order, keeps_signs = order == tuple(range(n_axes)), not any(signs)
            is_turn = (_is_odd(order) + sum(signs)) % 2 == 0
            if (
                n_switches > 1  # any two of the three span all symmetries
                or (self.flips and keeps_order)
                or (self.quarter_turns and is_turn)
                or (self.axis_permutations and keeps_signs)
                or (keeps_order and keeps_signs)
            ):
                found.append((order, signs))
        return found


def _moved(values: Tensor, element: Element, n_before: int) -> Tensor:
    order, signs = element
    values = values.permute(*range(n_before), *(n_before + axis for axis in order))
    return values.flip([n_before + axis for axis, sign in enumerate(signs) if sign])


def _is_odd(order: tuple[int, ...]) -> bool:
    """Say whether a permutation is a product of an odd number of exchanges."""
    return sum(a > b for i, a in enumerate(order) for b in order[i + 1 :]) % 2 == 1
