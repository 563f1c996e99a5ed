"""Connectivity as a graph: thresholds, the measures that users of networks expect, and GraphML.

A graph keeps the signed weights of the edges that a threshold left; its topology (degree, clustering, paths) is that of
the edges that are there, its strengths are sums of absolute weights. Definitions as in Rubinov and Sporns (NeuroImage
2010). Degree, clustering, betweenness and efficiency are those of networkx on the unweighted graph, computed for all
regions at once by matrix products, which is what keeps 400 regions quick.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import networkx as nx
import numpy as np

from workbench.errors import SettingsError

Sign = Literal["both", "positive", "negative"]


def threshold_matrix(
    matrix: np.ndarray, *, density: float | None = None, value: float | None = None, sign: Sign = "both"
) -> np.ndarray:
    """Keep the strongest edges of a symmetric matrix; the diagonal and all others become 0.

    Args:
        matrix: (R, R) symmetric; the diagonal is not looked at.
        density: share of the R (R - 1) / 2 possible edges to keep, 0 to 1: exactly the nearest whole number of them,
            or all that are not 0 if there are fewer. Ties go to the first in the order of the lower triangle.
        value: keep edges of at least this absolute weight. Give it or the density; with neither every edge stays.
        sign: which weights count at all.

    Returns:
        (R, R) float64 with the signs of the weights.

    Raises:
        SettingsError: density or value are out of their bounds, or both are given.
    """
    rows, columns = np.tril_indices(_checked(matrix), -1)
    edges = np.asarray(matrix, np.float64)[rows, columns]
    if sign != "both":
        edges = np.where(edges > 0 if sign == "positive" else edges < 0, edges, 0.0)
    if density is not None and value is not None:
        raise SettingsError("A graph is thresholded by density or by value, not by both; leave one out.")
    if density is not None:
        if not 0 <= density <= 1:
            raise SettingsError(f"A density is a share of all edges between 0 and 1; got {density:g}.")
        order = np.argsort(-np.abs(edges), kind="stable")
        edges[order[round(density * len(edges)) :]] = 0
    elif value is not None:
        if not value >= 0:
            raise SettingsError(f"A threshold is an absolute weight and not negative; got {value:g}.")
        edges[np.abs(edges) < value] = 0
    kept = np.zeros(matrix.shape)
    kept[rows, columns] = kept[columns, rows] = edges
    return kept


def graph_measures(
    matrix: np.ndarray,
    *,
    density: float | None = None,
    value: float | None = None,
    sign: Sign = "both",
    networks: Sequence[str] | None = None,
    seed: int = 0,
) -> dict[str, np.ndarray | float]:
    """Measure the graph that a threshold leaves of a matrix.

    Args:
        matrix: (R, R) symmetric.
        density: see :func:`threshold_matrix`.
        value: likewise.
        sign: likewise.
        networks: (R,) to which network each region belongs, "" where unknown (each such region is its own). Without
            it the communities that Louvain's method finds take their place.
        seed: of Louvain's method.

    Returns:
        For each region (R,): ``degree`` (edges), ``strength`` (sum of absolute weights), ``clustering`` (share of a
        region's neighbors that are neighbors, 0 to 1), ``betweenness`` (share of the shortest paths of other pairs
        that pass), ``participation`` (1 - Σ over networks of the squared share of the strength that goes there; 0 for
        a region without edges), ``community`` (number of the network from 0). For the whole graph: ``density``,
        ``efficiency`` (mean of 1 / path length over all pairs), ``modularity`` (Newman's Q of the communities with
        absolute weights; NaN without edges), ``components`` (connected parts).
    """
    kept = threshold_matrix(matrix, density=density, value=value, sign=sign)
    weights, linked = np.abs(kept), (kept != 0).astype(np.float64)
    degree = linked.sum(0)
    distances, betweenness = _shortest_paths(linked)
    community = _louvain(weights, seed) if networks is None else _numbers(networks, len(kept))
    n = len(kept)
    triangles = ((linked @ linked) * linked).sum(0)
    with np.errstate(divide="ignore"):
        closeness = np.where(distances > 0, 1 / distances, 0)
    return {
        "degree": degree,
        "strength": weights.sum(0),
        "clustering": triangles / np.maximum(degree * (degree - 1), 1),
        "betweenness": betweenness,
        "participation": participation(weights, community),
        "community": community,
        "density": float(degree.sum() / (n * (n - 1))),
        "efficiency": float(closeness.sum() / (n * (n - 1))),
        "modularity": modularity(weights, community),
        "components": float(nx.number_connected_components(nx.from_numpy_array(linked))),
    }


def participation(weights: np.ndarray, community: np.ndarray) -> np.ndarray:
    """Give how evenly each region's strength is spread over communities (Guimerà and Amaral 2005), 0 to 1.

    Args:
        weights: (R, R), not negative.
        community: (R,) integers.
    """
    to_each = weights @ (community[:, None] == np.unique(community)).astype(float)  # (R, n_communities)
    strength = to_each.sum(1)
    share = to_each / np.where(strength > 0, strength, 1)[:, None]
    return np.where(strength > 0, 1 - np.square(share).sum(1), 0.0)


def modularity(weights: np.ndarray, community: np.ndarray) -> float:
    """Give Newman's Q: the share of weight within communities beyond that of a random graph of the same strengths."""
    strength = weights.sum(0)
    if strength.sum() == 0:
        return float("nan")
    together = community[:, None] == community
    expected = np.outer(strength, strength) / strength.sum()
    return float(((weights - expected) * together).sum() / strength.sum())


