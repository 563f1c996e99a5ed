"""Random affine maps and intensity changes of a whole batch at once.

MONAI builds the matrices and resamples (``monai.networks.layers.AffineTransform``, one call a batch); the numbers
come from the generator that drew the patches, so an augmented batch is a function of the same seed. Patches are taken
larger than needed (:meth:`Augmentation.context`) and cut after the turn, so no corner is made up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from monai.networks.layers import AffineTransform
from monai.transforms.utils import create_rotate, create_scale
from torch import Tensor


@dataclass(frozen=True)
class Augmentation:
    """How much patches vary; each number is drawn uniformly within plus or minus its bound.

    Attributes:
        rotation: degrees about each axis; only in the plane where Z = 1. Axes are taken in voxels, so spacing should be
            about equal.
        scale: relative change of size on each axis, fraction.
        gain: relative change of intensity, fraction.
        offset: added intensity, in units of the prepared image (standard deviations after a z-score).
        noise: standard deviation of Gaussian noise, in the same units.
    """

    rotation: float = 10.0
    scale: float = 0.1
    gain: float = 0.1
    offset: float = 0.1
    noise: float = 0.02

    def context(self, size: Sequence[int]) -> tuple[int, int, int]:
        """Give the patch to draw, in voxels, so that the turned patch of this size lies within it."""
        extent = np.asarray(size)
        half = (extent - 1) / 2
        sine = np.sin(np.deg2rad(min(abs(self.rotation), 90.0)))
        # the largest entry off the diagonal of one turn, and of three turns one after the other
        lever = sine if size[2] == 1 else sine + sine**2
        turned = np.minimum(np.linalg.norm(half), half + (half.sum() - half) * lever) * (1 + self.scale)
        x, y, z = np.where(extent > 1, extent + 2 * np.ceil(turned - half), 1).astype(int)
        return int(x), int(y), int(z)

    def __call__(self, images: Tensor, size: Sequence[int], rng: np.random.Generator) -> Tensor:
        """Turn, stretch and re-light each patch on its own, and cut it to size.

        Args:
            images: (B, C, *context) float32.
            size: voxels of the result along X, Y, Z.
            rng: where every number is drawn from.

        Returns:
            (B, C, *size) float32.
        """
        matrices = torch.from_numpy(np.stack([self._matrix(size[2] == 1, rng) for _ in range(len(images))]))
        flat = size[2] == 1
        source = images.squeeze(-1) if flat else images
        turn = AffineTransform(tuple(size[: source.ndim - 2]), padding_mode="border", zero_centered=True)
        moved = turn(source, matrices.to(images)).reshape(*images.shape[:2], *size)
        return self._relight(moved, rng)

    def _matrix(self, flat: bool, rng: np.random.Generator) -> np.ndarray:
        n_dims = 2 if flat else 3
        angles = np.deg2rad(rng.uniform(-self.rotation, self.rotation, 1 if flat else 3))
        factors = 1 + rng.uniform(-self.scale, self.scale, n_dims)
        turn = create_rotate(n_dims, angles.tolist())
        return np.asarray(turn) @ np.asarray(create_scale(n_dims, factors.tolist()))

    def _relight(self, images: Tensor, rng: np.random.Generator) -> Tensor:
        per_patch = (len(images), *[1] * (images.ndim - 1))
        gain = 1 + rng.uniform(-self.gain, self.gain, per_patch).astype(np.float32)
        offset = rng.uniform(-self.offset, self.offset, per_patch).astype(np.float32)
        noise = rng.standard_normal(tuple(images.shape), dtype=np.float32) * np.float32(self.noise)
        return images * torch.from_numpy(gain) + torch.from_numpy(offset) + torch.from_numpy(noise)
