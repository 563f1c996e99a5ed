"""A cohort of infants' brains: T1 and T2 that hardly tell grey from white matter, and a blurred FA that does.

For the tests of Zhang et al. 2015 and Nie et al. 2016 (Section 3.3): at six to eight months white matter is half
myelinated. In T1 and in T2 the means of grey and white matter differ by less than one standard deviation of the noise,
in opposite directions; CSF stands out in both. FA separates white matter but has a coarser resolution. Scalp, skull,
cerebellum and brain stem are removed, as in the papers: images are 0 outside the mask.

With ``structures="regions"`` the brain is a newborn's with the eight labels of Moeskops et al. 2016: cerebellum and
deep grey matter are equally bright in every modality, and so are the two CSFs, so that only the place tells them; the
cortex is a thin ribbon that only fine detail tells.

The phantom does not contain: real infants (it is the adult MNI152 brain, smaller and deformed, with more CSF about it,
so gyri are an adult's, blurred by averaging); skull, scalp, eyes; myelination that advances from back to front;
lesions; vessels; motion; slices thicker than wide; distortion of diffusion images, but for a shift of the whole.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.ndimage import shift as move

from workbench.errors import SettingsError
from workbench.imaging.cohort import Cohort, read_cohort, write_cohort, write_label_names
from workbench.imaging.nifti import write_nifti
from workbench.imaging.subject import Subject
from workbench.imaging.volume import Volume
from workbench.phantoms.appearance import bias_field, rician
from workbench.phantoms.deformation import smooth_field
from workbench.phantoms.infant_anatomy import NAMES, Structures, label_shares
from workbench.phantoms.lattice import Lattice, deformed_points
from workbench.phantoms.new_folder import new_folder
from workbench.phantoms.painting import sample
from workbench.phantoms.patients import check_numbers
from workbench.phantoms.template import FWHM_PER_SIGMA, load_template
from workbench.progress import Progress, silent

InfantModality = Literal["T1", "T2", "FA"]
INFANT_MODALITIES: tuple[InfantModality, ...] = ("T1", "T2", "FA")
REGION_SIGNALS: dict[InfantModality, tuple[float, ...]] = {  # in the order of the labels 1 to 8
    "T1": (0.56, 0.72, 0.56, 0.20, 0.42, 0.64, 0.62, 0.20),
    "T2": (0.52, 0.44, 0.52, 1.00, 0.76, 0.58, 0.47, 1.00),
    "FA": (0.18, 0.55, 0.18, 0.04, 0.30, 0.38, 0.10, 0.04),
}
ISO_SIGNALS = {"T1": (0.24, 0.52), "T2": (1.00, 0.55)}  # CSF, and the middle between grey and white matter
ISO_GAP = 0.6
"""By how many standard deviations of the noise white matter exceeds grey in T1; in T2 it lies below by as much."""
FA_SIGNALS = (0.05, 0.11, 0.40)
LATTICE = Lattice((-76.0, -100.0, -68.0), (152.0, 168.0, 152.0))
SIZE = {"tissues": 0.80, "regions": 0.68}  # of an adult's brain
WARPS = ((34.0, 7.0), (10.0, 1.8))  # scale and largest displacement, mm


@dataclass(frozen=True, eq=False)
class Infant:
    """One subject.

    Attributes:
        images: (M, X, Y, Z) float32, 0 outside the mask.
        labels: (X, Y, Z) uint8, places in ``names``.
        affine: (4, 4), voxel → mm RAS.
        modalities: names of the images.
        names: of the labels.
        shifts_mm: (M, 3), how far each image is displaced from the labels, RAS.
    """

    images: np.ndarray
    labels: np.ndarray
    affine: np.ndarray
    modalities: tuple[InfantModality, ...]
    names: tuple[str, ...]
    shifts_mm: np.ndarray

    @property
    def mask(self) -> np.ndarray:
        """(X, Y, Z) bool, the brain."""
        return self.labels > 0


@dataclass(frozen=True)
class InfantScan:
    """How infants are imaged.

    Attributes:
        noise: standard deviation in each channel of T1 and T2, share of the brightest tissue, and of FA.
        bias: largest |b| in the brain of the bias field exp(b) of T1 and T2.
        blur_mm: full width at half maximum of FA's point spread.
        shift_mm: length of the displacement of T2 and of FA, each in a direction of its own, from T1 and the labels.
    """

    noise: float = 0.05
    bias: float = 0.3
    blur_mm: float = 6.0
    shift_mm: float = 0.0


def infant_phantom(
    subject: int = 0,
    *,
    seed: int = 0,
    spacing_mm: float = 2.0,
    modalities: Sequence[str] = INFANT_MODALITIES,
    structures: Structures = "tissues",
    scan: InfantScan | None = None,
) -> Infant:
    """Make one infant's brain as arrays.

    Args:
        subject: number of the subject, which with the seed decides everything.
        seed: of the cohort.
        spacing_mm: edge of a voxel, 1 to 8 mm.
        modalities: some of T1, T2 and FA.
        structures: ``tissues`` for CSF, grey and white matter; ``regions`` for the eight of a newborn.
        scan: noise, bias, blur and misregistration; None for the usual ones.

    Raises:
        SettingsError: a setting out of its bounds.
    """
    scan = InfantScan() if scan is None else scan
    chosen = _check(1, seed, modalities, structures, scan)
    template = load_template(float(spacing_mm))
    entropy = [seed, subject]
    rng = np.random.default_rng([*entropy, 1])
    size = (SIZE[structures] * rng.uniform(0.95, 1.05, 3)).astype(np.float32)
    points = deformed_points(LATTICE, spacing_mm, WARPS, rng) / size[:, None, None, None]
    fractions = sample(template.fractions, template.affine, points)
    field = smooth_field(points.shape[1:], spacing_mm, 20.0, np.random.default_rng([*entropy, 2]))
    shares = label_shares(points, fractions, structures, field, spacing_mm)
    outside = 1 - shares.sum(axis=0)
    labels = np.argmax(np.concatenate([outside[None], shares]), axis=0).astype(np.uint8)
    images, shifts = [], []
    for m in chosen:
        clean = _clean(m, shares, structures, scan, field)
        rng = np.random.default_rng([*entropy, 10 + INFANT_MODALITIES.index(m)])
        shift = _shift(scan.shift_mm if m != "T1" else 0.0, rng)
        images.append(_scan(clean, m, labels > 0, spacing_mm, scan, shift, rng))
        shifts.append(shift)
    affine = LATTICE.affine(spacing_mm)
    return Infant(np.stack(images), labels, affine, chosen, NAMES[structures], np.stack(shifts))


def _clean(
    modality: InfantModality, shares: np.ndarray, structures: Structures, scan: InfantScan, field: np.ndarray
) -> np.ndarray:
    if structures == "regions":
        return np.tensordot(np.array(REGION_SIGNALS[modality], np.float32), shares, 1)
    csf, grey, white = shares
    if modality == "FA":  # white matter's own anisotropy differs from place to place
        return FA_SIGNALS[0] * csf + FA_SIGNALS[1] * grey + (FA_SIGNALS[2] + 0.05 * np.clip(field, -2, 2)) * white
    fluid, middle = ISO_SIGNALS[modality]
    half = (1 if modality == "T1" else -1) * ISO_GAP / 2 * scan.noise
    return fluid * csf + (middle - half) * grey + (middle + half) * white


def _shift(length_mm: float, rng: np.random.Generator) -> np.ndarray:
    direction = rng.normal(size=3)
    return length_mm * direction / np.linalg.norm(direction)


def _scan(
    clean: np.ndarray,
    modality: InfantModality,
    mask: np.ndarray,
    spacing_mm: float,
    scan: InfantScan,
    shift: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    if modality == "FA":
        clean = gaussian_filter(clean, scan.blur_mm / FWHM_PER_SIGMA / spacing_mm)
    if shift.any():
        clean = move(clean, shift / spacing_mm, order=1, mode="nearest")
    noise = rng.standard_normal(clean.shape, np.float32)
    if modality == "FA":
        return (np.clip(clean + scan.noise * noise, 0, 1) * mask).astype(np.float32)
    image = clean * (1 + 0.02 * _unit(gaussian_filter(noise, 2.0 / spacing_mm)))
    if scan.bias > 0:
        image = image * bias_field(mask, spacing_mm, scan.bias, rng)
    return (rician(image, scan.noise, rng) * mask).astype(np.float32)


def _unit(noise: np.ndarray) -> np.ndarray:
    return noise / noise.std()


def make_infant(
    out: Path,
    *,
    n_subjects: int = 8,
    seed: int = 0,
    spacing_mm: float = 2.0,
    modalities: Sequence[str] = INFANT_MODALITIES,
    structures: Structures = "tissues",
    shift_mm: float = 0.0,
    progress: Progress = silent,
) -> Cohort:
    """Write a cohort of infants' brains.

    Every row has the images, ``label``, ``mask`` and a covariate ``shift_T2_mm`` and ``shift_FA_mm``, x y z, of each
    displaced modality. Subject i depends on (seed, i) and the settings alone.

    Args:
        out: the cohort's folder; must not exist, or be empty.
        n_subjects: 1 to 999.
        seed: equal seeds give equal bytes.
        spacing_mm: edge of a voxel, 1 to 8 mm.
        modalities: some of T1, T2 and FA.
        structures: ``tissues`` (1 CSF, 2 grey, 3 white matter) or ``regions`` (a newborn's eight).
        shift_mm: misregistration of T2 and FA, 0 to 20 mm.
        progress: told of each subject; may cancel, which removes everything.

    Raises:
        SettingsError: a setting out of its bounds.
        CohortError: the folder is in use.
    """
    scan = InfantScan(shift_mm=shift_mm)
    chosen = _check(n_subjects, seed, modalities, structures, scan)
    with new_folder(out) as partial:
        progress(0.0, "Reading the template")
        load_template(float(spacing_mm))
        subjects = []
        for i in range(n_subjects):
            name = f"infant-{i + 1:02d}"
            progress(i / n_subjects, f"Making {name}, {i + 1} of {n_subjects}")
            infant = infant_phantom(
                i, seed=seed, spacing_mm=spacing_mm, modalities=chosen, structures=structures, scan=scan
            )
            subjects.append(_write_infant(partial, name, infant))
        write_cohort(partial, subjects)
        write_label_names(partial, dict(enumerate(NAMES[structures])))
        truth = {
            "kind": "infant", "seed": seed, "structures": structures, "spacing_mm": spacing_mm, "shift_mm": shift_mm,
            "noise": scan.noise, "bias": scan.bias, "blur_of_FA_mm": scan.blur_mm,
            "signals": _signals(structures, scan),
        }  # fmt: skip
        (partial / "truth.json").write_text(json.dumps(truth, indent=1) + "\n", encoding="utf-8")
        progress(1.0, f"Made {n_subjects} infants")
    return read_cohort(Path(out).absolute())


def _signals(structures: Structures, scan: InfantScan) -> dict[str, list[float]]:
    """Give what each label shows in each modality before blur, bias and noise."""
    each = np.eye(len(NAMES[structures]) - 1, dtype=np.float32)
    flat = np.zeros(len(each), np.float32)
    return {m: [round(float(v), 4) for v in _clean(m, each, structures, scan, flat)] for m in INFANT_MODALITIES}


def _write_infant(folder: Path, name: str, infant: Infant) -> Subject:
    home = folder / name
    home.mkdir()
    images: dict[str, Path] = {m: home / f"{m}.nii.gz" for m in infant.modalities}
    for array, (m, path) in zip(infant.images, images.items(), strict=True):
        write_nifti(Volume.from_array(array, infant.affine, m), path)
    for array, what in ((infant.labels, "label"), (infant.mask, "mask")):
        write_nifti(Volume.from_array(array, infant.affine, what), home / f"{what}.nii.gz", dtype=np.uint8)
    covariates = {
        f"shift_{m}_mm": " ".join(f"{v:.3f}" for v in shift)
        for m, shift in zip(infant.modalities, infant.shifts_mm, strict=True)
        if m != "T1"
    }
    labels, mask = home / "label.nii.gz", home / "mask.nii.gz"
    return Subject(name, images, label=labels, mask=mask, group=name, covariates=covariates, folder=folder)


def _check(
    n_subjects: int, seed: int, modalities: Sequence[str], structures: str, scan: InfantScan
) -> tuple[InfantModality, ...]:
    check_numbers(n_subjects, seed)
    if structures not in NAMES:
        raise SettingsError(f"The structures of the infant phantom are {' or '.join(NAMES)}; got {structures!r}.")
    if not 0 <= scan.shift_mm <= 20:
        raise SettingsError(f"The shift between modalities lies between 0 and 20 mm; got {scan.shift_mm}.")
    if not modalities or any(m not in INFANT_MODALITIES for m in modalities):
        raise SettingsError(
            f"The modalities of the infant phantom are {', '.join(INFANT_MODALITIES)}; got {list(modalities)}."
        )
    return tuple(m for m in INFANT_MODALITIES if m in modalities)
