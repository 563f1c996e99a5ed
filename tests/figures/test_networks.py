from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from workbench.figures.network_parts import Direction, LayerParts, LinkParts, NetworkParts
from workbench.figures.networks import colors_of, network_diagram


def network(*ways: Direction, **more: Any) -> NetworkParts:
    layers = [LayerParts(f"h{i}" if i else "v", 6, range(4), "sigmoid") for i in range(len(ways) + 1)]
    weights = np.random.default_rng(0).normal(size=(4, 4))
    blocks = [LinkParts(a.name, b.name, weights, way, f"W{i}")
              for i, (a, b, way) in enumerate(zip(layers, layers[1:], ways, strict=False))]  # fmt: skip
    return NetworkParts("dbn", layers, blocks, **more)


def heads(fig: Any, name: str) -> list[Any]:
    return [t for t in fig.data if t.name == name and t.marker.symbol == "arrow"]


def text(fig: Any) -> str:
    return " ".join(a.text for a in fig.layout.annotations)


def test_every_layer_is_named_with_its_size_and_kind() -> None:
    fig = network_diagram(network("down", "none"))
    for part in ("v", "h⁽¹⁾", "h⁽²⁾", "6 sigmoid", "W0", "W1", "···"):
        assert part in text(fig)
    assert "undirected" in fig.layout.meta["alt"] and "directed downwards" in fig.layout.meta["alt"]


def test_only_directed_links_have_heads() -> None:
    directed, undirected = network_diagram(network("down")), network_diagram(network("none"))
    assert heads(directed, "positive links") and not heads(undirected, "positive links")
    arrows = [a for a in directed.layout.annotations if a.showarrow]
    assert len(arrows) == 1 and arrows[0].y < arrows[0].ay
    assert not [a for a in undirected.layout.annotations if a.showarrow]
    assert len([a for a in network_diagram(network("both")).layout.annotations if a.showarrow]) == 2


def test_heads_point_at_the_layer_that_is_fed() -> None:
    for way, falls in (("down", True), ("up", False)):
        for trace in heads(network_diagram(network(way)), "positive links"):  # type: ignore[arg-type]
            y = np.asarray(trace.y, float).reshape(-1, 3)
            assert ((y[:, 1] < y[:, 0]) == falls).all()
            assert list(trace.marker.size[:3]) == [0, 9, 0]


def test_sign_is_a_links_colour_and_size_its_width() -> None:
    parts = network("none")
    weights = np.full((4, 4), 0.01)
    weights[1, 2], weights[2, 0] = 1.0, -1.0
    fig = network_diagram(NetworkParts("rbm", parts.layers, [LinkParts("v", "h1", weights)]))
    widest = {t.name: t for t in fig.data if t.line.width and t.line.width > 2}
    assert {n: len(t.x) // 3 for n, t in widest.items()} == {"positive links": 1, "negative links": 1}
    assert widest["positive links"].line.color != widest["negative links"].line.color
    units = {t.hovertext[0].split(",")[0]: t for t in fig.data if t.name == "units"}
    assert widest["positive links"].x[0] == units["v"].x[2] and widest["positive links"].x[1] == units["h⁽¹⁾"].x[1]


def test_a_layer_with_patterns_shows_them() -> None:
    for shape in ((1, 5, 5), (1, 5, 5, 5)):
        patterns = np.random.default_rng(0).normal(size=(4, *shape))
        fig = network_diagram(network("none", receptive={"h1": patterns}))
        tiles = [t for t in fig.data if t.name == "pattern"]
        assert len(tiles) == 4 and all(np.asarray(t.z).shape == (5, 5) and t.zmid == 0 for t in tiles)


def test_activations_fill_circles_and_are_read_out() -> None:
    fig = network_diagram(network("none", activations={"h1": np.array([0.0, 0.25, 0.5, 1.0])}))
    colors = [s.fillcolor for s in fig.layout.shapes if s.type == "circle"][4:]
    assert len(set(colors)) == 4
    assert any("activation 0.25" in h for t in fig.data if t.name == "units" for h in t.hovertext)


def test_one_level_has_one_colour() -> None:
    parts = network("none", "none", "none")
    colors = colors_of(parts)
    assert len(set(colors.values())) == 4


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_both_themes_are_finished(theme: str) -> None:
    fig = network_diagram(network("up"), theme=theme)  # type: ignore[arg-type]
    assert fig.layout.meta["theme"] == theme and fig.layout.height > 200
