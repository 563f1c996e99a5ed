"""Figures of states, diagnosis, sparsity and recovery draw the numbers that they are given, in seconds and by class."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from workbench.figures.diagnosis import RocBand, error_by_targets, likelihood_ratios, roc_with_chance
from workbench.figures.edges import Regions
from workbench.figures.recovery import matched_maps, matched_networks, recovery_table
from workbench.figures.sparsity import sparsity_traces
from workbench.figures.state_patterns import diverging, state_patterns
from workbench.figures.states import (
    dwell_histogram,
    occupancy_by_class,
    order_curve,
    state_color,
    state_raster,
    transition_graph,
)
from workbench.figures.theme import DIVERGING

RNG = np.random.default_rng(0)
REGIONS = Regions(["a", "b", "c"], np.array([[-30.0, 0, 20], [30, 0, 20], [np.nan] * 3]))


def words(fig: go.Figure) -> str:
    return " ".join(a.text or "" for a in fig.layout.annotations)


def test_a_raster_counts_seconds_and_sorts_by_class() -> None:
    paths = [np.array([0, 1, 1]), np.array([2, 2]), np.array([1, -1, 0])]
    fig = state_raster(paths, 2.5, subjects=["s1", "s2", "s3"], classes=["x", "y", "x"])
    heat = fig.data[0]
    z = np.asarray(heat.z)
    assert heat.dx == 2.5 and heat.x0 == 1.25 and fig.layout.xaxis.title.text == "time, s"
    nothing = [np.nan] * 3
    wanted = np.array([nothing, [0, 1, 1], [1, np.nan, 0], nothing, [2, 2, np.nan]])
    assert np.array_equal(z, wanted.astype(np.float32), equal_nan=True)
    assert [a.text for a in fig.layout.annotations] == ["<b>x</b>", "<b>y</b>"]
    assert heat.zmin == -0.5 and heat.zmax == 2.5 and len(heat.colorscale) == 6
    with pytest.raises(ValueError, match="no sequence"):
        state_raster([], 1.0)


def test_arrows_are_wider_where_likelier_and_rare_ones_are_left_out() -> None:
    steps = np.array([[0.7, 0.29, 0.01], [0.1, 0.9, 0.0], [0.5, 0.05, 0.45]])
    fig = transition_graph(steps, occupancy=np.array([0.5, 0.3, 0.2]), dwell_s=np.array([3.0, 9.5, 2.0]))
    arrows = [t for t in fig.data if t.name == "transition"]
    told = [t.hovertext for t in fig.data if t.name == "probability"]
    assert len(arrows) == 4 and not any("1 → 3" in t for t in told)
    widths = {t: a.line.width for t, a in zip(told, arrows, strict=True)}
    assert max(widths, key=lambda t: widths[t]).startswith("state 3 → 1: 0.500")
    states = [t for t in fig.data if t.mode == "markers+text"]
    assert "9.5 s" in states[1].text and states[0].marker.size > states[2].marker.size
    bounds = np.stack([steps - 0.01, steps + 0.01], -1)
    said = [t.hovertext for t in transition_graph(steps, intervals=bounds).data if t.name == "probability"]
    assert "0.490 to 0.510" in " ".join(said)


def test_one_state_alone_is_drawn() -> None:
    assert len([t for t in transition_graph(np.ones((1, 1))).data if t.mode == "markers+text"]) == 1


def test_dwell_times_have_their_median_and_never_visited_states_say_so() -> None:
    fig = dwell_histogram([np.array([2.0, 4.0, 12.0]), np.array([])])
    assert "median 4.0 s, 3 visits" in words(fig) and "state 2: never visited" in words(fig)
    assert fig.layout.shapes[0].x0 == 4.0 and fig.layout.xaxis2.title.text == "dwell time, s"


def test_the_order_curve_has_its_intervals() -> None:
    table = pd.DataFrame({"order": [3, 2], "mean": [-1.0, -2.0], "low": [-1.5, -2.2], "high": [-0.9, -1.0]})
    line = order_curve(table, chosen=3).data[0]
    assert list(line.x) == [2, 3] and np.allclose(line.error_y.array, [1.0, 0.1])
    assert np.allclose(line.error_y.arrayminus, [0.2, 0.5])


def test_shares_stand_at_their_state_apart_by_class() -> None:
    rows = [
        {"state": s, "class": c, "subject": f"{c}{i}", "share": 0.1 * i} for s in (0, 1) for c in "pq" for i in range(3)
    ]
    summary = pd.DataFrame(
        [{"state": s, "class": c, "mean": 0.1, "low": 0.05, "high": 0.2} for s in (0, 1) for c in "pq"]
    )
    fig = occupancy_by_class(pd.DataFrame(rows), summary)
    p, q = (np.asarray(next(t for t in fig.data if t.name == n).x, float) for n in "pq")
    assert (np.rint(p) == np.rint(q)).all() and p[:3].max() < q[:3].min()
    assert set(np.rint(p)) == {1, 2}


def test_patterns_are_coloured_by_sign_and_without_places_become_strips() -> None:
    fig = state_patterns(np.array([[2.0, -1.0, 0.0], [0.0, 0.5, 0.0]]), REGIONS, dwell_s=np.array([4.0, 6.0]))
    dots = [t for t in fig.data if t.name == "regions"]
    assert len(dots) == 4 and all(len(t.x) == 2 for t in dots)  # two states from two sides, two placed regions
    color = dict(zip([t.split("</b>")[0][3:] for t in dots[0].hovertext], dots[0].marker.color, strict=True))
    assert color["a"] == DIVERGING["light"][-1][1].upper() and color["b"] != color["a"]
    assert "state 1 · 4.0 s" in words(fig) and state_color(0) in words(fig)
    flat = state_patterns(np.eye(2, 3), Regions(["a", "b", "c"]))
    assert np.allclose(flat.data[0].z, np.eye(2, 3)) and list(flat.layout.yaxis.ticktext) == ["1", "2"]
    with pytest.raises(ValueError, match=r"\(K, 3\)"):
        state_patterns(np.eye(2), REGIONS)


def test_diverging_passes_through_its_stops() -> None:
    for theme in ("light", "dark"):
        for at, color in DIVERGING[theme]:
            assert diverging(2 * at - 1, theme) == color.upper()


def test_ratios_on_the_wrong_side_are_open() -> None:
    fig = likelihood_ratios(
        np.array([2.0, -1.0, -3.0]), ["sick", "sick", "well"], positive="sick", subjects=["a", "b", "c"]
    )
    where = {name: t.marker.symbol for t in fig.data for name in (t.hovertext if t.hovertext is not None else [])}
    assert where["b"].endswith("-open") and not where["a"].endswith("-open") and not where["c"].endswith("-open")
    assert fig.layout.shapes[0].x0 == 0 and "speaks for sick" in words(fig) and "speaks for well" in words(fig)
    with pytest.raises(ValueError, match="3 ratios but 2 classes"):
        likelihood_ratios(np.zeros(3), ["a", "b"], positive="a")


def test_a_roc_stands_beside_chance() -> None:
    x = np.array([0.0, 0.5, 1.0])
    roc = RocBand(x, x**0.5, x**0.5 - 0.1, x**0.5 + 0.1, 0.8, (0.7, 0.9), RNG.normal(0.5, 0.05, 200), 0.005)
    fig = roc_with_chance(roc)
    assert any(t.name == "AUC 0.800 (0.700 to 0.900)" for t in fig.data) and "p = 0.005" in words(fig)
    permuted = next(t for t in fig.data if t.type == "histogram")
    assert permuted.xbins.start <= roc.null.min() and permuted.xbins.end > roc.null.max()
    assert not [t for t in roc_with_chance(roc._replace(null=np.array([]))).data if t.type == "histogram"]


def test_the_smallest_error_is_ringed() -> None:
    table = pd.DataFrame(
        [{"t1": a, "t2": b, "error": abs(a - 0.2) + abs(b - 0.4)} for a in (0.1, 0.2) for b in (0.2, 0.4, 0.8)]
    )
    fig = error_by_targets(table, x="t1", y="t2")
    ring = fig.layout.shapes[0]
    assert (ring.x0, ring.y0) == (0.5, 0.5) and "t1 0.2 and t2 0.4" in words(fig)
    assert np.asarray(fig.data[0].z).shape == (3, 2)


def test_targets_are_drawn_in_the_panel_they_steer() -> None:
    table = pd.DataFrame(
        [{"step": s, "layer": la, "target": 0.3, "nonzero": 0.5, "beta": 0.1} for la in ("1", "2") for s in range(3)]
    )
    fig = sparsity_traces(table)
    targets = [t for t in fig.data if t.name == "target"]
    assert len(targets) == 2 and {t.yaxis for t in targets} == {"y"} and all(t.line.dash == "dash" for t in targets)
    assert len(fig.data) == 2 + 2 * 2
    with pytest.raises(ValueError, match="nonzero, hoyer, beta"):
        sparsity_traces(table[["step", "layer", "target"]])


def test_the_best_of_a_column_is_bold_and_gaps_stay_open() -> None:
    rows = [("RBM", "events", 0.9), ("ICA", "events", 0.7), ("ICA", "Gaussian", 0.4)]
    table = pd.DataFrame([{"method": m, "sources": s, "mean": v, "low": v - 0.1, "high": v + 0.1} for m, s, v in rows])
    fig = recovery_table(table)
    assert "<b>0.90</b><br><sup>0.80 to 1.00" in words(fig) and "<b>0.40</b>" in words(fig)
    assert "<b>0.70</b>" not in words(fig) and np.isnan(np.asarray(fig.data[0].z)[0, 1])


def test_the_truth_is_drawn_last_beside_what_was_found() -> None:
    maps = {"truth": np.ones((2, 3, 4)), "RBM": 2 * np.ones((2, 3, 4))}
    fig = matched_maps(maps, {"RBM": np.array([0.91, 0.5])}, names=["one", "two"])
    titles = [a.text for a in fig.layout.annotations]
    assert titles[:2] == ["RBM", "truth"] and "r 0.91" in titles and "two" in titles
    assert np.allclose(fig.data[0].z, 1) and np.allclose(fig.data[0].customdata, 2)
    with pytest.raises(ValueError, match="as many maps"):
        matched_maps({"a": np.ones((2, 3, 3)), "b": np.ones((1, 3, 3))}, {})


def test_networks_are_matched_on_brains() -> None:
    maps = {"truth": np.eye(2, 3), "RBM": 3 * np.eye(2, 3)}
    fig = matched_networks(maps, {"RBM": np.array([0.9, 0.8])}, REGIONS, names=["n1", "n2"])
    assert "RBM · r 0.90" in words(fig) and "truth · n2" in words(fig) and "planted" in fig.layout.meta["alt"]
