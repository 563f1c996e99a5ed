"""Graphs: networkx's numbers, exact numbers of edges, and GraphML that reads back."""

from __future__ import annotations

import io

import networkx as nx
import numpy as np
import pytest

from workbench.classical.graphs import (
    edge_list,
    graph_measures,
    modularity,
    participation,
    threshold_matrix,
    to_graphml,
)
from workbench.errors import SettingsError


def weights(n: int = 24, seed: int = 0) -> np.ndarray:
    matrix = np.corrcoef(np.random.default_rng(seed).normal(size=(n, 30)))
    return (matrix + matrix.T) / 2


def two_cliques(n: int = 5) -> np.ndarray:
    matrix = np.kron(np.eye(2), np.ones((n, n)))
    matrix[0, n] = matrix[n, 0] = 1  # a bridge
    return matrix


@pytest.mark.parametrize("density", [0.03, 0.1, 0.3, 1.0])  # the first leaves several parts and lone regions
def test_measures_are_those_of_networkx(density):
    matrix = weights()
    kept = threshold_matrix(matrix, density=density)
    graph = nx.from_numpy_array((kept != 0).astype(int))
    weighted = nx.from_numpy_array(np.abs(kept))
    found = graph_measures(matrix, density=density, networks=["a", "b"] * 12)
    nodes = range(24)
    assert np.array_equal(found["degree"], [graph.degree(i) for i in nodes])
    assert np.allclose(found["strength"], [weighted.degree(i, weight="weight") for i in nodes])
    assert np.allclose(found["clustering"], [nx.clustering(graph, i) for i in nodes])
    between = nx.betweenness_centrality(graph)
    assert np.allclose(found["betweenness"], [between[i] for i in nodes], atol=1e-12)
    assert found["efficiency"] == pytest.approx(nx.global_efficiency(graph))
    assert found["density"] == pytest.approx(nx.density(graph))
    assert found["components"] == nx.number_connected_components(graph)
    parts = [set(range(0, 24, 2)), set(range(1, 24, 2))]
    assert found["modularity"] == pytest.approx(nx.community.modularity(weighted, parts))


def test_communities_are_found_where_none_are_given():
    found = graph_measures(two_cliques(), value=0.5)
    assert len(set(found["community"][:5])) == len(set(found["community"][5:])) == 1
    assert found["community"][0] != found["community"][9]
    assert set(found["betweenness"].argsort()[-2:]) == {0, 5}  # the two ends of the bridge
    assert found["modularity"] > 0.4


def test_participation_by_hand():
    star = np.zeros((5, 5))
    star[0, 1:] = star[1:, 0] = 1
    shares = participation(star, np.array([0, 0, 0, 1, 1]))
    assert shares.tolist() == [0.5, 0, 0, 0, 0]  # half and half: 1 - 2 / 4
    assert participation(np.zeros((3, 3)), np.arange(3)).tolist() == [0, 0, 0]


def test_a_graph_without_edges_has_measures():
    found = graph_measures(weights(6), density=0)
    assert found["efficiency"] == 0 and np.isnan(found["modularity"]) and found["components"] == 6
    assert not found["degree"].any() and not found["betweenness"].any()


def test_unknown_networks_are_each_their_own():
    found = graph_measures(two_cliques(2), value=0.5, networks=["a", "", "b", ""])
    assert len(set(found["community"])) == 4


@pytest.mark.parametrize("density", [0, 0.01, 0.1, 0.333, 0.5, 1])
def test_density_is_an_exact_number_of_edges(density):
    ties = np.round(weights(20), 1) + np.where(np.round(weights(20), 1) == 0, 0.05, 0)  # many equal weights
    kept = threshold_matrix(ties, density=density)
    assert np.count_nonzero(np.tril(kept, -1)) == round(density * 190)
    assert (kept == kept.T).all() and (np.diag(kept) == 0).all()


def test_threshold_keeps_the_strongest_with_their_sign():
    matrix = weights()
    kept, off = threshold_matrix(matrix, density=0.2), ~np.eye(24, dtype=bool)
    assert (kept[kept != 0] == matrix[kept != 0]).all() and (kept < 0).any()
    assert np.abs(kept[kept != 0]).min() >= np.abs(matrix[off & (kept == 0)]).max()
    by_value = threshold_matrix(matrix, value=0.3)
    assert np.array_equal(by_value != 0, (np.abs(matrix) >= 0.3) & off)
    assert (threshold_matrix(matrix, value=0.3, sign="positive") >= 0).all()
    assert (threshold_matrix(matrix, density=0.1, sign="negative") <= 0).all()
    few = threshold_matrix(by_value, density=1)  # edges that are not there cannot be kept
    assert np.array_equal(few, by_value)


def test_graphml_reads_back_whole():
    matrix = threshold_matrix(weights(6), density=0.5)
    names = ["Precentral_L", "Hippocampus <R>", "A&B", "Vermis\t1", "naïve", "naïve"]
    places = np.arange(18.0).reshape(6, 3) - 7.25
    places[3] = np.nan
    networks = ["default", "", "visual", "visual", "", "default"]
    graph = nx.read_graphml(io.BytesIO(to_graphml(matrix, names, places, networks).encode()))
    order = [f"n{i}" for i in range(6)]
    assert np.array_equal(nx.to_numpy_array(graph, nodelist=order), matrix)
    assert [graph.nodes[n]["name"] for n in order] == [*names[:3], "Vermis 1", "naïve", "naïve"]
    assert [graph.nodes["n5"][axis] for axis in "xyz"] == places[5].tolist()
    assert "x" not in graph.nodes["n3"]
    assert [graph.nodes[n].get("network", "") for n in order] == networks


def test_edge_list_is_the_strongest_first():
    matrix = np.array([[1, 0.2, -0.9], [0.2, 1, 0], [-0.9, 0, 1]])
    assert edge_list(matrix, ["a", "b", "c"]) == [("c", "a", -0.9), ("b", "a", 0.2)]


def test_modularity_of_all_in_one_is_nothing():
    assert modularity(np.abs(weights()), np.zeros(24, int)) == pytest.approx(0)


def test_mistakes_are_named():
    with pytest.raises(SettingsError, match="between 0 and 1; got 20"):
        threshold_matrix(weights(), density=20)
    with pytest.raises(SettingsError, match="by density or by value"):
        threshold_matrix(weights(), density=0.1, value=0.1)
    with pytest.raises(SettingsError, match="not negative; got -1"):
        threshold_matrix(weights(), value=-1)
    with pytest.raises(ValueError, match="symmetric"):
        threshold_matrix(np.arange(9.0).reshape(3, 3))
    with pytest.raises(ValueError, match="each of 24 regions; got 1"):
        graph_measures(weights(), networks=["a"])
