"""SimpleITK's demons: Thirion's (1998), and the diffeomorphic ones of the review's Reference 87 (Vercauteren 2009)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from workbench.imaging.displacements import invert, resize
from workbench.imaging.intensity import match_histogram
from workbench.imaging.volume import Volume
from workbench.progress import Progress, silent
from workbench.registration.itk_images import check_image, field_from_itk, field_to_itk, spaced, told
from workbench.registration.match import EnergyRow, Heard, Match, unheard
from workbench.registration.pyramid import Level, comparable, pyramid

if TYPE_CHECKING:
    import SimpleITK as sitk

    Demons = sitk.DemonsRegistrationFilter | sitk.DiffeomorphicDemonsRegistrationFilter

Kind = Literal["demons", "diffeomorphic"]
BACKGROUND_SHARE = 0.05  # of voxels at the minimum, from which on an image has a background
TELL_EVERY = 5  # iterations


def itk_demons(
    fixed: np.ndarray,
    moving: np.ndarray,
    spacing: Sequence[float],
    *,
    kind: Kind = "diffeomorphic",
    n_iterations: int = 100,
    smoothing_mm: float | None = None,
    levels: int = 1,
    histogram_matching: bool = True,
    progress: Progress = silent,
    heard: Heard = unheard,
) -> Match:
    """Register two images of one modality on one lattice.

    Args:
        fixed: (X, Y, Z).
        moving: (X, Y, Z), brought onto the fixed lattice.
        spacing: mm.
        kind: ``diffeomorphic`` composes small invertible steps; ``demons`` adds them and may fold.
        n_iterations: on each level.
        smoothing_mm: standard deviation of the Gaussian that smooths the field after each step, on the finest level;
            1 voxel without it, as in ITK. Coarser levels smooth by as many voxels.
        levels: of the pyramid.
        histogram_matching: bring the moving image's histogram to the fixed one's first.
        progress: told every few iterations; may cancel.
        heard: told the energy of every iteration.

    Raises:
        FileError: an image is constant or not finite.
        GeometryError: fewer than four voxels along an axis.
    """
    check_image(fixed, "fixed")
    check_image(moving, "moving")
    if fixed.shape != moving.shape:
        raise ValueError(f"both images lie on one lattice; got {fixed.shape} and {moving.shape}")
    if histogram_matching:
        moving = matched(moving, fixed)
    edge = float(np.mean(spacing))
    sigma_edges = 1.0 if smoothing_mm is None else smoothing_mm / edge
    steps = pyramid(*comparable(fixed[None].astype(np.float32), moving[None].astype(np.float32)), spacing, levels)
    field = np.zeros((3, *steps[0].fixed.shape[1:]), np.float32)
    rows: list[EnergyRow] = []

    def add(row: EnergyRow) -> None:
        rows.append(row)
        heard(row)

    for number, level in enumerate(steps):
        field = resize(field, level.fixed.shape[1:])
        demons = _filter(kind, n_iterations, [sigma_edges * float(np.mean(level.spacing)) / s for s in level.spacing])
        stage = f"level {number + 1} of {len(steps)}"

        def tell(share: float, stage: str = stage, number: int = number) -> None:
            progress((number + share) / (len(steps) + 0.1), f"{kind}, {stage}")

        field = _run(demons, level, field, stage, add, tell)
    progress(1 - 0.05 / len(steps), "inverting the field")
    return Match(field, invert(field), tuple(rows))


def matched(moving: np.ndarray, fixed: np.ndarray) -> np.ndarray:
    """Give the moving image (X, Y, Z) the histogram of the fixed one; a background takes no part."""
    has_background = all(float((i == i.min()).mean()) > BACKGROUND_SHARE for i in (fixed, moving))
    volumes = (Volume.from_array(i) for i in (moving, fixed))
    return match_histogram(*volumes, has_background=has_background).data[0]


def _filter(kind: Kind, n_iterations: int, sigma_voxels: list[float]) -> Demons:
    import SimpleITK as sitk

    demons: Demons
    demons = sitk.DemonsRegistrationFilter() if kind == "demons" else sitk.DiffeomorphicDemonsRegistrationFilter()
    demons.SetNumberOfIterations(n_iterations)
    demons.SetSmoothDisplacementField(max(sigma_voxels) > 0)
    demons.SetStandardDeviations([float(s) for s in sigma_voxels])  # ITK counts them in voxels
    return demons


def _run(
    demons: Demons,
    level: Level,
    field: np.ndarray,
    stage: str,
    add: Heard,
    tell: Callable[[float], None],
) -> np.ndarray:
    """Run one level from a field in voxels; hand on its energies."""
    n_iterations, n_points = demons.GetNumberOfIterations(), level.fixed[0].size

    def iterated() -> None:
        done = int(demons.GetElapsedIterations())
        add(EnergyRow(stage, done, float(demons.GetMetric()), n_points))
        if done % TELL_EVERY == 1:
            tell(done / n_iterations)

    with told(demons, iterated):
        images = (spaced(image[0], level.spacing) for image in (level.fixed, level.moving))
        result = demons.Execute(*images, field_to_itk(field, level.spacing))
    return field_from_itk(result)
