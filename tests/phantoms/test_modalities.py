"""Paired MRI and PET: what is written beside the tables is what is in them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from workbench.errors import SettingsError
from workbench.imaging.cohort import Cohort
from workbench.imaging.splits import split_by_group
from workbench.phantoms.modalities import (
    COUPLING,
    OWN,
    UNITS,
    best_auc,
    best_r2,
    draw_subject,
    draw_world,
    make_paired,
    site_offset,
)

N = 3000


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return make_paired(tmp_path_factory.mktemp("phantom") / "paired", n_subjects=60, n_regions=16, missing=0.3)


def truth(cohort: Cohort) -> dict:
    return json.loads((cohort.path.parent / "truth.json").read_text())


def test_classes_and_sites_are_balanced(cohort: Cohort) -> None:
    for site in ("site-01", "site-02", "site-03"):
        members = [s for s in cohort if s.group == site == s.covariates["site"]]
        assert len(members) == 20 and sum(s.target == "patient" for s in members) == 10
    split = split_by_group(cohort)
    assert {cohort[n].group for n in split.train}.isdisjoint({cohort[n].group for n in split.test})


def test_files_hold_the_drawn_numbers_in_their_units(cohort: Cohort) -> None:
    world = draw_world(0, 16, 0.4)
    drawn = dict(zip(UNITS, draw_subject(world, 0, 7), strict=True))
    subject = cohort["subject-0008"]
    for modality in subject.features:
        names, values = subject.feature_vector(modality)
        mean, unit = UNITS[modality]
        assert names == tuple(truth(cohort)["regions"])
        np.testing.assert_allclose((values - mean) / unit, drawn[modality], atol=1e-5)


def test_some_subjects_lack_pet_and_none_lacks_mri(cohort: Cohort) -> None:
    n_pet = sum("PET" in s.features for s in cohort)
    assert all("MRI" in s.features for s in cohort) and 0.5 < n_pet / 60 < 0.9


def test_the_truth_names_what_the_disease_does(cohort: Cohort) -> None:
    found = truth(cohort)
    affected = {m: set(regions) for m, regions in found["affected"].items()}
    assert len(affected["MRI"]) == len(affected["PET"]) == 4 and len(affected["MRI"] & affected["PET"]) == 2
    assert {r for r, d in zip(found["regions"], found["mri_effect"], strict=True) if d == -0.4} == affected["MRI"]


def population(world: object, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw m without what sites add, p, and the classes."""
    mri, pet = (np.stack(z) for z in zip(*(draw_subject(world, seed, i) for i in range(N)), strict=True))  # type: ignore[arg-type]
    sites = np.stack([site_offset(seed, i, mri.shape[1]) for i in range(N)])
    return mri - sites, pet, np.arange(N) % 2


def test_the_best_possible_classifier_reaches_the_stated_area() -> None:
    world = draw_world(3, 16, 0.4)
    mri, pet, y = population(world, 3)
    healthy = mri - np.outer(y, world.mri_effect)
    apart = pet - COUPLING * np.tanh(healthy @ world.mixing.T)  # what MRI does not tell of PET
    stated = best_auc(world)
    ratios = []
    for patterns, shift, values in (
        (world.mri_patterns, world.mri_effect, mri),
        (world.pet_patterns, world.pet_effect, apart),
    ):
        covariance = patterns @ patterns.T + OWN**2 * np.eye(16)
        ratios.append(values @ np.linalg.solve(covariance, shift) - shift @ np.linalg.solve(covariance, shift) / 2)
    assert roc_auc_score(y, ratios[0]) == pytest.approx(stated["MRI"], abs=0.02)
    assert roc_auc_score(y, ratios[0] + ratios[1]) == pytest.approx(stated["both"], abs=0.02)
    assert 0.6 < stated["MRI"] < stated["both"] < 1


def test_mri_tells_the_stated_share_of_pet_and_a_line_tells_less() -> None:
    world = draw_world(1, 16, 0.0)
    mri, pet, _ = population(world, 1)
    told = COUPLING * np.tanh(mri @ world.mixing.T)
    share = 1 - np.var(pet - told, axis=0) / np.var(pet, axis=0)
    line = np.linalg.lstsq(mri, pet, rcond=None)[0]
    linear = 1 - np.var(pet - mri @ line, axis=0) / np.var(pet, axis=0)
    assert share.mean() == pytest.approx(best_r2(world), abs=0.03)
    assert 0.2 < linear.mean() < share.mean() - 0.02


def test_without_an_effect_the_classes_are_alike() -> None:
    assert best_auc(draw_world(0, 16, 0.0)) == {"MRI": 0.5, "both": 0.5}


def test_a_subject_does_not_depend_on_how_many_there_are(tmp_path: Path) -> None:
    few, many = (make_paired(tmp_path / f"p{n}", n_subjects=n, n_regions=8) for n in (4, 9))
    for subject in few:
        for modality, file in subject.features.items():
            assert file.read_bytes() == many[subject.name].features[modality].read_bytes()
    again = make_paired(tmp_path / "other", n_subjects=4, n_regions=8, seed=1)
    assert again.subjects[0].features["MRI"].read_bytes() != few.subjects[0].features["MRI"].read_bytes()


@pytest.mark.parametrize("change", [{"n_subjects": 3}, {"seed": -1}, {"n_regions": 7}, {"effect": -1}, {"missing": 1}])
def test_settings_out_of_bounds_are_said(tmp_path: Path, change: dict) -> None:
    with pytest.raises(SettingsError, match="lies between"):
        make_paired(tmp_path / "p", **change)
