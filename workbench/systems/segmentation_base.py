"""The base of systems that label every voxel (Sections 3.3 and 3.4): data, training, whole volumes, scores.

A system names its network, the patch it sees and what it is asked about that patch, and how a trained network is
applied to a whole image. Everything else, from a subject's files to a label map on the subject's own lattice, is here.
Everything learnt, classes and intensities included, comes from the training subjects of the run's split.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Mapping

import numpy as np
from torch import Tensor, nn

from workbench.errors import CohortError, SettingsError
from workbench.figures.architecture_parts import ArchitectureParts
from workbench.imaging.cohort import Cohort
from workbench.imaging.subject import Subject
from workbench.patches.labelled import FIXED_AXIS, LabelledPatchDataModule, Plane
from workbench.patches.right_angles import RightAngles
from workbench.patches.store import PatchStore, SamplerName
from workbench.progress import Progress, silent
from workbench.runs.run import Run, run_progress
from workbench.runs.stages import StagePlan
from workbench.runs.training import Training
from workbench.systems.alarms import MARK
from workbench.systems.architecture_views import architecture_parts, spaced
from workbench.systems.base import Cost
from workbench.systems.label_classes import parse_classes
from workbench.systems.labelling import check_truth, learnt_record
from workbench.systems.segmentation_images import SegmentationImages, shared_modalities
from workbench.systems.segmentation_record import (
    SegmentationData,
    SegmentationRecord,
    read_segmentation_record,
)
from workbench.systems.segmentation_settings import SegmentationSettings
from workbench.systems.segmentation_views import (
    first_kernels,
    held_out,
    leave_examples,
    multiplications,
)
from workbench.systems.segmented import Segmented, on_own_lattice
from workbench.systems.views import FilterBank
from workbench.tasks.segmenting import Segmenter

PlaneName = Plane
N_SCORED = 2048
EFFICIENCY = 0.2
UNCLASSED_SHARE = 0.02


class Segmentation(SegmentationSettings):
    """A network that gives a class to every voxel."""

    @abstractmethod
    def network(self, n_channels: int, n_classes: int) -> nn.Module:
        """Give the untrained network, (B, C, *patch) → logits (B, K[, *label]); the same for the same seed."""

    @property
    @abstractmethod
    def patch_shape(self) -> tuple[int, ...]:
        """Voxels of a training patch, two or three numbers."""

    @property
    def label_shape(self) -> tuple[int, ...]:
        """How many labels of a patch the network is asked about along each axis; 1 for the one in the middle."""
        return (1,) * len(self.patch_shape)

    @property
    def label_stride(self) -> int:
        """Voxels between two of them."""
        return 1

    @property
    def chosen_plane(self) -> PlaneName:
        """The plane of two-dimensional patches."""
        return getattr(self, "plane", "axial")

    @property
    def turns(self) -> RightAngles | None:
        """Flips and turns by right angles of training patches; None for none."""
        return None

    @property
    def shares(self) -> Mapping[int, float] | None:
        """How often each class is at a patch's center with balanced sampling; None for equally often."""
        return None

    @abstractmethod
    def task(self, network: nn.Module, data: SegmentationData, stage: int) -> Segmenter:
        """Give the module that trains the network."""

    @abstractmethod
    def apply(
        self, network: nn.Module, image: np.ndarray, region: np.ndarray, progress: Progress = silent
    ) -> np.ndarray:
        """Apply the trained network to a whole image.

        Args:
            network: trained, in eval mode.
            image: (C, X, Y, Z) float32, prepared.
            region: (X, Y, Z) bool, where an answer is wanted.
            progress: told often; may cancel.

        Returns:
            Probabilities (K, X, Y, Z) float32 of the network's outputs.
        """

    def clean(self, classes: np.ndarray, probabilities: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
        """Do what the system does last: give classes (X, Y, Z) from the likeliest ones; here nothing."""
        return classes

    def stages(self) -> list[StagePlan]:
        """Name the one stage."""
        return [StagePlan("train", self.n_epochs, -(-self.n_patches // self.batch_size))]

    def fit(self, cohort: Cohort, run: Run) -> None:
        """Train on patches of the training subjects, and score on held-out ones."""
        training = Training(run, self.stages())
        data = self.data(cohort, run)
        network = self.network(data.record.n_channels, data.record.n_outputs)
        self.learn(training, "train", network, data, stage=0)
        self.leave(run, network, data)

    def learn(self, training: Training, name: str, network: nn.Module, data: SegmentationData, *, stage: int) -> None:
        """Train a network in place as one stage."""
        task = self.task(network, data, stage)
        training.stage(name, task, self.batches(data, stage), n_epochs=self.n_epochs)
        task.keep_best()

    def check(self, cohort: Cohort) -> None:
        """Say before a run is made what would not work.

        Raises:
            CohortError: no images, a modality that a subject lacks, or no label maps.
            SettingsError: classes that cannot be read.
        """
        images = self.images(cohort)
        images.check(cohort)
        classes = parse_classes(self.classes)
        check_truth(cohort, classes)
        if self.n_axes == 3 and any(s.volume(images.modalities[0]).is_picture for s in list(cohort)[:1]):
            raise SettingsError(f"{type(self).__name__} sees cubes and these are pictures; choose a 2-D system.")

    def images(self, cohort: Cohort) -> SegmentationImages:
        """Give how images are prepared, the modalities filled in.

        Raises:
            CohortError: there is no modality that every subject has.
        """
        named = tuple(name.strip() for name in self.modalities.split(",") if name.strip())
        return self._images(named or shared_modalities(cohort, "those to use, and leave out who lacks them"))

    def data(self, cohort: Cohort, run: Run) -> SegmentationData:
        """Prepare the subjects of the run's split, and leave in the run how that was done.

        Raises:
            CohortError: the split leaves nobody with truth for training, or as the preparation says.
        """
        record, parts = learnt_record(cohort, run, self.classes, self.images(cohort), background=self.background)
        if record.n_outputs < 2:
            raise CohortError(
                f"There is one class alone, {record.output_names[0]}; a network needs two to tell apart: let the "
                "background be one."
            )
        record.leave(run)
        if not record.background:
            _say_what_has_no_class(parts["train"].subjects[0], record, run)
        identity = f"{cohort.digest}-{'-'.join(sorted(s.name for s in parts['train']))}"
        progress = run_progress(run, "preparing")
        stores = {n: record.store(p, self.margin, identity, progress) for n, p in parts.items() if len(p)}
        return SegmentationData(stores["train"], stores.get("validation"), stores.get("test"), record)

    def batches(self, data: SegmentationData, stage: int) -> LabelledPatchDataModule:
        """Give the batches of one stage; every stage has draws of its own."""
        return self.patches_of(
            data.train, data.validation, n_patches=self.n_patches, sampler=self.sampler, stage=stage, turns=self.turns
        )

    def patches_of(
        self, train: PatchStore, validation: PatchStore | None, *, n_patches: int, sampler: SamplerName, stage: int,
        turns: RightAngles | None = None,
    ) -> LabelledPatchDataModule:  # fmt: skip
        """Give patches with the labels that the network is asked about."""
        return LabelledPatchDataModule(
            train, validation, patch_size=self.patch_shape, label_size=self.label_shape,
            label_stride=self.label_stride, batch_size=self.batch_size, n_patches=n_patches, sampler=sampler,
            shares=self.shares if sampler == "balanced" else None, turns=turns, plane=self.chosen_plane,
            seed=self.seed * 1000 + stage,
        )  # fmt: skip

    def held_out_batches(self, store: PatchStore) -> list[dict[str, Tensor]]:
        """Give batches to score the trained network on: patches drawn evenly from the region."""
        n = max(1, N_SCORED // int(np.prod(self.label_shape)))
        module = self.patches_of(store, store, n_patches=5 * n, sampler="inside", stage=997)
        return [module.validation_batch(i) for i in range(-(-module.n_validation_patches // self.batch_size))]

    def record(self, run: Run) -> SegmentationRecord:
        """Read how a trained run saw its subjects.

        Raises:
            RunError: the run has not come that far.
        """
        return read_segmentation_record(run, self._images(()))

    def trained_network(self, run: Run) -> nn.Module:
        """Give the trained network of a run, in eval mode.

        Raises:
            RunError: the run has no weights yet.
        """
        weights, record = run.trained_weights(), self.record(run)
        network = self.network(record.n_channels, record.n_outputs)
        network.load_state_dict(weights)
        return network.eval().requires_grad_(False)

    def segment(self, subject: Subject, run: Run, progress: Progress = silent) -> Segmented:
        """Label every voxel of a subject, on the subject's own lattice.

        Raises:
            CohortError: the subject lacks a modality, or its mask is empty.
            Cancelled: ``progress`` said so.
        """
        begin = time.perf_counter()
        record, network = self.record(run), self.trained_network(run)
        own = record.images.own(subject)
        progress(0.0, f"Preparing {subject.name}")
        working, region = record.images.image(subject, record.learnt)
        probabilities = record.with_background(self.apply(network, working.data, region, progress))
        probabilities, region = on_own_lattice(probabilities, region, working, own)
        likeliest = probabilities.argmax(0).astype(np.int32)
        classes = self.clean(likeliest, probabilities, own.spacing)
        return self._segmented(subject, record, own, classes, probabilities, region, time.perf_counter() - begin)

    def filter_bank(self, run: Run, depth: int) -> FilterBank:
        """Give the kernels of a convolution on the image, or what maps of deeper ones answer to."""
        return first_kernels(self.trained_network(run), run, depth, self.spacing_mm)

    def architecture_parts(self, run: Run) -> ArchitectureParts:
        """Give what Figure 8 draws: the trained network, as one patch passes through it."""
        record, network = self.record(run), self.trained_network(run)
        shape = (record.n_channels, *self.patch_shape)
        title = spaced(type(self).__name__)
        return architecture_parts(
            network, shape, title=title, channels=record.images.modalities, outputs=record.output_names
        )

    def leave(self, run: Run, network: nn.Module, data: SegmentationData) -> None:
        """Write what a finished run is looked at by: weights, a few patches, scores on held-out voxels."""
        network = network.cpu().eval()
        run.save_weights("weights", {name: t.contiguous() for name, t in network.state_dict().items()})
        store, where = data.held_out
        batches = self.held_out_batches(store)
        leave_examples(run, network, batches)
        names = data.record.output_names
        found = held_out(network, batches, len(names))
        if found.only_class is not None:
            run.log(
                f"{MARK}The network says {names[found.only_class]} of every held-out voxel: it has learnt "
                "nothing but which class is frequent. Lower the learning rate, train longer, or draw classes "
                "equally often."
            )
        scores = found.scores(names, background=self.background)
        run.finish({"scores": scores, "scored_on": f"voxels with a class, drawn evenly, of {where}"})

    def cost(self) -> Cost:
        """Count from the network on a patch, for one channel and four classes where the cohort decides."""
        named = len([m for m in self.modalities.split(",") if m.strip()]) or 1
        parsed = parse_classes(self.classes)
        network = self.network(named, (parsed.n_classes if parsed else 4) - (not self.background))
        n_parameters = sum(p.numel() for p in network.parameters())
        per_patch, activations = multiplications(network, (named, *self.patch_shape))
        n_steps = sum(plan.n_epochs * (plan.n_batches or 0) for plan in self.stages())
        return Cost(
            parameters=n_parameters,
            flops=6.0 * per_patch * self.batch_size * n_steps,
            memory_bytes=16.0 * n_parameters + 8.0 * activations * self.batch_size,
            n_steps=n_steps,
            efficiency=EFFICIENCY,
        )

    @property
    def margin(self) -> tuple[int, int, int]:
        """Voxels that a patch about a border voxel reaches beyond it, along X, Y, Z."""
        half = [n // 2 for n in self.patch_shape]
        if len(half) == 3:
            return half[0], half[1], half[2]
        half.insert(FIXED_AXIS[self.chosen_plane], 0)
        return half[0], half[1], half[2]

    def _images(self, modalities: tuple[str, ...]) -> SegmentationImages:
        return SegmentationImages(
            modalities, self.spacing_mm, self.bias_correction, self.standardization, self.region
        )  # fmt: skip


def _say_what_has_no_class(subject: Subject, record: SegmentationRecord, run: Run) -> None:
    """Note voxels of the region without a class: the network must give them one, and each is then wrong."""
    volume, region = record.images.image(subject, record.learnt)
    truth = record.images.truth(subject, record.classes, volume)
    assert truth is not None
    share = float((truth[region] == 0).mean())
    if share > UNCLASSED_SHARE:
        run.log(
            f"{MARK}Of the voxels to be labelled in {subject.name}, {share:.0%} belong to no class, and the "
            "network has no background: whatever it says there is wrong. Give a mask of what has a class, or make "
            "the background a class."
        )
