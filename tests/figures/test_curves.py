from __future__ import annotations

import numpy as np
import pandas as pd

from workbench.figures.curves import along_steps, compare_curves, sparkline, training_curves


def test_steps_count_on_across_stages(metrics: pd.DataFrame) -> None:
    table, bands = along_steps(metrics)
    assert bands == [("pretrain 1", 0.0, 10.0), ("fine-tune", 10.0, 20.0)]
    assert table["x"].max() == 20


def test_validation_and_values_within_epochs_share_a_panel(metrics: pd.DataFrame) -> None:
    fig = training_curves(metrics)
    assert {t.name for t in fig.data} == {"training, within an epoch", "training", "validation"}
    assert {t.yaxis for t in fig.data} == {"y"}
    assert fig.layout.yaxis.title.text == "squared error<br>per voxel"


def test_each_stage_has_a_named_band(metrics: pd.DataFrame) -> None:
    fig = training_curves(metrics)
    assert [s.name for s in fig.layout.shapes] == ["stage pretrain 1", "stage fine-tune"]
    assert [a.hovertext for a in fig.layout.annotations if a.name == "stage"] == ["pretrain 1", "fine-tune"]


def test_no_line_leads_from_stage_to_stage(metrics: pd.DataFrame) -> None:
    validation = next(t for t in training_curves(metrics).data if t.name == "validation")
    assert np.isnan(np.asarray(validation.y, float)).tolist() == [False, False, True, False, False, True]


def test_short_series_are_not_smoothed(metrics: pd.DataFrame) -> None:
    validation = next(t for t in training_curves(metrics, smoothing=0.9).data if t.name == "validation")
    np.testing.assert_allclose(np.asarray(validation.y, float)[:2], [2.0, 1.0])


def test_long_series_keep_their_values_behind_the_smoothed_line() -> None:
    step = np.arange(1, 101)
    table = pd.DataFrame({"stage": "a", "step": step, "name": "loss", "value": step % 2})
    faint, bold = training_curves(table, smoothing=0.9).data
    assert np.nanstd(np.asarray(bold.y, float)[20:]) < 0.1 * np.nanstd(np.asarray(faint.y, float)[20:])


def test_nothing_logged_is_said() -> None:
    empty = pd.DataFrame(columns=["time", "stage", "epoch", "step", "name", "value"])
    assert "Nothing is logged yet" in training_curves(empty).layout.meta["alt"]
    assert "None of these runs" in compare_curves({"a": empty}).layout.meta["alt"]


def test_runs_are_told_apart_by_colour_and_dash(metrics: pd.DataFrame) -> None:
    fig = compare_curves({"first": metrics, "second": metrics}, name="val_mse")
    assert len({t.line.color for t in fig.data}) == 2 and len({t.line.dash for t in fig.data}) == 2
    assert fig.layout.yaxis.title.text.startswith("validation")


def test_sparkline_marks_its_last_point() -> None:
    assert list(sparkline(np.array([3.0, 2.0, 1.0])).data[1].y) == [1.0]
