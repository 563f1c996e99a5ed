"""Diffeomorphic demons of many channels (Vercauteren 2009, the review's Reference 87; Section 3.1).

With warped moving channels W = M ∘ s, differences d = F - W and their symmetrized gradients J = ½ (∇F + ∇W), every
voxel's update is the Gauss-Newton step of all channels together,

    (Σ J Jᵀ + λ I) u = Σ d J,    λ = Σ d² / (4 k²),

where k bounds the length of a step. Then s ← K ∗ (s ∘ exp(u)), K a Gaussian ("diffusion"; u may be smoothed too,
"fluid"). With one channel, u = d J / (|J|² + d² / 4k²): the update of ITK's filter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import correlate1d
from scipy.special import ive

from workbench.errors import SettingsError
from workbench.imaging.displacements import compose, exponential, invert, pull, resize, unfold
from workbench.progress import Progress, silent
from workbench.registration.itk_images import check_image
from workbench.registration.match import EnergyRow, Heard, Match, unheard
from workbench.registration.pyramid import Level, comparable, pyramid

LEAST_DIFFERENCE = 1e-3  # of the fixed image's range; smaller ones move nothing, as in ITK
OUTSIDE = -1e4
KERNEL_SHARE = 0.9  # of a Gaussian that ITK keeps
WINDOW = 10  # iterations over which the energy must fall
TELL_EVERY = 5


@dataclass(frozen=True)
class DemonsSettings:
    """How channel demons search.

    Attributes:
        n_levels: of the pyramid.
        n_iterations: on each level, at most.
        largest_step: of an update, in voxel edges.
        fluid: standard deviation of the Gaussian on each update, in voxel edges of the level; 0 for none.
        diffusion: standard deviation of the Gaussian on the field, in voxel edges of the level.
        tolerance: a level ends when ten iterations lowered the energy by less than this share; 0 never ends one.
        unfolded: smooth the field where it folded, until nothing does.
    """

    n_levels: int = 3
    n_iterations: int = 60
    largest_step: float = 0.5
    fluid: float = 0.0
    diffusion: float = 1.0
    tolerance: float = 1e-3
    unfolded: bool = True

    def __post_init__(self) -> None:
        if self.n_levels < 1 or self.n_iterations < 1 or self.largest_step <= 0:
            raise SettingsError(
                "Channel demons need at least one level, one iteration and a step above 0 voxels; got "
                f"{self.n_levels}, {self.n_iterations} and {self.largest_step}."
            )
        if min(self.fluid, self.diffusion, self.tolerance) < 0:
            raise SettingsError("Smoothing and tolerance of channel demons cannot be negative; choose 0 or more.")


def channel_demons(
    fixed: np.ndarray,
    moving: np.ndarray,
    spacing: Sequence[float],
    settings: DemonsSettings | None = None,
    *,
    progress: Progress = silent,
    heard: Heard = unheard,
) -> Match:
    """Register two images of equally many channels on one lattice.

    Channels weigh as much as their intensities vary, and equal tissue must have equal values in both images; bring
    them to that first, single images by `itk_demons.matched`.

    Args:
        fixed: (C, X, Y, Z) or (X, Y, Z): modalities, or learnt features.
        moving: the same channels, brought onto the fixed lattice.
        spacing: mm.
        settings: the defaults without it.
        progress: told every few iterations; may cancel.
        heard: told the energy of every iteration.

    Raises:
        FileError: an image is constant or not finite.
        GeometryError: fewer than four voxels along an axis.
    """
    settings = settings or DemonsSettings()
    fixed, moving = (np.asarray(i if i.ndim == 4 else i[None], np.float32) for i in (fixed, moving))
    if fixed.shape != moving.shape:
        raise ValueError(f"both images have the same channels on one lattice; got {fixed.shape} and {moving.shape}")
    for image, name in ((fixed, "fixed"), (moving, "moving")):
        check_image(image.reshape(-1, *image.shape[2:]), name)  # one constant channel among others does no harm
    levels = pyramid(*comparable(fixed, moving), spacing, settings.n_levels)
    field = torch.zeros(3, *levels[0].fixed.shape[1:])
    rows: list[EnergyRow] = []
    for number, level in enumerate(levels):
        field = resize(field, level.fixed.shape[1:])
        stage = f"level {number + 1} of {len(levels)}"
        n_points = int(np.prod(level.fixed.shape[1:]))
        energies: list[float] = []
        for iteration in range(settings.n_iterations):
            if iteration % TELL_EVERY == 0:
                progress((number + iteration / settings.n_iterations) / (len(levels) + 0.1), f"channel demons, {stage}")
            field, energy = _iterate(level, field, settings)
            energies.append(energy)
            rows.append(EnergyRow(stage, iteration + 1, energy, n_points))
            heard(rows[-1])
            if _settled(energies, settings.tolerance):
                break
    progress(1 - 0.05 / len(levels), "inverting the field")
    forward = unfold(field.numpy()) if settings.unfolded else field.numpy()
    return Match(forward, invert(forward), tuple(rows))


def _settled(energies: list[float], tolerance: float) -> bool:
    """Whether the last ten iterations no longer lowered the energy."""
    return tolerance > 0 and len(energies) > WINDOW and energies[-1] > (1 - tolerance) * energies[-1 - WINDOW]


def _iterate(level: Level, field: torch.Tensor, settings: DemonsSettings) -> tuple[torch.Tensor, float]:
    """One update of the field (3, X, Y, Z) in voxels; its energy before, the mean squared difference."""
    edges = np.array(level.spacing)
    k2 = settings.largest_step**2 * float((edges**2).mean())  # mm²
    update, energy = _update(level, field, k2)
    sigmas = edges.mean() / edges  # one voxel edge along each axis, in voxels
    update = _smoothed(update, settings.fluid * sigmas)
    field = compose(field, exponential(update))
    return _smoothed(field, settings.diffusion * sigmas), energy


def _smoothed(field: torch.Tensor, sigmas: np.ndarray) -> torch.Tensor:
    """Smooth a field (3, X, Y, Z) along each axis as ITK's demons do, so that equal settings mean the same."""
    out = field.numpy()
    for axis, sigma in enumerate(sigmas):
        if sigma > 0:
            out = correlate1d(out, itk_gaussian(float(sigma)), axis=axis + 1, mode="nearest")
    return torch.from_numpy(out)


