"""White matter lesions: ellipsoids of log-normal size, most of them about the ventricles and across their wall.

Multiple sclerosis favors the white matter beside the lateral ventricles, where lesions lie along veins that leave the
wall at right angles (Dawson's fingers), and the border of the cortex. Sizes are many and small.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workbench.phantoms.anatomy import Anatomy
from workbench.phantoms.blobs import ellipsoid_radius, fine_field, frame_along, random_rotation, soft, voxel_centers

SMALLEST_MM, LARGEST_MM = 3.0, 30.0
MEDIAN_MM = 5.5
LOG_SPREAD = 0.55
PLACE_SHARES = {"periventricular": 0.6, "juxtacortical": 0.15, "deep": 0.25}
FROM_WALL_MM = 5.0  # mean distance of a periventricular lesion's middle from the ventricle
EDGE_MM = 0.5
HALO_MM = 3.0
ROUGHNESS = 0.13  # of the radius
LARGEST_SHARE = 0.35  # of the load, that one lesion may have
MOST_LESIONS = 600


@dataclass(frozen=True)
class PlantedLesion:
    """One ellipsoid.

    Attributes:
        center_mm: (x, y, z) RAS.
        diameter_mm: of the sphere of its volume, before it is cut to the white matter.
        place: periventricular, juxtacortical or deep.
        contrast: of its signal to white matter, 1 as usual.
        hole: share of the way from white matter to CSF that it goes on T1.
    """

    center_mm: tuple[float, float, float]
    diameter_mm: float
    place: str
    contrast: float
    hole: float


@dataclass(frozen=True, eq=False)
class Lesions:
    """All lesions of a person.

    Attributes:
        share: (X, Y, Z) float32 from 0 to 1, how far a voxel is lesion; above 0.5 it is labelled.
        contrast: (X, Y, Z) float32, share times each lesion's contrast.
        hole: (X, Y, Z) float32, share times each lesion's hole.
        halo: (X, Y, Z) float32 from 0 to 1, the dirty white matter about them.
        planted: in the order of planting.
    """

    share: np.ndarray
    contrast: np.ndarray
    hole: np.ndarray
    halo: np.ndarray
    planted: tuple[PlantedLesion, ...]

    @property
    def labels(self) -> np.ndarray:
        """(X, Y, Z) bool."""
        return self.share > 0.5


def draw_lesions(anatomy: Anatomy, load: float, rng: np.random.Generator) -> Lesions:
    """Plant lesions until they fill a share of the brain.

    No lesion is larger than what is missing, so that the volume comes out to within a small lesion.

    Args:
        anatomy: the person.
        load: share of the brain's voxels, 0.001 to 0.03.
        rng: the only source of chance.
    """
    spacing = anatomy.spacing_mm
    centers = voxel_centers(anatomy.brain.shape, anatomy.affine)
    rough = ROUGHNESS * fine_field(anatomy.brain.shape, spacing, 2.5, rng)
    allowed = _white_matter(anatomy)
    candidates = {place: np.argwhere(where) for place, where in _places(anatomy, allowed, rng).items()}
    normal = np.stack(np.gradient(anatomy.ventricle_mm))
    maps = np.zeros((4, *anatomy.brain.shape), np.float32)  # share, contrast, hole, halo
    wanted, planted = load * anatomy.brain.sum(), []
    for _ in range(MOST_LESIONS):
        missing = wanted - (maps[0] > 0.5).sum()
        if missing * spacing**3 < np.pi / 6 * SMALLEST_MM**3 / 2:
            break
        largest = min(
            LARGEST_MM, max(SMALLEST_MM, (6 * min(missing, LARGEST_SHARE * wanted) / np.pi) ** (1 / 3) * spacing)
        )
        lesion, voxel = _draw_one(candidates, largest, anatomy, rng)
        if np.linalg.norm(normal[(slice(None), *voxel)]) > 1e-3 and lesion.place == "periventricular":
            rotation, shape = frame_along(normal[(slice(None), *voxel)], rng), np.array([1.5, 0.85, 0.8])
        else:
            rotation, shape = random_rotation(rng), np.exp(rng.uniform(-0.25, 0.25, 3))
        radii = lesion.diameter_mm / 2 * shape / np.prod(shape) ** (1 / 3)
        window = _window(voxel, radii.max() * 1.3 + 2.5 * HALO_MM, spacing, anatomy.brain.shape)
        ratio = ellipsoid_radius(centers[(slice(None), *window)], np.array(lesion.center_mm), radii, rotation)
        _plant(maps[(slice(None), *window)], ratio + rough[window], lesion, allowed[window])
        planted.append(lesion)
    return Lesions(maps[0], maps[1], maps[2], maps[3], tuple(planted))


def _white_matter(anatomy: Anatomy) -> np.ndarray:
    """Where lesions may be, 0 to 1: white matter and a little of the grey beside it, cerebrum only, never CSF."""
    csf, grey, white = anatomy.fractions
    z = np.arange(csf.shape[2]) * anatomy.spacing_mm + anatomy.affine[2, 3]
    allowed = (white + 0.35 * grey > 0.45) & (csf < 0.35) & (z > -22) & anatomy.brain
    return allowed.astype(np.float32)


def _places(anatomy: Anatomy, allowed: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Where each kind of lesion may have its middle; the distance from the wall is exponential."""
    _, grey, white = anatomy.fractions
    away = anatomy.ventricle_mm
    deep = (white > 0.6) & (allowed > 0)
    kept = rng.random(away.shape, dtype=np.float32) < np.exp(-away / FROM_WALL_MM)
    border = (allowed > 0) & (grey > 0.25) & (white > 0.3) & (away > 12)
    places = {"periventricular": deep & (away > 0) & kept, "juxtacortical": border, "deep": deep & (away > 8)}
    return {place: where if where.any() else deep for place, where in places.items()}


