"""What is said of the patch about a voxel, for matching patches: intensities, hand-designed features or a code.

Every kind gives one row of numbers a voxel, so that whatever compares rows need not know where they come from (Figure
7: the same pipeline with three features).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from workbench.classical.hand_features import N_PATTERNS, Size, hand_designed_features, hand_designed_size
from workbench.inference.dense import encode_voxels
from workbench.inference.subspaces import encode_subspaces
from workbench.models.layers import ConvStage, NormalizationName, normalize_patches
from workbench.models.stacked_isa import StackedISA
from workbench.patches.gather import gather

ROWS_AT_ONCE = 4096
N_HAAR = 64


class PatchFeatures(Protocol):
    """Rows of numbers about patches."""

    @property
    def size(self) -> int:
        """Numbers in a row."""

    def rows(self, image: np.ndarray, voxels: np.ndarray) -> np.ndarray:
        """Give the rows (N, F) float32 of voxels (N, 3) of an image (X, Y, Z)."""


@dataclass(frozen=True)
class IntensityPatches:
    """The intensities of the patch themselves; what lies outside the image is 0.

    Attributes:
        patch: voxels along X, Y, Z.
        normalization: what happens to each patch first, the same as before an auto-encoder.
    """

    patch: Size
    normalization: NormalizationName = "none"

    @property
    def size(self) -> int:
        """Voxels of the patch."""
        return int(np.prod(self.patch))

    def rows(self, image: np.ndarray, voxels: np.ndarray) -> np.ndarray:
        """Give the rows (N, F) float32 of voxels (N, 3) of an image (X, Y, Z)."""
        found = np.empty((len(voxels), self.size), np.float32)
        for begin in range(0, len(voxels), ROWS_AT_ONCE):
            some = slice(begin, begin + ROWS_AT_ONCE)
            patches = torch.from_numpy(gather(image[None], voxels[some], self.patch).astype(np.float32, copy=False))
            found[some] = normalize_patches(patches, self.normalization).flatten(1).numpy()
        return found


@dataclass(frozen=True, eq=False)
class HandDesigned:
    """Haar-like features, HOG and LBP, each column scaled by what training patches had, each kind weighing alike.

    Attributes:
        patch: voxels along X, Y, Z.
        spacing_mm: voxel size along X, Y, Z.
        mean, deviation: (F,) of the columns over training patches.
        seed: of the places of the boxes.
    """

    patch: Size
    spacing_mm: tuple[float, float, float]
    mean: np.ndarray
    deviation: np.ndarray
    seed: int = 0

    @classmethod
    def learn(
        cls, patch: Size, spacing_mm: tuple[float, float, float],
        examples: Sequence[tuple[np.ndarray, np.ndarray]], seed: int = 0,
    ) -> HandDesigned:  # fmt: skip
        """Learn the scale of the columns from images (X, Y, Z) of training subjects at some voxels (N, 3) each."""
        size = hand_designed_size(patch, N_HAAR)
        plain = cls(patch, spacing_mm, np.zeros(size), np.ones(size), seed)
        rows = np.concatenate([plain._raw(image, voxels) for image, voxels in examples]).astype(float)
        deviation = rows.std(0)
        deviation[deviation < 1e-6 * max(deviation.max(), 1e-12)] = np.inf  # says nothing: 0 in every row
        return cls(patch, spacing_mm, rows.mean(0), deviation, seed)

    @property
    def size(self) -> int:
        """Features of the three kinds."""
        return len(self.mean)

    def rows(self, image: np.ndarray, voxels: np.ndarray) -> np.ndarray:
        """Give the rows (N, F) float32 of voxels (N, 3) of an image (X, Y, Z)."""
        scale = 1 / (self.deviation * np.sqrt(self._kinds()))
        return ((self._raw(image, voxels) - self.mean) * scale).astype(np.float32)

    def _raw(self, image: np.ndarray, voxels: np.ndarray) -> np.ndarray:
        return hand_designed_features(
            image, voxels, patch=self.patch, n_haar=N_HAAR, spacing_mm=self.spacing_mm, seed=self.seed
        )

    def _kinds(self) -> np.ndarray:
        """Give for each column how many its kind has, (F,)."""
        sizes = [N_HAAR, self.size - N_HAAR - 3 * N_PATTERNS, 3 * N_PATTERNS]
        return np.repeat(sizes, sizes)


@dataclass(frozen=True, eq=False)
class Codes:
    """What an encoder says of the patch.

    Attributes:
        stages: from a stack's ``as_convolutions``.
        patch: voxels along X, Y, Z.
    """

    stages: Sequence[ConvStage]
    patch: Size

    @property
    def size(self) -> int:
        """Units of the last layer."""
        return len(self.stages[-1].bias)

    def rows(self, image: np.ndarray, voxels: np.ndarray) -> np.ndarray:
        """Give the rows (N, F) float32 of voxels (N, 3) of an image (X, Y, Z)."""
        return encode_voxels(self.stages, image[None].astype(np.float32, copy=False), self.patch, voxels)


@dataclass(frozen=True, eq=False)
class Subspaces:
    """The responses of stacked independent subspaces to the cube about the voxel.

    Attributes:
        stack: trained.
    """

    stack: StackedISA

    @property
    def size(self) -> int:
        """Units of both layers."""
        return self.stack.code_size

    def rows(self, image: np.ndarray, voxels: np.ndarray) -> np.ndarray:
        """Give the rows (N, F) float32 of voxels (N, 3) of an image (X, Y, Z)."""
        return encode_subspaces(self.stack, image[None].astype(np.float32, copy=False), voxels)
