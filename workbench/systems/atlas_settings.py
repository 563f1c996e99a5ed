"""The settings of systems in which labelled training images vote on a new one."""

from __future__ import annotations

from workbench.registration.atlas_warps import RegistrationName
from workbench.systems.base import setting
from workbench.systems.labelling import Labelling
from workbench.systems.segmentation_images import RegionName, StandardizationName


class AtlasSettings(Labelling):
    """What is labelled, how images are prepared, and which atlases vote."""

    modality: str = setting("", "Modality", "Which image; empty takes the first that every subject has.", "Data")
    classes: str = setting(
        "",
        "Classes",
        "Empty: each label a class. 'hippocampus=1,2' joins values, 'prostate=*' takes any, 'prostate=mask' the mask.",
        "Data",
    )
    spacing_mm: float = setting(
        0.0, "Voxel size (mm)", "Images are resampled to cubes of this size; 0 keeps their own.", "Data", ge=0, le=10
    )
    bias_correction: bool = setting(False, "Bias correction", "N4 before anything else.", "Data")
    standardization: StandardizationName = setting(
        "nyul",
        "Standardization",
        "Of intensities: Nyúl's landmarks match every histogram to that of the training subjects; or as named.",
        "Data",
    )
    region: RegionName = setting(
        "image", "Region", "Where histograms are looked at and labels given: every voxel, or the mask.", "Data"
    )
    crop_mm: float = setting(
        15.0, "Crop (mm)", "Kept around what is labelled; 0 keeps whole images.", "Data", ge=0, le=200
    )
    registration: RegistrationName = setting(
        "diffeomorphic demons",
        "Registration",
        "Of atlases: an affine map alone, or demons after it.",
        "Atlases",
    )
    n_atlases: int = setting(
        0, "Atlases", "So many training subjects are kept in the run as atlases; 0 keeps all.", "Atlases", ge=0, le=1000
    )
    n_voting: int = setting(
        0,
        "Atlases that vote",
        "Only those most like the target after an affine map; 0 lets all vote.",
        "Atlases",
        ge=0,
        le=1000,
    )
