"""The Volume: an image and where it lies in space.

Data is (C, X, Y, Z) float32 in RAS+ order: X grows to the patient's right, Y to the front, Z upwards. The affine
maps voxel indices to millimetres. An oblique acquisition keeps its oblique affine; only axes are permuted and
flipped on the way in, so that nothing is interpolated and the way back is exact.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Grid:
    """The lattice a file was stored on, kept so that results return to it.

    Attributes:
        shape: voxels along each stored axis (3,).
        affine: (4, 4), stored voxel index → mm RAS.
        codes: the anatomical direction of each stored axis, for example ``"LPS"``.
    """

    shape: tuple[int, int, int]
    affine: np.ndarray
    codes: str


@dataclass(frozen=True, eq=False)
class Volume:
    """An image in RAS+ order with its affine.

    Attributes:
        data: (C, X, Y, Z) float32. C counts channels of a picture or time points of a 4-D image. Z = 1 in a picture.
        affine: (4, 4) float64, voxel index → mm.
        modality: what was measured, for example ``"T1"``, ``"CT"``; free text, used as a column name.
        grid: the lattice of the file it came from; None when it was made here.
    """

    data: np.ndarray
    affine: np.ndarray
    modality: str = "image"
    grid: Grid | None = None

    def __post_init__(self) -> None:
        if self.data.ndim != 4:
            raise ValueError(f"a Volume is (C, X, Y, Z); got an array of shape {self.data.shape}")
        if self.affine.shape != (4, 4):
            raise ValueError(f"an affine is (4, 4); got {self.affine.shape}")

    @classmethod
    def from_array(cls, array: np.ndarray, affine: np.ndarray | None = None, modality: str = "image") -> Volume:
        """Wrap (X, Y, Z) or (C, X, Y, Z); without an affine the voxels are 1 mm cubes."""
        data = np.asarray(array, dtype=np.float32)
        return cls(
            data if data.ndim == 4 else data[None], np.eye(4) if affine is None else np.asarray(affine, float), modality
        )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along X, Y, Z."""
        x, y, z = self.data.shape[1:]
        return x, y, z

    @property
    def n_channels(self) -> int:
        """Channels, or time points."""
        return int(self.data.shape[0])

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel size along X, Y, Z in mm."""
        sx, sy, sz = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(sx), float(sy), float(sz)

    @property
    def is_picture(self) -> bool:
        """Whether it has a single slice."""
        return self.shape[2] == 1

    def to_mm(self, voxels: np.ndarray) -> np.ndarray:
        """Map voxel indices (..., 3) to mm (..., 3)."""
        return np.asarray(voxels, float) @ self.affine[:3, :3].T + self.affine[:3, 3]

    def to_voxels(self, points: np.ndarray) -> np.ndarray:
        """Map mm (..., 3) to fractional voxel indices (..., 3)."""
        return (np.asarray(points, float) - self.affine[:3, 3]) @ np.linalg.inv(self.affine[:3, :3]).T

    def with_data(self, data: np.ndarray, modality: str | None = None) -> Volume:
        """Give new voxels on the same lattice: (X, Y, Z) or (C, X, Y, Z)."""
        array = np.asarray(data, dtype=np.float32)
        return replace(self, data=array if array.ndim == 4 else array[None], modality=modality or self.modality)

    @property
    def digest(self) -> str:
        """A short hash of voxels and affine; equal volumes have equal digests."""
        state = hashlib.sha256(np.ascontiguousarray(self.data).tobytes())
        state.update(np.ascontiguousarray(self.affine, dtype=np.float64).tobytes())
        return state.hexdigest()[:16]
