"""Cohorts of the real-data study of segmentation: subjects as they are, or slabs of one patient.

What makes a slab a subject is said in :func:`cut_slabs`: a gap between neighbors keeps a voxel of one from lying beside
a voxel of the other. They are still pieces of one brain, seen by one scanner, and intervals over them say nothing of
other patients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from workbench.imaging.cohort import Cohort, read_cohort, write_cohort
from workbench.imaging.files import read_volume
from workbench.imaging.nifti import write_nifti
from workbench.imaging.subject import Subject
from workbench.imaging.volume import Volume

CHILDREN = ("s01", "s02", "s03", "s10", "s20", "s30")
INFANTS = ("T01", "T05", "T09", "T16")
ADULT = "IXI012-HH-1211"
CSF, GREY, WHITE = 1, 2, 3
INFANT_TISSUE = {
    GREY: (3, 42, 9, 10, 11, 12, 13, 17, 18, 26, 48, 49, 50, 51, 52, 53, 54, 58),
    WHITE: (2, 41),
}
NO_CEREBRUM = (6, 7, 8, 16, 28, 45, 46, 47, 60, 85, 172)
INFANT_LEVEL, N_INFANT_PLANES = 0.55, 28
CHILD_PLANES = (5, 13)
"""Of the children's slabs: beyond them is air, and the first and last with an image are faded."""
LEVEL_OF_CHILDREN = (73, 77)
"""Planes of the adult's head between the same shares of the brain's height as the slabs of the children."""


def slab_bounds(first: int, last: int, n_slabs: int, gap: int) -> list[tuple[int, int]]:
    """Cut planes ``first`` to ``last - 1`` into slabs of equal thickness with ``gap`` planes between them left out.

    Returns:
        The first plane of each, and the one after its last; up to ``n_slabs - 1`` planes at the end are left over.

    Raises:
        ValueError: there is not a plane for each.
    """
    thickness = (last - first - gap * (n_slabs - 1)) // n_slabs
    if thickness < 1:
        raise ValueError(f"{last - first} planes make no {n_slabs} slabs with {gap} planes between them")
    return [(begin, begin + thickness) for begin in range(first, first + n_slabs * (thickness + gap), thickness + gap)]


def cut(volume: Volume, first: int, last: int) -> Volume:
    """Give the planes ``first`` to ``last - 1`` along Z, where they lie."""
    affine = volume.affine.copy()
    affine[:3, 3] += affine[:3, 2] * first
    return Volume.from_array(np.ascontiguousarray(volume.data[0, :, :, first:last]), affine, volume.modality)


def cut_slabs(parts: Mapping[str, Volume], first: int, last: int, n_slabs: int, gap: int) -> dict[str, dict]:
    """Give name → part → volume, each slab a subject."""
    bounds = slab_bounds(first, last, n_slabs, gap)
    return {f"slab{i}": {k: cut(v, a, b) for k, v in parts.items()} for i, (a, b) in enumerate(bounds, 1)}


def make_cohort(name: str, real: Path, folder: Path) -> Cohort:
    """Write the cohort of a study, unless it is there."""
    if not (folder / "cohort.csv").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        subjects = MAKERS[name](real)
        write_cohort(folder, [_write(n, parts, folder) for n, parts in subjects.items()])
    return read_cohort(folder)


def child_heads(real: Path) -> dict[str, dict[str, Volume]]:
    """Give the children with all tissue as brain, and the adult at their level, who is never learnt from."""
    subjects = {s: _child(real, s) for s in CHILDREN}
    for parts in subjects.values():
        parts["label"] = _like(parts["label"], parts["label"].data[0] > 0)
    return subjects | {"adult": {k: cut(v, *LEVEL_OF_CHILDREN) for k, v in _adult(real).items()}}


def adult_slabs(real: Path) -> dict[str, dict[str, Volume]]:
    """Give four slabs of the adult's head, from below the brain to the vertex, 4 mm apart."""
    return cut_slabs(_adult(real), 30, 112, 4, 2)


def child_tissue(real: Path) -> dict[str, dict[str, Volume]]:
    """Give the children with four tissues, and the brain mask, which is where there is tissue."""
    subjects = {s: _child(real, s) for s in CHILDREN}
    for parts in subjects.values():
        parts["mask"] = _like(parts["label"], parts["label"].data[0] > 0)
    return subjects


