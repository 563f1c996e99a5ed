"""Figure 8: the architecture of a segmentation network as an SVG: maps as blocks, what is done between them as arrows.

The face of a block is as high as its maps are large and as deep as they are many (square roots and logarithms of
both), so shrinking and growing are seen before a number is read. A kind of arrow has a color and a stroke of its own.
"""

from __future__ import annotations

import math

from workbench.figures import svg
from workbench.figures.architecture_parts import KINDS, ArchitectureParts, Arrow, ArrowKind, Maps, Place, Stands, stand
from workbench.figures.theme import CATEGORICAL, FONT, INK, LINE, MUTED, PAPER, Theme, listed, mix

__all__ = ["ArchitectureParts", "architecture_alt", "architecture_svg"]

WIDTH, MARGIN, HEAD, PITCH = 1000, 22, 36, 64
"""Pixels: of the drawing, beside it, above it, and the least from column to column."""
FACE_PX, THIN_PX, LEAST_PX = 62.0, 5.0, 12.0
LINE_PX, BRACKET_PX, LEGEND_PX, SHORTCUT_PX = 150.0, 52.0, 34.0, 30.0
COLOR_AT: dict[str, int] = {
    "convolution": 0, "deconvolution": 5, "pooling": 2, "unpooling": 1, "fully connected": 3, "concatenation": 7,
    "shortcut": 4,
}  # fmt: skip
STROKE = {
    "convolution": "", "deconvolution": "", "pooling": "2 3", "unpooling": "2 3", "fully connected": "7 3",
    "concatenation": "", "shortcut": "5 4",
}  # fmt: skip


def architecture_svg(parts: ArchitectureParts, theme: Theme = "light", *, width: int = WIDTH) -> str:
    """Draw a network as Figure 8 does; an SVG document of its own, with its text for screen readers inside.

    Args:
        parts: of the live network.
        theme: the page it is shown on.
        width: at least, in px; very deep networks get more and are scaled down by whoever shows them.
    """
    at = stand(parts)
    left = MARGIN + (8 + 7 * max(len(n) for n in parts.row_names) if any(parts.row_names) else 0)
    pitch = max(PITCH, (width - left - MARGIN) / at.n_columns)
    total = left + MARGIN + pitch * at.n_columns
    arches = sum(a.kind == "shortcut" for a in parts.arrows)
    top = HEAD + SHORTCUT_PX * min(arches, 3)
    floor = top + LINE_PX * at.n_lines + (BRACKET_PX if parts.brackets else 0)
    draw = _Drawing(parts, at, theme, pitch, left, top)
    body = [
        svg.tag("rect", width=total, height=floor + LEGEND_PX, fill=PAPER[theme]),
        *draw.head(), *draw.rows(), *draw.brackets(), *draw.arrows(), *draw.blocks(), *draw.legend(floor + 12),
    ]  # fmt: skip
    told = svg.tag("title", svg.html.escape(parts.title)) + svg.tag("desc", svg.html.escape(architecture_alt(parts)))
    wide, high = round(total), round(floor + LEGEND_PX)
    return svg.tag(
        "svg", told + "".join(body), xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {wide} {high}", width=wide,
        height=high, role="img", font_family=FONT,
    )  # fmt: skip


def architecture_alt(parts: ArchitectureParts) -> str:
    """Tell the drawing in words: the rows, their maps, and what joins them."""
    rows = []
    for i, row in enumerate(parts.rows):
        name = f"{parts.row_names[i]}: " if i < len(parts.row_names) and parts.row_names[i] else ""
        rows.append(name + ", ".join(_told(m) for m in row))
    counts = {kind: sum(a.kind == kind for a in parts.arrows) for kind in KINDS}
    done = listed([f"{n} × {kind}" for kind, n in counts.items() if n], len(KINDS))
    weights = f", {parts.n_parameters:,} parameters" if parts.n_parameters else ""
    return f"{parts.title}{weights}. {'; '.join(rows)}. Joined by {done or 'nothing'}."


