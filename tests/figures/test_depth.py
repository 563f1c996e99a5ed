"""F-scores by depth and embeddings: what is drawn is what was given."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.figures.depth import embeddings, scores_by_depth

DEPTHS, NAMES = ["raw", "depth 1"], ["SVM", "kNN", "logistic"]


def f_scores() -> tuple[np.ndarray, np.ndarray]:
    f = np.random.default_rng(0).uniform(0.4, 0.9, (4, 3, 2))
    return f, np.stack([f.mean(0), f.min(0), f.max(0)], axis=-1)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_means_are_lines_and_folds_are_dots(theme: str) -> None:
    f, intervals = f_scores()
    drawn = scores_by_depth(f, intervals, DEPTHS, NAMES, theme=theme)  # type: ignore[arg-type]
    lines = [t for t in drawn.data if t.mode == "lines+markers"]
    assert [t.name for t in lines] == NAMES
    np.testing.assert_allclose(lines[1].y, f[:, 1].mean(0))
    dots = [t for t in drawn.data if t.mode == "markers"]
    assert all(len(t.y) == 8 for t in dots) and "SVM" in drawn.layout.meta["alt"]


def test_shuffled_classes_are_said() -> None:
    f, intervals = f_scores()
    drawn = scores_by_depth(f, intervals, DEPTHS, NAMES, permuted=True)
    assert any("shuffled" in a.text for a in drawn.layout.annotations)
    with pytest.raises(ValueError, match="expected F-scores"):
        scores_by_depth(f, intervals, ["raw"], NAMES)


def test_every_subject_is_drawn_once_a_panel_and_held_out_ones_are_filled() -> None:
    places, target = np.random.default_rng(0).normal(size=(2, 20, 2)), np.arange(20) % 2
    held_out = np.arange(20) < 6
    drawn = embeddings(places, target, ["a", "b"], DEPTHS, trustworthiness=[0.9, 0.8], held_out=held_out)
    assert sum(len(t.x) for t in drawn.data) == 40
    assert sum(len(t.x) for t in drawn.data if not t.marker.symbol.endswith("-open")) == 12
    assert "trustworthiness 0.90" in drawn.layout.annotations[0].text
