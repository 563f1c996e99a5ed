"""The Subject: paths to what is known of one person, read when asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from workbench.errors import CohortError, GeometryError
from workbench.imaging.feature_vectors import FeatureVector, read_feature_vector
from workbench.imaging.files import read_volume
from workbench.imaging.volume import Volume

GRID_TOLERANCE_MM = 1e-2


@dataclass(frozen=True)
class Subject:
    """One row of cohort.csv with absolute paths.

    Attributes:
        name: unique in its cohort.
        images: modality → file.
        label: integer label map.
        mask: where the anatomy of interest is (non-zero).
        points: CSV of x, y, z in mm [, class, diameter].
        series: 4-D image, or a table of (T, R) regional means.
        features: name → vector file.
        target: class or number, as written.
        group: patient or site; splits never separate a group.
        split: ``"train"``, ``"validation"`` or ``"test"`` where the cohort fixes it.
        covariates: every other column, as written.
        folder: the cohort's folder, to which paths among the covariates are relative.
    """

    name: str
    images: dict[str, Path] = field(default_factory=dict)
    label: Path | None = None
    mask: Path | None = None
    points: Path | None = None
    series: Path | None = None
    features: dict[str, Path] = field(default_factory=dict)
    target: str | None = None
    group: str | None = None
    split: str | None = None
    covariates: dict[str, str] = field(default_factory=dict)
    folder: Path = Path()

    def volume(self, modality: str) -> Volume:
        """Read one modality.

        Raises:
            CohortError: this subject does not have it.
            FileError: the file cannot be read.
        """
        if modality not in self.images:
            known = ", ".join(self.images) or "no image at all"
            raise CohortError(f"Subject {self.name} has no {modality} image; it has {known}.")
        return read_volume(self.images[modality], modality)

    def feature_vector(self, name: str) -> FeatureVector:
        """Read one feature vector: ``names`` (V,) and ``values`` (V,) float32, NaN where a cell is empty.

        Raises:
            CohortError: this subject does not have it.
            FileError: the file holds no single row of numbers.
        """
        if name not in self.features:
            known = ", ".join(self.features) or "none at all"
            raise CohortError(f"Subject {self.name} has no features {name!r}; it has {known}.")
        return read_feature_vector(self.features[name])

    def label_map(self, like: Volume | None = None) -> np.ndarray | None:
        """Read the label map as (X, Y, Z) int32, or None; ``like`` is the image that it must lie on."""
        return None if self.label is None else _on_grid(self.label, "label map", self.name, like).astype(np.int32)

    def mask_array(self, like: Volume | None = None) -> np.ndarray | None:
        """Read the mask as (X, Y, Z) bool, or None; ``like`` is the image that it must lie on."""
        return None if self.mask is None else _on_grid(self.mask, "mask", self.name, like) > 0


def _on_grid(path: Path, what: str, name: str, like: Volume | None) -> np.ndarray:
    volume = read_volume(path, what)
    if like is not None and (
        volume.shape != like.shape or not np.allclose(volume.affine, like.affine, atol=GRID_TOLERANCE_MM)
    ):
        raise GeometryError(
            f"The {what} of {name} has {volume.shape} voxels of {_mm(volume)} mm but its {like.modality} image has "
            f"{like.shape} of {_mm(like)} mm, or they lie at different places; resample the {what} like the image "
            "first."
        )
    return np.rint(volume.data[0])


def _mm(volume: Volume) -> str:
    return " × ".join(f"{s:.3g}" for s in volume.spacing)
