"""A brain network as one string of bytes for the connectome view.

Layout: 4 bytes of header length and 4 bytes of CRC-32 of all that follows (little endian), a JSON header, then blocks
at multiples of 4 bytes, whose offsets count from the first of them: the matrix's lower triangle row by row without the
diagonal, (E,) float32; coordinates in mm, (R, 3) float32; of the brain's surface the vertices in 0.1 mm, (n, 3) int16,
and the triangles, (m, 3) uint16. NaN is "unknown" everywhere.
"""

from __future__ import annotations

import json
import zlib
from typing import Any

import numpy as np

from workbench.figures.connectome import template_surface
from workbench.figures.edges import NEGATIVE, POSITIVE, Regions, network_colors, network_order
from workbench.figures.theme import DIVERGING

PER_MM = 10
START_EDGES, START_DENSITY = 300, 0.1
"""A view opens with about so many connections, never with more than this share of all."""


def pack(matrix: np.ndarray, regions: Regions, facts: dict[str, Any]) -> bytes:
    """Give the bytes for one view; ``facts`` joins the header (key, height, quantity, selected)."""
    n = len(regions.names)
    if matrix.shape != (n, n):
        raise ValueError(f"there are {n} regions but the matrix is {matrix.shape}")
    surface = template_surface()
    below = np.asarray(matrix, np.float64)[np.tril_indices(n, -1)]
    blocks = {
        "values": below.astype("<f4"),
        "places": regions.places.astype("<f4"),
        "vertices": np.rint(surface.vertices * PER_MM).astype("<i2"),
        "faces": surface.faces.astype("<u2"),
    }
    body, where = b"", {}
    for name, block in blocks.items():
        where[name] = {"offset": len(body), "length": int(block.size)}
        body += block.tobytes() + bytes(-block.nbytes % 4)
    header = json.dumps(facts | _described(regions, below) | {"blocks": where}).encode("ascii")
    header += b" " * (-len(header) % 4)
    check = zlib.crc32(header + body)
    return len(header).to_bytes(4, "little") + check.to_bytes(4, "little") + header + body


def _described(regions: Regions, below: np.ndarray) -> dict[str, Any]:
    groups = regions.groups
    order = network_order(regions)
    names = list(dict.fromkeys(groups[i] for i in order))
    colors = {theme: network_colors(groups, theme) for theme in ("light", "dark")}
    finite = np.abs(below[np.isfinite(below)])
    return {
        "names": [str(name) for name in regions.names],
        "group": [names.index(g) for g in groups],
        "networks": [{"name": g, "light": colors["light"][g], "dark": colors["dark"][g]} for g in names],
        "order": order.tolist(),
        "limit": (float(np.percentile(finite, 99.5)) if finite.size else 0.0) or 1.0,
        "density": min(START_DENSITY, START_EDGES / max(len(below), 1)),
        "ramps": {theme: [color for _, color in DIVERGING[theme]] for theme in DIVERGING},
        "stops": [stop for stop, _ in DIVERGING["light"]],
        "signs": {theme: [NEGATIVE[theme], POSITIVE[theme]] for theme in ("light", "dark")},
    }
