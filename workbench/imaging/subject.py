"""The Subject: paths to what is known of one person, read when asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from workbench.errors import CohortError, GeometryError
from workbench.imaging.feature_vectors import FeatureVector, read_feature_vector
from workbench.imaging.files import NIFTI_SUFFIXES, read_volume, suffix_of
from workbench.imaging.regional_series import RegionalSeries, read_regional_series
from workbench.imaging.volume import Volume

GRID_TOLERANCE_MM = 1e-2
TR_COLUMN = "tr_s"
"""The covariate that holds the repetition time of a series in seconds."""


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

    @property
    def tr_s(self) -> float | None:
        """The repetition time in s that cohort.csv gives; None where it gives none.

        Raises:
            CohortError: the cell holds something else.
        """
        text = self.covariates.get(TR_COLUMN, "")
        if text.lower() in ("", "n/a", "nan"):
            return None
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not 0 < value < math.inf:
            raise CohortError(
                f"Subject {self.name} has {TR_COLUMN} = {text[:40]!r}; expected the seconds from one volume to the "
                "next, or an empty cell."
            )
        return value

    def regional_series(self, n_regions: int | None = None) -> RegionalSeries:
        """Read the time series of this subject's regions; the TR of cohort.csv goes before that of the file.

        Args:
            n_regions: where it is known, decides which axis of a table without names is time.

        Raises:
            CohortError: no series, or a 4-D image whose regions have still to be extracted.
            FileError: the table cannot be read.
        """
        if self.series is None:
            raise CohortError(f"Subject {self.name} has no series; give a table of time × regions in that column.")
        if suffix_of(self.series) in NIFTI_SUFFIXES:
            raise CohortError(
                f"The series of {self.name} is a 4-D image ({self.series.name}); extract its regions with an atlas "
                "first."
            )
        found = read_regional_series(self.series, n_regions)
        return found if self.tr_s is None else replace(found, tr_s=self.tr_s)

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
