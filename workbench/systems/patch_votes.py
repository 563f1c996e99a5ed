"""Label propagation by sparse patch matching on images: where it is asked, which patches vote, and those patches.

Where all atlases have one label in the whole search window, every weighting gives that label; only the other voxels are
matched, so the likelihood is the same as if all were.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import maximum_filter, minimum_filter

from workbench.classical.hand_features import Size
from workbench.classical.patch_matching import Matched, MatchingSettings, matched_labels
from workbench.classical.patch_windows import BLOCK, PatchTable
from workbench.patches.gather import gather
from workbench.progress import Progress, part_of, silent
from workbench.systems.patch_features import PatchFeatures

MOST_IN_MEMORY = 256 * 2**20  # bytes of one image's features; beyond, they are kept on the disk
MOST_AT_ONCE = 2**31  # bytes of all images' features; beyond, the voxels are matched in slabs
ROWS_AT_ONCE = 8192
DESCRIBING = 0.4  # of the time, for the progress bar


@dataclass(frozen=True, eq=False)
class OnOneLattice:
    """A target and the atlases that were brought onto its lattice.

    Attributes:
        target: (X, Y, Z) float32, prepared.
        images: (A, X, Y, Z) float32, prepared likewise.
        labels: (A, X, Y, Z) integer classes, 0 to n_classes - 1.
        n_classes: K, background included.
        names: of the atlases.
    """

    target: np.ndarray
    images: np.ndarray
    labels: np.ndarray
    n_classes: int
    names: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class PatchVotes:
    """The atlas patches that vote for the label of one voxel, heaviest first.

    Attributes:
        voxel: (3,) of the working lattice.
        point_mm: (3,) its center.
        weights: (n,) shares of the vote, sum 1.
        labels: (n,) classes of the patches' middle voxels.
        class_names: of all classes, background first.
        atlases: (n,) whose patches they are.
        voxels: (n, 3) where in the warped atlases.
        distances: (n,) between the normalized features of patch and voxel.
        patches: (n, *size) float32 intensities of the warped atlases.
        target_patch: (*size) of the voxel itself.
        likelihood: (K,) the weights summed by label; smoothness between neighbors is not in it.
    """

    voxel: np.ndarray
    point_mm: np.ndarray
    weights: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    atlases: tuple[str, ...]
    voxels: np.ndarray
    distances: np.ndarray
    patches: np.ndarray
    target_patch: np.ndarray
    likelihood: np.ndarray


def undecided(labels: np.ndarray, window: Sequence[int]) -> np.ndarray:
    """Say where the atlases (A, X, Y, Z) have more than one label in the search window, (X, Y, Z) bool."""
    low, high = labels.min(0), labels.max(0)
    return minimum_filter(low, tuple(window)) != maximum_filter(high, tuple(window))


def sparse_likelihood(
    images: OnOneLattice,
    region: np.ndarray,
    features: PatchFeatures,
    settings: MatchingSettings,
    progress: Progress = silent,
) -> np.ndarray:
    """Give the likelihood of each class (K, X, Y, Z) float32 in a region (X, Y, Z) bool; background outside it."""
    likelihood = np.zeros((images.n_classes, *images.target.shape), np.float32)
    np.put_along_axis(likelihood, np.where(region, images.labels[0], 0)[None].astype(np.int64), 1, 0)
    voxels = np.argwhere(region & undecided(images.labels, settings.window))
    slabs = list(_slabs(images, voxels, features, settings))
    for i, some in enumerate(slabs):
        told = part_of(progress, i / len(slabs), (i + 1) / len(slabs))
        likelihood[:, *some.T] = match(images, some, features, settings, told).likelihood
    return likelihood


def match(
    images: OnOneLattice,
    voxels: np.ndarray,
    features: PatchFeatures,
    settings: MatchingSettings,
    progress: Progress = silent,
) -> Matched:
    """Let the patches of the atlases vote for some voxels (N, 3); the features come first."""
    asked = np.zeros(images.target.shape, bool)
    asked[*voxels.T] = True
    reach = maximum_filter(asked, settings.window)
    tables = [_table(features, images.target, asked)]
    for a, (name, image) in enumerate(zip(images.names, images.images, strict=True)):
        progress(DESCRIBING * a / len(images.names), f"Features of atlas {name}, {a + 1} of {len(images.names)}")
        tables.append(_table(features, image, reach))
    return matched_labels(
        tables[0], tables[1:], list(images.labels), voxels, n_classes=images.n_classes, settings=settings,
        progress=part_of(progress, DESCRIBING, 1),
    )  # fmt: skip


def votes_for(
    images: OnOneLattice, voxel: np.ndarray, point_mm: np.ndarray, class_names: tuple[str, ...],
    features: PatchFeatures, settings: MatchingSettings, patch: Size,
) -> PatchVotes:  # fmt: skip
    """Give the patches that vote for one voxel (3,), each as large as ``patch``."""
    matched = match(images, voxel[None], features, settings)
    found = matched.votes(0)
    patches = np.stack(
        [gather(images.images[a][None], v[None], patch)[0, 0] for a, v in zip(found.atlas, found.voxel, strict=True)]
    )
    return PatchVotes(
        voxel, point_mm, found.weight, found.label, class_names, tuple(images.names[a] for a in found.atlas),
        found.voxel, found.distance, patches, gather(images.target[None], voxel[None], patch)[0, 0],
        matched.likelihood[:, 0],
    )  # fmt: skip


def _slabs(
    images: OnOneLattice, voxels: np.ndarray, features: PatchFeatures, settings: MatchingSettings
) -> Iterator[np.ndarray]:
    """Cut voxels (N, 3) between the matching's blocks along X, so that the features of a slab are not too many.

    Neighbors whose codes depend on each other stay together.
    """
    if not len(voxels):
        return
    n_bytes = 4.0 * features.size * len(images.names) * np.prod(np.ptp(voxels, axis=0) + settings.window)
    block = voxels[:, 0] // BLOCK
    found = np.unique(block)
    n_slabs = 1 if settings.smoothness else int(np.clip(np.ceil(n_bytes / MOST_AT_ONCE), 1, len(found)))
    for some in np.array_split(found, n_slabs):
        yield voxels[np.isin(block, some)]


def _table(features: PatchFeatures, image: np.ndarray, where: np.ndarray) -> PatchTable:
    """Give the rows of a mask (X, Y, Z); on the disk, in half precision, where they would fill the memory."""
    voxels = np.argwhere(where)
    row_of = np.full(where.shape, -1, np.int32)
    row_of[where] = np.arange(len(voxels))
    shape = (len(voxels), features.size)
    if 4 * shape[0] * shape[1] <= MOST_IN_MEMORY:
        return PatchTable(features.rows(image, voxels), row_of)
    with tempfile.TemporaryFile() as file:  # the map keeps it alive until it is no longer used
        rows = np.memmap(file, np.float16, "w+", shape=shape)
    for begin in range(0, len(voxels), ROWS_AT_ONCE):
        some = slice(begin, begin + ROWS_AT_ONCE)
        rows[some] = features.rows(image, voxels[some])
    return PatchTable(rows, row_of)
