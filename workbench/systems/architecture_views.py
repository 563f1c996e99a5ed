"""The parts of Figure 8 from a live network.

A network may say more of itself with ``architecture_groups() -> {label: name of a module}``; the layers of each module
get a bracket with the label.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from torch import nn

from workbench.figures.architecture_parts import ArchitectureParts, Arrow, Bracket, Maps, Place
from workbench.systems.layer_trace import Node, trace


def architecture_parts(
    network: nn.Module,
    shape: Sequence[int],
    *,
    title: str,
    channels: Sequence[str] = (),
    outputs: Sequence[str] = (),
) -> ArchitectureParts:
    """Give what Figure 8 draws of a network.

    Args:
        network: takes (B, C, *spatial); left as it is.
        shape: (C, *spatial) of one example.
        title: of the drawing.
        channels: names of the C channels.
        outputs: names of what it tells apart.

    Raises:
        ValueError: the output rests on no layer.
    """
    end = trace(network, tuple(shape))
    rows = _rows(end)
    places: dict[Node, Place] = {node: (r, i) for r, row in enumerate(rows) for i, node in enumerate(row)}
    names = channels if len(channels) == shape[0] else [""] * shape[0]
    sources = [", ".join(names[c] for c in row[0].channels) if row[0].kind is None else "" for row in rows]
    apart = len({s for s in sources if s}) > 1
    shown = [""] * shape[0] if apart else names  # else it would stand beside the row and under its first maps
    given = outputs[1:] if end.shape[0] == 1 and len(outputs) == 2 else outputs  # one probability is the last class's
    told = tuple(tuple(_maps(node, end, shown, given) for node in row) for row in rows)
    groups: Mapping[str, str] = getattr(network, "architecture_groups", dict)()
    return ArchitectureParts(
        title, told, tuple(_arrows(rows, places)), tuple(_brackets(rows, groups)),
        tuple(sources) if apart else (), sum(p.numel() for p in network.parameters()),
    )  # fmt: skip


def spaced(name: str) -> str:
    """Give a class's name as one writes it: Nie 2016 for Nie2016."""
    return re.sub(r"(?<=[a-z])(?=\d)", " ", name)


def _rows(end: Node) -> list[list[Node]]:
    """Sort maps into rows: a row goes on with what is made of its last maps alone, the longest way first."""
    everything = _everything(end)
    uses: dict[Node, list[Node]] = {n: [] for n in everything}
    for n in everything:
        for p in n.below:
            uses[p].append(n)
    height: dict[Node, int] = {}
    for n in reversed(everything):
        height[n] = 1 + max((height[u] for u in uses[n]), default=0)
    rows: list[list[Node]] = []
    heads = sorted((n for n in everything if not n.parents), key=lambda n: min(u.number for u in uses[n]))
    placed: set[Node] = set()
    while heads:
        head = heads.pop(0)
        row, node = [head], head
        placed.add(head)
        while following := [n for n in uses[node] if n.parents == [node] and n not in placed]:
            node = max(following, key=lambda n: height[n])
            row.append(node)
            placed.add(node)
        rows.append(row)
        heads += [n for n in everything if n not in placed and n not in heads and placed.issuperset(n.parents)]
    return rows


def _everything(end: Node) -> list[Node]:
    """Give all maps that the last ones rest on, in the order of the work."""
    found, waiting = {end}, [end]
    while waiting:
        new = [n for n in waiting.pop().below if n not in found]
        found.update(new)
        waiting += new
    return sorted(found, key=lambda n: n.number)


def _arrows(rows: list[list[Node]], places: Mapping[Node, Place]) -> Iterator[Arrow]:
    """Give the arrows within rows, then those from row to row, then shortcuts."""
    for row in rows:
        for _, node in pairwise(row):
            yield Arrow(node.kind or "convolution", node.kernel, node.stride)
    for row in rows:
        for parent in row[0].parents:
            yield Arrow(
                row[0].kind or "concatenation", row[0].kernel, row[0].stride, places[parent], places[row[0]]
            )  # fmt: skip
    for row in rows:
        for node in row:
            for start, kernel in node.shortcuts:
                yield Arrow("shortcut", kernel, 1, places[start], places[node])


def _brackets(rows: list[list[Node]], groups: Mapping[str, str]) -> Iterator[Bracket]:
    for label, prefix in groups.items():
        for r, row in enumerate(rows):
            where = [i for i, n in enumerate(row) if n.layer == prefix or n.layer.startswith(prefix + ".")]
            if where:
                yield Bracket(label, where[0], where[-1], r)


def _maps(node: Node, end: Node, channels: Sequence[str], outputs: Sequence[str]) -> Maps:
    names = [channels[c] for c in node.channels] if node.kind is None else list(outputs) if node is end else []
    return Maps(", ".join(names) if all(names) else "", node.shape[0], node.shape[1:])
