"""The settings that every system that labels voxels has."""

from __future__ import annotations

from typing import ClassVar, Literal

from workbench.systems.base import setting
from workbench.systems.labelling import Labelling
from workbench.systems.segmentation_images import RegionName, StandardizationName


class SegmentationSettings(Labelling):
    """What is learnt from, how it is prepared, and for how long.

    Attributes:
        n_axes: of the patches, 2 or 3.
    """

    n_axes: ClassVar[int] = 3

    modalities: str = setting(
        "", "Modalities", "Separated by commas, one a channel; empty takes all that every subject has.", "Data"
    )
    classes: str = setting(
        "",
        "Classes",
        "Empty: each label a class. 'WM=2,41; GM=3,42' joins values, 'brain=*' takes any, 'brain=mask' the mask, "
        "'ignore=85' leaves voxels out.",
        "Data",
    )
    background: bool = setting(
        True, "Background is a class", "Off: every voxel of the region gets one of the named classes.", "Data"
    )
    spacing_mm: float = setting(
        0.0, "Voxel size (mm)", "Images are resampled to cubes of this size; 0 keeps their own.", "Data", ge=0, le=10
    )
    bias_correction: bool = setting(False, "Bias correction", "N4 on every modality, before anything else.", "Data")
    standardization: StandardizationName = setting(
        "z_score",
        "Standardization",
        "Of intensities: z-score in the region, a quarter of it over the image, range 0 to 1, moments of the training "
        "subjects, Nyúl's landmarks, or none.",
        "Data",
    )
    region: RegionName = setting(
        "mask", "Region", "What is learnt from and labelled: the mask (else the foreground), or every voxel.", "Data"
    )
    sampler: Literal["inside", "balanced"] = setting(
        "balanced", "Sampling", "Patches are centered evenly in the region, or on every class equally often.", "Patches"
    )
    n_patches: int = setting(
        100_000, "Patches per epoch", "Drawn afresh in every epoch.", "Patches", ge=1, le=20_000_000
    )
    batch_size: int = setting(128, "Batch size", "Patches in a step.", "Training", ge=1, le=65_536)
    n_epochs: int = setting(10, "Epochs", "Of the last stage.", "Training", ge=1, le=100_000)
    learning_rate: float = setting(1e-3, "Learning rate", "At the first step.", "Training", gt=0, le=10)
    weight_decay: float = setting(0.0, "Weight decay λ", "Of weights, not biases.", "Training", ge=0, le=1)
    patience: int = setting(
        0,
        "Patience (epochs)",
        "Stop when the loss on validation subjects has not fallen for so long, and keep the best; 0 never stops.",
        "Training",
        ge=0,
        le=10_000,
    )
