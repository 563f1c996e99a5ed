"""The shape of a prostate: an ellipsoid bent by a few coefficients, and the sectors of its surface.

A point p (mm RAS about the middle of the gland) is taken to the gland's own coordinates w(p), in which the gland is the
ellipsoid |w / r| < 1. Bladder and seminal vesicles are described in w as well, so they follow the gland: a bladder that
sinks into the base leaves no gap. Each coefficient is a standard normal, cut at two standard deviations:

    size         all three half axes, exp(0.105 c): a factor of 3.5 in volume over the four standard deviations
    width        wide and flat, or narrow and deep, at equal volume
    taper        how much narrower the apex is than the base
    asymmetry    the right half larger than the left, or the other way round
    indentation  the bladder sinks into the base, or a median lobe rises into the bladder
    bend         the middle lies further back than base and apex, or further forward
    central      size of the central gland inside, which hyperplasia enlarges
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.ndimage import gaussian_filter1d, map_coordinates

Capsule = Literal["bright", "dark", "absent"]
MODES = ("size", "width", "taper", "asymmetry", "indentation", "bend", "central")
CAPSULES: tuple[Capsule, ...] = ("bright", "dark", "absent")
LEVELS = ("apex", "middle", "base")
N_ANGLES = 8
MEAN_RADII_MM = np.array([26.0, 18.0, 22.5])  # to the right, to the front, upwards
LIMIT = 2.0  # standard deviations
_ANGLE_BINS, _HEIGHT_BINS = 96, 33


@dataclass(frozen=True)
class GlandShape:
    """Coefficients of one gland, standard deviations, by :data:`MODES`; 0 is the mean."""

    size: float = 0.0
    width: float = 0.0
    taper: float = 0.0
    asymmetry: float = 0.0
    indentation: float = 0.0
    bend: float = 0.0
    central: float = 0.0

    @property
    def radii_mm(self) -> np.ndarray:
        """Half axes (3,) in the gland's coordinates: to the right, to the front, upwards."""
        stretch = np.exp(0.08 * self.width)
        return MEAN_RADII_MM * np.exp(0.105 * self.size) * [stretch, 1 / stretch, 1]

    @property
    def dip_mm(self) -> float:
        """How deep the bladder sinks into the base; negative for a median lobe."""
        return 1.5 + 2.5 * self.indentation


def draw_shape(rng: np.random.Generator, spread: float) -> GlandShape:
    """Draw every coefficient, ``spread`` times as far from the mean as usual."""
    drawn = rng.standard_normal((len(MODES), 64))
    # the first of 64 within the limit, so that every mode takes the same numbers from the stream
    kept = [row[np.argmax(np.abs(row) < LIMIT)] for row in drawn]
    return GlandShape(*(round(float(spread * c), 4) for c in kept))


def gland_coordinates(shape: GlandShape, points: np.ndarray) -> np.ndarray:
    """Take points to the gland's own coordinates.

    Args:
        shape: of the gland.
        points: (3, ...) float32, mm about its middle, RAS.

    Returns:
        (3, ...) float32 mm.
    """
    x, y, z = points
    _, ry, rz = shape.radii_mm.astype(np.float32)
    height = np.clip(z / rz, -1.3, 1.3)
    y = y - np.float32(2.6 * shape.bend) * (height**2 - np.float32(0.35))
    dip = np.exp(-(x**2 + (y - 2) ** 2) / np.float32(2 * 9.0**2)) * _step(z / 4)
    up = z + np.float32(shape.dip_mm) * dip
    # a groove along the middle of the back, as in a chestnut
    groove = np.exp(-(x**2) / np.float32(2 * 7.0**2)) * _step((-y - ry / 2) / 3)
    back = y - np.float32(2.0) * groove
    narrow = 1 + np.float32(0.20 + 0.10 * shape.taper) * height
    right = x / (narrow * (1 + np.float32(0.09 * shape.asymmetry) * np.tanh(x / 10)))
    front = back / (1 + np.float32(0.12 + 0.05 * shape.taper) * height)
    return np.stack([right, front, up]).astype(np.float32)


