"""The 1,797 handwritten digits that scikit-learn installs, as a cohort of pictures: small, real, and always at hand.

Digits of 43 people, scanned and reduced to 8 × 8 counts from 0 to 16 (Alpaydin and Kaynak, Optical Recognition of
Handwritten Digits, UCI 1998; scikit-learn ships the test part). They are no phantom in the strict sense: only the
class is known. Who wrote which digit is not, so one writer can be on both sides of the split.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from workbench.errors import SettingsError
from workbench.imaging.cohort import Cohort, read_cohort, write_cohort, write_label_names
from workbench.imaging.pictures import write_picture
from workbench.imaging.subject import Subject
from workbench.imaging.volume import Volume
from workbench.phantoms.new_folder import new_folder
from workbench.progress import Progress, silent

N_DIGITS = 1797
FEWEST = 20  # two of each class among the first 20
TEST_SHARE = 360 / N_DIGITS
TOP, WHITE = 16, 255  # of the counts, and of the pictures
MAX_SEED = 2**32 - 1
TOLD_EVERY = 50


def make_digits(out: Path, *, n_subjects: int = N_DIGITS, seed: int = 0, progress: Progress = silent) -> Cohort:
    """Write the digits as PNG pictures with the digit as ``target`` and a stratified ``split`` into train and test.

    With all of them and seed 0 the test set is the usual one: ``train_test_split(test_size=360, random_state=0,
    stratify=target)``. A picture's values are round(255 · count / 16).

    Args:
        out: the cohort's folder; must not exist, or be empty.
        n_subjects: the first so many, 20 to 1,797; a fifth of them is the test set, with each class in it.
        seed: chooses the test set.
        progress: told of the pictures; may cancel, which removes everything.

    Raises:
        SettingsError: a number out of its bounds.
        CohortError: the folder is in use.
    """
    from sklearn.datasets import load_digits

    _check(n_subjects, seed)
    with new_folder(out, "digits") as partial:
        digits = load_digits()
        targets = digits.target[:n_subjects]
        in_test = _test_part(targets, seed)
        subjects = []
        for i, (counts, target) in enumerate(zip(digits.images, targets, strict=False)):
            if i % TOLD_EVERY == 0:
                progress(i / n_subjects, f"Writing digit {i + 1} of {n_subjects}")
            subjects.append(_write_digit(partial, i, counts, int(target), "test" if in_test[i] else "train"))
        write_cohort(partial, subjects)
        write_label_names(partial, {digit: f"digit {digit}" for digit in range(10)})
        progress(1.0, f"Wrote {n_subjects} digits")
    return read_cohort(Path(out).absolute())


def _test_part(targets: np.ndarray, seed: int) -> np.ndarray:
    """Say which digits are for testing: (N,) bool."""
    from sklearn.model_selection import train_test_split

    n_test = max(10, round(len(targets) * TEST_SHARE))
    _, chosen = train_test_split(np.arange(len(targets)), test_size=n_test, random_state=seed, stratify=targets)
    return np.isin(np.arange(len(targets)), chosen)


def _write_digit(folder: Path, index: int, counts: np.ndarray, target: int, split: str) -> Subject:
    name = f"digit-{index + 1:04d}"
    pixels = np.rint(counts * WHITE / TOP)  # (rows, columns)
    file = folder / name / "image.png"
    write_picture(Volume.from_array(pixels.T[..., None]), file)  # X is the column
    return Subject(name, {"image": file}, target=str(target), split=split, folder=folder)


def _check(n_subjects: int, seed: int) -> None:
    if not FEWEST <= n_subjects <= N_DIGITS:
        raise SettingsError(f"There are from {FEWEST} to {N_DIGITS} digits to take; got {n_subjects}.")
    if not 0 <= seed <= MAX_SEED:
        raise SettingsError(f"The seed must be from 0 to {MAX_SEED}; got {seed}.")
