"""What is drawn over an image in the slice viewer: label maps and heat maps, and the codes that the browser gets.

Code 0 says "no value"; the value of code c is ``low + (c - 1) · step`` or ``table[c]``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal
from weakref import WeakKeyDictionary

import numpy as np

from workbench.figures.theme import label_color

VIRIDIS = ("#440154", "#482878", "#3e4989", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725")
MAGMA = ("#3b0f70", "#641a80", "#8c2981", "#b73779", "#de4968", "#f7705c", "#fe9f6d", "#fecf92", "#fcfdbf")
NEGATIVE = "#b0b7c3"


@dataclass(frozen=True, eq=False)
class Overlay:
    """A layer drawn over an image on the same lattice.

    Attributes:
        name: shown in the read-out and the legend.
        data: (X, Y, Z); integers for labels, numbers for a heat map, where NaN is transparent.
        kind: ``"labels"`` or ``"heat"``.
        unit: of the values of a heat map.
        by_rank: colour a heat map by the share of voxels above (logarithmic) instead of by its value, so that the
            picture does not change under any monotone rescaling.
        top_share: a map by rank shows the best voxels up to this share at first.
        names: label value → name.
        outline: draw labels as outlines at first.
        dashed: outlines have white dashes, as those of the truth beside a prediction; they stay outlines.
        colors: the ramp of a heat map, dark to light.
        label_colors: label value → its color, where it is not that of the value.
        limits: values at the two ends of a heat map's colors, which those beyond take too; None for its own range.
        signed: a heat map whose middle says "nothing": it is see-through there, and nothing is hidden from below.
        ticks: value → what is written beside a heat map's colors; none writes the ends.
        shown: what is read out for a value of a heat map, where that is another number.
        off: not drawn at first.
    """

    name: str
    data: np.ndarray
    kind: Literal["labels", "heat"] = "heat"
    unit: str = ""
    by_rank: bool = False
    top_share: float = 0.1
    names: dict[int, str] = field(default_factory=dict)
    outline: bool = False
    dashed: bool = False
    colors: tuple[str, ...] = VIRIDIS
    label_colors: dict[int, str] = field(default_factory=dict)
    limits: tuple[float, float] | None = None
    signed: bool = False
    ticks: dict[float, str] = field(default_factory=dict)
    shown: Callable[[np.ndarray], np.ndarray] | None = None
    off: bool = False


@dataclass(frozen=True)
class Layer:
    """One block of codes and what the header says of it."""

    codes: np.ndarray
    header: dict[str, Any]


_coded: WeakKeyDictionary[Overlay, dict[int, Layer]] = WeakKeyDictionary()


def finite_range(data: np.ndarray) -> tuple[float, float]:
    """Give the lowest and the highest number, 0 and 1 where there is none."""
    finite = data[np.isfinite(data)]
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)


def overlay_layer(overlay: Overlay, shape: tuple[int, ...], step: int) -> Layer:
    """Give the codes of every ``step``-th voxel of an overlay on an image of this shape, made once an overlay.

    Raises:
        ValueError: the overlay is not on the image's lattice.
    """
    data = np.asarray(overlay.data)
    if data.shape != shape:
        raise ValueError(f"overlay {overlay.name!r} is {data.shape} but the image is {shape}")
    known = _coded.setdefault(overlay, {})
    if step not in known:
        data = data[::step, ::step, ::step]
        known[step] = _label_layer(overlay, data) if overlay.kind == "labels" else _heat_layer(overlay, data)
    return known[step]


def _label_layer(overlay: Overlay, data: np.ndarray) -> Layer:
    values = [int(v) for v in np.unique(data) if v != 0]
    wide = bool(values) and len(values) > 254
    codes = (
        np.searchsorted([0, *values], data).astype(np.uint16 if wide else np.uint8)
        if values and values[0] > 0
        else _codes(data, values)
    )
    labels = [
        {"code": i + 1, "name": overlay.names.get(v, str(v)), "color": _label_color(overlay, v)}
        for i, v in enumerate(values)
    ]
    looks = {"outline": overlay.outline or overlay.dashed, "dashed": overlay.dashed, "off": overlay.off}
    return Layer(codes, {"name": overlay.name, "kind": "labels", "labels": labels} | looks)


def _label_color(overlay: Overlay, value: int) -> str:
    return overlay.label_colors.get(value) or (label_color(value) if value > 0 else NEGATIVE)


def _codes(data: np.ndarray, values: list[int]) -> np.ndarray:
    codes = np.zeros(data.shape, np.uint16 if len(values) > 254 else np.uint8)
    for i, value in enumerate(values):
        codes[data == value] = i + 1
    return codes


def _heat_layer(overlay: Overlay, data: np.ndarray) -> Layer:
    finite = np.isfinite(data)
    codes = np.zeros(data.shape, np.uint8)
    header: dict[str, Any] = {
        "name": overlay.name,
        "kind": "heat",
        "unit": overlay.unit,
        "colors": list(overlay.colors),
        "off": overlay.off,
        "signed": overlay.signed,
    }
    values = data[finite].astype(np.float64)
    if overlay.by_rank and values.size > 1:
        codes[finite], extra = _by_rank(values)
        start = int(254 * -np.log10(overlay.top_share) / np.log10(values.size))
        return Layer(codes, header | extra | {"start": max(0, min(250, start))})
    low, high = overlay.limits or finite_range(values)
    step = (high - low) / 254 or 1.0
    codes[finite] = np.rint((np.clip(values, low, high) - low) / step) + 1
    written = overlay.ticks or {low: f"{low:.3g}", high: f"{high:.3g}"}
    ticks = [[(value - low) / ((high - low) or 1.0), words] for value, words in sorted(written.items())]
    if overlay.shown is not None:
        header["table"] = overlay.shown(low + step * (np.arange(256) - 1.0)).tolist()
    return Layer(codes, header | {"low": low, "step": step, "ticks": ticks})


def _by_rank(values: np.ndarray) -> tuple[np.ndarray, dict[str, Any]]:
    """Code each value by −log10 of the share of values that are at least as large."""
    ordered = np.sort(values)
    n = len(values)
    share = (n - np.searchsorted(ordered, values, side="left")) / n  # in (0, 1]
    decades = np.log10(n)
    codes = np.rint(1 + 254 * -np.log10(share) / decades).astype(np.uint8)
    shares = 10 ** (-decades * np.clip(np.arange(256) - 1, 0, 254) / 254)
    table = ordered[np.clip((n - np.ceil(shares * n)).astype(int), 0, n - 1)]
    ticks = [[d / decades, f"{100 / 10**d:g} %"] for d in range(int(decades) + 1) if d / decades < 0.8 and d < 4] + [
        [1, "best"]
    ]
    return codes, {"table": table.tolist(), "shares": shares.tolist(), "ticks": ticks}
