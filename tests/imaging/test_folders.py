"""Folders of files: names become subjects, modalities, labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cohort_maker import labels, nifti
from PIL import Image

from workbench.imaging.drafts import Draft
from workbench.imaging.folders import read_folder


def made(root: Path, *names: str) -> dict[str, Draft]:
    """Make files of these names and give the drafts by name."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return {draft.name: draft for draft in read_folder(root).drafts}


def columns(draft: Draft) -> list[str]:
    return [f"image:{modality}" for modality in draft.images] + sorted(draft.files)


def test_suffixes_group_files_into_subjects(tmp_path: Path) -> None:
    found = made(tmp_path, "7_T1.nii.gz", "7_flair.nii", "7_seg.nii.gz", "7_mask.nii.gz", "10_T1.nii.gz", "10_seg.nrrd")
    assert list(found) == ["7", "10"]
    assert columns(found["7"]) == ["image:T1", "image:FLAIR", "label", "mask"]
    assert columns(found["10"]) == ["image:T1", "label"]


def test_sibling_folders_of_images_and_labels(tmp_path: Path) -> None:
    found = made(tmp_path, "images/a.png", "images/b.png", "labels/a.png", "masks/b_mask.png")
    assert {name: columns(d) for name, d in found.items()} == {
        "a": ["image:image", "label"],
        "b": ["image:image", "mask"],
    }


def test_folders_for_fixed_and_moving_images(tmp_path: Path) -> None:
    found = made(
        tmp_path, *(f"{kind}_{what}/c1.nii.gz" for kind in ("moving", "fixed") for what in ("images", "labels"))
    )
    assert columns(found["c1"]) == ["image:fixed", "image:moving", "label", "label:moving"]
    assert found["c1"].files["label"].shown == "fixed_labels/c1.nii.gz"


def test_a_folder_a_subject(tmp_path: Path) -> None:
    found = made(
        tmp_path,
        "p1/T1.nii.gz",
        "p1/seg.nii.gz",
        "p2/p2_t1.nii.gz",
        "p2/p2_seg.nii.gz",
        "p3/scan.nii.gz",
        "p4/x.nii",
        "p4/seg.nii",
    )
    assert {name: columns(d) for name, d in found.items()} == {
        "p1": ["image:T1", "label"],
        "p2": ["image:T1", "label"],
        "p3": ["image:image"],
        "p4": ["image:x", "label"],
    }


def test_folders_of_modalities_within_subjects(tmp_path: Path) -> None:
    found = made(tmp_path, "p1/T1/one.nii.gz", "p1/PET/two.nii.gz", "p2/T1/three.nii.gz")
    assert {name: columns(d) for name, d in found.items()} == {"p1": ["image:T1", "image:PET"], "p2": ["image:T1"]}


def test_prefixes_count_only_in_company(tmp_path: Path) -> None:
    found = made(tmp_path, "img_1.png", "mask_1.png", "img_2.png", "mask_2.png")
    assert {name: columns(d) for name, d in found.items()} == {n: ["image:image", "mask"] for n in ("1", "2")}
    assert list(made(tmp_path / "alone", "brain_1.nii.gz", "brain_2.nii.gz")) == ["brain_1", "brain_2"]


def test_a_bare_stem_is_the_image_of_its_label(tmp_path: Path) -> None:
    found = made(tmp_path, "c_1.nii.gz", "c_1_seg.nii.gz", "c_1_foo.nii.gz", "c_12.nii.gz")
    assert columns(found["c_1"]) == ["image:image", "image:foo", "label"]
    assert columns(found["c_12"]) == ["image:image"]


def test_numbered_channels_join_their_label(tmp_path: Path) -> None:
    found = made(tmp_path, "imagesTr/a_01_0000.nii.gz", "imagesTr/a_01_0001.nii.gz", "labelsTr/a_01.nii.gz")
    assert columns(found["a_01"]) == ["image:channel0", "image:channel1", "label"]


def test_a_mask_of_one_modality_belongs_to_the_subject(tmp_path: Path) -> None:
    assert columns(made(tmp_path, "7_T1.nii.gz", "7_T1_mask.nii.gz")["7"]) == ["image:T1", "mask"]


def test_a_brain_is_a_mask_only_if_stored_as_bytes(tmp_path: Path) -> None:
    nifti(tmp_path / "a_T1.nii.gz")
    labels(tmp_path / "a_brain.nii.gz")
    nifti(tmp_path / "b_T1.nii.gz")
    nifti(tmp_path / "b_brain.nii.gz")
    a, b = read_folder(tmp_path).drafts
    assert columns(a) == ["image:T1", "mask"] and columns(b) == ["image:T1", "image:SS"]


def test_a_damaged_brain_is_an_image(tmp_path: Path) -> None:
    nifti(tmp_path / "a_T1.nii.gz")
    (tmp_path / "a_brain.nii.gz").write_bytes(b"\x1f\x8b\x08\0" + b"\xff" * 200)
    assert columns(read_folder(tmp_path).drafts[0]) == ["image:T1", "image:SS"]


