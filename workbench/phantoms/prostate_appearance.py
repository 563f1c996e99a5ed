"""How a prostate looks on T2: two kinds of patients, a capsule that changes by sector, texture, the scanner.

The review (Section 3.1, on Guo 2016) names two difficulties, and this file makes both. What lies about the boundary
differs between patients: in each sector of the surface the capsule is a bright line, a dark line, or absent, in which
case gland and surroundings run into one another. And intensities differ between patients and are not Gaussian: the
gland has two zones, and the patients are of two kinds, with a bright peripheral zone or with a dark one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from scipy.ndimage import gaussian_filter

from workbench.phantoms.appearance import bias_field, rician
from workbench.phantoms.lattice import Lattice
from workbench.phantoms.painting import Canvas, sample
from workbench.phantoms.prostate_anatomy import SUBSTANCES, Gland
from workbench.phantoms.prostate_shape import Capsule, GlandShape, capsule_weights

Kind = Literal["bright peripheral zone", "dark peripheral zone"]
KINDS: tuple[Kind, ...] = ("bright peripheral zone", "dark peripheral zone")
LEVELS = {
    "fat": 0.60, "muscle": 0.17, "fiber": 0.28, "cortical bone": 0.06, "marrow": 0.46, "cartilage": 0.36,
    "bowel wall": 0.27, "stool": 0.36, "gas": 0.03, "bladder wall": 0.24, "urine": 1.00, "vesicle": 0.80,
    "vein": 0.86, "sphincter": 0.30, "urethra": 0.58, "peripheral": 0.78, "central": 0.42, "nodule": 0.62,
    "stroma": 0.24,
}  # fmt: skip
"""Signal of each substance, share of urine's; peripheral, central and nodule of the first kind of patient."""
DARK_KIND = {"peripheral": 0.42, "central": 0.56, "nodule": 0.40}
SPREAD = 0.07  # standard deviation between patients of each level's logarithm
TEXTURE = {
    "fat": 0.19, "muscle": 0.14, "marrow": 0.10, "stool": 0.25, "urine": 0.02, "gas": 0.0, "vesicle": 0.26, "central":
    0.17, "nodule": 0.15, "peripheral": 0.13,
}  # fmt: skip
USUAL_TEXTURE = 0.10
TEXTURE_MM = (1.1, 3.5)  # two scales, mixed in equal parts
LINE_MM = 0.85  # standard deviation of the capsule's line across the surface
ERASED_MM = 4.0  # how far from the surface an absent capsule takes the boundary with it


def kind_of(seed: int, subject: int) -> Kind:
    """Say which kind a patient is: of every two, one of each, in an order that is drawn."""
    first = int(np.random.default_rng([seed, subject // 2, 77]).integers(2))
    return KINDS[(first + subject) % 2]


def draw_signals(kind: Kind, gap: float, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Draw a patient's signals: substance → (1,).

    Args:
        kind: of the patient.
        gap: 0 both kinds are the first, 1 as usual.
        rng: of the patient.
    """
    levels = dict(LEVELS)
    if kind == KINDS[1]:
        levels |= {name: LEVELS[name] + gap * (other - LEVELS[name]) for name, other in DARK_KIND.items()}
    drawn = rng.standard_normal(len(SUBSTANCES))
    return {
        name: np.array([levels[name] * np.exp(SPREAD * d)], np.float32)
        for name, d in zip(SUBSTANCES, drawn, strict=True)
    }


def paint_capsule(
    canvas: Canvas,
    gland: Gland,
    shape: GlandShape,
    capsule: tuple[tuple[Capsule, ...], ...],
    steps_mm: Sequence[float],
) -> None:
    """Draw the capsule as its sectors say, in place; labels and shapes stay what they are.

    Args:
        canvas: with everything else painted.
        gland: where the gland lies on it.
        shape: of the gland.
        capsule: (3 levels, 8 angles).
        steps_mm: of the canvas's lattice, along x, y and z.
    """
    image = canvas.images[0]
    near = np.abs(gland.distance) < 3 * ERASED_MM
    away = gland.distance[near]
    weight = capsule_weights(capsule, shape, gland.coordinates[:, near])
    smooth = gaussian_filter(image, [ERASED_MM / s for s in steps_mm], truncate=2.5)[near]
    level = 0.5 * (canvas.signals["peripheral"][0] + canvas.signals["fat"][0])
    found = image[near]
    found += weight["absent"] * np.exp(-((away / ERASED_MM) ** 2) / 2) * (0.5 * (smooth + level) - found)
    line = np.exp(-((away / LINE_MM) ** 2) / 2)
    found += weight["bright"] * line * (np.float32(0.98) - found)
    found += weight["dark"] * line * (np.float32(0.08) - found)
    image[near] = found


def textured(canvas: Canvas, steps_mm: Sequence[float], rng: np.random.Generator) -> np.ndarray:
    """Give the painted image with each substance's own texture, (X, Y, Z)."""
    image = canvas.images[0]
    amounts = np.array([TEXTURE.get(name, USUAL_TEXTURE) for name in canvas.names], np.float32)
    grain = np.zeros(image.shape, np.float32)
    for scale in TEXTURE_MM:
        part = gaussian_filter(rng.standard_normal(image.shape, np.float32), [scale / s for s in steps_mm], truncate=3)
        grain += part / part.std() / np.float32(np.sqrt(len(TEXTURE_MM)))
    # where two substances meet, the amount changes as gradually as the image does
    amount = gaussian_filter(amounts[canvas.substance], 0.7)
    return np.maximum(image * (1 + amount * grain), 0)


def scanned(
    image: np.ndarray, points: np.ndarray, lattice: Lattice, *, bias: float, noise: float, rng: np.random.Generator
) -> np.ndarray:
    """Give what the scanner stores of slices: contrast, the coil's bias, noise, a scale of its own.

    Args:
        image: (X, Y, Z), signal of each voxel.
        points: (3, X, Y, Z) mm of each voxel in the lattice's box.
        lattice: the box.
        bias: largest |b| of the bias field exp(b).
        noise: standard deviation in each channel of the magnitude, share of urine's signal.
        rng: of this patient.

    Returns:
        (X, Y, Z) float32, the scanner's units.
    """
    image = image ** np.float32(rng.uniform(0.85, 1.15))
    if bias > 0:  # drawn on a lattice of 4 mm, so that it is the same at every spacing
        coarse = bias_field(np.ones(lattice.shape(4.0), bool), 4.0, bias, rng)
        image = image * sample(coarse[None], lattice.affine(4.0), points, extend=True)[0]
    scale = rng.uniform(250, 900)
    return (rician(image, noise, rng) * scale).astype(np.float32)
