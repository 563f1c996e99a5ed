"""Tissue of isointense infant brains from several modalities.

Review: Section 3.3, Reference 26

Citation: Zhang W, Li R, Deng H, Wang L, Lin W, Ji S, Shen D. Deep convolutional neural networks for multi-modality
isointense infant brain image segmentation. NeuroImage 108:214–224, 2015.

Input: co-registered T1, T2 and FA of an infant of six to eight months, without skull, cerebellum and brain stem; one
channel a modality. Any modalities and any number of tissues work.

Network: patches of an axial slice with a label in their middle. Of the four networks of the paper, which see 9, 13, 17
or 22 pixels, the one of 13 is that of the review: convolutions of 64, 256 and 768 maps with 5 × 5 kernels, rectified,
with local response normalization between them, then one fully connected layer and a softmax over CSF, grey and white
matter: 5,332,995 parameters for three modalities.

Training: cross-entropy by stochastic gradient descent with momentum, on patches centered on every tissue equally
often.

Output: a label map; every voxel of the mask is one of the tissues.

Reported: the review says that the network did significantly better than the methods it was compared with, and prints
no figure; the paper's own Dice coefficients were not read at their source, so none is shown here.

Departs from the paper in: the layers of the networks of 9, 17 and 22 pixels, the size of the first convolution aside,
were not found; they keep the widths 64, 256 and 768. Learning rate, momentum, weight decay, dropout, batch size and
the number of epochs were not found either and are usual ones. The network is applied to whole slices at once, which
gives exactly what it says of each patch, since nothing in it pads.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import torch
from torch import nn

from workbench.inference.whole_volume import dense_probabilities
from workbench.progress import Progress, silent
from workbench.systems.base import Preset, setting
from workbench.systems.segmentation_base import PlaneName, Segmentation
from workbench.systems.segmentation_images import border
from workbench.systems.segmentation_record import SegmentationData
from workbench.tasks.segmenting import Segmenter

KERNELS: dict[int, tuple[int, int, int]] = {9: (5, 3, 3), 13: (5, 5, 5), 17: (6, 3, 4), 22: (7, 5, 4)}
POOLED = (17, 22)


class Zhang2015(Segmentation):
    """Settings with the published defaults."""

    phantom: ClassVar[str] = "infant"
    n_axes: ClassVar[int] = 2
    presets: ClassVar[tuple[Preset, ...]] = (
        Preset("published", "The network of 13 pixels with all its maps, 80,000 patches an epoch."),
        Preset("cpu", "All maps, fewer patches: some 20 minutes on two cores.",
               {"n_patches": 10_000, "n_epochs": 6}),
        Preset("quick", "A tenth of the maps, some patches: seconds.",
               {"n_maps": (8, 16, 32), "n_patches": 2048, "n_epochs": 4, "batch_size": 64, "learning_rate": 0.02}),
    )  # fmt: skip

    background: bool = setting(
        False, "Background is a class", "Off: every voxel of the region gets one of the named classes.", "Data"
    )
    plane: PlaneName = setting("axial", "Plane", "Of the slices that patches are cut from.", "Patches")
    context: Literal[9, 13, 17, 22] = setting(
        13, "Patch size (pixels)", "Which of the four networks; the review describes that of 13.", "Network"
    )
    n_maps: tuple[int, ...] = setting(
        (64, 256, 768), "Feature maps", "Of the three convolutions.", "Network", min_length=3, max_length=3
    )
    dropout: float = setting(0.5, "Dropout", "Before the fully connected layer.", "Network", ge=0, lt=1)
    n_patches: int = setting(
        80_000, "Patches per epoch", "More than 10,000 for each of eight subjects.", "Patches", ge=64, le=20_000_000
    )
    n_epochs: int = setting(30, "Epochs", "Over patches that are drawn afresh.", "Training", ge=1, le=100_000)
    learning_rate: float = setting(0.01, "Learning rate", "Of stochastic gradient descent.", "Training", gt=0, le=10)
    momentum: float = setting(0.9, "Momentum", "Of stochastic gradient descent.", "Training", ge=0, lt=1)
    weight_decay: float = setting(5e-4, "Weight decay λ", "Of weights, not biases.", "Training", ge=0, le=1)

    @property
    def patch_shape(self) -> tuple[int, ...]:
        """Pixels of a patch."""
        return (self.context, self.context)

    def network(self, n_channels: int, n_classes: int) -> nn.Module:
        """Give the untrained network; 5,332,995 parameters for three modalities, three tissues and 13 pixels."""
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            layers: list[nn.Module] = []
            below = n_channels
            for i, (kernel, n_maps) in enumerate(zip(KERNELS[self.context], self.n_maps, strict=True)):
                layers += [nn.Conv2d(below, n_maps, kernel), nn.ReLU()]
                if i == 0 and self.context in POOLED:
                    layers.append(nn.MaxPool2d(2))
                if i < 2:
                    layers.append(nn.LocalResponseNorm(5))
                below = n_maps
            layers += [nn.Dropout(self.dropout), nn.Flatten(), nn.Linear(below, n_classes)]
            for layer in layers:
                if isinstance(layer, (nn.Conv2d, nn.Linear)):
                    nn.init.xavier_uniform_(layer.weight)
                    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
            return nn.Sequential(*layers)

    def task(self, network: nn.Module, data: SegmentationData, stage: int) -> Segmenter:
        """Give the module that trains the network."""
        return Segmenter(
            network, n_classes=data.record.n_outputs, optimizer="sgd", learning_rate=self.learning_rate,
            momentum=self.momentum, weight_decay=self.weight_decay, patience=self.patience, seed=self.seed, stage=stage,
        )  # fmt: skip

    def apply(
        self, network: nn.Module, image: np.ndarray, region: np.ndarray, progress: Progress = silent
    ) -> np.ndarray:
        """Apply the network to every slice at once."""
        fill = border(image)
        return dense_probabilities(
            network, image, patch=self.patch_shape, fill=fill, mask=region, plane=self.plane, progress=progress
        )
