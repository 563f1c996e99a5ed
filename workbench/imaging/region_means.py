"""The mean signal of every region of an atlas in a 4-D image, a block of volumes at a time.

The averaging is nilearn's (NiftiLabelsMasker, NiftiSpheresMasker); what is done here is to keep no more than a block
of a large image in memory, and to tell the regions of which nothing is seen from those whose signal is 0.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from workbench.errors import GeometryError, UnreadableFile
from workbench.imaging.atlases import Atlas
from workbench.imaging.files import read_volume
from workbench.imaging.guard import reading
from workbench.imaging.limits import times
from workbench.imaging.nifti import MM_PER_UNIT
from workbench.imaging.orientation import TOLERANCE_MM
from workbench.imaging.regional_series import some
from workbench.imaging.scrub import check_nifti
from workbench.imaging.volume import Volume
from workbench.progress import Progress, silent

BLOCK_BYTES = 2**26  # of float32; nilearn holds a few copies of it
LITTLE = 0.5  # of a region's volume, below which it is named


@dataclass(frozen=True, eq=False)
class Lattice:
    """Where the voxels of a 4-D image are.

    Attributes:
        path: the file.
        shape: voxels along the three stored axes.
        n_volumes: T.
        affine: (4, 4), stored voxel → mm RAS.
    """

    path: Path
    shape: tuple[int, int, int]
    n_volumes: int
    affine: np.ndarray

    def to_mm(self, voxels: np.ndarray) -> np.ndarray:
        """Map voxel indices (..., 3) to mm."""
        return np.asarray(voxels, float) @ self.affine[:3, :3].T + self.affine[:3, 3]

    def to_voxels(self, points: np.ndarray) -> np.ndarray:
        """Map mm (..., 3) to fractional voxel indices."""
        return (np.asarray(points, float) - self.affine[:3, 3]) @ np.linalg.inv(self.affine[:3, :3]).T


def lattice_of(path: Path) -> Lattice:
    """Look at the header of a 4-D image.

    Raises:
        FileError: no NIfTI image, truncated, or too large.
        GeometryError: a single volume, or an affine that does not span space.
    """
    import nibabel as nib

    shape = check_nifti(path)
    if len(shape) < 4 or shape[3] < 2:
        raise GeometryError(
            f"{path.name} holds one volume ({times(shape)} voxels); a series of regions needs an image with time as "
            "its fourth axis."
        )
    with reading(path, "a NIfTI image"):
        image: Any = nib.load(path)
        if image.get_data_dtype().kind not in "iuf":
            raise UnreadableFile(
                f"{path.name} stores voxels as {image.get_data_dtype()}; export it as integers or float32."
            )
        affine = np.array(image.affine, float)
        affine[:3] *= MM_PER_UNIT.get(int(image.header["xyzt_units"]) & 7, 1.0)
    return Lattice(path, (shape[0], shape[1], shape[2]), shape[3], affine)


def region_means(
    path: Path, atlas: Atlas, *, mask: Path | None = None, smoothing_fwhm_mm: float = 0.0, progress: Progress = silent
) -> tuple[np.ndarray, list[str]]:
    """Average every volume over the voxels of each region.

    A label image on another lattice is brought onto that of the image by nearest neighbor. A sphere holds the voxels
    whose centers lie within its radius; spheres may overlap.

    Returns:
        (T, R) float32, a column of NaN where nothing of a region is seen; and sentences on what was done.

    Raises:
        FileError: a file cannot be read.
        GeometryError: no region lies in the image.
    """
    lattice = lattice_of(path)
    inside = np.ones(lattice.shape, bool) if mask is None else _mask(mask, lattice)
    masker, columns, notes = (
        _labels_masker(atlas, lattice, inside) if atlas.labels is not None else _spheres_masker(atlas, lattice, inside)
    )
    means = np.full((lattice.n_volumes, atlas.n_regions), np.nan, np.float32)
    n_bad = 0
    for start, image, bad in blocks(lattice):
        progress(start / lattice.n_volumes, f"{path.name}: volume {start + 1} of {lattice.n_volumes}")
        n_bad += bad
        with reading(path, "a 4-D image"):
            found = masker.set_params(smoothing_fwhm=smoothing_fwhm_mm or None).fit_transform(image)
        if found.shape[1] != len(columns):
            raise GeometryError(f"{path.name}: {found.shape[1]} of {len(columns)} regions have voxels; check the mask.")
        means[start : start + len(found), columns] = found
    if n_bad:
        notes.append(f"{n_bad} voxels that were no numbers (NaN or infinite) were taken for 0.")
    return means, notes


def blocks(lattice: Lattice) -> Iterator[tuple[int, Any, int]]:
    """Give (first volume, image of some volumes, voxels that were no numbers); the file is read once, forwards."""
    import nibabel as nib

    size = max(1, BLOCK_BYTES // (4 * int(np.prod(lattice.shape))))
    with reading(lattice.path, "a 4-D image"):
        source: Any = nib.load(lattice.path, keep_file_open=True)
        for start in range(0, lattice.n_volumes, size):
            block = np.asarray(source.dataobj[..., start : min(start + size, lattice.n_volumes)], np.float32)
            block = block.reshape(*lattice.shape, -1)  # (I, J, K, t)
            good = np.isfinite(block)
            n_bad = int(block.size - np.count_nonzero(good))
            if n_bad:
                block = np.where(good, block, np.float32(0))
            yield start, nib.Nifti1Image(block, lattice.affine), n_bad


def _mask(path: Path, lattice: Lattice) -> np.ndarray:
    data = _on(lattice, read_volume(path, "mask", non_finite="zero"))
    if not (data > 0).any():
        raise GeometryError(f"The mask {path.name} has no voxel in {lattice.path.name}; give the mask of this image.")
    return data > 0


def _on(lattice: Lattice, volume: Volume) -> np.ndarray:
    """Bring labels onto the lattice of the image by nearest neighbor, as (I, J, K) int32."""
    import nibabel as nib
    from nilearn.image import resample_img
    from nilearn.image.resampling import BoundingBoxError

    image = nib.Nifti1Image(np.rint(volume.data[0]).astype(np.int32), volume.affine)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = resample_img(
                image, lattice.affine, lattice.shape, interpolation="nearest", force_resample=True, copy_header=True
            )
        except BoundingBoxError:  # the two lie apart
            return np.zeros(lattice.shape, np.int32)
    return np.asarray(found.dataobj, np.int32)


def _labels_masker(atlas: Atlas, lattice: Lattice, inside: np.ndarray) -> tuple[Any, list[int], list[str]]:
    import nibabel as nib
    from nilearn.maskers import NiftiLabelsMasker

    assert atlas.labels is not None
    labels = np.where(inside, _on(lattice, atlas.labels), 0)
    found, counts = np.unique(labels[labels != 0], return_counts=True)
    n_voxels = dict(zip(found.tolist(), counts.tolist(), strict=True))
    columns = [i for i, value in enumerate(atlas.label_values.tolist()) if value in n_voxels]
    _check_overlap(columns, atlas, lattice)
    notes = []
    if not _same_lattice(lattice, atlas.labels):
        sizes = [" × ".join(f"{s:.3g}" for s in np.linalg.norm(a[:3, :3], axis=0)) for a in _affines(atlas, lattice)]
        notes.append(
            f"The labels of {atlas.name} ({sizes[0]} mm) were brought onto the image ({sizes[1]} mm) by nearest "
            "neighbor."
        )
    little = _little(atlas, lattice, n_voxels, columns)
    if little:
        notes.append(f"Less than half of the region lies in the image: {some(little)}.")
    image = nib.Nifti1Image(labels, lattice.affine)
    masker = NiftiLabelsMasker(image, standardize=None, resampling_target=None, keep_masked_labels=False, reports=False)
    return masker, columns, notes


def _affines(atlas: Atlas, lattice: Lattice) -> tuple[np.ndarray, np.ndarray]:
    assert atlas.labels is not None
    return atlas.labels.affine, lattice.affine


def _same_lattice(lattice: Lattice, labels: Volume) -> bool:
    """Say whether two lattices have the same voxels, whichever way their axes run."""
    if sorted(lattice.shape) != sorted(labels.shape):
        return False
    corners = labels.to_mm(np.array([[0, 0, 0], np.array(labels.shape) - 1]))
    at = lattice.to_voxels(corners)
    ends = np.sort(at, axis=0)
    apart = np.abs(lattice.to_mm(np.rint(at)) - corners).max()
    return bool(apart < TOLERANCE_MM and np.abs(ends - [[0, 0, 0], np.array(lattice.shape) - 1]).max() < 0.01)


def _little(atlas: Atlas, lattice: Lattice, n_voxels: dict[int, int], columns: list[int]) -> list[str]:
    """Name the regions of which less than half of their volume in the atlas is seen."""
    assert atlas.labels is not None
    data = atlas.labels.data[0]
    full = np.bincount(np.searchsorted(atlas.label_values, data[data != 0].astype(np.int64)), minlength=atlas.n_regions)
    ratio = abs(np.linalg.det(lattice.affine[:3, :3]) / np.linalg.det(atlas.labels.affine[:3, :3]))
    seen = {i: n_voxels[int(atlas.label_values[i])] * ratio / full[i] for i in columns}
    return [atlas.regions[i] for i, share in seen.items() if share < LITTLE]


def _spheres_masker(atlas: Atlas, lattice: Lattice, inside: np.ndarray) -> tuple[Any, list[int], list[str]]:
    import nibabel as nib
    from nilearn.maskers import NiftiSpheresMasker

    near = np.zeros(lattice.shape, bool)  # voxels that may belong to a sphere; the search is limited to them
    columns = []
    reach = np.linalg.norm(np.linalg.inv(lattice.affine[:3, :3]), axis=1) * atlas.radius_mm + 1  # voxels
    for i, seed in enumerate(atlas.coordinates_mm.astype(float)):
        center = lattice.to_voxels(seed)
        nearest = np.rint(center).astype(int)
        if np.any(nearest < 0) or np.any(nearest >= lattice.shape):
            continue
        low = np.maximum(np.floor(center - reach), 0).astype(int)
        high = np.minimum(np.ceil(center + reach) + 1, lattice.shape).astype(int)
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        voxels = np.argwhere(inside[box]) + low
        distance = np.linalg.norm(lattice.to_mm(voxels) - seed, axis=1)
        if inside[tuple(nearest)] or (distance <= atlas.radius_mm).any():
            columns.append(i)
            near[box] |= inside[box]
    _check_overlap(columns, atlas, lattice)
    seeds = [tuple(atlas.coordinates_mm[i].astype(float)) for i in columns]
    image = nib.Nifti1Image(near.astype(np.int8), lattice.affine)
    masker = NiftiSpheresMasker(seeds, atlas.radius_mm, image, allow_overlap=True, standardize=None, reports=False)
    return masker, columns, []


def _check_overlap(columns: list[int], atlas: Atlas, lattice: Lattice) -> None:
    if columns:
        return
    corners = np.array(np.meshgrid(*[[0, n - 1] for n in lattice.shape])).reshape(3, -1).T
    seen = lattice.to_mm(corners)
    places = atlas.coordinates_mm
    raise GeometryError(
        f"No region of {atlas.name} lies in {lattice.path.name}: the image reaches from {_point(seen.min(axis=0))} to "
        f"{_point(seen.max(axis=0))} mm, the regions from {_point(places.min(axis=0))} to "
        f"{_point(places.max(axis=0))} mm. Bring the image into the space of the atlas (mostly MNI) first."
    )


def _point(mm: np.ndarray) -> str:
    return "(" + ", ".join(f"{v:.0f}" for v in mm) + ")"
