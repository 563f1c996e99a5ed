"""A cohort of white matter lesions: T1, T2, PD and FLAIR, few voxels in a large brain, with mimics.

The phantom of Section 3.4 for Brosch 2016 (lesions of multiple sclerosis): between 0.1 and 3 % of the brain, from 3 to
30 mm, most of them about the ventricles, with a halo on FLAIR that is not lesion. Ventricle rims and caps, cortex and
flowing CSF are as bright as lesions on FLAIR, CSF is brighter than lesions on T2, grey matter nearly as bright on PD.

Over eight subjects of 2 mm and seed 0, the best global threshold on FLAIR for each subject, chosen with the truth,
reaches a mean Dice of 0.54.

The phantom does not contain: skull and scalp; lesions of the brain stem, cerebellum, cortex and spinal cord; contrast
agent; atrophy; dilated perivascular spaces and infarcts; real folding patterns; displacement of one sequence against
another, motion, anisotropic voxels; disagreement of raters.
"""

from __future__ import annotations

import csv
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import label as components

from workbench.errors import SettingsError
from workbench.imaging.cohort import Cohort
from workbench.imaging.subject import Subject
from workbench.phantoms.anatomy import Anatomy, draw_anatomy
from workbench.phantoms.appearance import BrainAppearance
from workbench.phantoms.blobs import fine_field
from workbench.phantoms.brain import deform
from workbench.phantoms.lesion_shapes import Lesions, draw_lesions
from workbench.phantoms.mimics import flair_mimics
from workbench.phantoms.patients import check_dials, check_numbers, check_seed, write_patient, write_patients
from workbench.phantoms.scanners import acquire, draw_scanner
from workbench.phantoms.template import load_template
from workbench.progress import Progress, silent

SEQUENCES = ("T1", "T2", "PD", "FLAIR")
LABEL_NAMES = {0: "background", 1: "lesion"}
LEVELS = {  # signal of CSF, grey and white matter, lesion of contrast 1, halo
    "T2": (1.00, 0.62, 0.42, 0.86, 0.50),
    "PD": (0.80, 0.78, 0.62, 0.95, 0.68),
    "FLAIR": (0.12, 0.55, 0.45, 0.92, 0.60),
}
T1_CSF = 0.25
WARP = BrainAppearance(warp_mm=12.0)
COLUMNS = ("x", "y", "z", "class", "diameter")


@dataclass(frozen=True)
class LesionPlan:
    """The settings of a lesion phantom.

    Attributes:
        seed: equal seeds give equal voxels; with the subject's number it decides everything about a subject.
        spacing_mm: edge of a voxel, 1 to 8 mm; the smallest lesions need 3 mm or less to be seen.
        load: bounds of the share of the brain that is lesion, drawn uniformly in its logarithm.
        mimics: 1 as usual, 0 no bright rims, caps, cortex and flow.
        halo: 1 as usual, 0 no dirty white matter about the lesions.
        bias: largest |b| of the bias field exp(b).
        noise: standard deviation in each channel, share of the brightest healthy tissue.
        n_scanners: subject i was on scanner i modulo this number.
        scanner_difference: see ``TumorPlan``.
    """

    seed: int = 0
    spacing_mm: float = 2.0
    load: tuple[float, float] = (0.001, 0.03)
    mimics: float = 1.0
    halo: float = 1.0
    bias: float = 0.25
    noise: float = 0.03
    n_scanners: int = 1
    scanner_difference: float = 1.0

    def __post_init__(self) -> None:
        """Check.

        Raises:
            SettingsError: a setting out of its bounds.
        """
        check_seed(self.seed)
        if not 1 <= self.n_scanners <= 99:
            raise SettingsError(f"A phantom has from 1 to 99 scanners; got {self.n_scanners}.")
        if not (len(self.load) == 2 and 0.0005 <= self.load[0] <= self.load[1] <= 0.05):
            raise SettingsError(
                f"The load must be two shares of the brain, from 0.0005 to 0.05, the smaller first; got {self.load}."
            )
        check_dials(self, {"mimics": 2, "halo": 2, "bias": 2, "noise": 1, "scanner_difference": 2})


@dataclass(frozen=True, eq=False)
class LesionCase:
    """One patient.

    Attributes:
        images: (4, X, Y, Z) float32, T1, T2, PD and FLAIR in the scanner's units, 0 outside the brain.
        labels: (X, Y, Z) uint8, 1 lesion.
        mask: (X, Y, Z) bool, the brain.
        affine: (4, 4), voxel index → mm RAS.
        table: each lesion of the label map, i.e. each component of 26 neighbors, as (x, y, z, class, diameter): mm RAS
            of its voxel nearest to its centroid, 1, and the diameter in mm of the sphere of its volume; largest first.
        truth: what was planted, plain numbers.
    """

    images: np.ndarray
    labels: np.ndarray
    mask: np.ndarray
    affine: np.ndarray
    table: list[tuple[float, float, float, int, float]]
    truth: dict[str, Any]


