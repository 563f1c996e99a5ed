"""Small 4-D images with an atlas, for tests."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np

SHAPE = (8, 9, 7)
AFFINE = np.array([[-4.0, 0, 0, 14], [0, 4, 0, -16], [0, 0, 4, -12], [0, 0, 0, 1]])
N_VOLUMES = 60


def bold(
    path: Path, seed: int = 0, *, tr: float = 2.0, unit: str = "sec", n: int = N_VOLUMES, data: np.ndarray | None = None
) -> Path:
    """Write a 4-D image of noise around 1000 with a drift."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if data is None:
        rng = np.random.default_rng(seed)
        data = (1000 + rng.normal(0, 20, (*SHAPE, n)) + np.linspace(0, 30, n)).astype(np.float32)
    image = nib.Nifti1Image(data, AFFINE)
    image.header.set_xyzt_units("mm", unit)
    image.header["pixdim"][4] = tr
    nib.save(image, path)
    return path


def labels() -> np.ndarray:
    """Give (8, 9, 7) labels 3, 5, 7 and 9 with nothing between."""
    data = np.zeros(SHAPE, np.int16)
    data[1:4, 1:4], data[4:7, 1:4], data[1:4, 5:8], data[4:7, 5:8] = 3, 5, 7, 9
    return data


def atlas_image(path: Path, data: np.ndarray | None = None, affine: np.ndarray = AFFINE) -> Path:
    """Write a label image."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(labels() if data is None else data, affine), path)
    return path
