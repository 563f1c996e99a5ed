"""Which input a unit sees: Figure 3 for every layer of a chain.

Per axis, a layer with kernel k, dilation d, stride s and padding p on units of field size r, jump j (voxels from one
unit's field to the next one's) and first center c gives units with (Dumoulin and Visin, arXiv 1603.07285)

    r' = r + d (k - 1) j        c' = c + (d (k - 1) / 2 - p) j        j' = j s
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import nn
from torch.nn.modules import activation, batchnorm, conv, dropout, instancenorm, normalization, padding, pooling

Ints = tuple[int, ...]

PADDINGS = (
    padding._ConstantPadNd, padding._ReflectionPadNd, padding._ReplicationPadNd, padding._CircularPadNd,
)  # fmt: skip
"""Layers that only widen a map."""
POOLINGS = (pooling._MaxPoolNd, pooling._AvgPoolNd)
"""Layers that subsample by a window of fixed size."""
ADAPTIVE = (pooling._AdaptiveAvgPoolNd, pooling._AdaptiveMaxPoolNd)
"""Layers that subsample to a map of fixed size."""
NORMALIZATIONS = (
    batchnorm._BatchNorm, instancenorm._InstanceNorm, nn.GroupNorm, nn.LayerNorm, nn.LocalResponseNorm,
    normalization.CrossMapLRN2d, getattr(nn, "RMSNorm", nn.LayerNorm),
)  # fmt: skip


@dataclass(frozen=True)
class LayerField:
    """What the units of a layer see, in voxels of the input, one number for each spatial axis.

    Attributes:
        name: of the layer, as in ``named_modules``.
        kind: ``input``, ``convolution``, ``pooling``, ``padding`` or ``fully connected``.
        size: voxels of one unit's receptive field.
        jump: voxels from one unit's field to the next one's: the strides' product.
        start: center of the first unit's field, counted from the center of the first voxel; with padding it can lie
            outside.
        map_shape: units; a fully connected layer has one position.
    """

    name: str
    kind: str
    size: Ints
    jump: Ints
    start: tuple[float, ...]
    map_shape: Ints


@dataclass(frozen=True)
class Window:
    """How a layer looks at the map below it, per axis: the terms of the formulae above."""

    kernel: Ints
    stride: Ints
    dilation: Ints
    before: Ints
    after: Ints
    ceil: bool = False

    @property
    def span(self) -> Ints:
        """Voxels of the map below from the first to the last that a unit sees."""
        return tuple(d * (k - 1) + 1 for d, k in zip(self.dilation, self.kernel, strict=True))

    def output(self, below: Ints) -> Ints:
        """Give the map's shape."""
        lengths = []
        for n, span, s, before, after in zip(below, self.span, self.stride, self.before, self.after, strict=True):
            rest = n + before + after - span
            count = rest // s + 1
            # torch drops a last window that would begin behind the map
            count += self.ceil and rest % s > 0 and count * s < n + before
            lengths.append(count)
        return tuple(lengths)


def receptive_fields(network: nn.Module, shape: Sequence[int]) -> list[LayerField]:
    """Give the field of every layer that changes it: convolutions, poolings, paddings, fully connected layers.

    Statistics that a normalization takes over a whole map are not counted, nor what mirrored or circular padding
    brings from elsewhere in the map; ``explain_inexact`` names both.

    Args:
        network: a CNN or an ``nn.Sequential`` of standard layers, nested or not.
        shape: (C, *spatial) of the input.

    Raises:
        ValueError: a layer is not one whose window is known, or does not fit on the map below.
    """
    return [field for (_, layer, field) in walk(network, shape) if kind_of(layer)]


def box(field: LayerField, position: Sequence[int], within: Sequence[int] | None = None) -> tuple[Ints, Ints]:
    """Give the input box that the unit at a position of the map sees.

    Args:
        field: of the unit's layer.
        position: of the unit, one index for each spatial axis.
        within: spatial shape of the input to cut the box to; without it a padded layer's box can begin below 0.

    Returns:
        the first voxel and the one behind the last, so that ``slice(low, high)`` is the box.
    """
    if len(position) != len(field.size):
        raise ValueError(f"expected a position along {len(field.size)} axes; got {tuple(position)}")
    rows = zip(field.start, field.jump, field.size, position, strict=True)
    low = tuple(round(c + i * j - (r - 1) / 2) for c, j, r, i in rows)
    high = tuple(a + r for a, r in zip(low, field.size, strict=True))
    if within is None:
        return low, high
    limits = [int(n) for n in within]
    inside = [tuple(min(max(a, 0), n) for a, n in zip(ends, limits, strict=True)) for ends in (low, high)]
    return inside[0], inside[1]


def center(field: LayerField, position: Sequence[int]) -> tuple[float, ...]:
    """Give the input coordinate, in voxels, at the middle of the field of the unit at a position of the map."""
    return tuple(c + i * j for c, j, i in zip(field.start, field.jump, position, strict=True))


