from __future__ import annotations

import numpy as np
import pytest

from workbench.figures.feature_tables import class_bars, column_histograms


def test_classes_keep_their_order_and_their_numbers() -> None:
    fig = class_bars({"control": 3, "patient": 1200})
    assert list(fig.data[0].y) == ["control", "patient"] and list(fig.data[0].text) == ["3", "1,200"]
    assert fig.layout.yaxis.type == "category", "classes named 0 to 9 are no numbers"


def test_shares_of_each_class_sum_to_one_over_the_same_bins() -> None:
    values = np.array([0.0, 1.0, 1.0, 5.0, np.nan])
    fig = column_histograms(values, ["a", "a", "b", "b", "b"], name="volume")
    assert [t.name for t in fig.data] == ["a (2)", "b (2)"]
    assert all(np.isclose(sum(t.y), 1) for t in fig.data)
    assert np.array_equal(fig.data[0].x, fig.data[1].x)


def test_too_many_classes_are_drawn_as_one() -> None:
    fig = column_histograms(np.arange(20.0), [str(i) for i in range(20)], name="age")
    assert len(fig.data) == 1 and fig.data[0].name == "all (20)"


def test_an_empty_column_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one number"):
        column_histograms(np.full(3, np.nan), [""] * 3, name="x")