def _draw_one(
    candidates: dict[str, np.ndarray], largest_mm: float, anatomy: Anatomy, rng: np.random.Generator
) -> tuple[PlantedLesion, tuple[int, int, int]]:
    place = str(rng.choice(list(PLACE_SHARES), p=list(PLACE_SHARES.values())))
    diameter = float(np.clip(np.exp(rng.normal(np.log(MEDIAN_MM), LOG_SPREAD)), SMALLEST_MM, largest_mm))
    x, y, z = (int(i) for i in candidates[place][int(rng.uniform() * len(candidates[place]))])
    middle = np.array([x, y, z]) * anatomy.spacing_mm + anatomy.affine[:3, 3]
    middle = middle + rng.uniform(-0.5, 0.5, 3) * anatomy.spacing_mm
    contrast = float(rng.uniform(0.6, 1.0) * min(1.0, 0.75 + diameter / 40))  # small ones are faint
    hole = float(rng.uniform(0.05, 0.6))
    center = (float(middle[0]), float(middle[1]), float(middle[2]))
    return PlantedLesion(center, diameter, place, contrast, hole), (x, y, z)


def _window(voxel: tuple[int, ...], reach_mm: float, spacing_mm: float, shape: tuple[int, ...]) -> tuple[slice, ...]:
    reach = int(np.ceil(reach_mm / spacing_mm)) + 1
    return tuple(slice(max(v - reach, 0), min(v + reach + 1, n)) for v, n in zip(voxel, shape, strict=True))


def _plant(maps: np.ndarray, ratio: np.ndarray, lesion: PlantedLesion, allowed: np.ndarray) -> None:
    """Lay one lesion over (4, x, y, z) maps in place, the larger where two meet."""
    beyond = (ratio - 1) * lesion.diameter_mm / 2  # mm
    share = soft(beyond, EDGE_MM) * allowed
    halo = np.exp(-np.maximum(beyond, 0) / HALO_MM) * allowed * min(1.0, lesion.diameter_mm / 10)
    for k, value in enumerate((share, share * lesion.contrast, share * lesion.hole, halo)):
        maps[k] = np.maximum(maps[k], value)
