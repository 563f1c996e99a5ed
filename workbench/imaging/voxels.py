"""Voxels as columns of a table: the masked voxels of 4-D images on one lattice that all subjects share (Section 3.5).

Plis et al. (2014) learn from the voxels inside a mask, where the other systems of the section learn from regions. A
lattice is an atlas in which every region is one cube: what is true of regions (cleaning, tables, maps painted back)
holds for voxels. A cube's signal is the mean over the voxels of an image whose centers lie nearest to it, so images on
different grids come onto the one lattice without interpolation.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import psutil

from workbench.errors import GeometryError, SettingsError, TooLarge
from workbench.imaging.atlases import MAX_VOXELS, Atlas
from workbench.imaging.files import read_volume
from workbench.imaging.guard import reading
from workbench.imaging.limits import in_words
from workbench.imaging.region_means import blocks, lattice_of
from workbench.imaging.regional_series import unique_regions
from workbench.imaging.tree import stem
from workbench.imaging.volume import Volume
from workbench.progress import Progress, silent

MniMask = Literal["gm", "brain"]
MASKS = {"gm": "MNI gray matter", "brain": "MNI brain", "epi": "brain found in the images"}
FINEST_MM, COARSEST_MM = 2.0, 20.0
NEAR_MM = 15.0  # a voxel farther from every sphere of a reference belongs to no network
COPIES = 10  # float32 tables that cleaning one subject holds at once: the means, and float64 ones of nilearn
OPENING_MM = 4.0  # voxels larger than this are not opened: two of them are wider than what connects skull and brain


def voxel_atlas(
    mask: str | Path, spacing_mm: float, images: Sequence[Path] = (), *, progress: Progress = silent
) -> Atlas:
    """Lay a lattice of cubes inside a mask.

    Args:
        mask: ``"gm"`` or ``"brain"`` of the MNI152 template, ``"epi"`` for the brain found in all of the images, or a
            3-D image that is above 0 inside.
        spacing_mm: edge of a cube.
        images: the 4-D images; they are looked at for ``"epi"`` alone.
        progress: told of each image that is looked at.

    Raises:
        SettingsError: cubes too small or too large.
        FileError: a file cannot be read.
        GeometryError: the mask is empty, or the images share no brain.
        TooLarge: more cubes than an atlas may have.
    """
    if not FINEST_MM <= spacing_mm <= COARSEST_MM:
        raise SettingsError(f"Voxels of {spacing_mm:g} mm cannot be; give {FINEST_MM:g} to {COARSEST_MM:g} mm.")
    name = str(mask)
    if name == "epi":
        inside, affine = _found_in(images, spacing_mm, progress)
    elif name in ("gm", "brain"):
        inside, affine = _of_mni("gm" if name == "gm" else "brain", spacing_mm)
    else:
        inside, affine = _of_file(Path(mask).expanduser(), spacing_mm)
        name = stem(Path(mask))
    n = int(inside.sum())
    if n < 2:
        raise GeometryError(
            f"The mask {name} has {n} voxels of {spacing_mm:g} mm; at least 2 are needed. Take smaller voxels, or "
            "another mask."
        )
    if n > MAX_VOXELS:
        raise TooLarge(f"The mask {name} has {n:,} voxels of {spacing_mm:g} mm, more than {MAX_VOXELS:,}; take larger.")
    inside, affine = _bordered(inside, affine)
    labels = np.zeros(inside.shape, np.float32)
    labels[inside] = np.arange(1, n + 1)
    volume = Volume.from_array(labels, affine, "label")
    places = volume.to_mm(np.argwhere(inside)).astype(np.float32)
    regions, _ = unique_regions([voxel_name(p) for p in places.tolist()])
    called = f"{n:,} voxels of {spacing_mm:g} mm, {MASKS.get(name, name)}"
    return Atlas(called, regions, volume, np.arange(1, n + 1), places, ("",) * n)


def voxel_name(place_mm: Sequence[float]) -> str:
    """Call a voxel after its place, such as ``(-8, 16, 24)``: the same place has the same name in every table."""
    return "(" + ", ".join(f"{round(v, 1) + 0.0:g}" for v in place_mm) + ")"


def named_by(atlas: Atlas, reference: Atlas) -> Atlas:
    """Give the voxels the networks of a reference: of the label, or of the nearest sphere, at each voxel's place.

    A reference without networks gives the names of its regions.
    """
    return replace(atlas, networks=networks_at(reference, atlas.coordinates_mm))


def networks_at(reference: Atlas, places_mm: np.ndarray) -> tuple[str, ...]:
    """Give the network of a reference at places (V, 3) in mm; "" where it has none."""
    from scipy.spatial import cKDTree

    names = np.array([*(reference.networks if any(reference.networks) else reference.regions), ""])
    if reference.labels is None:
        near = max(NEAR_MM, reference.radius_mm)
        _, row = cKDTree(reference.coordinates_mm).query(places_mm, distance_upper_bound=near)
        return tuple(names[row].tolist())  # the last name where no sphere is near
    at = np.rint(reference.labels.to_voxels(places_mm)).astype(int)
    inside = ((at >= 0) & (at < reference.labels.shape)).all(axis=1)
    values = reference.labels.data[0][tuple(np.where(inside[:, None], at, 0).T)].astype(np.int64)
    row = np.searchsorted(reference.label_values, values).clip(max=reference.n_regions - 1)
    known = inside & (reference.label_values[row] == values)
    return tuple(names[np.where(known, row, -1)].tolist())


def check_image(atlas: Atlas, image: Path) -> None:
    """Say before an image is read whether its voxels are small enough, and their signals fit into memory.

    Raises:
        TooLarge: they do not fit.
        GeometryError: the voxels of the image are larger than those of the lattice.
        FileError: the file cannot be read.
    """
    assert atlas.voxel_mm is not None
    lattice = lattice_of(image)
    size = float(abs(np.linalg.det(lattice.affine[:3, :3]))) ** (1 / 3)
    if size > 1.05 * atlas.voxel_mm:
        raise GeometryError(
            f"The voxels of {image.name} are {size:.3g} mm wide, larger than {atlas.voxel_mm:g} mm: many would hold "
            f"nothing. Take voxels of {math.ceil(size)} mm or more."
        )
    check_memory(
        4.0 * COPIES * lattice.n_volumes * atlas.n_regions,
        f"To clean {lattice.n_volumes:,} volumes of {atlas.n_regions:,} voxels of {image.name}",
    )


def check_memory(needed: float, what: str) -> None:
    """Say that so many bytes are not there.

    Raises:
        TooLarge: less memory is free.
    """
    free = float(psutil.virtual_memory().available)
    if needed > free:
        raise TooLarge(
            f"{what} takes about {in_words(int(needed))} of memory, and {in_words(int(free))} are free; take larger "
            "voxels, a smaller mask, or fewer subjects."
        )


def as_images(series: Sequence[np.ndarray]) -> tuple[list[Any], Any]:
    """Put tables (T, V) into images, and give their mask, for methods that take nothing else.

    Voxels lie in the order of the columns and no longer in space: nothing may be smoothed.
    """
    import nibabel as nib

    n = series[0].shape[1]
    width = math.ceil(math.sqrt(n))
    mask = (np.arange(width * math.ceil(n / width)) < n).reshape(-1, width, 1)
    images = []
    for values in series:
        data = np.zeros((*mask.shape, len(values)), np.float32)
        data[mask] = np.asarray(values, np.float32).T
        images.append(nib.Nifti1Image(data, np.eye(4)))
    return images, nib.Nifti1Image(mask.astype(np.uint8), np.eye(4))


def _of_mni(name: MniMask, spacing_mm: float) -> tuple[np.ndarray, np.ndarray]:
    from nilearn import datasets

    load = datasets.load_mni152_gm_mask if name == "gm" else datasets.load_mni152_brain_mask
    if float(spacing_mm).is_integer():
        image = load(resolution=int(spacing_mm))
        return np.asarray(image.dataobj) > 0, np.asarray(image.affine, float)
    return _on_cubes(load(resolution=2), spacing_mm)


def _of_file(path: Path, spacing_mm: float) -> tuple[np.ndarray, np.ndarray]:
    import nibabel as nib

    if not path.is_file():
        raise SettingsError(f"There is no mask at {path}; give a 3-D NIfTI image, or one of {', '.join(MASKS)}.")
    volume = read_volume(path, "mask", non_finite="zero")
    if volume.n_channels > 1:
        raise GeometryError(f"{path.name} holds {volume.n_channels} volumes; a mask has one, above 0 inside.")
    if not (volume.data > 0).any():
        raise GeometryError(f"The mask {path.name} is 0 everywhere; give one that is above 0 inside.")
    return _on_cubes(nib.Nifti1Image((volume.data[0] > 0).astype(np.float32), volume.affine), spacing_mm)


def _on_cubes(image: Any, spacing_mm: float, like: tuple[np.ndarray, np.ndarray] | None = None) -> Any:
    """Bring a mask onto cubes along the axes of space, those of ``like`` or its own; give (inside, affine)."""
    from nilearn.image import resample_img
    from nilearn.image.resampling import BoundingBoxError

    target, shape = (np.diag([spacing_mm] * 3), None) if like is None else (like[1], like[0].shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = np.asarray(image.dataobj, np.float32)
        try:
            found = resample_img(
                image.__class__(data, image.affine), target, shape, interpolation="linear", force_resample=True,
                copy_header=True,
            )  # fmt: skip
        except BoundingBoxError:  # it lies apart
            assert like is not None
            return np.zeros(like[0].shape, bool), like[1]
    return np.asarray(found.dataobj) > 0.5, np.asarray(found.affine, float)


def _bordered(inside: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give a mask that touches its borders a margin: half of a cube at the border would not be found in an image."""
    at = np.argwhere(inside)
    if at.min() > 0 and (at.max(axis=0) < np.array(inside.shape) - 1).all():
        return inside, affine
    wider = affine.copy()
    wider[:3, 3] -= affine[:3, :3].sum(axis=1)
    return np.pad(inside, 1), wider


