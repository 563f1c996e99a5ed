from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd

from workbench.figures.cohort import (
    grid_overview,
    intensities_by_label,
    intensity_histograms,
    missing_matrix,
    split_bar,
)
from workbench.figures.scores import compare_scores
from workbench.imaging.facts import LabelFacts, LabelValue
from workbench.imaging.fingerprint import Histogram


def test_histograms_name_their_unit() -> None:
    found = [Histogram("CT", -1000, 1000, (1.0, 3.0), (("a", (0.25, 0.75)),)), Histogram("T1", 0, 1, (1.0, 1.0), ())]
    fig = intensity_histograms(found)
    assert (
        fig.layout.xaxis.title.text == "CT intensity, HU" and fig.layout.xaxis2.title.text == "T1 intensity, as stored"
    )
    np.testing.assert_allclose(fig.data[1].y, [0.25, 0.75])


def test_missing_images_are_crossed_and_counted() -> None:
    fig = missing_matrix(["T1", "T2"], [("anna", (True, True)), ("ben", (True, False))])
    assert list(fig.layout.yaxis.ticktext) == ["T1  2/2", "T2  1/2"]
    crosses = next(t for t in fig.data if t.name == "missing")
    assert (list(crosses.x), list(crosses.y)) == ([1], [1]) and "T2: 1 missing" in fig.layout.meta["alt"]


def test_split_writes_its_numbers() -> None:
    fig = split_bar({"train": ["a", "b", "c"], "validation": [], "test": ["d"]})
    assert [t.text for t in fig.data] == ["<b>train</b><br>3 (75%)", "", "<b>test</b><br>1 (25%)"]
    assert fig.layout.xaxis.title.text == "subjects"


def test_grids_have_a_dot_an_image_and_axis() -> None:
    images = [SimpleNamespace(subject=s, modality="T1", spacing_mm=(1, 1, 2), shape=(9, 8, 7)) for s in "ab"]
    fig = grid_overview(images)  # type: ignore[arg-type]
    assert [len(t.x) for t in fig.data] == [6, 6] and fig.layout.xaxis.title.text == "voxel size, mm"


def test_labels_have_a_row_each() -> None:
    facts = LabelFacts("a", "label", (1, 1, 1), (1, 1, 1), (), 1, (LabelValue(1, 5, 0.1, (("T1", 3.0, 1.0),)),), True)
    assert list(intensities_by_label([facts], {1: "CSF"}).layout.yaxis.ticktext) == ["CSF"]


def test_empty_cohorts_say_so() -> None:
    for fig in (
        intensity_histograms([]),
        grid_overview([]),
        missing_matrix([], []),
        split_bar({}),
        intensities_by_label([], {}),
    ):
        assert fig.layout.annotations[0].text == fig.layout.meta["alt"]


def test_scores_show_every_subject_the_interval_and_chance() -> None:
    cases = pd.DataFrame(
        {"run": ["a", "a", "b"], "subject": ["x", "y", "x"], "score": "dice", "value": [0.5, 0.7, np.nan]}
    )
    summary = pd.DataFrame({"run": ["a"], "score": ["dice"], "mean": [0.6], "low": [0.5], "high": [0.8]})
    fig = compare_scores(cases, summary, titles={"dice": "Dice, fraction"}, lines={"dice": {"chance": 0.1}})
    dots = [t for t in fig.data if t.name in ("a", "b")]
    assert [len(t.x) for t in dots] == [2, 0]
    mean = next(t for t in fig.data if t.name == "mean")
    np.testing.assert_allclose([mean.error_x.array[0], mean.error_x.arrayminus[0]], [0.2, 0.1])
    assert fig.layout.xaxis.title.text == "Dice, fraction" and any(a.text == "chance" for a in fig.layout.annotations)
