"""What every engine of deformable registration returns.

An engine sees the fixed and the moving image on one lattice, that of the fixed image, and answers in its voxels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from workbench.progress import Progress


class EnergyRow(NamedTuple):
    """One iteration of an engine.

    Attributes:
        stage: for example ``"level 1 of 3"``.
        iteration: from 1, within the stage.
        energy: what the engine minimizes; comparable within a stage.
        n_points: driving voxels or voxels that it was computed from.
    """

    stage: str
    iteration: int
    energy: float
    n_points: int


Heard = Callable[[EnergyRow], None]
"""Told every row at once, while an engine works."""


def unheard(row: EnergyRow) -> None:
    """Let nobody hear: the default of every ``heard`` argument."""


@dataclass(frozen=True, eq=False)
class Match:
    """A deformable map between two images on one lattice.

    Attributes:
        forward: (3, X, Y, Z) float32 voxels; voxel v of the fixed image lies in the moving one at v + forward(v).
        inverse: (3, X, Y, Z) float32 voxels; voxel w of the moving image lies in the fixed one at w + inverse(w).
        energy: one row an iteration.
        points: (N, 6) float32 voxels, matched driving voxels (fixed x, y, z, moving x, y, z); None if there are none.
    """

    forward: np.ndarray
    inverse: np.ndarray
    energy: tuple[EnergyRow, ...] = ()
    points: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.forward.ndim != 4 or self.forward.shape[0] != 3 or self.forward.shape != self.inverse.shape:
            raise ValueError(
                f"forward and inverse are (3, X, Y, Z) on one lattice; got {self.forward.shape}, {self.inverse.shape}"
            )
        if self.points is not None and (self.points.ndim != 2 or self.points.shape[1] != 6):
            raise ValueError(f"points are (N, 6); got {self.points.shape}")


# fixed (X, Y, Z), moving on the fixed lattice (X, Y, Z), spacing in mm, progress
Engine = Callable[[np.ndarray, np.ndarray, tuple[float, float, float], Progress], Match]
