"""A glioma's shape: necrosis inside an enhancing rim inside a core, in a halo of edema; and the push it gives.

All regions are level sets of distances in mm, roughened by smooth random fields, so that they are nested by
construction. Edema spreads through white matter, slows in grey matter, stops at CSF and hardly crosses the midline.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.ndimage import binary_erosion, distance_transform_edt, gaussian_filter

from workbench.phantoms.blobs import ellipsoid_radius, fine_field, random_rotation, soft, voxel_centers
from workbench.phantoms.deformation import smooth_field

Grade = Literal["high", "low"]
NECROSIS, EDEMA, NON_ENHANCING, ENHANCING = 1, 2, 3, 4
CORE_RADIUS_MM = {"high": (11.0, 23.0), "low": (10.0, 24.0)}
EDEMA_REACH_MM = {"high": (9.0, 24.0), "low": (2.0, 8.0)}
EDGE_MM = 0.8
EDEMA_EDGE_MM = 1.8
LEAST_DEPTH_MM = 14.0
GREY_BARRIER = 1.4  # how much more slowly edema advances in pure grey matter, besides 1
MIDLINE_MM = 12.0


@dataclass(frozen=True, eq=False)
class TumorPlace:
    """Where a tumor grows and how large its core is.

    Attributes:
        center_mm: (3,) RAS.
        radii_mm: (3,) half axes of the core, the geometric mean is the core's radius.
        rotation: (3, 3) directions of the half axes.
        push: largest relative contraction of the tissue about the center, 0 to below 1.
    """

    center_mm: np.ndarray
    radii_mm: np.ndarray
    rotation: np.ndarray
    push: float

    @property
    def radius_mm(self) -> float:
        """Radius of a sphere of the core's volume."""
        return float(np.prod(self.radii_mm) ** (1 / 3))


@dataclass(frozen=True, eq=False)
class TumorRegions:
    """The parts of a tumor.

    Attributes:
        labels: (X, Y, Z) uint8, 0 none, 1 necrosis, 2 edema, 3 non-enhancing, 4 enhancing.
        edema, core, enhancing, necrosis: (X, Y, Z) float32 from 0 to 1 with soft edges, each laid over those before.
    """

    labels: np.ndarray
    edema: np.ndarray
    core: np.ndarray
    enhancing: np.ndarray
    necrosis: np.ndarray


def place_tumor(
    fractions: np.ndarray, affine: np.ndarray, grade: Grade, mass_effect: float, rng: np.random.Generator
) -> TumorPlace:
    """Draw where a tumor sits: in cerebral white matter, at least 14 mm below the surface.

    Args:
        fractions: (3, X, Y, Z) of the healthy brain.
        affine: (4, 4).
        grade: of the tumor.
        mass_effect: 1 as usual, 0 none.
        rng: the only source of chance.
    """
    spacing = float(affine[0, 0])
    x, y, z = voxel_centers(fractions.shape[1:], affine)
    depth = distance_transform_edt(fractions.sum(axis=0) > 0.5) * spacing
    cerebrum = (z > -5) & (np.abs(x) > 12) & (y > -85) & (depth > LEAST_DEPTH_MM)
    places = np.argwhere(cerebrum & (fractions[2] > 0.5))
    index = places[int(rng.uniform() * len(places))]
    low, high = CORE_RADIUS_MM[grade]
    radius = low * (high / low) ** rng.uniform()
    shape = np.exp(rng.uniform(-0.3, 0.3, 3))
    radii = radius * shape / np.prod(shape) ** (1 / 3)
    push = mass_effect * rng.uniform(0.2, 0.45) * (1.0 if grade == "high" else 0.5)
    return TumorPlace(index * spacing + affine[:3, 3], radii, random_rotation(rng), min(push, 0.9))


