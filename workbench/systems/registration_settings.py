"""What a registration can be told: the method, what drives it, and how the images are prepared (Section 3.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from workbench.errors import SettingsError
from workbench.registration.hammer_settings import HammerSettings
from workbench.systems.base import setting

Engine = Literal["none", "demons", "diffeomorphic", "channels", "hammer"]
Drive = Literal["intensity", "attributes", "patches", "sift", "learnt"]


@dataclass(frozen=True)
class MethodChoice:
    """One way to bring an image onto another.

    Attributes:
        key: how it is asked for.
        title: how it is shown.
        sentence: what it does.
        engine: what finds the deformation.
        drive: what the engine compares.
    """

    key: str
    title: str
    sentence: str
    engine: Engine
    drive: Drive

    @property
    def needs_run(self) -> bool:
        """Whether a trained run must give the features."""
        return self.drive == "learnt"


METHODS = {
    choice.key: choice
    for choice in (
        MethodChoice("affine", "Linear alone", "The linear start and no deformation.", "none", "intensity"),
        MethodChoice(
            "demons", "Demons", "SimpleITK's demons on intensities: fast, and may fold.", "demons", "intensity"
        ),
        MethodChoice(
            "diffeomorphic-demons",
            "Diffeomorphic demons",
            "SimpleITK's diffeomorphic demons on intensities (Reference 87).",
            "diffeomorphic",
            "intensity",
        ),
        MethodChoice(
            "demons-learnt",
            "Demons on learnt features",
            "Diffeomorphic demons on every channel of what a trained run says of each voxel (M+ of Wu 2013).",
            "channels",
            "learnt",
        ),
        MethodChoice(
            "hammer-attributes",
            "HAMMER, attributes",
            "Hierarchical attribute matching on tissues, edges and their moments: made by hand.",
            "hammer",
            "attributes",
        ),
        MethodChoice(
            "hammer-patches", "HAMMER, raw patches", "The same engine on intensity patches.", "hammer", "patches"
        ),
        MethodChoice(
            "hammer-sift", "HAMMER, SIFT", "The same engine on dense SIFT-like descriptors.", "hammer", "sift"
        ),
        MethodChoice(
            "hammer-learnt",
            "HAMMER, learnt features",
            "The same engine on what a trained run says of each voxel: auto-encoder or ISA (References 28 and 52).",
            "hammer",
            "learnt",
        ),
    )
}


USUAL = HammerSettings()


class RegistrationSettings(BaseModel):
    """Settings of one registration."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    linear: Literal["affine", "rigid", "moments", "none"] = setting(
        "affine", "Linear start", "Twelve numbers, six, centers and extents alone, or nothing.", "Start"
    )
    metric: Literal["correlation", "mutual information"] = setting(
        "correlation", "Linear similarity", "Mutual information where the modalities differ.", "Start"
    )
    spacing_mm: float = setting(
        0.0,
        "Voxel size (mm)",
        "To register at; 0 keeps the fixed image's own, or a trained run's.",
        "Images",
        ge=0,
        le=10,
    )
    bias_correction: bool = setting(False, "Bias correction", "N4 on both images first.", "Images")
    histogram_matching: bool = setting(
        True,
        "Histogram matching",
        "The moving image's intensities to the fixed one's; not between modalities.",
        "Images",
    )
    n_iterations: int = setting(100, "Iterations", "On each level, at most.", "Demons", ge=1, le=10_000)
    n_levels: int = setting(3, "Levels", "From coarse to fine.", "Demons", ge=1, le=6)
    smoothing_mm: float = setting(
        0.0,
        "Smoothing (mm)",
        "Standard deviation of the Gaussian on the field; 0 takes 1 voxel.",
        "Demons",
        ge=0,
        le=20,
    )
    patch_size: int = setting(
        5, "Patch (voxels)", "Edge of raw patches; odd. Of SIFT: two cells.", "HAMMER", ge=3, le=21
    )
    stage_shrink: tuple[int, ...] = setting(
        USUAL.shrink, "Stages", "Edge of a pyramid's block in voxels, from coarse to fine.", "HAMMER", min_length=1,
        max_length=6,
    )  # fmt: skip
    stage_iterations: tuple[int, ...] = setting(
        USUAL.n_iterations, "Iterations of a stage", "Matching, spline and update, repeated.", "HAMMER", min_length=1,
        max_length=6,
    )  # fmt: skip
    n_rounds: int = setting(
        2,
        "Rounds",
        "After each, the warped image is described anew and the last stages run again.",
        "HAMMER",
        ge=1,
        le=8,
    )
    key_share: tuple[float, ...] = setting(
        USUAL.key_share, "Driving voxels", "Share of each stage's voxels that drive, the most distinctive.", "HAMMER",
        min_length=1, max_length=6,
    )  # fmt: skip
    search_radius: tuple[float, ...] = setting(
        USUAL.search_radius, "Search radius", "Of the candidates, in voxels of the stage.", "HAMMER", min_length=1,
        max_length=6,
    )  # fmt: skip
    temperature_start: float = setting(
        USUAL.temperature_start, "First temperature", "High: many soft matches.", "HAMMER", gt=0, le=100
    )
    temperature_end: float = setting(
        USUAL.temperature_end, "Last temperature", "Low: one to one.", "HAMMER", gt=0, le=100
    )
    kernel: Literal["r", "r² ln r"] = setting(
        USUAL.kernel,
        "Spline",
        "Kernel of the thin-plate spline; r is the biharmonic one in three dimensions.",
        "HAMMER",
    )
    seed: int = setting(0, "Seed", "Of the voxels that the linear start samples.", "Start", ge=0, le=2**31 - 1)

    def hammer(self) -> HammerSettings:
        """Give the settings of HAMMER; the others are its usual ones."""
        return HammerSettings(
            shrink=self.stage_shrink, n_iterations=self.stage_iterations, key_share=self.key_share,
            search_radius=self.search_radius, temperature_start=self.temperature_start,
            temperature_end=self.temperature_end, kernel=self.kernel,
        )  # fmt: skip

    @classmethod
    def make(cls, changes: dict[str, Any]) -> RegistrationSettings:
        """Check settings given as differences from the usual ones.

        Raises:
            SettingsError: an unknown name, a wrong type or a value out of bounds, in one sentence.
        """
        try:
            made = cls(**changes)
        except ValidationError as error:
            problem = error.errors()[0]
            name = ".".join(str(p) for p in problem["loc"])
            raise SettingsError(
                f"{name or 'A setting'} cannot be {problem['input']!r}: {problem['msg']}. Known settings are "
                f"{', '.join(cls.model_fields)}."
            ) from None
        if made.patch_size % 2 == 0:
            raise SettingsError(f"A patch has a voxel in the middle, so patch_size is odd; got {made.patch_size}.")
        made.hammer()
        return made


def method_of(key: str) -> MethodChoice:
    """Give a method by its key.

    Raises:
        SettingsError: there is none of that name.
    """
    if key not in METHODS:
        raise SettingsError(f"There is no registration method {key!r}; choose one of {', '.join(METHODS)}.")
    return METHODS[key]
