"""Parts of brain tumors with deep networks of small kernels.

Review: Section 3.4, Reference 34

Citation: Pereira S, Pinto A, Alves V, Silva CA. Brain tumor segmentation using convolutional neural networks in MRI
images. IEEE Transactions on Medical Imaging 35(5):1240–1251, 2016.

Input: T1, T1 with contrast, T2 and FLAIR of a patient with a glioma of known grade, skull stripped. The bias field of
each is corrected by N4, intensities are brought to Nyúl's landmarks, learnt on the training subjects, and then to mean
0 and variance 1 by the moments of the training subjects. Any modalities and any parts work.

Network: patches of 33 × 33 pixels of an axial slice. For high-grade gliomas three convolutions of 64 maps, a pooling of
3 × 3 voxels every 2, three of 128 maps and another pooling; for low-grade ones two and two. All kernels are 3 × 3, with
zeros about each map; then two fully connected layers of 256 units and a softmax over normal tissue, necrosis, edema,
non-enhancing and enhancing tumor. Leaky rectifiers. 2,118,213 and 1,933,701 parameters.

Training: cross-entropy by stochastic gradient descent with Nesterov's momentum of 0.9 and a rate that falls in a line,
on patches of which four in ten are centered on normal tissue and the others on each part equally often, turned by
multiples of 90 degrees. Low-grade gliomas are trained with the preset "low grade".

Output: a label map. Connected pieces of tumor below a least volume are removed.

Reported: the review says that it was first in all three regions of the BRATS 2013 challenge; the paper's own Dice
coefficients were not read at their source, so none is shown here.

Departs from the paper in: the learning rates, 3e-3 to 3e-5, batches of 128, epochs, numbers of patches, shares of
dropped units, 0.1 and for low grade a half, the slope of the leaky rectifier, a third, and the least volumes, 10,000
and 3,000 voxels of 1 mm³, are remembered and were not checked against the paper. The least volume is given in mm³, so
that it means the same on a coarser grid, and pieces touch at corners too. The moments are those of all voxels of the
training subjects' masks rather than of the patches. Networks without zeros about their maps ("valid", larger patches,
as many weights), with plain rectifiers, or with one convolution of 7 × 7 in place of three of 3 × 3 are for comparison.
The published network pads inside its patch, so it is asked patch by patch; a stride above 1 is a preview that the paper
does not have. The one without zeros is applied to whole slices, which gives exactly what it says of each patch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from scipy.ndimage import label
from torch import nn

from workbench.inference.whole_volume import dense_probabilities, patchwise_probabilities
from workbench.metrics.segmentation import BRATS_COMPOSITES
from workbench.models.small_kernel_cnn import Architecture, Padding, Rectifier, patch_edge, small_kernel_cnn
from workbench.patches.labelled import LabelledPatchDataModule
from workbench.patches.right_angles import RightAngles
from workbench.patches.store import PatchStore, SamplerName
from workbench.progress import Progress, silent
from workbench.systems.base import Preset, setting
from workbench.systems.segmentation_base import PlaneName, Segmentation
from workbench.systems.segmentation_images import StandardizationName, border
from workbench.systems.segmentation_record import SegmentationData
from workbench.tasks.schedules import Schedule
from workbench.tasks.segmenting import Segmenter

FALL = 0.01
TOUCHING = np.ones((3, 3, 3), bool)


class Pereira2016(Segmentation):
    """Settings with the published defaults, for high-grade gliomas."""

    phantom: ClassVar[str] = "tumor"
    n_axes: ClassVar[int] = 2
    composites: ClassVar[Mapping[str, tuple[int, ...]]] = BRATS_COMPOSITES
    presets: ClassVar[tuple[Preset, ...]] = (
        Preset("published", "High-grade gliomas: the deeper network, 450,000 patches an epoch: for a GPU."),
        Preset("low grade", "Low-grade gliomas: the network with four convolutions, as published: for a GPU.",
               {"architecture": "lgg", "dropout": 0.5, "n_epochs": 25, "n_patches": 335_000, "least_mm3": 3000.0}),
        Preset("cpu", "Half of the maps, without zeros about them, so that whole slices are fast: some 15 minutes on "
               "two cores.",
               {"padding": "valid", "width": 0.5, "n_patches": 40_000, "n_epochs": 8}),
        Preset("quick", "An eighth of the maps, without zeros about them, some patches: seconds.",
               {"padding": "valid", "width": 0.125, "n_patches": 1024, "n_epochs": 4, "batch_size": 32,
                "learning_rate": 0.01, "least_mm3": 0.0, "bias_correction": False}),
    )  # fmt: skip

    bias_correction: bool = setting(True, "Bias correction", "N4 on every modality, before anything else.", "Data")
    standardization: StandardizationName = setting(
        "nyul", "Standardization", "Of intensities: published are Nyúl's landmarks, then the moments of training.",
        "Data",
    )  # fmt: skip
    plane: PlaneName = setting("axial", "Plane", "Of the slices that patches are cut from.", "Patches")
    normal_share: float = setting(
        0.4, "Normal tissue", "Share of patches centered on it; the rest is shared equally by the parts.", "Patches",
        gt=0, lt=1,
    )  # fmt: skip
    augment: bool = setting(True, "Turns", "By multiples of 90 degrees, of the training patches.", "Patches")
    n_patches: int = setting(450_000, "Patches per epoch", "Drawn afresh.", "Patches", ge=1, le=20_000_000)
    architecture: Architecture = setting(
        "hgg", "Network", "hgg for high-grade gliomas, lgg for low-grade ones; shallow, of large kernels, to compare.",
        "Network",
    )  # fmt: skip
    padding: Padding = setting(
        "same", "Border of maps", "same, published: zeros about each map; valid: none, larger patches, exactly dense.",
        "Network",
    )  # fmt: skip
    activation: Rectifier = setting("leaky", "Rectifier", "leaky, published, or plain.", "Network")
    dropout: float = setting(0.1, "Dropout", "Of the fully connected units.", "Network", ge=0, lt=1)
    width: float = setting(1.0, "Width", "Share of the published numbers of maps and units.", "Network", ge=0.05, le=2)
    n_epochs: int = setting(20, "Epochs", "Over patches that are drawn afresh.", "Training", ge=1, le=100_000)
    learning_rate: float = setting(
        3e-3, "Learning rate", "At the first step; it falls in a line to a hundredth.", "Training", gt=0, le=10
    )
    momentum: float = setting(0.9, "Momentum", "Nesterov's.", "Training", ge=0, lt=1)
    least_mm3: float = setting(
        10_000.0, "Least tumor (mm³)", "Smaller connected pieces of tumor are removed.", "Output", ge=0, le=1e7
    )
    stride: int = setting(
        1, "Stride (voxels)", "1 asks about every voxel; above it is a preview, faster by its square. Not with valid "
        "borders, which need none.", "Output", ge=1, le=16,
    )  # fmt: skip

    @property
    def patch_shape(self) -> tuple[int, ...]:
        """Pixels of a patch."""
        return (patch_edge(self.architecture, self.padding),) * 2

    @property
    def turns(self) -> RightAngles | None:
        """Turns of the training patches in their plane."""
        return RightAngles(flips=False, quarter_turns=True) if self.augment else None

    def network(self, n_channels: int, n_classes: int) -> nn.Module:
        """Give the untrained network; 2,118,213 (hgg) or 1,933,701 (lgg) parameters for 4 modalities and 5 classes."""
        return small_kernel_cnn(
            n_channels, n_classes, architecture=self.architecture, padding=self.padding, activation=self.activation,
            dropout=self.dropout, width=self.width, seed=self.seed,
        )  # fmt: skip

    def patches_of(
        self, train: PatchStore, validation: PatchStore | None, *, n_patches: int, sampler: SamplerName, stage: int,
        turns: RightAngles | None = None,
    ) -> LabelledPatchDataModule:  # fmt: skip
        """Give patches with the label in their middle; with balance, the chosen share of them is normal tissue."""
        shares = None
        if sampler == "balanced" and self.background:
            shares = class_shares(train.label_maps.values, self.normal_share)
        return LabelledPatchDataModule(
            train, validation, patch_size=self.patch_shape, label_size=self.label_shape, batch_size=self.batch_size,
            n_patches=n_patches, sampler=sampler, shares=shares, turns=turns, plane=self.plane,
            seed=self.seed * 1000 + stage,
        )  # fmt: skip

    def task(self, network: nn.Module, data: SegmentationData, stage: int) -> Segmenter:
        """Give the module that trains the network."""
        n_steps = self.n_epochs * -(-self.n_patches // self.batch_size)
        return Segmenter(
            network, n_classes=data.record.n_outputs, optimizer="nesterov", learning_rate=self.learning_rate,
            momentum=self.momentum, weight_decay=self.weight_decay, schedule=Schedule("linear", end=FALL),
            n_steps_total=n_steps, patience=self.patience, seed=self.seed, stage=stage,
        )  # fmt: skip

    def apply(
        self, network: nn.Module, image: np.ndarray, region: np.ndarray, progress: Progress = silent
    ) -> np.ndarray:
        """Apply the network to the patch about each voxel of the region, or to whole slices where that is the same."""
        fill = border(image)
        if self.padding == "valid":
            return dense_probabilities(
                network, image, patch=self.patch_shape, fill=fill, mask=region, plane=self.plane, progress=progress
            )
        return patchwise_probabilities(
            network, image, patch=self.patch_shape, mask=region, stride=self.stride, fill=fill, plane=self.plane,
            progress=progress,
        )  # fmt: skip

    def clean(self, classes: np.ndarray, probabilities: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
        """Remove connected pieces of tumor, whatever their parts, that are smaller than the least volume."""
        return without_small(classes, self.least_mm3 / float(np.prod(spacing)))


def class_shares(labels: np.ndarray, normal: float) -> dict[int, float]:
    """Give how often patches are centered on each class: class 0 with the share ``normal``, the others alike.

    Args:
        labels: classes that occur, any number of times; -1 is none.
        normal: between 0 and 1.
    """
    parts = [int(k) for k in np.unique(labels) if k > 0]
    return {0: normal if parts else 1.0} | {k: (1 - normal) / len(parts) for k in parts}


def without_small(classes: np.ndarray, least: float) -> np.ndarray:
    """Set connected pieces of classes above 0 to 0 that have fewer than ``least`` voxels; those touch at corners too.

    Args:
        classes: (X, Y, Z) whole numbers.
        least: voxels.
    """
    pieces, _ = label(classes > 0, structure=TOUCHING)
    sizes = np.bincount(pieces.ravel())
    keep = sizes >= least
    keep[0] = False
    return np.where(keep[pieces], classes, 0).astype(np.int32)
