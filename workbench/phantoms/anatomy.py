"""One person's brain: the template deformed, with folds of its own, ventricles, vessels and choroid plexus.

The template's tissue shares are averages of 152 adults, so that its cortex is a blur. Here the shares are sharpened and
shifted by random fields of a few millimeters, differently in everyone: the ribbon becomes crisp, with folds that nobody
else has (and that follow no real sulcal pattern).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import distance_transform_edt

from workbench.phantoms.blobs import fine_field, voxel_centers
from workbench.phantoms.deformation import pull
from workbench.phantoms.template import Template
from workbench.phantoms.vessels import draw_choroid, draw_vessels

SHARPNESS = 2.2  # exponent of the shares
FOLD_STRENGTH = 1.0  # of the random fields, in units of log share
FOLD_SCALE_MM = 2.2
SULCI = 0.6  # added to the log share of CSF: averaging hides narrow sulci
T1_LEVELS = (0.25, 0.63, 0.87)  # CSF, grey and white matter in the template
VENTRICLES_MM = ((-38, 38), (-50, 32), (-4, 34))  # MNI box about the lateral ventricles


@dataclass(frozen=True, eq=False)
class Anatomy:
    """A brain without disease.

    Attributes:
        t1: (X, Y, Z) float32, T1-weighted intensity 0 to 1, 0 outside.
        fractions: (3, X, Y, Z) float32, share of CSF, grey and white matter.
        brain: (X, Y, Z) bool.
        ventricle: (X, Y, Z) float32, share of ventricular CSF.
        ventricle_mm: (X, Y, Z) float32, distance from the lateral ventricles, 0 inside.
        vessel, choroid: (X, Y, Z) float32, share of vessels and of choroid plexus.
        affine: (4, 4).
    """

    t1: np.ndarray
    fractions: np.ndarray
    brain: np.ndarray
    ventricle: np.ndarray
    ventricle_mm: np.ndarray
    vessel: np.ndarray
    choroid: np.ndarray
    affine: np.ndarray

    @property
    def spacing_mm(self) -> float:
        """Edge of a voxel in mm."""
        return float(self.affine[0, 0])


def draw_anatomy(template: Template, warp: np.ndarray, entropy: list[int]) -> Anatomy:
    """Draw what a person has of their own, and see it through a deformation.

    Args:
        template: the lattice too.
        warp: (3, X, Y, Z) mm; a voxel of the person at x lies in the template at x + warp(x).
        entropy: seed of this person.
    """
    spacing = template.spacing_mm
    streams = [np.random.default_rng([*entropy, 50 + k]) for k in range(3)]
    maps = [_ventricles(template), draw_vessels(template, streams[0]), draw_choroid(template, streams[1])]
    t1, c, g, w, ventricle, vessel, choroid = pull(np.stack([template.t1, *template.fractions, *maps]), warp, spacing)
    blurred = np.stack([c, g, w])
    crisp = _fold(blurred, ventricle, spacing, streams[2])
    levels = np.array(T1_LEVELS, np.float32)
    t1 = np.maximum(t1 + np.tensordot(levels, crisp - blurred, 1), 0)
    brain = blurred.sum(axis=0) > 0.5
    inside = ventricle > 0.4
    far = np.float32(100)
    distance = distance_transform_edt(~inside) * spacing if inside.any() else np.full(t1.shape, far)
    return Anatomy(
        t1, crisp, brain, ventricle, distance.astype(np.float32), vessel * brain, choroid * ventricle, template.affine
    )


def _ventricles(template: Template) -> np.ndarray:
    """CSF in a box about the lateral ventricles, without the cisterns behind and between them."""
    x, y, z = voxel_centers(template.t1.shape, template.affine)
    inside = np.ones(template.t1.shape, bool)
    for axis, (low, high) in zip((x, y, z), VENTRICLES_MM, strict=True):
        inside &= (axis >= low) & (axis <= high)
    cistern = (np.abs(x) < 14) & (y < -30) & (z < 22)
    insula = np.abs(x) > 30 - 0.3 * np.minimum(y + 20, 0)
    return template.fractions[0] * (inside & ~cistern & ~insula)


def _fold(fractions: np.ndarray, ventricle: np.ndarray, spacing_mm: float, rng: np.random.Generator) -> np.ndarray:
    """Sharpen (3, X, Y, Z) shares about random fields; what they sum to stays."""
    total = fractions.sum(axis=0)
    sharp = np.empty_like(fractions)
    for k, share in enumerate(fractions):
        field = fine_field(share.shape, spacing_mm, FOLD_SCALE_MM, rng)
        field = (FOLD_STRENGTH * field + (SULCI if k == 0 else 0)) * (
            1 - np.minimum(1, 2 * ventricle)
        )  # ventricles are no sulci
        sharp[k] = np.maximum(share, 1e-4) ** SHARPNESS * np.exp(field)
    return sharp * (total / sharp.sum(axis=0))
