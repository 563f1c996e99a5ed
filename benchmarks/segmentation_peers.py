"""What the segmentation systems stand beside on real data: MONAI's UNet.

It learns through the same base as the systems, so it sees the same prepared images, classes and subjects. It
stops after so many seconds of processor time, and its learning rate falls in a line to nothing meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from monai.networks.nets import UNet
from torch import nn

from workbench.inference.whole_volume import sliding_probabilities
from workbench.metrics.segmentation import BRATS_COMPOSITES
from workbench.patches.right_angles import RightAngles
from workbench.progress import Progress, silent
from workbench.systems.base import setting
from workbench.systems.segmentation_base import Segmentation
from workbench.systems.segmentation_record import SegmentationData
from workbench.tasks.segmenting import Segmenter

LAST_RATE = 0.01


class TimedSegmenter(Segmenter):
    """Train until so many seconds of processor time have passed since training began."""

    def __init__(self, network: nn.Module, *, seconds: float, **settings: Any) -> None:
        super().__init__(network, **settings)
        self.seconds, self.began = seconds, 0.0

    def on_train_start(self) -> None:
        self.began = time.process_time()
        super().on_train_start()

    def has_ended(self) -> bool:
        return super().has_ended() or (self.began > 0 and time.process_time() - self.began >= self.seconds)

    def _share(self, step: int) -> float:
        return max(LAST_RATE, 1 - (time.process_time() - self.began) / self.seconds)


class MonaiUNet(Segmentation):
    """A UNet of MONAI on axial slices: Adam on Dice and cross-entropy together, flipped patches."""

    n_axes: ClassVar[int] = 2

    seconds: float = setting(60.0, "Seconds", "Of processor time that training takes.", "Training", gt=0)
    patch_size: int = setting(96, "Patch size (pixels)", "Divisible by 8.", "Patches", ge=16, le=512)
    maps: tuple[int, ...] = setting((16, 32, 64, 128), "Maps", "Of each level.", "Network")
    n_patches: int = setting(80, "Patches per epoch", "Time is looked at when one ends.", "Patches", ge=1)
    batch_size: int = setting(8, "Batch size", "Patches in a step.", "Training", ge=1)
    n_epochs: int = setting(100_000, "Epochs", "At most.", "Training", ge=1)
    learning_rate: float = setting(3e-3, "Learning rate", "At the first step.", "Training", gt=0)

    @property
    def patch_shape(self) -> tuple[int, ...]:
        return (self.patch_size, self.patch_size)

    @property
    def label_shape(self) -> tuple[int, ...]:
        return self.patch_shape

    @property
    def turns(self) -> RightAngles | None:
        return RightAngles(flips=True, quarter_turns=False)

    def network(self, n_channels: int, n_classes: int) -> nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            return UNet(2, n_channels, n_classes, self.maps, [2] * (len(self.maps) - 1), num_res_units=2)

    def task(self, network: nn.Module, data: SegmentationData, stage: int) -> Segmenter:
        return TimedSegmenter(
            network, seconds=self.seconds, n_classes=data.record.n_outputs, loss="dice_cross_entropy",
            optimizer="adam", learning_rate=self.learning_rate, seed=self.seed, stage=stage,
        )  # fmt: skip

    def apply(
        self, network: nn.Module, image: np.ndarray, region: np.ndarray, progress: Progress = silent
    ) -> np.ndarray:
        return sliding_probabilities(
            network, image, window=self.patch_shape, overlap=0.5, plane="axial", fill=float(image.min()),
            progress=progress,
        )  # fmt: skip


class LesionUNet(MonaiUNet):
    """The same, scored lesion by lesion too."""

    lesions: ClassVar[bool] = True


class TumorUNet(MonaiUNet):
    """The same, scored on unions of parts of tumors too."""

    composites: ClassVar[Mapping[str, tuple[int, ...]]] = BRATS_COMPOSITES
