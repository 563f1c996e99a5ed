"""A cohort of 7 T-like brains: strong bias, bright vessels, individual texture; known correspondence and nuclei.

As :mod:`workbench.phantoms.brain`, and harder: what the review's Figures 5 and 6 (Section 3.1, Wu 2016) ask of features
at 7.0 T. The labels go further than tissues, to the hippocampus and four deep nuclei, and the same subjects can be
written in four contrasts, to learn features anew without labels when the contrast changes.

The phantom does not contain what the brain phantom does not contain; its nuclei are ellipsoids and tubes within the
template's tissue, a few millimeters off at their borders; vessels are tubes without branches; the individual texture
has no structure; distortion and signal loss near air, which 7 T shows more than any other field, are absent.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

import numpy as np

from workbench.errors import SettingsError
from workbench.imaging.cohort import Cohort, read_cohort, write_cohort, write_label_names
from workbench.imaging.subject import Subject
from workbench.phantoms.appearance import BrainAppearance
from workbench.phantoms.blobs import voxel_centers
from workbench.phantoms.brain import TEMPLATE_NAME, deform, write_deformed
from workbench.phantoms.brain_7t_look import (
    CLEAN,
    CONTRASTS,
    USUAL,
    Contrast,
    SevenTeslaLook,
    contrast_signal,
    draw_tubules,
    seven_tesla_scan,
)
from workbench.phantoms.brain_parts import DEEP_GREY, HIPPOCAMPUS, inside_any
from workbench.phantoms.deformation import pull
from workbench.phantoms.new_folder import new_folder
from workbench.phantoms.patients import check_numbers
from workbench.phantoms.template import load_template
from workbench.progress import Progress, silent

STRUCTURES = ("hippocampus", "thalamus", "putamen", "caudate", "pallidum")
LABEL_NAMES = dict(enumerate(("background", "CSF", "grey matter", "white matter", *STRUCTURES)))


@lru_cache(maxsize=2)
def structure_shares(spacing_mm: float) -> np.ndarray:
    """Give the share of each nucleus in the template's voxels: (5, X, Y, Z) float32, read-only, by STRUCTURES."""
    template = load_template(spacing_mm)
    points = voxel_centers(template.t1.shape, template.affine)
    csf, grey, _ = template.fractions
    shapes = (HIPPOCAMPUS, *((shape,) for shape in DEEP_GREY))
    shares = np.stack([inside_any(points, s, spacing_mm) for s in shapes]).astype(np.float32)
    shares[0] *= np.clip(4 * grey - 1, 0, 1)  # white matter and the ventricle's horn bound the hippocampus
    shares *= np.clip(template.fractions.sum(axis=0) - 2 * csf, 0, 1)
    order = (0, 4, 1, 2, 3)  # the pallidum takes from the putamen, either from what comes later
    left = np.ones_like(csf)
    for k in order:
        shares[k] *= left
        left = left - shares[k]
    shares.flags.writeable = False
    return shares


def make_brain_7t(
    out: Path,
    *,
    n_subjects: int = 8,
    seed: int = 0,
    spacing_mm: float = 2.0,
    look: SevenTeslaLook = USUAL,
    contrasts: Sequence[str] = CONTRASTS,
    progress: Progress = silent,
) -> Cohort:
    """Write a cohort of 7 T-like brains with known correspondence.

    The first row, ``template``, is undeformed, without vessels and noise-free; ``brain-01`` … follow. Every row has the
    images, ``label`` (:data:`LABEL_NAMES`), ``mask``, and ``warp`` and ``inverse_warp`` as the brain phantom writes
    them. Subject i depends on (seed, i) alone: anatomy, deformation and labels are the same in every contrast.

    Args:
        out: the cohort's folder; must not exist, or be empty.
        n_subjects: besides the template.
        seed: equal seeds give equal bytes.
        spacing_mm: edge of a voxel, 1 to 8 mm. One seed gives the same deformations at every spacing.
        look: every dial.
        contrasts: some of T1, T2, inverted and compressed.
        progress: told of each subject; may cancel, which removes everything.

    Raises:
        SettingsError: a setting out of its bounds.
        CohortError: the folder is in use.
    """
    chosen = _check(n_subjects, seed, look, contrasts)
    with new_folder(out) as partial:
        progress(0.0, "Reading the template")
        load_template(float(spacing_mm))
        subjects = []
        for i in range(n_subjects + 1):
            name = TEMPLATE_NAME if i == 0 else f"brain-{i:02d}"
            progress(i / (n_subjects + 1), f"Making {name}, {i} of {n_subjects}")
            subjects.append(
                _make_subject(partial, name, float(spacing_mm), CLEAN if i == 0 else look, [seed, i], chosen)
            )
        write_cohort(partial, subjects)
        write_label_names(partial, LABEL_NAMES)
        truth = {"kind": "brain7t", "seed": seed, "spacing_mm": spacing_mm, "look": asdict(look)}
        (partial / "truth.json").write_text(json.dumps(truth, indent=1) + "\n", encoding="utf-8")
        progress(1.0, f"Made {n_subjects} brains and the template")
    return read_cohort(Path(out).absolute())


def _make_subject(
    folder: Path, name: str, spacing: float, look: SevenTeslaLook, entropy: list[int], contrasts: list[Contrast]
) -> Subject:
    template = load_template(spacing)
    deformation = deform(template, BrainAppearance(warp_mm=look.warp_mm), entropy)
    vessel = np.zeros_like(template.t1)
    if look.vessels > 0:
        vessel = look.vessels * draw_tubules(template, np.random.default_rng([*entropy, 720]))
    maps = np.concatenate([template.t1[None], vessel[None], template.fractions, structure_shares(spacing)])
    moved = pull(maps, deformation.warp, spacing)
    fractions, structures = moved[2:5], moved[5:]
    labels = structure_labels(fractions, structures)
    images: dict[str, np.ndarray] = {}
    for contrast in contrasts:
        clean = contrast_signal(contrast, moved[0], fractions, structures, moved[1])
        images[contrast] = seven_tesla_scan(contrast, clean, labels > 0, spacing, look, entropy)
    return write_deformed(folder, name, images, labels, deformation, template.affine)


def structure_labels(fractions: np.ndarray, structures: np.ndarray) -> np.ndarray:
    """Give the label map (X, Y, Z) uint8 of tissue fractions (3, …) and shares of nuclei (5, …): the largest."""
    outside = 1 - fractions.sum(axis=0)
    tissues = fractions * (1 - structures.sum(axis=0))
    return np.argmax(np.concatenate([outside[None], tissues, structures]), axis=0).astype(np.uint8)


def _check(n_subjects: int, seed: int, look: SevenTeslaLook, contrasts: Sequence[str]) -> list[Contrast]:
    check_numbers(n_subjects, seed)
    if not contrasts or any(c not in CONTRASTS for c in contrasts):
        raise SettingsError(f"The contrasts of the 7 T-like brain are {', '.join(CONTRASTS)}; got {list(contrasts)}.")
    for name, most in {"warp_mm": 40, "bias": 0.95, "texture": 1, "vessels": 2, "noise": 1}.items():
        if not 0 <= getattr(look, name) <= most:
            raise SettingsError(f"{name} must be from 0 to {most}; got {getattr(look, name):g}.")
    if not 0.2 <= look.gamma[0] <= look.gamma[1] <= 4:
        raise SettingsError(f"gamma must be two rising numbers from 0.2 to 4; got {look.gamma}.")
    return [c for c in CONTRASTS if c in contrasts]
