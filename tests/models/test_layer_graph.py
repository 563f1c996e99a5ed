from __future__ import annotations

import pytest

from workbench.models.layer_graph import LayerGraph, chain_graph, multimodal_graph


def test_the_sides_of_a_chain_alternate() -> None:
    graph = chain_graph(5, [4, 3, 2], n_classes=2)
    assert graph.even == ("v", "h2", "label") and graph.odd == ("h1", "h3")
    assert graph.edges == (("v", "h1"), ("h1", "h2"), ("h2", "h3"), ("label", "h3"))
    assert graph.visible == ("v", "label") and graph.hidden == ("h1", "h2", "h3") and graph.top == "h3"
    assert graph.inputs == ("v",) and graph.n_classes == 2 and graph.kind("label") == "softmax"


def test_modalities_meet_in_a_shared_layer_even_over_paths_of_unequal_length() -> None:
    graph = multimodal_graph({"MRI": (9, [4]), "PET": (6, [3, 2])}, 5, n_classes=3)
    assert graph.neighbors("shared") == ("MRI_h1", "PET_h2", "label")
    assert graph.even == ("MRI", "PET_h1", "shared") and graph.odd == ("MRI_h1", "PET", "PET_h2", "label")
    assert graph.top == "shared" and graph.inputs == ("MRI", "PET")
    assert graph.sizes["PET_h1"] == 3 and graph.kind("PET") == "bernoulli"


@pytest.mark.parametrize(
    "graph", [chain_graph(5, [4, 3], n_classes=2), multimodal_graph({"a": (2, [3]), "b": (2, [])}, 4)]
)
def test_every_edge_joins_the_two_sides_and_every_layer_is_on_one(graph: LayerGraph) -> None:
    assert all((a in graph.odd) != (b in graph.odd) for a, b in graph.edges)
    assert sorted([*graph.odd, *graph.even]) == sorted(graph.sizes)


def test_layers_are_walked_outwards_from_what_is_known() -> None:
    graph = multimodal_graph({"MRI": (9, [4]), "PET": (6, [3, 2])}, 5, n_classes=3)
    assert graph.outward(["MRI", "PET"]) == ("MRI_h1", "PET_h1", "shared", "PET_h2", "label")
    assert graph.outward(["MRI"])[-2:] == ("PET_h1", "PET")


def test_a_route_is_a_shortest_one() -> None:
    graph = multimodal_graph({"MRI": (9, [4]), "PET": (6, [3, 2])}, 5)
    assert graph.route("MRI", "PET_h2") == ("MRI", "MRI_h1", "shared", "PET_h2")
    assert graph.route("PET", "PET") == ("PET",)
    with pytest.raises(LookupError, match="there is no layer 'h9'"):
        graph.route("MRI", "h9")


@pytest.mark.parametrize(
    ("sizes", "edges", "words"),
    [
        ({"v": 2, "a": 2, "b": 2}, (("v", "a"), ("a", "b"), ("b", "v")), "two sides, but . and . are joined"),
        ({"v": 2, "a": 2}, (("v", "a"), ("a", "v")), "at most one edge"),
        ({"v": 2, "a": 2, "b": 2}, (("v", "a"),), "joined to the others; b is not"),
        ({"v": 2, "a": 0}, (("v", "a"),), "layer a has 0 units"),
        ({"v": 2, "a.b": 2}, (("v", "a.b"),), "letters, digits"),
        ({"v": 2}, (), "needs a hidden layer"),
    ],
)
def test_what_is_not_a_machine_is_refused(
    sizes: dict[str, int], edges: tuple[tuple[str, str], ...], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        LayerGraph(sizes, edges)


def test_unknown_layers_and_units_are_named() -> None:
    with pytest.raises(LookupError, match="there is no layer 'x'; this machine has v, a"):
        LayerGraph({"v": 2, "a": 2}, (("v", "x"),))
    with pytest.raises(LookupError, match="'poisson'; known are bernoulli, gaussian, softmax"):
        LayerGraph({"v": 2, "a": 2}, (("v", "a"),), {"a": "poisson"})
    with pytest.raises(ValueError, match="gaussian units are for visible layers only; a is hidden"):
        LayerGraph({"v": 2, "a": 2}, (("v", "a"),), {"a": "gaussian"})
    with pytest.raises(ValueError, match="a visible layer beside its label"):
        LayerGraph({"a": 2, "label": 2}, (("label", "a"),), visible=("label",))
