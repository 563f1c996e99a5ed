from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from workbench.figures.experiments import learning_curves_by_labels, noise_robustness, paired_experiment

SCORES = pd.DataFrame(
    [("scratch", 0, 0.5), ("scratch", 1, 0.6), ("greedy", 1, 0.7), ("greedy", 0, 0.65)],
    columns=["variant", "seed", "score"],
)
SUMMARY = pd.DataFrame([("scratch", 0.55, 0.5, 0.6), ("greedy", 0.675, 0.6, 0.75)],
                       columns=["variant", "mean", "low", "high"])  # fmt: skip
DIFFERENCES = pd.DataFrame([("greedy", 0.125, 0.05, 0.2)], columns=["variant", "mean", "low", "high"])


def test_lines_join_scores_of_one_seed() -> None:
    fig = paired_experiment(SCORES, SUMMARY, DIFFERENCES, title="accuracy", unit="fraction")
    lines = [list(t.y) for t in fig.data if t.name == "seed"]
    assert lines == [[0.5, 0.65], [0.6, 0.7]]


def test_differences_are_taken_within_a_seed_and_zero_is_drawn() -> None:
    fig = paired_experiment(SCORES, SUMMARY, DIFFERENCES)
    dots = next(t for t in fig.data if t.name == "greedy")
    assert list(dots.y) == pytest.approx([0.15, 0.1])
    mean = [t for t in fig.data if t.name == "mean"][-1]
    assert list(mean.y) == [0.125] and mean.error_y.array[0] == pytest.approx(0.075)
    assert any(s.y0 == s.y1 == 0 for s in fig.layout.shapes)
    low, high = fig.layout.yaxis2.range
    assert low < 0 and high > 0.2


def test_each_number_of_labels_has_a_panel() -> None:
    more = pd.concat([SCORES.assign(labels=n) for n in (300, 30)])
    fig = paired_experiment(more, *(pd.concat([t.assign(labels=n) for n in (30, 300)]) for t in (SUMMARY, DIFFERENCES)))
    titles = [a.text for a in fig.layout.annotations if "labels" in a.text]
    assert titles == ["30 labels", "300 labels"]
    assert len([t for t in fig.data if t.name == "seed"]) == 4


def test_one_variant_is_no_comparison() -> None:
    with pytest.raises(ValueError, match="two variants"):
        paired_experiment(SCORES[:2], SUMMARY, DIFFERENCES)


def curves(x: str) -> pd.DataFrame:
    rows = [(v, n, 0.5 + n / 1000, 0.45, 0.95) for v in ("DBN", "DBM") for n in (300, 30, 100)]
    return pd.DataFrame(rows, columns=["variant", x, "mean", "low", "high"])


def test_curves_run_in_order_with_their_bands() -> None:
    fig = learning_curves_by_labels(curves("labels"), chance=0.5)
    line = next(t for t in fig.data if t.name == "DBM")
    assert list(line.x) == [30, 100, 300] and fig.layout.xaxis.type == "log"
    band = next(t for t in fig.data if t.legendgroup == "DBM" and t.fill == "toself")
    assert len(band.x) == 6 and max(band.y) == 0.95 and min(band.y) == 0.45
    assert any(a.text == "chance" for a in fig.layout.annotations)


def test_models_are_told_apart_without_colour() -> None:
    fig = noise_robustness(curves("noise"), noise="sd of the noise, sd of the input", theme="dark")
    lines = [t for t in fig.data if t.fill is None]
    assert len({t.line.dash for t in lines}) == len({t.marker.symbol for t in lines}) == 2
    assert fig.layout.xaxis.title.text == "sd of the noise, sd of the input"
    with pytest.raises(ValueError, match="noise"):
        noise_robustness(curves("noise")[:0])


def test_missing_seeds_leave_a_gap_only() -> None:
    fig = paired_experiment(SCORES[:3], SUMMARY, DIFFERENCES)
    dots = next(t for t in fig.data if t.name == "greedy")
    assert np.isnan(dots.y[0]) and dots.y[1] == pytest.approx(0.1)