class _Drawing:
    """The elements of one drawing, with its measures."""

    def __init__(
        self, parts: ArchitectureParts, at: Stands, theme: Theme, pitch: float, left: float, top: float
    ) -> None:
        self.parts, self.at, self.theme, self.pitch, self.left, self.top = parts, at, theme, pitch, left, top
        largest = max((max(m.spatial) for row in parts.rows for m in row if m.spatial), default=1)
        self.per_side = min(FACE_PX, pitch * 0.9) / math.sqrt(largest)

    def middle(self, place: Place) -> svg.Point:
        """Give the middle of the maps at a place."""
        x = self.left + self.pitch * (self.at.columns[place] + 0.5)
        return x, self.top + LINE_PX * (self.at.lines[place[0]] + 0.5)

    def size(self, maps: Maps) -> tuple[float, float]:
        """Give height and thickness of a block."""
        high = max(LEAST_PX, self.per_side * math.sqrt(max(maps.spatial))) if maps.spatial else 44.0
        return high, min(THIN_PX + 2.2 * math.log2(max(1, maps.n_maps)), self.pitch * 0.34)

    def head(self) -> list[str]:
        """Write the title and the number of parameters."""
        found = [svg.text(MARGIN, 26, self.parts.title, size=15, fill=INK[self.theme], anchor="start", weight=600)]
        if self.parts.n_parameters is not None:
            right = self.left + self.pitch * self.at.n_columns
            words = f"{self.parts.n_parameters:,} parameters"
            found.append(svg.text(right, 26, words, size=12, fill=MUTED[self.theme], anchor="end"))
        return found

    def rows(self) -> list[str]:
        """Write the names of the rows at their left."""
        return [
            svg.text(
                MARGIN, self.middle((i, 0))[1] + 4, name, size=13, fill=INK[self.theme], anchor="start", weight=600
            )
            for i, name in enumerate(self.parts.row_names)
            if name
        ]

    def blocks(self) -> list[str]:
        """Draw all feature maps."""
        return [
            p for r, row in enumerate(self.parts.rows) for i, maps in enumerate(row) for p in self.block((r, i), maps)
        ]

    def block(self, place: Place, maps: Maps) -> list[str]:
        """Draw one block: its front, top and side, how many maps above it and how large they are below."""
        (x, y), (high, thick), theme = self.middle(place), self.size(maps), self.theme
        lean = high * 0.28 if maps.spatial else 3.0  # the face is seen from the side: its depth goes up and back
        x0, x1, y0, y1 = (
            x - thick / 2 - lean / 2,
            x + thick / 2 - lean / 2,
            y - high / 2 + lean / 2,
            y + high / 2 + lean / 2,
        )
        base = mix(CATEGORICAL[theme][0], PAPER[theme], 0.55 if maps.spatial else 0.35)
        edge = {"stroke": mix(CATEGORICAL[theme][0], INK[theme], 0.35), "stroke_width": 1, "stroke_linejoin": "round"}
        faces = [
            svg.polygon([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], fill=base, **edge),
            svg.polygon([(x0, y0), (x0 + lean, y0 - lean), (x1 + lean, y0 - lean), (x1, y0)],
                        fill=mix(base, PAPER[theme], 0.45), **edge),
            svg.polygon([(x1, y0), (x1 + lean, y0 - lean), (x1 + lean, y1 - lean), (x1, y1)],
                        fill=mix(base, INK[theme], 0.18), **edge),
        ]  # fmt: skip
        words = [svg.text(x, y0 - lean - 7, f"{maps.n_maps:,}", size=12.5, fill=INK[theme], weight=600)]
        below = [w for w in (_size(maps.spatial, self.pitch), _fit(maps.name, self.pitch)) if w]
        words.append(svg.text(x, y1 + 15, "\n".join(below), size=11, fill=MUTED[theme])) if below else None
        return [svg.tag("g", svg.tag("title", svg.html.escape(_told(maps))) + "".join(faces + words))]

    def arrows(self) -> list[str]:
        """Draw what joins the maps; shortcuts as arches above the first row."""
        found, n_arches = [], 0
        for arrow in self.parts.joined():
            if arrow.kind == "shortcut":
                found += self.arch(arrow, n_arches % 3)
                n_arches += 1
            else:
                found += self.link(arrow)
        return found

    def link(self, arrow: Arrow) -> list[str]:
        """Draw an arrow to the right; between rows it turns at half way."""
        assert arrow.start is not None and arrow.end is not None
        (x0, y0), (x1, y1) = self.middle(arrow.start), self.middle(arrow.end)
        x0, x1 = x0 + self.half(arrow.start) + 3, x1 - self.half(arrow.end) - 4
        turn = x1 - max(8.0, 0.18 * self.pitch)
        ends = [(x0, y0), (x1, y1)] if y0 == y1 else [(x0, y0), (turn, y0), (turn, y1), (x1, y1)]
        words = _size(arrow.kernel, self.pitch * 0.8) if arrow.kernel else ""
        label = words + (
            f"\n/ {arrow.stride}" if arrow.stride > 1 and arrow.kind not in ("pooling", "unpooling") else ""
        )
        place = ((x0 + x1) / 2 if y0 == y1 else (x0 + turn) / 2, y0 + 15)
        return self.stroke(arrow.kind, ends) + (
            [svg.text(*place, label, size=10, fill=self.ink(arrow.kind))] if label else []
        )

    def arch(self, arrow: Arrow, level: int) -> list[str]:
        """Draw a shortcut as an arch over what it leaps."""
        assert arrow.start is not None and arrow.end is not None
        (x0, y0), (x1, y1) = self.middle(arrow.start), self.middle(arrow.end)
        tops = [y - self.size(self.maps(p))[0] / 2 * 1.3 - 24 for p, y in ((arrow.start, y0), (arrow.end, y1))]
        high = (
            self.top
            - 4
            - SHORTCUT_PX * level * 0.6
            + LINE_PX * min(self.at.lines[arrow.start[0]], self.at.lines[arrow.end[0]])
        )
        ends = [(x0 + 4, tops[0]), (x0 + 4, high), (x1 - 4, high), (x1 - 4, tops[1])]
        words = f"shortcut {_size(arrow.kernel, 200)}" if arrow.kernel else "shortcut"
        return [
            *self.stroke(arrow.kind, ends),
            svg.text((x0 + x1) / 2, high - 5, words, size=10, fill=self.ink(arrow.kind)),
        ]

    def maps(self, place: Place) -> Maps:
        """Give the maps at a place."""
        return self.parts.rows[place[0]][place[1]]

    def half(self, place: Place) -> float:
        """Give how far a block reaches to either side of its middle."""
        high, thick = self.size(self.maps(place))
        return thick / 2 + (high * 0.14 if self.maps(place).spatial else 1.5)

    def ink(self, kind: str) -> str:
        """Give the color in which a kind's words are written: its own, moved towards the ink."""
        return mix(CATEGORICAL[self.theme][COLOR_AT[kind]], INK[self.theme], 0.35)

    def stroke(self, kind: ArrowKind, ends: list[svg.Point]) -> list[str]:
        """Draw a line with its head at the last point."""
        color = CATEGORICAL[self.theme][COLOR_AT[kind]]
        style: dict[str, object] = {"stroke": color, "stroke_width": 2 if kind == "deconvolution" else 1.6}
        if STROKE[kind]:
            style["stroke_dasharray"] = STROKE[kind]
        (xa, ya), (xb, yb) = ends[-2:]
        size, down = 6.0, abs(xb - xa) < abs(yb - ya)
        lines = [svg.path([*ends[:-1], (xb, yb - size) if down else (xb - size, yb)], stroke_linejoin="round", **style)]
        tip = (
            [(xb, yb), (xb - 4, yb - size), (xb + 4, yb - size)]
            if down
            else [(xb, yb), (xb - size, yb - 4), (xb - size, yb + 4)]
        )
        hollow = kind in ("deconvolution", "unpooling")
        return [*lines, svg.polygon(tip, fill=PAPER[self.theme] if hollow else color, stroke=color, stroke_width=1.4)]

    def brackets(self) -> list[str]:
        """Draw the groups of layers under their maps."""
        found, theme = [], self.theme
        lowest = max(self.at.lines)
        for bracket in self.parts.brackets:
            (x0, _), (x1, _) = self.middle((bracket.row, bracket.first)), self.middle((bracket.row, bracket.last))
            line = (
                lowest
                if len(self.parts.brackets) == len({b.label for b in self.parts.brackets})
                else self.at.lines[bracket.row]
            )
            y = self.top + LINE_PX * (line + 1) + 4
            half = self.pitch * 0.44
            hook = [(x0 - half, y - 7), (x0 - half, y), (x1 + half, y), (x1 + half, y - 7)]
            found.append(svg.path(hook, stroke=LINE[theme], stroke_width=1.5))
            words = _wrapped(bracket.label, (x1 - x0 + 2 * half) / 6.3)
            found.append(svg.text((x0 + x1) / 2, y + 16, words, size=12, fill=INK[theme]))
        return found

    def legend(self, y: float) -> list[str]:
        """Say what each kind of arrow is."""
        x, found = float(MARGIN), []
        used = [k for k in KINDS if any(a.kind == k for a in self.parts.arrows)]
        for kind in used:
            found += self.stroke(kind, [(x, y), (x + 30, y)])
            found.append(svg.text(x + 37, y + 4, kind.capitalize(), size=12, fill=INK[self.theme], anchor="start"))
            x += 37 + 7 * len(kind) + 26
        words = "above a block: its maps · below: their size"
        right = self.left + self.pitch * self.at.n_columns
        found.append(
            svg.text(right, y + 4, words, size=11, fill=MUTED[self.theme], anchor="end")
        ) if right - x > 240 else None
        return found