def central_ellipsoid(shape: GlandShape) -> tuple[np.ndarray, np.ndarray]:
    """Give center and half axes, (3,) mm each in the gland's coordinates, of the central gland before it is cut."""
    radii = shape.radii_mm
    grown = 1 + 0.10 * shape.central
    return radii * [0, 0.22, 0.12], radii * np.array([0.70, 0.66, 0.76]) * grown


def signed_distance(radius: np.ndarray, mean_mm: float, steps_mm: tuple[float, float, float]) -> np.ndarray:
    """Give the distance in mm, negative inside, of a level set 1, exact to first order at the surface.

    Args:
        radius: (X, Y, Z), 0 in the middle and 1 on the surface.
        mean_mm: about the size of the shape, the largest distance claimed in its middle.
        steps_mm: of the lattice, along x, y and z.
    """
    slope = np.sqrt(sum(g**2 for g in np.gradient(radius, *steps_mm)))
    return ((radius - 1) / np.maximum(slope, np.float32(0.5 / mean_mm))).astype(np.float32)


def draw_capsule(rng: np.random.Generator, absent_share: float) -> tuple[tuple[Capsule, ...], ...]:
    """Draw what the capsule is in each sector: (3 levels, 8 angles).

    A patient leans to bright or to dark: the share of bright among what is not absent is anything from 0.2 to 0.8.
    """
    n = len(LEVELS) * N_ANGLES
    n_absent = int(np.floor(absent_share * n + rng.uniform()))
    is_bright = rng.uniform(size=n) < rng.uniform(0.2, 0.8)
    drawn = np.where(is_bright, "bright", "dark").tolist()
    for k in rng.permutation(n)[:n_absent]:
        drawn[k] = "absent"
    return tuple(tuple(drawn[level * N_ANGLES : (level + 1) * N_ANGLES]) for level in range(len(LEVELS)))


def sector_places(shape: GlandShape, coordinates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give angle and height of points in the gland's coordinates (3, ...).

    Returns:
        The angle about the gland's axis, 0 to 360 degrees, 0 in front, 90 on the patient's right, 180 behind; and the
        height -1 (apex) to 1 (base). Both (...,).
    """
    x, y, z = (c / np.float32(r) for c, r in zip(coordinates, shape.radii_mm, strict=True))
    return np.degrees(np.arctan2(x, y)) % 360, np.clip(z, -1, 1)


def sector_numbers(shape: GlandShape, coordinates: np.ndarray) -> np.ndarray:
    """Give the sector of points in the gland's coordinates (3, ...): 1 + 8 · level + angle // 45, uint8."""
    angle, height = sector_places(shape, coordinates)
    level = np.minimum((height + 1) * 1.5, 2.999).astype(np.uint8)
    return (1 + N_ANGLES * level + np.minimum(angle // (360 / N_ANGLES), N_ANGLES - 1)).astype(np.uint8)


def capsule_weights(
    capsule: tuple[tuple[Capsule, ...], ...], shape: GlandShape, coordinates: np.ndarray
) -> dict[Capsule, np.ndarray]:
    """Give how far the capsule is bright, dark or absent at points (3, ...); sums to 1, soft between sectors."""
    angle, height = sector_places(shape, coordinates)
    at = np.stack([angle * (_ANGLE_BINS / 360) - 0.5, (height + 1) * ((_HEIGHT_BINS - 1) / 2)])
    kinds = np.array(capsule)
    found = {}
    for kind in CAPSULES:
        table = np.repeat((kinds == kind).astype(np.float32), _ANGLE_BINS // N_ANGLES, axis=1)
        table = np.repeat(table, _HEIGHT_BINS // len(LEVELS), axis=0)
        table = gaussian_filter1d(gaussian_filter1d(table, 1.5, axis=1, mode="wrap"), 1.0, axis=0, mode="nearest")
        wrapped = np.concatenate([table[:, -1:], table, table[:, :1]], axis=1)
        found[kind] = map_coordinates(wrapped, [at[1], at[0] + 1], order=1, mode="nearest")
    return found


def _step(value: np.ndarray) -> np.ndarray:
    """From 0 to 1 about 0, logistic."""
    return 1 / (1 + np.exp(-np.clip(value, -30, 30)))
