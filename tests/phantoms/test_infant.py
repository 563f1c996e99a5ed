from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import binary_erosion, distance_transform_edt, label
from skimage.registration import phase_cross_correlation
from sklearn.metrics import roc_auc_score

from workbench.errors import SettingsError
from workbench.imaging.cohort import Cohort
from workbench.phantoms.infant import INFANT_MODALITIES, NAMES, Infant, InfantScan, infant_phantom, make_infant

CLEAN = InfantScan(noise=0.0, bias=0.0)


@pytest.fixture(scope="module")
def infant() -> Infant:
    return infant_phantom(0, spacing_mm=2.0, scan=InfantScan(bias=0.0))


@pytest.fixture(scope="module")
def newborn() -> Infant:
    return infant_phantom(0, spacing_mm=2.0, structures="regions", scan=CLEAN)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return make_infant(tmp_path_factory.mktemp("phantom") / "infants", n_subjects=2, spacing_mm=6.0, shift_mm=3.0)


def area(infant: Infant, modality: str, inside: np.ndarray | None = None) -> float:
    """How well one modality tells white from grey matter, voxel by voxel, in either direction."""
    image = infant.images[infant.modalities.index(modality)]
    some = np.isin(infant.labels, (2, 3)) & (True if inside is None else inside)
    found = roc_auc_score(infant.labels[some] == 3, image[some])
    return max(found, 1 - found)


def place(infant: Infant, name: str) -> np.ndarray:
    return np.argwhere(infant.labels == infant.names.index(name)).mean(0) * 2 + infant.affine[:3, 3]


def digests(folder: Path) -> dict[str, str]:
    return {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in sorted(folder.iterdir())}


def test_t1_and_t2_are_isointense_in_opposite_directions(infant: Infant) -> None:
    grey, white = (binary_erosion(infant.labels == k) for k in (2, 3))
    gaps = [float(image[white].mean() - image[grey].mean()) for image in infant.images[:2]]
    assert 0 < gaps[0] < InfantScan().noise and -InfantScan().noise < gaps[1] < 0


def test_fa_tells_white_matter_and_t1_or_t2_hardly(infant: Infant) -> None:
    assert area(infant, "FA") > 0.85
    assert all(0.52 < area(infant, m) < 0.75 for m in ("T1", "T2"))


def test_fa_is_blurred_so_that_borders_are_told_worse() -> None:
    seen = infant_phantom(0, spacing_mm=2.0, modalities=["FA"], scan=CLEAN)
    sharp = infant_phantom(0, spacing_mm=2.0, modalities=["FA"], scan=InfantScan(noise=0.0, bias=0.0, blur_mm=0.0))
    grey, white = (distance_transform_edt(seen.labels == k) for k in (2, 3))
    border = np.maximum(grey, white) == 1
    assert area(seen, "FA", border) < area(seen, "FA", ~border) - 0.02
    assert area(seen, "FA") < area(sharp, "FA")


def test_csf_stands_out_in_both(infant: Infant) -> None:
    fluid, rest = infant.labels == 1, infant.labels > 1
    t1, t2 = infant.images[:2]
    assert roc_auc_score(fluid[infant.mask], -t1[infant.mask]) > 0.95
    assert roc_auc_score(fluid[infant.mask], t2[infant.mask]) > 0.95
    assert fluid.any() and rest.any()


def test_all_is_zero_outside_one_piece_of_brain(infant: Infant) -> None:
    assert not infant.images[:, ~infant.mask].any()
    pieces, _ = label(infant.mask)
    assert np.bincount(pieces.ravel())[1:].max() > 0.995 * infant.mask.sum()
    assert 0.6 < infant.mask.sum() * 8e-6 < 1.3  # liters
    assert all((infant.labels == k).sum() > 0.1 * infant.mask.sum() for k in (1, 2, 3))


def test_cerebellum_and_brain_stem_are_gone(infant: Infant, newborn: Infant) -> None:
    """Below the occipital lobes there is nothing; in the newborn there is the cerebellum."""
    x, y, z = place(newborn, "cerebellum") / 0.68 * 0.80
    at = tuple(np.round((np.array([x, y, z]) - infant.affine[:3, 3]) / 2).astype(int))
    around = tuple(slice(i - 4, i + 5) for i in at)
    assert not infant.mask[around].any()
    assert abs(x) < 3 and y < -30 and z < -20


def test_bias_changes_t1_and_t2_but_not_fa() -> None:
    plain = infant_phantom(3, spacing_mm=4.0, scan=InfantScan(noise=0.0, bias=0.0))
    biased = infant_phantom(3, spacing_mm=4.0, scan=InfantScan(noise=0.0, bias=0.4))
    for m, modality in enumerate(plain.modalities):
        ratio = biased.images[m][plain.mask] / plain.images[m][plain.mask]
        reach = float(np.abs(np.log(ratio)).max())
        assert reach == pytest.approx(0.0 if modality == "FA" else 0.4, abs=1e-3)


def test_modalities_are_displaced_by_what_is_said() -> None:
    there = infant_phantom(1, spacing_mm=2.0, scan=CLEAN)
    moved = infant_phantom(1, spacing_mm=2.0, scan=InfantScan(noise=0.0, bias=0.0, shift_mm=6.0))
    np.testing.assert_array_equal(there.images[0], moved.images[0])
    np.testing.assert_array_equal(there.labels, moved.labels)
    assert not moved.shifts_mm[0].any()
    np.testing.assert_allclose(np.linalg.norm(moved.shifts_mm[1:], axis=1), 6.0)
    assert np.linalg.norm(moved.shifts_mm[1] - moved.shifts_mm[2]) > 0.5
    inside = binary_erosion(there.mask, iterations=5)  # the mask's own edge does not move
    for m in (1, 2):
        found = phase_cross_correlation(
            there.images[m] - there.images[m][inside].mean(), moved.images[m] - there.images[m][inside].mean(),
            reference_mask=inside, moving_mask=inside,
        )[0]  # fmt: skip
        assert np.linalg.norm(-found * 2 - moved.shifts_mm[m]) < 2.5


