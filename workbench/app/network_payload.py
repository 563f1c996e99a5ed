"""A drawing of a network as one string of bytes for the network view.

Layout: 4 bytes of header length (little endian), a JSON header, then blocks of codes, 1 byte each, whose offsets count
from the header's end. In a signed block code 128 is zero and 1 and 255 are minus and plus the block's or the unit's
largest; in a plain one 1 and 255 are its lowest and highest value. Code 0 says "nothing".
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from workbench.figures import mosaic
from workbench.figures.blocks import AXES, turned
from workbench.figures.convolution import upright
from workbench.figures.convolution_parts import ConvolutionParts, MapLayer, place_maps
from workbench.figures.network_parts import LayerParts, LinkParts, NetworkParts, place, strongest
from workbench.figures.networks import colors_of
from workbench.figures.theme import DIVERGING

RAMPS = {theme: [color for _, color in DIVERGING[theme]] for theme in DIVERGING}
"""Nine colours from the most negative to the most positive; their stops are those of the figures."""
MOST_VECTOR = 512


def pack(parts: NetworkParts | ConvolutionParts, facts: dict[str, Any]) -> bytes:
    """Give the bytes for one view; ``facts`` joins the header (key, height, choice)."""
    blocks = Blocks()
    body = _network(parts, blocks) if isinstance(parts, NetworkParts) else _convolution(parts, blocks)
    common = {"alt": parts.alt, "ramps": RAMPS, "stops": [stop for stop, _ in DIVERGING["light"]]}
    header = json.dumps(facts | common | body).encode("ascii")
    return len(header).to_bytes(4, "little") + header + b"".join(blocks.parts)


class Blocks:
    """Blocks of codes and where the next one begins."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.end = 0

    def add(self, codes: np.ndarray) -> dict[str, Any]:
        """Append codes (rows, columns); give their place and shape for the header."""
        place_of = {"offset": self.end, "rows": codes.shape[0], "columns": codes.shape[1]}
        self.parts.append(np.ascontiguousarray(codes, np.uint8).tobytes())
        self.end += codes.size
        return place_of


def signed_codes(values: np.ndarray) -> tuple[np.ndarray, float]:
    """Code values so that 128 is zero and the largest |value| is 1 or 255; give that largest too; NaN becomes 0."""
    finite = np.isfinite(values)
    largest = float(np.abs(values[finite]).max(initial=0.0))
    codes = np.rint(128 + 127 * np.nan_to_num(values) / (largest or 1.0))
    return np.where(finite, codes, 0).astype(np.uint8), largest


