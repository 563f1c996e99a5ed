"""Auto-context: classifiers one after the other, each seeing what the one before said of the neighborhood.

Tu and Bai (IEEE TPAMI 2010); in the space of an atlas and with its position as a feature: Kim et al. (NeuroImage 2013,
the host of the review's Reference 92). A map of probabilities is sampled on a star about each voxel, near and far along
axes and diagonals; that, what the image says of the voxel, and where the voxel lies, are the row that trees classify.

    prior ─star─► c_0 ─► map 1 ─star─► c_1 ─► map 2 ─ … ─► c_T ─► map T + 1

Each classifier learns from the maps of the one before on the training images themselves, as Tu and Bai do, but at other
voxels: where the one before has learnt, its map is better than any that is met later, and on the hippocampi that this
was tried on the last maps were worse than those before. Maps of images that were left out in turn do worse still: from
far points of the star trees learn to tell which images were left out together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np

from workbench.classical.boosted_trees import BoostedTrees, fit_boosted_trees
from workbench.progress import Progress, silent

RADII = (2, 4, 8)
ROWS_AT_ONCE = 16_384


@dataclass(frozen=True, eq=False)
class ContextImage:
    """An image in the space where classifiers work.

    Attributes:
        features: (N, F) float32, of the voxels of the mask in the order of ``np.argwhere``.
        prior: (K, X, Y, Z) float32, what is believed before the image is looked at, sum 1.
        classes: (X, Y, Z) int32 truth; None where it is not known.
    """

    features: np.ndarray
    prior: np.ndarray
    classes: np.ndarray | None = None


@dataclass(frozen=True)
class Boosting:
    """How each classifier is fitted.

    Attributes:
        n_iterations: T + 1 classifiers.
        n_samples: voxels of each image, as many of one class as of another; probabilities are then shifted to how
            often each class occurs in the mask.
        n_rounds, learning_rate, max_leaves: of the trees.
        seed: of the voxels.
    """

    n_iterations: int = 4
    n_samples: int = 2000
    n_rounds: int = 50
    learning_rate: float = 0.1
    max_leaves: int = 15
    seed: int = 0


class Drawn(NamedTuple):
    """Voxels of an image that classifiers learn from.

    Attributes:
        places: (n,) among the mask's voxels.
        voxels: (n, 3).
        classes: (n,) int32.
        n_in_mask: (K,) voxels of the mask in each class.
    """

    places: np.ndarray
    voxels: np.ndarray
    classes: np.ndarray
    n_in_mask: np.ndarray


def star_offsets(radii: Sequence[int] = RADII) -> np.ndarray:
    """Give the offsets (n, 3) int of a star: the voxel itself, and each radius along axes and space diagonals."""
    directions = [d for d in product((-1, 0, 1), repeat=3) if sum(map(abs, d)) in (1, 3)]
    return np.array([(0, 0, 0), *(tuple(r * c for c in d) for r in radii for d in directions)])


def context_rows(probabilities: np.ndarray, voxels: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Sample a map at a star about each voxel; beyond its border the outermost values go on.

    Args:
        probabilities: (K, X, Y, Z); the background is left out, since the sum is 1.
        voxels: (N, 3).
        offsets: (n, 3).

    Returns:
        (N, n · (K - 1)) float32, offsets fastest.
    """
    top = np.array(probabilities.shape[1:]) - 1
    places = np.clip(voxels[:, None, :] + offsets, 0, top)  # (N, n, 3)
    flat = np.ravel_multi_index(tuple(np.moveaxis(places, -1, 0)), probabilities.shape[1:])  # (N, n)
    maps = probabilities.reshape(len(probabilities), -1)
    return np.concatenate([maps[k][flat] for k in range(1, len(maps))], axis=1).astype(np.float32, copy=False)


