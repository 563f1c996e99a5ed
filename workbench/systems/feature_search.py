"""Figure 5 as an instrument: where does each kind of feature find a point of one image again in another?

The similarity matters as much as the feature, so each map's name says both, and raw patches are always shown under two.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import get_args

import numpy as np
from scipy.ndimage import map_coordinates

from workbench.classical.descriptors import dense_sift, sift_size
from workbench.errors import SettingsError
from workbench.imaging.fields import read_field
from workbench.imaging.geometry import warp
from workbench.imaging.subject import Subject
from workbench.imaging.volume import Volume
from workbench.inference.features import FeatureVolume, cached_features, digest_of
from workbench.inference.similarity import FeatureIndex, FeatureMeasure, PatchIndex
from workbench.metrics.correspondence import Correspondence, correspondence
from workbench.progress import Progress, silent
from workbench.runs.run import Run
from workbench.systems.encoder_base import EncoderLearning

PATCH_L2, PATCH_CORRELATION, SIFT = "Patch, L2", "Patch, correlation", "SIFT, L2"
EXCLUSION_MM = 10.0


class SubjectSearch:
    """One subject, ready to be searched: what does not depend on the clicked point is computed once.

    Args:
        system: a feature learner.
        run: its trained run.
        subject: whom to search.
        progress: told while features are computed; what is computed is kept in the cache folder.
    """

    def __init__(self, system: EncoderLearning, run: Run, subject: Subject, progress: Progress = silent) -> None:
        self.subject = subject
        self.volume, self.mask = system.prepared(subject, run)
        self.learnt = system.learnt
        self.codes: FeatureVolume = system.features(self.volume, self.mask, run, progress)
        self.sift = _sift(self.volume, self.mask, sift_cell(system.patch_size), progress)
        self.patches = PatchIndex(self.volume.data, self.mask, system.patch_voxels)
        self._codes, self._sift = FeatureIndex(self.codes.features), FeatureIndex(self.sift.features)
        self._registered: dict[str, Volume | None] = {}

    @cached_property
    def points_mm(self) -> np.ndarray:
        """Where the candidates lie, (N, 3) in mm."""
        return self.codes.points_mm

    def similarities(self, query: Query, measure: FeatureMeasure) -> dict[str, np.ndarray]:
        """Compare a query with every candidate: name of feature and measure → (N,), higher is better."""
        return {
            PATCH_L2: self.patches.similarity(query.patch, "l2"),
            PATCH_CORRELATION: self.patches.similarity(query.patch, "correlation"),
            SIFT: self._sift.similarity(query.sift, "l2"),
            learnt_name(self.learnt, measure): self._codes.similarity(query.code, measure),
        }

    def registered(self, other: SubjectSearch) -> Volume | None:
        """Give another subject on this one's lattice, by the known deformation between them; None without one."""
        if other.subject.name not in self._registered:
            places = self.volume.to_mm(np.stack(np.meshgrid(*map(np.arange, self.volume.shape), indexing="ij"), -1))
            matches = true_match(self.subject, other.subject, places)
            self._registered[other.subject.name] = None if matches is None else warp(
                other.volume, np.moveaxis(matches - places, -1, 0).astype(np.float32), like=self.volume
            )  # fmt: skip
        return self._registered[other.subject.name]

    def query(self, point_mm: np.ndarray) -> Query:
        """Describe the masked voxel nearest to a point in mm."""
        row = self.codes.lookup(point_mm)
        voxel = self.codes.voxels[row]
        return Query(
            self.volume.to_mm(voxel), np.asarray(voxel), self.patches.patch(voxel),
            np.asarray(self.sift.features[row], np.float32), np.asarray(self.codes.features[row], np.float32),
        )  # fmt: skip


@dataclass(frozen=True)
class Query:
    """A point of the template, described in each way.

    Attributes:
        point_mm: (3,) the voxel's own place.
        voxel: (3,).
        patch: (C, *size) raw intensities.
        sift: the SIFT-like descriptor.
        code: the learnt feature.
    """

    point_mm: np.ndarray
    voxel: np.ndarray
    patch: np.ndarray
    sift: np.ndarray
    code: np.ndarray


@dataclass(frozen=True)
class SimilarityView:
    """Everything that Figure 5 draws for one point.

    Attributes:
        template, subject: as the network sees them, 0 to 1.
        registered: the subject on the template's lattice, where the deformation between them is known.
        template_voxel: (3,) the cross.
        template_mm: (3,).
        maps: name → (X, Y, Z) similarity on the subject's lattice, NaN outside its mask; higher is better.
        best_voxel: name → (3,) the best match.
        best_mm: name → (3,).
        truth_voxel: (3,) the true match, or None where it is not known.
        truth_mm: (3,) or None.
        scores: name → how well the truth was found, or None.
        seconds: what this view took.
    """

    template: Volume
    subject: Volume
    registered: Volume | None
    template_voxel: tuple[int, int, int]
    template_mm: tuple[float, float, float]
    maps: dict[str, np.ndarray]
    best_voxel: dict[str, tuple[int, int, int]]
    best_mm: dict[str, tuple[float, float, float]]
    truth_voxel: tuple[int, int, int] | None
    truth_mm: tuple[float, float, float] | None
    scores: dict[str, Correspondence | None]
    seconds: float


