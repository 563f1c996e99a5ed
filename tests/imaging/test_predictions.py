"""Predictions: a volume a subject or a row a subject, and all of them or none."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from workbench.errors import CohortError, UnreadableFile
from workbench.imaging.cohort import Cohort, read_cohort
from workbench.imaging.files import read_volume
from workbench.imaging.predictions import write_predictions
from workbench.imaging.subject import Subject
from workbench.imaging.volume import Volume


@pytest.fixture
def cohort(tmp_path: Path) -> Cohort:
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "cohort.csv").write_text("subject\nb\na\nc\n")
    return read_cohort(tmp_path / "c")


def test_volumes_become_one_file_a_subject(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "cohort.csv").write_text("subject\nb\na\n")
    cohort = read_cohort(tmp_path / "c")
    written = write_predictions(cohort, lambda s: Volume.from_array(np.full((2, 3, 4), ord(s.name))), tmp_path / "out")
    assert [p.name for p in written] == ["b.nii.gz", "a.nii.gz"]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a.nii.gz", "b.nii.gz"]
    assert (read_volume(written[1]).data == ord("a")).all()


def test_rows_become_one_table_in_the_order_of_the_cohort(cohort: Cohort, tmp_path: Path) -> None:
    rows = {"a": {"class": "AD", "p": 0.1}, "b": {"class": "NC, or not", "p": 1 / 3}, "c": {"class": "AD", "note": "x"}}
    written = write_predictions(cohort, lambda s: rows[s.name], tmp_path / "out")  # type: ignore[arg-type,return-value]
    assert written == [tmp_path / "out" / "predictions.csv"]
    with written[0].open(newline="") as stream:
        read = list(csv.DictReader(stream))
    assert [r["subject"] for r in read] == ["b", "a", "c"]
    assert read[0]["class"] == "NC, or not" and float(read[0]["p"]) == 1 / 3
    assert read[2]["p"] == "" and read[2]["note"] == "x"


def test_a_failure_leaves_nothing(cohort: Cohort, tmp_path: Path) -> None:
    def predict(subject: Subject) -> dict[str, float | str]:
        if subject.name == "c":
            raise UnreadableFile("c is damaged.")
        return {"p": 1.0}

    with pytest.raises(UnreadableFile):
        write_predictions(cohort, predict, tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["c"]


def test_an_older_prediction_is_never_overwritten(cohort: Cohort, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(CohortError, match="exists already"):
        write_predictions(cohort, lambda s: {"p": 1.0}, tmp_path / "out")
