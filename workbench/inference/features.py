"""Feature volumes and their cache on disk.

A feature volume holds one row of features for each voxel of a mask. Under the cache folder it is a folder named by a
key that the caller derives from everything the features depend on, so that it is never out of date:

    cache/features/<key>/
      features.npy   (N, M), usually float16, memory-mapped when opened
      voxels.npy     (N, 3) int32
      grid.json      shape and affine of the image

A new one is written beside its place and renamed into it, so readers need no lock and a stopped encoding leaves
nothing. The cache may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from uuid import uuid4

import numpy as np
from torch import Tensor

from workbench.errors import WorkbenchError
from workbench.inference.boxes import triple
from workbench.inference.dense import as_voxels, encode_voxels
from workbench.models.layers import ConvStage
from workbench.paths import cache_dir
from workbench.progress import Progress, silent

Compute = Callable[[np.ndarray, Progress], object]


@dataclass(frozen=True, eq=False)
class FeatureVolume:
    """Features of the voxels of a mask.

    Attributes:
        voxels: (N, 3) integer voxel indices, in C order when they came from a mask.
        affine: (4, 4), voxel index → mm.
        shape: (X, Y, Z) of the image.
        features: (N, M), often a float16 memory map: read it row by row or in pieces.
    """

    voxels: np.ndarray
    affine: np.ndarray
    shape: tuple[int, int, int]
    features: np.ndarray

    @cached_property
    def points_mm(self) -> np.ndarray:
        """Where the voxels are, (N, 3) float64 in mm."""
        return self.voxels @ self.affine[:3, :3].T + self.affine[:3, 3]

    def lookup(self, point_mm: Sequence[float] | np.ndarray) -> int:
        """Give the row of the mask voxel nearest to a point in mm, however far that is."""
        if len(self.voxels) == 0:
            raise ValueError("the mask is empty, so no voxel is nearest to anything")
        return int(np.square(self.points_mm - np.asarray(point_mm, float)).sum(1).argmin())

    def within(self, point_mm: Sequence[float] | np.ndarray, radius_mm: float) -> np.ndarray:
        """Give the rows of all mask voxels at most ``radius_mm`` from a point in mm, rising: (n,)."""
        distance = np.square(self.points_mm - np.asarray(point_mm, float)).sum(1)
        return np.flatnonzero(distance <= radius_mm**2)

    def as_map(self, values: np.ndarray, fill: float = np.nan) -> np.ndarray:
        """Lay one value a voxel (N,) out as (X, Y, Z) float32, with ``fill`` outside the mask."""
        image = np.full(self.shape, fill, np.float32)
        image[tuple(self.voxels.T)] = values
        return image


def digest_of(*parts: str | bytes | np.ndarray | Tensor | Sequence[ConvStage]) -> str:
    """Give a short key of everything a feature volume depends on: texts, arrays, the stages of an encoder."""
    state = hashlib.sha256()
    for part in parts:
        if isinstance(part, Tensor):
            part = part.detach().cpu().numpy()
        if isinstance(part, np.ndarray):
            state.update(f"{part.dtype}{part.shape}".encode())
            state.update(np.ascontiguousarray(part).tobytes())
        elif isinstance(part, (str, bytes)):
            state.update(part.encode() if isinstance(part, str) else part)
        else:
            for s in part:
                state.update(digest_of(s.weight, s.bias, s.activation, str(s.pool), s.normalization).encode())
        state.update(b"\0")
    return state.hexdigest()[:24]


def encode_features(
    stages: Sequence[ConvStage],
    image: np.ndarray,
    patch_size: Sequence[int],
    mask: np.ndarray,
    affine: np.ndarray,
    *,
    key: str = "",
    progress: Progress = silent,
) -> FeatureVolume:
    """Give the codes of all mask voxels as a cached float16 feature volume.

    Args:
        stages: the encoder, from ``stack.as_convolutions()``.
        image: (C, X, Y, Z), prepared as the encoder's training images were.
        patch_size: in voxels, without channels.
        mask: (X, Y, Z) bool.
        affine: (4, 4), voxel index → mm.
        key: from :func:`digest_of`; without one it is made from the stages, the image, the mask and the affine.
        progress: told as the work goes on.
    """
    key = key or digest_of(stages, image, str(tuple(patch_size)), mask, np.asarray(affine, np.float64))

    def compute(out: np.ndarray, report: Progress) -> object:
        return encode_voxels(stages, image, patch_size, mask, out=out, progress=report)

    n_features = encode_voxels(stages, image, patch_size, np.zeros((0, 3), int)).shape[1]
    return cached_features(key, mask, affine, n_features, compute, progress=progress)


def cached_features(
    key: str,
    mask: np.ndarray,
    affine: np.ndarray,
    n_features: int,
    compute: Compute,
    *,
    dtype: str = "float16",
    progress: Progress = silent,
) -> FeatureVolume:
    """Open the feature volume of that key, or compute and keep it.

    Args:
        key: letters, digits, ``.``, ``_`` and ``-``; stands for everything the features depend on.
        mask: (X, Y, Z) bool.
        affine: (4, 4), voxel index → mm.
        n_features: M.
        compute: called with a memory map (N, M) to fill, and the progress.
        dtype: of the features on disk.
        progress: handed on to ``compute``; raising in it leaves nothing behind.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", key) or key.endswith(".partial"):
        raise ValueError(f"a cache key has letters, digits, '.', '_' and '-'; got {key!r}")
    folder = cache_dir() / "features" / key
    found = open_features(folder)
    if found is not None and found.features.shape == (int(mask.sum()), n_features):
        return found
    voxels = as_voxels(mask, triple(mask.shape))
    if len(voxels) == 0:
        raise WorkbenchError("The mask is empty, so there is no voxel to compute features for; draw or import another.")
    partial = folder.with_name(f"{key}.{_host()}.{os.getpid()}.{uuid4().hex[:8]}.partial")
    _sweep(folder.parent)
    partial.mkdir(parents=True)
    try:
        features = np.lib.format.open_memmap(
            partial / "features.npy", mode="w+", dtype=np.dtype(dtype), shape=(len(voxels), int(n_features))
        )
        compute(features, progress)
        features.flush()
        np.save(partial / "voxels.npy", voxels.astype(np.int32))
        grid = {"shape": list(mask.shape), "affine": np.asarray(affine, float).tolist()}
        (partial / "grid.json").write_text(json.dumps(grid), encoding="utf-8")
        del features
        if found is not None:
            shutil.rmtree(folder)
        _move(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    volume = open_features(folder)
    assert volume is not None
    return volume


def open_features(folder: Path) -> FeatureVolume | None:
    """Open a feature volume, or give None when the folder is missing, incomplete or damaged."""
    try:
        grid = json.loads((folder / "grid.json").read_text(encoding="utf-8"))
        voxels = np.load(folder / "voxels.npy")
        features = np.load(folder / "features.npy", mmap_mode="r")
        shape, affine = triple(grid["shape"]), np.array(grid["affine"], float)
    except (OSError, ValueError, KeyError, EOFError):
        return None
    return FeatureVolume(voxels, affine, shape, features) if len(voxels) == len(features) else None


def _move(partial: Path, folder: Path) -> None:
    """Rename into place; if another process was first, its volume is as good, and a damaged one gives way."""
    if folder.exists() and open_features(folder) is None:
        shutil.rmtree(folder)
    try:
        partial.rename(folder)
    except OSError:
        if open_features(folder) is None:
            raise


def _sweep(parent: Path) -> None:
    """Remove what killed processes of this machine left behind."""
    for folder in parent.glob("*.partial"):
        *_, host, pid, _, _ = folder.name.split(".")
        if host == _host() and not _is_alive(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)


def _host() -> str:
    return socket.gethostname().replace(".", "-")


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
