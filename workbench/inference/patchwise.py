"""Score voxels by their own patches, one batch after another: for networks that pad, exact for any network, and slow.

A stride above 1 is a preview: of each block of voxels the one nearest to its middle is scored, and the others of the
block that lie in the mask take its probabilities.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from workbench.inference.boxes import Triple, triple
from workbench.inference.probabilities import (
    ActivationName,
    Fill,
    PlaneName,
    activate,
    background,
    checked,
    cut,
    in_image,
    label_offset,
    plane_axes,
)
from workbench.inference.tile_plan import bounds
from workbench.models.exactness import evaluating
from workbench.patches.gather import gather
from workbench.progress import Progress, silent


def patchwise_probabilities(
    network: nn.Module,
    image: np.ndarray,
    *,
    patch: Sequence[int],
    mask: np.ndarray | None = None,
    stride: int = 1,
    batch_size: int = 64,
    fill: Fill = 0.0,
    activation: ActivationName = "softmax",
    plane: PlaneName | None = None,
    progress: Progress = silent,
) -> np.ndarray:
    """Give the class probabilities of every voxel of a mask, each from the patch about it.

    Args:
        network: (B, C, *patch) → scores (B, K), (B,) of a single one, or (B, K, 1, …).
        image: (C, X, Y, Z).
        patch: spatial shape, two sizes for a 2-D network and three for a 3-D one.
        mask: (X, Y, Z), non-zero where probabilities are wanted; everywhere without it.
        stride: voxels along an axis that share one patch, in the plane or in all three axes; above 1 is a preview.
        batch_size: patches at once; bounds the memory.
        fill: value outside the image, one or one for each channel.
        activation: what makes probabilities of scores.
        plane: that a 2-D network sees.
        progress: told after each batch; may raise to cancel.

    Returns:
        (K, X, Y, Z) float32. Outside the mask class 0 has probability 1; with one class or a sigmoid all have 0.

    Raises:
        WorkbenchError: the image or the mask does not fit the network, or the image holds values that are no numbers.
    """
    if stride < 1 or batch_size < 1:
        raise ValueError(f"stride and batch size are at least 1; got {stride} and {batch_size}")
    image = checked(network, image, mask)
    axes = plane_axes(len(patch), plane)
    size, step = in_image(patch, axes, 1), in_image((stride,) * len(patch), axes, 1)
    inside = np.ones(image.shape[1:], bool) if mask is None else mask != 0
    box = bounds(inside)
    if box is None:
        return background(_n_outputs(network, image, patch), image.shape[1:], activation)
    voxels = np.argwhere(inside)
    scored, which = _representatives(voxels, step)
    before = np.array(in_image(label_offset(patch), axes, 0))
    low = np.array(box.low) - before
    padded = cut(image, low.tolist(), triple([n + s - 1 for n, s in zip(box.shape, size, strict=True)]), fill)
    middle = np.array(size) // 2  # a patch begins that far below the center that ``gather`` is given
    found: np.ndarray | None = None
    with evaluating(network), torch.inference_mode():
        for start in range(0, len(scored), batch_size):
            some = scored[start : start + batch_size]
            patches = gather(padded, some - box.low + middle, size)
            batch = torch.from_numpy(patches.transpose(0, 1, *(2 + a for a in axes)).reshape(len(some), -1, *patch))
            scores = activate(_run(network, batch), activation).cpu().numpy()
            if found is None:
                found = np.empty((len(scored), scores.shape[1]), np.float32)
            found[start : start + len(some)] = scores
            progress((start + len(some)) / len(scored), f"{start + len(some):,} of {len(scored):,} patches")
    assert found is not None
    out = background(found.shape[1], image.shape[1:], activation)
    x, y, z = voxels.T
    for k, values in enumerate(found.T):
        out[k, x, y, z] = values[which]
    return out


def _run(network: nn.Module, batch: torch.Tensor) -> torch.Tensor:
    """Give the scores (B, K) of patches (B, C, *patch)."""
    device = next((p.device for p in network.parameters()), batch.device)
    layout = {4: torch.channels_last, 5: torch.channels_last_3d}[batch.ndim]  # half as fast again on a CPU
    scores: torch.Tensor = network(batch.to(device).contiguous(memory_format=layout))
    return scores.float().reshape(len(batch), -1)


def _n_outputs(network: nn.Module, image: np.ndarray, patch: Sequence[int]) -> int:
    with evaluating(network), torch.inference_mode():
        return _run(network, torch.zeros(1, len(image), *patch)).shape[1]


def _representatives(voxels: np.ndarray, step: Triple) -> tuple[np.ndarray, np.ndarray]:
    """Choose, of the voxels of each block, the one nearest to its middle.

    Args:
        voxels: (N, 3).
        step: voxels of a block along each axis.

    Returns:
        the chosen voxels (n, 3) and, for each of ``voxels``, the number of its block's (N,).
    """
    if max(step) == 1:
        return voxels, np.arange(len(voxels))
    blocks = voxels // step
    away = np.square(voxels - (blocks * step + (np.array(step) - 1) / 2)).sum(1)
    extent = tuple(int(n) for n in blocks.max(0) + 1)
    number = np.ravel_multi_index(tuple(blocks.T), extent)
    order = np.lexsort((away, number))
    _, first, which = np.unique(number[order], return_index=True, return_inverse=True)
    back = np.empty(len(voxels), np.int64)
    back[order] = which
    return voxels[order[first]], back
