"""A cohort of gliomas: T1, T1c, T2 and FLAIR from several scanners, with the labels of BRATS.

The phantom of Section 3.3 for Pereira 2016 (the review's brain tumor system): nested regions whose four contrasts
overlap with healthy tissue, so that no sequence suffices. CSF is as bright as edema on T2, vessels and choroid plexus
take up contrast agent, ventricle rims, cortex and flowing CSF are bright on FLAIR, and an enhancing rim is edema to
all but T1c.

Over eight high-grade subjects of 2 mm and seed 0, the best global threshold on FLAIR for each subject, chosen with the
truth, reaches a mean Dice of 0.78 for the whole tumor; on T1c, 0.54 for the enhancing part. Voxels of 4 mm and more
blur the vessels away and make the enhancing part easy.

The phantom does not contain: skull and scalp; hemorrhage, calcification, cysts, resection cavities; several foci;
infiltration beyond the label; real folding patterns, arterial trees or a falx that holds the midline; displacement of
one sequence against another, motion, partial coverage, anisotropic voxels.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from workbench.errors import SettingsError
from workbench.imaging.cohort import Cohort
from workbench.imaging.subject import Subject
from workbench.phantoms.anatomy import Anatomy, draw_anatomy
from workbench.phantoms.appearance import BrainAppearance
from workbench.phantoms.blobs import fine_field
from workbench.phantoms.brain import deform
from workbench.phantoms.deformation import pull
from workbench.phantoms.mimics import flair_mimics
from workbench.phantoms.patients import check_dials, check_numbers, check_seed, write_patient, write_patients
from workbench.phantoms.scanners import Scanner, acquire, draw_scanner
from workbench.phantoms.template import load_template
from workbench.phantoms.tumor_regions import (
    EDEMA,
    ENHANCING,
    NECROSIS,
    NON_ENHANCING,
    Grade,
    TumorRegions,
    grow_tumor,
    place_tumor,
    push_warp,
)
from workbench.progress import Progress, silent

SEQUENCES = ("T1", "T1c", "T2", "FLAIR")
LABEL_NAMES = {
    0: "background", NECROSIS: "necrosis", EDEMA: "edema", NON_ENHANCING: "non-enhancing tumor",
    ENHANCING: "enhancing tumor",
}  # fmt: skip
LEVELS = {  # signal of CSF, grey and white matter; then edema, non-enhancing core, enhancing rim, necrosis
    "T1": (None, None, None, 0.60, 0.52, 0.55, 0.33),
    "T1c": (None, None, None, 0.60, 0.56, 1.32, 0.36),
    "T2": (1.00, 0.62, 0.42, 0.82, 0.76, 0.72, 0.95),
    "FLAIR": (0.12, 0.55, 0.45, 0.84, 0.76, 0.74, 0.50),
}
LEVEL_SPREAD = 0.07  # standard deviation between patients, of each level of a tumor
WARP = BrainAppearance(warp_mm=12.0)


@dataclass(frozen=True)
class TumorPlan:
    """The settings of a tumor phantom.

    Attributes:
        seed: equal seeds give equal voxels; with the subject's number it decides everything about a subject.
        spacing_mm: edge of a voxel, 1 to 8 mm.
        grade: ``"high"``, ``"low"``, or ``"mixed"`` for every other subject of either.
        n_scanners: subject i was on scanner i modulo this number.
        scanner_difference: 0 all scanners alike, 1 as usual: contrast exponents 0.58 to 0.78 or 1.28 to 1.73 against 1,
            scales up to a factor of 5 apart, other bias fields.
        bias: largest |b| of the bias field exp(b).
        noise: standard deviation in each channel, share of the brightest healthy tissue.
        mass_effect: 1 tissue gives way to the tumor, 0 it does not.
        mimics: 1 as usual, 0 no vessels, choroid plexus, bright rims, cortex and flow.
    """

    seed: int = 0
    spacing_mm: float = 2.0
    grade: Literal["high", "low", "mixed"] = "high"
    n_scanners: int = 2
    scanner_difference: float = 1.0
    bias: float = 0.3
    noise: float = 0.03
    mass_effect: float = 1.0
    mimics: float = 1.0

    def __post_init__(self) -> None:
        """Check.

        Raises:
            SettingsError: a setting out of its bounds.
        """
        if self.grade not in ("high", "low", "mixed"):
            raise SettingsError(f"The grade must be high, low or mixed; got {self.grade!r}.")
        check_seed(self.seed)
        if not 1 <= self.n_scanners <= 99:
            raise SettingsError(f"A phantom has from 1 to 99 scanners; got {self.n_scanners}.")
        check_dials(self, {"scanner_difference": 2, "bias": 2, "noise": 1, "mass_effect": 2, "mimics": 2})

    def grade_of(self, subject: int) -> Grade:
        """Give the grade of a subject."""
        if self.grade == "mixed":
            return "high" if subject % 2 == 0 else "low"
        return self.grade


@dataclass(frozen=True, eq=False)
class TumorCase:
    """One patient.

    Attributes:
        images: (4, X, Y, Z) float32, T1, T1c, T2 and FLAIR in the scanner's units, 0 outside the brain.
        labels: (X, Y, Z) uint8, 0 none, 1 necrosis, 2 edema, 3 non-enhancing, 4 enhancing.
        mask: (X, Y, Z) bool, the brain.
        affine: (4, 4), voxel index → mm RAS.
        truth: what was planted, plain numbers.
    """

    images: np.ndarray
    labels: np.ndarray
    mask: np.ndarray
    affine: np.ndarray
    truth: dict[str, Any]


def tumor_arrays(plan: TumorPlan, subject: int) -> TumorCase:
    """Make one patient in memory; it depends on (plan, subject) alone.

    Raises:
        SettingsError: the spacing is not between 1 and 8 mm.
    """
    template = load_template(float(plan.spacing_mm))
    entropy, grade = [plan.seed, subject, 331], plan.grade_of(subject)
    rngs = [np.random.default_rng([*entropy, 100 + k]) for k in range(4)]
    warp = deform(template, WARP, entropy).warp
    healthy = pull(template.fractions, warp, plan.spacing_mm)
    place = place_tumor(healthy, template.affine, grade, plan.mass_effect, rngs[0])
    push = push_warp(place, healthy.sum(axis=0) > 0.5, template.affine)
    anatomy = draw_anatomy(template, push + pull(warp, push, plan.spacing_mm), entropy)
    regions = grow_tumor(place, anatomy.fractions, template.affine, grade, rngs[1])
    scanner = draw_scanner(plan.seed, subject % plan.n_scanners, len(SEQUENCES), plan.scanner_difference)
    clean = _signals(anatomy, regions, plan.mimics, rngs[2])
    images = acquire(clean, anatomy.brain, plan.spacing_mm, scanner, bias=plan.bias, noise=plan.noise, entropy=entropy)
    labels = regions.labels * anatomy.brain
    truth = {
        "grade": grade,
        "scanner": scanner.name,
        "center_mm": [round(float(c), 2) for c in place.center_mm],
        "core_radius_mm": round(place.radius_mm, 2),
        "largest_push_mm": round(float(np.sqrt((push**2).sum(axis=0)).max()), 2),
        "volume_ml": {
            LABEL_NAMES[k]: round(float((labels == k).sum()) * plan.spacing_mm**3 / 1000, 3) for k in (1, 2, 3, 4)
        },
    }
    return TumorCase(images, labels, anatomy.brain, template.affine, truth)


def make_tumor(
    out: Path,
    *,
    n_subjects: int = 8,
    seed: int = 0,
    spacing_mm: float = 2.0,
    grade: Literal["high", "low", "mixed"] = "high",
    n_scanners: int = 2,
    scanner_difference: float = 1.0,
    bias: float = 0.3,
    noise: float = 0.03,
    mass_effect: float = 1.0,
    mimics: float = 1.0,
    progress: Progress = silent,
) -> Cohort:
    """Write a cohort of patients; the settings are those of :class:`TumorPlan`.

    Beside ``cohort.csv`` lie ``labels.json`` and ``truth.json`` (plan, scanners, and of each patient the grade, the
    core's center and radius, the largest push and the volume of each region). Scanner and grade are covariates too.

    Args:
        out: the cohort's folder; must not exist, or be empty.
        n_subjects: 1 to 999.
        progress: told of each subject; may cancel, which removes everything.

    Raises:
        SettingsError: a setting out of its bounds.
        CohortError: the folder is in use.
    """
    plan = TumorPlan(seed, spacing_mm, grade, n_scanners, scanner_difference, bias, noise, mass_effect, mimics)
    check_numbers(n_subjects, seed)
    load_template(float(spacing_mm))
    scanners = [draw_scanner(seed, k, len(SEQUENCES), scanner_difference) for k in range(n_scanners)]
    told = {"plan": asdict(plan), "scanners": [_scanner_row(s) for s in scanners]}
    return write_patients(out, "tumor", n_subjects, partial(_write_case, plan), LABEL_NAMES, told, progress)


def _signals(anatomy: Anatomy, regions: TumorRegions, mimics: float, rng: np.random.Generator) -> np.ndarray:
    """Noise-free T1, T1c, T2 and FLAIR: (4, X, Y, Z)."""
    csf, grey, white = anatomy.fractions
    bright = flair_mimics(anatomy, mimics, rng)
    uneven = fine_field(csf.shape, anatomy.spacing_mm, 2.5, rng)
    uptake = rng.uniform(0.8, 1.1)
    vessel, choroid = mimics * anatomy.vessel, mimics * anatomy.choroid
    parts = (regions.edema, regions.core, regions.core * regions.enhancing, regions.necrosis)
    images = []
    for sequence in SEQUENCES:
        levels = LEVELS[sequence]
        if sequence in ("T1", "T1c"):
            image = anatomy.t1 if sequence == "T1" else 0.1 * anatomy.brain + 0.82 * anatomy.t1
        else:
            image = levels[0] * csf + levels[1] * grey + levels[2] * white
        image = image + (bright if sequence == "FLAIR" else 0) - (0.35 * vessel if sequence == "T2" else 0)
        for part, level, spread in zip(parts, levels[3:], (0.04, 0.09, 0.16, 0.12), strict=True):
            own = level * (1 + LEVEL_SPREAD * rng.standard_normal())
            image = image + part * (own * (1 + spread * uneven) - image)
        if sequence == "T1c":  # vessels run through tumors too
            image = image + uptake * (0.95 * vessel + 0.8 * choroid)
        images.append(image)
    return np.stack(images)


def _write_case(plan: TumorPlan, folder: Path, name: str, subject: int) -> tuple[Subject, dict[str, Any]]:
    case, home = tumor_arrays(plan, subject), folder / name
    files = write_patient(home, SEQUENCES, case.images, case.labels, case.mask, case.affine)
    told = {key: str(case.truth[key]) for key in ("grade", "scanner")}
    label, mask = home / "label.nii.gz", home / "mask.nii.gz"
    written = Subject(name, files, label=label, mask=mask, group=name, covariates=told, folder=folder)
    return written, case.truth


def _scanner_row(scanner: Scanner) -> dict[str, Any]:
    return {
        "name": scanner.name,
        "gamma": dict(zip(SEQUENCES, scanner.gamma, strict=True)),
        "scale": dict(zip(SEQUENCES, scanner.scale, strict=True)),
        "bias_factor": round(scanner.bias_factor, 4),
    }
