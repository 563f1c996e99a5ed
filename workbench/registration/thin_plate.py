"""Thin-plate splines: the smoothest map through scattered displacements.

HAMMER's key points are few; the spline carries their displacements to every voxel (TPS-HAMMER, Wu et al., NeuroImage
2010, replaced the Gaussian propagation of HAMMER, TMI 2002, by it). In three dimensions the kernel that minimizes the
integral of squared second derivatives is r; r² ln r does so in two and is offered for comparison.

All algebra is torch's: NumPy's has threads of its own, and where both take turns each waits for the other's to rest
(measured on four cores: eight times the time).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

Kernel = Literal["r", "r² ln r"]
SIGNS: dict[Kernel, float] = {"r": -1.0, "r² ln r": 1.0}
POINTS_AT_ONCE = 4096
FLAT = 1e-2
"""Root mean square distance from a plane, as a share of that from the mean, below which points lie in it."""


@dataclass(frozen=True, eq=False)
class ThinPlate:
    """A fitted spline; call it with points (M, 3) for values (M, C).

    Attributes:
        centers: (N, 3) float64, shifted and scaled as ``shift`` and ``scale`` say.
        weights: (N, C) of the kernel about each center.
        plane: (4, C) of 1, x, y, z in shifted and scaled coordinates.
        kernel: the radial function.
    """

    centers: np.ndarray
    weights: np.ndarray
    plane: np.ndarray
    shift: np.ndarray
    scale: float
    kernel: Kernel

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Evaluate at points (M, 3); gives (M, C) float64."""
        centers, weights = torch.from_numpy(self.centers), torch.from_numpy(SIGNS[self.kernel] * self.weights)
        at = torch.from_numpy((np.asarray(points, float) - self.shift) / self.scale)
        values = [_radial(part, centers, self.kernel) @ weights for part in at.split(POINTS_AT_ONCE)]
        plane = torch.from_numpy(self.plane)
        flat = at @ plane[1:] + plane[0]
        found: np.ndarray = (flat + torch.cat(values) if values else flat).numpy()
        return found


def fit_thin_plate(
    points: np.ndarray, values: np.ndarray, *, kernel: Kernel = "r", smoothing: float | np.ndarray = 0.0
) -> ThinPlate:
    """Fit a spline with an affine part.

    Args:
        points: (N, 3), at least one, all different. Along a direction in which they hardly differ, as in a slab of one
            slice, nothing is known and the spline does not change.
        values: (N, C).
        kernel: the radial function.
        smoothing: 0 interpolates; a larger number, for all or for each point (N,), lets the spline pass by. In the
            coordinates after scaling to the points' root mean square distance from their mean.

    Raises:
        ValueError: there are no points, or some are equal.
    """
    points = np.asarray(points, float)
    n = len(points)
    if not n or points.shape != (n, 3) or len(values) != n:
        raise ValueError(f"expected points (N, 3) with values (N, C); got {points.shape} and {np.shape(values)}")
    shift = points.mean(axis=0)
    scale = float(np.sqrt(((points - shift) ** 2).sum(axis=1).mean())) or 1.0
    centers = torch.from_numpy((points - shift) / scale)
    _, spreads, directions = torch.linalg.svd(centers, full_matrices=False)
    known = directions[spreads > FLAT * np.sqrt(n)].T  # (3, 0 to 3)
    affine = torch.cat([torch.ones(n, 1, dtype=torch.float64), centers @ known], dim=1)
    size = n + affine.shape[1]
    system = torch.zeros(size, size, dtype=torch.float64)
    system[:n, :n] = SIGNS[kernel] * _radial(centers, centers, kernel)
    system.diagonal()[:n] += torch.as_tensor(smoothing, dtype=torch.float64)
    system[:n, n:], system[n:, :n] = affine, affine.T
    right = torch.zeros(size, np.shape(values)[1], dtype=torch.float64)
    right[:n] = torch.from_numpy(np.asarray(values, float))
    try:
        solved = torch.linalg.solve(system, right)
    except torch.linalg.LinAlgError as error:
        raise ValueError("two points of the spline are equal; average their values first") from error
    plane = torch.cat([solved[n : n + 1], known @ solved[n + 1 :]])
    return ThinPlate(centers.numpy(), solved[:n].numpy(), plane.numpy(), shift, scale, kernel)


def _radial(a: torch.Tensor, b: torch.Tensor, kernel: Kernel) -> torch.Tensor:
    """Give φ(|a - b|), (M, N), which :data:`SIGNS` turns round where smoothing is positive on the diagonal."""
    r = torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")
    return r if kernel == "r" else torch.xlogy(r * r, r)