def position_rows(voxels: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    """Give where voxels (N, 3) lie, in mm from the first voxel of the lattice: (N, 3) float32."""
    return (voxels * np.asarray(spacing)).astype(np.float32)


def fit_sequence(
    images: Sequence[ContextImage],
    mask: np.ndarray,
    spacing: Sequence[float],
    boosting: Boosting,
    progress: Progress = silent,
) -> list[BoostedTrees]:
    """Fit a sequence of classifiers in one space.

    Args:
        images: with truth.
        mask: (X, Y, Z) bool, the voxels that are classified; elsewhere is background.
        spacing: mm.
        boosting: how.
        progress: told after each classifier.
    """
    maps = [image.prior for image in images]
    classifiers: list[BoostedTrees] = []
    for t in range(boosting.n_iterations):
        drawn = [_draw(image, mask, boosting, i, t) for i, image in enumerate(images)]
        rows = [
            _rows(image, before, d.voxels, spacing, d.places)
            for image, before, d in zip(images, maps, drawn, strict=True)
        ]
        classifiers.append(_fit(rows, drawn, len(images[0].prior), boosting, t))
        if t + 1 < boosting.n_iterations:
            maps = [
                next_map(classifiers[-1], image, before, mask, spacing)
                for image, before in zip(images, maps, strict=True)
            ]
        progress((t + 1) / boosting.n_iterations, f"classifier {t + 1} of {boosting.n_iterations}")
    return classifiers


def run_sequence(
    classifiers: Sequence[BoostedTrees], image: ContextImage, mask: np.ndarray, spacing: Sequence[float]
) -> list[np.ndarray]:
    """Apply a sequence to an image in its space.

    Returns:
        The maps (K, X, Y, Z) float32: the prior, then one a classifier.
    """
    maps = [image.prior]
    for classifier in classifiers:
        maps.append(next_map(classifier, image, maps[-1], mask, spacing))
    return maps


def next_map(
    classifier: BoostedTrees, image: ContextImage, before: np.ndarray, mask: np.ndarray, spacing: Sequence[float]
) -> np.ndarray:
    """Give the map (K, X, Y, Z) float32 that a classifier makes of the one before; outside the mask is background."""
    voxels = np.argwhere(mask)
    found = np.zeros((len(before), *mask.shape), np.float32)
    found[0] = 1
    for begin in range(0, len(voxels), ROWS_AT_ONCE):
        some = voxels[begin : begin + ROWS_AT_ONCE]
        rows = _rows(image, before, some, spacing, slice(begin, begin + ROWS_AT_ONCE))
        found[:, *some.T] = classifier.probabilities(rows).T
    return found


def _rows(
    image: ContextImage, before: np.ndarray, voxels: np.ndarray, spacing: Sequence[float], places: np.ndarray | slice
) -> np.ndarray:
    """Give what a classifier sees of some voxels (n, 3), which are at these places of the mask's voxels."""
    context = context_rows(before, voxels, star_offsets())
    return np.concatenate([image.features[places], context, position_rows(voxels, spacing)], axis=1)


def _draw(image: ContextImage, mask: np.ndarray, boosting: Boosting, number: int, t: int) -> Drawn:
    """Draw voxels of an image, as many of one class as of another; others for each classifier."""
    assert image.classes is not None, "classifiers learn from truth"
    truth = image.classes[mask]
    rng = np.random.default_rng([boosting.seed, 5, number, t])
    present = np.unique(truth)
    each = max(1, boosting.n_samples // len(present))
    places = []
    for k in present:
        own = np.flatnonzero(truth == k)
        places.append(own if len(own) <= each else rng.choice(own, each, replace=False))
    drawn = np.concatenate(places)
    return Drawn(drawn, np.argwhere(mask)[drawn], truth[drawn], np.bincount(truth, minlength=len(image.prior)))


def _fit(
    rows: Sequence[np.ndarray], drawn: Sequence[Drawn], n_classes: int, boosting: Boosting, t: int
) -> BoostedTrees:
    classes = np.concatenate([d.classes for d in drawn])
    trees = fit_boosted_trees(
        np.concatenate(rows), classes, n_classes, n_rounds=boosting.n_rounds, learning_rate=boosting.learning_rate,
        max_leaves=boosting.max_leaves, seed=boosting.seed * 100 + t,
    )  # fmt: skip
    in_mask = np.sum([d.n_in_mask for d in drawn], axis=0)
    return trees.shifted(in_mask / np.maximum(np.bincount(classes, minlength=n_classes), 1))
