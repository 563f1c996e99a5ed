"""Tissue fractions to T1, T2, FA and PET; texture, contrast, bias field, noise; presets of difficulty.

The noise-free signals are known functions of the shares of CSF c, grey matter g and white matter w in a voxel:

    T1    the template's own intensity, which holds the detail inside the tissues
    T2    1.00 c + 0.62 g + 0.42 w
    FA    0.05 c + 0.12 g + 0.65 w²                          low wherever fibers mix with anything else
    PET   PSF ∗ (0.05 c + 0.28 w + 1.3 g / (g + 0.3))         uptake saturates with grey matter; PSF a Gaussian of 6 mm

What a scanner and a person add, in this order: texture t of the tissue (T1, T2), a contrast change s^gamma (T1,
T2), a smooth bias field exp(b) of the coil (T1, T2), and noise: Rician for the magnitude images T1 and T2, Gaussian for
FA, and for PET Gaussian with a variance that grows with the counts. FA and PET are quantitative, so their relation to
the tissue is not disturbed by anything but noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.ndimage import gaussian_filter

from workbench.phantoms.deformation import smooth_field
from workbench.phantoms.template import FWHM_PER_SIGMA

Modality = Literal["T1", "T2", "FA", "PET"]
Difficulty = Literal["easy", "7T-like"]
MODALITIES: tuple[Modality, ...] = ("T1", "T2", "FA", "PET")
BIAS_SCALE_MM = 40.0
TEXTURE_SCALE_MM = 2.0
PET_FWHM_MM = 6.0
PET_HALF = 0.3  # share of grey matter at which half of the saturated uptake is reached


@dataclass(frozen=True)
class BrainAppearance:
    """How far subjects of a phantom differ from the template.

    Attributes:
        warp_mm: bound of the displacement in the brain, mm; each subject's largest lies between 60 % of it and all.
        warp_scale_mm: smoothness of the deformation, standard deviation in mm.
        bias: largest |b| in the brain of the bias field exp(b).
        gamma: bounds between which each subject's contrast exponent is drawn.
        texture: standard deviation of the individual texture, share of the signal.
        noise: standard deviation of the noise in each channel, share of the brightest tissue (1.0).
    """

    warp_mm: float = 16.0
    warp_scale_mm: float = 26.0
    bias: float = 0.25
    gamma: tuple[float, float] = (1.0, 1.0)
    texture: float = 0.0
    noise: float = 0.03


EASY = BrainAppearance()
SEVEN_TESLA_LIKE = BrainAppearance(warp_mm=20.0, bias=0.9, gamma=(0.5, 1.0), texture=0.12, noise=0.06)
CLEAN = BrainAppearance(warp_mm=0.0, bias=0.0, noise=0.0)
PRESETS: dict[Difficulty, BrainAppearance] = {"easy": EASY, "7T-like": SEVEN_TESLA_LIKE}


def signal(modality: Modality, t1: np.ndarray, fractions: np.ndarray, spacing_mm: float) -> np.ndarray:
    """Give the noise-free signal of one modality; see the formulas above.

    Args:
        modality: which.
        t1: (X, Y, Z), the template's intensity, deformed.
        fractions: (3, X, Y, Z), share of CSF, grey and white matter.
        spacing_mm: edge of a voxel, for the scanner's resolution.

    Returns:
        (X, Y, Z) float32, about 0 to 1.
    """
    csf, grey, white = fractions
    if modality == "T1":
        return t1
    if modality == "T2":
        return 1.00 * csf + 0.62 * grey + 0.42 * white
    if modality == "FA":
        return 0.05 * csf + 0.12 * grey + 0.65 * white**2
    uptake = 0.05 * csf + 0.28 * white + (1 + PET_HALF) * grey / (grey + PET_HALF)
    return gaussian_filter(uptake, PET_FWHM_MM / FWHM_PER_SIGMA / spacing_mm)


def measured(
    modality: Modality,
    clean: np.ndarray,
    brain: np.ndarray,
    spacing_mm: float,
    look: BrainAppearance,
    entropy: list[int],
) -> np.ndarray:
    """Give what the scanner would show of a noise-free signal.

    Args:
        modality: which.
        clean: (X, Y, Z) from :func:`signal`.
        brain: (X, Y, Z) bool, where the bias field reaches its bound.
        spacing_mm: edge of a voxel.
        look: how much is added.
        entropy: seed of this subject; each modality and each effect has its own stream below it.
    """
    stream = MODALITIES.index(modality)
    noise = np.random.default_rng([*entropy, 20 + stream])
    if modality == "FA":
        return np.clip(clean + _normal(clean.shape, noise) * look.noise, 0, 1)
    if modality == "PET":
        return np.maximum(clean + _normal(clean.shape, noise) * look.noise * np.sqrt(np.maximum(clean, 0)), 0)
    image = np.maximum(clean * (1 + look.texture * _texture(clean.shape, spacing_mm, entropy, stream)), 0)
    if look.gamma != (1.0, 1.0):
        image = image ** np.float32(np.random.default_rng([*entropy, 2]).uniform(*look.gamma))
    if look.bias > 0:
        image = image * bias_field(brain, spacing_mm, look.bias, np.random.default_rng([*entropy, 10 + stream]))
    return rician(image, look.noise, noise)


def bias_field(brain: np.ndarray, spacing_mm: float, amplitude: float, rng: np.random.Generator) -> np.ndarray:
    """Draw exp(b), b smooth, of mean 0 and largest absolute value ``amplitude`` in the brain: (X, Y, Z) float32."""
    field = smooth_field(brain.shape, spacing_mm, BIAS_SCALE_MM, rng)
    field = field - field[brain].mean()
    return np.exp(field * (amplitude / np.abs(field[brain]).max())).astype(np.float32)


def rician(image: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Give the magnitude of a complex signal with Gaussian noise of sigma in both channels (Gudbjartsson 1995).

    Where the signal is 0 the magnitude is Rayleigh distributed with mean sigma · sqrt(π / 2).
    """
    if sigma == 0:
        return np.asarray(image, np.float32)
    real = image + _normal(image.shape, rng) * np.float32(sigma)
    imaginary = _normal(image.shape, rng) * np.float32(sigma)
    return np.sqrt(real**2 + imaginary**2)


def _texture(shape: tuple[int, ...], spacing_mm: float, entropy: list[int], stream: int) -> np.ndarray | float:
    noise = _normal(shape, np.random.default_rng([*entropy, 30 + stream]))
    smooth = gaussian_filter(noise, TEXTURE_SCALE_MM / spacing_mm)
    return smooth / smooth.std()


def _normal(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    return rng.standard_normal(shape, dtype=np.float32)
