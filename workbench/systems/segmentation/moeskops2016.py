"""Tissues of newborn and adult brains from patches of several scales.

Review: Section 3.3, Reference 102

Citation: Moeskops P, Viergever MA, Mendrik AM, de Vries LS, Benders MJNL, Išgum I. Automatic segmentation of MR brain
images with a convolutional neural network. IEEE Transactions on Medical Imaging 35(5):1252–1261, 2016.

Input: one anatomical image, T2 of newborns in the paper, or T1 of adults; bias corrected, intensities scaled to one
range inside the brain mask. Several modalities, one a channel, work too.

Network: three branches see concentric patches of 25, 51 and 75 pixels of a slice. Each has three convolutions of 24,
32 and 48 maps, with kernels of 5, 3, 3; 7, 5, 3; and 9, 7, 5 pixels; poolings of 2 × 2 after the first two, and after
the third in the two larger branches; and 256 fully connected units. One softmax layer on all 768 units; rectified
units; dropout. 755,913 parameters for one image and nine classes: eight tissues and the background.

Training: cross-entropy by RMSprop, 10 epochs; each draws anew 50,000 patches of each class of each subject, or all
where there are fewer, centered inside the brain mask.

Output: a label map of the brain mask; nothing is cleaned up.

Reported: mean Dice of 0.87, 0.82, 0.84, 0.86 and 0.91 on five data sets, newborns to adults (the paper's text); of
cortical grey matter at 30 weeks 0.78 with each scale alone and 0.84 with the three; of the cerebellum 0.69 with 25
pixels and 0.92 with the three.

Departs from the paper in: the share of dropped units, the learning rate and the size of a batch were not found; they
are a half, 1e-3 and 256. The bias is corrected by N4 and not by Likar's method. Intensities are scaled to 0 to 1 rather
than 0 to 1023, which is the same network with other weights to begin with. The mask is given, or else the foreground,
where the paper runs BET. The network pads inside its patch, so it is asked patch by patch; a stride above 1 is a
preview that the paper does not have.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np
from torch import nn

from workbench.imaging.cohort import Cohort
from workbench.inference.whole_volume import patchwise_probabilities
from workbench.models.multiscale_cnn import SCALES, MultiScaleCNN
from workbench.patches.labelled import LabelledPatchDataModule
from workbench.progress import Progress, silent
from workbench.runs.stages import StagePlan
from workbench.systems.base import Cost, Preset, Reported, setting
from workbench.systems.segmentation_base import PlaneName, Segmentation
from workbench.systems.segmentation_images import SegmentationImages, StandardizationName, border
from workbench.systems.segmentation_record import SegmentationData
from workbench.systems.segmentation_views import multiplications
from workbench.tasks.segmenting import Segmenter

ScalesName = Literal["all", "25", "51", "75"]
PREFERRED = "T2"
RECKONED = (9, 8)
"""Classes and subjects for which a training's cost is estimated: the cohort decides how many there are."""
PAPER = "the paper's full text, arXiv 1704.03295"


