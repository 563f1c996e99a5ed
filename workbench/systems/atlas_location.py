"""Where a structure lies: crops about it in labelled images, and its box in an image without labels.

An image without labels is found its place in by an affine map from a few coarse labelled images ("scouts"). Where crops
are as large as the images, as with a cohort that was cropped before, there is nothing to find.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from workbench.imaging.geometry import crop
from workbench.imaging.volume import Volume
from workbench.progress import Progress, silent
from workbench.registration.atlas_warps import brought
from workbench.runs.run import Run
from workbench.systems.feature_images import to_cubes

KEPT_AS = "scout-"
N_SCOUTS = 3
COARSE_MM = 3.0
NEARLY_ALL = 0.9

Box = tuple[np.ndarray, np.ndarray]
"""First voxels (3,) and one past the last (3,)."""


@dataclass(frozen=True, eq=False)
class Scout:
    """A coarse labelled image.

    Attributes:
        image: (1, X, Y, Z), the whole image at some 3 mm.
        corners_mm: (8, 3), of the box around what is labelled, without a margin.
    """

    image: Volume
    corners_mm: np.ndarray


def scout_of(image: Volume, box: Box) -> Scout:
    """Make a scout of a prepared image (1, X, Y, Z) and the box of its structure."""
    coarse, _ = to_cubes(image, np.ones(image.shape, bool), max(COARSE_MM, *image.spacing))
    return Scout(Volume(coarse.data, coarse.affine, image.modality), image.to_mm(_corners(box)))


def leave_scouts(run: Run, scouts: Sequence[Scout]) -> None:
    """Keep scouts in a run."""
    for i, scout in enumerate(scouts):
        run.save_arrays(
            f"{KEPT_AS}{i}", image=scout.image.data, affine=scout.image.affine, corners=scout.corners_mm,
            modality=np.array(scout.image.modality),
        )  # fmt: skip


def read_scouts(run: Run) -> list[Scout]:
    """Read the scouts of a run; none where its crops are whole images."""
    kept = [run.load_arrays(n) for n in run.list_arrays() if n.startswith(KEPT_AS)]
    return [Scout(Volume(k["image"], k["affine"], str(k["modality"])), k["corners"]) for k in kept]


def widened(box: Box, margin_mm: float, image: Volume) -> Box:
    """Give a box with a margin on each side, cut at the border of the image."""
    margin = np.ceil(margin_mm / np.array(image.spacing)).astype(int)
    return np.maximum(box[0] - margin, 0), np.minimum(box[1] + margin, image.shape)


def is_nearly_all(box: Box, image: Volume) -> bool:
    """Say whether a box holds nearly the whole image."""
    return bool(np.prod(box[1] - box[0]) >= NEARLY_ALL * np.prod(image.shape))


def whole(image: Volume) -> Box:
    """Give the box of the whole image."""
    return np.zeros(3, int), np.array(image.shape)


def cut(image: Volume, box: Box) -> Volume:
    """Give an image within a box."""
    return crop(image, box[0].tolist(), box[1].tolist())


def within(box: Box) -> tuple[slice, slice, slice]:
    """Give a box as slices of an array (X, Y, Z)."""
    x, y, z = (slice(int(a), int(b)) for a, b in zip(*box, strict=True))
    return x, y, z


def located(image: Volume, scouts: Sequence[Scout], margin_mm: float, progress: Progress = silent) -> Box:
    """Find the box of the structure in an image without labels: the middle one of what the scouts say, widened.

    Args:
        image: (1, X, Y, Z), prepared and whole.
        scouts: at least one.
        margin_mm: on each side.
        progress: told after each scout.
    """
    coarse, _ = to_cubes(image, np.ones(image.shape, bool), max(COARSE_MM, *image.spacing))
    found = []
    for i, scout in enumerate(scouts):
        matrix = brought(scout.image, coarse, "affine").linear
        voxels = image.to_voxels(scout.corners_mm @ matrix[:3, :3].T + matrix[:3, 3])  # (8, 3)
        found.append((voxels.min(0), voxels.max(0)))
        progress((i + 1) / len(scouts), f"Looking for the structure, {i + 1} of {len(scouts)}")
    low, high = np.median([f[0] for f in found], 0), np.median([f[1] for f in found], 0)
    low = np.clip(np.floor(low).astype(int), 0, np.array(image.shape) - 1)
    high = np.clip(np.ceil(high).astype(int), low + 1, image.shape)
    return widened((low, high), margin_mm, image)


def _corners(box: Box) -> np.ndarray:
    """Give the eight outermost voxels (8, 3) of a box."""
    ends = np.stack([box[0], box[1] - 1])  # (2, 3)
    return np.array([[ends[i, 0], ends[j, 1], ends[k, 2]] for i in (0, 1) for j in (0, 1) for k in (0, 1)])
