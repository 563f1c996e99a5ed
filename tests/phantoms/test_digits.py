"""The installed digits as a cohort: the same numbers, and the split that everybody uses."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from workbench.errors import SettingsError
from workbench.imaging.cohort import Cohort
from workbench.imaging.splits import split_by_group
from workbench.phantoms.digits import make_digits


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return make_digits(tmp_path_factory.mktemp("phantom") / "digits")


def test_every_picture_is_its_digit(cohort: Cohort) -> None:
    digits = load_digits()
    assert [s.target for s in cohort] == [str(t) for t in digits.target]
    for i in range(0, 1797, 60):
        volume = cohort.subjects[i].volume("image")
        assert volume.shape == (8, 8, 1) and volume.n_channels == 1
        np.testing.assert_allclose(volume.data[0, ..., 0].T * 16 / 255, digits.images[i], atol=0.04)


def test_the_test_set_is_the_usual_one(cohort: Cohort) -> None:
    target = load_digits().target
    usual = train_test_split(np.arange(1797), target, test_size=360, random_state=0, stratify=target)[1]
    assert sorted(i for i, s in enumerate(cohort) if s.split == "test") == sorted(usual)
    split = split_by_group(cohort, (0.8, 0.1, 0.1))
    assert (len(split.train), len(split.test)) == (1437, 360)


def test_labels_name_the_digits(cohort: Cohort) -> None:
    assert cohort.label_names[7] == "digit 7" and len(cohort.label_names) == 10


@pytest.mark.parametrize("n", [20, 101])
def test_fewer_digits_keep_every_class_on_both_sides(tmp_path: Path, n: int) -> None:
    small = make_digits(tmp_path / "d", n_subjects=n, seed=1)
    counts = {part: Counter(s.target for s in small if s.split == part) for part in ("train", "test")}
    assert len(small) == n and all(len(c) == 10 for c in counts.values())


def test_the_seed_chooses_the_test_set_alone(tmp_path: Path) -> None:
    one, two = (make_digits(tmp_path / f"d{s}", n_subjects=60, seed=s) for s in (0, 1))
    assert [s.target for s in one] == [s.target for s in two]
    assert [s.split for s in one] != [s.split for s in two]


@pytest.mark.parametrize(("n", "seed"), [(19, 0), (1798, 0), (100, -1), (100, 2**32)])
def test_numbers_out_of_bounds_are_said(tmp_path: Path, n: int, seed: int) -> None:
    with pytest.raises(SettingsError, match=r"got (19|1798|-1|4294967296)\."):
        make_digits(tmp_path / "d", n_subjects=n, seed=seed)
