"""Atlases: which voxels make a region, by a label image or by spheres around coordinates (Section 3.5).

The coordinates of Power et al. (2011, Neuron 72:665), Dosenbach et al. (2010, Science 329:1358) and Seitzman et al.
(2020, NeuroImage 206:116290) come with nilearn, in MNI space; nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from workbench.errors import GeometryError, UnreadableFile
from workbench.imaging.atlas_names import RegionNames, read_region_names
from workbench.imaging.cohort import Cohort
from workbench.imaging.files import read_volume
from workbench.imaging.nifti import write_nifti
from workbench.imaging.region_table import ATLAS_FILE, REGIONS_FILE, RegionTable, region_table_of, write_region_table
from workbench.imaging.regional_series import unique_regions
from workbench.imaging.tree import stem
from workbench.imaging.volume import Volume

CoordinateAtlas = Literal["power", "dosenbach", "seitzman"]
MAX_REGIONS = 5000
MAX_VOXELS = 250_000  # of a lattice, each a region of its own
MAX_VALUE = 2**24  # what float32 voxels hold exactly
RADIUS_MM = 5.0


@dataclass(frozen=True, eq=False)
class Atlas:
    """Regions of the brain.

    Attributes:
        name: what it is called.
        regions: (R,) names, none twice.
        labels: label image, 0 outside; None where regions are spheres.
        label_values: (R,) int64, the voxel value of each region; 1 to R of spheres.
        coordinates_mm: (R, 3) float32 RAS+: the voxel of the region nearest to its center of mass, or the sphere's
            center.
        networks: (R,) names; "" where unknown.
        radius_mm: of the spheres.
    """

    name: str
    regions: tuple[str, ...]
    labels: Volume | None
    label_values: np.ndarray
    coordinates_mm: np.ndarray
    networks: tuple[str, ...]
    radius_mm: float = RADIUS_MM

    @property
    def n_regions(self) -> int:
        """R."""
        return len(self.regions)

    @property
    def voxel_mm(self) -> float | None:
        """Edge of the cubes of a lattice, where every region is one voxel; None of other atlases."""
        if self.labels is None or np.count_nonzero(self.labels.data[0]) != self.n_regions:
            return None
        edges = np.diag(self.labels.affine)[:3]
        is_cube = np.allclose(self.labels.affine[:3, :3], np.diag(edges)) and np.allclose(edges, edges[0])
        return float(edges[0]) if is_cube and edges[0] > 0 else None

    @property
    def table(self) -> RegionTable:
        """Its regions as they are written to regions.csv."""
        return RegionTable(self.regions, self.coordinates_mm, self.networks)


def read_label_atlas(
    image: Path | str,
    names: Path | str | Mapping[int, str] | None = None,
    networks: Mapping[int, str] | None = None,
    most: int = MAX_REGIONS,
) -> Atlas:
    """Read a label image whose voxels hold whole numbers, 0 outside.

    Args:
        image: a 3-D image.
        names: value → name, or a CSV, TSV or text file with a row a region: value, name and, if it likes, network.
            Regions without a name are called after their value.
        networks: value → network; before what the file says.
        most: regions.

    Raises:
        FileError: a file cannot be read, or the names fit none of the values.
        GeometryError: several volumes, values that are no labels, or fewer than 2 regions.
    """
    path = Path(image)
    volume = read_volume(path, "label", non_finite="zero")
    values = _label_values(volume, path.name, most)
    found = names if isinstance(names, Mapping) or names is None else read_region_names(Path(names), values)
    known = found if isinstance(found, RegionNames) else RegionNames(dict(found or {}), {})
    if known.names and not known.names.keys() & set(values.tolist()):
        raise UnreadableFile(
            f"None of the names is for a value of {path.name} (it has {_few(values)}); give the list that belongs to "
            "this image."
        )
    regions, _ = unique_regions([known.names.get(v, f"region {v}") for v in values.tolist()])
    of = {**known.networks, **(networks or {})}
    return Atlas(
        stem(path), regions, volume, values, _places(volume, values), tuple(of.get(v, "") for v in values.tolist())
    )


def coordinate_atlas(name: CoordinateAtlas, radius_mm: float = RADIUS_MM) -> Atlas:
    """Give spheres around the published coordinates that come with nilearn, in MNI space.

    Args:
        name: ``"power"`` (264 regions, no networks), ``"dosenbach"`` (160, six networks), ``"seitzman"`` (300, with
            networks; its authors drew smaller spheres, of 4 mm, below the cortex).
        radius_mm: of every sphere.
    """
    from nilearn import datasets

    if name not in ("power", "dosenbach", "seitzman"):
        raise LookupError(f"no coordinates {name!r}; there are power, dosenbach and seitzman")
    if name == "power":
        bunch = datasets.fetch_coords_power_2011()
        labels, networks = [f"Power {i}" for i in bunch["rois"]["roi"]], [""] * len(bunch["rois"])
    elif name == "dosenbach":
        bunch = datasets.fetch_coords_dosenbach_2010()
        labels, networks = [str(n) for n in bunch["labels"]], [str(n) for n in bunch["networks"]]
    else:
        bunch = datasets.fetch_coords_seitzman_2018()
        networks = [str(n) for n in bunch["networks"]]
        labels = [f"{n} {r} {i}" for i, (n, r) in enumerate(zip(networks, bunch["regions"], strict=True), start=1)]
    places = bunch["rois"][["x", "y", "z"]].to_numpy(np.float32)
    regions, _ = unique_regions(labels)
    return Atlas(name, regions, None, np.arange(1, len(regions) + 1), places, tuple(networks), radius_mm)


def write_atlas(folder: Path, atlas: Atlas) -> None:
    """Write ``regions.csv`` and, of a label image, ``atlas.nii.gz``, in which value i is row i of the table."""
    write_region_table(folder / REGIONS_FILE, atlas.table)
    if atlas.labels is not None:
        rows = np.searchsorted(atlas.label_values, atlas.labels.data[0]).clip(max=atlas.n_regions - 1)
        inside = atlas.label_values[rows] == atlas.labels.data[0]
        numbered = atlas.labels.with_data(np.where(inside, rows + 1, 0))
        dtype = np.int16 if atlas.n_regions <= np.iinfo(np.int16).max else np.int32
        write_nifti(numbered, folder / ATLAS_FILE, dtype=dtype, intent="label")


def atlas_of(cohort: Cohort) -> Atlas | None:
    """Read the atlas that lies beside a cohort's table: ``atlas.nii.gz`` with regions.csv; None without an image.

    Raises:
        FileError, GeometryError, CohortError: it is there and cannot be used.
    """
    path = cohort.path.parent / ATLAS_FILE
    if not path.is_file():
        return None
    table = region_table_of(cohort)
    if table is None:
        return read_label_atlas(path, most=MAX_VOXELS)
    names = dict(enumerate(table.regions, start=1))
    return read_label_atlas(path, names, dict(enumerate(table.networks, start=1)), MAX_VOXELS)


def _label_values(volume: Volume, name: str, most: int) -> np.ndarray:
    """Give the values other than 0, sorted, of an image of labels."""
    if volume.n_channels > 1:
        raise GeometryError(
            f"{name} holds {volume.n_channels} volumes; an atlas of labels has one, with a number in each voxel. Of "
            "maps of shares, take in each voxel the largest first."
        )
    data = volume.data[0]
    values = np.unique(data)
    if len(values) > most + 1 or np.any(values != np.rint(values)) or np.abs(values).max() > MAX_VALUE:
        raise GeometryError(
            f"{name} holds {len(values)} values, among them {_few(values[values != np.rint(values)])}; an atlas has "
            f"whole numbers and at most {most:,} regions. It may be an image, or interpolated labels."
        )
    labels = values[values != 0].astype(np.int64)
    if len(labels) < 2:
        raise GeometryError(f"{name} has {len(labels)} regions; at least 2 are needed for a network.")
    if labels[0] < 0:
        raise GeometryError(f"{name} has the negative label {labels[0]}; number the regions from 1.")
    return labels


def _places(volume: Volume, values: np.ndarray) -> np.ndarray:
    """Give for each label the place (R, 3) in mm of its voxel nearest to its center of mass."""
    voxels = np.argwhere(volume.data[0] != 0)  # (V, 3)
    of = np.searchsorted(values, volume.data[0][tuple(voxels.T)].astype(np.int64))
    n = np.bincount(of, minlength=len(values))
    centers = np.stack([np.bincount(of, voxels[:, a], len(values)) for a in range(3)], axis=1) / n[:, None]
    distance = ((volume.to_mm(voxels) - volume.to_mm(centers)[of]) ** 2).sum(axis=1)
    order = np.lexsort((distance, of))
    first = order[np.searchsorted(of[order], np.arange(len(values)))]
    return volume.to_mm(voxels[first]).astype(np.float32)


def _few(values: np.ndarray) -> str:
    return ", ".join(f"{v:g}" for v in values[:4].tolist()) + (" …" if len(values) > 4 else "") or "none"
