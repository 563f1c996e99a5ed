"""The two dataset.json layouts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from workbench.errors import CohortError, UnreadableFile
from workbench.imaging.dataset_json import is_dataset_json, read_dataset_json


def dataset(root: Path, content: Any, *names: str) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    (root / "dataset.json").write_text(content if isinstance(content, str) else json.dumps(content))
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def test_decathlon_pairs_with_several_channels(tmp_path: Path) -> None:
    content = {
        "modality": {"0": "T2", "1": "ADC"},
        "labels": {"0": "background", "1": "PZ", "2": "TZ"},
        "training": [
            {"image": "./imagesTr/p_00.nii.gz", "label": "./labelsTr/p_00.nii.gz"},
            {"image": "./imagesTr/gone.nii.gz", "label": "./labelsTr/gone.nii.gz"},
            {"image": "../../etc/passwd", "label": "/etc/passwd"},
        ],
        "test": ["./imagesTs/p_01.nii.gz"],
    }
    root = dataset(tmp_path, content, "imagesTr/p_00.nii.gz", "labelsTr/p_00.nii.gz", "imagesTs/p_01.nii.gz")
    assert is_dataset_json(root)
    plan = read_dataset_json(root)
    (draft,) = plan.drafts
    assert draft.name == "p_00" and [(m, s.channel) for m, s in draft.images.items()] == [("T2", 0), ("ADC", 1)]
    assert draft.files["label"].path == root / "labelsTr/p_00.nii.gz"
    assert plan.label_names == {0: "background", 1: "PZ", 2: "TZ"}
    assert [one.file for one in plan.left_out] == ["./imagesTr/gone.nii.gz", "../../etc/passwd"]
    assert "imagesTs come without labels" in plan.notes[0]


def test_decathlon_with_one_modality_takes_the_file_as_it_is(tmp_path: Path) -> None:
    content = {
        "modality": {"0": "MRI"},
        "labels": {"0": "b"},
        "training": [{"image": "a.nii.gz", "label": "missing.nii.gz"}],
    }
    plan = read_dataset_json(dataset(tmp_path, content, "a.nii.gz"))
    assert plan.drafts[0].images["MRI"].channel is None and plan.drafts[0].files == {}
    assert plan.left_out[0].file == "missing.nii.gz"


def test_nnunet_has_one_file_a_channel(tmp_path: Path) -> None:
    content = {
        "channel_names": {"0": "T1", "1": "T1"},
        "labels": {"background": 0, "tumor": [1, 2], "edema": 1},
        "file_ending": ".nrrd",
    }
    names = [
        "imagesTr/c_1_0000.nrrd",
        "imagesTr/c_1_0001.nrrd",
        "imagesTr/c_1_0002.nrrd",
        "labelsTr/c_1.nrrd",
        "imagesTs/c_2_0000.nrrd",
        "imagesTs/c_3_0000.nrrd",
        "labelsTs/c_3.nrrd",
        "imagesTr/c_4_0000.nii.gz",
    ]
    plan = read_dataset_json(dataset(tmp_path, content, *names))
    by_name = {d.name: d for d in plan.drafts}
    assert set(by_name) == {"c_1", "c_3"}
    assert (
        list(by_name["c_1"].images) == ["T1_1", "T1_2"]
        and "label" in by_name["c_1"].files
        and by_name["c_1"].split is None
    )
    assert by_name["c_3"].split == "test"
    assert plan.label_names == {0: "background", 1: "edema"}
    assert "names 2 channels and this is number 2" in plan.left_out[0].reason
    assert "1 cases of imagesTs" in plan.notes[0]


def test_old_nnunet_lists_names_without_channel(tmp_path: Path) -> None:
    content = {
        "modality": {"0": "CT"},
        "labels": {"0": "b"},
        "training": [{"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"}],
    }
    plan = read_dataset_json(dataset(tmp_path, content, "imagesTr/a_0000.nii.gz", "labelsTr/a.nii.gz"))
    assert [list(d.images) for d in plan.drafts] == [["CT"]] and "label" in plan.drafts[0].files and plan.left_out == []


@pytest.mark.parametrize("text", ["", "[1]", "{", "[" * 100_000, "\0", '"x"'])
def test_a_broken_file_is_not_taken_for_a_data_set(tmp_path: Path, text: str) -> None:
    root = dataset(tmp_path, text)
    assert not is_dataset_json(root)
    with pytest.raises(UnreadableFile, match=r"dataset\.json"):
        read_dataset_json(root)


@pytest.mark.parametrize("channels", [None, {}, {"a": "T1"}, 3, "T1"])
def test_channels_must_be_named(tmp_path: Path, channels: Any) -> None:
    with pytest.raises(CohortError, match="must name its channels"):
        read_dataset_json(dataset(tmp_path, {"training": [], "channel_names": channels}))


@pytest.mark.parametrize("training", [None, 3, [1, None], [{"image": None}], [{"image": 5, "label": {}}], {"a": 1}])
def test_odd_lists_give_no_subjects(tmp_path: Path, training: Any) -> None:
    content = {"training": training, "modality": {"0": "CT"}, "labels": [1, 2], "file_ending": None}
    assert read_dataset_json(dataset(tmp_path, content)).drafts == []
