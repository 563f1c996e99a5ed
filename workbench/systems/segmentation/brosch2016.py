"""Lesions of multiple sclerosis by a convolutional encoder network with a shortcut.

Review: Section 3.4, Reference 49

Citation: Brosch T, Tang LYW, Yoo Y, Li DKB, Traboulsee A, Tam R. Deep 3D convolutional encoder networks with shortcuts
for multiscale feature integration applied to multiple sclerosis lesion segmentation. IEEE Transactions on Medical
Imaging 35:1229–1239, 2016.

Input: whole volumes of one patient each, registered modalities as channels (T2 and PD, or FLAIR and T1 as well), and a
mask of the lesions, which are far less than one percent of the voxels.

Network: a convolution of 32 maps with kernels of 9 × 9 × 5, average pooling of 2 × 2 × 2, a convolution of 32 maps
with 10 × 10 × 5, and back by deconvolution, unpooling and deconvolution; the first maps reach the output by a shortcut
with filters of its own. 1,075,937 parameters for two channels. Without the shortcut, or without the second level, as
comparisons.

Training: first a convolutional restricted Boltzmann machine for each level, with noisy rectified maps, by contrastive
divergence; their filters begin both ways. Then the whole network by Adadelta on whole volumes, one a step, with the
error on lesions and the error elsewhere each averaged over its own voxels and weighed by the sensitivity ratio.

Output: the probability of a lesion at every voxel, cut at the threshold with the best mean Dice coefficient on the
training subjects.

Reported: the review says that it was best of six methods in Dice coefficient, absolute volume difference and lesion
false positives; it prints no figure, and those of the paper were not read at their source, so none is shown here.

Departs from the paper in: sizes of the layers are as remembered from the paper, and consistent with the sizes of its
maps. The sensitivity ratio of 0.02 and the number of epochs are remembered too; the settings of Adadelta were not
found and are its author's (0.95, 1e-6, rate 1), and those of contrastive divergence were not found and are ours. The
Boltzmann machines learn from crops rather than whole volumes, in space or by Fourier transform, whichever is faster.
The last deconvolution and the shortcut begin at half the mean over channels of the first filters; how the paper shares
them was not found. The output's bias begins at -2. Volumes are cut to the box of the mask, and what lies outside the
mask is neither learnt from nor labelled; with the region "image" everything is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from workbench.errors import CohortError, SettingsError
from workbench.imaging.cohort import Cohort
from workbench.imaging.subject import Subject
from workbench.models.conv_rbm import ConvRBM
from workbench.models.encoder_network import (
    POOL,
    EncoderNetwork,
    VisibleValues,
    smallest_image,
    untrained_machine,
)
from workbench.patches.labelled import LabelledPatchDataModule, WholeImageDataModule
from workbench.patches.store import PatchStore
from workbench.progress import Progress, silent
from workbench.runs.run import Run, run_progress
from workbench.runs.stages import StagePlan
from workbench.runs.training import Training
from workbench.systems.base import Cost, Preset, setting
from workbench.systems.label_classes import classes_of, parse_classes
from workbench.systems.segmentation_base import EFFICIENCY, Segmentation
from workbench.systems.segmentation_record import SegmentationData
from workbench.systems.segmentation_views import leave_examples, multiplications
from workbench.systems.segmented import Segmented
from workbench.systems.whole_images import apply_whole, best_threshold, check_size, scores_at, times, whole_images
from workbench.tasks.boltzmann import ContrastiveDivergence
from workbench.tasks.segmenting import Segmenter

LAST_BIAS = -2.0
PUBLISHED_SHAPE, HEAD_MM = (164, 206, 52), (150.0, 180.0, 150.0)
"""What a training's cost is reckoned with: volumes of the paper, or a head where images are resampled."""
RECKONED_VOLUMES = 20
SWEEPS = 5  # of a layer in a step of contrastive divergence: up, down, up, and the filters' gradient twice


