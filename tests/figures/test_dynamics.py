from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from workbench.figures.dynamics import layer_life, momentum_schedule_figure, weight_histograms


def test_tens_of_one_minus_mu_are_equally_far_apart() -> None:
    fig = momentum_schedule_figure([0, 1, 2], [0.9, 0.99, 0.999])
    assert list(fig.data[0].y) == pytest.approx([1, 2, 3])
    ticks = dict(zip(fig.layout.yaxis.ticktext, fig.layout.yaxis.tickvals, strict=True))
    assert ticks["0.99"] == pytest.approx(2) and ticks["0"] == 0


def test_several_schedules_and_the_learning_rate() -> None:
    fig = momentum_schedule_figure([0, 1], {"max 0.9": [0.5, 0.9], "max 0.99": [0.5, 0.99]}, learning_rate=[0.1, 0.05])
    assert [t.name for t in fig.data] == ["max 0.9", "max 0.99", "learning rate"]
    assert fig.layout.yaxis2.title.text == "learning rate" and fig.layout.xaxis2.title.text == "training step"
    assert "max 0.99 ends at 0.99" in fig.layout.meta["alt"]


@pytest.mark.parametrize("wrong", [1.0, -0.1])
def test_momentum_that_cannot_be_is_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match="below 1"):
        momentum_schedule_figure([0, 1], [0.5, wrong])


def test_a_dead_layer_is_dotted_and_named() -> None:
    table = pd.DataFrame(
        [(s, name, 0.1 * s, 0.0) for s in (0, 2, 1) for name in ("h1", "h2")],
        columns=["step", "layer", "mean_abs_weight", "sd_of_mu"],
    )
    fig = layer_life(table, dead=["h2"], theme="dark")
    dead = [t for t in fig.data if t.legendgroup == "h2"]
    assert len(dead) == 2 and all(t.line.dash == "dot" and t.name == "h2, dead" for t in dead)
    assert list(dead[0].x) == [0, 1, 2] and "h2 dead at the end" in fig.layout.meta["alt"]
    with pytest.raises(ValueError, match="no layer"):
        layer_life(table[:0])


def test_histograms_count_every_weight() -> None:
    weights = np.random.default_rng(0).normal(size=(30, 20))
    fig = weight_histograms({"W1": weights, "W2": weights * 2})
    assert sum(fig.data[0].y) == pytest.approx(1) and len(fig.data) == 2
    assert any("mean" in a.text and "sd" in a.text for a in fig.layout.annotations)
