"""From a subject's files to the channels that a segmenting network sees: one lattice, corrected, standardized.

Nothing here looks at labels but to keep them beside the image. What is learnt, landmarks and moments, comes from the
training subjects alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from workbench.errors import CohortError, GeometryError
from workbench.imaging.cohort import Cohort
from workbench.imaging.geometry import resample_like, same_lattice
from workbench.imaging.standardization import Landmarks, landmark_row, mean_landmarks, scale_by, scale_range
from workbench.imaging.subject import Subject
from workbench.imaging.volume import Volume
from workbench.progress import Progress, silent
from workbench.systems.corrected_images import corrected
from workbench.systems.feature_images import foreground, one_channel, to_cubes
from workbench.systems.label_classes import IGNORED, LabelClasses

StandardizationName = Literal["z_score", "quarter_z_score", "range", "training", "nyul", "none"]
RegionName = Literal["mask", "image"]
LEAST_OVERLAP = 0.5
LEARNT = ("training", "nyul")
MODALITY_HAS = "a modality has one; choose another, or give each channel as a modality of its own."


def _nothing() -> np.ndarray:
    return np.zeros(0)


@dataclass(frozen=True, eq=False)
class Intensities:
    """What is learnt of the intensities of the training subjects.

    Attributes:
        landmarks: of each modality; empty without Nyúl's standardization.
        mean, deviation: (C,) over the regions of the training subjects, after that; empty where not wanted.
    """

    landmarks: tuple[Landmarks, ...] = ()
    mean: np.ndarray = field(default_factory=_nothing)
    deviation: np.ndarray = field(default_factory=_nothing)


@dataclass(frozen=True)
class SegmentationImages:
    """What is done to every image, before training and before segmenting.

    Attributes:
        modalities: one a channel, at least one.
        spacing_mm: edge of the voxels that images are resampled to; 0 keeps theirs.
        bias_correction: whether N4 comes first.
        standardization: ``z_score`` inside the region; ``quarter_z_score``, the same of the whole image over four
            (Kleesiek et al. 2016); ``range``, 0 to 1 inside the region; ``training``, by the moments of the training
            subjects; ``nyul``, landmarks learnt from them (Nyúl and Udupa 1999), then their moments; ``none``.
        region: ``mask``, the subject's mask or else its foreground, beyond which the network sees 0; ``image``, every
            voxel.
    """

    modalities: tuple[str, ...]
    spacing_mm: float
    bias_correction: bool
    standardization: StandardizationName
    region: RegionName

    def check(self, cohort: Cohort) -> None:
        """Say what subjects lack.

        Raises:
            CohortError: a subject lacks a modality.
        """
        for subject in cohort:
            missing = [m for m in self.modalities if m not in subject.images]
            if missing:
                raise CohortError(
                    f"Subject {subject.name} has no {' and no '.join(missing)}; it has "
                    f"{', '.join(subject.images) or 'no image'}. Choose other modalities or leave the subject out."
                )

    def raw(self, subject: Subject) -> Volume:
        """Read all modalities (C, X, Y, Z) onto the lattice of the first.

        Raises:
            CohortError: a modality is missing, or has several channels or time points.
            GeometryError: a modality lies elsewhere.
        """
        self.check(Cohort(subject.folder / "cohort.csv", (subject,)))
        first, *others = [one_channel(subject.volume(m), subject.name, MODALITY_HAS) for m in self.modalities]
        channels = [first.data[0], *(_onto(other, first, subject.name) for other in others)]
        data = np.stack(channels)
        if not np.isfinite(data).all():
            raise CohortError(
                f"The images of subject {subject.name} hold {int((~np.isfinite(data)).sum())} voxels that are not "
                "finite numbers; repair the files or leave the subject out."
            )
        return first.with_data(data)

    def own(self, subject: Subject) -> Volume:
        """Read the first modality alone: the lattice that results return to.

        Raises:
            CohortError: it is missing, or has several channels or time points.
        """
        return one_channel(subject.volume(self.modalities[0]), subject.name, MODALITY_HAS)

    def image(self, subject: Subject, learnt: Intensities) -> tuple[Volume, np.ndarray]:
        """Give the image (C, X, Y, Z) as the network sees it, and the region (X, Y, Z) bool that it is to label.

        Raises:
            CohortError: the region is empty, or as :meth:`raw`.
        """
        volume, region = self._working(subject)
        data = np.stack([self._standard(c, volume.data[c], region, learnt) for c in range(volume.n_channels)])
        return volume.with_data(data), region

    def learn(self, part: Cohort, progress: Progress = silent) -> Intensities:
        """Learn from training subjects what the standardization needs; nothing where it needs nothing."""
        if self.standardization not in LEARNT:
            return Intensities()
        landmarks: tuple[Landmarks, ...] = ()
        if self.standardization == "nyul":
            rows: list[list[np.ndarray]] = [[] for _ in self.modalities]
            for number, (volume, region) in enumerate(self._all(part, progress, "Landmarks"), start=1):
                for own, values in zip(rows, volume.data, strict=True):
                    own.append(landmark_row(values, region, f"training image {number}"))
            landmarks = tuple(mean_landmarks(own) for own in rows)
        sums = np.zeros((3, len(self.modalities)))
        for volume, region in self._all(part, progress, "Moments"):
            for c in range(len(self.modalities)):
                values = volume.data[c]
                inside = (landmarks[c].apply(values, region) if landmarks else values)[region].astype(float)
                sums[:, c] += (inside.size, inside.sum(), np.square(inside).sum())
        mean = sums[1] / sums[0]
        deviation = np.sqrt(np.maximum(sums[2] / sums[0] - mean**2, 1e-12))
        return Intensities(landmarks, mean, deviation)

    def truth(self, subject: Subject, classes: LabelClasses, like: Volume) -> np.ndarray | None:
        """Give the classes (X, Y, Z) int32 of a subject on the lattice of ``like``; None where it has no truth."""
        original = self.own(subject)
        labels = classes.truth(subject, original)
        if labels is None or same_lattice(original, like):
            return labels
        moved = resample_like(original.with_data(labels.astype(np.float32)), like, order=0, fill=IGNORED)
        return np.rint(moved.data[0]).astype(np.int32)

    def _working(self, subject: Subject) -> tuple[Volume, np.ndarray]:
        """Read, find the region, correct the bias and resample."""
        volume = self.raw(subject)
        region = subject.mask_array(volume) if self.region == "mask" else None
        if region is None:
            found = foreground(volume.data[0])
            region = found if self.region == "mask" else np.ones(volume.shape, bool)
        else:
            found = region
        if self.bias_correction and not volume.is_picture:
            volume = corrected(volume, found)
        volume, region = to_cubes(volume, region, self.spacing_mm)
        if not region.any():
            raise CohortError(
                f"The mask of subject {subject.name} is empty, so nothing would be segmented; draw it again, or choose "
                "the region image."
            )
        return volume, region

    def _standard(self, channel: int, values: np.ndarray, region: np.ndarray, learnt: Intensities) -> np.ndarray:
        if self.standardization == "none":
            return values
        if self.standardization == "quarter_z_score":
            return (values - values.mean()) / (4 * float(values.std()) or 1.0)
        if self.standardization == "range":
            return scale_range(values, region, 0.0, 1.0)
        if self.standardization == "z_score":
            inside = values[region].astype(float)
            return scale_by(values, region, float(inside.mean()), float(inside.std()))
        if learnt.landmarks:
            values = learnt.landmarks[channel].apply(values, region)
        return scale_by(values, region, float(learnt.mean[channel]), float(learnt.deviation[channel]))

    def _all(self, part: Cohort, progress: Progress, what: str) -> Iterator[tuple[Volume, np.ndarray]]:
        for i, subject in enumerate(part):
            progress(i / len(part), f"{what}: {subject.name}, {i + 1} of {len(part)}")
            yield self._working(subject)


def shared_modalities(cohort: Cohort, advice: str) -> tuple[str, ...]:
    """Give the modalities that every subject has, in the cohort's order.

    Args:
        cohort: all subjects.
        advice: ends the message where there is none: what to name instead.

    Raises:
        CohortError: there is none.
    """
    shared = tuple(m for m in cohort.modalities if all(m in s.images for s in cohort))
    if not shared:
        raise CohortError(
            f"No modality is there for every subject of {cohort.name}; it has "
            f"{', '.join(cohort.modalities) or 'no images'}. Name {advice}."
        )
    return shared


def face_mean(values: np.ndarray) -> np.floating:
    """Give the mean of the six faces of a volume (X, Y, Z), of the four edges of a picture."""
    axes = [axis for axis in range(3) if values.shape[axis] > 1]
    faces = [np.take(values, (0, -1), axis).ravel() for axis in axes] or [values.ravel()]
    return np.concatenate(faces).mean()


def border(image: np.ndarray) -> list[float]:
    """Give what lies beyond the border of each channel of an image (C, X, Y, Z): the mean of its faces."""
    return [float(face_mean(channel)) for channel in image]


def padded(image: np.ndarray, widths: Sequence[tuple[int, int]]) -> np.ndarray:
    """Continue an image (C, X, Y, Z) by :func:`border`, so many voxels before and after each axis."""
    return np.stack([np.pad(c, widths, constant_values=v) for c, v in zip(image, border(image), strict=True)])


def _onto(other: Volume, first: Volume, name: str) -> np.ndarray:
    if same_lattice(other, first):
        return other.data[0]
    inside = resample_like(other.with_data(np.ones(other.shape, np.float32)), first, order=0).data[0]
    if inside.mean() < LEAST_OVERLAP:
        raise GeometryError(
            f"The {other.modality} image of {name} covers {inside.mean():.0%} of its {first.modality} image; register "
            "the modalities of a subject to each other first."
        )
    return resample_like(other, first).data[0]
