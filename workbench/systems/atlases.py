"""Labelled training images that vote on new ones, kept in the run: whoever has its folder has the result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from workbench.errors import RunError
from workbench.imaging.volume import Volume
from workbench.runs.run import Run
from workbench.systems.label_classes import IGNORED

STEM = "atlas-"


@dataclass(frozen=True, eq=False)
class Atlas:
    """A training subject's image and labels, prepared and cropped.

    Attributes:
        name: of the subject.
        image: (1, X, Y, Z), prepared.
        labels: (X, Y, Z) int32 classes, 0 background.
        source: digest of the subject's image as it came, so that no image is ever labelled by itself.
    """

    name: str
    image: Volume
    labels: np.ndarray
    source: str

    @property
    def box(self) -> tuple[np.ndarray, np.ndarray]:
        """The smallest box around what is labelled: first voxels (3,) and one past the last (3,); all if nothing is."""
        places = np.argwhere(self.labels > 0)
        if not len(places):
            return np.zeros(3, int), np.array(self.labels.shape)
        return places.min(0), places.max(0) + 1


@dataclass(frozen=True, eq=False)
class Target:
    """An image that is to be labelled, prepared and cropped.

    Attributes:
        name: of the subject.
        image: (1, X, Y, Z), prepared.
        region: (X, Y, Z) bool, where an answer is wanted.
        source: digest of the subject's image as it came.
    """

    name: str
    image: Volume
    region: np.ndarray
    source: str


def leave_atlases(run: Run, atlases: Sequence[Atlas]) -> None:
    """Keep atlases in a run, in their order."""
    for i, atlas in enumerate(atlases):
        run.save_arrays(
            f"{STEM}{i:03d}", subject=np.array(atlas.name), source=np.array(atlas.source), image=atlas.image.data,
            affine=atlas.image.affine, modality=np.array(atlas.image.modality), labels=atlas.labels.astype(np.int16),
        )  # fmt: skip


def read_atlases(run: Run) -> list[Atlas]:
    """Read the atlases that a run keeps.

    Raises:
        RunError: it has not come that far.
    """
    names = [n for n in run.list_arrays() if n.startswith(STEM)]
    if not names:
        raise RunError(f"Run {run.id} has no atlases yet; wait until it is finished, or resume it.")
    return [_read(run, name) for name in names]


def without_itself(atlases: Sequence[Atlas], source: str) -> list[Atlas]:
    """Leave the atlas out that was made from the image with this digest, as long as another one is left."""
    others = [a for a in atlases if a.source != source]
    return others or list(atlases)


def known_labels(classes: np.ndarray) -> np.ndarray:
    """Give classes (X, Y, Z) int32 with 0 where they are ignored: a vote must say something."""
    return np.where(classes == IGNORED, 0, classes).astype(np.int32)


def _read(run: Run, name: str) -> Atlas:
    kept = run.load_arrays(name)
    image = Volume(kept["image"], kept["affine"], str(kept["modality"]))
    return Atlas(str(kept["subject"]), image, kept["labels"].astype(np.int32), str(kept["source"]))
