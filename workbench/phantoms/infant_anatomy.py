"""An infant's tissues, or a newborn's eight regions, as shares of each voxel, from the MNI152 template.

Powers of the template's tissue fractions sharpen what averaging over many brains has blurred. CSF is laid about the
brain, wider than an adult's.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy.ndimage import binary_dilation, binary_opening, label

from workbench.phantoms.brain_parts import CAPSULE, DEEP_GREY, VENTRICLES, inside_any, parts_at
from workbench.phantoms.head_anatomy import hull_distance
from workbench.phantoms.painting import sample

Structures = Literal["tissues", "regions"]
NAMES: dict[Structures, tuple[str, ...]] = {
    "tissues": ("background", "CSF", "grey matter", "white matter"),
    "regions": (
        "background", "cerebellum", "myelinated white matter", "basal ganglia and thalami", "ventricular CSF",
        "unmyelinated white matter", "brain stem", "cortical grey matter", "extracerebral CSF",
    ),
}  # fmt: skip
SHARPNESS = 2.5
OUTER_CSF_MM = 2.5
CORTEX_WEIGHT: dict[Structures, float] = {"tissues": 1.0, "regions": 0.8}  # a newborn's cortex is thinner


def label_shares(
    points: np.ndarray, fractions: np.ndarray, structures: Structures, field: np.ndarray, spacing_mm: float
) -> np.ndarray:
    """Give the share of every label but the background, (K, X, Y, Z), in the order of :data:`NAMES`.

    Args:
        points: (3, X, Y, Z), place of each voxel in the template, mm.
        fractions: (3, X, Y, Z), the template's CSF, grey and white matter there.
        structures: which labels.
        field: (X, Y, Z), smooth noise of unit variance that widens or narrows the outer CSF.
        spacing_mm: edge of a voxel.
    """
    weight = np.array([1.0, CORTEX_WEIGHT[structures], 1.0], np.float32)[:, None, None, None]
    total = fractions.sum(axis=0)
    powers = (weight * fractions) ** SHARPNESS
    sharp = powers * (np.minimum(total, 1) / np.maximum(powers.sum(axis=0), 1e-9))
    hull = sample(*hull_distance(), points, extend=True)[0]
    ring = np.clip(0.5 - (hull - OUTER_CSF_MM * (1 + 0.4 * field)) / max(spacing_mm, 1.5), 0, 1)
    csf, grey, white = sharp
    csf = csf + np.maximum(ring - total, 0)
    cerebellum, stem = parts_at(points)
    if structures == "tissues":
        return _largest_piece(np.stack([csf, grey, white]) * (1 - cerebellum - stem))
    return _regions(points, np.stack([csf, grey, white]), cerebellum, stem, spacing_mm)


def _largest_piece(shares: np.ndarray) -> np.ndarray:
    """Drop what the removal of cerebellum and brain stem left by itself: strands of CSF."""
    solid = shares.sum(axis=0) > 0.5
    pieces, _ = label(binary_opening(solid))
    keep = np.bincount(pieces.ravel())[1:].argmax() + 1
    return shares * binary_dilation(pieces == keep, iterations=2)


def _regions(
    points: np.ndarray, tissues: np.ndarray, cerebellum: np.ndarray, stem: np.ndarray, spacing_mm: float
) -> np.ndarray:
    csf, grey, white = tissues
    cerebrum = 1 - cerebellum - stem
    tract = inside_any(points, CAPSULE, spacing_mm) * cerebrum
    deep = inside_any(points, DEEP_GREY, spacing_mm)
    near_deep = inside_any(points, DEEP_GREY, spacing_mm, more_mm=6.0)  # else a rim of cortex would lie about it
    chamber = inside_any(points, VENTRICLES, spacing_mm)
    solid = grey + white
    left = cerebrum - tract
    nuclei = left * (grey * near_deep + white * deep)
    return np.stack(
        [
            solid * cerebellum, solid * tract, nuclei, csf * chamber, left * white * (1 - deep), solid * stem,
            left * grey * (1 - near_deep), csf * (1 - chamber),
        ]
    )  # fmt: skip
