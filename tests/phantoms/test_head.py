from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import binary_dilation, label

from workbench.errors import SettingsError
from workbench.imaging.cohort import Cohort
from workbench.imaging.files import read_volume
from workbench.phantoms.head import TISSUES, Head, alteration_of, head_phantom, make_head
from workbench.phantoms.head_contrast import ALTERATIONS, SIGNALS, signals

EDGE = 4.0


@pytest.fixture(scope="module")
def head() -> Head:
    return head_phantom(0, spacing_mm=EDGE, noise=0.0, bias=0.0)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return make_head(tmp_path_factory.mktemp("phantom") / "heads", n_subjects=2, spacing_mm=8.0)


def where(head: Head, *names: str) -> np.ndarray:
    return np.isin(head.tissues, [TISSUES.index(n) for n in names])


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * float((a & b).sum()) / float(a.sum() + b.sum())


def centers_mm(head: Head, part: np.ndarray) -> list[np.ndarray]:
    """Centers of the pieces of at least 2 ml seen from the brain's center, from left to right."""
    pieces, n = label(part)
    found = [np.argwhere(pieces == k) for k in range(1, n + 1) if (pieces == k).sum() * EDGE**3 > 2000]
    brain = np.argwhere(head.brain).mean(0)
    return sorted(((f.mean(0) - brain) * EDGE for f in found), key=lambda c: c[0])


def above(head: Head, mm: float) -> np.ndarray:
    """Voxels at least so far above the brain's center."""
    z = EDGE * (np.arange(head.tissues.shape[2]) - np.argwhere(head.brain)[:, 2].mean())
    return np.broadcast_to(z > mm, head.tissues.shape)


def digests(folder: Path) -> dict[str, str]:
    return {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in sorted(folder.iterdir())}


def test_brain_is_one_piece_of_the_size_of_a_brain(head: Head) -> None:
    pieces, _ = label(head.brain)
    largest = np.bincount(pieces.ravel())[1:].max()
    assert largest / head.brain.sum() > 0.999
    assert 1.3 < head.brain.sum() * EDGE**3 * 1e-6 < 2.3  # liters, with sulci and ventricles
    tissue = where(head, "grey matter", "white matter")
    assert not (tissue & ~head.brain).any()


def test_the_skull_is_closed_over_the_brain(head: Head) -> None:
    """From the brain, without passing bone or dura, one comes to no fat or air but through the foramen and orbits."""
    upper = above(head, 0)
    barrier = where(head, "bone", "marrow", "dura")
    reached = binary_dilation(head.brain & upper, mask=upper & ~barrier, iterations=-1)
    assert not (reached & where(head, "fat", "skin", "muscle", "air")).any()


def test_from_the_crown_down_come_skin_fat_bone_fluid_and_brain(head: Head) -> None:
    x, y = np.round(np.argwhere(head.brain).mean(0)[:2]).astype(int)
    column = head.tissues[x + 5, y][::-1]
    layers = [("skin", "fat", "muscle"), ("bone", "marrow"), ("dura", "CSF"), ("grey matter", "white matter")]
    firsts = [int(np.isin(column, [TISSUES.index(n) for n in layer]).argmax()) for layer in layers]
    assert 0 < firsts[0] < firsts[1] < firsts[2] < firsts[3]


def test_two_eyes_lie_where_eyes_do_and_are_dark_in_t1_and_bright_in_t2(head: Head) -> None:
    left, right = centers_mm(head, where(head, "eye"))
    assert -42 < left[0] < -22 and 22 < right[0] < 42
    for eye in (left, right):
        assert 60 < eye[1] < 110 and -70 < eye[2] < -20
    t1, t2 = (image[where(head, "eye")] for image in head.images)
    assert np.median(t1) < 0.35 < 0.7 < np.median(t2)


