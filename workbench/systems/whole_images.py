"""Whole images for networks that see them at once: cut to the box of their region, nothing learnt beyond it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from workbench.errors import CohortError
from workbench.inference.same_size import whole_probabilities
from workbench.metrics.overlap import overlap, threshold_sweep
from workbench.patches.store import PatchStore
from workbench.progress import Progress, silent
from workbench.systems.label_classes import IGNORED

THRESHOLDS = (0.001, 0.002, 0.005, 0.01, *(round(0.02 * i, 2) for i in range(1, 50)))
Slices = tuple[slice, ...]


def box_about(region: np.ndarray, margin: Sequence[int], least: Sequence[int]) -> Slices:
    """Give the smallest box with a region (X, Y, Z) bool, wider by a margin and as large as a network needs.

    It ends where the image does, so an image below the least size comes out whole.

    Args:
        region: not empty.
        margin: voxels on either side of each axis.
        least: voxels along each axis that the box has where the image has them.
    """
    box = []
    for axis, (wider, needed) in enumerate(zip(margin, least, strict=True)):
        others = tuple(a for a in range(region.ndim) if a != axis)
        where = np.flatnonzero(region.any(others))
        n = region.shape[axis]
        low, high = max(0, int(where[0]) - wider), min(n, int(where[-1]) + 1 + wider)
        size = max(high - low, min(n, needed))
        low = min(max(0, low - (size - (high - low)) // 2), n - size)
        box.append(slice(low, low + size))
    return tuple(box)


def whole_images(
    store: PatchStore, margin: Sequence[int], least: Sequence[int]
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Give the images (C, x, y, z) and classes (x, y, z) of a store, cut; outside the region the class is -1.

    Raises:
        CohortError: an image is smaller than the least size.
    """
    images, labels = [], []
    for i, name in enumerate(store.names):
        region = store.inside(i)
        check_size(name, region.shape, least)
        box = box_about(region, margin, least)
        images.append(store.image(i)[(slice(None), *box)])
        labels.append(np.where(region[box], store.labels(i)[box], IGNORED))
    return images, labels


def check_size(name: str, shape: Sequence[int], least: Sequence[int]) -> None:
    """Make sure that a subject's image is large enough.

    Raises:
        CohortError: it is not.
    """
    if any(n < needed for n, needed in zip(shape, least, strict=True)):
        raise CohortError(
            f"The network's kernels need images of at least {times(least)} voxels, and {name} has {times(shape)}; "
            "choose smaller kernels or smaller voxels, or leave the subject out."
        )


def times(shape: Sequence[int]) -> str:
    """Write a size."""
    return " × ".join(map(str, shape))


def apply_whole(
    network: nn.Module, image: np.ndarray, region: np.ndarray, margin: Sequence[int], least: Sequence[int],
    progress: Progress = silent,
) -> np.ndarray:  # fmt: skip
    """Give the probabilities (K, X, Y, Z) of a network that gives probabilities, 0 beyond the region's box."""
    box = box_about(region, margin, least)
    found = whole_probabilities(network, image[(slice(None), *box)], activation="none", progress=progress)
    out = np.zeros((len(found), *region.shape), np.float32)
    out[(slice(None), *box)] = found
    return out


@torch.no_grad()
def best_threshold(
    network: nn.Module, images: Sequence[np.ndarray], labels: Sequence[np.ndarray], progress: Progress = silent
) -> float:
    """Give the threshold of the probability with the best mean Dice coefficient over images that have class 1.

    One half where no image has it, or no threshold finds any of it.

    Args:
        network: (1, C, X, Y, Z) → (1, 1, X, Y, Z) probabilities.
        images: (C, X, Y, Z) each.
        labels: (X, Y, Z) each; below 0 is left out.
        progress: told of each image.
    """
    rows = []
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        progress(i / len(images), f"Threshold: image {i + 1} of {len(images)}")
        if (label > 0).any():
            p = network(torch.from_numpy(np.array(image))[None])[0, 0].numpy()
            rows.append([row.dice for row in threshold_sweep(p, label > 0, THRESHOLDS, within=label >= 0)])
    dice = np.mean(rows, 0) if rows else np.zeros(len(THRESHOLDS))
    return THRESHOLDS[int(dice.argmax())] if dice.any() else 0.5


@torch.no_grad()
def scores_at(
    network: nn.Module, images: Sequence[np.ndarray], labels: Sequence[np.ndarray], threshold: float, name: str
) -> dict[str, float]:
    """Score a network's cut probability: means over images of what is a number there."""
    found = []
    for image, label in zip(images, labels, strict=True):
        p = network(torch.from_numpy(np.array(image))[None])[0, 0].numpy()
        one = overlap(p >= threshold, label > 0, within=label >= 0)
        accuracy = float(((p >= threshold) == (label > 0))[label >= 0].mean())
        found.append((accuracy, one.dice, one.sensitivity, one.specificity))
    names = ("voxel accuracy", f"dice {name}", f"sensitivity {name}", f"specificity {name}")
    columns = {n: np.array(values) for n, values in zip(names, np.transpose(found), strict=True)}
    return {n: float(v[np.isfinite(v)].mean()) for n, v in columns.items() if np.isfinite(v).any()}
