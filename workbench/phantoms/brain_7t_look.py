"""How the brain of the 7 T-like phantom looks: contrasts of one anatomy, small bright vessels, texture, a strong bias.

At 7 T the transmitted field is uneven, so that one tissue may be four times as bright in one place as in another, and
detail appears that 3 T does not show and that no two people share: small vessels and the texture of the tissue
(Sections 3.1 and Figures 5 and 6 of the review, on Wu 2016 and 7.0 T images).

The four contrasts show the same anatomy, so that what was learnt in one can be learnt again in another:

    T1          the template's own intensity s, in which the deep nuclei are drawn in; vessels bright
    T2          1.00 CSF + 0.62 grey + 0.42 white, nuclei in between; vessels dark
    inverted    1.1 - s inside the brain, so that bright and dark change places
    compressed  0.55 + 0.5 (s - 0.65) inside the brain, half of the contrast between tissues
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from workbench.phantoms.appearance import BIAS_SCALE_MM, rician
from workbench.phantoms.blobs import fine_field, paint_curve
from workbench.phantoms.deformation import smooth_field
from workbench.phantoms.template import Template
from workbench.phantoms.vessels import draw_vessels

Contrast = Literal["T1", "T2", "inverted", "compressed"]
CONTRASTS: tuple[Contrast, ...] = ("T1", "T2", "inverted", "compressed")
STRUCTURE_LEVELS = {  # signal of hippocampus, thalamus, putamen, caudate, pallidum
    "T1": (0.58, 0.72, 0.66, 0.62, 0.80),
    "T2": (0.66, 0.53, 0.50, 0.55, 0.36),
}
IN_T1 = 0.6  # how much of the template's own intensity the drawn nuclei replace
VESSEL_T1 = 0.8
N_TUBULES = 320
TEXTURE_MM = 1.0


@dataclass(frozen=True)
class SevenTeslaLook:
    """How far subjects differ from the template.

    Attributes:
        warp_mm: bound of the displacement in the brain, mm; each subject's largest lies between 60 % of it and all.
        bias: the bias field runs from 1 - bias to 1 + bias over the brain, 0 to 0.95.
        gamma: bounds between which each subject's contrast exponent is drawn.
        texture: standard deviation of the individual texture, share of the signal.
        vessels: 0 none, 1 as usual.
        noise: standard deviation of the noise in each channel, share of the brightest tissue (1.0).
    """

    warp_mm: float = 15.0
    bias: float = 0.6
    gamma: tuple[float, float] = (0.8, 1.5)
    texture: float = 0.06
    vessels: float = 1.0
    noise: float = 0.025


USUAL = SevenTeslaLook()
CLEAN = SevenTeslaLook(0.0, 0.0, (1.0, 1.0), 0.0, 0.0, 0.0)


def draw_tubules(template: Template, rng: np.random.Generator) -> np.ndarray:
    """Draw small vessels anywhere in the tissue, and the large ones: (X, Y, Z) float32, their share of each voxel."""
    share = draw_vessels(template, rng)
    tissue = np.argwhere(template.fractions[1:].sum(axis=0) > 0.7)
    starts = tissue[rng.integers(len(tissue), size=N_TUBULES)] * template.spacing_mm + template.affine[:3, 3]
    for start in starts:
        n = int(rng.uniform(4, 12))
        heading = rng.standard_normal(3)
        headings = heading / np.linalg.norm(heading) + 0.35 * rng.standard_normal((n, 3)).cumsum(axis=0)
        steps = 3.0 * headings / np.linalg.norm(headings, axis=1, keepdims=True)
        paint_curve(share, template.affine, start + steps.cumsum(axis=0), rng.uniform(0.5, 0.9))
    return share * (template.fractions.sum(axis=0) > 0.5)


def contrast_signal(
    contrast: Contrast, t1: np.ndarray, fractions: np.ndarray, structures: np.ndarray, vessel: np.ndarray
) -> np.ndarray:
    """Give the noise-free signal of one contrast; see the formulas above.

    Args:
        contrast: which.
        t1: (X, Y, Z), the template's intensity, deformed.
        fractions: (3, X, Y, Z), share of CSF, grey and white matter.
        structures: (5, X, Y, Z), share of each nucleus, part of the tissue's.
        vessel: (X, Y, Z), share of vessels.

    Returns:
        (X, Y, Z) float32, about 0 to 1.3.
    """
    levels = np.array(STRUCTURE_LEVELS["T2" if contrast == "T2" else "T1"], np.float32)
    drawn, share = np.tensordot(levels, structures, 1), structures.sum(axis=0)
    if contrast == "T2":
        csf, grey, white = fractions
        image = (1.00 * csf + 0.62 * grey + 0.42 * white) * (1 - share) + drawn
        return np.asarray(image * (1 - 0.7 * vessel), np.float32)
    image = t1 + IN_T1 * (drawn - share * t1) + VESSEL_T1 * vessel
    brain = np.minimum(fractions.sum(axis=0), 1)
    if contrast == "inverted":
        image = np.maximum(1.1 * brain - image, 0)
    elif contrast == "compressed":
        image = 0.55 * brain + 0.5 * (image - 0.65 * brain)
    return np.asarray(image, np.float32)


def seven_tesla_scan(
    contrast: Contrast,
    clean: np.ndarray,
    brain: np.ndarray,
    spacing_mm: float,
    look: SevenTeslaLook,
    entropy: list[int],
) -> np.ndarray:
    """Give what the scanner would show of a noise-free signal: texture, contrast exponent, bias, Rician noise.

    Args:
        contrast: which; each has streams of its own.
        clean: (X, Y, Z) from :func:`contrast_signal`.
        brain: (X, Y, Z) bool, over which the bias field takes its whole range.
        spacing_mm: edge of a voxel.
        look: how much is added.
        entropy: seed of this subject.
    """
    stream = CONTRASTS.index(contrast)
    rng = np.random.default_rng([*entropy, 740 + stream])
    image = clean
    if look.texture > 0:
        image = np.maximum(image * (1 + look.texture * fine_field(clean.shape, spacing_mm, TEXTURE_MM, rng)), 0)
    exponent = np.float32(np.random.default_rng([*entropy, 730]).uniform(*look.gamma))
    image = np.maximum(image, 0) ** exponent
    if look.bias > 0:
        image = image * even_range_bias(brain, spacing_mm, look.bias, np.random.default_rng([*entropy, 750 + stream]))
    return rician(image, look.noise, np.random.default_rng([*entropy, 760 + stream])).astype(np.float32)


def even_range_bias(brain: np.ndarray, spacing_mm: float, amount: float, rng: np.random.Generator) -> np.ndarray:
    """Draw a smooth field that runs from 1 - amount to 1 + amount over the brain: (X, Y, Z) float32, positive."""
    field = smooth_field(brain.shape, spacing_mm, BIAS_SCALE_MM, rng)
    low, high = field[brain].min(), field[brain].max()
    field = 1 + amount * (2 * (field - low) / (high - low) - 1)
    return np.maximum(field, 0.05).astype(np.float32)  # outside the brain it may run on
