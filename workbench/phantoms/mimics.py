"""What is bright on FLAIR without being a lesion: ventricle rims and caps, cortex, flow in the CSF.

Rims and caps are thin normal borders of the ventricles, insular and limbic cortex is brighter than other cortex, and
CSF that moves is not suppressed. All three look like disease to a threshold; T1, T2 and proton density show little of
the first two and nothing of the third.
"""

from __future__ import annotations

import numpy as np

from workbench.phantoms.anatomy import Anatomy
from workbench.phantoms.blobs import soft
from workbench.phantoms.deformation import smooth_field

RIM_MM = 1.6
CAP_MM = 5.0
FLOW_SCALE_MM = 6.0
CORTEX_SCALE_MM = 14.0


def flair_mimics(anatomy: Anatomy, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Draw what FLAIR gains in one person: (X, Y, Z) float32, where white matter is 0.45.

    Args:
        anatomy: the person.
        strength: 1 as usual, 0 none.
        rng: the only source of chance.
    """
    csf, grey, white = anatomy.fractions
    shape, spacing = csf.shape, anatomy.spacing_mm
    fields = [smooth_field(shape, spacing, scale, rng) for scale in (FLOW_SCALE_MM, CORTEX_SCALE_MM, CORTEX_SCALE_MM)]
    rim_level, cap_level, cortex_level, flow_level = rng.uniform([0.15, 0.2, 0.06, 0.3], [0.45, 0.5, 0.22, 0.8])
    outside = anatomy.ventricle_mm
    rim = rim_level * np.exp(-((outside / RIM_MM) ** 2)) * soft(-fields[2] - 0.6, 0.4)
    caps = cap_level * np.exp(-((outside / CAP_MM) ** 2)) * _horns(anatomy)
    cortex = cortex_level * soft(0.5 - fields[1], 0.6)
    flow = flow_level * soft(1.6 - fields[0], 0.2)
    added = (rim + caps) * (white + 0.5 * grey) + cortex * grey + flow * csf
    return np.float32(strength) * (added + 0.3 * anatomy.choroid).astype(np.float32)


def _horns(anatomy: Anatomy) -> np.ndarray:
    """1 before the frontal and behind the occipital horns, 0 beside the bodies of the ventricles."""
    inside = np.flatnonzero((anatomy.ventricle > 0.4).any(axis=(0, 2)))
    if len(inside) == 0:
        return np.zeros((1, 1, 1), np.float32)
    y = np.arange(anatomy.brain.shape[1]) * anatomy.spacing_mm
    front, back = inside[-1] * anatomy.spacing_mm, inside[0] * anatomy.spacing_mm
    along = np.clip(np.maximum(y - front + 8, back + 8 - y) / 8, 0, 1)
    return along.astype(np.float32)[None, :, None]
