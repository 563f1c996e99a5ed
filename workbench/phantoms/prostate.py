"""A cohort of male pelves in T2-weighted MR: thick slices, and a prostate whose shape and capsule are known.

The phantom of Section 3.1 for Guo 2016 (Reference 90) and Liao 2013 (89, 91), Figure 7. The gland is one smooth shape
of seven coefficients (prostate_shape), with a peripheral zone and a central gland of other brightness; about it lie
bladder, seminal vesicles, rectum, muscles, bones, veins and fat. The boundary is a bright line, a dark line or nothing
at all, by sector, and the patients are of two kinds of intensity (prostate_appearance). Slices are 3 mm thick: what a
voxel shows is the mean over its thickness.

The phantom does not contain: tumors, hemorrhage, calcification, cysts; the fascia and the neurovascular bundles as
structures of their own; an endorectal coil; motion, wrap-around, distortion by gas; slices at an angle to the
lattice; sequences other than T2.
"""

from __future__ import annotations

import csv
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from scipy.spatial.transform import Rotation

from workbench.errors import SettingsError
from workbench.imaging.cohort import Cohort
from workbench.imaging.nifti import write_array
from workbench.imaging.subject import Subject
from workbench.phantoms.lattice import Lattice, deformed_points
from workbench.phantoms.painting import Canvas, sample
from workbench.phantoms.patients import check_dials, check_numbers, check_seed, write_patients
from workbench.phantoms.prostate_anatomy import Gland, paint_pelvis
from workbench.phantoms.prostate_appearance import draw_signals, kind_of, paint_capsule, scanned, textured
from workbench.phantoms.prostate_shape import LEVELS, N_ANGLES, draw_capsule, draw_shape, sector_numbers
from workbench.progress import Progress, silent

LATTICE = Lattice((-60.0, -62.0, -42.0), (120.0, 120.0, 88.0))
WARPS = ((24.0, 3.0), (10.0, 0.8))  # scale and largest displacement, mm
TURN_DEG, SHIFT_MM = np.array([9.0, 4.0, 6.0]), np.array([5.0, 5.0, 4.0])
ISOCENTER_MM = np.array([8.0, 25.0, 30.0])
MODALITY = "T2"
LABEL_NAMES = {"gland": {0: "background", 1: "prostate"}, "zones": {0: "background", 1: "central", 2: "peripheral"}}
LANDMARKS = ("left", "right", "back", "front", "apex", "base")
COLUMNS = ("x", "y", "z", "class")
SHELL_MM = 3.0  # how far from the surface the map of sectors reaches


@dataclass(frozen=True)
class ProstatePlan:
    """The settings of a prostate phantom.

    Attributes:
        seed: equal seeds give equal voxels; with the subject's number it decides everything about a subject.
        spacing_mm: edge of a voxel in the plane, 0.5 to 4 mm.
        slice_mm: thickness and distance of the slices, 0.5 to 8 mm.
        structures: ``"gland"`` for one label, ``"zones"`` for 1 central gland and 2 peripheral zone.
        shape_spread: 0 every gland is the mean, 1 as usual.
        absent_share: share of the 24 sectors without any boundary.
        kind_gap: how far the two kinds of patients differ in intensity, 0 not at all, 1 as usual.
        bias: largest |b| of the bias field exp(b).
        noise: standard deviation in each channel, share of the brightest signal.
    """

    seed: int = 0
    spacing_mm: float = 1.0
    slice_mm: float = 3.0
    structures: Literal["gland", "zones"] = "gland"
    shape_spread: float = 1.0
    absent_share: float = 0.3
    kind_gap: float = 1.0
    bias: float = 0.35
    noise: float = 0.04

    def __post_init__(self) -> None:
        """Check.

        Raises:
            SettingsError: a setting out of its bounds.
        """
        if self.structures not in LABEL_NAMES:
            raise SettingsError(f"The structures of the prostate phantom are gland or zones; got {self.structures!r}.")
        if not 0.5 <= self.spacing_mm <= 4:
            raise SettingsError(f"The prostate phantom's voxels are 0.5 to 4 mm in the plane; got {self.spacing_mm:g}.")
        if not 0.5 <= self.slice_mm <= 8:
            raise SettingsError(f"The prostate phantom's slices are 0.5 to 8 mm thick; got {self.slice_mm:g}.")
        check_seed(self.seed)
        check_dials(self, {"shape_spread": 1.2, "absent_share": 1, "kind_gap": 1.5, "bias": 2, "noise": 1})


