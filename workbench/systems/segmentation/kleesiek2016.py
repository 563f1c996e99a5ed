"""Skull stripping with a three-dimensional fully convolutional network.

Review: Section 3.3, Reference 27

Citation: Kleesiek J, Urban G, Hubert A, Schwarz D, Maier-Hein K, Bendszus M, Biller A. Deep MRI brain extraction: a 3D
convolutional neural network for skull stripping. NeuroImage 129:460–469, 2016.

Input: whole-head MR of any size and any number of channels (T1; or T1, T1 with contrast, T2 and FLAIR), with a brain
mask to learn from. Intensities: mean 0, a quarter of the standard deviation's reciprocal, over the whole image.

Network: convolutions without padding, kernels of 4, 5, 5, 5, 5, 5, 5 and 1 voxels, 16, 24, 28, 34, 42, 50, 50 and 2
maps, rectified; one maximum pooling of 2 × 2 × 2 after the first. A voxel sees 53 × 53 × 53 others; 1,005,870
parameters for one channel.

Training: cubes of 65 voxels at random places, four a step, give 7 × 7 × 7 predictions each, two voxels apart, so that
neighboring predictions share their work. Mean cross-entropy; stochastic gradient descent with momentum 0.9, whose rate
is halved when the running loss has not improved for 4,000 steps, and which ends when it has fallen a thousandfold.

Output: the probability of brain at every voxel. It is cut at 0.5, its largest piece is kept, and so is the largest
piece of what is left, which fills its holes.

Reported: mean Dice of 95.19 on images of tumors, 96.32 on IBSR and 96.96 on LPBA40 (abstract of the paper). The review
adds the highest mean specificity of the methods compared on all four data sets, and an average sensitivity.

Departs from the paper in: the authors' code begins with a rate of 1e-5, which belongs to its scaling of the loss; with
the mean over voxels it is 2e-3 here, above which the network was seen to end up saying background everywhere. Steps
are grouped into epochs, at whose ends training may stop. Flips and exchanged axes of the cubes are a switch. The
pooled network is evaluated at every voxel by shifting, which gives exactly what it says of each patch.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import torch
from scipy.ndimage import label
from torch import nn

from workbench.inference.whole_volume import dense_probabilities
from workbench.patches.right_angles import RightAngles
from workbench.progress import Progress, silent
from workbench.systems.base import Preset, Reported, setting
from workbench.systems.segmentation_base import Segmentation
from workbench.systems.segmentation_images import RegionName, StandardizationName, border
from workbench.systems.segmentation_record import SegmentationData
from workbench.tasks.schedules import Schedule
from workbench.tasks.segmenting import Segmenter

KERNELS = (4, 5, 5, 5, 5, 5, 5, 1)
MAPS = (16, 24, 28, 34, 42, 50, 50)
FIELD, POOL = 53, 2
ABSTRACT = "abstract of the paper"


class Kleesiek2016(Segmentation):
    """Settings with the published defaults."""

    phantom: ClassVar[str] = "head"
    presets: ClassVar[tuple[Preset, ...]] = (
        Preset("published", "All maps, cubes of 65 voxels, until the rate has fallen a thousandfold: for a GPU."),
        Preset("cpu", "Half the maps, voxels of 2 mm, 1,500 steps: about 20 minutes on two cores.",
               {"width": 0.5, "spacing_mm": 2.0, "n_epochs": 10, "n_patches": 600, "plateau_steps": 300,
                "plateau_window": 100}),
        Preset("quick", "A sixth of the maps, voxels of 6 mm, some steps: seconds.",
               {"width": 0.16, "spacing_mm": 6.0, "n_epochs": 3, "n_patches": 24, "cube_size": 57, "batch_size": 2}),
    )  # fmt: skip
    reported: ClassVar[tuple[Reported, ...]] = (
        Reported("mean Dice, %", "95.19", "53 patients with tumors, four channels", ABSTRACT),
        Reported("mean Dice, %", "96.32", "IBSR, 18 subjects", ABSTRACT),
        Reported("mean Dice, %", "96.96", "LPBA40, 40 subjects", ABSTRACT),
    )

    modalities: str = setting(
        "", "Modalities", "Separated by commas, one a channel; empty takes all that every subject has.", "Data"
    )
    classes: str = setting(
        "brain=*",
        "Classes",
        "'brain=*' takes every labelled voxel for brain, 'brain=mask' each subject's mask.",
        "Data",
    )
    standardization: StandardizationName = setting(
        "quarter_z_score", "Standardization", "Of intensities: published is (x - mean) / (4 std) of the whole image.",
        "Data",
    )  # fmt: skip
    region: RegionName = setting(
        "image", "Region", "What is learnt from and labelled: every voxel, or the mask.", "Data"
    )
    sampler: Literal["inside", "balanced"] = setting(
        "inside", "Sampling", "Cubes lie anywhere, without balance of classes.", "Patches"
    )
    cube_size: int = setting(
        65, "Cube (voxels)", "Edge of a training cube; 53 gives one prediction, each 2 more give another.", "Patches",
        ge=53, le=129,
    )  # fmt: skip
    augment: bool = setting(False, "Flips and exchanged axes", "Of the training cubes.", "Patches")
    width: float = setting(1.0, "Width", "Share of the published numbers of maps.", "Network", ge=0.1, le=2)
    n_patches: int = setting(4000, "Cubes per epoch", "Drawn afresh.", "Patches", ge=4, le=20_000_000)
    batch_size: int = setting(4, "Batch size", "Cubes in a step.", "Training", ge=1, le=256)
    n_epochs: int = setting(
        100, "Epochs at most", "The plateau rule ends training earlier.", "Training", ge=1, le=100_000
    )
    learning_rate: float = setting(2e-3, "Learning rate", "At the first step.", "Training", gt=0, le=10)
    plateau_steps: int = setting(
        4000, "Plateau (steps)", "The rate is halved when the running loss has not improved for so long.", "Training",
        ge=1, le=1_000_000,
    )  # fmt: skip
    plateau_window: int = setting(
        500, "Running loss (steps)", "Over how many steps the loss is averaged.", "Training", ge=1, le=100_000
    )
    threshold: float = setting(
        0.5,
        "Threshold",
        "Of the probability of brain: lower finds more brain and more that is not.",
        "Output",
        ge=0,
        le=1,
    )
    keep_largest: bool = setting(True, "Largest pieces", "Of brain, and of what is left, which fills holes.", "Output")

    @property
    def patch_shape(self) -> tuple[int, ...]:
        """Voxels of a cube."""
        return (self.cube_size,) * 3

    @property
    def label_shape(self) -> tuple[int, ...]:
        """Predictions of a cube along each axis."""
        return ((self.cube_size - FIELD) // POOL + 1,) * 3

    @property
    def label_stride(self) -> int:
        """Voxels between two predictions."""
        return POOL

    @property
    def turns(self) -> RightAngles | None:
        """Flips and any order of the axes, as the authors' code has them."""
        return RightAngles(flips=True, quarter_turns=False, axis_permutations=True) if self.augment else None

    def network(self, n_channels: int, n_classes: int) -> nn.Module:
        """Give the untrained network; 1,005,870 parameters for one channel and two classes."""
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            layers: list[nn.Module] = []
            below = n_channels
            maps = (*(max(2, round(self.width * n)) for n in MAPS), n_classes)
            for i, (kernel, n_maps) in enumerate(zip(KERNELS, maps, strict=True)):
                convolution = nn.Conv3d(below, n_maps, kernel)
                shrunk = POOL**3 if i == 0 else 1
                fans = (below + n_maps / shrunk) * kernel**3
                nn.init.normal_(convolution.weight, 0.0, (3 / fans) ** 0.5)
                nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]
                layers.append(convolution)
                layers += [nn.MaxPool3d(POOL)] if i == 0 else []
                layers += [nn.ReLU()] if i < len(KERNELS) - 1 else []
                below = n_maps
            network = nn.Sequential(*layers)
            return network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]  # faster on a CPU

    def task(self, network: nn.Module, data: SegmentationData, stage: int) -> Segmenter:
        """Give the module that trains the network."""
        schedule = Schedule("plateau", n_steps=self.plateau_steps, window=self.plateau_window)
        return Segmenter(
            network, n_classes=data.record.n_outputs, optimizer="sgd", learning_rate=self.learning_rate, momentum=0.9,
            weight_decay=self.weight_decay, schedule=schedule, patience=self.patience, seed=self.seed, stage=stage,
        )  # fmt: skip

    def apply(
        self, network: nn.Module, image: np.ndarray, region: np.ndarray, progress: Progress = silent
    ) -> np.ndarray:
        """Apply the network at every voxel; beyond the border lies the mean of the six faces."""
        fill = border(image)
        return dense_probabilities(network, image, fill=fill, mask=region, progress=progress)

    def clean(self, classes: np.ndarray, probabilities: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
        """Cut at the threshold and keep the largest piece of brain, then the largest of what is not."""
        if probabilities.shape[0] == 2:
            classes = (probabilities[1] > self.threshold).astype(np.int32)
        if not self.keep_largest or not classes.any():
            return classes
        brain = _largest(classes > 0)
        return np.where(_largest(~brain), 0, np.maximum(classes, 1)).astype(np.int32)


def _largest(mask: np.ndarray) -> np.ndarray:
    """Give the largest 6-connected piece (X, Y, Z) bool; nothing where there is none."""
    pieces, n = label(mask)
    if n == 0:
        return mask
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return pieces == sizes.argmax()
