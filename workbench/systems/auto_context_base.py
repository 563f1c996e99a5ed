"""Systems whose atlases each have a sequence of classifiers in their own space: multi-atlas auto-context.

Kim et al. (NeuroImage 2013), the host of the review's Reference 92 (Section 3.1). A system names the features that
describe a voxel; registration between atlases, the sequences, and the way of a target through all spaces are here.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Literal

import numpy as np
from torch import Tensor

from workbench.classical.auto_context import Boosting, ContextImage, fit_sequence, run_sequence, star_offsets
from workbench.classical.label_fusion import local_likeness
from workbench.errors import CohortError
from workbench.imaging.cohort import Cohort
from workbench.imaging.subject import Subject
from workbench.imaging.volume import Volume
from workbench.progress import Progress, part_of, silent
from workbench.registration.atlas_warps import turned_round
from workbench.registration.registered import Registered
from workbench.runs.arrays import read_weights, write_weights
from workbench.runs.metrics_log import append_metrics, rewind_metrics
from workbench.runs.run import Run
from workbench.runs.stages import StagePlan
from workbench.systems.atlas_base import AtlasData, AtlasSegmentation
from workbench.systems.atlas_spaces import (
    STRIP,
    ContextStrip,
    as_tensors,
    brought_back,
    context_image,
    from_tensors,
    largest_pieces,
    leave_space,
    leave_strip,
    mean_dice,
    read_space,
    read_strip,
    space_of,
    step_names,
)
from workbench.systems.atlases import Atlas, Target, read_atlases
from workbench.systems.base import setting
from workbench.systems.patch_features import PatchFeatures

CONTEXT, METRICS = "auto-context", "metrics.csv"
USUAL_ATLASES = 10
LEARNT, TRAINED = 0.1, 0.9  # of the time, for the progress bar
REGISTERING = 0.4  # of the time in a space


class AutoContextSegmentation(AtlasSegmentation):
    """Settings of the sequences, and their road."""

    band_mm: float = setting(
        6.0, "Band (mm)", "Classified: what any atlas labels, and so far around; one voxel at least.", "Auto-context",
        gt=0, le=100,
    )  # fmt: skip
    n_iterations: int = setting(
        4, "Classifiers T + 1", "One after the other in the space of each atlas.", "Auto-context", ge=1, le=20
    )
    n_images: int = setting(
        0, "Images in a space", "The atlas's own and others warped to it; 0 takes all.", "Auto-context", ge=0, le=1000
    )
    n_samples: int = setting(
        2000, "Voxels an image", "That classifiers learn from, as many of each class.", "Auto-context", ge=20, le=10**6
    )
    n_rounds: int = setting(50, "Trees", "Of a classifier, for each class.", "Auto-context", ge=1, le=5000)
    learning_rate: float = setting(0.1, "Learning rate", "Of the boosting.", "Auto-context", gt=0, le=1)
    max_leaves: int = setting(15, "Leaves", "Of a tree.", "Auto-context", ge=2, le=1000)
    fusion: Literal["locally weighted", "majority"] = setting(
        "locally weighted",
        "Fusion",
        "Probabilities count by local likeness of atlas and target; or each atlas has one vote a voxel.",
        "Atlases",
    )
    largest_only: bool = setting(
        True, "Largest pieces only", "Of each class, and those half as large: both sides are kept.", "Atlases"
    )

    @abstractmethod
    def learn_features(self, data: AtlasData, cohort: Cohort, run: Run) -> dict[str, Tensor]:
        """Learn what the features need from the atlases, and leave what they are looked at by; give the weights."""

    @abstractmethod
    def features_of(self, tensors: Mapping[str, Tensor]) -> PatchFeatures:
        """Give the features of a run with these weights."""

    @property
    def boosting(self) -> Boosting:
        """How each classifier is fitted."""
        return Boosting(
            self.n_iterations, self.n_samples, self.n_rounds, self.learning_rate, self.max_leaves, self.seed
        )  # fmt: skip

    def context_plan(self) -> StagePlan:
        """Name the sequences as a stage, with the usual number of atlases where the cohort decides."""
        return StagePlan(CONTEXT, self.n_iterations, self.n_atlases or USUAL_ATLASES)

    def context_work(self, n_features: int) -> tuple[float, int]:
        """Count the operations of fitting the sequences, and their trees."""
        n_atlases = self.n_atlases or USUAL_ATLASES
        n_columns = n_features + len(star_offsets()) + 3
        n_trees = n_atlases * self.n_iterations * self.n_rounds
        return 8.0 * n_trees * self.n_samples * n_atlases * n_columns * float(np.log2(self.max_leaves)), n_trees

    def fit(self, cohort: Cohort, run: Run) -> None:
        """Learn the features, then the sequence of each atlas; what is complete of a stopped run is kept.

        Raises:
            CohortError: there is one atlas alone, so that nothing is known of it from others.
        """
        data = self.data(cohort, run)
        atlases = data.atlases
        if len(atlases) < 2:
            raise CohortError(
                f"{type(self).__name__} brings labelled images to each other and the split leaves {len(atlases)} for "
                "training; give it two at least."
            )
        tensors = _once(run, "features", lambda: self.learn_features(data, cohort, run))
        features = self.features_of(tensors)
        for k in range(len(atlases)):
            tensors |= _once(run, f"atlas-{k:03d}", partial(self._learn_space, data, k, features, run))
        run.save_weights("weights", tensors)
        self._leave_strips(run, data)
        self.leave(run, data, tensors)

    def likelihood(self, target: Target, atlases: Sequence[Atlas], run: Run, progress: Progress = silent) -> np.ndarray:
        """Classify the target in the space of each atlas and fuse what comes back; (K, X, Y, Z) float32."""
        return self._maps(target, atlases, run, progress)[-1]

    def settle(self, own: Volume, probabilities: np.ndarray, run: Run, progress: Progress = silent) -> np.ndarray:
        """Give the likeliest class of every voxel (X, Y, Z) int32, of each class its largest pieces if so set."""
        classes = super().settle(own, probabilities, run, progress)
        return largest_pieces(classes) if self.largest_only else classes

    def context_strip(self, subject: Subject, run: Run, progress: Progress = silent) -> ContextStrip:
        """Give what is believed of a subject from iteration to iteration, fused over atlases, before pieces are taken.

        That of the subject that the run was scored on first is kept; others take as long as segmenting them.
        """
        record = self.record(run)
        if STRIP in run.list_arrays():
            kept, source = read_strip(run)
            if source == record.images.own(subject).digest:
                return kept
        target = self.target(subject, run)
        image, maps = target.image, self._maps(target, self.voters(target, run), run, progress, every=True)
        truth = record.images.truth(subject, record.classes, image) if record.classes.has_truth(subject) else None
        dice = None if truth is None else mean_dice(maps, truth)
        return ContextStrip(image, maps, step_names(len(maps)), record.classes.all_names, dice, truth)

    def kept_strip(self, run: Run) -> ContextStrip:
        """Give the strip of the subject that the run was scored on first.

        Raises:
            RunError: the run has not come that far.
        """
        return read_strip(run)[0]

    def _learn_space(self, data: AtlasData, number: int, features: PatchFeatures, run: Run) -> dict[str, Tensor]:
        """Bring all atlases into the space of one and learn its sequence there."""
        atlases, own = data.atlases, data.atlases[number]
        each = (TRAINED - LEARNT) / len(atlases)
        told = part_of_run(run, CONTEXT, LEARNT + each * number, each)
        images, labels = [], []
        for j, other in enumerate(atlases):
            told(REGISTERING * j / len(atlases), f"Registering {other.name} to {own.name}")
            share = part_of(told, REGISTERING * j / len(atlases), REGISTERING * (j + 1) / len(atlases))
            map_ = None if j == number else self._between(atlases, number, j, share)
            images.append((own.image if map_ is None else map_.warped()).data[0])
            labels.append(own.labels if map_ is None else map_.warp_labels(other.labels, "linear"))
        space = space_of(np.stack(labels), self._band(own), own.image.spacing, data.record.classes.n_classes)
        leave_space(run, number, space)
        voxels, chosen = np.argwhere(space.mask), self._learnt_from(len(atlases), number)
        seen = [context_image(features.rows(images[j], voxels), space, j) for j in chosen]
        rest = part_of(told, REGISTERING, 1)
        classifiers = fit_sequence(
            seen, space.mask, own.image.spacing, self.boosting,
            lambda f, m: rest(f, f"{own.name}, atlas {number + 1} of {len(atlases)}: {m}"),
        )  # fmt: skip
        return as_tensors(classifiers, f"atlas-{number:03d}")

    def _band(self, atlas: Atlas) -> float:
        """Give the band in mm, one voxel at least."""
        return max(self.band_mm, *atlas.image.spacing)

    def _learnt_from(self, n_atlases: int, number: int) -> list[int]:
        """Choose the images that the classifiers of a space learn from, its own among them."""
        if not self.n_images or self.n_images >= n_atlases:
            return list(range(n_atlases))
        others = [j for j in range(n_atlases) if j != number]
        drawn = np.random.default_rng([self.seed, 13, number]).permutation(others)[: self.n_images - 1]
        return sorted([number, *drawn.tolist()])

    def _between(self, atlases: Sequence[Atlas], fixed: int, moving: int, progress: Progress) -> Registered:
        """Bring one atlas onto another; a pair is registered once, and the map turned round for the other way."""
        if fixed < moving:
            return self.registered(atlases[fixed].image, atlases[moving].image, progress)
        return turned_round(self.registered(atlases[moving].image, atlases[fixed].image, progress))

    def _maps(
        self, target: Target, atlases: Sequence[Atlas], run: Run, progress: Progress, *, every: bool = False
    ) -> np.ndarray:
        """Give the fused maps (S, K, X, Y, Z) of the last classifier, or of the registered labels and every one."""
        tensors, everyone = run.load_weights(), read_atlases(run)
        features, places = self.features_of(tensors), [(a.name, a.source) for a in everyone]
        itself = next((i for i, a in enumerate(everyone) if a.source == target.source), None)
        total, weight = np.zeros(1, np.float32), np.zeros(target.image.shape, np.float32)
        for n, atlas in enumerate(atlases):
            progress(n / len(atlases), f"Atlas {n + 1} of {len(atlases)}: {atlas.name}")
            number = places.index((atlas.name, atlas.source))
            share = part_of(progress, n / len(atlases), (n + 1) / len(atlases))
            space, map_ = read_space(run, number), self.registered(atlas.image, target.image, share)
            rows = features.rows(map_.warped().data[0], np.argwhere(space.mask))
            classifiers = from_tensors(tensors, f"atlas-{number:03d}")
            maps = run_sequence(classifiers, ContextImage(rows, space.prior(itself)), space.mask, atlas.image.spacing)
            said = brought_back(maps if every else maps[-1:], map_)
            likeness = self._likeness(target, map_)
            total, weight = total + likeness * self._votes(said), weight + likeness
        progress(1.0, f"Fused {len(atlases)} atlases")
        return total / weight

    def _votes(self, said: np.ndarray) -> np.ndarray:
        """Give what counts of an atlas's probabilities (S, K, X, Y, Z): themselves, or one vote a voxel."""
        if self.fusion == "locally weighted":
            return said
        return np.stack([said.argmax(1) == k for k in range(said.shape[1])], axis=1).astype(np.float32)

    def _likeness(self, target: Target, map_: Registered) -> np.ndarray:
        if self.fusion == "majority":
            return np.ones(target.image.shape, np.float32)
        return local_likeness(target.image.data[0], map_.warped_fixed().data[0])

    def _leave_strips(self, run: Run, data: AtlasData) -> None:
        """Leave the first scored subject's maps of every iteration, and how good those of all scored subjects are."""
        told = part_of_run(run, "scoring", TRAINED, 1 - TRAINED)
        strips = [self.context_strip(subject, run, told) for subject in data.held_out]
        leave_strip(run, strips[0], data.record.images.own(data.held_out[0]).digest)
        rewind_metrics(run.folder / METRICS, lambda stage, step: stage != CONTEXT)
        for t, value in enumerate(np.nanmean([s.dice for s in strips if s.dice is not None], axis=0)):
            append_metrics(run.folder / METRICS, CONTEXT, t + 1, t, {"val_dice": float(value)})


def _once(run: Run, name: str, learn: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """Learn a part of a run, or read what a run that was stopped had learnt of it."""
    file = run.folder / "checkpoints" / f"{name}.safetensors"
    if file.is_file():
        return read_weights(file)
    found = learn()
    file.parent.mkdir(exist_ok=True)
    write_weights(file, found)
    return found


def part_of_run(run: Run, stage: str, begin: float, share: float) -> Progress:
    """Give a progress that fills a part of a run's, and ends it on request."""

    def told(fraction: float, message: str) -> None:
        run.check_stop()
        run.reporter.update(stage_name=stage, fraction=begin + share * fraction, message=message)

    return told
