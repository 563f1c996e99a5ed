"""A cohort of brains: deformed, changed in appearance, written with truth in both directions.

Every subject is the MNI152 template seen through a random diffeomorphism, so anatomical correspondence between any two
subjects is known to a fraction of a voxel. The review's Figures 4 to 6 (Section 3.1, Wu 2016) rest on such
correspondence, which no real cohort has.

The phantom does not contain: skull, scalp, eyes and neck; vessels and meninges; lesions; real folding patterns (the
template is an average of 152 adults, so gyri are blurred and every subject has the same ones); sulci wider or
narrower than the deformation makes them; fiber directions; subcortical nuclei other than by their T1 intensity.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from workbench.errors import SettingsError
from workbench.imaging.cohort import Cohort, read_cohort, write_cohort, write_label_names
from workbench.imaging.fields import write_field
from workbench.imaging.nifti import write_nifti
from workbench.imaging.subject import Subject
from workbench.imaging.volume import Volume
from workbench.phantoms.appearance import CLEAN, MODALITIES, PRESETS, BrainAppearance, Difficulty, measured, signal
from workbench.phantoms.deformation import Deformation, pull, random_deformation
from workbench.phantoms.new_folder import new_folder
from workbench.phantoms.patients import check_numbers
from workbench.phantoms.template import Template, load_template
from workbench.progress import Progress, silent

LABEL_NAMES = {0: "background", 1: "CSF", 2: "grey matter", 3: "white matter"}
SMALLEST_SHARE = 0.6  # of the bound, for a subject's largest displacement
TEMPLATE_NAME = "template"


def make_brain(
    out: Path,
    *,
    n_subjects: int = 8,
    seed: int = 0,
    spacing_mm: float = 2.0,
    difficulty: Difficulty | BrainAppearance = "easy",
    modalities: Sequence[str] = MODALITIES,
    progress: Progress = silent,
) -> Cohort:
    """Write a cohort of brains with known correspondence.

    The first row, ``template``, is the undeformed and noise-free MNI152; ``brain-01`` … follow. Every row has the
    images, ``label`` (0 background, 1 CSF, 2 grey, 3 white matter), ``mask``, and two displacement fields in mm:
    ``warp`` on the subject's lattice, template position = x + warp(x), and ``inverse_warp`` on the template's, subject
    position = y + inverse_warp(y). Subject i depends on (seed, i) alone, whatever else is made beside it.

    Args:
        out: the cohort's folder; must not exist, or be empty.
        n_subjects: besides the template.
        seed: equal seeds give equal bytes.
        spacing_mm: edge of a voxel, 1 to 8 mm. One seed gives the same deformations at every spacing.
        difficulty: a preset, or every dial by itself.
        modalities: some of T1, T2, FA and PET.
        progress: told of each subject; may cancel, which removes everything.

    Raises:
        SettingsError: a setting out of its bounds.
        CohortError: the folder is in use.
    """
    look = _check(n_subjects, seed, difficulty, modalities)
    with new_folder(out) as partial:
        progress(0.0, "Reading the template")
        template = load_template(float(spacing_mm))
        chosen = [m for m in MODALITIES if m in modalities]
        subjects = []
        for i in range(n_subjects + 1):
            name = TEMPLATE_NAME if i == 0 else f"brain-{i:02d}"
            progress(i / (n_subjects + 1), f"Making {name}, {i} of {n_subjects}")
            subjects.append(_make_subject(partial, name, template, CLEAN if i == 0 else look, [seed, i], chosen))
        write_cohort(partial, subjects)
        write_label_names(partial, LABEL_NAMES)
        progress(1.0, f"Made {n_subjects} brains and the template")
    return read_cohort(Path(out).absolute())


def tissue_labels(fractions: np.ndarray) -> np.ndarray:
    """Give the label map of tissue fractions (3, X, Y, Z): the largest share, background where none is left."""
    outside = 1 - fractions.sum(axis=0)
    return np.argmax(np.stack([outside, *fractions]), axis=0).astype(np.uint8)


def deform(template: Template, look: BrainAppearance, entropy: list[int]) -> Deformation:
    """Draw the deformation of one subject; the identity when ``look.warp_mm`` is 0."""
    brain = template.fractions.sum(axis=0) > 0.5
    if look.warp_mm == 0:
        zero = np.zeros((3, *brain.shape), np.float32)
        return Deformation(zero, zero)
    rng = np.random.default_rng([*entropy, 1])
    largest = look.warp_mm * rng.uniform(SMALLEST_SHARE, 1)
    return random_deformation(brain, template.spacing_mm, largest_mm=largest, scale_mm=look.warp_scale_mm, rng=rng)


def _make_subject(
    folder: Path, name: str, template: Template, look: BrainAppearance, entropy: list[int], modalities: list
) -> Subject:
    spacing = template.spacing_mm
    deformation = deform(template, look, entropy)
    t1, *tissues = pull(np.stack([template.t1, *template.fractions]), deformation.warp, spacing)
    fractions = np.stack(tissues)
    labels = tissue_labels(fractions)
    images = {}
    for modality in modalities:
        clean = signal(modality, t1, fractions, spacing)
        images[modality] = measured(modality, clean, labels > 0, spacing, look, entropy)
    return write_deformed(folder, name, images, labels, deformation, template.affine)


def write_deformed(
    folder: Path,
    name: str,
    images: dict[str, np.ndarray],
    labels: np.ndarray,
    deformation: Deformation,
    affine: np.ndarray,
) -> Subject:
    """Write a subject with its truth: images, ``label``, ``mask`` (where there is a label), and both fields.

    Args:
        folder: of the cohort.
        name: of the subject, and of its new folder.
        images: modality → (X, Y, Z).
        labels: (X, Y, Z), 0 to 255.
        deformation: to the template and back, mm.
        affine: (4, 4), voxel index → mm RAS.
    """
    home = folder / name
    home.mkdir()
    files = {modality: home / f"{modality}.nii.gz" for modality in images}
    for modality, image in images.items():
        write_nifti(Volume.from_array(image, affine, modality), files[modality])
    for array, what in ((labels, "label"), (labels > 0, "mask")):
        write_nifti(Volume.from_array(array, affine, what), home / f"{what}.nii.gz", dtype=np.uint8)
    for field, what in zip(deformation, Deformation._fields, strict=True):
        write_field(field, affine, home / f"{what}.nii")  # float32 fields hardly compress
    truth = {what: f"{name}/{what}.nii" for what in Deformation._fields}
    label, mask = (home / f"{what}.nii.gz" for what in ("label", "mask"))
    return Subject(name, files, label=label, mask=mask, group=name, covariates=truth, folder=folder)


def _check(
    n_subjects: int, seed: int, difficulty: Difficulty | BrainAppearance, modalities: Sequence[str]
) -> BrainAppearance:
    check_numbers(n_subjects, seed)
    unknown = [m for m in modalities if m not in MODALITIES]
    if unknown or not modalities:
        raise SettingsError(f"The modalities of the brain phantom are {', '.join(MODALITIES)}; got {list(modalities)}.")
    if isinstance(difficulty, BrainAppearance):
        return difficulty
    if difficulty not in PRESETS:
        raise SettingsError(f"The difficulty must be one of {', '.join(PRESETS)}; got {difficulty!r}.")
    return PRESETS[difficulty]
