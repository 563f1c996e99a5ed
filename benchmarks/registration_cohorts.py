"""Cohorts of the real-data study of registration: images, and label maps, whose many values are joined."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from workbench.imaging.cohort import Cohort, read_cohort, write_cohort
from workbench.imaging.files import read_volume
from workbench.imaging.nifti import write_nifti
from workbench.imaging.subject import Subject
from workbench.imaging.volume import Volume

INFANTS = ("T01", "T05", "T09", "T16")
ADULTS = ("1000", "1001")
N_TUNED, N_LEARNT = 10, 20
"""Of the hippocampi in the order of their names: HAMMER's schedule was chosen on the first, features learnt on both."""
STRUCTURES = {
    "white matter": (2, 41), "cortical grey": (3, 42), "ventricles": (4, 43), "thalamus": (9, 10, 48, 49),
    "caudate": (11, 50), "putamen": (12, 51), "pallidum": (13, 52), "hippocampus": (17, 53), "amygdala": (18, 54),
    "cerebellum": (7, 8, 46, 47), "brain stem": (16,),
}  # fmt: skip


def make_cohort(study: str, real: Path, folder: Path) -> Cohort:
    """Write the cohort of a study, unless it is there."""
    if not (folder / "cohort.csv").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        write_cohort(folder, MAKERS[study](real, folder))
    return read_cohort(folder)


def pairs_of(study: str, names: list[str]) -> list[tuple[str, str]]:
    """Give (fixed, moving) pairs: a ring of the hippocampi that nothing was learnt or chosen on, else all of them."""
    if study == "hippocampus":
        tested = sorted(names)[N_LEARNT:]
        return [(a, b) for a, b in zip(tested, tested[1:] + tested[:1], strict=True)]
    return [(a, b) for a in names for b in names if a != b]


def learnt_from(study: str, names: list[str], pair: tuple[str, str]) -> list[str]:
    """Give the subjects whose images, never their labels, features are learnt from.

    Of two adults nobody is left; there features are learnt from the pair itself, as the papers do with a population.
    """
    if study == "hippocampus":
        return sorted(names)[:N_LEARNT]
    others = [name for name in names if name not in pair]
    return others or list(names)


def names_of(study: str, label_values: list[int]) -> Mapping[int, str]:
    """Give what label values are called."""
    if study == "hippocampus":
        return {1: "anterior", 2: "posterior"}
    if study == "infants":
        return dict(enumerate(STRUCTURES, 1))
    return {value: f"region {value}" for value in label_values}


def _hippocampi(real: Path, folder: Path) -> list[Subject]:
    images = sorted((real / "hippocampus_msd" / "images").glob("*.nii*"))
    labels = sorted((real / "hippocampus_msd" / "labels").glob("*.nii*"))
    pairs = zip(images, labels, strict=True)
    return [_subject(i.name.split(".")[0], folder, {"T1": i}, label=m) for i, m in pairs]


def _infants(real: Path, folder: Path) -> list[Subject]:
    made = []
    for name in INFANTS:
        aseg = read_volume(real / "infant_dcan" / f"{name}_aseg.nii.gz")
        values = np.rint(aseg.data[0]).astype(int)
        joined = np.zeros(values.shape, np.uint8)
        for code, members in enumerate(STRUCTURES.values(), 1):
            joined[np.isin(values, members)] = code
        label = folder / f"{name}_label.nii.gz"
        write_nifti(Volume.from_array(joined, aseg.affine, "label"), label, dtype=np.uint8)
        images = {k: real / "infant_dcan" / f"{name}_{k}.nii.gz" for k in ("T1", "T2")}
        made.append(_subject(name, folder, images, label=label))
    return made


def _adults(real: Path, folder: Path) -> list[Subject]:
    at = real / "adult_oasis_malf"
    parts = {n: {k: at / f"{n}_{k}.nii.gz" for k in ("SS", "glm", "mask")} for n in ADULTS}
    return [_subject(n, folder, {"T1": p["SS"]}, label=p["glm"], mask=p["mask"]) for n, p in parts.items()]


def _subject(name: str, folder: Path, images: Mapping[str, Path], **others: Path) -> Subject:
    """Copy a subject's files into the cohort, where they have to lie."""
    kept = {}
    for kind, file in {**images, **others}.items():
        kept[kind] = folder / f"{name}_{kind}.nii.gz"
        if file != kept[kind]:
            shutil.copyfile(file, kept[kind])
    return Subject(
        name, {k: kept[k] for k in images}, label=kept["label"], mask=kept.get("mask"), folder=folder
    )  # fmt: skip


MAKERS = {"hippocampus": _hippocampi, "infants": _infants, "adults": _adults}