class Moeskops2016(Segmentation):
    """Settings with the published defaults."""

    phantom: ClassVar[str] = "infant-regions"
    n_axes: ClassVar[int] = 2
    presets: ClassVar[tuple[Preset, ...]] = (
        Preset("published", "All maps, 50,000 patches of each class of each subject in an epoch: for a GPU."),
        Preset("cpu", "Half of the maps, fewer patches, a preview of every second voxel: some 15 minutes on two cores.",
               {"width": 0.5, "n_patches": 1500, "n_epochs": 8, "stride": 2}),
        Preset("quick", "A quarter of the maps, some patches, a preview of every third voxel: seconds.",
               {"width": 0.25, "n_patches": 40, "n_epochs": 5, "batch_size": 64, "learning_rate": 2e-3, "stride": 3,
                "bias_correction": False}),
    )  # fmt: skip
    reported: ClassVar[tuple[Reported, ...]] = (
        Reported("mean Dice", "0.87", "newborns at 30 weeks, coronal T2, 10 subjects", PAPER),
        Reported("mean Dice", "0.82", "newborns at 40 weeks, coronal T2, 5 subjects", PAPER),
        Reported("mean Dice", "0.84", "newborns at 40 weeks, axial T2, 7 subjects (NeoBrainS12)", PAPER),
        Reported("mean Dice", "0.86", "adults of 70 years, 20 subjects (MRBrainS13)", PAPER),
        Reported("mean Dice", "0.91", "young adults, 35 subjects", PAPER),
        Reported("Dice of cortical grey matter", "0.84", "30 weeks, three scales; 0.78 with each one alone", PAPER),
        Reported("Dice of the cerebellum", "0.92", "30 weeks, three scales; 0.69 with 25 pixels alone", PAPER),
    )

    modalities: str = setting(
        "", "Modalities", "Separated by commas, one a channel; empty takes one image, T2 where there is one.", "Data"
    )
    bias_correction: bool = setting(True, "Bias correction", "N4 on every modality, before anything else.", "Data")
    standardization: StandardizationName = setting(
        "range", "Standardization", "Of intensities: published is one range inside the mask.", "Data"
    )
    plane: PlaneName = setting(
        "axial", "Plane", "Of the slices that patches are cut from; coronal in three of the five data sets.", "Patches"
    )
    n_patches: int = setting(
        50_000,
        "Patches per class and subject",
        "In every epoch, drawn afresh and none twice; all where there are fewer. Without balance: of an epoch in all.",
        "Patches",
        ge=1,
        le=20_000_000,
    )
    scales: ScalesName = setting(
        "all", "Scales (pixels)", "Published are all three; one of them alone shows what it is good for.", "Network"
    )
    width: float = setting(1.0, "Width", "Share of the published numbers of maps and units.", "Network", ge=0.05, le=2)
    dropout: float = setting(0.5, "Dropout", "Of the fully connected units.", "Network", ge=0, lt=1)
    batch_size: int = setting(256, "Batch size", "Patches in a step.", "Training", ge=1, le=65_536)
    stride: int = setting(
        1, "Stride (voxels)", "1 asks about every voxel; above it is a preview, faster by its square.", "Output",
        ge=1, le=16,
    )  # fmt: skip

    @property
    def chosen_scales(self) -> tuple[int, ...]:
        """Edges of the patches that are seen."""
        return tuple(SCALES) if self.scales == "all" else (int(self.scales),)

    @property
    def patch_shape(self) -> tuple[int, ...]:
        """Pixels of the largest patch; the others are its middle."""
        return (max(self.chosen_scales),) * 2

    def images(self, cohort: Cohort) -> SegmentationImages:
        """Give how images are prepared: of one modality unless others were named."""
        found = super().images(cohort)
        if self.modalities.strip():
            return found
        one = PREFERRED if PREFERRED in found.modalities else found.modalities[0]
        return replace(found, modalities=(one,))

    def network(self, n_channels: int, n_classes: int) -> nn.Module:
        """Give the untrained network; 755,913 parameters for one image, nine classes and all scales."""
        return MultiScaleCNN(
            n_channels, n_classes, scales=self.chosen_scales, width=self.width, dropout=self.dropout, seed=self.seed
        )

    def stages(self) -> list[StagePlan]:
        """Name the one stage; how many batches an epoch has, the subjects' classes decide."""
        if self.sampler != "balanced":
            return super().stages()
        return [StagePlan("train", self.n_epochs)]

    def batches(self, data: SegmentationData, stage: int) -> LabelledPatchDataModule:
        """Give so many patches of each class of each subject in an epoch."""
        if self.sampler != "balanced":
            return super().batches(data, stage)
        return LabelledPatchDataModule(
            data.train, data.validation, patch_size=self.patch_shape, label_size=self.label_shape,
            batch_size=self.batch_size, quota=self.n_patches, plane=self.plane, seed=self.seed * 1000 + stage,
        )  # fmt: skip

    def task(self, network: nn.Module, data: SegmentationData, stage: int) -> Segmenter:
        """Give the module that trains the network."""
        return Segmenter(
            network, n_classes=data.record.n_outputs, optimizer="rmsprop", learning_rate=self.learning_rate,
            weight_decay=self.weight_decay, patience=self.patience, seed=self.seed, stage=stage,
        )  # fmt: skip

    def apply(
        self, network: nn.Module, image: np.ndarray, region: np.ndarray, progress: Progress = silent
    ) -> np.ndarray:
        """Apply the network to the patch about each voxel of the region, or about some of them."""
        fill = border(image)
        return patchwise_probabilities(
            network, image, patch=self.patch_shape, mask=region, stride=self.stride, fill=fill, plane=self.plane,
            progress=progress,
        )  # fmt: skip

    def cost(self) -> Cost:
        """Count from the network on a patch, for one image, nine classes and eight subjects."""
        common = super().cost()
        if self.sampler != "balanced":
            return common
        n_classes, n_subjects = RECKONED
        per_patch, _ = multiplications(self.network(1, n_classes), (1, *self.patch_shape))
        n_steps = self.n_epochs * -(-self.n_patches * n_classes * n_subjects // self.batch_size)
        return replace(common, flops=6.0 * per_patch * self.batch_size * n_steps, n_steps=n_steps)
