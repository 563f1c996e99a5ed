"""The settings of HAMMER, stage by stage.

The published versions print neither all of their thresholds nor their schedules in what could be read, so these values
were chosen on a few pairs of real hippocampi and of 7 T-like phantoms that no result is reported on; each is a setting.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from workbench.errors import SettingsError
from workbench.registration.thin_plate import Kernel

PER_STAGE = ("shrink", "n_iterations", "key_share", "search_radius")


@dataclass(frozen=True)
class HammerSettings:
    """How HAMMER goes from coarse to fine; the tuples have one number for each stage.

    Attributes:
        shrink: edge of a pyramid's block in voxels.
        n_iterations: matching, spline and update, repeated.
        key_share: share of the described nodes that drive, the most distinctive of their surroundings, 0 to 1.
        search_radius: of the candidates about a key point's present place, in nodes of the stage.
        neighbor_radius: a neighborhood is a ball of this radius in steps; 0 is a single node, 1 has 7, 2 has 33.
        neighbor_step: nodes between neighbors.
        temperature_start: r of the soft correspondence, in standard deviations of the similarity among candidates.
        temperature_end: reached at the last iteration of all, in equal ratios; small is one-to-one.
        reach: s, the Gaussian about the present place, as a share of the search radius.
        smoothing: of the thin-plate spline; 0 interpolates every key point.
        kernel: of the thin-plate spline; r is the biharmonic one in three dimensions.
        max_spline_points: key points that lie close are averaged until at most so many are left.
        detail: standard deviation in voxels of the Gaussian that carries what the spline passes by; 0 leaves it out.
        control_spacing: voxels between the nodes that carry the velocity.
        velocity_smoothing: standard deviation in voxels of the Gaussian after every update.
        step: share of the splined displacement that an update takes.
        stiffness: β, the weight of the squared Laplacian in the energy that is reported.
    """

    shrink: tuple[int, ...] = (3, 2, 1, 1)
    n_iterations: tuple[int, ...] = (4, 4, 4, 4)
    key_share: tuple[float, ...] = (0.5, 0.3, 0.05, 0.15)
    search_radius: tuple[float, ...] = (2.0, 2.0, 2.0, 1.0)
    neighbor_radius: float = 1.0
    neighbor_step: int = 2
    temperature_start: float = 1.0
    temperature_end: float = 0.1
    reach: float = 1.0
    smoothing: float = 0.1
    kernel: Kernel = "r"
    max_spline_points: int = 600
    detail: float = 2.0
    control_spacing: int = 2
    velocity_smoothing: float = 1.5
    step: float = 1.0
    stiffness: float = 0.01

    def __post_init__(self) -> None:
        lengths = {name: len(getattr(self, name)) for name in PER_STAGE}
        if len(set(lengths.values())) != 1 or not self.shrink:
            raise SettingsError(f"HAMMER needs one number a stage in each of its schedules; got {lengths}.")
        for name, low, high in (
            ("shrink", 1, 16),
            ("n_iterations", 1, 1000),
            ("key_share", 1e-4, 1),
            ("search_radius", 1, 8),
        ):
            if not all(low <= value <= high for value in getattr(self, name)):
                raise SettingsError(f"HAMMER's {name} must lie between {low} and {high}; got {getattr(self, name)}.")
        self._check_numbers()

    def _check_numbers(self) -> None:
        bounds = {
            "neighbor_radius": (0, 4), "neighbor_step": (1, 8), "temperature_start": (1e-3, 100),
            "temperature_end": (1e-3, 100), "reach": (0.05, 100), "smoothing": (0, 1e6),
            "max_spline_points": (50, 5000), "detail": (0, 20), "control_spacing": (1, 8),
            "velocity_smoothing": (0, 20), "step": (0.01, 1), "stiffness": (0, 1e6),
        }  # fmt: skip
        for name, (low, high) in bounds.items():
            if not low <= getattr(self, name) <= high:
                raise SettingsError(f"HAMMER's {name} must lie between {low} and {high}; got {getattr(self, name)}.")
        if self.temperature_end > self.temperature_start:
            raise SettingsError(
                f"HAMMER cools: its temperature cannot rise from {self.temperature_start} to {self.temperature_end}."
            )
        if self.kernel not in ("r", "r² ln r"):
            raise SettingsError(f"HAMMER's kernel is r or r² ln r; got {self.kernel!r}.")

    @property
    def n_stages(self) -> int:
        """Stages from coarse to fine."""
        return len(self.shrink)

    def temperatures(self) -> list[list[float]]:
        """Give r for every iteration of every stage: equal ratios from start to end."""
        total = sum(self.n_iterations)
        ratio = (self.temperature_end / self.temperature_start) ** (1 / max(total - 1, 1))
        line = [self.temperature_start * ratio**i for i in range(total)]
        out, start = [], 0
        for n in self.n_iterations:
            out.append(line[start : start + n])
            start += n
        return out

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Give the names of all settings, in order."""
        return tuple(field.name for field in fields(cls))
