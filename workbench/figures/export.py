"""A figure as a page that opens without a network, or as a PNG.

A PNG needs a Chromium or Chrome that kaleido starts without a window. It is looked for in ``BROWSER_PATH``, then under
the usual names. Nothing is fetched: plotly.js comes from the installed package and MathJax is left out.
"""

from __future__ import annotations

import html
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from workbench.errors import FileError
from workbench.figures.theme import PAPER

BROWSERS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "msedge",
    "brave-browser",
)
PLACES = (
    "/usr/bin/chromium",
    "/usr/bin/chromium-browser",
    "/usr/bin/google-chrome",
    "/snap/bin/chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "C:/Program Files/Google/Chrome/Application/chrome.exe",
)
RENDER_SECONDS = 90


def to_html(fig: go.Figure, title: str = "Figure") -> str:
    """Give one self-contained page (about 4.7 MB, nearly all of it plotly.js) that opens offline.

    The sentence in ``fig.layout.meta["alt"]`` becomes the accessible name of the figure and its caption.
    """
    meta = fig.layout.meta or {}
    alt, paper = html.escape(meta.get("alt", "")), PAPER.get(meta.get("theme", "light"), PAPER["light"])
    body = fig.to_html(include_plotlyjs=True, full_html=False, config={"displaylogo": False, "responsive": True})
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"></head>\n<body style="margin:0;background:{paper}">\n'
        f'<figure role="img" aria-label="{alt}" style="margin:0">{body}</figure>\n</body></html>\n'
    )


def to_report(title: str, sections: Sequence[tuple[str, str, go.Figure | None]], theme: str = "light") -> str:
    """Give one page that opens offline: of every section a heading, HTML that was made safe, and a figure or none."""
    parts, drawn = [], False
    for heading, text, fig in sections:
        parts.append(f"<section><h2>{html.escape(heading)}</h2>{text}")
        if fig is not None:
            alt = html.escape((fig.layout.meta or {}).get("alt", heading))
            body = fig.to_html(include_plotlyjs=not drawn, full_html=False, config={"displaylogo": False})
            parts.append(f'<figure role="img" aria-label="{alt}">{body}<figcaption>{alt}</figcaption></figure>')
            drawn = True
        parts.append("</section>")
    style = (
        "body{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:2rem auto;padding:0 1rem;color:#1f2937;"
        f"background:{PAPER.get(theme, PAPER['light'])}}}figure{{margin:0;overflow-x:auto}}figcaption{{color:#6b7280}}"
        "table{border-collapse:collapse}td,th{padding:.2rem .9rem .2rem 0;text-align:left;vertical-align:top}"
    )
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{style}</style></head>\n<body>'
        f"<h1>{html.escape(title)}</h1>{''.join(parts)}</body></html>\n"
    )


def to_png(fig: go.Figure, scale: float = 2.0, width: int = 1200) -> bytes:
    """Render the figure at ``width`` CSS pixels times ``scale``.

    Raises:
        FileError: kaleido or a browser is missing, or the browser did not deliver.
    """
    browser = find_browser()
    if browser is None:
        raise FileError(
            "A PNG needs Chromium or Chrome and none was found; install one, name it in BROWSER_PATH, or save the "
            "figure as HTML."
        )
    try:
        import kaleido
    except ImportError as missing:
        raise FileError(
            "A PNG needs the package kaleido; install it with pip, or save the figure as HTML."
        ) from missing
    size = {"format": "png", "width": fig.layout.width or width, "height": fig.layout.height or 500, "scale": scale}
    settings = {"path": browser, "mathjax": False, "timeout": RENDER_SECONDS}
    try:
        return bytes(kaleido.calc_fig_sync(scenes_apart(fig.to_dict()), opts=size, kopts=settings))
    # The browser's failures come in a dozen types, none of them public.
    except Exception as cause:
        raise FileError(
            f"{Path(browser).name} did not render the figure ({type(cause).__name__}); try again, or save it as HTML."
        ) from cause


def scenes_apart(figure: dict[str, Any]) -> dict[str, Any]:
    """Put an opaque speck in a scene of its own between every two scenes of a figure; mutates and gives ``figure``.

    A picture's scenes are drawn one after the other on one canvas. What is see-through switches off the writing of
    depths, so the next scene cannot clear those of the one before it and has holes in its shape; something opaque
    switches it on again.
    """
    layout = figure["layout"]
    names = sorted((k for k in layout if re.fullmatch(r"scene\d*", k)), key=lambda name: int(name[5:] or 1))
    if len(names) < 2:
        return figure
    moved = {name: f"scene{2 * i + 1 if i else ''}" for i, name in enumerate(names)}
    scenes = {moved[name]: layout.pop(name) for name in names}
    for trace in figure["data"]:
        if "scene" in trace or trace["type"] == "mesh3d":
            trace["scene"] = moved[trace.get("scene", "scene")]
    hidden = {f"{axis}axis": {"visible": False} for axis in "xyz"}
    for number in range(2, 2 * len(names), 2):
        layout[f"scene{number}"] = hidden | {"domain": {"x": [0, 0.001], "y": [0, 0.001]}}
        speck = {"x": [0, 1, 0], "y": [0, 0, 1], "z": [0, 0, 0], "i": [0], "j": [1], "k": [2]}
        figure["data"].append({"type": "mesh3d", "scene": f"scene{number}"} | speck)
    layout.update(scenes)
    return figure


def save(fig: go.Figure, out: Path) -> Path:
    """Write the figure to ``out``, a ``.html`` or ``.png`` file, replacing it at once.

    Raises:
        FileError: another ending, a folder that does not exist, or no browser for a PNG.
    """
    if out.suffix.lower() not in (".html", ".png"):
        raise FileError(f"A figure is saved as .html or .png but the name is {out.name}; change its ending.")
    if not out.parent.is_dir():
        raise FileError(f"The folder {out.parent} does not exist; make it first.")
    content = to_png(fig) if out.suffix.lower() == ".png" else to_html(fig, out.stem).encode()
    partial = out.with_name(out.name + ".partial")
    try:
        partial.write_bytes(content)
        partial.replace(out)
    except OSError as cause:
        partial.unlink(missing_ok=True)
        raise FileError(
            f"{out.name} cannot be written to {out.parent} ({cause.strerror}); choose another place."
        ) from cause
    return out


def find_browser() -> str | None:
    """Give the browser that can render a PNG, or None: ``BROWSER_PATH``, then the PATH, then the usual places."""
    named = os.environ.get("BROWSER_PATH")
    if named and os.access(named, os.X_OK):
        return named
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    return found or next((place for place in PLACES if os.access(place, os.X_OK)), None)