def walk(network: nn.Module, shape: Sequence[int]) -> Iterator[tuple[str, nn.Module, LayerField]]:
    """Give each layer of a chain, from the input upwards, with its name and the field above it."""
    spatial = tuple(int(n) for n in shape[1:])
    n_axes = len(spatial)
    field = LayerField("input", "input", (1,) * n_axes, (1,) * n_axes, (0.0,) * n_axes, spatial)
    flat = False
    for name, layer in chain(network):
        window = window_of(layer, field.map_shape)
        if isinstance(layer, nn.Linear) and not flat:
            raise ValueError(f"layer {name!r} is fully connected and needs an nn.Flatten before it")
        if window is not None:
            if flat and not isinstance(layer, nn.Linear):
                raise ValueError(f"layer {name!r} ({type(layer).__name__}) stands above nn.Flatten")
            field = _above(field, window, name, kind_of(layer))
        elif not isinstance(layer, nn.Flatten) and not is_local(layer):
            raise ValueError(
                f"layer {name!r} is a {type(layer).__name__}, whose window is not known; known are convolutions, "
                "maximum and average pooling, padding, activations, normalizations, dropout, Flatten, Linear"
            )
        flat = flat or isinstance(layer, nn.Flatten)
        yield name, layer, field


def chain(network: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Give the layers of a module in the order of the data, those of nested ``nn.Sequential`` in their place."""
    if not isinstance(network, nn.Sequential):
        yield prefix, network
        return
    for name, layer in network.named_children():
        yield from chain(layer, f"{prefix}.{name}" if prefix else name)


def kind_of(layer: nn.Module) -> str:
    """Name the kind of a layer that changes the field; empty for others."""
    if isinstance(layer, conv._ConvNd) and not isinstance(layer, conv._ConvTransposeNd):
        return "convolution"
    if isinstance(layer, POOLINGS + ADAPTIVE):
        return "pooling"
    if isinstance(layer, PADDINGS):
        return "padding"
    return "fully connected" if isinstance(layer, nn.Linear) else ""


def is_local(layer: nn.Module) -> bool:
    """Say whether each output position depends on the input of that position alone, statistics aside."""
    if isinstance(layer, nn.MultiheadAttention):
        return False
    elementwise = type(layer).__module__ == activation.__name__
    return elementwise or isinstance(layer, (nn.Identity, dropout._DropoutNd, *NORMALIZATIONS))


def window_of(layer: nn.Module, below: Ints) -> Window | None:
    """Give the window of a layer on a map of that shape; none if it has no window."""
    n, kind = len(below), kind_of(layer)
    if not kind:
        return None
    plain = Window((1,) * n, (1,) * n, (1,) * n, (0,) * n, (0,) * n)
    if kind == "padding":
        rows = tuple(int(p) for p in layer.padding)  # type: ignore[union-attr]  # last axis first
        return replace(plain, before=rows[0::2][::-1], after=rows[1::2][::-1])
    if kind == "fully connected":
        return replace(plain, kernel=below)
    if isinstance(layer, ADAPTIVE):
        return _adaptive(layer, below, plain)
    kernel, stride = tuples(layer.kernel_size, n), tuples(layer.stride, n)
    dilation = tuples(getattr(layer, "dilation", 1), n)
    before, after = _padding(layer.padding, replace(plain, kernel=kernel, dilation=dilation).span)
    return Window(kernel, stride, dilation, before, after, bool(getattr(layer, "ceil_mode", False)))


def tuples(value: Any, n_axes: int) -> Ints:
    """Give a layer's attribute as one number for each axis."""
    return (int(value),) * n_axes if isinstance(value, int) else tuple(int(v) for v in value)


def _padding(value: Any, span: Ints) -> tuple[Ints, Ints]:
    if value == "valid":
        value = 0
    if value == "same":
        before = tuple((s - 1) // 2 for s in span)
        return before, tuple(s - 1 - b for s, b in zip(span, before, strict=True))
    rows = tuples(value, len(span))
    return rows, rows


def _adaptive(layer: nn.Module, below: Ints, plain: Window) -> Window:
    wanted = layer.output_size if isinstance(layer.output_size, tuple) else (layer.output_size,) * len(below)
    sizes = tuple(n if w is None else int(w) for n, w in zip(below, wanted, strict=True))
    if any(n % w for n, w in zip(below, sizes, strict=True)):
        raise ValueError(f"adaptive pooling of a map of {below} to {sizes} has windows of unequal size")
    window = tuple(n // w for n, w in zip(below, sizes, strict=True))
    return replace(plain, kernel=window, stride=window)


def _above(field: LayerField, window: Window, name: str, kind: str) -> LayerField:
    """Give the field of the units above those of ``field``."""
    shape = window.output(field.map_shape)
    if min(shape) < 1:
        raise ValueError(f"layer {name!r} spans {window.span} but the map below it is only {field.map_shape}")
    size = tuple(r + (w - 1) * j for r, w, j in zip(field.size, window.span, field.jump, strict=True))
    rows = zip(field.start, window.span, window.before, field.jump, strict=True)
    start = tuple(c + ((w - 1) / 2 - p) * j for c, w, p, j in rows)
    jump = tuple(j * s for j, s in zip(field.jump, window.stride, strict=True))
    return LayerField(name, kind, size, jump, start, shape)
