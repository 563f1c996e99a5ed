from __future__ import annotations

import numpy as np
import pytest

from workbench.figures.strips import Strips, value_strips, weight_strips

rng = np.random.default_rng(0)


def test_columns_of_different_units_are_seen_together() -> None:
    values = rng.normal(size=(40, 3)) * [1, 100, 1e-3] + [0, 5000, 1]
    z = np.asarray(value_strips([Strips("all", values)], ["a", "b", "c"]).data[0].z)
    assert np.allclose(z.mean(0), 0, atol=1e-5) and np.allclose(z.std(0), 1, atol=1e-5)


def test_panels_are_measured_against_the_first_or_the_reference() -> None:
    truth = rng.normal(size=(30, 4))
    fig = value_strips([Strips("truth", truth), Strips("guess", truth + truth.std(0))])
    assert np.allclose(np.asarray(fig.data[1].z) - np.asarray(fig.data[0].z), 1, atol=1e-5)
    twice = value_strips([Strips("truth", truth)], reference=truth * 2)
    spread = np.asarray(twice.data[0].z).std(0)
    assert np.allclose(spread, 0.5, atol=1e-5)


def test_a_constant_column_and_empty_cells_are_no_fault() -> None:
    values = np.ones((5, 2))
    values[1, 1] = np.nan
    z = np.asarray(value_strips([Strips("", values)]).data[0].z)
    assert np.isnan(z[1, 1]) and np.isfinite(z).sum() == 9


def test_the_pointer_tells_the_value_in_its_own_unit() -> None:
    values = rng.normal(size=(3, 2)) + 7
    trace = value_strips([Strips("", values, ["x", "y", "z"])], ["a", "b"], unit="ml").data[0]
    assert np.allclose(trace.customdata, values, atol=1e-5)
    assert trace.text[2][1] == "z, b" and "ml" in trace.hovertemplate


def test_a_unit_spans_its_own_largest_weight_or_the_largest_of_all() -> None:
    weights = np.array([[1.0, -2.0], [0.0, 8.0], [0.0, 0.0]])
    each = np.asarray(weight_strips(weights, units=[1, 0, 2]).data[0].z)
    assert np.array_equal(each, np.array([[0, 1], [0.5, -1], [0, 0]]))
    shared = np.asarray(weight_strips(weights, scale="shared").data[0].z)
    assert np.array_equal(shared, weights / 8)


def test_rows_are_named_by_unit_and_columns_by_name() -> None:
    fig = weight_strips(np.eye(4), ["a", "b", "c", "d"], units=[3, 1])
    assert list(fig.layout.yaxis.ticktext) == ["3", "1"]
    assert list(fig.layout.xaxis.ticktext) == ["a", "b", "c", "d"]


def test_many_columns_are_not_all_written() -> None:
    fig = weight_strips(np.zeros((2, 1000)))
    assert len(fig.layout.xaxis.ticktext) <= 64


def test_panels_of_other_widths_are_refused() -> None:
    with pytest.raises(ValueError, match="same V"):
        value_strips([Strips("", np.zeros((2, 3))), Strips("", np.zeros((2, 4)))])
    with pytest.raises(ValueError, match="no unit"):
        weight_strips(np.zeros((2, 3)), units=[])