def push_warp(place: TumorPlace, brain: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Give where the tissue came from that a tumor pushed away: (3, X, Y, Z) float32 mm, to be added to x.

    Along each ray x' = c + (x - c)(1 - a exp(-r² / 2s²)), s = 1.3 radii; increasing for a < 1, so nothing folds. It
    fades towards the surface of the brain, because the skull does not give way.
    """
    spacing = float(affine[0, 0])
    offset = voxel_centers(brain.shape, affine) - place.center_mm.astype(np.float32).reshape(3, 1, 1, 1)
    squared = (offset**2).sum(axis=0)
    pull_in = place.push * np.exp(-squared / (2 * (1.3 * place.radius_mm) ** 2))
    depth = distance_transform_edt(brain) * spacing
    return (-offset * (pull_in * np.minimum(1, depth / 15))).astype(np.float32)


def grow_tumor(
    place: TumorPlace, fractions: np.ndarray, affine: np.ndarray, grade: Grade, rng: np.random.Generator
) -> TumorRegions:
    """Draw the regions of a tumor in a brain that has given way to it.

    Args:
        place: of :func:`place_tumor`.
        fractions: (3, X, Y, Z), after the push.
        affine: (4, 4).
        grade: high-grade tumors have necrosis and a rim, low-grade ones are mostly non-enhancing.
        rng: the only source of chance.
    """
    shape, spacing = fractions.shape[1:], float(affine[0, 0])
    centers = voxel_centers(shape, affine)
    brain = fractions.sum(axis=0) > 0.5
    rough = [smooth_field(shape, spacing, 7.0, rng) for _ in range(3)]
    fine = [fine_field(shape, spacing, 2.5, rng) for _ in range(2)]
    roughness = 0.16 * place.radius_mm
    body = (ellipsoid_radius(centers, place.center_mm, place.radii_mm, place.rotation) - 1) * place.radius_mm
    body = body + roughness * rough[0] + 0.7 * fine[0]
    aside = place.center_mm + place.rotation[:, 0] * place.radii_mm[0] * rng.uniform(0.8, 1.15)
    lobe = (ellipsoid_radius(centers, aside, 0.75 * place.radii_mm, random_rotation(rng)) - 1) * place.radius_mm * 0.75
    lobe = lobe + roughness * rough[1] + 0.7 * fine[1]
    core = np.minimum(body, lobe)
    if grade == "high":
        rim = np.maximum(2.2, rng.uniform(3.0, 5.5) * np.exp(0.35 * rough[2])).astype(np.float32)
        enhancing, necrosis = body, body + rim
    else:  # at most a nodule within the body
        nodule = rng.uniform(0.45, 0.95) if rng.uniform() < 0.4 else np.inf
        enhancing, necrosis = body + nodule * place.radius_mm, np.full(shape, 99.0, np.float32)
    spread = rng.uniform(*EDEMA_REACH_MM[grade]) - 2.5 * rough[2]
    edema = _edema(core, fractions, centers, place, spread)
    return _regions(core, enhancing, necrosis, edema, brain & (fractions[0] < 0.75))


def _edema(
    core: np.ndarray, fractions: np.ndarray, centers: np.ndarray, place: TumorPlace, reach_mm: np.ndarray
) -> np.ndarray:
    """Distance in mm beyond the border of the edema, negative inside."""
    spacing_mm = float(centers[0, 1, 0, 0] - centers[0, 0, 0, 0])
    # a fold is passed where its neighborhood lets the fluid through
    csf, grey = (gaussian_filter(share, 2.0 / spacing_mm) for share in fractions[:2])
    beyond = np.maximum(core, 0) * (1 + GREY_BARRIER * grey) + 12 * csf
    across = np.clip(-np.sign(place.center_mm[0]) * centers[0] / 8, 0, 1)  # the falx, with a soft border
    return np.minimum(core, beyond + MIDLINE_MM * across - reach_mm)


def _regions(
    core: np.ndarray, enhancing: np.ndarray, necrosis: np.ndarray, edema: np.ndarray, allowed: np.ndarray
) -> TumorRegions:
    inner = (core < 0) & allowed
    dead = (necrosis < 0) & binary_erosion(inner, np.ones((3, 3, 3)))  # a shell of core about it whatever the lattice
    labels = np.zeros(core.shape, np.uint8)
    labels[(edema < 0) & allowed] = EDEMA
    labels[inner] = NON_ENHANCING
    labels[inner & (enhancing < 0)] = ENHANCING
    labels[dead] = NECROSIS
    halo, body, rim = (
        (soft(distance, edge) * allowed).astype(np.float32)
        for distance, edge in ((edema, EDEMA_EDGE_MM), (core, EDGE_MM), (enhancing, EDGE_MM))
    )
    return TumorRegions(labels, halo, body, rim, (soft(necrosis, EDGE_MM) * dead).astype(np.float32))