def _found_in(images: Sequence[Path], spacing_mm: float, progress: Progress) -> tuple[np.ndarray, np.ndarray]:
    """Find the brain in the mean of each image's first volumes, and keep what all of them share."""
    if not images:
        raise GeometryError("There is no 4-D image to find the brain in; take another mask.")
    shared: tuple[np.ndarray, np.ndarray] | None = None
    for i, path in enumerate(images):
        progress(i / len(images), f"{path.name}: looking for the brain")
        found, affine = _on_cubes(_brain_of(path), spacing_mm, shared)
        shared = (found if shared is None else shared[0] & found, affine)
        if not shared[0].any():
            raise GeometryError(
                f"The brain in {path.parent.name}/{path.name} shares no voxel with that of the images before it; bring "
                "all into one space (mostly MNI), or leave the subject out."
            )
    assert shared is not None
    return shared


def _brain_of(path: Path) -> Any:
    from nilearn.masking import compute_epi_mask

    _, block, _ = next(blocks(lattice_of(path)))
    mean = block.__class__(np.asarray(block.dataobj).mean(axis=3), block.affine)
    size = float(abs(np.linalg.det(block.affine[:3, :3]))) ** (1 / 3)
    with warnings.catch_warnings(), reading(path, "a 4-D image"):
        warnings.simplefilter("ignore")
        found = compute_epi_mask(mean, opening=2 if size < OPENING_MM else 0, exclude_zeros=False)
    if not np.asarray(found.dataobj).any():
        raise GeometryError(
            f"No brain stands out from the background in {path.parent.name}/{path.name}; give a mask, or take `gm` or "
            "`brain` of MNI."
        )
    return found