def lesion_arrays(plan: LesionPlan, subject: int) -> LesionCase:
    """Make one patient in memory; it depends on (plan, subject) alone.

    Raises:
        SettingsError: the spacing is not between 1 and 8 mm.
    """
    template = load_template(float(plan.spacing_mm))
    entropy = [plan.seed, subject, 341]
    rngs = [np.random.default_rng([*entropy, 100 + k]) for k in range(3)]
    anatomy = draw_anatomy(template, deform(template, WARP, entropy).warp, entropy)
    low, high = plan.load
    lesions = draw_lesions(anatomy, low * (high / low) ** rngs[0].uniform(), rngs[0])
    scanner = draw_scanner(plan.seed, subject % plan.n_scanners, len(SEQUENCES), plan.scanner_difference)
    clean = _signals(anatomy, lesions, plan, rngs[1])
    images = acquire(clean, anatomy.brain, plan.spacing_mm, scanner, bias=plan.bias, noise=plan.noise, entropy=entropy)
    table = lesion_table(lesions.labels, template.affine)
    truth = {
        "scanner": scanner.name,
        "load": round(float(lesions.labels.sum() / anatomy.brain.sum()), 6),
        "volume_ml": round(float(lesions.labels.sum()) * plan.spacing_mm**3 / 1000, 3),
        "n_lesions": len(table),
        "planted": [_rounded(asdict(lesion)) for lesion in lesions.planted],
    }
    return LesionCase(images, lesions.labels.astype(np.uint8), anatomy.brain, template.affine, table, truth)


def lesion_table(labels: np.ndarray, affine: np.ndarray) -> list[tuple[float, float, float, int, float]]:
    """List the components of 26 neighbors of a label map (X, Y, Z); see :class:`LesionCase`."""
    named, n = components(labels > 0, np.ones((3, 3, 3)))
    places = np.argwhere(named)
    which = named[tuple(places.T)]
    volume_mm3 = abs(np.linalg.det(affine[:3, :3]))
    rows = []
    for k in range(1, n + 1):
        mine = places[which == k]
        nearest = mine[np.argmin(((mine - mine.mean(axis=0)) ** 2).sum(axis=1))]
        x, y, z = (round(float(v), 3) for v in affine[:3, :3] @ nearest + affine[:3, 3])
        rows.append((x, y, z, 1, round(float((6 * len(mine) * volume_mm3 / np.pi) ** (1 / 3)), 3)))
    return sorted(rows, key=lambda row: -row[4])


def make_lesion(
    out: Path,
    *,
    n_subjects: int = 8,
    seed: int = 0,
    spacing_mm: float = 2.0,
    load: tuple[float, float] = (0.001, 0.03),
    mimics: float = 1.0,
    halo: float = 1.0,
    bias: float = 0.25,
    noise: float = 0.03,
    n_scanners: int = 1,
    scanner_difference: float = 1.0,
    progress: Progress = silent,
) -> Cohort:
    """Write a cohort of patients; the settings are those of :class:`LesionPlan`.

    Beside ``cohort.csv`` lie ``labels.json`` and ``truth.json`` (plan, and of each patient the load and every planted
    ellipsoid); beside each image ``points.csv``, one row a lesion with its diameter in mm.

    Args:
        out: the cohort's folder; must not exist, or be empty.
        n_subjects: 1 to 999.
        progress: told of each subject; may cancel, which removes everything.

    Raises:
        SettingsError: a setting out of its bounds.
        CohortError: the folder is in use.
    """
    plan = LesionPlan(seed, spacing_mm, load, mimics, halo, bias, noise, n_scanners, scanner_difference)
    check_numbers(n_subjects, seed)
    load_template(float(spacing_mm))
    return write_patients(
        out, "lesion", n_subjects, partial(_write_case, plan), LABEL_NAMES, {"plan": asdict(plan)}, progress
    )


def _signals(anatomy: Anatomy, lesions: Lesions, plan: LesionPlan, rng: np.random.Generator) -> np.ndarray:
    """Noise-free T1, T2, PD and FLAIR: (4, X, Y, Z)."""
    csf, grey, white = anatomy.fractions
    bright = flair_mimics(anatomy, plan.mimics, rng)
    uneven = 1 + 0.06 * fine_field(csf.shape, anatomy.spacing_mm, 2.0, rng)
    images = [anatomy.t1 + lesions.hole * (T1_CSF - anatomy.t1)]
    halo = plan.halo * lesions.halo * (1 - lesions.share)
    for sequence in SEQUENCES[1:]:
        c, g, w, lesion, about = LEVELS[sequence]
        tissue = c * csf + g * grey + w * white + (bright if sequence == "FLAIR" else 0)
        image = tissue + halo * (about - w) * white + lesions.contrast * (lesion * uneven - w)
        # a lesion replaces what would have been bright there, and is never darker than it
        images.append(np.maximum(image - lesions.share * (tissue - w), tissue * (1 - lesions.share)))
    return np.stack(images)


def _write_case(plan: LesionPlan, folder: Path, name: str, subject: int) -> tuple[Subject, dict[str, Any]]:
    case, home = lesion_arrays(plan, subject), folder / name
    files = write_patient(home, SEQUENCES, case.images, case.labels, case.mask, case.affine)
    with (home / "points.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerows([COLUMNS, *case.table])
    told = {key: str(case.truth[key]) for key in ("scanner", "volume_ml", "n_lesions")}
    label, mask, points = (home / what for what in ("label.nii.gz", "mask.nii.gz", "points.csv"))
    written = Subject(name, files, label=label, mask=mask, points=points, group=name, covariates=told, folder=folder)
    return written, case.truth


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    return {
        key: round(value, 3) if isinstance(value, float) else [round(v, 2) for v in value]
        if isinstance(value, tuple) else value
        for key, value in values.items()
    }  # fmt: skip
