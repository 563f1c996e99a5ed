"""Regional series as 4-D images: every region is a smooth blob of the grey matter, on an 8 mm lattice in MNI space.

For comparisons with methods that work on voxels, such as CanICA (Varoquaux et al. 2010, NeuroImage 51:288-299)::

    Y = X B + noise      X (T, R) regional signals      B (R, V) Gaussian blobs of 14 mm full width at half maximum

so the spatial map of a planted network W is W B. The label image gives each region its own voxel and those within
12 mm that are nearest to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy.spatial.distance import cdist

from workbench.imaging.region_table import RegionTable
from workbench.phantoms.bold_networks import draw_networks
from workbench.phantoms.bold_plan import Sources
from workbench.phantoms.bold_regions import planted_members, real_regions
from workbench.phantoms.bold_sources import draw_sources, haemodynamic_response

SPACING_MM = 8
BLOB_SD_MM, REACH_MM = 6.0, 12.0
BASELINE, UNIT = 10_000.0, 100.0  # grey value of grey matter at rest, and of one unit of the series: 1 %


@dataclass(frozen=True, eq=False)
class VoxelSpace:
    """The lattice; V voxels inside the grey matter, in C order of the mask.

    Attributes:
        mask: (X, Y, Z) bool, nilearn's grey-matter mask.
        affine: (4, 4), voxel → mm.
        blobs: B, (R, V), 1 at the region's own place.
        labels: (V,) int, 1 for the first region, 0 for none.
        centroids_mm: (R, 3) of the labels.
    """

    mask: np.ndarray
    affine: np.ndarray
    blobs: np.ndarray
    labels: np.ndarray
    centroids_mm: np.ndarray

    def unmask(self, values: np.ndarray) -> np.ndarray:
        """Put (V,) or (T, V) back on the lattice: (X, Y, Z) or (X, Y, Z, T), 0 outside."""
        volume = np.zeros(self.mask.shape + values.shape[:-1], values.dtype)
        volume[self.mask] = np.moveaxis(values, -1, 0)
        return volume


class PlantedVoxels(NamedTuple):
    """One 4-D image and its truth.

    Attributes:
        values: (T, V) float32.
        maps: (K, V), the spatial map of each network.
        courses: (T, K).
        space: the lattice.
    """

    values: np.ndarray
    maps: np.ndarray
    courses: np.ndarray
    space: VoxelSpace


@lru_cache(maxsize=2)
def voxel_space(table: RegionTable) -> VoxelSpace:
    """Lay regions on the lattice."""
    from nilearn import datasets  # takes seconds to import

    image = datasets.load_mni152_gm_mask(resolution=SPACING_MM)
    mask, affine = np.asarray(image.dataobj) > 0, np.asarray(image.affine, float)
    places = np.argwhere(mask) @ affine[:3, :3].T + affine[:3, 3]  # (V, 3) mm
    distance = cdist(table.coordinates_mm, places)
    labels = _labels(distance)
    centroids = np.stack([places[labels == i + 1].mean(axis=0) for i in range(len(distance))])
    return VoxelSpace(mask, affine, np.exp(-((distance / BLOB_SD_MM) ** 2) / 2), labels, centroids)


def planted_voxels(
    n_volumes: int = 200,
    *,
    seed: int = 0,
    n_regions: int = 116,
    sources: Sources = "events",
    noise: float = 1.0,
    tr_s: float = 2.0,
) -> PlantedVoxels:
    """Draw one 4-D image of planted networks.

    Args:
        n_volumes: T.
        seed: of the weights, the courses and the noise.
        n_regions: R, real ones with eight real networks.
        sources: events are convolved with the haemodynamic response, the others are not.
        noise: standard deviation in a voxel, in units of the weights.
        tr_s: time between volumes in s.
    """
    table = real_regions(n_regions)
    space, maps = voxel_space(table), draw_networks(seed, planted_members(table)).maps
    rng = np.random.default_rng([seed, 1])
    response = haemodynamic_response(tr_s) if sources == "events" else None
    courses = draw_sources(rng, n_volumes, len(maps), sources, response)
    spatial = maps @ space.blobs
    values = (courses @ spatial).astype(np.float32)
    values += rng.standard_normal(values.shape, np.float32) * np.float32(noise)
    return PlantedVoxels(values, spatial, courses, space)


def paint(series: np.ndarray, space: VoxelSpace, noise: float, rng: np.random.Generator) -> np.ndarray:
    """Give (X, Y, Z, T) int16 grey values of a regional series (T, R); noise is white in every voxel."""
    values = (series @ space.blobs).astype(np.float32)
    values += rng.standard_normal(values.shape, np.float32) * np.float32(noise)
    return space.unmask(np.clip(np.rint(BASELINE + UNIT * values), 0, 32767).astype(np.int16))


def _labels(distance: np.ndarray) -> np.ndarray:
    """Give each voxel its nearest region within reach, (V,), after each region has taken a voxel of its own."""
    labels = np.where(distance.min(axis=0) <= REACH_MM, distance.argmin(axis=0) + 1, 0)
    free = distance.copy()
    for region in range(len(distance)):
        own = int(free[region].argmin())
        labels[own] = region + 1
        free[:, own] = np.inf
    return labels
