"""What every system that labels voxels does alike, however it comes to its answer: predict, score, hand on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from workbench.errors import CohortError
from workbench.imaging.cohort import Cohort
from workbench.imaging.subject import Subject
from workbench.imaging.volume import Volume
from workbench.progress import Progress, part_of, silent
from workbench.runs.run import Run, run_progress
from workbench.systems.base import System
from workbench.systems.label_classes import LabelClasses, classes_of, parse_classes
from workbench.systems.segmentation_images import SegmentationImages
from workbench.systems.segmentation_record import SegmentationRecord, scored_tables
from workbench.systems.segmented import Segmented

PARTS = ("train", "validation", "test")


class Labelling(System):
    """A system that gives a class to every voxel.

    Attributes:
        composites: name → label values that are scored together as well.
        lesions: whether connected pieces are scored as lesions.
    """

    composites: ClassVar[Mapping[str, tuple[int, ...]]] = {}
    lesions: ClassVar[bool] = False

    def record(self, run: Run) -> SegmentationRecord:
        """Read how a trained run saw its subjects.

        Raises:
            RunError: the run has not come that far.
        """
        raise NotImplementedError  # abstract

    def segment(self, subject: Subject, run: Run, progress: Progress = silent) -> Segmented:
        """Label every voxel of a subject, on the subject's own lattice.

        Raises:
            CohortError: the subject lacks a modality, or its mask is empty.
            Cancelled: ``progress`` said so.
        """
        raise NotImplementedError  # abstract

    def unsegmented(self, subject: Subject, run: Run) -> Segmented:
        """Give the same without an answer: image, meaning and truth; everything background."""
        record = self.record(run)
        own = record.images.own(subject)
        nothing = np.zeros((record.classes.n_classes, *own.shape), np.float32)
        nowhere = np.zeros(own.shape, np.int32)
        return self._segmented(subject, record, own, nowhere, nothing, nowhere > 0, 0.0)

    def predict(self, subject: Subject, run: Run) -> Volume:
        """Give the label map in the user's own values, on the lattice of the subject's first modality."""
        return self.segment(subject, run).label_map

    def evaluate(self, cohort: Cohort, run: Run, progress: Progress = silent) -> dict[str, Any]:
        """Score each subject that has truth, and all of them, with 95 % intervals over subjects.

        Returns:
            ``subjects``: name → ``"dice GM"`` … and ``"dice"``, the mean over classes; ``summary`` of these;
            ``structures``: name → structure → every score; ``structure_summary`` of these.
        """
        tables: dict[str, dict[str, dict[str, float]]] = {}
        record = self.record(run)
        scored = [s for s in cohort if record.classes.has_truth(s)]
        if not scored:
            raise CohortError(f"No subject of {cohort.name} has truth to compare with; give label maps or masks.")
        for i, subject in enumerate(scored):
            told = part_of(progress, i / len(scored), (i + 1) / len(scored))
            tables[subject.name] = self.segment(subject, run, told).scores()
        return scored_tables(tables, record.classes)

    def _segmented(
        self, subject: Subject, record: SegmentationRecord, own: Volume, classes: np.ndarray,
        probabilities: np.ndarray, region: np.ndarray, seconds: float,
    ) -> Segmented:  # fmt: skip
        truth = record.images.truth(subject, record.classes, own)
        composites = record.classes.joined(self.composites)
        return Segmented(
            own, classes, probabilities, region, record.classes, truth, seconds, composites, self.lesions
        )  # fmt: skip


def learnt_record(
    cohort: Cohort, run: Run, classes: str, images: SegmentationImages, *, background: bool
) -> tuple[SegmentationRecord, dict[str, Cohort]]:
    """Learn classes and intensities from the training subjects of a run's split.

    Args:
        cohort: all subjects.
        run: says the split, and is told of each subject.
        classes: as in the settings; empty for each label a class.
        images: how they are prepared.
        background: see :class:`SegmentationRecord`.

    Returns:
        How subjects are seen from now on, and those with truth of each part: train, validation, test.

    Raises:
        CohortError: nobody with truth is left for training, or as the preparation says.
        SettingsError: classes that cannot be read.
    """
    named = parse_classes(classes)
    parts = _parts_with_truth(cohort, run, named)
    found = named or classes_of(parts["train"], cohort.label_names)
    learnt = images.learn(parts["train"], run_progress(run, "preparing"))
    return SegmentationRecord(images, learnt, found, background), parts


def _parts_with_truth(cohort: Cohort, run: Run, classes: LabelClasses | None) -> dict[str, Cohort]:
    split = run.info.split or {"train": [s.name for s in cohort]}
    parts = {}
    for name in PARTS:
        everyone = cohort.only(split.get(name, []))
        parts[name] = Cohort(everyone.path, tuple(s for s in everyone if has_truth(s, classes)))
    if not len(parts["train"]):
        raise CohortError("The split leaves no subject with truth for training; give more subjects to it.")
    return parts


def check_truth(cohort: Cohort, classes: LabelClasses | None) -> None:
    """Say that nobody has truth to learn from.

    Raises:
        CohortError: so it is.
    """
    if not any(has_truth(s, classes) for s in cohort):
        wanted = "mask" if classes is not None and classes.from_mask else "label"
        raise CohortError(
            f"No subject of {cohort.name} has truth to learn from; give label maps, or masks, in the column {wanted}."
        )


def has_truth(subject: Subject, classes: LabelClasses | None) -> bool:
    """Say whether a subject brings what truth is made of; without classes that is a label map."""
    return (subject.mask if classes is not None and classes.from_mask else subject.label) is not None
