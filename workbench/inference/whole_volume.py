"""A trained network on a whole volume: class probabilities of every voxel in the image's own grid (Section 3.3).

    dense       nets of valid convolutions and poolings, patch → K: what every voxel's own patch would give, shared
                work done once (Section 1, strategy e; Giusti et al., ICIP 2013; Kleesiek et al., NeuroImage 2016)
    sliding     nets that give a map of their input's size: MONAI's overlapping windows
    whole       nets of that kind on the whole image at once
    patchwise   nets that pad inside the patch, voxel by voxel in a mask, or every few as a preview

All of them work in eval mode, in float32, on the device of the network, and call ``progress`` often, which may raise
to cancel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from torch import nn

from workbench.inference.boxes import triple
from workbench.inference.dense_network import DenseNetwork
from workbench.inference.patchwise import patchwise_probabilities
from workbench.inference.probabilities import (
    ActivationName,
    Fill,
    Parts,
    PlaneName,
    activate,
    background,
    checked,
    clear_outside,
    cut,
    from_batch,
    in_image,
    label_offset,
    plane_axes,
    to_batch,
)
from workbench.inference.same_size import sliding_probabilities, whole_probabilities
from workbench.inference.tile_plan import Tile, TilePlan, bounds, tile_plan
from workbench.progress import Progress, silent

__all__ = ["dense_probabilities", "patchwise_probabilities", "sliding_probabilities", "whole_probabilities"]


def dense_probabilities(
    network: nn.Module,
    image: np.ndarray,
    *,
    patch: Sequence[int] | None = None,
    fill: Fill = 0.0,
    mask: np.ndarray | None = None,
    memory_bytes: float = 1.0e9,
    activation: ActivationName = "softmax",
    plane: PlaneName | None = None,
    progress: Progress = silent,
) -> np.ndarray:
    """Give the class probabilities of every voxel, equal to running the network on the patch about each.

    The scores of a patch belong to its voxel (size - 1) // 2. The result does not depend on the tiles that
    ``memory_bytes`` makes necessary.

    Args:
        network: ``models.cnn.CNN`` or an ``nn.Sequential`` of valid convolutions, poolings, and layers that work
            voxel by voxel.
        image: (C, X, Y, Z) of any size.
        patch: spatial shape of the patch, for an ``nn.Sequential`` with fully connected layers.
        fill: value outside the image, one or one for each channel.
        mask: (X, Y, Z), non-zero where probabilities are wanted; tiles without any are skipped.
        memory_bytes: about how much working memory to use beside image and result.
        activation: what makes probabilities of scores.
        plane: that a 2-D network sees; None for a 3-D network.
        progress: told after each layer of each tile; may raise to cancel.

    Returns:
        (K, X, Y, Z) float32. Outside the mask class 0 has probability 1; with one class or a sigmoid all have 0.

    Raises:
        SettingsError: a layer forbids dense evaluation (it is named), or the channels are not the network's.
        WorkbenchError: mask or image do not fit.
    """
    image = checked(network, image, mask)
    dense = DenseNetwork(network, patch)
    out = background(dense.n_outputs, image.shape[1:], activation)
    wanted = None if mask is None else mask != 0
    box = Tile((0, 0, 0), triple(image.shape[1:])) if wanted is None else bounds(wanted)
    if box is None:
        return out
    axes = plane_axes(dense.n_axes, plane)
    plan = plan_for(dense, box.shape, memory_bytes, axes)
    tiles = plan.within(None if wanted is None else wanted[box.index])
    field, before = in_image(dense.field, axes, 1), in_image(label_offset(dense.patch), axes, 0)
    told = Parts(progress, len(tiles), "tile")
    for tile in tiles:
        low = [a + b for a, b in zip(tile.low, box.low, strict=True)]
        shape = triple([n + r - 1 for n, r in zip(tile.shape, field, strict=True)])
        window = cut(image, [a - b for a, b in zip(low, before, strict=True)], shape, fill)
        told.begin(float(_cost(dense, axes)(np.array([tile.shape]))[0]))
        scores = dense(to_batch(window, axes, dense.n_axes), told.tick)
        where = tuple(slice(a, a + n) for a, n in zip(low, tile.shape, strict=True))
        out[(slice(None), *where)] = from_batch(activate(scores, activation), axes, dense.n_axes)
        told.end()
    return clear_outside(out, wanted, activation)


def plan_for(dense: DenseNetwork, shape: Sequence[int], memory_bytes: float, axes: Sequence[int]) -> TilePlan:
    """Give the tiles for a dense network on a volume.

    Args:
        dense: the network.
        shape: voxels of the volume.
        memory_bytes: for one tile.
        axes: as from ``plane_axes``.
    """
    return tile_plan(shape, in_image(dense.field, axes, 1), dense.n_features, memory_bytes, _cost(dense, axes))


def _cost(dense: DenseNetwork, axes: Sequence[int]) -> Callable[[np.ndarray], np.ndarray]:
    seen = list(axes[: dense.n_axes])

    def cost(tiles: np.ndarray) -> np.ndarray:
        return dense.cost(tiles[:, seen]) * (1 if dense.n_axes == 3 else tiles[:, axes[2]])

    return cost
