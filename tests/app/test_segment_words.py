"""Tables say what the scores say; sentences claim what the intervals show and no more."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from workbench import workflow
from workbench.app import segment_words as words
from workbench.app.segment_reads import given_path, keep_reference
from workbench.errors import SettingsError

KINDS = workflow.score_kinds()
SCORES: dict[str, Any] = {
    "subjects": {
        "a": {"GM": {"dice": 0.9, "hd95_mm": 2.0, "predicted_ml": 700.0}},
        "b": {"GM": {"dice": 0.5, "hd95_mm": np.nan, "predicted_ml": 300.0}},
    },
    "summary": {"GM": {"dice": [0.7, 0.5, 0.9], "hd95_mm": [2.0, np.nan, np.nan], "ltpr": [np.nan] * 3}},
    "parts": {"a": "train", "b": "test"},
}


def test_volumes_stand_first_and_empty_columns_are_left_out() -> None:
    table = words.score_table({"GM": {"dice": 0.9, "ltpr": np.nan, "predicted_ml": 3.0, "jaccard": 0.8}}, KINDS)
    assert list(table.columns) == ["Structure", "Predicted volume, ml", "Dice"]
    assert table.iloc[0].tolist() == ["GM", 3.0, 0.9]


def test_volumes_are_counted_where_nothing_is_scored() -> None:
    image = SimpleNamespace(affine=np.diag([2.0, 2.0, 2.0, 1.0]))
    classes = np.array([[[0, 1, 1], [2, 1, 0]]])
    found = SimpleNamespace(image=image, classes=classes, names={1: "GM", 2: "WM", 3: "CSF"})
    assert words.volume_table(found)["Predicted volume, ml"].tolist() == pytest.approx([0.024, 0.008, 0])


def test_an_interval_that_is_not_there_is_not_written() -> None:
    table = words.summary_table(SCORES, KINDS)
    assert table.iloc[0].to_dict() == {
        "Structure": "GM", "Dice": "0.700 (0.500 to 0.900)", "95 % Hausdorff distance, mm": "2",
    }  # fmt: skip


def test_held_out_are_those_that_no_run_has_learnt_from() -> None:
    assert list(words.held_out(SCORES)["subjects"]) == ["b"]
    other = SCORES | {"parts": {"a": "test", "b": "validation"}}
    joined = words.held_out_everywhere({"x": SCORES, "y": other})
    assert words.held_out(joined)["subjects"] == {}
    assert "flatter" in words.part_sentence(SCORES["parts"])
    assert "flatter" not in words.part_sentence({"a": "test", "b": ""})


def test_the_worst_table_keeps_the_order_and_says_the_part() -> None:
    table = words.worst_table([("b", 0.5), ("a", 0.9)], SCORES, "GM", "dice", KINDS)
    assert table["Subject"].tolist() == ["b", "a"] and table["Part"].tolist() == ["test", "training"]
    assert table["Dice"].tolist() == [0.5, 0.9]


@pytest.mark.parametrize(("mean", "low", "high", "best", "said"), [
    (0.1, 0.05, 0.2, 1.0, "better in"), (-0.1, -0.2, -0.05, 1.0, "worse in"), (-3, -4, -2, 0.0, "better in"),
    (3, 2, 4, 0.0, "worse in"), (0.1, -0.1, 0.2, 1.0, "covers no difference"), (0.1, np.nan, np.nan, 1.0, "nothing"),
    (5, 2, 8, np.nan, "differs in"),
])  # fmt: skip
def test_a_run_is_better_only_where_its_interval_says_so(
    mean: float, low: float, high: float, best: float, said: str
) -> None:
    [sentence] = words.claims([{"run": "other", "mean": mean, "low": low, "high": high}], "it", best)
    assert said in sentence and sentence.startswith("other: ")


def test_titles_lose_their_ids_only_where_they_stay_apart() -> None:
    runs = {"1": "mine (1)", "2": "mine (2)", "3": "yours (3)"}
    assert words.short_titles(runs) == {"1": "mine (1)", "2": "mine (2)", "3": "yours"}


def test_the_report_says_what_it_is_for_and_escapes_names() -> None:
    page = words.report(
        "<b>x</b>", {"Run": "<i>"}, pd.DataFrame({"Structure": ["<u>"], "Dice": [np.nan]}), "<svg/>", ["a<b"]
    )
    assert "research use only" in page.lower() and page.count("<svg/>") == 1
    assert not any(tag in page for tag in ("<b>", "<i>", "<u>")) and "–" in page


def test_a_reference_is_kept_once_under_a_safe_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_DATA", str(tmp_path))
    file = keep_reference(b"voxels", "../my mask.nii.gz")
    assert file == keep_reference(b"voxels", "../my mask.nii.gz") and file.name == "my-mask.nii.gz"
    assert tmp_path in file.parents and file.read_bytes() == b"voxels" and given_path(f' "{file}" ') == file
    with pytest.raises(SettingsError, match="no NIfTI"):
        keep_reference(b"x", "mask.png")
    with pytest.raises(SettingsError, match="no file"):
        given_path("/nowhere/mask.nii")
