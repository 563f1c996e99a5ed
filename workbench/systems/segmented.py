"""A segmented subject: what a network says of every voxel, on the subject's own lattice, and how it is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from workbench.imaging.geometry import resample_like, same_lattice
from workbench.imaging.volume import Volume
from workbench.metrics.segmentation import score_label_maps
from workbench.runs.arrays import read_arrays, write_arrays
from workbench.systems.label_classes import IGNORED, LabelClasses


@dataclass(frozen=True, eq=False)
class Segmented:
    """One subject as a network labels it.

    Attributes:
        image: the subject's first modality, on its own lattice.
        classes: (X, Y, Z) int32, 0 background; after what the system does last (small components, holes).
        probabilities: (K, X, Y, Z) float32, background first, sum 1; before that.
        region: (X, Y, Z) bool, what the network was asked about.
        meaning: names and label values of the classes.
        truth: (X, Y, Z) int32 classes, -1 where ignored; None where there is none.
        seconds: that it took.
        composites: name → classes that are scored together as well.
        lesions: whether connected pieces are scored as lesions.
    """

    image: Volume
    classes: np.ndarray
    probabilities: np.ndarray
    region: np.ndarray
    meaning: LabelClasses
    truth: np.ndarray | None = None
    seconds: float = 0.0
    composites: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    lesions: bool = False

    @property
    def names(self) -> dict[int, str]:
        """Class → name, without the background."""
        return dict(enumerate(self.meaning.all_names[1:], 1))

    @property
    def label_map(self) -> Volume:
        """The user's own label values on the lattice of the image, with its stored grid."""
        return self.image.with_data(self.meaning.decode(self.classes).astype(np.float32), "label")

    @property
    def uncertainty(self) -> np.ndarray:
        """Entropy of the class probabilities over its largest value (X, Y, Z), 0 (sure) to 1."""
        p = self.probabilities
        entropy = np.zeros(p.shape[1:], np.float32)
        for one in p:  # class by class: K times the memory is not needed
            entropy -= one * np.log(np.maximum(one, 1e-12))
        return entropy / np.log(len(p))

    def scores(self, reference: np.ndarray | None = None) -> dict[str, dict[str, float]]:
        """Score against the truth, or against other classes (X, Y, Z); empty where there is nothing to compare with."""
        truth = self.truth if reference is None else reference
        if truth is None:
            return {}
        known = truth != IGNORED
        return score_label_maps(
            np.where(known, self.classes, 0), np.where(known, truth, 0), self.image.spacing, self.names,
            composites=self.composites, lesions=self.lesions, within=None if bool(known.all()) else known,
        )  # fmt: skip

    def save(self, file: Path) -> None:
        """Keep everything but the image and the truth, which lie with the subject."""
        write_arrays(file, {
            "classes": self.classes.astype(np.int16), "probabilities": self.probabilities.astype(np.float16),
            "region": self.region, "seconds": np.array(self.seconds),
        })  # fmt: skip

    def loaded(self, file: Path) -> Segmented:
        """Give this with what :meth:`save` kept."""
        kept = read_arrays(file)
        return replace(
            self, classes=kept["classes"].astype(np.int32), probabilities=kept["probabilities"].astype(np.float32),
            region=kept["region"], seconds=float(kept["seconds"]),
        )  # fmt: skip


def on_own_lattice(probabilities: np.ndarray, region: np.ndarray, working: Volume, own: Volume) -> tuple[Any, Any]:
    """Bring probabilities (K, X, Y, Z) and region (X, Y, Z) from the working lattice to the subject's.

    What lies outside the region, or beyond the working lattice, is background.
    """
    if not same_lattice(working, own):
        moved = resample_like(working.with_data(probabilities), own, order=1)
        where = resample_like(working.with_data(region.astype(np.float32)), own, order=0)
        probabilities, region = moved.data, where.data[0] > 0.5
    probabilities = np.ascontiguousarray(probabilities, np.float32)
    probabilities[:, ~region] = 0
    probabilities[0, ~region] = 1
    probabilities /= np.maximum(probabilities.sum(0), 1e-12)
    return probabilities, region
