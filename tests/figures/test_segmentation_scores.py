"""Every subject is a dot, intervals are those given, differences are those of the same subject."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from workbench.figures.segmentation_scores import ablation, lesion_sizes, score_strips
from workbench.figures.thresholds import probability_histogram, threshold_curves

RNG = np.random.default_rng(0)
SUBJECTS = [f"s{i}" for i in range(9)]


def cases(key: str, names: list[str]) -> pd.DataFrame:
    return pd.DataFrame([{key: n, "subject": s, "value": RNG.uniform(0.5, 1)} for n in names for s in SUBJECTS])


def test_every_subject_is_a_dot_and_the_marked_one_is_ringed() -> None:
    table = cases("structure", ["GM", "WM"])
    table.loc[(table.structure == "WM") & (table.subject == "s3"), "value"] = np.nan
    fig = score_strips(table, marked="s4", best=1.0)
    dots = [t for t in fig.data if t.type == "scatter"]
    assert [len(t.y) for t in dots] == [9, 8]
    for dot, name in zip(dots, ["GM", "WM"], strict=True):
        values = table[table.structure == name].set_index("subject")["value"]
        assert dict(zip(dot.customdata, dot.y, strict=True)) == pytest.approx(values.dropna().to_dict())
        assert [s for s, size in zip(dot.customdata, dot.marker.size, strict=True) if size == max(dot.marker.size)] == [
            "s4"
        ]
    assert any("1 without" in a.text for a in fig.layout.annotations), "what has no meaning is said"
    assert dots[0].x[4] == pytest.approx(dots[1].x[3] - 1), "a subject stands at the same place in every strip"


def test_the_bar_is_the_interval_that_was_given() -> None:
    summary = pd.DataFrame([{"structure": "WM", "mean": 0.8, "low": 0.7, "high": 0.85}])
    bar = score_strips(cases("structure", ["GM", "WM"]), summary).data[-1]
    assert bar.y[0] == 0.8 and 1 < bar.x[0] < 1.5
    assert (bar.y[0] + bar.error_y.array[0], bar.y[0] - bar.error_y.arrayminus[0]) == pytest.approx((0.85, 0.7))


def test_runs_are_compared_subject_by_subject_with_the_first() -> None:
    table = cases("run", ["three", "one"])
    summary = pd.DataFrame([{"run": r, "mean": 0.7, "low": 0.6, "high": 0.8} for r in ("three", "one")])
    differences = pd.DataFrame([{"run": "one", "mean": -0.1, "low": -0.2, "high": 0.0}])
    fig = ablation(
        table.sample(frac=1, random_state=1).sort_values("run", ascending=False, kind="stable"), summary, differences
    )
    [right] = [t for t in fig.data if t.xaxis == "x2" and t.name == "one"]
    wide = table.pivot_table(index="subject", columns="run", values="value")
    expected = (wide["one"] - wide["three"]).to_dict()
    assert dict(zip(right.customdata, right.x, strict=True)) == pytest.approx(expected)
    assert not [t for t in fig.data if t.xaxis == "x2" and t.name == "three"]
    means = [t for t in fig.data if t.name == "mean"]
    assert [list(t.x) for t in means] == [[0.7, 0.7], [-0.1]] and list(means[1].y) == [1]
    with pytest.raises(ValueError, match="two runs"):
        ablation(table[table.run == "one"], summary, differences)


def test_lesions_of_a_size_are_found_or_missed_and_false_ones_stand_beside() -> None:
    bands = pd.DataFrame({"low_mm3": [0, 10, 100], "high_mm3": [10, 100, np.inf], "n_true": [5, 4, 2],
                          "n_found": [1, 3, 2], "n_false": [6, 0, 0]})  # fmt: skip
    fig = lesion_sizes(bands)
    bars = {t.name: t for t in fig.data}
    assert list(bars["found"].x) == ["below 10", "10–100", "from 100"]
    assert [a + b for a, b in zip(bars["found"].y, bars["missed"].y, strict=True)] == [5, 4, 2]
    assert bars["false"].offsetgroup != bars["found"].offsetgroup == bars["missed"].offsetgroup
    assert len({t.marker.pattern.shape for t in fig.data}) == 3, "told apart without color"


def test_the_chosen_threshold_is_marked_with_the_scores_there() -> None:
    rows = pd.DataFrame({"threshold": np.linspace(0, 1, 11), "dice": np.linspace(0, 1, 11) * np.linspace(2, 0, 11),
                         "sensitivity": np.linspace(1, 0, 11), "ppv": [np.nan] * 11})  # fmt: skip
    fig = threshold_curves(rows, 0.31)
    assert [t.name for t in fig.data if t.mode == "lines"] == ["Dice 0.420", "Sensitivity 0.700", "PPV –"]
    assert fig.layout.shapes[0].x0 == 0.31
    star = next(t for t in fig.data if t.marker.symbol == "star")
    assert star.x[0] == 0.5 and star.y[0] == rows["dice"].max()
    assert len({t.line.dash for t in fig.data if t.mode == "lines"}) == 3
    with pytest.raises(ValueError, match="scores"):
        threshold_curves(rows[["threshold"]], 0.5)


def test_bars_of_a_histogram_hold_all_voxels() -> None:
    values, truth = RNG.uniform(size=500), RNG.uniform(size=500) > 0.7
    counts, edges = np.histogram(values, 20, (0, 1))
    inside = np.histogram(values[truth], edges)[0]
    fig = probability_histogram(counts, edges, 0.4, truth_counts=inside)
    assert sum(int(t.y.sum()) for t in fig.data) == 500 and fig.layout.yaxis.type == "log"
    assert f"{int((values >= 0.4).sum())} of 500" in fig.layout.meta["alt"]
    with pytest.raises(ValueError, match="edges"):
        probability_histogram(counts, edges[1:], 0.4)