def similarity_view(
    template: SubjectSearch, subject: SubjectSearch, point_mm: tuple[float, float, float], measure: str = "correlation"
) -> SimilarityView:
    """Compare one point of a template with every voxel of a subject.

    Args:
        template, subject: both searched by the same run.
        point_mm: a point of the template; the masked voxel nearest to it is taken.
        measure: of the learnt features: ``"correlation"``, ``"cosine"`` or ``"l2"``.

    Raises:
        SettingsError: an unknown measure.
    """
    begin = time.perf_counter()
    query = template.query(np.asarray(point_mm, float))
    found = subject.similarities(query, checked_measure(measure))
    truth = true_match(template.subject, subject.subject, query.point_mm)
    best = {name: subject.codes.voxels[int(np.argmax(values))] for name, values in found.items()}
    scores = {
        n: None if truth is None else correspondence(s, subject.points_mm, truth, EXCLUSION_MM)
        for n, s in found.items()
    }
    return SimilarityView(
        template.volume, subject.volume, template.registered(subject), _voxel(query.voxel), _point(query.point_mm),
        {name: subject.codes.as_map(values) for name, values in found.items()},
        {name: _voxel(v) for name, v in best.items()},
        {name: _point(subject.volume.to_mm(v)) for name, v in best.items()},
        None if truth is None else _voxel(np.rint(subject.volume.to_voxels(truth))),
        None if truth is None else _point(truth), scores, time.perf_counter() - begin,
    )  # fmt: skip


def learnt_name(learnt: str, measure: str) -> str:
    """Name learnt features ("SAE", "ISA") under a measure, as maps and tables do."""
    return f"{learnt}, {'L2' if measure == 'l2' else measure}"


def checked_measure(measure: str) -> FeatureMeasure:
    """Give a known measure.

    Raises:
        SettingsError: it is not one.
    """
    if measure not in get_args(FeatureMeasure):
        raise SettingsError(f"There is no measure {measure!r}; choose one of {', '.join(get_args(FeatureMeasure))}.")
    return measure  # type: ignore[return-value]


def true_match(template: Subject, subject: Subject, point_mm: np.ndarray) -> np.ndarray | None:
    """Follow a point (3,) or points (n, 3) in mm from one phantom to another; None where no deformation is known.

    A phantom's ``warp`` leads from it to the common template, another's ``inverse_warp`` from there to that one.
    """
    there, back = _field(template, "warp"), _field(subject, "inverse_warp")
    if there is None or back is None:
        return None
    middle = point_mm + _at(there, point_mm)
    return middle + _at(back, middle)


def _field(subject: Subject, name: str) -> tuple[np.ndarray, np.ndarray] | None:
    path = subject.covariates.get(name)
    return None if path is None else _read_field(str(subject.folder / path))


@lru_cache(maxsize=6)
def _read_field(path: str) -> tuple[np.ndarray, np.ndarray]:
    return read_field(path)


def _at(field: tuple[np.ndarray, np.ndarray], points_mm: np.ndarray) -> np.ndarray:
    """Interpolate displacements in mm at points (..., 3)."""
    vectors, affine = field
    voxels = (points_mm - affine[:3, 3]) @ np.linalg.inv(affine[:3, :3]).T
    where = np.moveaxis(np.atleast_2d(voxels), -1, 0)
    found = np.stack([map_coordinates(v, where, order=1, mode="nearest") for v in vectors], -1)
    return found.reshape(np.shape(points_mm))


def sift_cell(patch_size: int) -> int:
    """Give the edge of a descriptor's cell in voxels, so that its four cells see as much as a patch does."""
    return max(1, round(patch_size / 4))


def _sift(volume: Volume, mask: np.ndarray, cell: int, progress: Progress) -> FeatureVolume:
    """Open the subject's SIFT-like descriptors, or compute and keep them."""
    key = "sift-" + digest_of(volume.data, mask, volume.affine, str(cell))

    def compute(out: np.ndarray, report: Progress) -> None:
        dense_sift(volume.data[0], mask, spacing_mm=volume.spacing, cell=cell, out=out, progress=report)

    return cached_features(key, mask, volume.affine, sift_size(volume.shape), compute, progress=progress)


def _voxel(index: np.ndarray) -> tuple[int, int, int]:
    x, y, z = (int(v) for v in index)
    return x, y, z


def _point(point: np.ndarray) -> tuple[float, float, float]:
    x, y, z = (float(v) for v in point)
    return x, y, z
