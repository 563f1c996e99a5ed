"""A volume and its overlays as one string of bytes for the slice viewer.

Layout: 4 bytes of header length (little endian), a JSON header, then one block of voxel codes a layer, each at a
multiple of 8 bytes. Code 0 says "no value"; the value of code c is ``low + (c - 1) · step`` or ``table[c]``. The
browser therefore reads out true values to one part in 254 (8 bits) or 65,534 (16 bits) of the image's range.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol
from weakref import WeakKeyDictionary

import numpy as np

from workbench.app.overlay_layers import Layer, Overlay, finite_range, overlay_layer

MAX_BYTES = 22_000_000
SIXTEEN_BITS_UP_TO = 3_000_000
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


@dataclass(frozen=True)
class Mark:
    """A point drawn as a ring (or square) in all planes: ``voxel`` (3,), its name and colour."""

    voxel: tuple[int, int, int]
    name: str
    color: str = "#56b4e9"
    shape: Literal["ring", "square"] = "ring"


_base_layers: WeakKeyDictionary[Image, tuple[Layer, dict[str, Any]]] = WeakKeyDictionary()


def pack(
    image: Image, overlays: Sequence[Overlay], facts: dict[str, Any], others: Callable[[int], list[Layer]] | None = None
) -> bytes:
    """Give the bytes for one viewer; ``facts`` joins the header (voxel, stamp, height, colours, marks).

    Args:
        image: the lowest layer.
        overlays: drawn over it, in this order.
        facts: join the header.
        others: gives layers that are no overlays, when every ``step``-th voxel is shown.

    Raises:
        ValueError: an overlay is not on the image's lattice.
    """
    base, common = _base(image)
    step = common["step"]
    layers = [
        base,
        *(overlay_layer(overlay, image.data.shape[1:], step) for overlay in overlays),
        *(others(step) if others else []),
    ]
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


def gray_layer(data: np.ndarray, name: str) -> tuple[Layer, list[dict[str, Any]]]:
    """Give (C, X, Y, Z) voxels as a gray layer of this name, and the windows it may be shown in."""
    return _gray_layer(data, name), _windows(data, name)


def _checksum(data: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(data[0, ::7, ::7, ::3]).tobytes())


def _gray_layer(data: np.ndarray, modality: str) -> Layer:
    bits = 16 if data.size <= SIXTEEN_BITS_UP_TO else 8
    low, high = finite_range(data)
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


def _windows(data: np.ndarray, modality: str) -> list[dict[str, Any]]:
    """Window presets; the first is the one shown: 2nd to 98th percentile of what is not background."""
    sample = data[:, ::2, ::2, :: 2 if data.shape[3] > 1 else 1]
    sample = sample[np.isfinite(sample)]
    low, high = finite_range(data)
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
