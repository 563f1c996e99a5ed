"""Two half maps from a space midway: symmetric, invertible, never folding.

Neither image is the template of the other: both are read from a space in the middle (S-HAMMER, Wu et al., Human Brain
Mapping 2014). One stationary velocity v carries the middle to the moving image, exp(v), and to the fixed one, exp(-v);
the whole map from fixed to moving is exp(v) ∘ exp(-v)⁻¹ = exp(2v) and its inverse exp(-2v).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch

from workbench.imaging.displacements import compose, exponential, jacobian_determinant, pull_at, resize, smooth

LEAST_DETERMINANT = 0.02


class HalfMaps:
    """A velocity on a coarse lattice over an image, and the maps that it gives.

    Attributes:
        shape: (X, Y, Z) of the image.
        velocity: (3, X', Y', Z') float32 in nodes of the coarse lattice per unit time; node j of an axis lies at
            voxel (j + ½) X / X' - ½.
    """

    def __init__(self, shape: Sequence[int], velocity: torch.Tensor) -> None:
        self.shape = tuple(shape)
        self.velocity = velocity

    @classmethod
    def identity(cls, shape: Sequence[int], control_spacing: int) -> HalfMaps:
        """Start with no movement."""
        return cls(shape, torch.zeros(3, *(-(-n // control_spacing) for n in shape)))

    @property
    def voxels_per_node(self) -> torch.Tensor:
        """Voxels between nodes along each axis (3,)."""
        return torch.tensor([n / m for n, m in zip(self.shape, self.velocity.shape[1:], strict=True)])

    @cached_property
    def to_fixed(self) -> torch.Tensor:
        """exp(-v), from the middle to the fixed image, in nodes."""
        return exponential(-self.velocity)

    @cached_property
    def to_moving(self) -> torch.Tensor:
        """exp(v), from the middle to the moving image, in nodes."""
        return exponential(self.velocity)

    @cached_property
    def forward(self) -> torch.Tensor:
        """exp(2v), from the fixed image to the moving one, in nodes."""
        return compose(self.to_moving, self.to_moving)

    @cached_property
    def inverse(self) -> torch.Tensor:
        """exp(-2v), from the moving image to the fixed one, in nodes."""
        return compose(self.to_fixed, self.to_fixed)

    def at(self, displacement: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
        """Give a displacement in nodes at points (N, 3) in voxels: (N, 3) voxels."""
        return self.sampled(displacement, points) * self.voxels_per_node

    def sampled(self, maps: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
        """Give maps (K, X', Y', Z') at points (N, 3) in voxels: (N, K)."""
        where = (points + 0.5) / self.voxels_per_node - 0.5
        return pull_at(maps, where.T.contiguous()).T

    def updated(self, change: np.ndarray, smoothing: float) -> HalfMaps:
        """Add a change (3, X', Y', Z') in voxels to the velocity, smooth it, and see that nothing folds.

        Where the maps would fold, half of the change is taken, and a quarter; if even that folds, the velocity is
        smoothed until it does not.

        Args:
            change: of the velocity.
            smoothing: standard deviation in voxels of the Gaussian.
        """
        step = torch.from_numpy(np.ascontiguousarray(change, np.float32)) / self.voxels_per_node.view(3, 1, 1, 1)
        sigma = (smoothing / self.voxels_per_node).tolist()
        for share in (1.0, 0.5, 0.25):
            new = HalfMaps(self.shape, smooth(self.velocity + share * step, sigma))
            if not new.folds():
                return new
        while new.folds():
            new = HalfMaps(self.shape, smooth(new.velocity, 1.0) * 0.95)
        return new

    def folds(self) -> bool:
        """Whether a determinant of the whole map or of its inverse is not safely positive."""
        return any(float(jacobian_determinant(u).min()) < LEAST_DETERMINANT for u in (self.forward, self.inverse))

    def whole(self) -> tuple[np.ndarray, np.ndarray]:
        """Give the map from fixed to moving and its inverse, (3, X, Y, Z) float32 voxels, neither folding."""
        velocity = 2 * resize(self.velocity, self.shape)
        while True:
            forward, inverse = exponential(velocity), exponential(-velocity)
            if min(float(jacobian_determinant(u).min()) for u in (forward, inverse)) > 0:
                return forward.numpy(), inverse.numpy()
            velocity = smooth(velocity, 1.0) * 0.95
