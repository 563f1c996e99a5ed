from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from workbench.figures.predictions import confusion, ranked_bars, reliability_curve


def bins() -> pd.DataFrame:
    return pd.DataFrame({"predicted": [0.1, 0.5, 0.9], "observed": [0.2, 0.4, 0.9], "low": [0.1, 0.3, 0.8],
                         "high": [0.3, 0.5, 1.0], "count": [10, 0, 30]})  # fmt: skip


def test_reliability_draws_the_diagonal_and_leaves_empty_bins_out() -> None:
    fig = reliability_curve({"DBM": bins()}, errors={"DBM": 0.05})
    diagonal, line, bars = fig.data
    assert list(diagonal.x) == list(diagonal.y) == [0, 1]
    assert list(line.x) == [0.1, 0.9] and list(line.error_y.array) == pytest.approx([0.1, 0.1])
    assert list(bars.y) == [10, 30] and "0.050" in line.name
    with pytest.raises(ValueError, match="no model"):
        reliability_curve({})


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_confusion_is_coloured_by_row_and_counted_in_words(theme: str) -> None:
    fig = confusion(np.array([[3, 1], [0, 6]]), ["AD", "NC"], theme=theme)  # type: ignore[arg-type]
    np.testing.assert_allclose(np.asarray(fig.data[0].z), [[0.75, 0.25], [0, 1]])
    assert "9 of 10 right (90.0%)" in fig.layout.meta["alt"]
    assert fig.layout.yaxis.range[0] > fig.layout.yaxis.range[1]


def test_confusion_of_an_absent_class_divides_by_nothing() -> None:
    assert np.asarray(confusion(np.array([[0, 0], [1, 2]]), ["AD", "NC"]).data[0].z)[0].sum() == 0
    with pytest.raises(ValueError, match="3 names"):
        confusion(np.eye(2), ["a", "b", "c"])


def test_bars_keep_the_largest_in_order_of_sign() -> None:
    fig = ranked_bars([0.1, -3, 2, 0.2], ["a", "b", "c", "d"], title="weight", most=3)
    assert list(fig.data[0].y) == ["c", "d", "b"]
    colors = fig.data[0].marker.color
    assert colors[0] == colors[1] != colors[2]