class Brosch2016(Segmentation):
    """Settings with the published defaults."""

    phantom: ClassVar[str] = "lesion"
    lesions: ClassVar[bool] = True
    presets: ClassVar[tuple[Preset, ...]] = (
        Preset("published", "All maps and kernels on whole volumes as they are, 500 epochs: for a GPU."),
        Preset("cpu", "8 maps, kernels of 5 × 5 × 3, voxels of 2 mm, 40 epochs: about half an hour on two cores.",
               {"n_maps": 8, "first_kernel": (5, 5, 3), "second_kernel": (5, 5, 3), "spacing_mm": 2.0, "n_epochs": 40,
                "crop": (32, 32, 16), "n_patches": 1000, "n_epochs_pretraining": 4, "pretraining_rate": 3e-3}),
        Preset("quick", "4 maps, kernels of 3 × 3 × 3, voxels of 4 mm, some epochs of long steps: seconds.",
               {"n_maps": 4, "first_kernel": (3, 3, 3), "second_kernel": (3, 3, 3), "spacing_mm": 4.0, "n_epochs": 16,
                "crop": (16, 16, 16), "n_patches": 64, "batch_size": 16, "n_epochs_pretraining": 2,
                "pretraining_rate": 3e-3, "learning_rate": 5.0}),
    )  # fmt: skip
    comparators: ClassVar[Mapping[str, dict[str, Any]]] = {
        "CEN-s": {},
        "CEN": {"shortcut": False},
        "3-layer CEN": {"levels": 1},
    }
    """The network of the paper and those that it is compared with there, as changes of settings."""

    classes: str = setting(
        "lesion=*", "Classes", "'lesion=*' takes every labelled voxel, 'lesion=mask' each subject's mask.", "Data"
    )
    n_maps: int = setting(32, "Maps", "Of every layer.", "Network", ge=1, le=256)
    first_kernel: tuple[int, ...] = setting(
        (9, 9, 5), "First kernel", "Voxels along X, Y, Z.", "Network", min_length=3, max_length=3
    )
    second_kernel: tuple[int, ...] = setting(
        (10, 10, 5), "Second kernel", "Voxels of the halved maps.", "Network", min_length=3, max_length=3
    )
    levels: Literal[1, 2] = setting(2, "Levels", "1 makes the network of three layers.", "Network")
    shortcut: bool = setting(True, "Shortcut", "From the first maps to the output.", "Network")
    pretraining: bool = setting(
        True, "Pretraining", "By convolutional restricted Boltzmann machines, a level each.", "Pretraining"
    )
    crop: tuple[int, ...] = setting(
        (40, 40, 20), "Crop (voxels)", "What the Boltzmann machines see.", "Pretraining", min_length=3, max_length=3
    )
    sampler: Literal["inside", "balanced"] = setting(
        "inside", "Sampling of crops", "Centered evenly in the region, or on every class equally often.", "Pretraining"
    )
    n_patches: int = setting(4000, "Crops per epoch", "Drawn afresh.", "Pretraining", ge=1, le=10_000_000)
    batch_size: int = setting(20, "Crops in a step", "Of pretraining; then it is one volume.", "Pretraining", ge=1,
                              le=1024)  # fmt: skip
    n_epochs_pretraining: int = setting(20, "Epochs a level", "Of pretraining.", "Pretraining", ge=1, le=10_000)
    pretraining_rate: float = setting(
        1e-3, "Rate of pretraining", "Of contrastive divergence.", "Pretraining", gt=0, le=1
    )
    loss: Literal["sensitivity_specificity", "squared_error"] = setting(
        "sensitivity_specificity", "Loss", "The weighted error of the paper, or the plain squared error.", "Training"
    )
    sensitivity_ratio: float = setting(
        0.02, "Sensitivity ratio r", "Weight of the error on lesions; the rest goes to the error elsewhere.",
        "Training", ge=0, le=1,
    )  # fmt: skip
    n_epochs: int = setting(500, "Epochs", "Of the whole network, each volume once.", "Training", ge=1, le=100_000)
    learning_rate: float = setting(1.0, "Learning rate", "What Adadelta's steps are multiplied by.", "Training", gt=0,
                                   le=10)  # fmt: skip
    optimizer: Literal["adadelta", "adam"] = setting(
        "adadelta",
        "Optimizer",
        "Published is Adadelta; Adam, for comparison, found nothing on phantoms at rates from 0.003.",
        "Training",
    )

    @property
    def kernels(self) -> tuple[tuple[int, ...], ...]:
        """Of the levels."""
        return (self.first_kernel, self.second_kernel)[: self.levels]

    @property
    def patch_shape(self) -> tuple[int, ...]:
        """Voxels of a crop."""
        return self.crop

    @property
    def label_shape(self) -> tuple[int, ...]:
        """All of a crop."""
        return self.crop

    @property
    def margin(self) -> tuple[int, int, int]:
        """None: volumes are seen whole."""
        return 0, 0, 0

    def network(self, n_channels: int, n_classes: int) -> EncoderNetwork:
        """Give the untrained network; 1,075,937 parameters for two channels."""
        return EncoderNetwork(
            n_channels, self.n_maps, self.kernels, shortcut=self.shortcut, seed=self.seed, bias=LAST_BIAS
        )

    def check(self, cohort: Cohort) -> None:
        """Say before a run is made what would not work, besides what the base says.

        Raises:
            SettingsError: crops are smaller than the kernels, there is more than one class, or no background, or the
                mask is truth and region at once.
            CohortError: the first image is smaller than the kernels, or no subject has a lesion.
        """
        super().check(cohort)
        classes = parse_classes(self.classes) or classes_of(cohort, cohort.label_names)
        if classes.n_classes != 2 or not self.background:
            raise SettingsError(
                f"This network gives one probability, of one class against the background; got "
                f"{', '.join(classes.names)}{'' if self.background else ' without a background'}. Join them, like "
                "'lesion=*', or choose another system."
            )
        if classes.from_mask and self.region == "mask":
            raise SettingsError(
                "The mask cannot be both what is to be found and where to look for it; choose the region image."
            )
        if self.pretraining and any(n < k for n, k in zip(self.crop, self._least, strict=True)):
            raise SettingsError(
                f"Crops of {times(self.crop)} voxels are smaller than the {times(self._least)} that the kernels need; "
                "choose larger crops or smaller kernels."
            )
        first = cohort.subjects[0]
        own = self.images(cohort).own(first)
        shape = [round(n * mm / (self.spacing_mm or mm)) for n, mm in zip(own.shape, own.spacing, strict=True)]
        check_size(first.name, shape, self._least)
        if not any(np.any(truth > 0) for s in cohort if (truth := classes.truth(s, None)) is not None):
            raise CohortError(f"No subject of {cohort.name} has a lesion to learn from; give label maps that do.")

    def stages(self) -> list[StagePlan]:
        """Name a stage for each Boltzmann machine, and the last one, an epoch of which has a batch a volume."""
        n_batches = -(-self.n_patches // self.batch_size)
        first = [StagePlan(f"pretrain {i + 1}", self.n_epochs_pretraining, n_batches) for i in range(self.levels)]
        return [*(first if self.pretraining else []), StagePlan("train", self.n_epochs)]

    def fit(self, cohort: Cohort, run: Run) -> None:
        """Pretrain level by level, train on whole volumes, choose the threshold on the training subjects."""
        training = Training(run, self.stages())
        data = self.data(cohort, run)
        if not any((data.train.labels(i)[data.train.inside(i)] > 0).any() for i in range(len(data.train))):
            raise CohortError(
                f"None of the {len(data.train)} training subjects has a lesion inside its region; change the split, "
                "or the region."
            )
        network = self.network(data.record.n_channels, data.record.n_outputs)
        if self.pretraining:
            self._pretrain(training, network, data)
        self.learn(training, "train", network, data, stage=self.levels)
        threshold = best_threshold(network.cpu().eval(), *self._whole(data.train), run_progress(run, "threshold"))
        run.save_arrays("threshold", value=np.array(threshold))
        self.leave(run, network, data)

    def task(self, network: nn.Module, data: SegmentationData, stage: int) -> Segmenter:
        """Give the module that trains the network on whole volumes."""
        return Segmenter(
            network, n_classes=2, loss=self.loss, sensitivity_ratio=self.sensitivity_ratio, optimizer=self.optimizer,
            learning_rate=self.learning_rate, weight_decay=self.weight_decay, patience=self.patience, seed=self.seed,
            stage=stage,
        )  # fmt: skip

    def batches(self, data: SegmentationData, stage: int) -> Any:
        """Give whole volumes, one a step."""
        held = None if data.validation is None else self._whole(data.validation)
        return WholeImageDataModule(*self._whole(data.train), held, seed=self.seed * 1000 + stage)

    def held_out_batches(self, store: PatchStore) -> list[dict[str, Tensor]]:
        """Give whole volumes to score the trained network on."""
        return [
            {"image": torch.from_numpy(np.array(image))[None], "label": torch.from_numpy(label.astype(np.int64))[None]}
            for image, label in zip(*self._whole(store), strict=True)
        ]

    def leave(self, run: Run, network: nn.Module, data: SegmentationData) -> None:
        """Write what a finished run is looked at by: weights, some images, scores on held-out ones at the threshold."""
        network = network.cpu().eval()
        run.save_weights("weights", {name: t.contiguous() for name, t in network.state_dict().items()})
        store, where = data.held_out
        leave_examples(run, network, self.held_out_batches(store))
        threshold = float(run.load_arrays("threshold")["value"])
        scores = scores_at(network, *self._whole(store), threshold, data.record.output_names[1])
        run.finish({"scores": scores, "scored_on": f"the region of each of the {where}, cut at {threshold:g}"})

    def apply(
        self, network: nn.Module, image: np.ndarray, region: np.ndarray, progress: Progress = silent
    ) -> np.ndarray:
        """Apply the network to the whole volume at once, cut as for training.

        Raises:
            SettingsError: the volume is smaller than the kernels.
        """
        p = apply_whole(network, image, region, self._border, self._least, progress)
        return np.concatenate([1 - p, p])

    def segment(self, subject: Subject, run: Run, progress: Progress = silent) -> Segmented:
        """Label every voxel, by the threshold that was best on the training subjects."""
        found = super().segment(subject, run, progress)
        threshold = float(run.load_arrays("threshold")["value"])
        found.classes[...] = (found.probabilities[1] >= threshold) & found.region
        return found

    def cost(self) -> Cost:
        """Count the work on crops, and then on whole volumes, of which so many as :data:`RECKONED_VOLUMES`."""
        n_channels = len([m for m in self.modalities.split(",") if m.strip()]) or 1
        mm = self.spacing_mm
        shape = tuple(max(k, round(n / mm)) for n, k in zip(HEAD_MM, self._least, strict=True)) if mm else (
            PUBLISHED_SHAPE
        )  # fmt: skip
        network = self.network(n_channels, 2)
        n_parameters = sum(p.numel() for p in network.parameters())
        per_volume, activations = multiplications(network, (n_channels, *shape))
        n_crop_steps = self.n_epochs_pretraining * -(-self.n_patches // self.batch_size) if self.pretraining else 0
        n_steps, flops, size, below = self.n_epochs * RECKONED_VOLUMES, 0.0, self.crop, n_channels
        for kernel in self.kernels:
            maps = [max(1, n - k + 1) for n, k in zip(size, kernel, strict=True)]
            flops += 2.0 * SWEEPS * np.prod(maps) * np.prod(kernel) * below * self.n_maps * self.batch_size
            size, below = tuple(n // POOL for n in maps), self.n_maps
        return Cost(
            parameters=n_parameters,
            flops=float(6.0 * per_volume * n_steps + flops * n_crop_steps),
            memory_bytes=16.0 * n_parameters + 8.0 * activations,
            n_steps=n_steps + n_crop_steps * self.levels,
            efficiency=EFFICIENCY,
        )

    @property
    def _least(self) -> tuple[int, ...]:
        """Voxels that an image needs."""
        return smallest_image(self.kernels)

    @property
    def _border(self) -> tuple[int, ...]:
        """Voxels about the region that are seen too."""
        return tuple(k - 1 for k in self.first_kernel)

    def _whole(self, store: PatchStore) -> tuple[list[np.ndarray], list[np.ndarray]]:
        return whole_images(store, self._border, self._least)

    def _pretrain(self, training: Training, network: EncoderNetwork, data: SegmentationData) -> None:
        """Train a machine on crops, and the next on its pooled maps; begin the network at them."""
        machines: list[ConvRBM] = []
        seen: list[VisibleValues] = []
        for i, kernel in enumerate(self.kernels):
            crops = LabelledPatchDataModule(
                data.train, None, patch_size=self.crop, label_size=(1, 1, 1), batch_size=self.batch_size,
                n_patches=self.n_patches, sampler=self.sampler, seed=self.seed * 1000 + i,
            )  # fmt: skip
            examples = crops.train_batch(0, 0)["image"]
            seen.append(VisibleValues(examples, machines[-1], seen[-1]) if machines else VisibleValues(examples))
            machine = untrained_machine(seen[-1](examples), self.n_maps, kernel, self.seed + i)
            task = ContrastiveDivergence(
                machine, learning_rate=self.pretraining_rate, max_update_norm=0.1, below=seen[-1], seed=self.seed,
                stage=i,
            )  # fmt: skip
            training.stage(f"pretrain {i + 1}", task, crops, n_epochs=self.n_epochs_pretraining)
            machines.append(machine)
        network.start_from(machines, seen)