@dataclass(frozen=True, eq=False)
class ProstateCase:
    """One patient.

    Attributes:
        image: (X, Y, Z) float32, T2 in the scanner's units.
        labels: (X, Y, Z) uint8, by the plan's structures.
        distance_mm: (X, Y, Z) float32, from the gland's surface, negative inside; means over a slice's thickness.
        sectors: (X, Y, Z) uint8, sector of each voxel within 3 mm of the surface, 1 to 24, 0 elsewhere.
        landmarks_mm: (6, 3), the gland's outermost points, by :data:`LANDMARKS`, mm RAS.
        affine: (4, 4), voxel index → mm RAS.
        truth: what was planted, plain numbers.
    """

    image: np.ndarray
    labels: np.ndarray
    distance_mm: np.ndarray
    sectors: np.ndarray
    landmarks_mm: np.ndarray
    affine: np.ndarray
    truth: dict[str, Any]


def prostate_arrays(plan: ProstatePlan, subject: int) -> ProstateCase:
    """Make one patient in memory; it depends on (plan, subject) alone."""
    rngs = [np.random.default_rng([plan.seed, subject, 500 + k]) for k in range(8)]
    shape, capsule = draw_shape(rngs[0], plan.shape_spread), draw_capsule(rngs[1], plan.absent_share)
    kind = kind_of(plan.seed, subject)
    lines, thin, n_thin = _lines(plan)
    steps = (plan.spacing_mm, plan.spacing_mm, plan.slice_mm / n_thin)
    points, turn, shift = _pose(np.stack(np.meshgrid(*thin, indexing="ij")).astype(np.float32), rngs[2])
    canvas = Canvas(points, plan.spacing_mm, draw_signals(kind, plan.kind_gap, rngs[3]))
    gland = paint_pelvis(canvas, shape, steps, rngs[4])
    paint_capsule(canvas, gland, shape, capsule, steps)
    clean = _thick(textured(canvas, steps, rngs[5]), n_thin)
    places = np.stack(np.meshgrid(*lines, indexing="ij")).astype(np.float32)
    image = scanned(clean, places, LATTICE, bias=plan.bias, noise=plan.noise, rng=rngs[6])
    affine = np.diag([plan.spacing_mm, plan.spacing_mm, plan.slice_mm, 1.0])
    affine[:3, 3] = LATTICE.low + rngs[7].uniform(-ISOCENTER_MM, ISOCENTER_MM)
    distance, labels = _thick(gland.distance, n_thin), _labels(plan, gland, n_thin)
    middle = gland.coordinates[..., n_thin // 2 :: n_thin]
    sectors = sector_numbers(shape, middle) * (np.abs(distance) < SHELL_MM)
    landmarks = _landmarks(gland.distance < 0, thin) + affine[:3, 3] - LATTICE.low
    truth = {
        "kind": kind,
        "shape": asdict(shape),
        "capsule": {level: list(row) for level, row in zip(LEVELS, capsule, strict=True)},
        "volume_ml": round(float((labels > 0).sum()) * float(np.prod(np.diag(affine)[:3])) / 1000, 3),
        "turn_deg": [round(float(v), 3) for v in turn],
        "shift_mm": [round(float(v), 3) for v in shift],
        "landmarks_mm": {k: [round(float(v), 3) for v in p] for k, p in zip(LANDMARKS, landmarks, strict=True)},
    }
    return ProstateCase(image, labels, distance, sectors.astype(np.uint8), landmarks, affine, truth)


def make_prostate(
    out: Path,
    *,
    n_subjects: int = 12,
    seed: int = 0,
    spacing_mm: float = 1.0,
    slice_mm: float = 3.0,
    structures: Literal["gland", "zones"] = "gland",
    shape_spread: float = 1.0,
    absent_share: float = 0.3,
    kind_gap: float = 1.0,
    bias: float = 0.35,
    noise: float = 0.04,
    progress: Progress = silent,
) -> Cohort:
    """Write a cohort of patients; the settings are those of :class:`ProstatePlan`.

    Beside ``cohort.csv`` lie ``labels.json`` and ``truth.json`` (plan; of each patient the kind, the coefficients of
    the shape, the capsule of each sector, pose, volume and landmarks). Each patient has ``label``, ``points`` (the
    gland's outermost points, classes 1 to 6 in the order left, right, back, front, apex, base) and the covariates
    ``kind``, ``volume_ml`` and ``sectors`` (a map of the 24 sectors: level from apex to base, then angle in steps of
    45 degrees from the front over the patient's right).

    Args:
        out: the cohort's folder; must not exist, or be empty.
        n_subjects: 1 to 999.
        progress: told of each subject; may cancel, which removes everything.

    Raises:
        SettingsError: a setting out of its bounds.
        CohortError: the folder is in use.
    """
    plan = ProstatePlan(
        seed, spacing_mm, slice_mm, structures, shape_spread, absent_share, kind_gap, bias, noise
    )  # fmt: skip
    check_numbers(n_subjects, seed)
    sectors = {"levels": LEVELS, "angles_deg": [k * 360 / N_ANGLES for k in range(N_ANGLES)]}
    told, write = {"plan": asdict(plan), "sectors": sectors}, partial(_write_case, plan)
    return write_patients(out, "prostate", n_subjects, write, LABEL_NAMES[structures], told, progress)


def _lines(plan: ProstatePlan) -> tuple[list[np.ndarray], list[np.ndarray], int]:
    """Voxel centers along x, y and z, mm; the same with every slice cut into thin ones; how many those are."""
    steps = (plan.spacing_mm, plan.spacing_mm, plan.slice_mm)
    lines = [
        low + step * np.arange(int(extent / step + 1e-6) + 1)
        for low, extent, step in zip(LATTICE.low, LATTICE.extent, steps, strict=True)
    ]
    n_thin = max(1, round(plan.slice_mm / max(plan.spacing_mm, 1.0)))
    within = ((np.arange(n_thin) + 0.5) / n_thin - 0.5) * plan.slice_mm
    return lines, [*lines[:2], (lines[2][:, None] + within).ravel()], n_thin


def _pose(places: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw where in the atlas each place (3, X, Y, Z) lies: a little deformation, a turn and a shift."""
    moved = deformed_points(LATTICE, 4.0, WARPS, rng) - LATTICE.points(4.0)
    points = places + sample(moved, LATTICE.affine(4.0), places, extend=True)
    turn, shift = rng.uniform(-TURN_DEG, TURN_DEG), rng.uniform(-SHIFT_MM, SHIFT_MM)
    matrix = Rotation.from_euler("xyz", turn, degrees=True).as_matrix().astype(np.float32)
    return np.einsum("ab,bxyz->axyz", matrix, points) + shift.astype(np.float32)[:, None, None, None], turn, shift


def _thick(thin: np.ndarray, n_thin: int) -> np.ndarray:
    """Average thin slices (X, Y, n · Z) to (X, Y, Z)."""
    return thin.reshape(*thin.shape[:2], -1, n_thin).mean(axis=3)


def _labels(plan: ProstatePlan, gland: Gland, n_thin: int) -> np.ndarray:
    """Give the label map (X, Y, Z): what fills at least half of a voxel, and the larger zone."""
    share = _thick(np.clip(0.5 - gland.distance / plan.spacing_mm, 0, 1), n_thin)
    labels = (share > 0.5).astype(np.uint8)
    if plan.structures == "zones":
        labels[(labels > 0) & (_thick(gland.central, n_thin) <= share / 2)] = 2
    return labels


def _landmarks(inside: np.ndarray, lines: list[np.ndarray]) -> np.ndarray:
    """Give the outermost points of a shape along x, y and z, lowest first: (6, 3), means where several are."""
    places = np.argwhere(inside)
    found = []
    for axis in range(3):
        for end in (places[:, axis].min(), places[:, axis].max()):
            middle = places[places[:, axis] == end].mean(axis=0)
            found.append([np.interp(m, np.arange(len(line)), line) for m, line in zip(middle, lines, strict=True)])
    return np.array(found)


def _write_case(plan: ProstatePlan, folder: Path, name: str, subject: int) -> tuple[Subject, dict[str, Any]]:
    case, home = prostate_arrays(plan, subject), folder / name
    home.mkdir()
    image, label, sectors = (home / f"{what}.nii.gz" for what in (MODALITY, "label", "sectors"))
    write_array(np.rint(case.image), case.affine, image, dtype=np.int16)
    for array, file in ((case.labels, label), (case.sectors, sectors)):
        write_array(array, case.affine, file, dtype=np.uint8)
    points = home / "points.csv"
    with points.open("w", newline="", encoding="utf-8") as stream:
        rows = [(*(round(float(v), 3) for v in p), k + 1) for k, p in enumerate(case.landmarks_mm)]
        csv.writer(stream, lineterminator="\n").writerows([COLUMNS, *rows])
    told = {"kind": case.truth["kind"], "volume_ml": str(case.truth["volume_ml"]), "sectors": f"{name}/sectors.nii.gz"}
    written = Subject(
        name, {MODALITY: image}, label=label, points=points, group=name, covariates=told, folder=folder
    )  # fmt: skip
    return written, case.truth
