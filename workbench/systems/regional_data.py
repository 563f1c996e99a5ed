"""Regional signals as systems see them: of several subjects, scaled, and what a run keeps of its regions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from workbench.errors import RunError
from workbench.runs.run import Run


@dataclass(frozen=True, eq=False)
class Regional:
    """Signals of subjects as a system sees them.

    Attributes:
        names: (N,) subjects.
        series: N arrays (T_n, R) float32, z-scored over time region by region; in the file's units where the training
            subjects' scale is to be learnt.
        regions: (R,) names.
        tr_s: s; None where unknown or not the same in all.
    """

    names: tuple[str, ...]
    series: tuple[np.ndarray, ...]
    regions: tuple[str, ...]
    tr_s: float | None

    def __len__(self) -> int:
        return len(self.names)

    def only(self, chosen: np.ndarray) -> Regional:
        """Give some of the subjects; ``chosen`` is (N,) bool or places."""
        at = np.arange(len(self))[chosen]
        return Regional(
            tuple(self.names[i] for i in at), tuple(self.series[i] for i in at), self.regions, self.tr_s
        )  # fmt: skip


def z_scored(values: np.ndarray) -> np.ndarray:
    """Give signals (T, R) float32 with mean 0 and standard deviation 1 over time."""
    x = np.asarray(values, np.float64)
    return ((x - x.mean(0)) / x.std(0)).astype(np.float32)


@dataclass(frozen=True, eq=False)
class RegionScale:
    """What signals are scaled by before a network sees them: learnt from training subjects, or nothing.

    Attributes:
        mean: (R,).
        sd: (R,).
    """

    mean: np.ndarray
    sd: np.ndarray

    @classmethod
    def learn(cls, series: Sequence[np.ndarray], scaling: str) -> RegionScale:
        """Learn from training subjects' signals; with ``scaling`` of subjects there is nothing to learn."""
        n_regions = series[0].shape[1]
        if scaling == "subject":
            return cls(np.zeros(n_regions), np.ones(n_regions))
        n = sum(len(one) for one in series)
        mean = sum(one.sum(0, dtype=np.float64) for one in series) / n
        squares = sum(np.square(one - mean).sum(0) for one in series)
        return cls(mean, np.sqrt(squares / n))

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Scale signals (T, R)."""
        return ((values - self.mean) / self.sd).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Regions:
    """The regions of a run; see :class:`workbench.systems.regional_views.RegionalNetworks`."""

    regions: tuple[str, ...]
    coordinates_mm: np.ndarray
    networks: tuple[str, ...]
    connectivity: np.ndarray | None
    tr_s: float | None
    voxel_mm: float | None = None


def regions_of(run: Run) -> Regions:
    """Read the regions of a run.

    Raises:
        RunError: the run has not come that far.
    """
    if "regions" not in run.list_arrays():
        raise RunError(f"Run {run.id} has not read its regions yet; wait until it is finished, or resume it.")
    kept = run.load_arrays("regions")
    tr, voxel_mm = float(kept["tr_s"]), float(kept.get("voxel_mm", np.nan))
    return Regions(
        tuple(map(str, kept["regions"])), kept["coordinates_mm"], tuple(map(str, kept["networks"])),
        kept["connectivity"] if kept["connectivity"].size else None, None if np.isnan(tr) else tr,
        None if np.isnan(voxel_mm) else voxel_mm,
    )  # fmt: skip
