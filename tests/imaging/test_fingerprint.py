"""The fingerprint: numbers by hand, and each thing that can be wrong with a cohort found and named."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cohort_maker import image_cohort, labels, nifti, table_cohort
from PIL import Image

from workbench.errors import Cancelled
from workbench.imaging.cohort import Cohort, write_cohort
from workbench.imaging.facts import PERCENTILES, label_intensities
from workbench.imaging.fingerprint import Fingerprint, fingerprint
from workbench.imaging.importers import import_cohort
from workbench.imaging.splits import Split
from workbench.imaging.subject import Subject
from workbench.imaging.volume import Volume

AFFINE = np.diag([2.0, 3.0, 4.0, 1.0])


def one(folder: Path, array: np.ndarray, affine: np.ndarray = AFFINE, **columns: object) -> Cohort:
    subject = Subject("a", {"T1": nifti(folder / "a" / "T1.nii.gz", array, affine)}, folder=folder)
    return write_cohort(folder, [replace(subject, **columns)])  # type: ignore[arg-type]


def test_an_image_is_described_by_hand(tmp_path: Path) -> None:
    array = np.zeros((2, 3, 4), np.float32)
    array[0] = np.arange(1, 13).reshape(3, 4)
    (facts,) = fingerprint(one(tmp_path, array, np.diag([-2.0, 3.0, 4.0, 1.0]))).images
    assert (facts.shape, facts.spacing_mm, facts.codes, facts.n_channels) == ((2, 3, 4), (2, 3, 4), "LAS", 1)
    assert (facts.minimum, facts.maximum, facts.mean) == (0, 12, 3.25)
    assert facts.std == pytest.approx(array.std(), rel=1e-6)
    assert facts.percentiles == pytest.approx(np.percentile(array, PERCENTILES))
    assert facts.foreground == pytest.approx(np.percentile(np.arange(1, 13), PERCENTILES))
    assert facts.zero_share == 0.5 and facts.bad_share == 0 and not facts.is_constant


def test_labels_are_counted_in_ml_with_their_intensities(tmp_path: Path) -> None:
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    label = np.zeros((2, 3, 4), np.int16)
    label[0], label[1, 2, 3] = 2, 7
    (facts,) = fingerprint(one(tmp_path, array, label=labels(tmp_path / "l.nii.gz", label, AFFINE))).labels
    two, seven = facts.values
    assert (two.value, two.n_voxels, two.volume_ml) == (2, 12, pytest.approx(12 * 24 / 1000))
    assert two.intensities == (("T1", 5.5, pytest.approx(np.arange(12).std(), rel=1e-6)),)
    assert (seven.value, seven.n_voxels, seven.intensities) == (7, 1, (("T1", 23.0, 0.0),))


def test_intensities_of_labels_agree_with_the_plain_way() -> None:
    rng = np.random.default_rng(0)
    label = rng.integers(-1, 5, (6, 7, 8))
    volume = Volume.from_array(rng.normal(-1000, 1, (2, 6, 7, 8)))
    for value, (mean, std) in label_intensities(label, volume).items():
        inside = volume.data.mean(0)[label == value]
        assert (mean, std) == (pytest.approx(inside.mean(), rel=1e-5), pytest.approx(inside.std(), rel=1e-3))


def test_it_survives_json(tmp_path: Path) -> None:
    made = fingerprint(image_cohort(tmp_path))
    assert Fingerprint.from_dict(json.loads(json.dumps(made.to_dict(), allow_nan=False))) == made


def test_common_bins_keep_every_voxel(tmp_path: Path) -> None:
    made = fingerprint(image_cohort(tmp_path))
    (histogram,) = made.histograms
    inside = sum(sum(facts.bins[2]) for facts in made.images)
    assert sum(histogram.counts) == pytest.approx(inside, rel=1e-5)
    assert all(sum(shares) == pytest.approx(1, rel=1e-4) for _, shares in histogram.subjects)
    assert histogram.low == min(f.bins[0] for f in made.images)


def test_a_good_cohort_has_no_problems(tmp_path: Path) -> None:
    made = fingerprint(image_cohort(tmp_path))
    assert made.problems == () and made.duplicates == ()
    (summary,) = made.summaries
    assert (summary.n_subjects, summary.median_shape, summary.median_spacing_mm) == (3, (4, 5, 6), (1, 1, 1))
    assert made.columns == ("T1", "label") and made.missing == tuple((f"s{i}", (True, True)) for i in range(3))


def problems(cohort: Cohort) -> str:
    return "\n".join(fingerprint(cohort).problems)


def test_unreadable_files_become_problems(tmp_path: Path) -> None:
    cohort = image_cohort(tmp_path)
    (tmp_path / "s0" / "T1.nii.gz").write_bytes(b"nonsense")
    (tmp_path / "s1" / "label.nii.gz").write_bytes(b"")
    (tmp_path / "s2" / "T1.nii.gz").unlink()
    made = fingerprint(cohort)
    text = "\n".join(made.problems)
    assert (
        "The T1 of s0 cannot be read:" in text
        and "The label of s1 cannot be read:" in text
        and "The T1 of s2 cannot" in text
    )
    assert [f.subject for f in made.images] == ["s1"]


def test_no_readable_image_at_all(tmp_path: Path) -> None:
    cohort = image_cohort(tmp_path, 1)
    (tmp_path / "s0" / "T1.nii.gz").write_bytes(b"nonsense")
    made = fingerprint(cohort)
    assert made.images == made.summaries == made.histograms == () and len(made.problems) == 1


def test_nan_is_counted(tmp_path: Path) -> None:
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    array[0, 0, :3] = [np.nan, np.inf, np.nan]
    made = fingerprint(one(tmp_path, array))
    assert made.images[0].bad_share == 0.125 and made.images[0].maximum == 23
    assert "image a T1 (12 %) with voxels that are no numbers" in made.problems[0]
    Image.fromarray(np.where(np.isnan(array[0]), np.nan, array[0])).save(tmp_path / "p.tif")
    cohort = write_cohort(tmp_path, [Subject("p", {"image": tmp_path / "p.tif"}, folder=tmp_path)])
    assert fingerprint(cohort).images[0].bad_share is None


def test_copies_of_an_image_are_found_across_subjects_and_parts(tmp_path: Path) -> None:
    cohort = image_cohort(tmp_path, 4)
    array = np.random.default_rng(0).normal(100, 20, (4, 5, 6)).astype(np.float32)  # as s0 has, with another header
    nifti(tmp_path / "s2" / "T1.nii.gz", array, np.diag([1.0, 1.0, 2.0, 1.0]))
    made = fingerprint(cohort)
    assert made.duplicates == ((("s0", "T1"), ("s2", "T1")),)
    assert "s0 T1, s2 T1 have the same voxels but are of different groups" in made.problems[0]
    assert made.leaks(Split(("s0", "s1"), (), ("s2",)))[0].startswith("The same image is in s2 (test) and s0 (train)")
    assert made.leaks(Split(("s0", "s2"), (), ("s1",))) == []
    parts = write_cohort(tmp_path, [replace(s, split="train" if s.name == "s0" else "test") for s in cohort])
    assert "what is tested was learnt from" in fingerprint(parts).problems[0]
    grouped = write_cohort(tmp_path, [replace(s, group="g") for s in cohort])
    assert "remove the copies" in fingerprint(grouped).problems[0]


def test_one_file_for_two_modalities(tmp_path: Path) -> None:
    image = nifti(tmp_path / "x.nii.gz")
    cohort = write_cohort(tmp_path, [Subject("a", {"T1": image, "T2": image}, folder=tmp_path)])
    assert "whether one file was taken for two modalities" in problems(cohort)


def test_grids_that_disagree(tmp_path: Path) -> None:
    moved = np.eye(4)
    moved[0, 3] = 4
    images = {
        "T1": nifti(tmp_path / "a.nii.gz"),
        "T2": nifti(tmp_path / "b.nii.gz", seed=1, affine=moved),
        "PET": nifti(tmp_path / "c.nii.gz", np.random.default_rng(2).normal(size=(3, 3, 3)).astype(np.float32)),
    }
    off = labels(tmp_path / "l.nii.gz", affine=np.diag([1.0, 1.0, 2.0, 1.0]))
    text = problems(write_cohort(tmp_path, [Subject("a", images, label=off, folder=tmp_path)]))
    assert "T1 and T2 of subject a lie on different grids (the same size but placed up to 4 mm apart in a)" in text
    assert "T1 and PET of subject a lie on different grids (4 × 5 × 6 and 3 × 3 × 3 voxels in a)" in text
    assert "The label map of subject a lies on no image's grid (1 × 1 × 1 and 1 × 1 × 2 mm in a)" in text


def test_label_maps_that_are_none(tmp_path: Path) -> None:
    image = nifti(tmp_path / "a.nii.gz")
    half = np.full((4, 5, 6), 0.5, np.float32)
    text = problems(
        write_cohort(
            tmp_path,
            [
                Subject("soft", {"T1": image}, label=nifti(tmp_path / "soft.nii.gz", half), group="g", folder=tmp_path),
                Subject(
                    "empty",
                    {"T1": image},
                    label=labels(tmp_path / "e.nii.gz", np.zeros((4, 5, 6), np.uint8)),
                    group="g",
                    folder=tmp_path,
                ),
                Subject(
                    "two",
                    {"T1": image},
                    label=labels(tmp_path / "t.nii.gz", np.ones((4, 5, 6, 2), np.uint8)),
                    group="g",
                    folder=tmp_path,
                ),
                Subject(
                    "minus",
                    {"T1": image},
                    label=nifti(tmp_path / "m.nii.gz", -np.ones((4, 5, 6), np.int16)),
                    group="g",
                    folder=tmp_path,
                ),
            ],
        )
    )
    assert "label map of subject soft has values that are no whole numbers" in text
    assert "label map of subject empty is 0 everywhere" in text
    assert "label map of subject two holds several maps" in text
    assert "label map of subject minus has negative values" in text


def test_constant_images_and_missing_modalities(tmp_path: Path) -> None:
    cohort = image_cohort(tmp_path)
    nifti(tmp_path / "s0" / "T1.nii.gz", np.full((4, 5, 6), 7, np.uint8))
    s0, s1, s2 = cohort
    cohort = write_cohort(
        tmp_path,
        [replace(s0, label=None), replace(s1, images=s1.images | {"T2": nifti(tmp_path / "t2.nii.gz", seed=8)}), s2],
    )
    made = fingerprint(cohort)
    text = "\n".join(made.problems)
    assert "image s0 T1 with one value everywhere" in text
    assert "2 subjects (s0, s2) without T2" in text and "subject s0 without a label" in text
    assert made.missing[0] == ("s0", (True, False, False)) and made.missing[1] == ("s1", (True, True, True))


def test_targets_groups_and_splits(tmp_path: Path) -> None:
    assert "Every target is 1" in problems(table_cohort(tmp_path / "1", [{"name": n, "target": "1"} for n in "ab"]))
    text = problems(
        table_cohort(
            tmp_path / "2",
            [{"name": n, "target": t} for n, t in zip("abcdef", ["x", "x", "x", "y", "x", ""], strict=True)],
        )
    )
    assert "subject f without a target" in text and "Only one subject has target y" in text
    rows = [{"name": n, "group": "g", "split": p} for n, p in (("a", "train"), ("b", "test"), ("c", "holdout"))]
    text = problems(table_cohort(tmp_path / "3", rows))
    assert "The split column separates group g" in text and "The split column has holdout" in text
    ages = [{"name": f"s{i}", "target": str(60 + i)} for i in range(20)]
    assert problems(table_cohort(tmp_path / "4", ages)) == ""


def test_spacings_and_scales_that_differ(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    fine, coarse = rng.normal(10, 1, (4, 4, 4)), rng.normal(1000, 100, (4, 4, 4))
    subjects = [
        Subject("a", {"T1": nifti(tmp_path / "a.nii.gz", fine.astype(np.float32))}, folder=tmp_path),
        Subject("b", {"T1": nifti(tmp_path / "b.nii.gz", coarse.astype(np.float32), AFFINE)}, folder=tmp_path),
    ]
    text = problems(write_cohort(tmp_path, subjects))
    assert "T1 has voxels from 1 to 4 mm along Z" in text and "The intensities of T1 differ in scale (a ends at" in text


def test_series_are_described_or_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", tc=np.zeros((7, 3)))
    (tmp_path / "b.tsv").write_text("1\t2\n3\t4\n5\t6\n")
    nifti(tmp_path / "c.nii.gz", np.zeros((2, 2, 2, 9), np.float32))
    np.savez(tmp_path / "d.npz", x=np.array([{}], dtype=object))
    (tmp_path / "e.csv").write_text("1,2\n3\n")
    cohort = write_cohort(
        tmp_path,
        [
            Subject(n, series=tmp_path / f, folder=tmp_path)
            for n, f in (("a", "a.npz"), ("b", "b.tsv"), ("c", "c.nii.gz"), ("d", "d.npz"), ("e", "e.csv"))
        ],
    )
    made = fingerprint(cohort)
    assert [(s.subject, s.shape) for s in made.series] == [("a", (7, 3)), ("b", (3, 2)), ("c", (2, 2, 2, 9))]
    assert "The series of d cannot be read" in made.problems[0] and "The series of e cannot be read" in made.problems[1]


def test_it_can_be_cancelled(tmp_path: Path) -> None:
    def stop(fraction: float, message: str) -> None:
        if fraction > 0.5:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        fingerprint(image_cohort(tmp_path), stop)


@pytest.mark.slow
@pytest.mark.real
def test_real_lesions_and_tumours_have_their_published_volume(real_data: Path, tmp_path: Path) -> None:
    lesions = fingerprint(import_cohort(real_data / "ms_ljubljana", tmp_path / "ms"))
    assert lesions.labels[0].values[0].volume_ml == pytest.approx(49.8, abs=0.05)
    tumours = fingerprint(import_cohort(real_data / "tumour_pyradiomics", tmp_path / "tumours"))
    with (real_data / "tumour_pyradiomics" / "baseline_firstorder.csv").open(newline="") as stream:
        published = {row["featureName"]: row for row in csv.DictReader(stream)}
    for facts in tumours.labels:
        _, mean, std = facts.values[0].intensities[0]
        assert mean == pytest.approx(float(published["original_firstorder_Mean"][facts.subject]), rel=1e-6)
        assert std**2 == pytest.approx(float(published["original_firstorder_Variance"][facts.subject]), rel=1e-5)


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("hippocampus_msd", "The intensities of image differ in scale"),
        ("prostate_mrus_deepreg", "fixed and moving of 12 subjects"),
        ("breast_us_busi", "The mask of 9 subjects"),
        ("infant_dcan", None),
        ("adult_oasis_malf", None),
        ("nodules_lidc", None),
    ],
)
def test_real_cohorts(real_data: Path, tmp_path: Path, name: str, sentence: str | None) -> None:
    made = fingerprint(import_cohort(real_data / name, tmp_path / "out"))
    n_images = len([m for m in made.columns if m not in ("label", "mask", "target")])
    assert len(made.images) == sum(sum(has[:n_images]) for _, has in made.missing)
    assert (sentence in "\n".join(made.problems)) if sentence else made.problems == ()
