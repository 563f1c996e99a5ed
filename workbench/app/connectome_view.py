"""The connectome view: matrix, brain and list of regions, linked by one selection, in the browser.

A cell, an edge, a region or a network that is clicked is marked everywhere at once, without asking Python; the
threshold, turning and searching never ask. Only the finished selection is brought back.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import streamlit as st

from workbench.app.connectome_payload import pack
from workbench.figures.edges import Regions

_HERE = Path(__file__).parent
_PARTS = ("matrix", "brain", "pointer", "list", "view")


class Selection(NamedTuple):
    """What is selected: regions by their index, or one connection.

    Attributes:
        regions: indices; both ends where an edge is selected.
        edge: (i, j) with i > j, or None.
    """

    regions: tuple[int, ...] = ()
    edge: tuple[int, int] | None = None


_view = st.components.v2.component(
    "review_workbench_connectome_view",
    html=(_HERE / "connectome_view.html").read_text(encoding="utf-8"),
    css=(_HERE / "connectome_view.css").read_text(encoding="utf-8"),
    js="\n".join((_HERE / f"connectome_{part}.js").read_text(encoding="utf-8") for part in _PARTS),
)


def connectome_view(
    matrix: np.ndarray,
    regions: Regions,
    *,
    key: str,
    quantity: str = "r",
    selected: Selection | None = None,
    height: int = 460,
    on_select: Callable[[Selection], None] | None = None,
) -> Selection:
    """Draw a network as linked matrix, glass brain and list, and give what the user selected.

    Put it into a fragment where only what depends on the selection should run again.

    Args:
        matrix: (R, R), symmetric; NaN is unknown, the diagonal is never drawn. Up to some 600 regions.
        regions: names, coordinates (mm, MNI; NaN is listed but not drawn) and networks.
        key: unique on the page; the view keeps selection, threshold and turning under it.
        quantity: of the matrix, ``"r"`` or ``"Fisher z"``.
        selected: what is marked until the user has clicked.
        height: of the panels in px.
        on_select: called with a new selection before the page runs again.

    Returns:
        The user's selection if it fits these regions, else ``selected``, else an empty one.
    """
    n = len(regions.names)

    def chosen() -> None:
        found = _found(st.session_state.get(key), n)
        if found is not None and on_select is not None:
            on_select(found)

    given = {"regions": list(selected.regions), "edge": selected.edge and list(selected.edge)} if selected else None
    facts: dict[str, Any] = {"key": key, "height": height, "quantity": quantity, "selected": given}
    state = _view(key=key, data=pack(matrix, regions, facts), on_selection_change=chosen)
    return _found(state, n) or selected or Selection()


def _found(state: Any, n_regions: int) -> Selection | None:
    """Read the browser's selection, unless it is of other regions."""
    value = state.get("selection") if state else None
    if not value:
        return None
    regions = tuple(int(i) for i in value.get("regions") or ())
    edge = tuple(int(i) for i in value.get("edge") or ())
    if any(not 0 <= i < n_regions for i in regions + edge) or (edge and (len(edge) != 2 or edge[0] == edge[1])):
        return None
    return Selection(regions, (max(edge), min(edge)) if edge else None)
