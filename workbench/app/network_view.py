"""The network view: units and links, or maps and receptive fields, that answer to the pointer in the browser.

Pointing at a unit shows its own links and the pattern it answers to; pointing at a place on a map shows what it sees on
every map below and on the input. Nothing of that asks Python; only a click, or Enter, brings the choice back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import streamlit as st

from workbench.app.network_payload import pack
from workbench.figures.convolution_parts import ConvolutionParts
from workbench.figures.network_parts import NetworkParts

_HERE = Path(__file__).parent
_SCRIPTS = ("network_units.js", "network_maps.js", "network_view.js")


class Chosen(NamedTuple):
    """What was clicked: the layer's name, the unit's index in it (of a convolutional layer the map's), and where.

    ``at`` is the place (x, y) on the map, None for units of other networks.
    """

    layer: str
    unit: int
    at: tuple[int, int] | None = None


_view = st.components.v2.component(
    "review_workbench_network_view",
    html=(_HERE / "network_view.html").read_text(encoding="utf-8"),
    css=(_HERE / "network_view.css").read_text(encoding="utf-8"),
    js="\n".join((_HERE / name).read_text(encoding="utf-8") for name in _SCRIPTS),
)


def network_view(
    parts: NetworkParts | ConvolutionParts,
    *,
    key: str,
    chosen: Chosen | None = None,
    height: int = 560,
    on_choose: Callable[[Chosen], None] | None = None,
) -> Chosen | None:
    """Draw a network that answers to the pointer and give the unit that the user chose.

    Colours follow the page's theme by themselves.

    Args:
        parts: layers, links and patterns, or the maps of a convolutional network for one input.
        key: unique on the page; the view keeps its choice under it.
        chosen: what is marked until the user has clicked.
        height: at most, in px; the drawing is as high as its width needs.
        on_choose: called with the new choice before the page runs again.

    Returns:
        The unit clicked last if it is still drawn, else ``chosen``.
    """

    def clicked() -> None:
        found = _found(st.session_state.get(key), parts)
        if found is not None and on_choose is not None:
            on_choose(found)

    given = [chosen.layer, chosen.unit, *(chosen.at or ())] if chosen else None
    facts: dict[str, Any] = {"key": key, "height": height, "chosen": given}
    state = _view(key=key, data=pack(parts, facts), on_unit_change=clicked)
    return _found(state, parts) or chosen


def _found(state: Any, parts: NetworkParts | ConvolutionParts) -> Chosen | None:
    """Read the browser's choice [layer, unit, x?, y?], unless it is of a network drawn before."""
    value: Sequence[Any] | None = state.get("unit") if state else None
    if not value:
        return None
    name, unit, *at = value
    layer = next((la for la in parts.layers if la.name == name), None)
    if layer is None or unit not in layer.shown:
        return None
    if isinstance(parts, NetworkParts):
        return Chosen(str(name), int(unit))
    shape = next(la.maps.shape[1:] for la in parts.layers if la.name == name)
    if len(at) != 2 or any(not 0 <= p < n for p, n in zip(at, shape, strict=True)):
        return None
    return Chosen(str(name), int(unit), (int(at[0]), int(at[1])))
