"""What a trained segmenting run must know, the prepared subjects of its split, and the tables of its scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from workbench.errors import RunError
from workbench.imaging.cohort import Cohort
from workbench.imaging.standardization import Landmarks
from workbench.imaging.subject import Subject
from workbench.metrics.intervals import mean_interval
from workbench.metrics.segmentation import summarize_scores
from workbench.patches.prepared import Prepared
from workbench.patches.store import PatchStore, store_key
from workbench.paths import cache_dir
from workbench.progress import Progress, silent
from workbench.runs.run import Run
from workbench.systems.feature_scores import finite
from workbench.systems.label_classes import IGNORED, LabelClasses
from workbench.systems.segmentation_images import Intensities, SegmentationImages, padded

KEPT_AS = "segmentation"


@dataclass(frozen=True, eq=False)
class SegmentationRecord:
    """What a trained run must know to see new subjects as it saw those it learnt from.

    Attributes:
        images: how they are prepared, with the modalities that were chosen.
        learnt: of their intensities.
        classes: names and label values.
        background: whether the background of the region is a class of the network; else it is neither learnt from nor
            ever given inside the region.
    """

    images: SegmentationImages
    learnt: Intensities
    classes: LabelClasses
    background: bool

    @property
    def n_channels(self) -> int:
        """Modalities."""
        return len(self.images.modalities)

    @property
    def n_outputs(self) -> int:
        """Classes that the network tells apart."""
        return self.classes.n_classes - (not self.background)

    @property
    def output_names(self) -> tuple[str, ...]:
        """Of the classes that the network tells apart."""
        return self.classes.all_names[not self.background :]

    def as_outputs(self, classes: np.ndarray) -> np.ndarray:
        """Give what the network is to answer, -1 where nothing, for classes (X, Y, Z)."""
        return classes if self.background else np.maximum(classes - 1, IGNORED)

    def with_background(self, probabilities: np.ndarray) -> np.ndarray:
        """Give probabilities of all classes (K, X, Y, Z) for those of the network's outputs."""
        if self.background:
            return probabilities
        return np.concatenate([np.zeros_like(probabilities[:1]), probabilities])

    def prepared(self, subject: Subject, margin: tuple[int, int, int]) -> Prepared:
        """Give what the patch store keeps: the image with a margin, answers, and where patches may be centered.

        The margin continues the image with the mean of its six faces, so that the network sees the same beyond the
        border in training and when it segments.

        Args:
            subject: with truth.
            margin: voxels before and after each axis.
        """
        volume, region = self.images.image(subject, self.learnt)
        truth = self.images.truth(subject, self.classes, volume)
        assert truth is not None, "subjects without truth were left out"
        answers = self.as_outputs(truth)
        widths = [(m, m) for m in margin]
        data = padded(volume.data, widths)
        affine = volume.affine.copy()
        affine[:3, 3] -= affine[:3, :3] @ np.asarray(margin, float)
        return Prepared(
            data, np.pad(region & (answers != IGNORED), widths), np.pad(answers, widths, constant_values=IGNORED),
            affine=affine,
        )  # fmt: skip

    def store(
        self, part: Cohort, margin: tuple[int, int, int], identity: str, progress: Progress = silent
    ) -> PatchStore:
        """Prepare subjects for drawing patches, or open what was prepared before.

        Args:
            part: subjects with truth.
            margin: see :meth:`prepared`.
            identity: of the cohort and of who was learnt from.
            progress: told of each subject.
        """
        key = store_key(
            identity,
            {
                **vars(self.images), "classes": {k: v.tolist() for k, v in self.classes.to_arrays().items()},
                "background": self.background, "margin": margin, "part": [s.name for s in part],
            },
        )  # fmt: skip
        return PatchStore.build(
            part.subjects,
            lambda subject: self.prepared(subject, margin),
            cache_dir() / "patches" / key,
            key=key,
            margin=0,
            progress=progress,
        )

    def leave(self, run: Run) -> None:
        """Keep it in a run."""
        landmarks = self.learnt.landmarks
        run.save_arrays(
            KEPT_AS, modalities=np.array(self.images.modalities, dtype=str), background=np.array(self.background),
            percentiles=np.array(landmarks[0].percentiles if landmarks else [], float),
            landmarks=np.array([m.values for m in landmarks], float),
            mean=self.learnt.mean, deviation=self.learnt.deviation, **self.classes.to_arrays(),
        )  # fmt: skip


def read_segmentation_record(run: Run, images: SegmentationImages) -> SegmentationRecord:
    """Read what :meth:`SegmentationRecord.leave` kept.

    Args:
        run: that was trained.
        images: as the settings say, modalities aside.

    Raises:
        RunError: the run has not come that far.
    """
    if KEPT_AS not in run.list_arrays():
        raise RunError(f"Run {run.id} has not prepared its images yet; wait until it is finished, or resume it.")
    kept = run.load_arrays(KEPT_AS)
    percentiles = tuple(map(float, kept["percentiles"]))
    return SegmentationRecord(
        replace(images, modalities=tuple(str(m) for m in kept["modalities"])),
        Intensities(
            tuple(Landmarks(percentiles, tuple(map(float, values))) for values in kept["landmarks"]),
            kept["mean"], kept["deviation"],
        ),
        LabelClasses.from_arrays(kept),
        bool(kept["background"]),
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class SegmentationData:
    """The prepared subjects of a run's split.

    Attributes:
        train, validation, test: stores; the last two may be absent.
        record: how they were prepared.
    """

    train: PatchStore
    validation: PatchStore | None
    test: PatchStore | None
    record: SegmentationRecord

    @property
    def held_out(self) -> tuple[PatchStore, str]:
        """What results are reported on, and its name: test, else validation, else training subjects."""
        if self.test is not None:
            return self.test, "test subjects"
        if self.validation is not None:
            return self.validation, "validation subjects"
        return self.train, "training subjects"


def scored_tables(tables: Mapping[str, dict[str, dict[str, float]]], classes: LabelClasses) -> dict[str, Any]:
    """Give the scores of subjects as :meth:`Segmentation.evaluate` does, from their tables."""
    subjects = {}
    for name, table in tables.items():
        dice = {f"dice {s}": v["dice"] for s, v in table.items() if np.isfinite(v["dice"])}
        plain = [v for s, v in dice.items() if s.removeprefix("dice ") in classes.names]
        subjects[name] = dice | ({"dice": float(np.mean(plain))} if plain else {})
    names = list(dict.fromkeys(n for s in subjects.values() for n in s))
    summary = {}
    for n in names:
        values = np.array([s[n] for s in subjects.values() if n in s])
        summary[n] = finite(mean_interval(values))
    return {
        "subjects": subjects,
        "summary": summary,
        "structures": dict(tables),
        "structure_summary": {
            s: {n: [i.mean, i.low, i.high] for n, i in row.items()} for s, row in summarize_scores(tables).items()
        },
    }
