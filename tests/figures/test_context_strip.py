"""A strip of probabilities: each panel shows its own step, one slice for all, contours where the arrays end."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import pytest

from workbench.figures.context_strip import LEAST, ProbabilitySteps, context_strip
from workbench.figures.planes import PLANES
from workbench.figures.theme import PAPER, Theme
from workbench.imaging.volume import Volume

NAMES = ("registered labels", "iteration 0", "iteration 1")


@pytest.fixture
def steps(volume: Volume) -> ProbabilitySteps:
    truth = np.zeros(volume.shape, np.int32)
    truth[3:6, 4:7, 2:4] = 1
    truth[3:7, 5, 2:4] = 1  # slice 5 of the coronal ones holds most
    maps = np.random.default_rng(0).random((3, *volume.shape)).astype(np.float32)
    maps[2] = truth
    return ProbabilitySteps(volume, maps, NAMES, "hippocampus", np.array([0.5, np.nan, 1.0]), truth)


def probabilities(fig: go.Figure) -> list[np.ndarray]:
    return [np.asarray(t.z) for t in fig.data if t.type == "heatmap" and t.name == "probability"]


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_panels_hold_the_steps_in_order_through_the_fullest_slice(steps: ProbabilitySteps, plane: str) -> None:
    truth, normal = steps.truth, PLANES[plane].normal
    assert truth is not None
    index = int(truth.sum(tuple({0, 1, 2} - {normal})).argmax())
    drawn = probabilities(context_strip(steps, plane=plane))
    assert len(drawn) == 3
    for values, map_ in zip(drawn, steps.maps, strict=True):
        expected = map_.take(index, normal).T  # rows up, columns across
        np.testing.assert_allclose(values, np.where(expected >= LEAST, expected, np.nan))


def test_dice_stands_beneath_its_step_and_where_it_is_not_known_that_is_said(steps: ProbabilitySteps) -> None:
    fig = context_strip(steps)
    written = {n: [a.text for a in fig.layout.annotations if a.name == n] for n in ("step", "dice")}
    assert written["step"] == [f"<b>{n}</b>" for n in NAMES]
    assert written["dice"] == ["Dice 0.500", "truth not known", "Dice 1.000"]
    assert "iteration 1 Dice 1.000" in fig.layout.meta["alt"] and "hippocampus" in fig.layout.meta["alt"]


def test_the_last_contour_runs_on_the_truth_it_equals_and_no_truth_draws_none(steps: ProbabilitySteps) -> None:
    lines = [t for t in context_strip(steps).data if t.name == "contour" and t.xaxis == "x3"]
    assert len(lines) == 2 and lines[0].line.dash == "solid" and lines[1].line.dash != "solid"
    np.testing.assert_allclose(np.array(lines[0].x, float), np.array(lines[1].x, float))
    unknown = context_strip(ProbabilitySteps(steps.image, steps.maps, NAMES))
    assert not [t for t in unknown.data if t.name == "contour" and t.line.dash != "solid"]
    assert "truth (white)" not in [t.name for t in unknown.data]


def test_a_slice_that_is_asked_for_is_shown_on_either_page(steps: ProbabilitySteps) -> None:
    themes: tuple[Theme, ...] = ("light", "dark")
    for theme in themes:
        fig = context_strip(steps, index=2, theme=theme)
        np.testing.assert_allclose(probabilities(fig)[1], np.where(steps.maps[1][:, 2].T >= LEAST,
                                                                   steps.maps[1][:, 2].T, np.nan))  # fmt: skip
        assert fig.layout.template.layout.paper_bgcolor == PAPER[theme]
        assert [t.showscale for t in fig.data if t.name == "probability"] == [False, False, True]


def test_nothing_believed_is_still_drawn(volume: Volume) -> None:
    fig = context_strip(ProbabilitySteps(volume, np.zeros((1, *volume.shape), np.float32), ("iteration 0",)))
    assert np.isnan(probabilities(fig)[0]).all()


def test_what_does_not_fit_is_named(steps: ProbabilitySteps) -> None:
    with pytest.raises(ValueError, match="2 steps on"):
        ProbabilitySteps(steps.image, steps.maps, NAMES[:2])
    with pytest.raises(ValueError, match="3 steps but 2 Dice"):
        ProbabilitySteps(steps.image, steps.maps, NAMES, dice=[0.1, 0.2])
    with pytest.raises(ValueError, match="the truth has"):
        ProbabilitySteps(steps.image, steps.maps, NAMES, truth=np.zeros((1, 1, 1)))
    with pytest.raises(ValueError, match="slices 0 to 11"):
        context_strip(steps, index=12)
    with pytest.raises(LookupError, match="axial"):
        context_strip(steps, plane="oblique")
