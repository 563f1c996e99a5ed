"""What registrations say, and how two files become a cohort without any guessing."""

from __future__ import annotations

import csv
from io import BytesIO
from types import SimpleNamespace
from typing import Any

import pytest

from workbench.app.register_form import as_cohort, ending, subject_names
from workbench.app.register_words import (
    dice_table,
    distinct_titles,
    fold_sentence,
    latest_with,
    mean,
    pair,
    row_table,
    same_pair,
)
from workbench.errors import SettingsError
from workbench.workflow import RegistrationPlan, RegistrationRow


def row(name: str, method: str = "Demons", when: float = 0.0, **plan: Any) -> RegistrationRow:
    asked = RegistrationPlan(**({"cohort": "c", "fixed": "a", "moving": "b", "method": "demons"} | plan))
    return RegistrationRow(name, asked, method, when, 3.0, 0.5, 0.7, 0.001)


def upload(name: str) -> Any:
    made = BytesIO(b"x")
    made.name = name
    return made


def test_two_files_become_a_cohort_whose_table_says_what_is_what() -> None:
    files = dict(as_cohort(("mask", "label"), (upload("mask.nii"), upload("label.NII.GZ")), (None, upload("x.nii.gz"))))
    table = list(csv.DictReader(files["cohort.csv"].getvalue().decode().splitlines()))
    assert [r["subject"] for r in table] == ["mask", "label"]
    assert table[0]["label"] == "" and {table[0]["image:image"], table[1]["image:image"], table[1]["label"]} < set(
        files
    )
    assert table[0]["image:image"].endswith(".nii") and table[1]["image:image"].endswith(".nii.gz")
    assert len(files) == 4


@pytest.mark.parametrize(("given", "expected"), [
    (("alice T1.nii.gz", "bob.nii"), ("alice-T1", "bob")), (("scan.nii", "SCAN.nii.gz"), ("fixed", "moving")),
    (("患者.nii.gz", "b.nii"), ("fixed", "moving")),
])  # fmt: skip
def test_subjects_are_called_by_their_files_where_that_tells_them_apart(given: Any, expected: Any) -> None:
    assert subject_names(*given) == expected


def test_another_format_is_a_sentence() -> None:
    with pytest.raises(SettingsError, match=r"report\.gz is no NIfTI image"):
        ending("report.gz")


def test_the_same_pair_is_that_of_both_images_the_oldest_first() -> None:
    rows = [row("3"), row("2", moving="c"), row("1"), row("0", modality="T2")]
    assert [r.id for r in same_pair(rows, rows[0])] == ["1", "3"]


def test_methods_that_were_used_twice_are_told_apart_by_their_time() -> None:
    found = distinct_titles([row("1", when=10), row("2", when=75), row("3", "HAMMER")])
    assert found["3"] == "HAMMER" and len(set(found.values())) == 3 and found["1"].startswith("Demons, ")


def test_tables_hold_what_was_measured() -> None:
    assert row_table([row("1")]).iloc[0]["Folds, %"] == pytest.approx(0.1)
    assert row_table([row("1", fixed="/x/y/one.nii.gz")]).iloc[0]["Moving → fixed"] == "b → one.nii.gz"
    assert pair(row("1").plan) == "b → a"
    table = dice_table(SimpleNamespace(dice={"GM": 0.8, "WM": 0.9}, dice_before={"GM": 0.5, "WM": 0.95}))
    assert table["Gain"].round(3).tolist() == [0.3, -0.05]
    assert dice_table(SimpleNamespace(dice={}, dice_before={})).empty
    assert mean({}) is None and mean({"a": 0.5, "b": 1.0}) == 0.75


def test_folds_are_said_plainly() -> None:
    assert "nowhere" in fold_sentence(0.0) and "0.2 %" in fold_sentence(0.002)


@pytest.mark.parametrize(
    ("chosen", "most", "kept"), [("a", 3, "acd"), ("c", 3, "bcd"), ("d", 9, "abcd"), ("b", 1, "b")]
)
def test_what_is_open_stands_beside_the_latest(chosen: str, most: int, kept: str) -> None:
    assert latest_with("abcd", chosen, most) == list(kept)
