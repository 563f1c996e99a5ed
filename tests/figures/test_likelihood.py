from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from workbench.figures.likelihood import free_energy_gap, likelihood_whisker, published_table_figure

ROWS = pd.DataFrame(
    [
        ("RBM 16", "exact", 112.3, np.nan, np.nan),
        ("RBM 16", "forward", 112.2, 112.0, 112.4),
        ("RBM 16", "reverse", 112.5, 112.4, 112.6),
        ("RBM 200", "forward", 440.0, 439.0, 441.0),
        ("RBM 200", "reverse", 441.5, 441.0, 442.0),
    ],
    columns=["model", "kind", "value", "low", "high"],
)


def test_right_panel_counts_from_exact_else_from_forward() -> None:
    fig = likelihood_whisker(ROWS)
    forward = [t for t in fig.data if t.legendgroup == "forward"]
    assert list(forward[0].x) == [112.2, 440.0]
    assert list(forward[1].x) == pytest.approx([-0.1, 0.0])
    assert list(forward[1].error_x.array) == pytest.approx([0.2, 1.0])
    exact = [t for t in fig.data if t.legendgroup == "exact"]
    assert list(exact[1].x) == [0.0] and list(exact[1].error_x.array) == [0.0]


def test_gap_is_written_and_shaded_for_each_model() -> None:
    fig = likelihood_whisker(ROWS)
    text = [a.text for a in fig.layout.annotations]
    assert "gap +0.3" in text and "gap +1.5" in text
    shades = [s for s in fig.layout.shapes if s.type == "rect"]
    assert [s.x1 - s.x0 for s in shades] == pytest.approx([0.3, 1.5])


def test_unknown_kinds_and_no_models_are_refused() -> None:
    with pytest.raises(ValueError, match="sideways"):
        likelihood_whisker(ROWS.assign(kind="sideways"))
    with pytest.raises(ValueError, match="models"):
        likelihood_whisker(ROWS[:0])


def test_free_energy_gap_is_held_out_minus_training() -> None:
    fig = free_energy_gap([0, 1, 2], [-5, -7, -9], [-5, -6, -6], chosen=1)
    gap = next(t for t in fig.data if t.name == "gap")
    assert list(gap.y) == [0, 1, 3]
    assert "3 nats" in fig.layout.meta["alt"] and fig.layout.yaxis2.title.text.endswith("nats")
    assert any(a.text == "kept" for a in fig.layout.annotations)


def test_published_stands_beside_obtained_and_the_missing_is_said() -> None:
    table = pd.DataFrame(
        [("CD1", -125.5, "A", -121.0, -122.0, -120.0), ("CD25", -86.3, "A", np.nan, np.nan, np.nan),
         ("ours", np.nan, None, -80.0, -81.0, -79.0)],
        columns=["model", "published", "source", "obtained", "low", "high"],
    )  # fmt: skip
    fig = published_table_figure(table, quantity="mean log-likelihood, nats", theme="dark")
    text = [a.text for a in fig.layout.annotations]
    assert "+4.5" in text and "not run" in text and "nothing published" in text
    obtained = next(t for t in fig.data if (t.name or "").startswith("obtained"))
    assert obtained.error_x.array[0] == pytest.approx(1) and obtained.error_x.arrayminus[0] == pytest.approx(1)
    assert fig.layout.xaxis.title.text == "mean log-likelihood, nats"
    with pytest.raises(ValueError, match="no rows"):
        published_table_figure(table[:0], quantity="nats")
