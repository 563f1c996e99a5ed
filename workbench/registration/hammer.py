"""HAMMER: registration by matching the neighborhoods of distinctive voxels, whatever describes them.

Section 3.1 of the review drives it by hand-made attributes and by learnt features. In each stage the most distinctive
nodes of both images look for their counterparts around their present place; soft assignments whose temperature falls
(TPS-HAMMER, Wu et al., NeuroImage 2010) say where they should go; a thin-plate spline carries that to everywhere; and
the map grows as a stationary velocity from a space midway (S-HAMMER, Wu et al., Human Brain Mapping 2014).

*Departs from the papers in* the thresholds and schedules, which could not be read; in matching on a common lattice to
which the rows of both images are brought by the nearest node, the rounding being given back to the displacement; and
in one velocity for both halves.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from workbench.errors import GeometryError
from workbench.progress import Progress, silent
from workbench.registration.feature_rows import FeatureRows
from workbench.registration.half_maps import HalfMaps
from workbench.registration.hammer_settings import HammerSettings
from workbench.registration.hammer_stage import Stage
from workbench.registration.key_points import row_saliency
from workbench.registration.match import EnergyRow, Heard, Match, unheard
from workbench.registration.row_pyramid import RowLevel, l2_scale, row_level


def hammer(
    fixed: FeatureRows,
    moving: FeatureRows,
    fixed_saliency: np.ndarray | None = None,
    moving_saliency: np.ndarray | None = None,
    *,
    spacing: Sequence[float] = (1.0, 1.0, 1.0),
    settings: HammerSettings | None = None,
    progress: Progress = silent,
    heard: Heard = unheard,
) -> Match:
    """Register two described images that lie on one lattice.

    Args:
        fixed: rows of the fixed image.
        moving: rows of the moving image, brought onto the fixed lattice by a linear map; equal K and similarity.
        fixed_saliency: (X, Y, Z), how distinctive each voxel is; by default how unlike its surroundings its row is.
        moving_saliency: likewise.
        spacing: of the lattice along X, Y, Z in mm.
        settings: schedules and weights.
        progress: told after every iteration; may cancel.
        heard: told the energy of every iteration, before ``progress``.

    Returns:
        The map both ways in voxels, the energy of every iteration, and the matched pairs of the last one.

    Raises:
        GeometryError: the images lie on different lattices, or nothing of one is described.
    """
    settings = settings or HammerSettings()
    _check(fixed, moving)
    saliencies = [
        row_saliency(rows) if given is None else given
        for rows, given in ((fixed, fixed_saliency), (moving, moving_saliency))
    ]
    scale = l2_scale(fixed, moving) if fixed.similarity == "l2" else 1.0
    maps = HalfMaps.identity(fixed.mask.shape, settings.control_spacing)
    energy: list[EnergyRow] = []
    done, total = 0, sum(settings.n_iterations)
    levels: dict[int, tuple[RowLevel, RowLevel]] = {}
    points = np.zeros((0, 6), np.float32)
    for index, temperatures in enumerate(settings.temperatures()):
        shrink = settings.shrink[index]
        if shrink not in levels:
            progress(done / total, f"Describing blocks of {shrink} voxels")
            levels = {shrink: (row_level(fixed, shrink, scale), row_level(moving, shrink, scale))}
        stage = Stage(levels[shrink], saliencies, np.asarray(spacing, float), settings, index)
        for iteration, temperature in enumerate(temperatures, start=1):
            maps, row, points = stage.iterate(maps, temperature, iteration)
            energy.append(row)
            heard(row)
            done += 1
            progress(done / total, f"{row.stage}, iteration {iteration}: energy {row.energy:.4f}")
    forward, inverse = maps.whole()
    return Match(forward, inverse, tuple(energy), points)


def _check(fixed: FeatureRows, moving: FeatureRows) -> None:
    if fixed.mask.shape != moving.mask.shape:
        raise GeometryError(
            f"The fixed image has {fixed.mask.shape} voxels and the moving one {moving.mask.shape}; bring the moving "
            "image onto the fixed lattice by a linear map first."
        )
    if fixed.similarity != moving.similarity or fixed.rows.shape[1] != moving.rows.shape[1]:
        raise ValueError(
            f"rows of {fixed.rows.shape[1]} numbers compared by {fixed.similarity} do not fit rows of "
            f"{moving.rows.shape[1]} compared by {moving.similarity}"
        )
    if not (fixed.mask.any() and moving.mask.any()):
        raise GeometryError("One of the two images has no described voxel; widen its mask.")
