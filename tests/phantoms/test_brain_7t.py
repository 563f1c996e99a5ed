from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import label

from workbench.errors import SettingsError
from workbench.imaging.cohort import Cohort
from workbench.imaging.fields import read_field
from workbench.imaging.subject import Subject
from workbench.phantoms.brain import make_brain
from workbench.phantoms.brain_7t import (
    LABEL_NAMES,
    STRUCTURES,
    make_brain_7t,
    structure_labels,
    structure_shares,
)
from workbench.phantoms.brain_7t_look import CONTRASTS, USUAL
from workbench.phantoms.deformation import jacobian_determinant, pull
from workbench.phantoms.template import load_template

EDGE = 6.0


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return make_brain_7t(tmp_path_factory.mktemp("phantom") / "brains", n_subjects=1, spacing_mm=EDGE)


def truth(subject: Subject, which: str) -> np.ndarray:
    return read_field(subject.folder / subject.covariates[which])[0]


def digests(folder: Path) -> dict[str, str]:
    files = sorted(f for f in folder.rglob("*") if f.is_file())
    return {f.relative_to(folder).as_posix(): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def test_cohort_has_the_template_first_four_contrasts_and_nine_labels(cohort: Cohort) -> None:
    assert [s.name for s in cohort] == ["template", "brain-01"]
    assert cohort.modalities == list(CONTRASTS) and cohort.label_names == LABEL_NAMES
    for subject in cohort:
        image = subject.volume("T1")
        labels, mask = subject.label_map(image), subject.mask_array(image)
        assert labels is not None and mask is not None
        assert set(np.unique(labels)) == set(LABEL_NAMES)
        np.testing.assert_array_equal(mask, labels > 0)
    assert json.loads((cohort.path.parent / "truth.json").read_text())["look"]["bias"] == USUAL.bias


def test_shares_of_nuclei_are_shares_of_the_tissue_and_symmetric() -> None:
    shares, template = structure_shares(4.0), load_template(4.0)
    assert shares.min() >= 0 and shares.sum(axis=0).max() <= 1 + 1e-6
    assert (shares.sum(axis=0) <= template.fractions.sum(axis=0) + 1e-3).all()
    x = template.affine[0, 0] * np.arange(shares.shape[1]) + template.affine[0, 3]
    left, right = shares[:, x < 0].sum(axis=(1, 2, 3)), shares[:, x > 0].sum(axis=(1, 2, 3))
    np.testing.assert_allclose(left, right, rtol=0.1)


def test_nuclei_are_a_pair_each_of_adult_size_and_in_their_places() -> None:
    template = load_template(4.0)
    labels = structure_labels(template.fractions, structure_shares(4.0))
    adult_ml = {
        "hippocampus": (5, 10),
        "thalamus": (8, 17),
        "putamen": (7, 13),
        "caudate": (3, 10),
        "pallidum": (1.5, 5),
    }
    places = {}
    for k, name in enumerate(STRUCTURES, start=4):
        pieces, n = label(labels == k)
        largest = np.sort(np.bincount(pieces.ravel())[1:])[-2:]
        assert n >= 2 and largest.sum() > 0.9 * (labels == k).sum() and largest[0] > 0.6 * largest[1]
        assert adult_ml[name][0] < (labels == k).sum() * 0.064 < adult_ml[name][1]
        mm = np.argwhere(labels == k) @ template.affine[:3, :3].T + template.affine[:3, 3]
        places[name] = np.abs(mm[:, 0]).mean(), mm[:, 1].mean(), mm[:, 2].mean()
    assert places["thalamus"][1] < places["putamen"][1] < places["caudate"][1]  # from the back to the front
    assert places["thalamus"][0] < places["pallidum"][0] < places["putamen"][0]  # from the middle outwards
    assert places["hippocampus"][2] == min(p[2] for p in places.values())


def test_labels_follow_the_written_truth(cohort: Cohort) -> None:
    template = load_template(EDGE)
    shares = np.concatenate([template.fractions, structure_shares(EDGE)])
    for subject in cohort:
        moved = pull(shares, truth(subject, "warp"), EDGE)
        np.testing.assert_array_equal(structure_labels(moved[:3], moved[3:]), subject.label_map())


def test_fields_are_inverse_to_each_other_without_folds(cohort: Cohort) -> None:
    there, back = (truth(cohort["brain-01"], which) for which in ("warp", "inverse_warp"))
    error = np.linalg.norm(back + pull(there, back, EDGE), axis=0) / EDGE
    assert np.percentile(error, 99) < 0.5
    assert min(jacobian_determinant(f, EDGE).min() for f in (there, back)) > 0
    assert np.linalg.norm(there, axis=0).max() > 0.5 * USUAL.warp_mm


def test_another_contrast_has_the_same_anatomy_and_the_same_bytes(cohort: Cohort, tmp_path: Path) -> None:
    alone = make_brain_7t(tmp_path / "alone", n_subjects=1, spacing_mm=EDGE, contrasts=["inverted"])
    mine, theirs = (digests(c.path.parent / "brain-01") for c in (alone, cohort))
    assert set(mine) == {"inverted.nii.gz", "label.nii.gz", "mask.nii.gz", "warp.nii", "inverse_warp.nii"}
    assert mine.items() <= theirs.items()
    other = make_brain_7t(tmp_path / "other", n_subjects=1, spacing_mm=EDGE, seed=1, contrasts=["inverted"])
    assert not set(digests(other.path.parent / "brain-01").values()) & set(mine.values())


def test_inverted_runs_against_t1_and_compressed_with_it(cohort: Cohort) -> None:
    subject = cohort["template"]
    mask = subject.label_map() == 3  # white matter, away from the border
    mask = mask | (subject.label_map() == 2)
    t1, inverted, compressed = (subject.volume(c).data[0][mask] for c in ("T1", "inverted", "compressed"))
    assert np.corrcoef(t1, compressed)[0, 1] > 0.9
    assert np.corrcoef(t1, inverted)[0, 1] < 0


def test_it_is_harder_than_the_easy_brain(cohort: Cohort, tmp_path: Path) -> None:
    easy = make_brain(tmp_path / "easy", n_subjects=1, spacing_mm=EDGE, modalities=["T1"])

    def contrast(c: Cohort) -> float:
        image, labels = c["brain-01"].volume("T1").data[0], c["brain-01"].label_map()
        grey, white = image[labels == 2], image[labels == 3]
        return float((white.mean() - grey.mean()) / np.sqrt(white.var() + grey.var()))

    assert contrast(cohort) < 0.6 * contrast(easy)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"n_subjects": 0}, "from 1 to 999 subjects; got 0"),
        ({"seed": -1}, "seed must be 0 or more"),
        ({"contrasts": ["T1", "FA"]}, "are T1, T2, inverted, compressed; got"),
        ({"contrasts": []}, "are T1, T2, inverted, compressed; got"),
        ({"look": replace(USUAL, bias=1.0)}, "bias must be from 0 to 0.95; got 1"),
        ({"look": replace(USUAL, gamma=(2.0, 1.0))}, "two rising numbers from 0.2 to 4"),
        ({"spacing_mm": 0.2}, "from 1 to 8 mm"),
    ],
)
def test_settings_out_of_bounds_are_sentences(tmp_path: Path, settings: dict, sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        make_brain_7t(tmp_path / "x", **settings)
    assert list(tmp_path.iterdir()) == []
