"""Elements of an SVG drawing as text, with everything that users wrote escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Any

Point = tuple[float, float]


def tag(name: str, inner: str = "", **attributes: Any) -> str:
    """Give an element; ``_`` in the name of an attribute stands for ``-``, and numbers get at most one decimal."""
    written = "".join(f' {key.rstrip("_").replace("_", "-")}="{_value(v)}"' for key, v in attributes.items())
    return f"<{name}{written}>{inner}</{name}>" if inner else f"<{name}{written}/>"


def text(x: float, y: float, words: str, *, size: float, fill: str, anchor: str = "middle", weight: int = 400) -> str:
    """Write a line of text with its baseline at ``y``; lines parted by a newline stand under each other."""
    style: dict[str, Any] = {"font_size": size, "fill": fill, "text_anchor": anchor, "font_weight": weight}
    lines = words.split("\n")
    if len(lines) == 1:
        return tag("text", html.escape(words), x=x, y=y, **style)
    spans = "".join(tag("tspan", html.escape(w), x=x, dy=0 if i == 0 else size * 1.15) for i, w in enumerate(lines))
    return tag("text", spans, x=x, y=y, **style)


def polygon(points: Iterable[Point], **style: Any) -> str:
    """Draw a closed polygon."""
    return tag("polygon", points=" ".join(f"{_value(x)},{_value(y)}" for x, y in points), **style)


def path(points: Sequence[Point], **style: Any) -> str:
    """Draw straight lines from point to point."""
    (x, y), *others = points
    return tag("path", d=f"M{_value(x)} {_value(y)}" + "".join(f" L{_value(a)} {_value(b)}" for a, b in others),
               fill="none", **style)  # fmt: skip


def _value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.1f}".removesuffix(".0")
    return html.escape(str(value), quote=True)
