"""The three linear maps of a convolutional layer in space: filters over images, back again, and the filters' gradient.

Every stride is turned into channels first: a stride of s over C channels is a stride of 1 over C s^d channels that
hold the s^d phases of the image, with filters of ceil(f / s) voxels (Brosch and Tam, Neural Computation 2015). What
computes a layer, in space or by Fourier transform, then only knows stride 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import prod
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn import grad

BoundaryName = Literal["valid", "circular"]

_BLOCKS = {(2, 1): (4, 4), (2, 2): (2, 4), (3, 1): (2, 2, 4), (3, 2): (2, 2, 2)}
"""(spatial axes, channels) → voxels that :meth:`SpatialEngine.down` computes at once; elsewhere one is faster."""


@dataclass(frozen=True)
class ConvGeometry:
    """The sizes of a convolutional layer.

    Attributes:
        n_channels: C of the image.
        shape: voxels of the image along each axis, two or three.
        n_maps: K hidden maps.
        kernel: voxels of a filter along each axis.
        stride: voxels between neighbors of a map.
        boundary: ``valid`` keeps filters inside the image, maps of (n - f) / s + 1; ``circular`` goes on at the
            opposite side, maps of n / s.

    Raises:
        ValueError: the sizes do not fit; the map must divide exactly, so that no voxel is left without a filter.
    """

    n_channels: int
    shape: tuple[int, ...]
    n_maps: int
    kernel: tuple[int, ...]
    stride: int = 1
    boundary: BoundaryName = "valid"

    def __post_init__(self) -> None:
        if self.boundary not in ("valid", "circular"):
            raise LookupError(f"no boundary is called {self.boundary!r}; known are valid, circular")
        if len(self.shape) not in (2, 3) or len(self.kernel) != len(self.shape):
            raise ValueError(f"expected two or three axes for image and filters; got {self.shape} and {self.kernel}")
        if min(self.n_channels, self.n_maps, self.stride, *self.kernel) < 1:
            raise ValueError(f"channels, maps, stride and filter sizes must be at least 1; got {self}")
        for n, f in zip(self.shape, self.kernel, strict=True):
            over = n % self.stride if self.boundary == "circular" else (n - f) % self.stride
            if f > n or over:
                raise ValueError(
                    f"filters of {self.kernel} with stride {self.stride} and {self.boundary} boundary do not fit an "
                    f"image of {self.shape}: along each axis the stride must divide the image (circular) or image "
                    "minus filter (valid), and the filter may not be longer than the image"
                )

    @property
    def n_axes(self) -> int:
        """Spatial axes, 2 or 3."""
        return len(self.shape)

    @cached_property
    def map_shape(self) -> tuple[int, ...]:
        """Voxels of a hidden map along each axis."""
        if self.boundary == "circular":
            return tuple(n // self.stride for n in self.shape)
        return tuple((n - f) // self.stride + 1 for n, f in zip(self.shape, self.kernel, strict=True))

    @cached_property
    def folded(self) -> ConvGeometry:
        """The same layer at stride 1: phases as channels."""
        s = self.stride
        if s == 1:
            return self
        shape, kernel = (tuple(-(-n // s) for n in sizes) for sizes in (self.shape, self.kernel))
        return ConvGeometry(self.n_channels * s**self.n_axes, shape, self.n_maps, kernel, 1, self.boundary)

    def fold(self, x: Tensor) -> Tensor:
        """Give (B, C s^d, ...) of images or filters (B, C, ...), zero where the stride does not divide them."""
        return space_to_depth(x, self.stride)

    def unfold_image(self, x: Tensor) -> Tensor:
        """Give images (B, C, *shape) of (B, C s^d, *folded.shape)."""
        return _crop(depth_to_space(x, (self.stride,) * self.n_axes), self.shape)

    def unfold_filters(self, x: Tensor) -> Tensor:
        """Give filters (K, C, *kernel) of (K, C s^d, *folded.kernel)."""
        return _crop(depth_to_space(x, (self.stride,) * self.n_axes), self.kernel)


def space_to_depth(x: Tensor, stride: int) -> Tensor:
    """Give the phases of images (B, C, *spatial) as channels, (B, C s^d, *ceil(spatial / s)), zeros at the end."""
    if stride == 1:
        return x
    n_axes = x.ndim - 2
    x = F.pad(x, [p for n in reversed(x.shape[2:]) for p in (0, -n % stride)])
    split = x.reshape(*x.shape[:2], *[k for n in x.shape[2:] for k in (n // stride, stride)])  # (B, C, n, s, n, s, …)
    coarse, phase = range(2, 2 + 2 * n_axes, 2), range(3, 3 + 2 * n_axes, 2)
    return split.permute(0, 1, *phase, *coarse).flatten(1, 1 + n_axes)


def depth_to_space(x: Tensor, block: Sequence[int]) -> Tensor:
    """Give images (B, C, *spatial * block) of their phases as channels (B, C prod(block), *spatial)."""
    if set(block) == {1}:
        return x
    n_axes = len(block)
    split = x.reshape(len(x), -1, *block, *x.shape[2:])  # (B, C, *block, *spatial)
    order = [a for axis in range(n_axes) for a in (2 + n_axes + axis, 2 + axis)]
    return split.permute(0, 1, *order).reshape(
        len(x), split.shape[1], *[n * b for n, b in zip(x.shape[2:], block, strict=True)]
    )


class SpatialEngine:
    """Compute a layer with torch's convolutions.

    Attributes:
        name: ``spatial``.
        geometry: sizes of the layer.
    """

    name = "spatial"

    def __init__(self, geometry: ConvGeometry) -> None:
        self.geometry = geometry

    def prepare(self, v: Tensor) -> Tensor:
        """Give images (B, C, *shape) as :meth:`up` and :meth:`correlate` take them; can be kept and indexed."""
        v, layer = self.geometry.fold(v), self.geometry.folded
        return _wrap(v, [(0, f - 1) for f in layer.kernel]) if layer.boundary == "circular" else v

    def up(self, prepared: Tensor, weight: Tensor) -> Tensor:
        """Give the response of every filter everywhere, sum_{c,u} W_kc(u) v_c(s x + u).

        Args:
            prepared: from :meth:`prepare`, B images.
            weight: (K, C, *kernel).

        Returns:
            (B, K, *map_shape).
        """
        conv = F.conv2d if self.geometry.n_axes == 2 else F.conv3d
        return conv(prepared, self.geometry.fold(weight))

    def down(self, h: Tensor, weight: Tensor) -> Tensor:
        """Give images (B, C, *shape) of maps (B, K, *map_shape): the adjoint of :meth:`up`."""
        layer, folded = self.geometry.folded, self.geometry.fold(weight)
        block = _BLOCKS.get((layer.n_axes, layer.n_channels), (1,) * layer.n_axes)
        if layer.boundary == "circular":
            h = _wrap(h, [(f - 1, 0) for f in layer.kernel])
        if set(block) == {1} or min(layer.shape) < max(block):
            lost = [f - 1 if layer.boundary == "circular" else 0 for f in layer.kernel]
            conv = F.conv_transpose2d if layer.n_axes == 2 else F.conv_transpose3d
            return self.geometry.unfold_image(conv(h, folded, padding=lost))
        return self.geometry.unfold_image(self._down_in_blocks(h, folded, block))

    def _down_in_blocks(self, h: Tensor, weight: Tensor, block: tuple[int, ...]) -> Tensor:
        """Compute a block of neighboring voxels as so many output channels of one strided convolution.

        With one or two channels an ordinary convolution leaves most lanes of the processor idle: three to five times
        slower than this in spite of the zeros that it multiplies.
        """
        layer, valid = self.geometry.folded, self.geometry.boundary == "valid"
        flipped = weight.flip(list(range(2, weight.ndim))).transpose(0, 1)  # (C, K, *kernel)
        shifted = []
        for offset in product(*map(range, block)):  # the filter at each place of the block, zeros about it
            pad = [p for o, b in reversed(list(zip(offset, block, strict=True))) for p in (o, b - 1 - o)]
            shifted.append(F.pad(flipped, pad))
        filters = torch.stack(shifted, 1).flatten(0, 1)  # (C * block, K, *kernel + block - 1)
        margins = [(f - 1 if valid else 0, -n % b) for n, f, b in zip(layer.shape, layer.kernel, block, strict=True)]
        pad = [p for low, high in reversed(margins) for p in (low, low + high)]
        conv = F.conv2d if layer.n_axes == 2 else F.conv3d
        return _crop(depth_to_space(conv(F.pad(h, pad), filters, stride=block), block), layer.shape)

    def correlate(self, prepared: Tensor, h: Tensor) -> Tensor:
        """Give sum_{b,x} h_k(x) v_c(s x + u), the gradient of sum(h * up(v)) by the filters: (K, C, *kernel)."""
        layer = self.geometry.folded
        shape = (layer.n_maps, layer.n_channels, *layer.kernel)
        gradient = grad.conv2d_weight if layer.n_axes == 2 else grad.conv3d_weight
        return self.geometry.unfold_filters(gradient(prepared, shape, h))


def n_multiplications(layer: ConvGeometry) -> int:
    """Give the multiplications of one :meth:`SpatialEngine.up` of one image."""
    return layer.n_maps * layer.n_channels * prod(layer.map_shape) * prod(layer.kernel)


def _wrap(x: Tensor, margins: Sequence[tuple[int, int]]) -> Tensor:
    """Continue (B, C, *spatial) at the opposite side, by (before, after) voxels along each axis."""
    return F.pad(x, [p for pair in reversed(margins) for p in pair], mode="circular")


def _crop(x: Tensor, shape: Sequence[int]) -> Tensor:
    for axis, n in enumerate(shape, start=2):
        x = x.narrow(axis, 0, n) if x.shape[axis] != n else x
    return x