def test_several_label_maps_keep_their_names(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    for name in ("1_SS", "1_glm", "1_tissues"):
        nifti(tmp_path / f"{name}.nii.gz")
    plan = read_folder(tmp_path)
    assert plan.drafts[0].files["label"].path.name == "1_tissues.nii.gz" and "label:glm" in plan.drafts[0].files
    assert "Rename columns in cohort.csv to choose another" in plan.notes[0]


def test_a_label_without_image_is_left_out(tmp_path: Path) -> None:
    made(tmp_path, "a_T1.nii.gz", "b_seg.nii.gz", "notes.docx")
    left = {one.file: one.reason for one in read_folder(tmp_path).left_out}
    assert "no image of the same name" in left["b_seg.nii.gz"] and "not an image" in left["notes.docx"]


def test_the_same_column_twice_is_left_out(tmp_path: Path) -> None:
    made(tmp_path, "a_T1.nii.gz", "a_t1.nrrd")
    plan = read_folder(tmp_path)
    assert len(plan.drafts) == 1 and "already has a T1: a_T1.nii.gz" in plan.left_out[0].reason


def test_a_table_of_subjects_becomes_covariates(tmp_path: Path) -> None:
    made(tmp_path, "a_T1.nii.gz", "b_T1.nii.gz")
    (tmp_path / "people.csv").write_text("id;age;target;label\na;70;AD;odd\nb;;CN;odd\nz;1;CN;odd\n")
    (tmp_path / "other.csv").write_text("x,y\n1,2\n")
    plan = read_folder(tmp_path)
    a, b = plan.drafts
    assert (a.target, a.covariates) == ("AD", {"age": "70", "table_label": "odd"})
    assert (b.target, b.covariates) == ("CN", {"table_label": "odd"})
    assert "names 2 of 2 subjects in its column id" in plan.notes[0]
    assert [one.file for one in plan.left_out] == ["other.csv"]


def test_a_table_of_something_else_is_not_attached(tmp_path: Path) -> None:
    made(tmp_path, "brain1_image.nrrd", "breast1_image.nrrd")
    (tmp_path / "features.csv").write_text("name,value\n" + "brain1,1\n" + "".join(f"f{i},{i}\n" for i in range(20)))
    assert read_folder(tmp_path).drafts[0].covariates == {}


def test_classes_in_names_become_the_target(tmp_path: Path) -> None:
    found = made(tmp_path, "benign_1.png", "malignant_1.png", "normal/3.png")
    assert {d.target for d in found.values()} == {"benign", "malignant", "normal"}
    assert {d.target for d in made(tmp_path / "other", "case_1.png", "patient_2.png").values()} == {None}


def test_points_and_series_join_their_subject(tmp_path: Path) -> None:
    found = made(tmp_path, "a_CT.nii.gz", "a_points.csv", "a_bold.nii.gz")
    assert columns(found["a"]) == ["image:CT", "points", "series"]


def test_tables_of_time_series_alone_make_subjects(tmp_path: Path) -> None:
    for name in ("50003", "50004"):
        np.savez(tmp_path / f"{name}.npz", tc=np.zeros((5, 3)))
    (tmp_path / "labels.csv").write_text("id,asd,site\n50003,1,PITT\n50004,2,PITT\n")
    drafts = read_folder(tmp_path).drafts
    assert [(d.name, columns(d), d.target, d.covariates) for d in drafts] == [
        ("50003", ["series"], "1", {"site": "PITT"}),
        ("50004", ["series"], "2", {"site": "PITT"}),
    ]


def test_dicom_among_other_images_is_named(tmp_path: Path) -> None:
    made(tmp_path, "a.nii.gz", "b.nii.gz", "c.dcm", "d.zip")
    left = read_folder(tmp_path).left_out
    assert [one.file for one in left] == ["c.dcm", "d.zip"] and all("no DICOM" in one.reason for one in left)


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "n_subjects", "expected"),
    [
        ("adult_oasis_malf", 2, ["image:SS", "label", "label:glm", "mask"]),
        ("hippocampus_msd", 60, ["image:image", "label"]),
        ("infant_dcan", 4, ["image:T1", "image:T2", "label"]),
        ("nuclei_dsb2018", 55, ["image:image", "label"]),
        ("breast_us_busi", 51, ["image:image", "mask"]),
        ("prostate_mrus_deepreg", 12, ["image:fixed", "image:moving", "label", "label:moving"]),
        ("tumour_pyradiomics", 2, ["image:image", "label"]),
        ("ms_ljubljana", 1, ["image:T1", "image:T1post", "image:T2", "image:FLAIR", "label"]),
        ("brats2015_deepmedic", 1, ["image:T1c", "image:FLAIR", "label", "mask"]),
        ("fmri_abide_aal116", 40, ["series"]),
    ],
)
def test_real_folders_are_understood(real_data: Path, name: str, n_subjects: int, expected: list[str]) -> None:
    drafts = read_folder(real_data / name).drafts
    assert len(drafts) == n_subjects
    assert all(columns(draft) == expected for draft in drafts)


def test_pictures_need_no_header(tmp_path: Path) -> None:
    Image.new("L", (4, 4)).save(tmp_path / "only.jpg")
    assert [columns(d) for d in read_folder(tmp_path).drafts] == [["image:image"]]
