"""Runs are paired by subject, the worst comes first, and lesions are counted by the size that they have."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from workbench import workflow
from workbench.errors import GeometryError, SettingsError
from workbench.imaging.nifti import write_nifti
from workbench.imaging.volume import Volume
from workbench.systems.label_classes import LabelClasses

RNG = np.random.default_rng(0)
SUBJECTS = [f"s{i}" for i in range(8)]


def scored(shift: float, lacking: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        s: {"GM": {"dice": np.nan if s in lacking else 0.5 + i / 20 + shift + 0.01 * RNG.normal()}}
        for i, s in enumerate(SUBJECTS)
    }


def test_differences_are_of_the_same_subject_and_narrower_than_the_spread() -> None:
    runs = {"three": scored(0.2), "one": scored(0.0)}
    paired = workflow.paired_scores(runs, "GM", "dice")
    [row] = paired.differences
    gaps = [runs["one"][s]["GM"]["dice"] - runs["three"][s]["GM"]["dice"] for s in SUBJECTS]
    assert row["run"] == "one" and row["mean"] == pytest.approx(np.mean(gaps))
    assert min(gaps) <= row["low"] <= row["mean"] <= row["high"] <= max(gaps)
    widths = [s["high"] - s["low"] for s in paired.summary]
    assert row["high"] - row["low"] < min(widths) / 3
    assert [c["run"] for c in paired.cases] == ["three"] * 8 + ["one"] * 8 and paired.n_left_out == 0


def test_subjects_that_a_run_has_no_score_of_are_left_out_of_all() -> None:
    paired = workflow.paired_scores({"a": scored(0, ("s1",)), "b": scored(0, ("s4",))}, "GM", "dice")
    assert paired.n_left_out == 2 and {c["subject"] for c in paired.cases} == set(SUBJECTS) - {"s1", "s4"}
    with pytest.raises(SettingsError, match="No subject has hd95_mm of GM in all 2 runs"):
        workflow.paired_scores({"a": scored(0), "b": scored(0)}, "GM", "hd95_mm")


def test_one_patient_is_one_draw() -> None:
    runs = {"a": scored(0.2), "b": scored(0.0)}
    [row] = workflow.paired_scores(runs, "GM", "dice", dict.fromkeys(SUBJECTS, "one patient")).differences
    assert np.isnan([row["low"], row["high"]]).all() and np.isfinite(row["mean"])


def test_the_summary_is_that_of_the_subjects_that_are_left() -> None:
    scores = scored(0)
    whole, part = workflow.score_summary(scores), workflow.score_summary({s: scores[s] for s in SUBJECTS[:3]})
    assert part["GM"]["dice"][0] == pytest.approx(np.mean([scores[s]["GM"]["dice"] for s in SUBJECTS[:3]]))
    assert whole["GM"]["dice"][0] != part["GM"]["dice"][0]


def test_the_worst_case_comes_first() -> None:
    scores = scored(0)
    worst = workflow.worst_cases(scores, "GM", "dice")
    values = [value for _, value in worst]
    assert values == sorted(values) and {s for s, _ in worst} == set(SUBJECTS)
    assert workflow.score_kinds()["dice"].best == 1 and workflow.score_kinds()["hd95_mm"].unit == "mm"


def test_a_second_rater_is_read_as_classes_and_another_lattice_is_refused(tmp_path: Path) -> None:
    labels = RNG.integers(0, 5, (5, 6, 7))
    affine = np.diag([2.0, 2.0, 3.0, 1.0])
    write_nifti(Volume.from_array(labels, affine), tmp_path / "rater.nii.gz")
    found: Any = SimpleNamespace(
        image=Volume.from_array(np.zeros(labels.shape), affine),
        meaning=LabelClasses(("both", "one"), ((2, 4), (1,)), (3,)),
    )
    expected = np.select([np.isin(labels, (2, 4)), labels == 1, labels == 3], [1, 2, -1], 0)
    assert np.array_equal(workflow.reference_classes(found, tmp_path / "rater.nii.gz"), expected)
    found.meaning = LabelClasses(("brain",), ((),), from_mask=True)
    assert np.array_equal(workflow.reference_classes(found, str(tmp_path / "rater.nii.gz")), labels > 0)
    found.image = Volume.from_array(np.zeros(labels.shape), np.eye(4))
    with pytest.raises(GeometryError, match="resample the reference"):
        workflow.reference_classes(found, tmp_path / "rater.nii.gz")


def test_lesions_are_counted_by_their_size() -> None:
    truth, predicted = np.zeros((30, 20, 10), int), np.zeros((30, 20, 10), int)
    truth[2:4, 2:4, 2:4] = 1  # 8 voxels of 2 mm³: 16 mm³, missed
    truth[10:15, 5:10, 2:6] = 1  # 200 mm³, found by one voxel
    predicted[10, 5, 2] = predicted[25, 15, 5] = 1  # and a false one of 2 mm³
    truth[25, 2, 2], predicted[25, 2, 2] = -1, 1  # not known: neither right nor false
    image = Volume.from_array(np.zeros(truth.shape), np.diag([1.0, 1.0, 2.0, 1.0]))
    found: Any = SimpleNamespace(truth=truth, classes=predicted, image=image)
    bands = workflow.lesion_bands(found, 1, (10.0, 100.0))
    assert [(b["n_true"], b["n_found"], b["n_false"]) for b in bands] == [(0, 0, 1), (1, 0, 0), (1, 1, 0)]
    assert workflow.lesion_bands(SimpleNamespace(truth=None), 1) == []  # type: ignore[arg-type]
