"""The colours of a similarity map: by rank, so that no monotone rescaling of the similarity changes the picture."""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.figures.theme import VIRIDIS

TOP_SHARES = (0.1, 0.01, 0.001, 0.0001)


def rank_colors(similarity: np.ndarray, scale: str) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Give what is coloured (NaN where nothing is), what the pointer reads, and the colour bar that explains it."""
    values = np.asarray(similarity, np.float32)
    inside = np.isfinite(values)
    if scale == "similarity":
        low, high = (float(values[inside].min()), float(values[inside].max())) if inside.any() else (0.0, 1.0)
        bar = {0.0: "0", 0.5: "0.5", 1.0: "1"}
        return (
            (values - low) / max(high - low, 1e-12),
            values,
            {"low": 0.0, "high": 1.0, "ticks": bar, "hover": "similarity %{customdata:.4g}"},
        )
    ordered = np.sort(values[inside])
    above = np.full(values.shape, np.nan, np.float32)
    above[inside] = (ordered.size - np.searchsorted(ordered, values[inside], side="left")) / max(ordered.size, 1)
    exponent = np.where(above <= TOP_SHARES[0], -np.log10(above), np.float32(np.nan))
    bar = {-float(np.log10(share)): f"{100 * share:g} %" for share in TOP_SHARES}
    return (
        exponent,
        100 * above,
        {"low": min(bar), "high": max(bar), "ticks": bar, "hover": "%{customdata:.3g} % score at least as high"},
    )


def overlay_ramp() -> list[list[object]]:
    """Give viridis from blue upwards, fainter at its low end so that the anatomy shows through."""
    opaque = (0.55, 0.75, 0.9, 1.0, 1.0, 1.0, 1.0)
    return [[i / 6, f"rgba({int(c[1:3], 16)},{int(c[3:5], 16)},{int(c[5:7], 16)},{a})"]
            for i, ((_, c), a) in enumerate(zip(VIRIDIS[2:8] + VIRIDIS[9:], opaque, strict=True))]  # fmt: skip
