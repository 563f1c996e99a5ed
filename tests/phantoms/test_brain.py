from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from workbench.errors import SettingsError
from workbench.imaging.cohort import Cohort
from workbench.imaging.fields import read_field
from workbench.imaging.subject import Subject
from workbench.phantoms.appearance import BrainAppearance
from workbench.phantoms.brain import make_brain, tissue_labels
from workbench.phantoms.deformation import jacobian_determinant, pull
from workbench.phantoms.template import load_template


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return make_brain(tmp_path_factory.mktemp("phantom") / "brains", n_subjects=2, spacing_mm=8.0)


@pytest.fixture(scope="module")
def fine(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """Three millimetres, without noise, so that laws of the signal can be read from the files."""
    look = BrainAppearance(bias=0, noise=0)
    out = tmp_path_factory.mktemp("phantom") / "clean"
    return make_brain(out, n_subjects=1, spacing_mm=3.0, difficulty=look, modalities=["T1", "PET"])


def truth(subject: Subject, which: str) -> np.ndarray:
    return read_field(subject.folder / subject.covariates[which])[0]


def digests(folder: Path) -> dict[str, str]:
    files = sorted(f for f in folder.rglob("*") if f.is_file())
    return {f.relative_to(folder).as_posix(): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * float((a & b).sum()) / float(a.sum() + b.sum())


def test_cohort_has_the_template_first_and_each_subject_as_its_own_group(cohort: Cohort) -> None:
    assert [s.name for s in cohort] == ["template", "brain-01", "brain-02"]
    assert [s.group for s in cohort] == ["template", "brain-01", "brain-02"]
    assert cohort.modalities == ["T1", "T2", "FA", "PET"]


def test_everything_lies_on_one_lattice(cohort: Cohort) -> None:
    image = cohort["brain-01"].volume("T1")
    assert set(np.unique(cohort["brain-01"].label_map(image))) == {0, 1, 2, 3}
    mask = cohort["brain-01"].mask_array(image)
    assert mask is not None and 0.1 < mask.mean() < 0.4
    assert truth(cohort["brain-01"], "warp").shape == (3, *image.shape)


def test_template_is_undeformed_and_clean(cohort: Cohort) -> None:
    assert not truth(cohort["template"], "warp").any()
    np.testing.assert_allclose(cohort["template"].volume("T1").data[0], load_template(8.0).t1, atol=1e-6)


def test_written_fields_are_inverse_to_each_other_without_folds(fine: Cohort) -> None:
    there, back = (truth(fine["brain-01"], which) for which in ("warp", "inverse_warp"))
    brain = fine["template"].mask_array()
    error = np.linalg.norm(back + pull(there, back, 3.0), axis=0)[brain] / 3.0
    assert np.median(error) < 0.05
    assert np.percentile(error, 99) < 0.5
    assert min(jacobian_determinant(f, 3.0).min() for f in (there, back)) > 0


def test_template_warped_by_the_written_truth_is_the_subject(fine: Cohort) -> None:
    warp = truth(fine["brain-01"], "warp")
    labels = tissue_labels(pull(load_template(3.0).fractions, warp, 3.0))
    written = fine["brain-01"].label_map()
    assert written is not None
    assert all(dice(labels == k, written == k) > 0.999 for k in range(4))
    t1 = pull(fine["template"].volume("T1").data, warp, 3.0)
    np.testing.assert_allclose(t1, fine["brain-01"].volume("T1").data, atol=1e-4)


def test_template_labels_alone_follow_the_truth(fine: Cohort) -> None:
    template, written = fine["template"].label_map(), fine["brain-01"].label_map()
    assert template is not None and written is not None
    shares = np.stack([template == k for k in range(4)]).astype(np.float32)
    moved = pull(shares, truth(fine["brain-01"], "warp"), 3.0).argmax(axis=0)
    assert float((moved == written).mean()) > 0.95
    assert dice(moved > 0, written > 0) > 0.95
    assert not dice(template == 3, written == 3) > 0.8  # without the truth they do not agree


def test_pet_is_the_documented_function_of_tissue(fine: Cohort) -> None:
    from scipy.ndimage import gaussian_filter

    _, grey, white = fractions = pull(load_template(3.0).fractions, truth(fine["brain-01"], "warp"), 3.0)
    uptake = 0.05 * fractions[0] + 0.28 * white + 1.3 * grey / (grey + 0.3)
    expected = gaussian_filter(uptake, 6.0 / np.sqrt(8 * np.log(2)) / 3.0)
    np.testing.assert_allclose(fine["brain-01"].volume("PET").data[0], expected, atol=1e-3)


def test_background_is_rayleigh_noise(cohort: Cohort) -> None:
    corner = cohort["brain-01"].volume("T1").data[0][:3]
    assert corner.mean() == pytest.approx(0.03 * np.sqrt(np.pi / 2), rel=0.05)


def test_same_seed_same_bytes_whatever_stands_beside(cohort: Cohort, tmp_path: Path) -> None:
    again = make_brain(tmp_path / "again", n_subjects=1, spacing_mm=8.0)
    mine = digests(again.path.parent / "brain-01")
    assert mine == digests(cohort.path.parent / "brain-01")
    fewer = make_brain(tmp_path / "fewer", n_subjects=1, spacing_mm=8.0, modalities=["PET", "T1"])
    assert digests(fewer.path.parent / "brain-01").items() <= mine.items()
    other = make_brain(tmp_path / "other", n_subjects=1, spacing_mm=8.0, seed=1)
    assert digests(other.path.parent / "brain-01")["T1.nii.gz"] != mine["T1.nii.gz"]


def test_seven_tesla_like_is_harder(cohort: Cohort, tmp_path: Path) -> None:
    hard = make_brain(tmp_path / "hard", n_subjects=1, spacing_mm=8.0, difficulty="7T-like")

    def contrast(c: Cohort) -> float:
        image, labels = c["brain-01"].volume("T1").data[0], c["brain-01"].label_map()
        assert labels is not None
        grey, white = image[labels == 2], image[labels == 3]
        return float((white.mean() - grey.mean()) / np.sqrt(white.var() + grey.var()))

    assert contrast(hard) < 0.6 * contrast(cohort)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"n_subjects": 0}, "from 1 to 999 subjects; got 0"),
        ({"seed": -1}, "seed must be 0 or more"),
        ({"modalities": ["T1", "CT"]}, "are T1, T2, FA, PET; got"),
        ({"difficulty": "hard"}, "must be one of easy, 7T-like; got 'hard'"),
        ({"spacing_mm": 0.2}, "from 1 to 8 mm"),
    ],
)
def test_settings_out_of_bounds_are_sentences(tmp_path: Path, settings: dict, sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        make_brain(tmp_path / "x", **settings)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_two_millimetre_truth_holds_to_half_a_voxel(tmp_path: Path) -> None:
    cohort = make_brain(tmp_path / "b", n_subjects=1, difficulty="7T-like", modalities=["T1"])
    there, back = (truth(cohort["brain-01"], which) for which in ("warp", "inverse_warp"))
    error = np.linalg.norm(back + pull(there, back, 2.0), axis=0) / 2.0
    assert np.percentile(error, 99) < 0.5
    assert jacobian_determinant(there, 2.0).min() > 0


def test_labels_have_names(cohort: Cohort) -> None:
    assert cohort.label_names == {0: "background", 1: "CSF", 2: "grey matter", 3: "white matter"}
