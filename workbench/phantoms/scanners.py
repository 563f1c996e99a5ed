"""Scanners that show the same tissue differently: contrast exponent, scale, receive field, noise.

A scanner's contrast is s^gamma, which is monotone: a histogram standardization (Nyúl 1999) can undo it, mean and
variance alone cannot. Scanner 0 is the reference with gamma 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workbench.phantoms.appearance import bias_field, rician

REFERENCE_SCALE = 400.0
LEAST_LOG_GAMMA, LARGEST_LOG_GAMMA = 0.25, 0.55
LARGEST_LOG_SCALE = 0.8
SHARED_BIAS = 0.6  # of the bias field, which a scanner repeats in everyone


@dataclass(frozen=True)
class Scanner:
    """How one scanner shows each sequence.

    Attributes:
        name: ``scanner-1`` …
        gamma: contrast exponent of each sequence.
        scale: what tissue of signal 1 gives, in the scanner's units, of each sequence.
        bias_factor: its bias field relative to the reference's.
        entropy: seed of what it repeats in everyone.
    """

    name: str
    gamma: tuple[float, ...]
    scale: tuple[float, ...]
    bias_factor: float
    entropy: tuple[int, ...]


def draw_scanner(seed: int, index: int, n_sequences: int, difference: float) -> Scanner:
    """Draw scanner ``index``, which depends on (seed, index) and, in proportion, on ``difference`` (0: all alike)."""
    rng = np.random.default_rng([seed, 1_000_003, index])
    sign = rng.choice([-1.0, 1.0], n_sequences)
    log_gamma = difference * sign * rng.uniform(LEAST_LOG_GAMMA, LARGEST_LOG_GAMMA, n_sequences)
    log_scale = difference * rng.uniform(-LARGEST_LOG_SCALE, LARGEST_LOG_SCALE, n_sequences)
    factor = 1 + difference * rng.uniform(0, 0.6)
    if index == 0:
        log_gamma, factor = np.zeros(n_sequences), 1.0
    gamma = tuple(round(float(g), 4) for g in np.exp(log_gamma))
    scale = tuple(round(float(s), 1) for s in REFERENCE_SCALE * np.exp(log_scale))
    return Scanner(f"scanner-{index + 1}", gamma, scale, float(factor), (seed, 1_000_003, index))


def acquire(
    clean: np.ndarray, brain: np.ndarray, spacing_mm: float, scanner: Scanner, *, bias: float, noise: float,
    entropy: list[int],
) -> np.ndarray:  # fmt: skip
    """Give what a scanner shows of noise-free signals, skull-stripped.

    Args:
        clean: (S, X, Y, Z), sequences of signal 0 to about 1.2.
        brain: (X, Y, Z) bool; everything outside becomes 0.
        spacing_mm: edge of a voxel.
        scanner: whose.
        bias: largest |b| of the bias field exp(b) on the reference scanner.
        noise: standard deviation of the noise in each channel, share of signal 1.
        entropy: seed of this person.

    Returns:
        (S, X, Y, Z) float32.
    """
    images = np.empty(clean.shape, np.float32)
    for k, signal in enumerate(clean):
        image = np.maximum(signal, 0) ** np.float32(scanner.gamma[k])
        if bias > 0:
            amplitude = bias * scanner.bias_factor
            for part, source in ((SHARED_BIAS, [*scanner.entropy, k]), (1 - SHARED_BIAS, [*entropy, 60 + k])):
                image = image * bias_field(brain, spacing_mm, part * amplitude, np.random.default_rng(source))
        image = rician(image, noise, np.random.default_rng([*entropy, 80 + k]))
        images[k] = image * brain * np.float32(scanner.scale[k])
    return images