def test_signals_are_those_of_the_table(head: Head) -> None:
    up = above(head, -25)  # away from the loss towards the neck
    fluid, grey, white = (
        np.array([np.median(image[where(head, name) & head.brain & up]) for image in head.images])
        for name in ("CSF", "grey matter", "white matter")
    )
    np.testing.assert_allclose(grey, SIGNALS["grey"][:2], atol=0.12)
    np.testing.assert_allclose(white, SIGNALS["white"][:2], atol=0.12)
    assert fluid[0] < grey[0] - 0.12 and fluid[1] > grey[1] + 0.12  # thin fluid is mixed with its surroundings


def test_every_substance_has_a_name_and_is_there(head: Head) -> None:
    normal = set(TISSUES) - {"edema", "enhancing rim", "necrosis", "resection cavity"}
    assert {TISSUES[k] for k in np.unique(head.tissues)} == normal


def test_a_subject_is_the_same_at_every_spacing(head: Head) -> None:
    coarse = head_phantom(0, spacing_mm=2 * EDGE, noise=0.0, bias=0.0)
    fine = head.brain[::2, ::2, ::2]
    common = tuple(slice(0, min(a, b)) for a, b in zip(fine.shape, coarse.brain.shape, strict=True))
    assert dice(fine[common], coarse.brain[common]) > 0.95
    other = head_phantom(1, spacing_mm=2 * EDGE, noise=0.0, bias=0.0)
    assert dice(fine[common], other.brain[common]) < 0.95


def test_the_header_does_not_say_where_the_brain_is() -> None:
    heads = [head_phantom(i, spacing_mm=8.0) for i in range(3)]
    places = np.stack([np.argwhere(h.brain).mean(0) * 8 + h.affine[:3, 3] for h in heads])
    assert np.ptp(places, axis=0).max() > 8
    coarse = head_phantom(0, spacing_mm=6.0)
    np.testing.assert_array_equal(coarse.affine[:3, 3], heads[0].affine[:3, 3])


def test_background_is_rayleigh_noise() -> None:
    noisy = head_phantom(0, spacing_mm=8.0, noise=0.05).images[0]
    corner = noisy[:4, -4:, -6:]
    assert corner.mean() == pytest.approx(0.05 * np.sqrt(np.pi / 2), rel=0.15)


def test_a_resection_is_a_fluid_hole_at_the_surface_outside_the_mask() -> None:
    cut = head_phantom(2, spacing_mm=EDGE, alteration="resection", noise=0.0, bias=0.0)
    whole = head_phantom(2, spacing_mm=EDGE, noise=0.0, bias=0.0)
    cavity = where(cut, "resection cavity")
    assert cavity.sum() * EDGE**3 > 5000
    assert not (cavity & cut.brain).any() and (cavity & whole.brain).sum() > 0.6 * cavity.sum()
    outside = ~(cut.brain | cavity)
    assert (binary_dilation(cavity) & outside).any()  # open: filling holes of the mask does not close it
    np.testing.assert_array_equal(cut.brain | cavity | ~whole.brain, np.ones_like(cavity))
    t1, t2 = cut.images
    assert np.median(t2[cavity]) > 0.85 and np.median(t1[cavity]) < 0.25


def test_a_tumor_belongs_to_the_brain_and_its_rim_enhances() -> None:
    ill = head_phantom(2, spacing_mm=EDGE, alteration="enhancing", noise=0.0, bias=0.0)
    rim, core = where(ill, "enhancing rim"), where(ill, "necrosis")
    assert rim.any() and core.any() and ((rim | core) & ~ill.brain).sum() <= 0.02 * (rim | core).sum()
    assert np.median(ill.images[0][rim]) > np.median(ill.images[0][where(ill, "white matter")])
    assert not (binary_dilation(core) & ~rim & ~core & ~where(ill, "edema")).any()


