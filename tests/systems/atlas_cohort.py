"""A small cohort with two structures in a head, whose places vary: for systems in which atlases vote."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
from scipy.ndimage import gaussian_filter

from workbench.imaging.cohort import Cohort, write_cohort, write_label_names
from workbench.imaging.subject import Subject

PLAIN = np.diag([2.0, 2, 2, 1])
OBLIQUE = np.array([[1.9, -0.6, 0, -8], [0.6, 1.9, 0.1, 5], [0, -0.1, 2.0, 3], [0, 0, 0, 1.0]])
SPLIT = {"train": ["a", "b", "c"], "validation": [], "test": ["d"]}


def head(seed: int, shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Give an image and its labels: 5 a ball, 9 a smaller one beside it, both in a larger blob with a bright spot."""
    rng = np.random.default_rng(seed)
    middle = np.array(shape) / 2 + rng.uniform(-1, 1, 3)
    places = np.moveaxis(np.indices(shape), 0, -1) - middle

    def ball(x: float, y: float, z: float, radius: float) -> np.ndarray:
        return np.linalg.norm(places - (x, y, z), axis=-1) < radius

    around = ball(0, 0, 0, min(shape) * 0.45)
    five, nine = ball(-2, 0, 0, 3.2 + 0.3 * rng.normal()), ball(4.5, 0, 0, 2.4)
    image = 1.0 * around + 1.0 * five + 2.0 * nine + 1.5 * ball(0, 5, 3, 1.5)
    labels = np.where(nine, 9, np.where(five, 5, 0))
    return gaussian_filter(image, 0.6) + rng.normal(0, 0.05, shape), labels


def write_head(folder: Path, name: str, seed: int, affine: np.ndarray, shape: tuple[int, int, int]) -> Subject:
    """Write one subject."""
    image, labels = head(seed, shape)
    for what, array in (("T1", image.astype(np.float32)), ("label", labels.astype(np.int16))):
        nib.save(nib.Nifti1Image(array, affine), folder / f"{name}-{what}.nii.gz")
    return Subject(name, {"T1": folder / f"{name}-T1.nii.gz"}, folder / f"{name}-label.nii.gz", folder=folder)


def head_cohort(folder: Path) -> Cohort:
    """Write five subjects; the last one lies obliquely."""
    subjects = [write_head(folder, name, i, PLAIN, (22, 20, 18)) for i, name in enumerate("abcd")]
    subjects.append(write_head(folder, "oblique", 7, OBLIQUE, (21, 22, 18)))
    write_cohort(folder, subjects)
    write_label_names(folder, {5: "five", 9: "nine"})
    return Cohort(folder / "cohort.csv", tuple(subjects))