def test_a_newborn_has_eight_regions_where_they_belong(newborn: Infant) -> None:
    assert set(np.unique(newborn.labels)) == set(range(9)) and newborn.names == NAMES["regions"]
    nuclei, cerebellum, stem = (place(newborn, n) for n in ("basal ganglia and thalami", "cerebellum", "brain stem"))
    assert cerebellum[2] < nuclei[2] - 20 and cerebellum[1] < stem[1] - 10 and stem[2] < nuclei[2] - 15
    inner, outer = (newborn.labels == newborn.names.index(n) for n in ("ventricular CSF", "extracerebral CSF"))
    depth = distance_transform_edt(newborn.mask) * 2
    assert np.median(depth[inner]) > 12 > 6 > np.median(depth[outer])


@pytest.mark.parametrize(
    "pair", [("cerebellum", "basal ganglia and thalami"), ("ventricular CSF", "extracerebral CSF")]
)
def test_two_pairs_are_told_by_place_alone(newborn: Infant, pair: tuple[str, str]) -> None:
    for image, modality in zip(newborn.images, newborn.modalities, strict=True):
        if modality == "FA":  # the blur reaches deep
            continue
        first, second = (image[binary_erosion(newborn.labels == newborn.names.index(n))] for n in pair)
        assert first.mean() == pytest.approx(second.mean(), abs=0.02)
    others = [newborn.labels == newborn.names.index(n) for n in ("unmyelinated white matter", "cortical grey matter")]
    assert abs(newborn.images[1][others[0]].mean() - newborn.images[1][others[1]].mean()) > 0.15


def test_a_newborns_cortex_is_thin(newborn: Infant) -> None:
    def half_width(name: str) -> float:
        depth = distance_transform_edt(newborn.labels == newborn.names.index(name)) * 2
        return float(np.percentile(depth[depth > 0], 90))

    assert half_width("cortical grey matter") <= 4.5 < half_width("cerebellum")


@pytest.mark.parametrize("structures", ["tissues", "regions"])
def test_a_subject_is_the_same_at_every_spacing(structures: str) -> None:
    fine, coarse = (infant_phantom(0, spacing_mm=s, structures=structures, scan=CLEAN) for s in (2.0, 4.0))
    kept, other = fine.mask[::2, ::2, ::2], infant_phantom(1, spacing_mm=4.0, structures=structures, scan=CLEAN).mask
    both = 2 * (kept & coarse.mask).sum() / (kept.sum() + coarse.mask.sum())
    assert both > 0.95 > 2 * (kept & other).sum() / (kept.sum() + other.sum())


def test_cohort_says_what_it_holds(cohort: Cohort) -> None:
    assert [s.name for s in cohort] == ["infant-01", "infant-02"]
    assert cohort.modalities == list(INFANT_MODALITIES)
    assert cohort.label_names == dict(enumerate(NAMES["tissues"]))
    for subject in cohort:
        image = subject.volume("T1")
        labels, mask = subject.label_map(image), subject.mask_array(image)
        assert labels is not None
        np.testing.assert_array_equal(labels > 0, mask)
        shift = [float(v) for v in subject.covariates["shift_FA_mm"].split()]
        assert np.linalg.norm(shift) == pytest.approx(3.0, abs=1e-2)
    truth = json.loads((cohort.path.parent / "truth.json").read_text())
    assert truth["structures"] == "tissues" and truth["shift_mm"] == 3.0 and set(truth["signals"]) == {"T1", "T2", "FA"}


def test_regions_are_named_in_the_cohort(tmp_path: Path) -> None:
    made = make_infant(tmp_path / "r", n_subjects=1, spacing_mm=6.0, structures="regions", modalities=["T2"])
    assert made.label_names == dict(enumerate(NAMES["regions"])) and made.modalities == ["T2"]


def test_same_seed_same_bytes_whatever_stands_beside(cohort: Cohort, tmp_path: Path) -> None:
    mine = digests(cohort.path.parent / "infant-01")
    fewer = make_infant(tmp_path / "f", n_subjects=1, spacing_mm=6.0, shift_mm=3.0, modalities=["FA", "T1"])
    assert digests(fewer.path.parent / "infant-01").items() <= mine.items()
    other = make_infant(tmp_path / "o", n_subjects=1, spacing_mm=6.0, shift_mm=3.0, seed=1)
    assert digests(other.path.parent / "infant-01")["T1.nii.gz"] != mine["T1.nii.gz"]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"n_subjects": 1000}, "from 1 to 999 subjects; got 1000"),
        ({"seed": -1}, "seed must be 0 or more"),
        ({"modalities": ["T1", "PET"]}, "are T1, T2, FA; got"),
        ({"structures": "lobes"}, "are tissues or regions; got 'lobes'"),
        ({"shift_mm": -1.0}, "between 0 and 20 mm; got -1"),
        ({"spacing_mm": 9.0}, "from 1 to 8 mm"),
    ],
)
def test_settings_out_of_bounds_are_sentences(tmp_path: Path, settings: dict, sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        make_infant(tmp_path / "x", **settings)
    assert list(tmp_path.iterdir()) == []