def infants(real: Path) -> dict[str, dict[str, Volume]]:
    """Give 28 planes, 24 mm, of the infants with cerebrospinal fluid, grey and white matter.

    They lie in the upper middle of the cerebrum, like the slabs of the children. Cerebellum and brain stem are left
    out. No label is fluid outside the ventricles; it is what remains of the skull-stripped brain.
    """
    subjects = {}
    for name in INFANTS:
        t1, t2, aseg = (read_volume(real / "infant_dcan" / f"{name}_{k}.nii.gz") for k in ("T1", "T2", "aseg"))
        values = aseg.data[0].astype(int)
        mask = (t1.data[0] > 0) & (t2.data[0] > 0) & ~np.isin(values, NO_CEREBRUM)
        tissue = np.where(mask, CSF, 0)
        for k, group in INFANT_TISSUE.items():
            tissue[mask & np.isin(values, group)] = k
        parts = {"T1": t1, "T2": t2, "label": _like(aseg, tissue), "mask": _like(aseg, mask)}
        planes = np.flatnonzero(mask.any((0, 1)))
        first = round(planes[0] + INFANT_LEVEL * (planes[-1] - planes[0]) - N_INFANT_PLANES / 2)
        subjects[name] = {k: cut(v, first, first + N_INFANT_PLANES) for k, v in parts.items()}
    return subjects


def ms_slabs(real: Path) -> dict[str, dict[str, Volume]]:
    """Give four slabs of the patient with multiple sclerosis, 4 mm apart, over the planes that hold lesions."""
    names = {"FLAIR": "FLAIR", "T1": "T1", "T1post": "T1POST", "T2": "T2", "label": "lesion"}
    parts = {k: read_volume(real / "ms_ljubljana" / f"patient19_{n}.nii.gz", k) for k, n in names.items()}
    parts["mask"] = _like(parts["label"], np.abs(parts["T1"].data[0]) > 0)
    return cut_slabs(parts, 32, 122, 4, 4)


def tumor_slabs(real: Path) -> dict[str, dict[str, Volume]]:
    """Give four slabs of the patient with a glioma, 4 mm apart, over the planes that hold tumor and ten about them."""
    names = {"FLAIR": "Flair", "T1c": "T1c", "label": "seg", "mask": "brain"}
    parts = {k: read_volume(real / "brats2015_deepmedic" / f"pat3_{n}.nii.gz", k) for k, n in names.items()}
    return cut_slabs(parts, 45, 143, 4, 4)


MAKERS = {
    "skull_child": child_heads, "skull_adult": adult_slabs, "tissue_child": child_tissue, "tissue_infant": infants,
    "lesion_ms": ms_slabs, "tumor_brats": tumor_slabs,
}  # fmt: skip


def folds_of(subjects: Sequence[str], n_folds: int) -> list[tuple[list[str], list[str]]]:
    """Give (training, test) subjects of each fold: every n-th subject is tested, all others are learnt from."""
    tests = [list(subjects[i::n_folds]) for i in range(n_folds)]
    return [([s for s in subjects if s not in test], test) for test in tests]


def _child(real: Path, name: str) -> dict[str, Volume]:
    files = {"T1": f"{name}_T1.nii.gz", "label": f"{name}_tissue.nii.gz"}
    return {k: cut(read_volume(real / "child_ptbp_slabs" / f, k), *CHILD_PLANES) for k, f in files.items()}


def _adult(real: Path) -> dict[str, Volume]:
    folder = real / "adult_ixi_2mm"
    regions = read_volume(folder / f"{ADULT}_DLMUSE.nii.gz", "label")
    return {"T1": read_volume(folder / f"{ADULT}_T1.nii.gz", "T1"), "label": _like(regions, regions.data[0] > 0)}


def _like(volume: Volume, values: np.ndarray) -> Volume:
    return Volume.from_array(values.astype(np.float32), volume.affine, volume.modality)


def _write(name: str, parts: Mapping[str, Volume], folder: Path) -> Subject:
    files = {k: folder / f"{name}_{k}.nii.gz" for k in parts}
    for k, volume in parts.items():
        whole = k in ("label", "mask")
        write_nifti(
            Volume.from_array(volume.data[0], volume.affine, k), files[k], dtype=np.uint8 if whole else np.float32
        )
    images = {k: f for k, f in files.items() if k not in ("label", "mask")}
    return Subject(name, images, label=files["label"], mask=files.get("mask"), folder=folder)
