"""Rigid and affine maps between two images, by SimpleITK.

The start is the best of three: the images as they lie, their lattices' centers put together, their centers of mass
put together. From there a rigid and then an affine map is optimized on three levels, from coarse to fine. A map that
lost the images' overlap, or ended worse than it began, is given up for the one before it, and a note says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from workbench.errors import GeometryError
from workbench.imaging.displacements import lattice_positions
from workbench.imaging.limits import times
from workbench.imaging.volume import Volume
from workbench.progress import Progress, silent
from workbench.registration.itk_images import LPS, check_image, told
from workbench.registration.resolutions import resolutions

if TYPE_CHECKING:
    import SimpleITK as sitk

Kind = Literal["moments", "rigid", "affine"]
Metric = Literal["correlation", "mutual information"]

N_SAMPLES = 50_000
N_ITERATIONS = 150
N_BINS = 32
OVERLAP_VOXELS = 100_000  # to measure the overlap with
LEAST_OVERLAP = 0.3  # of the fixed foreground inside the moving lattice
LARGEST_STRETCH = 2.0
WORSE = 0.02  # of what is minimized, from which on the optimizer is taken to be lost


@dataclass(frozen=True, eq=False)
class LinearMap:
    """A linear map and how it was found.

    Attributes:
        matrix: (4, 4), mm RAS of the fixed image → mm RAS of the moving one.
        kind: what was reached; simpler than asked for where the optimizer got lost.
        overlap: share of the fixed foreground that lands inside the moving lattice.
        notes: sentences for the user.
    """

    matrix: np.ndarray
    kind: Kind
    overlap: float
    notes: tuple[str, ...]


def find_linear(
    fixed: Volume,
    moving: Volume,
    kind: Kind = "affine",
    *,
    metric: Metric = "correlation",
    fixed_mask: np.ndarray | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> LinearMap:
    """Find a linear map by the first channels of two images.

    Args:
        fixed: the image that stays.
        moving: the image that is brought onto it; any lattice.
        kind: ``moments`` only shifts, ``rigid`` turns too, ``affine`` also stretches and shears.
        metric: ``correlation`` for one modality, ``mutual information`` across modalities.
        fixed_mask: (X, Y, Z) on the fixed lattice, non-zero where images are compared; everywhere without it.
        seed: of the voxels that are sampled; equal seeds give equal maps.
        progress: told of every iteration; may cancel.

    Raises:
        FileError: an image is constant or not finite.
        GeometryError: an image is too small, or the mask is empty or of another shape.
    """
    pair = _Pair(fixed, moving, fixed_mask, metric, seed)
    shift = pair.best_shift()
    found = LinearMap(shift, "moments", pair.overlap(shift), ())
    stages: list[Kind] = {"moments": [], "rigid": ["rigid"], "affine": ["rigid", "affine"]}[kind]  # type: ignore[assignment]
    n_runs = len(stages) * len(pair.levels)
    for stage in stages:
        matrix, before = found.matrix, pair.value(found.matrix)
        for level in range(len(pair.levels)):

            def tell(share: float, name: Kind = stage, number: int = level) -> None:
                done = stages.index(name) * len(pair.levels) + number + share
                progress(done / n_runs, f"{name} map, level {number + 1} of {len(pair.levels)}")

            matrix = pair.optimized(matrix, stage, level, tell) if np.isfinite(matrix).all() else matrix
        trouble = pair.trouble(matrix, before)
        if trouble:
            note = f"The {stage} map was given up because {trouble}; the {_WORDS[found.kind]} is used instead."
            found = LinearMap(found.matrix, found.kind, found.overlap, (*found.notes, note))
            break
        matrix = min(found.matrix, matrix, key=pair.value)  # the simpler map may have been perfect
        found = LinearMap(matrix, stage, pair.overlap(matrix), found.notes)
    progress(1.0, f"{_WORDS[found.kind]} found".capitalize())
    return found


_WORDS = {"moments": "shift between the images", "rigid": "rigid map", "affine": "affine map"}


def overlap(fixed: Volume, inside: np.ndarray, moving: Volume, matrix: np.ndarray) -> float:
    """Measure the share of fixed voxels inside a mask (X, Y, Z) that a map (4, 4) mm leads into the moving lattice."""
    step = max(int((inside.size / OVERLAP_VOXELS) ** (1 / 3)), 1)
    step = step if inside[::step, ::step, ::step].any() else 1
    some = inside[::step, ::step, ::step]
    to_moving = np.linalg.inv(moving.affine) @ matrix @ fixed.affine @ np.diag([step, step, step, 1.0])
    where = lattice_positions(some.shape, to_moving)[:, some]
    last = np.array(moving.shape)[:, None] - 1
    return float(((where >= -0.5) & (where <= last + 0.5)).all(0).mean())


class _Pair:
    """Two images at several resolutions, and what can be measured of a matrix between them."""

    def __init__(self, fixed: Volume, moving: Volume, fixed_mask: np.ndarray | None, metric: Metric, seed: int) -> None:
        check_image(fixed.data[0], "fixed")
        check_image(moving.data[0], "moving")
        if fixed_mask is not None and fixed_mask.shape != fixed.shape:
            raise GeometryError(
                f"The mask has {times(fixed_mask.shape)} voxels but the fixed image has {times(fixed.shape)}; give a "
                "mask on the lattice of the fixed image."
            )
        if fixed_mask is not None and not fixed_mask.any():
            raise GeometryError("The mask of the fixed image is empty, so nothing can be compared; draw it again.")
        self.fixed, self.moving, self.metric, self.seed = fixed, moving, metric, seed
        self.foreground = fixed_mask != 0 if fixed_mask is not None else _foreground(fixed)
        self.levels = resolutions(fixed, moving, fixed_mask)
        self.center = _center_of_mass(fixed, self.foreground)

    def best_shift(self) -> np.ndarray:
        """Give the shift of lattice centers, of centers of mass, or none, whichever makes the images most alike."""
        mass = _center_of_mass(self.moving, _foreground(self.moving)) - self.center
        middles = [v.to_mm((np.array(v.shape) - 1) / 2) for v in (self.fixed, self.moving)]
        starts = [_shift(mass), _shift(middles[1] - middles[0]), np.eye(4)]
        covered = [m for m in starts if self.overlap(m) >= LEAST_OVERLAP] or starts[:1]
        return min(covered, key=self.value)

    def overlap(self, matrix: np.ndarray) -> float:
        """Measure the share of the fixed foreground that a map leads into the moving lattice."""
        return overlap(self.fixed, self.foreground, self.moving, matrix)

    def value(self, matrix: np.ndarray) -> float:
        """Measure what is minimized, at the middle level; infinite where nothing can be compared."""
        method = self._method(len(self.levels) // 2)
        method.SetInitialTransform(self._transform(matrix, "affine"))
        level = self.levels[len(self.levels) // 2]
        try:
            return float(method.MetricEvaluate(level.fixed, level.moving))
        except RuntimeError:
            return np.inf

    def optimized(self, matrix: np.ndarray, stage: Kind, level: int, tell: Callable[[float], None]) -> np.ndarray:
        """Improve a map at one level; NaN where the optimizer lost the image."""
        method = self._method(level)
        edge = float(np.mean(self.levels[level].fixed.GetSpacing()))
        method.SetOptimizerAsRegularStepGradientDescent(edge / 2, edge / 1000, N_ITERATIONS, 0.8, 1e-9)  # steps in mm
        method.SetOptimizerScalesFromPhysicalShift()
        transform = self._transform(matrix, stage)
        method.SetInitialTransform(transform, inPlace=True)
        try:
            with told(method, lambda: tell(method.GetOptimizerIteration() / N_ITERATIONS)):
                method.Execute(self.levels[level].fixed, self.levels[level].moving)
        except RuntimeError:  # "all samples map outside moving image buffer"
            return np.full((4, 4), np.nan)
        return _matrix(transform)

    def trouble(self, matrix: np.ndarray, before: float) -> str | None:
        """Say what is wrong with an optimized map, or nothing."""
        if not np.isfinite(matrix).all():
            return "the images lost each other while it was optimized"
        stretch = np.linalg.svd(matrix[:3, :3], compute_uv=False)
        if stretch.max() > LARGEST_STRETCH or stretch.min() < 1 / LARGEST_STRETCH:
            return f"it stretches the image to between {stretch.min():.2g} and {stretch.max():.2g} times its size"
        overlap = self.overlap(matrix)
        if overlap < LEAST_OVERLAP:
            return f"only {overlap:.0%} of the fixed image's foreground lands inside the moving image"
        if self.value(matrix) > before + WORSE * abs(before):
            return "the images are less alike after it than before"
        return None

    def _method(self, level: int) -> sitk.ImageRegistrationMethod:
        import SimpleITK as sitk

        method = sitk.ImageRegistrationMethod()
        method.SetNumberOfThreads(1)  # sums in one order, so that equal seeds give equal maps on every machine
        if self.metric == "correlation":
            method.SetMetricAsCorrelation()
        else:
            method.SetMetricAsMattesMutualInformation(N_BINS)
        share = N_SAMPLES / self.levels[level].fixed.GetNumberOfPixels()
        if share < 1:
            method.SetMetricSamplingStrategy(method.REGULAR)
            method.SetMetricSamplingPercentage(share, self.seed + 1)  # 0 would be the time of day
        if self.levels[level].mask is not None:
            method.SetMetricFixedMask(self.levels[level].mask)
        method.SetInterpolator(sitk.sitkLinear)
        return method

    def _transform(self, matrix: np.ndarray, stage: Kind) -> sitk.AffineTransform | sitk.Euler3DTransform:
        """The map as a SimpleITK transform about the center of mass; a rigid one keeps only the rotation."""
        import SimpleITK as sitk

        lps = LPS @ matrix @ LPS
        center = LPS[:3, :3] @ self.center
        transform: sitk.AffineTransform | sitk.Euler3DTransform
        if stage == "rigid":
            transform = sitk.Euler3DTransform()
            left, _, right = np.linalg.svd(lps[:3, :3])
            linear = left @ right
        else:
            transform, linear = sitk.AffineTransform(3), lps[:3, :3]
        transform.SetCenter(center.tolist())
        transform.SetMatrix(linear.ravel().tolist())
        transform.SetTranslation((lps[:3, :3] @ center + lps[:3, 3] - center).tolist())
        return transform


def _matrix(transform: sitk.AffineTransform | sitk.Euler3DTransform) -> np.ndarray:
    """The (4, 4) of a SimpleITK transform, in RAS."""
    lps = np.eye(4)
    lps[:3, :3] = np.reshape(transform.GetMatrix(), (3, 3))
    center = np.array(transform.GetCenter())
    lps[:3, 3] = center + transform.GetTranslation() - lps[:3, :3] @ center
    return LPS @ lps @ LPS


def _shift(by: np.ndarray) -> np.ndarray:
    """A translation by (3,) mm as a matrix."""
    matrix = np.eye(4)
    matrix[:3, 3] = by
    return matrix


def _foreground(volume: Volume) -> np.ndarray:
    """Mark what is brighter than Otsu's threshold, (X, Y, Z) bool."""
    import SimpleITK as sitk

    threshold = sitk.OtsuThresholdImageFilter()
    threshold.Execute(sitk.GetImageFromArray(volume.data[0]))
    bright: np.ndarray = volume.data[0] > threshold.GetThreshold()
    return bright if bright.any() else volume.data[0] > volume.data[0].min()


def _center_of_mass(volume: Volume, inside: np.ndarray) -> np.ndarray:
    """The mean place of the voxels inside, in mm."""
    return volume.to_mm(np.array([axis.mean() for axis in np.nonzero(inside)]))
