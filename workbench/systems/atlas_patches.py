"""Patches of a run's atlases, to learn features from: near what is labelled, and more of them at its border."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from scipy.ndimage import distance_transform_edt

from workbench.errors import CohortError
from workbench.imaging.cohort import Cohort
from workbench.imaging.subject import Subject
from workbench.patches.prepared import Prepared
from workbench.patches.store import PatchStore, store_key
from workbench.paths import cache_dir
from workbench.progress import Progress, silent
from workbench.systems.atlases import Atlas

EVERYWHERE = 0.05  # the least weight of a voxel within reach, beside 1 at the border


def atlas_store(
    atlases: Sequence[Atlas], cohort: Cohort, patch: Sequence[int], reach_mm: float, progress: Progress = silent
) -> PatchStore:
    """Give the atlases' images and classes to draw patches from, or open what was made of the same ones before.

    Args:
        atlases: of a run.
        cohort: whose subjects they were.
        patch: voxels along X, Y, Z.
        reach_mm: how far from a border between classes patches are centered; their weight falls to a hundredth there.
        progress: told of each atlas.

    Raises:
        CohortError: nothing is labelled in an atlas.
    """
    by_name = {atlas.name: atlas for atlas in atlases}

    def prepare(subject: Subject) -> Prepared:
        atlas = by_name[subject.name]
        distance = border_distance(atlas)
        weights = np.maximum(np.exp(-distance * np.log(100) / max(reach_mm, 1e-6)), EVERYWHERE)
        return Prepared(atlas.image.data, distance <= reach_mm, atlas.labels, weights, atlas.image.affine)

    identity = hashlib.blake2b(digest_size=16)
    for atlas in atlases:
        identity.update(atlas.image.digest.encode())
        identity.update(np.ascontiguousarray(atlas.labels, np.int32).tobytes())
    key = store_key(identity.hexdigest(), {"reach": reach_mm, "patch": [int(n) for n in patch]})
    subjects = cohort.only([atlas.name for atlas in atlases]).subjects
    folder = cache_dir() / "patches" / key
    return PatchStore.build(subjects, prepare, folder, key=key, margin=max(patch) // 2, progress=progress)


def border_distance(atlas: Atlas) -> np.ndarray:
    """Give how far each voxel (X, Y, Z) is from the nearest voxel of another class, in mm.

    Raises:
        CohortError: nothing is labelled, or everything.
    """
    if len(found := np.unique(atlas.labels)) < 2:
        raise CohortError(
            f"Every voxel of {atlas.name} has one class, so it shows no border to learn; leave the subject out."
        )
    distance = np.zeros(atlas.labels.shape)
    for label in found:
        inside = atlas.labels == label
        distance[inside] = distance_transform_edt(inside, atlas.image.spacing)[inside]
    return distance


def some_voxels(atlas: Atlas, n: int, reach_mm: float, seed: int) -> np.ndarray:
    """Draw voxels (n, 3) at most so far from a border."""
    near = np.argwhere(border_distance(atlas) <= reach_mm)
    return near[np.random.default_rng([seed, len(near)]).integers(0, len(near), n)]
