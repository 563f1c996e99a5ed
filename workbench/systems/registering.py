"""One subject brought onto another: images prepared alike, a linear start, then an engine on whatever drives it.

Review: Section 3.1. The engine never changes with what it compares; that is the claim of References 28 and 52, that
features learnt without labels can take the place of those made by hand.
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
from sklearn.decomposition import PCA

from workbench.classical.descriptors import dense_sift
from workbench.errors import GeometryError
from workbench.imaging.displacements import lattice_positions, pull_at, resample_field
from workbench.imaging.files import require_3d
from workbench.imaging.intensity import level, match_histogram
from workbench.imaging.subject import Subject
from workbench.imaging.volume import Volume
from workbench.progress import Progress, part_of, silent
from workbench.registration.attributes import attribute_rows
from workbench.registration.channel_demons import DemonsSettings, channel_demons
from workbench.registration.deformable import register
from workbench.registration.feature_rows import FeatureRows, patch_rows, unit_rows
from workbench.registration.itk_demons import itk_demons
from workbench.registration.linear import find_linear
from workbench.registration.match import Engine, Heard, Match, unheard
from workbench.registration.registered import Registered
from workbench.registration.rounds import hammer_in_rounds
from workbench.systems.feature_images import ImagePreparation, has_background, one_channel
from workbench.systems.learnt_features import LearntFeatures
from workbench.systems.registration_settings import MethodChoice, RegistrationSettings

N_CHANNELS = 12
"""Principal components of learnt features that drive demons."""
SIFT_CELLS = 2  # along each axis: more make rows of a thousand numbers, which HAMMER compares too slowly
LINEAR_SHARE, REGISTERED_SHARE = 0.15, 0.97  # of the time, for the progress bar
ONE_MASK = (
    "Only one of the two images tells anatomy from background, by a mask or by its lowest value, so both were compared "
    "whole; strip both, or give both a mask."
)
Spacing = tuple[float, float, float]
Prepared = tuple[Volume, Volume, np.ndarray]


def register_subjects(
    method: MethodChoice,
    fixed: Subject,
    moving: Subject,
    settings: RegistrationSettings,
    *,
    modalities: tuple[str, str] = ("", ""),
    learnt: LearntFeatures | None = None,
    progress: Progress = silent,
    heard: Heard = unheard,
) -> Registered:
    """Bring the image of one subject onto that of another.

    Args:
        method: engine and what drives it.
        fixed, moving: whose images; masks are used where there are any.
        settings: of start, preparation and engines.
        modalities: of the fixed and the moving image; empty takes a subject's first, or the run's.
        learnt: features of a trained run, for methods that need them.
        progress: told often; may cancel.
        heard: told the energy of every iteration of the deformable part.

    Returns:
        Both images as they were given, and the map between them on their own lattices.

    Raises:
        CohortError: a subject lacks the modality, or its mask is empty.
        GeometryError: a picture or a single slice.
        Cancelled: ``progress`` said so.
    """
    begin = time.perf_counter()
    progress(0.0, "Preparing the images")
    (own_fixed, image, inside), (own_moving, other, other_inside), notes = _prepared(
        fixed, moving, settings, modalities, learnt
    )
    matrix = np.eye(4)
    if settings.linear != "none":
        leveled = _leveled(image, inside), _leveled(other, other_inside)
        start = find_linear(
            *leveled, settings.linear, metric=settings.metric, seed=settings.seed,
            progress=part_of(progress, 0, LINEAR_SHARE),
        )  # fmt: skip
        matrix, notes = start.matrix, (*notes, *start.notes)
    seen = _carried(other_inside, matrix, image, other)
    engine = None if method.engine == "none" else _engine(method, settings, (inside, seen), learnt, heard)
    found = register(
        image, other, linear=matrix, deform=engine, method=_title(method, learnt),
        progress=part_of(progress, LINEAR_SHARE, REGISTERED_SHARE),
    )  # fmt: skip
    return replace(
        found,
        fixed=own_fixed,
        moving=own_moving,
        field=resample_field(found.field, image.affine, own_fixed.shape, own_fixed.affine),
        inverse=resample_field(found.inverse, other.affine, own_moving.shape, own_moving.affine),
        seconds=time.perf_counter() - begin,
        notes=(*notes, *found.notes),
    )


def _title(method: MethodChoice, learnt: LearntFeatures | None) -> str:
    return (
        method.title if learnt is None else method.title.replace("learnt features", f"learnt features ({learnt.name})")
    )


def _prepared(
    fixed: Subject,
    moving: Subject,
    settings: RegistrationSettings,
    modalities: tuple[str, str],
    learnt: LearntFeatures | None,
) -> tuple[Prepared, Prepared, tuple[str, ...]]:
    """Give of both subjects the image as it is, the prepared one and its mask; and what the user is to be told."""
    chosen = []
    for subject, modality in zip((fixed, moving), modalities, strict=True):
        base = learnt.preparation if learnt else ImagePreparation("", settings.spacing_mm, False, False, 3)
        preparation = replace(
            base,
            modality=modality or base.modality,
            spacing_mm=settings.spacing_mm or base.spacing_mm,
            bias_correction=settings.bias_correction or base.bias_correction,
        )
        volume = subject.volume(preparation.modality_of(subject))
        own = require_3d(one_channel(volume, subject.name, "only 3-D images are registered."), "Registration")
        chosen.append((subject, preparation, own))
    told = [subject.mask is not None or has_background(own.data[0]) for subject, _, own in chosen]
    whole = told[0] != told[1]  # a mask that was given, beside one that had to be guessed, would lead astray
    notes = (ONE_MASK,) if whole else ()
    quantiles = learnt.quantiles if learnt else None
    (own, image, mask), (own_other, other, other_mask) = (
        (own, *preparation.image(subject, quantiles, whole=whole)) for subject, preparation, own in chosen
    )
    if not learnt and settings.histogram_matching and own.modality == own_other.modality:
        column = Volume.from_array(other.data[0][other_mask].reshape(-1, 1, 1))
        like = Volume.from_array(image.data[0][mask].reshape(-1, 1, 1))
        data = other.data.copy()
        data[0][other_mask] = np.clip(match_histogram(column, like, has_background=False).data.ravel(), 0, 1)
        other = other.with_data(data)
    return (own, image, mask), (own_other, other, other_mask), notes


def _leveled(image: Volume, mask: np.ndarray) -> Volume:
    """Give what a linear map is found from.

    The correlation of images under strong bias fields is best where the fields agree, not the anatomy (measured on
    7 T-like phantoms: turned by 45 degrees, tissue Dice 0.18 in place of 0.52).
    """
    return image if mask.all() else level(image, mask)


def _carried(mask: np.ndarray, matrix: np.ndarray, fixed: Volume, moving: Volume) -> np.ndarray:
    """Give the moving mask on the fixed lattice, through the linear map.

    Raises:
        GeometryError: nothing of it lies there.
    """
    where = lattice_positions(fixed.shape, np.linalg.inv(moving.affine) @ matrix @ fixed.affine)
    n = np.array(mask.shape)[:, None, None, None]
    there = ((where >= -0.5) & (where <= n - 0.5)).all(0)
    carried: np.ndarray = (pull_at(mask[None].astype(np.float32), where)[0] > 0.5) & there
    if not carried.any():
        raise GeometryError(
            "The two images have nothing in common after the linear start; begin with another one (moments, rigid, "
            "affine), or check that both files say where they lie."
        )
    return carried


def _engine(
    method: MethodChoice,
    settings: RegistrationSettings,
    masks: tuple[np.ndarray, np.ndarray],
    learnt: LearntFeatures | None,
    heard: Heard,
) -> Engine:
    """Give what finds the deformation of two images on one lattice, with the masks of both there."""
    inside, seen = masks

    def run(fixed: np.ndarray, moving: np.ndarray, spacing: Spacing, progress: Progress) -> Match:
        if method.engine in ("demons", "diffeomorphic"):
            return itk_demons(
                fixed, moving, spacing, kind=method.engine, n_iterations=settings.n_iterations,
                smoothing_mm=settings.smoothing_mm or None, levels=settings.n_levels, histogram_matching=False,
                progress=progress, heard=heard,
            )  # fmt: skip

        def describe(image: np.ndarray, mask: np.ndarray) -> FeatureRows:
            return _rows(method, settings, image, mask, spacing, learnt)

        if method.engine == "hammer":
            return hammer_in_rounds(
                (fixed, inside), (moving, seen), describe, spacing, settings=settings.hammer(),
                n_rounds=settings.n_rounds, progress=progress, heard=heard,
            )  # fmt: skip
        progress(0.0, "Describing every voxel")
        demons = DemonsSettings(n_levels=settings.n_levels, n_iterations=settings.n_iterations)
        reference = describe(fixed, inside)
        still, moved = (_channels(rows, reference) for rows in (reference, describe(moving, seen)))
        return channel_demons(still, moved, spacing, demons, progress=progress, heard=heard)

    return run


def _rows(
    method: MethodChoice,
    settings: RegistrationSettings,
    image: np.ndarray,
    mask: np.ndarray,
    spacing: Spacing,
    learnt: LearntFeatures | None,
) -> FeatureRows:
    """Describe every voxel of a mask by what drives the engine."""
    if method.drive == "attributes":
        return attribute_rows(image, mask, spacing)
    if method.drive == "patches":
        return patch_rows(image, mask, settings.patch_size)
    if method.drive == "sift":
        cell = max(1, round(settings.patch_size / SIFT_CELLS))
        sift = dense_sift(image, mask, spacing_mm=spacing, cell=cell, n_cells=SIFT_CELLS)
        return FeatureRows(mask, unit_rows(sift.astype(np.float32)), "correlation")
    assert learnt is not None
    return FeatureRows(mask, unit_rows(learnt.encode(image, mask).astype(np.float32)), "correlation")


def _channels(rows: FeatureRows, reference: FeatureRows) -> np.ndarray:
    """Give the principal components of the fixed image's features, (C, X, Y, Z), each to the first one's scale."""
    sample = reference.rows[:: max(1, len(reference.rows) // 20_000)]
    axes = PCA(min(N_CHANNELS, sample.shape[1], len(sample)), random_state=0).fit(sample)
    dense = np.zeros((axes.n_components_, *rows.mask.shape), np.float32)
    dense[:, rows.mask] = axes.transform(rows.rows).T / np.sqrt(axes.explained_variance_.sum())
    return dense
