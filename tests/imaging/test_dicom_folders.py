"""DICOM folders: series become modalities, and nobody's name gets through."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from dicom_maker import SECRETS, write_series

from workbench.imaging.dicom_folders import is_dicom, read_dicom_folder

STACK = np.zeros((3, 4, 5), np.int16)
HEIGHTS = (0.0, 5.0, 10.0)


def test_series_become_modalities_of_nameless_subjects(tmp_path: Path) -> None:
    write_series(tmp_path / "Doe^Jane", STACK, HEIGHTS, "a")
    write_series(
        tmp_path / "Doe^Jane", STACK, HEIGHTS, "b", SeriesInstanceUID="1.9", Modality="PT", PatientID="ID-12345"
    )
    write_series(
        tmp_path / "other", STACK, HEIGHTS, "c", SeriesInstanceUID="1.8", StudyInstanceUID="1.7", PatientID="ID-2"
    )
    plan = read_dicom_folder(tmp_path)
    assert sorted(list(d.images) for d in plan.drafts) == [["CT"], ["CT", "PET"]]
    assert len({d.name for d in plan.drafts}) == len({d.group for d in plan.drafts}) == 2
    shown = repr(
        [(d.name, d.group, d.covariates, [s.shown for _, s in d.sources()]) for d in plan.drafts]
        + plan.left_out
        + plan.notes
    )
    assert not any(secret in shown for secret in SECRETS)
    assert {d.covariates["CT_kvp"] for d in plan.drafts} == {"120"}


def test_names_are_new_at_every_import(tmp_path: Path) -> None:
    write_series(tmp_path, STACK, HEIGHTS)
    assert read_dicom_folder(tmp_path).drafts[0].name != read_dicom_folder(tmp_path).drafts[0].name


def test_studies_of_one_patient_share_a_group(tmp_path: Path) -> None:
    write_series(tmp_path / "1", STACK, HEIGHTS)
    write_series(tmp_path / "2", STACK, HEIGHTS, SeriesInstanceUID="1.9", StudyInstanceUID="1.7")
    first, second = read_dicom_folder(tmp_path).drafts
    assert (
        first.group == second.group
        and first.name == f"{first.group}_study-1"
        and second.name == f"{first.group}_study-2"
    )


def test_patients_without_id_are_not_taken_for_one(tmp_path: Path) -> None:
    write_series(tmp_path / "1", STACK, HEIGHTS, PatientID="")
    write_series(tmp_path / "2", STACK, HEIGHTS, SeriesInstanceUID="1.9", StudyInstanceUID="1.7", PatientID="")
    assert len({d.group for d in read_dicom_folder(tmp_path).drafts}) == 2


def test_several_series_of_a_kind_are_told_apart_by_physics(tmp_path: Path) -> None:
    for number, echo in enumerate((15, 100, 100)):
        write_series(
            tmp_path / str(number),
            STACK,
            HEIGHTS,
            SeriesInstanceUID=f"1.{number}",
            Modality="MR",
            EchoTime=echo,
            RepetitionTime=2000,
        )
    assert list(read_dicom_folder(tmp_path).drafts[0].images) == [
        "MR_TR2000_TE15",
        "MR_TR2000_TE100",
        "MR_TR2000_TE100_2",
    ]


def test_what_is_no_image_or_damaged_is_counted(tmp_path: Path) -> None:
    write_series(tmp_path / "ok", STACK, HEIGHTS)
    write_series(tmp_path / "seg", STACK, HEIGHTS, SeriesInstanceUID="1.9", Modality="SEG")
    (tmp_path / "Jane.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\xff" * 50)
    (tmp_path / "readme.txt").write_text("x")
    (tmp_path / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM")
    plan = read_dicom_folder(tmp_path)
    text = repr(plan.left_out + plan.notes)
    assert len(plan.drafts) == 1 and "1 DICOM files" in text and "DICOM segmentation" in text and "Jane" not in text


def test_text_in_the_pixels_is_warned_of(tmp_path: Path) -> None:
    write_series(tmp_path, STACK[:1], HEIGHTS[:1], Modality="US")
    assert any("look before sharing" in note for note in read_dicom_folder(tmp_path).notes)


def test_dicom_is_known_by_its_magic(tmp_path: Path) -> None:
    (path,) = write_series(tmp_path, STACK[:1], HEIGHTS[:1])
    bare = path.rename(tmp_path / "IM0001")
    assert is_dicom(bare) and not is_dicom(Path(__file__)) and not is_dicom(tmp_path / "nothing")
