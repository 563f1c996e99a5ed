"""A volume and its overlays as one string of bytes for the slice viewer.

Layout: 4 bytes of header length (little endian), a JSON header, then one block of voxel codes a layer, each at a
multiple of 8 bytes. Code 0 says "no value"; the value of code c is ``low + (c - 1) · step`` or ``table[c]``. The
browser therefore reads out true values to one part in 254 (8 bits) or 65,534 (16 bits) of the image's range.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol
from weakref import WeakKeyDictionary

import numpy as np

from workbench.figures.theme import label_color

MAX_BYTES = 22_000_000
SIXTEEN_BITS_UP_TO = 3_000_000
VIRIDIS = ("#440154", "#482878", "#3e4989", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725")
MAGMA = ("#3b0f70", "#641a80", "#8c2981", "#b73779", "#de4968", "#f7705c", "#fe9f6d", "#fecf92", "#fcfdbf")
NEGATIVE = "#b0b7c3"
HU_WINDOWS = (("Brain", 40, 80), ("Soft tissue", 40, 400), ("Lung", -600, 1500), ("Bone", 400, 1800))
UNITS = {"CT": "HU", "PET": "SUV", "FA": "fraction"}


class Image(Protocol):
    """What the viewer needs of a Volume: RAS+ voxels (C, X, Y, Z) and where they lie in mm."""

    @property
    def data(self) -> np.ndarray:
        """Voxels (C, X, Y, Z)."""

    @property
    def affine(self) -> np.ndarray:
        """Voxel index → mm, (4, 4)."""

    @property
    def modality(self) -> str:
        """What was measured."""


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


@dataclass(frozen=True)
class Mark:
    """A point drawn as a ring (or square) in all planes: ``voxel`` (3,), its name and colour."""

    voxel: tuple[int, int, int]
    name: str
    color: str = "#56b4e9"
    shape: Literal["ring", "square"] = "ring"


@dataclass(frozen=True)
class Layer:
    """One block of codes and what the header says of it."""

    codes: np.ndarray
    header: dict[str, Any]


_base_layers: WeakKeyDictionary[Image, tuple[Layer, dict[str, Any]]] = WeakKeyDictionary()


def pack(image: Image, overlays: list[Overlay], facts: dict[str, Any]) -> bytes:
    """Give the bytes for one viewer; ``facts`` joins the header (voxel, stamp, height, colours, marks).

    Raises:
        ValueError: an overlay is not on the image's lattice.
    """
    base, common = _base(image)
    step = common["step"]
    layers = [base, *(_overlay_layer(overlay, image, step) for overlay in overlays)]
    blocks: list[bytes] = []
    described, offset = [], 0
    for layer in layers:
        raw = layer.codes.tobytes()
        described.append(
            layer.header | {"offset": offset, "length": layer.codes.size, "bits": layer.codes.itemsize * 8}
        )
        blocks.append(raw + bytes(-len(raw) % 8))
        offset += len(blocks[-1])
    return _with_header(common | facts, described, blocks)


def _with_header(facts: dict[str, Any], described: list[dict[str, Any]], blocks: list[bytes]) -> bytes:
    # Offsets count from the payload's start, and the header's length depends on them: leave room, pad with spaces.
    room = 4 + len(json.dumps(facts | {"layers": described})) + 16 * len(described) + 8
    room += -room % 8
    for layer in described:
        layer["offset"] += room
    header = json.dumps(facts | {"layers": described}).encode("ascii").ljust(room - 4)
    return len(header).to_bytes(4, "little") + header + b"".join(blocks)


def _base(image: Image) -> tuple[Layer, dict[str, Any]]:
    if image not in _base_layers:
        _base_layers[image] = _pack_base(image)
    return _base_layers[image]


def _pack_base(image: Image) -> tuple[Layer, dict[str, Any]]:
    data = np.asarray(image.data)  # (C, X, Y, Z)
    flat = data.shape[3] == 1
    step = 1
    while np.prod([-(-n // step) for n in data.shape[1:]]) > MAX_BYTES // 2:
        step += 1
    data = data[:, ::step, ::step, ::step]
    color = flat and data.shape[0] in (3, 4)
    n_frames = data.shape[0]
    every = 1 if color else max(1, -(-data.size // MAX_BYTES))
    frames = [0] if color else list(range(0, n_frames, every))
    layer = _rgb_layer(data[:3], image.modality) if color else _gray_layer(data[frames], image.modality)
    affine = np.asarray(image.affine, float)
    spacing = np.linalg.norm(affine[:3, :3], axis=0) * step
    common = {
        "name": image.modality, "shape": list(data.shape[1:]), "spacing": spacing.tolist(), "affine": affine.tolist(),
        "flat": flat, "step": step, "frames": frames, "n_frames": len(frames),
        "n_frames_full": 1 if color else n_frames,
        "digest": f"{image.modality}-{'x'.join(map(str, image.data.shape))}-{_checksum(data):08x}",
        "windows": [] if color else _windows(data[frames], image.modality),
    }  # fmt: skip
    if color:
        common["windows"] = [{"name": "As stored", "level": 128, "width": 256}]
    return layer, common


def _checksum(data: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(data[0, ::7, ::7, ::3]).tobytes())


def _gray_layer(data: np.ndarray, modality: str) -> Layer:
    bits = 16 if data.size <= SIXTEEN_BITS_UP_TO else 8
    low, high = _finite_range(data)
    top = 2**bits - 2
    step = (high - low) / top or 1.0
    with np.errstate(invalid="ignore"):
        codes = np.rint((data - low) / step) + 1
    codes = np.where(np.isfinite(codes), codes, 0).astype(np.uint16 if bits == 16 else np.uint8)
    return Layer(
        codes, {"name": modality, "kind": "gray", "low": low, "step": step, "unit": UNITS.get(modality.upper(), "")}
    )


def _rgb_layer(data: np.ndarray, modality: str) -> Layer:
    top = 1.0 if float(np.nanmax(data, initial=0)) <= 1 else 255.0
    return Layer(np.clip(np.nan_to_num(data) / top * 255, 0, 255).astype(np.uint8), {"name": modality, "kind": "rgb"})


def _finite_range(data: np.ndarray) -> tuple[float, float]:
    finite = data[np.isfinite(data)]
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)


def _windows(data: np.ndarray, modality: str) -> list[dict[str, Any]]:
    """Window presets; the first is the one shown: 2nd to 98th percentile of what is not background."""
    sample = data[:, ::2, ::2, :: 2 if data.shape[3] > 1 else 1]
    sample = sample[np.isfinite(sample)]
    low, high = _finite_range(data)
    inside = sample[sample > low] if sample.size else sample
    p2, p98 = np.percentile(inside, [2, 98]) if inside.size else (low, high)
    spans = [("Auto 2–98 %", float(min(p2, p98)), float(p98)), ("Full range", low, high)]
    windows = [{"name": n, "level": (a + b) / 2, "width": max(b - a, 1e-9)} for n, a, b in spans]
    if modality.upper() == "CT" or low < -500:
        ct = [{"name": n, "level": level, "width": width} for n, level, width in HU_WINDOWS]
        return [
            ct[0 if modality.upper() == "CT" and high < 200 else 1],
            *[c for c in ct if c["name"] != "Soft tissue"],
            *windows,
        ]
    if modality.upper() == "PET" and inside.size:
        top = float(np.percentile(inside, 99.5))
        windows.insert(0, {"name": "PET 0–99.5 %", "level": top / 2, "width": max(top, 1e-9)})
    return windows


def _overlay_layer(overlay: Overlay, image: Image, step: int) -> Layer:
    data = np.asarray(overlay.data)
    if data.shape != image.data.shape[1:]:
        raise ValueError(f"overlay {overlay.name!r} is {data.shape} but the image is {image.data.shape[1:]}")
    data = data[::step, ::step, ::step]
    return _label_layer(overlay, data) if overlay.kind == "labels" else _heat_layer(overlay, data)


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
    looks = {"outline": overlay.outline or overlay.dashed, "dashed": overlay.dashed}
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
    }
    values = data[finite].astype(np.float64)
    if overlay.by_rank and values.size > 1:
        codes[finite], extra = _by_rank(values)
        start = int(254 * -np.log10(overlay.top_share) / np.log10(values.size))
        return Layer(codes, header | extra | {"start": max(0, min(250, start))})
    low, high = _finite_range(values)
    step = (high - low) / 254 or 1.0
    codes[finite] = np.rint((values - low) / step) + 1
    ticks = [[0, f"{low:.3g}"], [1, f"{high:.3g}"]]
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
