"""Displacement fields: where each point of an image moves to, in mm.

Stored as a NIfTI vector image (X, Y, Z, 1, 3) whose components are LPS mm, as ITK, ANTs and 3D Slicer write and read
them; RAS mm here, like everything else. ``u(x)`` lives on the lattice of the *output*: out(x) = in(x + u(x)).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from workbench.errors import GeometryError
from workbench.imaging.guard import finite
from workbench.imaging.limits import times
from workbench.imaging.nifti import read_stored, write_array
from workbench.imaging.orientation import check_affine, to_ras

# The same three signs lead from LPS to RAS and back.
LPS_TO_RAS = np.array([-1.0, -1.0, 1.0], np.float32)


def read_field(path: Path | str) -> tuple[np.ndarray, np.ndarray]:
    """Read a displacement field.

    Returns:
        The field (3, X, Y, Z) float32 in mm RAS, its lattice in RAS+ order, and the affine (4, 4) of that lattice.

    Raises:
        FileError: absent, truncated, not NIfTI, too large, not finite.
        GeometryError: its shape is not (X, Y, Z, 1, 3), or its affine does not span space.
    """
    stored = read_stored(Path(path))
    shape = stored.array.shape
    if len(shape) != 5 or shape[3:] != (1, 3):
        raise GeometryError(
            f"{stored.name} has the shape {times(shape)}; a displacement field is X × Y × Z × 1 × 3, one vector in "
            "mm for "
            "each voxel. Save it as ITK, ANTs or 3D Slicer do."
        )
    affine = check_affine(stored.affine, stored.name)
    vectors = np.moveaxis(finite(stored.array, stored.name, "refuse")[:, :, :, 0], 3, 0)  # (3, I, J, K)
    field, ras = to_ras(vectors, affine)
    return np.ascontiguousarray(field * LPS_TO_RAS[:, None, None, None], np.float32), ras


def write_field(field: np.ndarray, affine: np.ndarray, path: Path | str) -> None:
    """Write a displacement field.

    Args:
        field: (3, X, Y, Z) in mm RAS.
        affine: (4, 4) of its lattice.
        path: ends in ``.nii`` or ``.nii.gz``.

    Raises:
        FileError: it cannot be written.
    """
    if field.ndim != 4 or field.shape[0] != 3:
        raise ValueError(f"a field is (3, X, Y, Z); got {field.shape}")
    vectors = np.moveaxis(field * LPS_TO_RAS[:, None, None, None], 0, 3)[:, :, :, None]  # (X, Y, Z, 1, 3)
    write_array(vectors, np.asarray(affine, float), Path(path), intent="vector")
