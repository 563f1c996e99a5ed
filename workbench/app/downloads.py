"""Charts and tables with the buttons that save them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pandas as pd
import streamlit as st

from workbench.figures import export

Bytes = bytes | Callable[[], bytes]


def chart(
    fig: Any, name: str, *, table: pd.DataFrame | None = None, files: dict[str, Bytes] | None = None, **more: Any
) -> Any:
    """Draw a figure with a button to save it as a page, a picture, and what else is given.

    Args:
        fig: a plotly figure from ``workbench.figures``; its ``meta["alt"]`` is read to those who cannot see it.
        name: of the saved files; also the key, so it is unique on the page.
        table: the numbers behind it, saved as CSV.
        files: further files by name, for example NIfTI maps; bytes, or what makes them when asked.
        more: passed to ``st.plotly_chart``.
    """
    stem = _stem(name)
    config = {"displaylogo": False, "toImageButtonOptions": {"format": "svg", "filename": stem}, "scrollZoom": False}
    meta = fig.layout.meta or {}
    event = st.plotly_chart(fig, theme=None, key=chart_key(name), config=config, alt=meta.get("alt", name), **more)
    with st.container(horizontal=True, horizontal_alignment="right"):
        save(stem, fig=fig, table=table, files=files)
    return event


def chart_key(name: str) -> str:
    """Give the key of a chart, under which streamlit keeps what was selected in it."""
    return f"chart-{_stem(name)}"


def _stem(name: str) -> str:
    return re.sub(r"[^\w-]+", "-", name.lower())


def save(
    stem: str, *, fig: Any = None, table: pd.DataFrame | None = None, files: dict[str, Bytes] | None = None
) -> None:
    """Show one button that opens to all that can be saved."""
    offers: dict[str, tuple[Bytes, str]] = {}
    if fig is not None:
        offers["HTML page"] = (lambda: export.to_html(fig, stem).encode(), f"{stem}.html")
        if export.find_browser() is not None:
            offers["PNG picture"] = (lambda: export.to_png(fig), f"{stem}.png")
    if table is not None:
        offers["CSV table"] = (lambda: table.to_csv(index=False).encode(), f"{stem}.csv")
    for file_name, data in (files or {}).items():
        offers[file_name] = (data, file_name)
    with st.popover("Save", icon=":material/download:", type="tertiary"):
        for label, (data, file_name) in offers.items():
            st.download_button(
                label,
                data,
                file_name,
                key=f"save-{stem}-{label}",
                on_click="ignore",
                type="tertiary",
                icon=":material/save:",
            )
        if fig is not None:
            st.caption("SVG: the camera above the figure.")
