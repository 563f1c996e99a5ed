"""The MNI152 T1 and tissue maps that nilearn ships, on a lattice of any spacing from 1 to 8 mm.

The maps are ICBM 152 2009a nonlinear symmetric: averages of 152 adults, 197 × 233 × 189 voxels of 1 mm, without the
skull. CSF is what the brain mask holds beyond grey and white matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from workbench.errors import SettingsError

FINEST_MM, COARSEST_MM = 1.0, 8.0
FWHM_PER_SIGMA = 2.3548


@dataclass(frozen=True, eq=False)
class Template:
    """The undeformed brain.

    Attributes:
        t1: (X, Y, Z) float32, T1-weighted intensity 0 to 1, 0 outside the brain.
        fractions: (3, X, Y, Z) float32, share of CSF, grey and white matter in each voxel; they sum to 1 inside.
        affine: (4, 4), voxel index → mm RAS.
    """

    t1: np.ndarray
    fractions: np.ndarray
    affine: np.ndarray

    @property
    def spacing_mm(self) -> float:
        """Edge of a voxel in mm, the same on all axes."""
        return float(self.affine[0, 0])


@lru_cache(maxsize=2)
def load_template(spacing_mm: float) -> Template:
    """Read the template and average it to a spacing.

    Raises:
        SettingsError: the spacing is not between 1 and 8 mm.
    """
    if not FINEST_MM <= spacing_mm <= COARSEST_MM:
        raise SettingsError(
            f"The phantom's spacing must be from {FINEST_MM:g} to {COARSEST_MM:g} mm; got {spacing_mm:g}."
        )
    t1, grey, white, affine = _read()
    mask = (t1 > 0).astype(np.float32)
    grey, white = grey * mask, white * mask
    # the maps are stored in 8 bits and may sum to a little more than 1
    total = np.maximum(1, grey + white)
    maps = np.stack([t1, mask - (grey + white) / total, grey / total, white / total])
    maps = np.maximum(_coarser(maps, spacing_mm), 0)
    grid = affine @ np.diag([spacing_mm, spacing_mm, spacing_mm, 1.0])
    for array in (maps, grid):
        array.flags.writeable = False  # one copy is shared by every caller
    return Template(maps[0], maps[1:], grid)


def _read() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    from nilearn import datasets  # takes seconds to import

    t1 = datasets.load_mni152_template(resolution=1)
    grey = datasets.load_mni152_gm_template(resolution=1)
    white = datasets.load_mni152_wm_template(resolution=1)
    t1_data, grey_data, white_data = (np.asarray(m.dataobj, np.float32) for m in (t1, grey, white))
    return t1_data, grey_data, white_data, np.asarray(t1.affine, float)


def _coarser(maps: np.ndarray, spacing_mm: float) -> np.ndarray:
    """Average (K, X, Y, Z) over about one voxel of the new spacing, at each of its voxels."""
    if spacing_mm == 1:
        return maps
    sigma = np.sqrt(spacing_mm**2 - 1) / FWHM_PER_SIGMA
    for axis in (1, 2, 3):
        n = maps.shape[axis]
        place = np.arange(int((n - 1) / spacing_mm + 1e-6) + 1) * spacing_mm
        weight = np.exp(-(((place[:, None] - np.arange(n)) / sigma) ** 2) / 2)
        weight /= weight.sum(axis=1, keepdims=True)
        maps = np.moveaxis(np.tensordot(weight.astype(np.float32), maps, (1, axis)), 0, axis)
    return np.ascontiguousarray(maps)
