"""The slice viewer: three linked planes on a canvas, in the browser, without a package or a frame.

Dragging, scrolling, window and level never leave the browser. When the pointer is let go the voxel comes back to
Python. The browser keeps its own cross; Python moves it only when the page asks for another voxel than the one
last shown, so an unchanged image is not sent again after a click.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from workbench.app.compare_payload import Comparison
from workbench.app.overlay_layers import Overlay
from workbench.app.payload import Image, Mark, pack

_HERE = Path(__file__).parent
Voxel = tuple[int, int, int]

_viewer = st.components.v2.component(
    "review_workbench_slice_viewer",
    html=(_HERE / "slice_viewer.html").read_text(encoding="utf-8"),
    css=(_HERE / "slice_viewer.css").read_text(encoding="utf-8"),
    js="\n".join(
        (_HERE / name).read_text(encoding="utf-8")
        for name in ("slice_outline.js", "slice_compare.js", "slice_paint.js", "slice_input.js", "slice_viewer.js")
    ),
)


def slice_viewer(
    volume: Image,
    *,
    key: str,
    voxel: Voxel | None = None,
    overlays: Sequence[Overlay] = (),
    marks: Sequence[Mark] = (),
    height: int = 460,
    opacity: float = 0.6,
    cross_color: str = "#f0b429",
    on_move: Callable[[Voxel], None] | None = None,
    compare: Comparison | None = None,
) -> Voxel | None:
    """Draw a volume with a crosshair and give the voxel that the user chose.

    Args:
        volume: (C, X, Y, Z) in RAS+; C > 1 gets a time slider; Z = 1 is a picture and gets one plane.
        key: unique on the page; the viewer keeps its state under it.
        voxel: where the cross shall be; viewers given the same voxel move together. None leaves it where it is.
        overlays: label maps and heat maps on the same lattice.
        marks: points to draw as rings.
        height: of the canvas, in px.
        opacity: of the overlays at first, 0 to 1.
        cross_color: of the crosshair.
        on_move: called with the new voxel before the page runs again.
        compare: a second image on the same lattice, and how the two are compared.

    Returns:
        The voxel just chosen, else ``voxel``.
    """

    def moved() -> None:
        chosen = _chosen(key)
        st.session_state[f"{key}:moved"] = chosen
        if chosen is not None and on_move is not None:
            on_move(chosen)

    fresh: Voxel | None = st.session_state.pop(f"{key}:moved", None)
    shown = _where_to_show(key, voxel, fresh)
    facts: dict[str, Any] = {
        "key": key,
        "voxel": shown["voxel"],
        "stamp": shown["stamp"],
        "height": height,
        "opacity": opacity,
        "cross_color": cross_color,
        "marks": [
            {"voxel": [int(v) for v in m.voxel], "name": m.name, "color": m.color, "shape": m.shape} for m in marks
        ],
    }
    others = None
    if compare is not None:
        facts, others = facts | compare.facts(), compare.layers
    _viewer(key=key, data=pack(volume, overlays, facts, others), on_voxel_change=moved)
    return fresh or voxel


def _chosen(key: str) -> Voxel | None:
    state = st.session_state.get(key)
    value = state.get("voxel") if state else None
    return (int(value[0]), int(value[1]), int(value[2])) if value else None


def _where_to_show(key: str, wanted: Voxel | None, fresh: Voxel | None) -> dict[str, Any]:
    """Say which voxel the header asks for; its stamp grows only when the browser has to move the cross."""
    memory = st.session_state.setdefault(f"{key}:memory", {"voxel": None, "stamp": 0, "at": None})
    if fresh is not None:
        memory["at"] = fresh
    elif _chosen(key) is None and memory["at"] != memory["voxel"]:
        memory["at"] = None  # the browser has drawn the page anew and knows nothing of earlier clicks
    if wanted is not None and fresh is None and wanted != memory["at"]:
        memory.update(voxel=[int(v) for v in wanted], stamp=memory["stamp"] + 1, at=wanted)
    return memory
