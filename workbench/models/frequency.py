"""A convolutional layer by Fourier transform, and when that is the faster way (Section 3.5, Reference 47).

Brosch and Tam trained convolutional RBMs in the frequency domain (MICCAI 2013; Neural Computation 2015): what is a
convolution in space is a product there. Non-linearities and sampling stay in space, filters are cut to their support
once an update. The result is that of :class:`SpatialEngine` to rounding, for both boundaries: a valid correlation is
the part of a circular one into which nothing wraps, and maps are zero outside it on the way back.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log2, pi, prod
from typing import Literal

import torch
from scipy.fft import next_fast_len
from torch import Tensor

from workbench.models.correlation import BoundaryName, ConvGeometry, n_multiplications

EngineName = Literal["spatial", "frequency"]

_CHUNK_BYTES = 16 * 2**20
"""Inverse transforms are taken this much at a time: fresh memory for all of them costs more than the transforms."""


class FrequencyEngine:
    """Compute a layer with products of Fourier transforms.

    The spectra of the filters are kept for as long as the filters stay the same, value by value. Filters are short,
    so their transforms are products with (f, n) matrices along each axis, which pass no zeros through a transform,
    give the wanted order of axes at once, and on the way back compute the support alone.

    Attributes:
        name: ``frequency``.
        geometry: sizes of the layer.
        lengths: points of the transform along each axis.
    """

    name = "frequency"

    def __init__(self, geometry: ConvGeometry) -> None:
        self.geometry = geometry
        self.lengths = transform_lengths(geometry)
        self._axes = tuple(range(2, 2 + geometry.n_axes))
        self._kept: tuple[Tensor, Tensor] | None = None
        self._matrices: dict[tuple[torch.dtype, torch.device], list[Tensor]] = {}

    def prepare(self, v: Tensor) -> Tensor:
        """Give the conjugate spectra (B, C s^d, frequencies) of images (B, C, *shape); can be kept and indexed."""
        spectrum = torch.fft.rfftn(self.geometry.fold(v), s=self.lengths, dim=self._axes)
        return spectrum.flatten(2).conj().resolve_conj()

    def up(self, prepared: Tensor, weight: Tensor) -> Tensor:
        """Give the response of every filter everywhere; see :meth:`SpatialEngine.up`."""
        spectra = self._spectra(weight)
        if self.geometry.folded.n_channels == 1:
            return self._inverse(prepared.conj() * spectra.conj().resolve_conj(), self.geometry.map_shape)
        products = torch.bmm(prepared.permute(2, 0, 1).contiguous(), spectra)  # (frequencies, B, K)
        return self._inverse(products.permute(1, 2, 0).conj(), self.geometry.map_shape)

    def down(self, h: Tensor, weight: Tensor) -> Tensor:
        """Give images (B, C, *shape) of maps (B, K, *map_shape): the adjoint of :meth:`up`."""
        layer, maps, spectra = self.geometry.folded, self._maps(h), self._spectra(weight)
        if layer.n_channels == 1:
            products = torch.einsum("bkw,kw->bw", maps, spectra)[:, None]
        else:  # (frequencies, B, K) (frequencies, K, C)
            products = torch.bmm(maps.permute(2, 0, 1).contiguous(), spectra.transpose(1, 2)).permute(1, 2, 0)
        return self.geometry.unfold_image(self._inverse(products, layer.shape))

    def correlate(self, prepared: Tensor, h: Tensor) -> Tensor:
        """Give sum_{b,x} h_k(x) v_c(s x + u), (K, C, *kernel); see :meth:`SpatialEngine.correlate`."""
        maps = self._maps(h)
        if self.geometry.folded.n_channels == 1:
            total = maps[0] * prepared[0]  # (K, frequencies)
            for map_, image in zip(maps[1:], prepared[1:], strict=True):
                total = torch.addcmul(total, map_, image)
            products = total.T[:, :, None]
        else:  # (frequencies, K, B) (frequencies, B, C)
            products = torch.bmm(maps.permute(2, 1, 0).contiguous(), prepared.permute(2, 0, 1).contiguous())
        return self.geometry.unfold_filters(self._support(products))

    def _maps(self, h: Tensor) -> Tensor:
        """Give the spectra (B, K, frequencies) of maps, zero outside."""
        return torch.fft.rfftn(h, s=self.lengths, dim=self._axes).flatten(2)

    def _spectra(self, weight: Tensor) -> Tensor:
        """Give the spectra of filters: (frequencies, C, K), of one channel (K, frequencies)."""
        if weight.requires_grad and torch.is_grad_enabled():
            return self._transform(weight)
        kept, weight = self._kept, weight.detach()
        same_kind = kept is not None and (kept[0].dtype, kept[0].device) == (weight.dtype, weight.device)
        if kept is None or not same_kind or not torch.equal(kept[0], weight):
            kept = self._kept = (weight.clone(), self._transform(weight))
        return kept[1]

    def _transform(self, weight: Tensor) -> Tensor:
        layer, matrices = self.geometry.folded, self._fourier_matrices(weight)
        x = self.geometry.fold(weight).permute(*self._axes, 1, 0).to(matrices[0].dtype)  # (*kernel, C, K)
        for axis in reversed(range(layer.n_axes)):
            x = matrices[axis] @ x.reshape(*layer.kernel[: axis + 1], -1)  # f → n along the axis
        x = x.reshape(-1, layer.n_channels, layer.n_maps)
        return x[:, 0].T.contiguous() if layer.n_channels == 1 else x

    def _support(self, products: Tensor) -> Tensor:
        """Give (K, C s^d, *folded.kernel) of conjugate spectra (frequencies, K, C s^d) where filters live."""
        layer, matrices = self.geometry.folded, self._fourier_matrices(products)
        x = products
        for axis in range(layer.n_axes):
            back = matrices[axis].T  # (f, n): of conjugate spectra the transform is the inverse
            if axis == layer.n_axes - 1:
                back = back * self._multiplicity(back)
            x = back @ x.reshape(*layer.kernel[:axis], back.shape[1], -1)
        return x.real.reshape(*layer.kernel, *products.shape[1:]).movedim((-2, -1), (0, 1)) / prod(self.lengths)

    def _multiplicity(self, like: Tensor) -> Tensor:
        """Give how often each kept frequency of the last axis stands in a whole spectrum: twice but at the ends."""
        n = self.lengths[-1]
        times = torch.full((n // 2 + 1,), 2.0, device=like.device)
        times[0] = 1
        if n % 2 == 0:
            times[-1] = 1
        return times.to(like.dtype)

    def _fourier_matrices(self, like: Tensor) -> list[Tensor]:
        """Give exp(-2 pi i u w / n) of each axis, (n, f); the last axis has the n // 2 + 1 frequencies of real data."""
        kind = torch.complex128 if like.dtype in (torch.float64, torch.complex128) else torch.complex64
        if (kind, like.device) not in self._matrices:
            matrices = []
            for axis, (n, f) in enumerate(zip(self.lengths, self.geometry.folded.kernel, strict=True)):
                w = torch.arange(n // 2 + 1 if axis == self.geometry.n_axes - 1 else n, dtype=torch.float64)
                turns = (w[:, None] * torch.arange(f, dtype=torch.float64)) % n / n
                matrices.append(torch.polar(torch.ones_like(turns), -2 * pi * turns).to(like.device, kind))
            self._matrices[kind, like.device] = matrices
        return self._matrices[kind, like.device]

    def _inverse(self, spectra: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Give the first ``shape`` voxels (B, n, *shape) of the images with spectra (B, n, frequencies)."""
        window = (slice(None), *(slice(n) for n in shape))
        half = (*self.lengths[:-1], self.lengths[-1] // 2 + 1)
        flat, axes = spectra.resolve_conj().reshape(-1, *half), self._axes
        if spectra.requires_grad:
            images = torch.fft.irfftn(flat, s=self.lengths, dim=tuple(a - 1 for a in axes))[window]
            return images.reshape(*spectra.shape[:2], *shape)
        real = torch.float64 if spectra.dtype == torch.complex128 else torch.float32
        result = torch.empty(len(flat), *shape, dtype=real, device=flat.device)
        n_chunk = max(1, _CHUNK_BYTES // (prod(half) * flat.element_size()))
        whole = torch.empty(min(n_chunk, len(flat)), *self.lengths, dtype=real, device=flat.device)
        for start in range(0, len(flat), n_chunk):
            some = flat[start : start + n_chunk]
            images = whole[: len(some)]
            torch.fft.irfftn(some, s=self.lengths, dim=tuple(a - 1 for a in axes), out=images)
            result[start : start + n_chunk] = images[window]
        return result.reshape(*spectra.shape[:2], *shape)


def transform_lengths(geometry: ConvGeometry) -> tuple[int, ...]:
    """Give the points of the transform along each axis: those of a circular image, at least those of a valid one."""
    layer = geometry.folded
    if layer.boundary == "circular":
        return layer.shape
    return tuple(int(next_fast_len(n, real=True)) for n in layer.shape)


def faster_engine(
    kernel: int | Sequence[int],
    shape: Sequence[int],
    channels: int,
    maps: int,
    *,
    stride: int = 1,
    boundary: BoundaryName = "valid",
    n_images: int = 8,
) -> EngineName:
    """Say which engine takes the shorter training step on a CPU.

    Both times are predicted from the work there is, at the prices ``SPATIAL_SECONDS`` and ``FREQUENCY_SECONDS``.

    Args:
        kernel: voxels of a filter along each axis.
        shape: voxels of the image along each axis, without channels.
        channels: C.
        maps: K.
        stride: voxels between neighbors of a map.
        boundary: as in :class:`ConvGeometry`.
        n_images: in a batch; with more, the filters' own transforms weigh less.
    """
    sizes = (kernel,) * len(shape) if isinstance(kernel, int) else tuple(kernel)
    layer = ConvGeometry(channels, tuple(shape), maps, sizes, stride, boundary)
    space, frequency = (
        sum(price * amount for price, amount in zip(prices, work(layer, n_images), strict=True))
        for prices, work in ((SPATIAL_SECONDS, spatial_work), (FREQUENCY_SECONDS, frequency_work))
    )
    return "spatial" if space <= frequency else "frequency"


SPATIAL_SECONDS = (4.5e-11, 3.4e-11, 1.2e-10, 1.5e-10, 1.0e-8, 6e-4)
FREQUENCY_SECONDS = (1.04e-9, 1.23e-9, 9.0e-10, 8.3e-11, 1.7e-3)
"""Seconds for each item of :func:`spatial_work` and :func:`frequency_work`.

Least squares of the relative error over training steps of 119 layers in 2-D and 3-D: sides of 12 to 256 voxels,
filters of 3 to 25, 1 to 32 channels, batches of 1 to 16; two threads of a Xeon with AVX-512, torch 2.13, float32
(``benchmarks/conv_rbm.py --fit``). What matters is their ratio, which another machine changes less than the seconds."""

FEW_CHANNELS, WIDEST_FAST_FILTER = 2, 14
"""Where torch's convolutions change speed: with so few channels, and beyond so many voxels of a filter."""


def spatial_work(layer: ConvGeometry, n_images: int) -> tuple[float, ...]:
    """Count what a training step does in space.

    Returns:
        multiplications of one pass with few channels, with more, the same two with wide filters; elements; 1.
    """
    layer = layer.folded
    passes = n_images * n_multiplications(layer)
    kind = 2 * (max(layer.kernel) > WIDEST_FAST_FILTER) + (layer.n_channels > FEW_CHANNELS)
    return (*(float(passes * (kind == k)) for k in range(4)), _n_elements(layer, n_images), 1.0)


def frequency_work(layer: ConvGeometry, n_images: int) -> tuple[float, ...]:
    """Count what a training step does in the frequency domain.

    Returns:
        n log2 n of the transforms with one channel, with more; products of spectra; products for the filters'
        transforms; 1.
    """
    lengths, layer = transform_lengths(layer), layer.folded
    points, half = prod(lengths), prod(lengths[:-1]) * (lengths[-1] // 2 + 1)
    transforms = n_images * (layer.n_maps + layer.n_channels) * points * log2(points)
    one = layer.n_channels == 1
    pairs = float(layer.n_maps * layer.n_channels * half)
    return (transforms * one, transforms * (not one), n_images * pairs, layer.kernel[0] * pairs, 1.0)


def _n_elements(layer: ConvGeometry, n_images: int) -> float:
    return float(n_images * (layer.n_maps * prod(layer.map_shape) + layer.n_channels * prod(layer.shape)))
