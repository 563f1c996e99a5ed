"""Votes of several labelled images on one: by majority, or each weighted by how much its image looks like the target.

All arrays lie on one lattice, the target's. Weights follow Artaechevarria, Muñoz-Barrutia, Ortiz-de-Solórzano (IEEE TMI
2009): a power of the mean squared difference of the patches about a voxel, so that where an atlas was registered badly
its vote counts little there and only there.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import uniform_filter

EPSILON = 1e-3
"""Of the target's variance, added to every squared difference: an equal patch has a large weight and not all of it."""


def majority_vote(labels: np.ndarray, n_classes: int) -> np.ndarray:
    """Give the share of votes for each class.

    Args:
        labels: (A, X, Y, Z) classes of A atlases.
        n_classes: K, the background included.

    Returns:
        (K, X, Y, Z) float32, sum 1.
    """
    return np.stack([(labels == k).mean(0, dtype=np.float32) for k in range(n_classes)])


def local_likeness(target: np.ndarray, image: np.ndarray, *, radius: int = 2, power: float = 2.0) -> np.ndarray:
    """Say how much an image looks like the target about each voxel.

    It is (d + ε)^(-power), d the mean squared difference of the two over the cube about the voxel, in units of the
    target's variance. Beyond the border the outermost voxels go on.

    Args:
        target: (X, Y, Z).
        image: (X, Y, Z), intensities of the same meaning.
        radius: of the cube, its edge is 2 radius + 1 voxels.
        power: 0 makes all images alike.

    Returns:
        (X, Y, Z) float32, positive; largest where the images are equal.
    """
    if image.shape != target.shape:
        raise ValueError(f"the image lies on the lattice of the target {target.shape}; got {image.shape}")
    squared = np.square(image.astype(np.float64) - target) / (float(target.var()) or 1.0)
    distance = np.maximum(uniform_filter(squared, 2 * radius + 1, mode="nearest"), 0)
    return ((distance + EPSILON) ** -power).astype(np.float32)


def local_weights(target: np.ndarray, images: np.ndarray, *, radius: int = 2, power: float = 2.0) -> np.ndarray:
    """Give how much each atlas's vote counts at each voxel: :func:`local_likeness`, sum 1 over atlases.

    Args:
        target: (X, Y, Z).
        images: (A, X, Y, Z) of the atlases.
        radius: of the cube that is compared, in voxels.
        power: of the squared difference.

    Returns:
        (A, X, Y, Z) float32.
    """
    weights = np.stack([local_likeness(target, image, radius=radius, power=power) for image in images])
    return weights / weights.sum(0)


def locally_weighted_vote(
    target: np.ndarray,
    images: np.ndarray,
    labels: np.ndarray,
    n_classes: int,
    *,
    radius: int = 2,
    power: float = 2.0,
) -> np.ndarray:
    """Give the share of votes for each class, weighted by :func:`local_weights`.

    Args:
        target: (X, Y, Z).
        images: (A, X, Y, Z) of the atlases.
        labels: (A, X, Y, Z) their classes.
        n_classes: K, the background included.
        radius: of the cube that is compared, in voxels.
        power: of the squared difference.

    Returns:
        (K, X, Y, Z) float32, sum 1.
    """
    weights = local_weights(target, images, radius=radius, power=power)
    return np.stack([(weights * (labels == k)).sum(0) for k in range(n_classes)]).astype(np.float32)