def edge_list(matrix: np.ndarray, regions: Sequence[str]) -> list[tuple[str, str, float]]:
    """Give the edges that are not 0 as (region, region, weight), the strongest first."""
    rows, columns = np.tril_indices(_checked(matrix), -1)
    edges = np.asarray(matrix)[rows, columns]
    order = [e for e in np.argsort(-np.abs(edges), kind="stable") if edges[e] != 0]
    return [(regions[rows[e]], regions[columns[e]], float(edges[e])) for e in order]


def to_graphml(
    matrix: np.ndarray,
    regions: Sequence[str],
    coordinates_mm: np.ndarray | None = None,
    networks: Sequence[str] | None = None,
) -> str:
    """Write a graph as GraphML, which networkx, Gephi and Cytoscape read.

    Args:
        matrix: (R, R) symmetric, thresholded; edges of 0 are left out.
        regions: (R,) names, kept as ``name`` and ``label``. The nodes are called n0, n1, … as names may repeat.
        coordinates_mm: (R, 3) kept as ``x``, ``y``, ``z``; NaN where unknown, which is left out.
        networks: (R,) kept as ``network``; "" is left out.

    Returns:
        The document.
    """
    n = _checked(matrix)
    graph = nx.Graph()
    for i in range(n):
        data: dict[str, str | float] = {"name": _printable(regions[i]), "label": _printable(regions[i])}
        if coordinates_mm is not None and np.isfinite(coordinates_mm[i]).all():
            data |= {axis: float(c) for axis, c in zip("xyz", coordinates_mm[i], strict=True)}
        if networks is not None and networks[i]:
            data["network"] = _printable(networks[i])
        graph.add_node(f"n{i}", **data)
    for a, b in np.argwhere(np.tril(matrix, -1)):
        graph.add_edge(f"n{a}", f"n{b}", weight=float(matrix[a, b]))
    body = "\n".join(nx.generate_graphml(graph))
    return f'<?xml version="1.0" encoding="utf-8"?>\n{body}\n'


def _checked(matrix: np.ndarray) -> int:
    """Give R, or say that this is no symmetric matrix of numbers."""
    n, n_columns = matrix.shape
    if n != n_columns or n < 2:
        raise ValueError(f"expected a square matrix of at least two regions; got {matrix.shape}")
    off = ~np.eye(n, dtype=bool)
    if not np.isfinite(matrix[off]).all() or not np.allclose(matrix[off], matrix.T[off], atol=1e-6):
        raise ValueError("expected a symmetric matrix without NaN outside its diagonal")
    return n


def _shortest_paths(linked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give distances (R, R), infinite between parts, and betweenness (R,), by Brandes (2001) for all sources at once.

    Row s of ``n_paths`` counts the shortest paths from s; going back from the farthest, a region passes on to its
    predecessors their share of the pairs that it serves.
    """
    n = len(linked)
    distances = np.where(np.eye(n, dtype=bool), 0.0, np.inf)
    n_paths, front, step = np.eye(n), np.eye(n), 0
    while front.any():
        step += 1
        reached = (front @ linked) * np.isinf(distances)
        distances[reached > 0] = step
        n_paths += reached
        front = reached
    served = np.zeros((n, n))
    for level in range(step - 1, 0, -1):
        share = np.where(distances == level, (1 + served) / np.maximum(n_paths, 1), 0)
        served += np.where(distances == level - 1, n_paths * (share @ linked), 0)
    np.fill_diagonal(served, 0)
    return distances, served.sum(0) / max(1, (n - 1) * (n - 2))


def _louvain(weights: np.ndarray, seed: int) -> np.ndarray:
    """Give communities (R,), the largest is 0; of one region each where there is no edge."""
    found = nx.community.louvain_communities(nx.from_numpy_array(weights), seed=seed)
    community = np.empty(len(weights), np.int64)
    for number, members in enumerate(sorted(found, key=lambda m: (-len(m), min(m)))):
        community[list(members)] = number
    return community


def _numbers(networks: Sequence[str], n_regions: int) -> np.ndarray:
    if len(networks) != n_regions:
        raise ValueError(f"expected a network for each of {n_regions} regions; got {len(networks)}")
    own = [name or f"\0{i}" for i, name in enumerate(networks)]
    return np.unique(own, return_inverse=True)[1]


def _printable(text: str) -> str:
    """Leave out what XML cannot hold."""
    return "".join(c if c.isprintable() else " " for c in text)