def _told(maps: Maps) -> str:
    size = " of " + " × ".join(map(str, maps.spatial)) if maps.spatial else ""
    return f"{maps.name + ' ' if maps.name else ''}{maps.n_maps:,} {'map' if maps.n_maps == 1 else 'maps'}{size}"


def _size(sides: tuple[int, ...], room: float) -> str:
    """Write a size: 64 × 64, 65×65×65 where room is short, 160×191 over ×60 or 152³ where it is shorter still."""
    wide, tight = " × ".join(map(str, sides)), "×".join(map(str, sides))
    for words in (wide, tight):
        if len(words) * 5.6 <= room:
            return words
    if len(sides) < 3:
        return tight
    return f"{sides[0]}³" if len(set(sides)) == 1 else f"{sides[0]}×{sides[1]}\n×{sides[2]}"


def _fit(words: str, room: float) -> str:
    most = max(4, int(room / 5.8))
    return words if len(words) <= most else words[: most - 1] + "…"


def _wrapped(words: str, most: float) -> str:
    if len(words) <= most:
        return words
    parts = words.split()
    halves = [(" ".join(parts[:i]), " ".join(parts[i:])) for i in range(1, len(parts))]
    return "\n".join(min(halves, key=lambda h: max(map(len, h)))) if halves else words
