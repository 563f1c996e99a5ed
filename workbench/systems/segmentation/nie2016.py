"""Tissue of isointense infant brains from one network a modality, fused by their highest maps.

Review: Section 3.3, Reference 48, Figure 8

Citation: Nie D, Wang L, Gao Y, Shen D. Fully convolutional networks for multi-modality isointense infant brain image
segmentation. IEEE International Symposium on Biomedical Imaging, pp. 1342–1345, 2016.

Input: co-registered T1, T2 and FA of an infant of six to eight months, without skull; one network a modality. Any
modalities and any number of tissues work.

Network: a fully convolutional network a modality, Figure 8: three convolutions of 32 maps, a pooling, two of 64 maps,
a pooling, one of 64 maps, then two deconvolutions of 4 × 4 pixels that double the maps' edges; other kernels are 3 × 3.
To fuse, the 64 maps of the third group of each network are concatenated and the deconvolutions come above: 534,276
parameters for three modalities and four output maps, 180,868 for one modality alone. Outputs: the background, CSF, grey
and white matter.

Training: patches of 64 × 64 pixels of axial slices with the label of every pixel; cross-entropy by stochastic gradient
descent with momentum. First one network for each modality, a stage each; then their encoders below new deconvolutions,
fine-tuned together.

Output: a label map; the class probabilities of overlapping patches are averaged.

Reported: average Dice of 0.852 for CSF, 0.873 for grey and 0.887 for white matter over eight subjects, better than
fully convolutional networks and other methods, whose numbers the review does not give.

Departs from the paper in: the layers are read from the labels of Figure 8. Six convolutions of 3 × 3 and two
deconvolutions of 4 × 4, sides of 64, 32 and 16 and one, 32, 64 and 4 maps account for all labels 64, 3 and 4; four of
the sixteen labels 32, one of the five 16 and one of the two 1 stay unexplained. What the figure does not say, the kind
and size of the poolings among it, was not found: they are maxima of 2 × 2. The rate of 1e-3, its tenth every 20,000
steps, momentum 0.9, decay 5e-4, twice the rate for biases and 10 patches a step are those of a later file of the first
author. Whether encoders are held or move in the second stage was not found; here they move at a tenth of the rate, and
the deconvolutions begin anew. The number of epochs and how patches are drawn were not found either. One network on
all modalities as its channels (early), or on one modality (single), is for comparison.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np
from pydantic import model_validator

from workbench.imaging.cohort import Cohort
from workbench.inference.whole_volume import sliding_probabilities
from workbench.models.fusion_fcn import REDUCTION, FusionFCN, PoolingName
from workbench.patches.labelled import FIXED_AXIS
from workbench.progress import Progress, silent
from workbench.runs.run import Run
from workbench.runs.stages import StagePlan
from workbench.runs.training import Training
from workbench.systems.base import Cost, Preset, Reported, setting
from workbench.systems.segmentation_base import PlaneName, Segmentation
from workbench.systems.segmentation_images import SegmentationImages, padded
from workbench.systems.segmentation_record import SegmentationData
from workbench.systems.segmentation_views import multiplications
from workbench.tasks.schedules import Schedule
from workbench.tasks.segmenting import Segmenter

FusionName = Literal["late", "early", "single"]
RECKONED = ("T1", "T2", "FA")
"""What costs are reckoned with where the cohort decides."""
BIAS_RATE, RATE_FALL = 2.0, 0.1
TOGETHER = "together"


class Nie2016(Segmentation):
    """Settings with the published defaults."""

    phantom: ClassVar[str] = "infant"
    n_axes: ClassVar[int] = 2
    presets: ClassVar[tuple[Preset, ...]] = (
        Preset("published", "A network a modality with all maps, then together, 30 epochs of 10,000 patches each."),
        Preset("cpu", "Two fifths of the maps, fewer patches, another optimizer: some 20 minutes on two cores.",
               {"width": 0.4, "n_patches": 1000, "n_epochs": 10, "n_epochs_alone": 5, "optimizer": "adam",
                "learning_rate": 2e-3}),
        Preset("quick", "A third of the maps, small patches: seconds.",
               {"width": 0.3, "patch_size": 32, "n_patches": 160, "n_epochs": 4, "n_epochs_alone": 2, "batch_size": 4,
                "optimizer": "adam", "learning_rate": 0.01}),
    )  # fmt: skip
    reported: ClassVar[tuple[Reported, ...]] = (
        Reported("mean Dice, CSF", "0.852", "8 infants, three modalities", "the review, Section 3.3"),
        Reported("mean Dice, grey matter", "0.873", "8 infants, three modalities", "the review, Section 3.3"),
        Reported("mean Dice, white matter", "0.887", "8 infants, three modalities", "the review, Section 3.3"),
    )

    sampler: Literal["inside", "balanced"] = setting(
        "inside", "Sampling", "Patches are centered evenly in the region, or on every class equally often.", "Patches"
    )
    plane: PlaneName = setting("axial", "Plane", "Of the slices that patches are cut from.", "Patches")
    patch_size: int = setting(
        64, "Patch size (pixels)", "Edge of a patch, divisible by 4.", "Patches", ge=16, le=512
    )  # fmt: skip
    n_patches: int = setting(10_000, "Patches per epoch", "Drawn afresh.", "Patches", ge=1, le=20_000_000)
    fusion: FusionName = setting(
        "late", "Fusion", "late: a network a modality, fused by their highest maps; early: one network that sees all "
        "as channels; single: one network on the first modality.", "Network",
    )  # fmt: skip
    width: float = setting(1.0, "Width", "Share of the published numbers of maps.", "Network", ge=0.05, le=4)
    pooling: PoolingName = setting("max", "Pooling", "Of 2 × 2 pixels; the figure does not say which.", "Network")
    batch_size: int = setting(10, "Batch size", "Patches in a step.", "Training", ge=1, le=4096)
    n_epochs: int = setting(30, "Epochs", "Of the last stage.", "Training", ge=1, le=100_000)
    n_epochs_alone: int = setting(
        30, "Epochs of each modality", "Of its own network, before they are fused; 0 fuses untrained ones.", "Training",
        ge=0, le=100_000,
    )  # fmt: skip
    optimizer: Literal["sgd", "adam"] = setting(
        "sgd", "Optimizer", "sgd, stochastic gradient descent with momentum, as published; adam takes fewer steps.",
        "Training",
    )  # fmt: skip
    momentum: float = setting(0.9, "Momentum", "Of stochastic gradient descent.", "Training", ge=0, lt=1)
    weight_decay: float = setting(5e-4, "Weight decay λ", "Of weights, not biases.", "Training", ge=0, le=1)
    rate_steps: int = setting(
        20_000, "Steps per rate", "After so many the learning rate falls to a tenth.", "Training", ge=1, le=10_000_000
    )
    encoder_rate: float = setting(
        0.1, "Rate of encoders", "What multiplies their learning rate when they are fused; 0 holds trained ones.",
        "Training", ge=0, le=1,
    )  # fmt: skip
    overlap: float = setting(
        0.5,
        "Overlap",
        "Share of a patch that the next one sees too, when an image is labelled.",
        "Output",
        ge=0,
        le=0.9,
    )

    @model_validator(mode="after")
    def _check_patch(self) -> Nie2016:
        if self.patch_size % REDUCTION:
            raise ValueError(
                f"patches have a side divisible by {REDUCTION}, because it is halved twice; got {self.patch_size}"
            )
        if self.fusion == "single" and len(self._named) > 1:
            raise ValueError(f"the fusion single sees one modality; name one, not {', '.join(self._named)}")
        return self

    @property
    def patch_shape(self) -> tuple[int, ...]:
        """Pixels of a patch."""
        return (self.patch_size, self.patch_size)

    @property
    def label_shape(self) -> tuple[int, ...]:
        """Every pixel of a patch has a label."""
        return self.patch_shape

    def images(self, cohort: Cohort) -> SegmentationImages:
        """Give how images are prepared: of one modality where nothing is fused."""
        found = super().images(cohort)
        return replace(found, modalities=found.modalities[:1]) if self.fusion == "single" else found

    def network(self, n_channels: int, n_classes: int) -> FusionFCN:
        """Give the untrained network; 534,276 parameters for three modalities and four output maps."""
        late = self.fusion == "late" and n_channels > 1
        groups = [[c] for c in range(n_channels)] if late else [list(range(n_channels))]
        return FusionFCN(groups, n_classes, width=self.width, pooling=self.pooling, seed=self.seed)

    def network_alone(self, channel: int, n_classes: int) -> FusionFCN:
        """Give the untrained network of one modality; 180,868 parameters for four output maps."""
        seed = (self.seed + 1) * 1000 + channel
        return FusionFCN([[channel]], n_classes, width=self.width, pooling=self.pooling, seed=seed)

    def stages(self) -> list[StagePlan]:
        """Name the stages: one a modality, then all together."""
        return self._stages(self._named or RECKONED)

    def fit(self, cohort: Cohort, run: Run) -> None:
        """Train a network a modality, then all of them together, on patches of the training subjects."""
        modalities = self.images(cohort).modalities
        plans = self._stages(modalities)
        training = Training(run, plans)
        data = self.data(cohort, run)
        network = self.network(data.record.n_channels, data.record.n_outputs)
        for channel, plan in enumerate(plans[:-1]):
            alone = self.network_alone(channel, data.record.n_outputs)
            task = self.task(alone, data, channel)
            training.stage(plan.name, task, self.batches(data, channel), n_epochs=plan.n_epochs)
            task.keep_best()
            network.take_encoder(channel, alone)
        self.learn(training, plans[-1].name, network, data, stage=len(plans) - 1)
        self.leave(run, network, data)

    def task(self, network: FusionFCN, data: SegmentationData, stage: int) -> Segmenter:  # type: ignore[override]
        """Give the module that trains a network; encoders that were trained before move slower, or not at all."""
        trained = len(network.encoders) > 1 and self.n_epochs_alone > 0
        return Segmenter(
            network, n_classes=data.record.n_outputs, optimizer=self.optimizer, learning_rate=self.learning_rate,
            momentum=self.momentum, weight_decay=self.weight_decay,
            schedule=Schedule("steps", n_steps=self.rate_steps, factor=RATE_FALL),
            layer_rates=network.layer_rates(encoders=self.encoder_rate if trained else 1.0, biases=BIAS_RATE),
            patience=self.patience, seed=self.seed, stage=stage,
        )  # fmt: skip

    def apply(
        self, network: FusionFCN, image: np.ndarray, region: np.ndarray, progress: Progress = silent  # type: ignore[override]
    ) -> np.ndarray:  # fmt: skip
        """Average what the network says of overlapping patches; slices smaller than a patch are made larger."""
        axes = [a for a in range(3) if a != FIXED_AXIS[self.plane]]
        before = [max(0, self.patch_size - n) // 2 if a in axes else 0 for a, n in enumerate(image.shape[1:])]
        after = [max(0, self.patch_size - n) - b if a in axes else 0
                 for a, (n, b) in enumerate(zip(image.shape[1:], before, strict=True))]  # fmt: skip
        widths = list(zip(before, after, strict=True))
        wide = padded(image, widths)
        found = sliding_probabilities(
            network, wide, window=self.patch_shape, overlap=self.overlap, weighting="constant", plane=self.plane,
            progress=progress,
        )  # fmt: skip
        inside = tuple(slice(b, b + n) for b, n in zip(before, image.shape[1:], strict=True))
        return found[(slice(None), *inside)]

    def cost(self) -> Cost:
        """Count from the networks on a patch, for three modalities and four classes where the cohort decides."""
        named = ("one",) if self.fusion == "single" else self._named or RECKONED
        common, plans = super().cost(), self._stages(named)
        together, kept = multiplications(self.network(len(named), 4), (len(named), *self.patch_shape))
        alone, _ = multiplications(self.network_alone(0, 4), (1, *self.patch_shape))
        work = sum(p.n_epochs * (p.n_batches or 0) * (together if p is plans[-1] else alone) for p in plans)
        n_parameters = sum(p.numel() for p in self.network(len(named), 4).parameters())
        return replace(
            common, parameters=n_parameters, flops=6.0 * work * self.batch_size,
            memory_bytes=16.0 * n_parameters + 8.0 * kept * self.batch_size,
            n_steps=sum(p.n_epochs * (p.n_batches or 0) for p in plans),
        )  # fmt: skip

    @property
    def _named(self) -> tuple[str, ...]:
        return tuple(name.strip() for name in self.modalities.split(",") if name.strip())

    def _stages(self, modalities: Sequence[str]) -> list[StagePlan]:
        n_batches = -(-self.n_patches // self.batch_size)
        if self.fusion != "late" or len(modalities) == 1:
            return [StagePlan("train", self.n_epochs, n_batches)]
        names = [f"{i} {re.sub(r'[^A-Za-z0-9]+', ' ', m).strip()} alone" for i, m in enumerate(modalities, 1)]
        alone = [StagePlan(name, self.n_epochs_alone, n_batches) for name in names if self.n_epochs_alone]
        return [*alone, StagePlan(TOGETHER, self.n_epochs, n_batches)]
