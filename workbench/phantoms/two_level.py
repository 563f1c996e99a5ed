"""Subjects whose class depends on two factors together and on neither alone: what depth is for.

For the study of depth on structural maps (Plis et al. 2014; Section 3.5, Reference 120)::

    a, b ~ +-N(1, 0.3²)            two group factors of random sign
    x = tanh(g (a A + b B + n N)) + e        A, B, N: smooth patterns over V voxels;  n ~ N(0, 1)    e ~ N(0, s²)
    class = [a b > 0]

Both classes have the same mean in every voxel, so a linear machine on voxels is at chance. Sites are groups of 20
subjects and tell nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from workbench.errors import SettingsError
from workbench.imaging.cohort import Cohort, read_cohort, write_cohort
from workbench.imaging.feature_vectors import write_feature_vector
from workbench.imaging.subject import Subject
from workbench.phantoms.new_folder import new_folder, refuse_taken

N_NUISANCE, PER_SITE = 4, 20
FACTOR_SD, GAIN, WIDTH = 0.3, 0.8, 0.06
CLASSES = ("control", "patient")


class TwoLevel(NamedTuple):
    """Drawn subjects.

    Attributes:
        values: (N, V) float32.
        target: (N,) 0 or 1.
        factors: (N, 2), a and b.
    """

    values: np.ndarray
    target: np.ndarray
    factors: np.ndarray


def planted_two_level(
    n_subjects: int = 400, *, seed: int = 0, n_voxels: int = 300, noise: float = 0.5, effect: float = 1.0
) -> TwoLevel:
    """Draw subjects.

    Args:
        n_subjects: N.
        seed: of the patterns, the factors and the noise.
        n_voxels: V.
        noise: s, standard deviation in each voxel.
        effect: what the patterns of the two factors are multiplied with; 0 leaves nothing to be told.
    """
    if n_subjects < 8 or n_voxels < 16 or noise < 0:
        raise SettingsError(
            f"A two-level phantom has at least 8 subjects, 16 voxels and no negative noise; got {n_subjects}, "
            f"{n_voxels} and {noise}."
        )
    rng = np.random.default_rng([seed, 0])
    patterns = _patterns(rng, 2 + N_NUISANCE, n_voxels)
    rng = np.random.default_rng([seed, 1])
    signs = rng.choice([-1.0, 1.0], (n_subjects, 2))
    factors = signs * rng.normal(1, FACTOR_SD, (n_subjects, 2))
    nuisance = rng.normal(size=(n_subjects, N_NUISANCE))
    inner = effect * factors @ patterns[:2] + nuisance @ patterns[2:] / 2
    values = np.tanh(GAIN * inner) + rng.normal(0, noise, (n_subjects, n_voxels))
    return TwoLevel(values.astype(np.float32), (factors.prod(1) > 0).astype(int), factors)


def make_two_level(
    out: Path, *, n_subjects: int = 400, seed: int = 0, n_voxels: int = 300, noise: float = 0.5, effect: float = 1.0
) -> Cohort:
    """Write drawn subjects as a cohort with ``features:GM``.

    Raises:
        CohortError: the folder is in use.
        SettingsError: a setting out of its bounds.
    """
    refuse_taken(out)
    drawn = planted_two_level(n_subjects, seed=seed, n_voxels=n_voxels, noise=noise, effect=effect)
    with new_folder(out) as partial:
        names = [f"voxel-{i + 1:0{len(str(n_voxels))}d}" for i in range(n_voxels)]
        subjects = []
        for i, (row, target) in enumerate(zip(drawn.values, drawn.target, strict=True)):
            name = f"subject-{i + 1:04d}"
            file = partial / f"{name}.csv"
            write_feature_vector(file, names, row)
            subjects.append(Subject(name, features={"GM": file}, target=CLASSES[target],
                                    group=f"site-{i // PER_SITE + 1:02d}", folder=partial))  # fmt: skip
        write_cohort(partial, subjects)
    return read_cohort(Path(out).absolute())


def _patterns(rng: np.random.Generator, n: int, n_voxels: int) -> np.ndarray:
    """Give smooth patterns (n, V): white noise under a Gaussian kernel, of standard deviation 1."""
    place = np.arange(n_voxels)
    distance = np.abs(place[:, None] - place)
    kernel = np.exp(-((np.minimum(distance, n_voxels - distance) / (WIDTH * n_voxels)) ** 2) / 2)
    drawn = rng.normal(size=(n, n_voxels)) @ kernel
    return (drawn - drawn.mean(1, keepdims=True)) / drawn.std(1, keepdims=True)
