"""The base of systems in which labelled training images vote on a new one: multi-atlas segmentation (Section 3.1).

A system says how likely each class is at each voxel of a prepared, cropped target, from atlases that it may register
to it. Everything else is here: preparation, the atlases that a run keeps, crops about the structure, the road from a
subject's files to a label map on the subject's own lattice. A subject that is an atlas of a run has no vote on itself.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from workbench.errors import SettingsError
from workbench.imaging.cohort import Cohort
from workbench.imaging.geometry import put_back
from workbench.imaging.subject import Subject
from workbench.imaging.volume import Volume
from workbench.progress import Progress, part_of, silent
from workbench.registration.atlas_warps import brought
from workbench.registration.registered import Registered
from workbench.runs.run import Run, run_progress
from workbench.systems.atlas_location import (
    N_SCOUTS,
    Scout,
    cut,
    is_nearly_all,
    leave_scouts,
    located,
    read_scouts,
    scout_of,
    whole,
    widened,
    within,
)
from workbench.systems.atlas_settings import AtlasSettings
from workbench.systems.atlases import Atlas, Target, known_labels, leave_atlases, read_atlases, without_itself
from workbench.systems.label_classes import parse_classes
from workbench.systems.labelling import check_truth, learnt_record
from workbench.systems.segmentation_images import SegmentationImages, shared_modalities
from workbench.systems.segmentation_record import SegmentationRecord, read_segmentation_record
from workbench.systems.segmented import Segmented, on_own_lattice

N_SCORED = 3
LOCATING, DECIDING = 0.1, 0.9  # of the time, for the progress bar


@dataclass(frozen=True, eq=False)
class AtlasData:
    """What a system learns from.

    Attributes:
        record: how images are prepared, and their classes.
        atlases: kept in the run.
        held_out: subjects to score, some of them: test, else validation, else training subjects.
        where: whose they are, in words.
    """

    record: SegmentationRecord
    atlases: list[Atlas]
    held_out: list[Subject]
    where: str


class AtlasSegmentation(AtlasSettings):
    """The road of every multi-atlas system."""

    @abstractmethod
    def likelihood(self, target: Target, atlases: Sequence[Atlas], run: Run, progress: Progress = silent) -> np.ndarray:
        """Say how likely each class is at each voxel of a target.

        Args:
            target: prepared, cropped.
            atlases: that vote; the target is none of them.
            run: trained.
            progress: told often; may cancel.

        Returns:
            (K, X, Y, Z) float32 on the target's lattice, background first, sum 1.
        """

    def settle(self, own: Volume, probabilities: np.ndarray, run: Run, progress: Progress = silent) -> np.ndarray:
        """Do what the system does last, on the subject's own lattice; here the likeliest class wins.

        Args:
            own: the subject's image (1, X, Y, Z).
            probabilities: (K, X, Y, Z) float32, background first, sum 1.
            run: trained.
            progress: told often; may cancel.

        Returns:
            (X, Y, Z) int32 classes.
        """
        return probabilities.argmax(0).astype(np.int32)

    def check(self, cohort: Cohort) -> None:
        """Say before a run is made what would not work.

        Raises:
            CohortError: no images, a modality that a subject lacks, or no label maps.
            SettingsError: classes that cannot be read, or pictures.
        """
        images = self.images(cohort)
        images.check(cohort)
        check_truth(cohort, parse_classes(self.classes))
        if any(s.volume(images.modalities[0]).is_picture for s in list(cohort)[:1]):
            raise SettingsError(f"{type(self).__name__} registers volumes and these are pictures; choose a 2-D system.")

    def images(self, cohort: Cohort) -> SegmentationImages:
        """Give how images are prepared, the modality filled in.

        Raises:
            CohortError: there is no modality that every subject has.
        """
        chosen = self.modality or shared_modalities(cohort, "the one to use, and leave out who lacks it")[0]
        return self._images((chosen,))

    def data(self, cohort: Cohort, run: Run) -> AtlasData:
        """Prepare the training subjects as atlases and leave them, and how that was done, in the run.

        Raises:
            CohortError: the split leaves nobody with truth for training, or as the preparation says.
        """
        record, parts = learnt_record(cohort, run, self.classes, self.images(cohort), background=True)
        record.leave(run)
        progress = run_progress(run, "preparing")
        chosen = self._chosen(parts["train"].subjects)
        atlases: list[Atlas] = []
        scouts: list[Scout] = []
        for i, subject in enumerate(chosen):
            progress(i / len(chosen), f"Preparing {subject.name}")
            found, working = self._atlas(subject, record)
            atlases.append(found)
            if len(scouts) < N_SCOUTS and found.image.shape != working.shape:
                inside = np.rint(working.to_voxels(found.image.to_mm(np.stack(found.box)))).astype(int)
                scouts.append(scout_of(working, (inside[0], inside[1])))
        leave_atlases(run, atlases)
        leave_scouts(run, scouts)
        name = next((n for n in ("test", "validation", "train") if len(parts[n])), "train")
        where = f"{'training' if name == 'train' else name} subjects"
        return AtlasData(record, atlases, list(parts[name].subjects[:N_SCORED]), where)

    def leave(self, run: Run, data: AtlasData, tensors: Mapping[str, Tensor]) -> None:
        """Write what was learnt, score some held-out subjects, and finish the run."""
        run.save_weights("weights", dict(tensors))
        progress = run_progress(run, "scoring")
        found: dict[str, list[float]] = {}
        for subject in data.held_out:
            table = self.segment(subject, run, progress).scores()
            for structure, row in table.items():
                found.setdefault(f"dice {structure}", []).append(row["dice"])
        scores = {name: float(np.nanmean(v)) for name, v in found.items() if np.isfinite(v).any()}
        run.finish({"scores": scores, "scored_on": f"{len(data.held_out)} {data.where}, whole volumes"})

    def record(self, run: Run) -> SegmentationRecord:
        """Read how a trained run saw its subjects.

        Raises:
            RunError: the run has not come that far.
        """
        return read_segmentation_record(run, self._images(()))

    def target(self, subject: Subject, run: Run, progress: Progress = silent) -> Target:
        """Prepare a subject as the run's atlases were, cropped about where the structure is."""
        return self._target(subject, run, self.record(run), progress)[0]

    def voters(self, target: Target, run: Run, progress: Progress = silent) -> list[Atlas]:
        """Give the run's atlases that vote on a target: never itself, and the most similar ones if so set."""
        others = without_itself(read_atlases(run), target.source)
        if not self.n_voting or self.n_voting >= len(others):
            return others
        likeness = []
        for i, atlas in enumerate(others):
            progress(i / len(others), f"Comparing {target.name} with {atlas.name}")
            moved = brought(
                target.image, atlas.image, "affine", part_of(progress, i / len(others), (i + 1) / len(others))
            ).warped()
            likeness.append(_correlation(moved.data[0][target.region], target.image.data[0][target.region]))
        best = sorted(np.argsort(likeness)[::-1][: self.n_voting].tolist())
        return [others[i] for i in best]

    def registered(self, fixed: Volume, moving: Volume, progress: Progress = silent) -> Registered:
        """Bring one prepared image onto another as the settings say; kept on the disk."""
        return brought(fixed, moving, self.registration, progress)

    def warped(self, target: Target, atlases: Sequence[Atlas], progress: Progress = silent) -> list[Atlas]:
        """Bring atlases onto the lattice of a target, image and labels."""
        moved = []
        for i, atlas in enumerate(atlases):
            progress(i / len(atlases), f"Registering {atlas.name} to {target.name}")
            map_ = self.registered(
                target.image, atlas.image, part_of(progress, i / len(atlases), (i + 1) / len(atlases))
            )
            moved.append(Atlas(atlas.name, map_.warped(), map_.warp_labels(atlas.labels, "linear"), atlas.source))
        progress(1.0, f"Registered {len(atlases)} atlases")
        return moved

    def segment(self, subject: Subject, run: Run, progress: Progress = silent) -> Segmented:
        """Label every voxel of a subject, on the subject's own lattice.

        Raises:
            CohortError: the subject lacks the modality, or its mask is empty.
            Cancelled: ``progress`` said so.
        """
        begin = time.perf_counter()
        record = self.record(run)
        own = record.images.own(subject)
        target, working, region = self._target(subject, run, record, part_of(progress, 0, LOCATING))
        atlases = self.voters(target, run, part_of(progress, LOCATING, LOCATING))
        found = self.likelihood(target, atlases, run, part_of(progress, LOCATING, DECIDING))
        shown, where = self._whole(found, target, working, region)
        probabilities, inside = on_own_lattice(shown, where, working, own)
        classes = self.settle(own, probabilities, run, part_of(progress, DECIDING, 1))
        progress(1.0, f"Segmented {subject.name}")
        return self._segmented(subject, record, own, classes, probabilities, inside, time.perf_counter() - begin)

    def _images(self, modalities: tuple[str, ...]) -> SegmentationImages:
        return SegmentationImages(
            modalities, self.spacing_mm, self.bias_correction, self.standardization, self.region
        )  # fmt: skip

    def _chosen(self, subjects: Sequence[Subject]) -> list[Subject]:
        """Draw the training subjects that become atlases, in their order."""
        if not self.n_atlases or self.n_atlases >= len(subjects):
            return list(subjects)
        drawn = np.random.default_rng([self.seed, 11]).permutation(len(subjects))[: self.n_atlases]
        return [subjects[i] for i in sorted(drawn.tolist())]

    def _atlas(self, subject: Subject, record: SegmentationRecord) -> tuple[Atlas, Volume]:
        """Give a training subject as an atlas, and its whole prepared image."""
        working, _ = record.images.image(subject, record.learnt)
        truth = record.images.truth(subject, record.classes, working)
        assert truth is not None, "subjects without truth were left out"
        source = record.images.own(subject).digest
        entire = Atlas(subject.name, _plain(working), known_labels(truth), source)
        box = self._box(entire)
        labels = np.ascontiguousarray(entire.labels[within(box)])
        return Atlas(subject.name, cut(entire.image, box), labels, source), working

    def _box(self, atlas: Atlas) -> tuple[np.ndarray, np.ndarray]:
        if not self.crop_mm:
            return whole(atlas.image)
        box = widened(atlas.box, self.crop_mm, atlas.image)
        return whole(atlas.image) if is_nearly_all(box, atlas.image) else box

    def _target(
        self, subject: Subject, run: Run, record: SegmentationRecord, progress: Progress
    ) -> tuple[Target, Volume, np.ndarray]:
        """Give a subject as a target, its whole prepared image and its whole region."""
        progress(0.0, f"Preparing {subject.name}")
        working, region = record.images.image(subject, record.learnt)
        image, scouts = _plain(working), read_scouts(run)
        box = located(image, scouts, self.crop_mm, progress) if scouts else whole(image)
        box = whole(image) if is_nearly_all(box, image) else box
        source = record.images.own(subject).digest
        return Target(subject.name, cut(image, box), region[within(box)], source), working, region

    def _whole(
        self, found: np.ndarray, target: Target, working: Volume, region: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Put probabilities of a crop back into the whole image; beyond the crop there is only background."""
        inside = put_back(target.image.with_data(np.ones(target.image.shape, np.float32)), working).data[0] > 0
        return put_back(target.image.with_data(found), working).data, region & inside


def _plain(volume: Volume) -> Volume:
    """Forget the file that an image came from: atlases and targets differ in nothing but voxels and place."""
    return Volume(volume.data, volume.affine, volume.modality)


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    if a.std() == 0 or b.std() == 0:
        return -1.0
    return float(np.corrcoef(a, b)[0, 1])