def itk_gaussian(sigma: float) -> np.ndarray:
    """Give ITK's discrete Gaussian: exp(-σ²) Iₙ(σ²), cut off where nine tenths of it are inside, of sum 1.

    The cut makes it narrower than σ: that of 1.5 voxels has 5 weights and a standard deviation of 1.16.
    """
    weights = [ive(0, sigma**2), ive(1, sigma**2)]
    while weights[0] + 2 * sum(weights[1:]) < KERNEL_SHARE:
        weights.append(ive(len(weights), sigma**2))
    kernel = np.array([*weights[:0:-1], *weights])
    result: np.ndarray = kernel / kernel.sum()
    return result


def _update(level: Level, field: torch.Tensor, k2: float) -> tuple[torch.Tensor, float]:
    """The Gauss-Newton step (3, X, Y, Z) in voxels, and the mean squared difference."""
    fixed = torch.from_numpy(level.fixed)
    warped = pull(torch.from_numpy(level.moving), field, fill=OUTSIDE)
    inside = warped[0] != OUTSIDE
    slope = torch.zeros_like(field)  # Σ d J
    curve = torch.zeros(6 if len(fixed) > 1 else 1, *field.shape[1:])  # Σ J Jᵀ: xx, yy, zz, xy, xz, yz
    square = torch.zeros_like(field[0])  # Σ d²
    for still, moved in zip(fixed, warped, strict=True):
        moved = torch.where(inside, moved, still)
        difference = still - moved
        j = [_derivative(still + moved, axis) / (4 * s) for axis, s in enumerate(level.spacing)]  # 1 / mm
        square.addcmul_(difference, difference)
        for axis in range(3):
            slope[axis].addcmul_(difference, j[axis])
        if len(curve) == 1:
            curve[0] = j[0] ** 2 + j[1] ** 2 + j[2] ** 2
            continue
        for row, (a, b) in enumerate(((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))):
            curve[row].addcmul_(j[a], j[b])
    damping = square / (4 * k2)
    step = slope / (curve + damping).clamp_min(1e-9) if len(curve) == 1 else _solve(curve, damping, slope)
    step *= square >= len(fixed) * LEAST_DIFFERENCE**2
    for axis, s in enumerate(level.spacing):
        step[axis] /= s
    energy = float(square.sum() / (inside.sum().clamp_min(1) * len(fixed)))
    return step, energy


def _derivative(image: torch.Tensor, axis: int) -> torch.Tensor:
    """Twice the central difference of (X, Y, Z); 0 at both ends, where a demon knows no outside."""
    n = image.shape[axis]
    out = torch.zeros_like(image)
    if n > 2:
        torch.sub(image.narrow(axis, 2, n - 2), image.narrow(axis, 0, n - 2), out=out.narrow(axis, 1, n - 2))
    return out


def _solve(curve: torch.Tensor, damping: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
    """Solve (A + damping I) u = slope in every voxel by L D Lᵀ, which single precision bears and Cramer's rule not."""
    xx, yy, zz, xy, xz, yz = curve
    tiny = 1e-9
    d1 = (xx + damping).clamp_min(tiny)
    l21, l31 = xy / d1, xz / d1
    d2 = (yy + damping - l21 * xy).clamp_min(tiny)
    l32 = (yz - l31 * xy) / d2
    d3 = (zz + damping - l31 * xz - l32 * l32 * d2).clamp_min(tiny)
    y1 = slope[0]
    y2 = slope[1] - l21 * y1
    y3 = slope[2] - l31 * y1 - l32 * y2
    u3 = y3 / d3
    u2 = y2 / d2 - l32 * u3
    u1 = y1 / d1 - l21 * u2 - l31 * u3
    return torch.stack([u1, u2, u3])
