"""What a drawing of a segmentation network is made of, and where its feature maps stand.

A system describes its live network by these parts (Section 3.3, Figure 8); nothing here knows of layers or weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

ArrowKind = Literal[
    "convolution", "deconvolution", "pooling", "unpooling", "fully connected", "concatenation", "shortcut"
]
KINDS: tuple[ArrowKind, ...] = (
    "convolution", "deconvolution", "pooling", "unpooling", "fully connected", "concatenation", "shortcut",
)  # fmt: skip
Place = tuple[int, int]
"""(row, index within the row) of feature maps."""


@dataclass(frozen=True)
class Maps:
    """Feature maps of one layer.

    Attributes:
        name: shown where it says more than the numbers do (``"T1"``, ``"CSF, GM, WM"``); may be empty.
        n_maps: channels.
        spatial: voxels along each axis; empty where there is no space any more (a vector).
    """

    name: str
    n_maps: int
    spatial: tuple[int, ...] = ()


@dataclass(frozen=True)
class Arrow:
    """How feature maps come from others.

    Attributes:
        kind: what is done.
        kernel: its size along each axis; empty where it has none.
        stride: steps of the kernel, in voxels.
        start, end: (row, index) where it does not lead from one element of a row to the next.
    """

    kind: ArrowKind
    kernel: tuple[int, ...] = ()
    stride: int = 1
    start: Place | None = None
    end: Place | None = None


@dataclass(frozen=True)
class Bracket:
    """A group of layers: a label, and the row and the first and last index that it spans."""

    label: str
    first: int
    last: int
    row: int = 0


@dataclass(frozen=True)
class ArchitectureParts:
    """A network as rows of feature maps joined by arrows.

    Attributes:
        title: of the drawing.
        rows: the feature maps, a row a path: one for a plain network, one a modality or scale and one for what comes
            after they merge otherwise.
        arrows: those within rows in order, row by row (one fewer than the row has maps; they need no ``start`` and
            ``end``), then any others, with both.
        brackets: groups of layers.
        row_names: of the rows, written at their left; may be empty.
        n_parameters: weights and biases that are trained, None where not known.
    """

    title: str
    rows: tuple[tuple[Maps, ...], ...]
    arrows: tuple[Arrow, ...]
    brackets: tuple[Bracket, ...] = ()
    row_names: tuple[str, ...] = ()
    n_parameters: int | None = None

    def __post_init__(self) -> None:
        if not self.rows or not all(self.rows):
            raise ValueError("an architecture needs a row, and each row feature maps")
        within = sum(len(row) - 1 for row in self.rows)
        plain = [a for a in self.arrows if a.start is None or a.end is None]
        if len(plain) != within:
            raise ValueError(f"expected {within} arrows within the rows; got {len(plain)}")
        for arrow in self.joined():
            for place in (arrow.start, arrow.end):
                if place is None or not (0 <= place[0] < len(self.rows) and 0 <= place[1] < len(self.rows[place[0]])):
                    raise ValueError(f"an arrow ({arrow.kind}) leads to {place}, where there are no maps")

    def joined(self) -> list[Arrow]:
        """Give all arrows with where they start and end."""
        steps = iter([((r, i), (r, i + 1)) for r, row in enumerate(self.rows) for i in range(len(row) - 1)])
        found = []
        for arrow in self.arrows:
            if arrow.start is None or arrow.end is None:
                start, end = next(steps)
                found.append(Arrow(arrow.kind, arrow.kernel, arrow.stride, start, end))
            else:
                found.append(arrow)
        return found


@dataclass(frozen=True)
class Stands:
    """Where feature maps stand: (row, index) → column and line; lines count rows from the top and may be halves."""

    columns: Mapping[Place, int] = field(default_factory=dict)
    lines: tuple[float, ...] = ()

    @property
    def n_columns(self) -> int:
        """How many columns there are."""
        return 1 + max(self.columns.values())

    @property
    def n_lines(self) -> int:
        """How many lines there are."""
        return 1 + round(max(self.lines))


def stand(parts: ArchitectureParts) -> Stands:
    """Place every map as many columns to the right as the longest way to it has arrows.

    A row that others lead into stands at their mean height; every other row has a line of its own.
    """
    arrows = [a for a in parts.joined() if a.kind != "shortcut"]
    places = [(r, i) for r, row in enumerate(parts.rows) for i in range(len(row))]
    columns = dict.fromkeys(places, 0)
    for _ in places:  # the longest way has fewer arrows than there are maps
        moved = False
        for arrow in arrows:
            assert arrow.start is not None and arrow.end is not None
            if columns[arrow.end] < columns[arrow.start] + 1:
                columns[arrow.end], moved = columns[arrow.start] + 1, True
        if not moved:
            return Stands(columns, _lines(parts, arrows))
    raise ValueError("the arrows lead round in a circle; what goes back is no layer of a feed-forward network")


def _lines(parts: ArchitectureParts, arrows: list[Arrow]) -> tuple[float, ...]:
    into: dict[int, set[int]] = {r: set() for r in range(len(parts.rows))}
    for arrow in arrows:
        assert arrow.start is not None and arrow.end is not None
        if arrow.start[0] != arrow.end[0] and arrow.end[1] == 0:
            into[arrow.end[0]].add(arrow.start[0])
    lines: dict[int, float] = {}
    for row in range(len(parts.rows)):
        if not into[row]:
            lines[row] = float(len(lines))
    for row, others in into.items():
        if others:
            lines[row] = sum(lines[o] for o in others) / len(others) if others <= set(lines) else float(len(lines))
    return tuple(lines[r] for r in range(len(parts.rows)))
