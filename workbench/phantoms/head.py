"""A cohort of whole heads for skull stripping: MNI152 brains in a drawn head, some with altered contrast or surgery.

The label is 1 in the brain: grey and white matter, ventricles and the CSF in sulci and fissures (the template's brain
mask), cerebellum and brain stem to the lower border of the template; tumors belong to it, a resection cavity, which is
open to the brain's surface, does not. ``tissues`` (a covariate: path in the cohort's folder) names every substance.

For the test of Kleesiek et al. 2016 (Section 3.3): ``altered`` subjects show what defeats assumptions about contrast:
an enhancing tumor, a resection cavity under a bone flap, T1 and T2 with bright and dark exchanged, or every tissue at
random.

The phantom does not contain: real skulls (shapes are ellipsoids and tubes, alike in all subjects but for deformation,
pose and thickness); veins, arteries but the largest, nerves but the optic; folding that differs between subjects by
more than the deformation; motion, wrap-around, susceptibility losses at air, chemical shift, slices thicker than wide.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from workbench.errors import SettingsError
from workbench.imaging.cohort import Cohort, read_cohort, write_cohort, write_label_names
from workbench.imaging.nifti import write_nifti
from workbench.imaging.subject import Subject
from workbench.imaging.volume import Volume
from workbench.phantoms.appearance import bias_field, rician
from workbench.phantoms.deformation import smooth_field
from workbench.phantoms.head_anatomy import HeadShape, paint_head
from workbench.phantoms.head_contrast import (
    ALTERATIONS,
    HEAD_MODALITIES,
    Alteration,
    HeadModality,
    paint_brain_signal,
    signals,
)
from workbench.phantoms.head_surgery import paint_resection, paint_tumor
from workbench.phantoms.lattice import Lattice, deformed_points
from workbench.phantoms.new_folder import new_folder
from workbench.phantoms.painting import Canvas, sample
from workbench.phantoms.patients import check_numbers
from workbench.phantoms.template import Template, load_template
from workbench.progress import Progress, silent

LATTICE = Lattice((-100.0, -132.0, -124.0), (200.0, 248.0, 232.0))
WARPS = ((38.0, 8.0), (12.0, 1.8))  # scale and largest displacement, mm
CENTER = np.array([0.0, -20.0, -10.0])
ISOCENTER_MM = np.array([6.0, 20.0, 25.0])
"""How far the scanner's origin may lie from that of the atlas: headers of real scans do not say where the brain is."""
LABEL_NAMES = {0: "background", 1: "brain"}
TISSUES = (
    "air", "CSF", "grey matter", "white matter", "bone", "marrow", "fat", "muscle", "skin", "mucosa", "dura", "vessel",
    "eye", "nerve", "edema", "enhancing rim", "necrosis", "resection cavity",
)  # fmt: skip
_TISSUE_OF = {
    "grey": "grey matter", "white": "white matter", "sclera": "eye", "vitreous": "eye", "lens": "eye",
    "rim": "enhancing rim", "core": "necrosis", "cavity": "resection cavity",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Head:
    """One subject.

    Attributes:
        images: (M, X, Y, Z) float32.
        tissues: (X, Y, Z) uint8, places in :data:`TISSUES`.
        brain: (X, Y, Z) bool.
        affine: (4, 4), voxel → mm RAS.
        modalities: names of the images.
        alteration: what was done to this subject.
    """

    images: np.ndarray
    tissues: np.ndarray
    brain: np.ndarray
    affine: np.ndarray
    modalities: tuple[HeadModality, ...]
    alteration: Alteration


def head_phantom(
    subject: int = 0,
    *,
    seed: int = 0,
    spacing_mm: float = 2.0,
    modalities: Sequence[str] = ("T1", "T2"),
    alteration: Alteration = "none",
    noise: float = 0.025,
    bias: float = 0.3,
) -> Head:
    """Make one head as arrays.

    Args:
        subject: number of the subject, which with the seed decides everything.
        seed: of the cohort.
        spacing_mm: edge of a voxel, 1 to 8 mm.
        modalities: some of T1, T2, T1c and FLAIR.
        alteration: none, or one of :data:`ALTERATIONS`.
        noise: standard deviation in each channel of the magnitude, share of the brightest tissue.
        bias: largest |b| in the head of the bias field exp(b).

    Raises:
        SettingsError: a setting out of its bounds.
    """
    chosen = _check(1, seed, modalities, 0.0)
    template = load_template(float(spacing_mm))
    shape, entropy = LATTICE.shape(spacing_mm), [seed, subject]
    points = _pose(spacing_mm, np.random.default_rng([*entropy, 1]))
    table = signals(chosen, alteration, np.random.default_rng([*entropy, 2]))
    canvas = Canvas(points, spacing_mm, table)
    inner = paint_head(canvas, _thickness(shape, spacing_mm, np.random.default_rng([*entropy, 3])))
    brain = _paint_brain(canvas, template, alteration not in ("inverted", "random"))
    rng = np.random.default_rng([*entropy, 4])
    if alteration == "enhancing":
        paint_tumor(canvas, brain, rng)
    elif alteration == "resection":
        paint_resection(canvas, brain, inner, rng)
    tissues = _tissue_map(canvas)
    head = canvas.substance > 0
    mask = (brain > 0.5) & (tissues != TISSUES.index("resection cavity"))
    images = [
        _scan(clean, head, spacing_mm, noise, bias, np.random.default_rng([*entropy, 10 + HEAD_MODALITIES.index(m)]))
        for clean, m in zip(canvas.images, chosen, strict=True)
    ]
    affine = LATTICE.affine(spacing_mm)
    affine[:3, 3] += np.random.default_rng([*entropy, 5]).uniform(-ISOCENTER_MM, ISOCENTER_MM)
    return Head(np.stack(images), tissues, mask, affine, chosen, alteration)


def _pose(spacing_mm: float, rng: np.random.Generator) -> np.ndarray:
    """Draw where in the atlas each voxel lies: a nod, a turn and a tilt, a size, and two scales of deformation."""
    turn = Rotation.from_euler("xyz", rng.uniform([-7, -3, -3], [7, 3, 3]), degrees=True).as_matrix()
    matrix = turn / rng.uniform(0.94, 1.05, 3)
    offset = CENTER - matrix @ (CENTER + rng.uniform(-4, 4, 3))
    points = deformed_points(LATTICE, spacing_mm, WARPS, rng)
    return (
        np.einsum("ab,bxyz->axyz", matrix.astype(np.float32), points) + offset.astype(np.float32)[:, None, None, None]
    )


def _thickness(shape: tuple[int, ...], spacing_mm: float, rng: np.random.Generator) -> HeadShape:
    means = rng.uniform([2.0, 5.5, 4.0, 1.5], [4.5, 8.5, 7.5, 5.0])

    def vary(mean: float, share: float, scale_mm: float) -> np.ndarray:
        return np.maximum(mean * (1 + share * smooth_field(shape, spacing_mm, scale_mm, rng)), 0.3 * mean)

    csf, skull, scalp = vary(means[0], 0.3, 22.0), vary(means[1], 0.15, 18.0), vary(means[2], 0.15, 30.0)
    fat = np.minimum(vary(means[3], 0.35, 20.0), 0.8 * scalp)
    return HeadShape(csf, skull, scalp, fat, smooth_field(shape, spacing_mm, 5.0, rng))


def _paint_brain(canvas: Canvas, template: Template, detailed: bool) -> np.ndarray:
    """Put the brain into its place; give its share of each voxel, (X, Y, Z)."""
    maps = sample(np.concatenate([template.t1[None], template.fractions]), template.affine, canvas.points)
    fractions, share = maps[1:], maps[1:].sum(axis=0)
    # a voxel whose share is known to rounding only keeps what lies there
    share = np.where(share > 1e-3, np.minimum(share, 1), 0)
    detail = [detailed] * len(canvas.images)
    canvas.images *= 1 - share
    canvas.images += paint_brain_signal(maps[0], fractions, canvas.signals, detail)
    largest = np.array([canvas.names.index(n) for n in ("CSF", "grey", "white")])[fractions.argmax(axis=0)]
    inside = share > 0.5
    canvas.substance[inside] = largest[inside]
    return share


def _tissue_map(canvas: Canvas) -> np.ndarray:
    places = [TISSUES.index(_TISSUE_OF.get(name, name)) for name in canvas.names]
    return np.array(places, np.uint8)[canvas.substance]


def _scan(
    clean: np.ndarray, head: np.ndarray, spacing_mm: float, noise: float, bias: float, rng: np.random.Generator
) -> np.ndarray:
    """Add what the scanner adds: a little blur, texture, the coil's bias and its loss towards the neck, noise."""
    texture = gaussian_filter(rng.standard_normal(clean.shape, np.float32), 1.5 / spacing_mm)
    image = gaussian_filter(clean, 0.4) * (1 + 0.03 * texture / texture.std())
    if bias > 0:
        image = image * bias_field(head, spacing_mm, bias, rng)
    z = LATTICE.low[2] + spacing_mm * np.arange(clean.shape[2])
    image = image * (1 / (1 + np.exp(-(z + 122) / 14))).astype(np.float32)
    return rician(np.maximum(image, 0), noise, rng).astype(np.float32)


def make_head(
    out: Path,
    *,
    n_subjects: int = 8,
    seed: int = 0,
    spacing_mm: float = 2.0,
    modalities: Sequence[str] = ("T1", "T2"),
    altered_share: float = 0.5,
    progress: Progress = silent,
) -> Cohort:
    """Write a cohort of heads.

    Every row has the images, ``label`` and ``mask`` (both the brain), and the covariates ``altered`` (none or the kind)
    and ``tissues`` (a label map of :data:`TISSUES`, whose names are in ``truth.json``). Subject i depends on
    (seed, i, altered_share) alone. Altered subjects are spread evenly, and their kinds take turns.

    Args:
        out: the cohort's folder; must not exist, or be empty.
        n_subjects: 1 to 999.
        seed: equal seeds give equal bytes.
        spacing_mm: edge of a voxel, 1 to 8 mm.
        modalities: some of T1, T2, T1c and FLAIR.
        altered_share: share of altered subjects, 0 to 1.
        progress: told of each subject; may cancel, which removes everything.

    Raises:
        SettingsError: a setting out of its bounds.
        CohortError: the folder is in use.
    """
    chosen = _check(n_subjects, seed, modalities, altered_share)
    with new_folder(out) as partial:
        progress(0.0, "Reading the template")
        load_template(float(spacing_mm))
        subjects = []
        for i in range(n_subjects):
            name = f"head-{i + 1:02d}"
            progress(i / n_subjects, f"Making {name}, {i + 1} of {n_subjects}")
            head = head_phantom(
                i, seed=seed, spacing_mm=spacing_mm, modalities=chosen, alteration=alteration_of(i, altered_share)
            )
            subjects.append(_write_head(partial, name, head))
        write_cohort(partial, subjects)
        write_label_names(partial, LABEL_NAMES)
        truth = {
            "kind": "head", "seed": seed, "altered_share": altered_share, "spacing_mm": spacing_mm,
            "tissues": dict(enumerate(TISSUES)), "altered": {s.name: s.covariates["altered"] for s in subjects},
        }  # fmt: skip
        (partial / "truth.json").write_text(json.dumps(truth, indent=1) + "\n", encoding="utf-8")
        progress(1.0, f"Made {n_subjects} heads")
    return read_cohort(Path(out).absolute())


def alteration_of(subject: int, altered_share: float) -> Alteration:
    """Say what is done to a subject: nothing, or the next of the alterations."""
    before, after = int(subject * altered_share + 1e-9), int((subject + 1) * altered_share + 1e-9)
    return ALTERATIONS[before % len(ALTERATIONS)] if after > before else "none"


def _write_head(folder: Path, name: str, head: Head) -> Subject:
    home = folder / name
    home.mkdir()
    images: dict[str, Path] = {m: home / f"{m}.nii.gz" for m in head.modalities}
    for array, (m, path) in zip(head.images, images.items(), strict=True):
        write_nifti(Volume.from_array(array, head.affine, m), path)
    for array, what in ((head.brain, "label"), (head.brain, "mask"), (head.tissues, "tissues")):
        write_nifti(Volume.from_array(array, head.affine, what), home / f"{what}.nii.gz", dtype=np.uint8)
    covariates = {"altered": head.alteration, "tissues": f"{name}/tissues.nii.gz"}
    label, mask = home / "label.nii.gz", home / "mask.nii.gz"
    return Subject(name, images, label=label, mask=mask, group=name, covariates=covariates, folder=folder)


def _check(n_subjects: int, seed: int, modalities: Sequence[str], altered_share: float) -> tuple[HeadModality, ...]:
    check_numbers(n_subjects, seed)
    if not 0 <= altered_share <= 1:
        raise SettingsError(f"The share of altered subjects lies between 0 and 1; got {altered_share}.")
    if not modalities or any(m not in HEAD_MODALITIES for m in modalities):
        raise SettingsError(
            f"The modalities of the head phantom are {', '.join(HEAD_MODALITIES)}; got {list(modalities)}."
        )
    return tuple(m for m in HEAD_MODALITIES if m in modalities)