def plain_codes(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Code values from ``low`` (1) to ``high`` (255); NaN becomes 0."""
    codes = np.rint(1 + 254 * np.clip((np.nan_to_num(values, nan=low) - low) / max(high - low, 1e-12), 0, 1))
    return np.where(np.isfinite(values), codes, 0).astype(np.uint8)


def _network(parts: NetworkParts, blocks: Blocks) -> dict[str, Any]:
    stands, colors = place(parts), colors_of(parts)
    layers = []
    for layer in parts.layers:
        at = stands.at[layer.name]
        active = parts.activations.get(layer.name)
        described = {
            "name": layer.name,
            "heading": layer.heading,
            "units": layer.units,
            "n_units": layer.n_units,
            "shown": [int(u) for u in layer.shown],
            "x": np.round(at[:, 0], 3).tolist(),
            "y": float(at[0, 1]),
            "label": list(stands.label[layer.name]),
            "color": colors[layer.name],
            "active": None if active is None else np.round(np.asarray(active, float), 4).tolist(),
        }
        layers.append(described | _patterns(layer, parts, blocks))
    links = [_link(block, blocks) for block in parts.blocks]
    return {"mode": "network", "size": stands.size, "tall": stands.height, "layers": layers, "links": links}


def _patterns(layer: LayerParts, parts: NetworkParts, blocks: Blocks) -> dict[str, Any]:
    """Describe each unit's pattern: a tile of its three middle planes (or the picture), or a vector as one row."""
    patterns = parts.receptive.get(layer.name)
    if patterns is None:
        return {"pictures": None}
    if patterns.ndim == 2:
        kind, tiles = "vector", patterns[:, None, :MOST_VECTOR]
    elif patterns.ndim == 5:
        kind, tiles = "planes", _beside(np.asarray(patterns, np.float32))
    else:
        kind, tiles = "picture", mosaic.tiles_of(np.asarray(patterns, np.float32))
    pictures = []
    for index, tile in enumerate(tiles):
        codes, largest = signed_codes(tile)
        face = None
        if kind == "planes":  # what stands in the drawing itself
            face = blocks.add(signed_codes(mosaic.tiles_of(patterns[index : index + 1], "middle")[0])[0])
        pictures.append(blocks.add(codes) | {"largest": largest, "face": face})
    return {"pictures": pictures, "pattern": kind}


def _beside(patterns: np.ndarray) -> np.ndarray:
    """Give the middle axial, coronal and sagittal slice of (n, C, X, Y, Z) beside each other, (n, rows, columns)."""
    planes = [mosaic.tiles_of(turned(patterns, plane), "middle") for plane in AXES]
    rows = max(tiles.shape[1] for tiles in planes)
    padded = [np.pad(t, ((0, 0), (0, rows - t.shape[1]), (0, 1)), constant_values=np.nan) for t in planes]
    return np.concatenate(padded, 2)[:, :, :-1]


def _link(block: LinkParts, blocks: Blocks) -> dict[str, Any]:
    codes, largest = signed_codes(np.asarray(block.weights, float))
    return {
        "below": block.below,
        "above": block.above,
        "directed": block.directed,
        "title": block.title,
        "largest": largest,
        "strong": strongest(block.weights).tolist(),
    } | blocks.add(codes)


def _convolution(parts: ConvolutionParts, blocks: Blocks) -> dict[str, Any]:
    cards, tall = place_maps(parts)
    layers = [_maps(parts.image[None], parts.spatial_dims, blocks) | {
        "name": parts.title, "above": parts.title, "beneath": " × ".join(map(str, parts.image.shape)),
        "shown": [0], "size": [1, 1], "jump": [1, 1], "first": [0, 0], "single": False,
    }]  # fmt: skip
    layers += [_map_layer(layer, parts.spatial_dims, blocks) for layer in parts.layers]
    drawn = [[card.layer + 1, card.map, *(round(v, 3) for v in card[2:])] for card in cards]
    return {"mode": "maps", "tall": tall, "flat": parts.spatial_dims == 2, "cards": drawn, "layers": layers}


def _map_layer(layer: MapLayer, spatial_dims: int, blocks: Blocks) -> dict[str, Any]:
    maps, does = layer.caption
    geometry = {name: [float(v) for v in getattr(layer, name)[:2]] for name in ("size", "jump", "first")}
    kernels = None
    if layer.kernels is not None:
        rows = [signed_codes(upright(np.asarray(kernel, float), spatial_dims))[0] for kernel in layer.kernels[:3]]
        kernels = [blocks.add(codes) for codes in rows]
    words = {"name": layer.name, "above": layer.name, "beneath": f"{maps}, {does}", "kernels": kernels}
    facts = {"shown": [int(m) for m in layer.shown], "single": layer.maps[0].size == 1, "kind": layer.kind}
    return _maps(layer.maps, spatial_dims, blocks) | geometry | words | facts


def _maps(maps: np.ndarray, spatial_dims: int, blocks: Blocks) -> dict[str, Any]:
    low, high = float(np.nanmin(maps)), float(np.nanmax(maps))
    coded = [blocks.add(plain_codes(upright(np.asarray(m, float), spatial_dims), low, high)) for m in maps]
    return {"maps": coded, "low": low, "high": high}