def test_altered_contrast_changes_the_picture_and_nothing_else(head: Head) -> None:
    for alteration in ("inverted", "random"):
        changed = head_phantom(0, spacing_mm=EDGE, alteration=alteration, noise=0.0, bias=0.0)
        np.testing.assert_array_equal(changed.tissues, head.tissues)
        np.testing.assert_array_equal(changed.brain, head.brain)
    inverted = signals(("T1", "T2"), "inverted", np.random.default_rng(0))
    usual = signals(("T1", "T2"), "none", np.random.default_rng(0))
    for m in range(2):
        soft = [n for n in usual if n not in ("air", "bone") and usual[n][m] < 1]
        assert sorted(soft, key=lambda n: usual[n][m])[0] == sorted(soft, key=lambda n: -inverted[n][m])[0]
        assert usual["bone"][m] == inverted["bone"][m]


@pytest.mark.parametrize("seed", range(5))
def test_random_contrast_keeps_the_brain_tissues_apart(seed: int) -> None:
    table = signals(("T1", "T2", "FLAIR"), "random", np.random.default_rng(seed))
    values = np.sort(np.stack([table[n] for n in ("CSF", "grey", "white")]), axis=0)
    assert np.diff(values, axis=0).min() > 0.09
    alone = signals(("T2",), "random", np.random.default_rng(seed))
    assert all(alone[n][0] == table[n][1] for n in table)


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 0.8, 1.0])
def test_altered_subjects_are_the_share_and_take_turns(share: float) -> None:
    drawn = [alteration_of(i, share) for i in range(40)]
    altered = [a for a in drawn if a != "none"]
    assert len(altered) == 40 * share
    assert altered == [ALTERATIONS[k % 4] for k in range(len(altered))]


def test_cohort_says_what_it_holds(cohort: Cohort) -> None:
    assert [s.name for s in cohort] == ["head-01", "head-02"]
    assert [s.covariates["altered"] for s in cohort] == ["none", "enhancing"]
    assert cohort.modalities == ["T1", "T2"] and cohort.label_names == {0: "background", 1: "brain"}
    for subject in cohort:
        image = subject.volume("T1")
        np.testing.assert_array_equal(subject.label_map(image) == 1, subject.mask_array(image))
        tissues = read_volume(subject.folder / subject.covariates["tissues"], "tissues").data[0]
        assert tissues.shape == image.shape and tissues.max() < len(TISSUES)
    truth = json.loads((cohort.path.parent / "truth.json").read_text())
    assert truth["altered"] == {"head-01": "none", "head-02": "enhancing"}
    assert list(truth["tissues"].values()) == list(TISSUES)


def test_same_seed_same_bytes_whatever_stands_beside(cohort: Cohort, tmp_path: Path) -> None:
    mine = digests(cohort.path.parent / "head-01")
    fewer = make_head(tmp_path / "fewer", n_subjects=1, spacing_mm=8.0, modalities=["FLAIR", "T1"])
    theirs = digests(fewer.path.parent / "head-01")
    assert all(theirs[n] == mine[n] for n in ("T1.nii.gz", "label.nii.gz", "mask.nii.gz", "tissues.nii.gz"))
    other = make_head(tmp_path / "other", n_subjects=1, spacing_mm=8.0, seed=1)
    assert digests(other.path.parent / "head-01")["T1.nii.gz"] != mine["T1.nii.gz"]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"n_subjects": 0}, "from 1 to 999 subjects; got 0"),
        ({"seed": -1}, "seed must be 0 or more"),
        ({"modalities": ["T1", "CT"]}, "are T1, T2, T1c, FLAIR; got"),
        ({"modalities": []}, "are T1, T2, T1c, FLAIR; got"),
        ({"altered_share": 1.5}, "lies between 0 and 1; got 1.5"),
        ({"spacing_mm": 0.2}, "from 1 to 8 mm"),
    ],
)
def test_settings_out_of_bounds_are_sentences(tmp_path: Path, settings: dict, sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        make_head(tmp_path / "x", **settings)
    assert list(tmp_path.iterdir()) == []
