"""Bias corrected images, kept on the disk: N4 takes seconds a volume, and a subject is read several times.

Training reads each subject for the landmarks, for the moments and for the patches, and later to be segmented; every
variant of an ablation does the same again.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from workbench.errors import RunError
from workbench.imaging.intensity import correct_bias
from workbench.imaging.volume import Volume
from workbench.paths import cache_dir
from workbench.runs.arrays import read_arrays, write_arrays


def corrected(volume: Volume, mask: np.ndarray) -> Volume:
    """Give a volume corrected by N4, channel by channel, from the disk where it was corrected before.

    Args:
        volume: (C, X, Y, Z).
        mask: (X, Y, Z) bool, where the field is estimated.
    """
    return volume.with_data(np.stack([_one(volume.with_data(channel), mask) for channel in volume.data]))


def _one(channel: Volume, mask: np.ndarray) -> np.ndarray:
    file = cache_dir() / "corrected" / f"{_key(channel, mask)}.npz"
    if file.is_file():
        try:
            return read_arrays(file)["data"]
        except RunError:  # cut off by a full disk, say: it can be made again
            file.unlink(missing_ok=True)
    found = correct_bias(channel, mask).data[0]
    _keep(file, found)
    return found


def _keep(file: Path, data: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    write_arrays(file, {"data": data})


def _key(channel: Volume, mask: np.ndarray) -> str:
    """Name what the result depends on: voxels, mask and lattice."""
    state = hashlib.blake2b(digest_size=16)
    for array in (channel.data, mask != 0, channel.affine):
        state.update(repr(array.shape).encode())
        state.update(np.ascontiguousarray(array).tobytes())
    return state.hexdigest()
