from __future__ import annotations

from itertools import combinations

import numpy as np
import plotly.graph_objects as go
import pytest

from workbench.figures import theme

THEMES = ("light", "dark")


def _luminance(color: str) -> float:
    parts = np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def _contrast(a: str, b: str) -> float:
    high, low = sorted((_luminance(a), _luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("name", THEMES)
def test_text_is_readable(name: str) -> None:
    assert _contrast(theme.INK[name], theme.PAPER[name]) > 7
    assert _contrast(theme.MUTED[name], theme.PAPER[name]) > 4.5


@pytest.mark.parametrize("name", THEMES)
def test_finished_figures_have_alt_text_and_their_own_template(name: str) -> None:
    fig = theme.finish(go.Figure(), name, alt="A sentence.", height=200)  # type: ignore[arg-type]
    assert fig.layout.meta == {"alt": "A sentence.", "theme": name}
    assert fig.layout.template.layout.paper_bgcolor == theme.PAPER[name]


def test_unknown_theme_lists_the_known() -> None:
    with pytest.raises(LookupError, match="light, dark"):
        theme.finish(go.Figure(), "sepia", alt="", height=1)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", THEMES)
def test_diverging_scale_is_balanced_about_its_middle(name: str) -> None:
    scale = theme.DIVERGING[name]
    assert [1 - at for at, _ in reversed(scale)] == [at for at, _ in scale]
    for (_, negative), (_, positive) in zip(scale, reversed(scale), strict=True):
        assert abs(_luminance(negative) ** 0.4 - _luminance(positive) ** 0.4) < 0.12


def test_maps_grow_lighter_all_the_way() -> None:
    lightness = [_luminance(color) for _, color in theme.VIRIDIS]
    assert lightness == sorted(lightness)


def test_label_colours_differ_for_sixteen_labels() -> None:
    colors = [theme.label_color(value) for value in range(1, 17)]
    assert len(set(colors)) == 16
    for a, b in combinations(colors[:8], 2):
        assert a != b
