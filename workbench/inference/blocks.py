"""An encoder's stages as matrix products on gathered rows, or as a product of Fourier transforms.

Maps lie with their channels last, (X, Y, Z, C), so the window below one output value is read in long runs and max
pooling compares neighboring rows. The value at index x of any map belongs to the patch that *begins* at x. Max
pooling therefore needs no offset of its own: instead of keeping every p-th value it keeps all of them, and what
follows reads the map p times as sparsely ("à trous": Giusti et al., ICIP 2013, arXiv 1302.1700).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import log2, prod

import numpy as np
import torch
from numpy.lib.stride_tricks import as_strided
from scipy.fft import next_fast_len
from torch import Tensor

from workbench.inference.boxes import Triple, box_moments, triple
from workbench.models.layers import PATCH_EPSILON, ConvStage, activation, normalize_patches

ROW_BYTES = 32 * 2**20
"""How much gathered input is in the air at once; more leaves the cache, less starves the matrix product."""

FILTERS_AT_ONCE = 4

# Costs in multiply-adds of a large float32 matrix product (measured on two threads: 6 ps each).
GATHERED_ELEMENT = 100.0
FOURIER_POINT = 30.0


@dataclass(frozen=True, eq=False)
class Layer:
    """Rows (n, V) → activation(rows W + b) (n, M).

    Attributes:
        weight: (V, M); V runs over the window (x, y, z), then the channels.
        bias: (M,).
        activation: the elementwise function.
    """

    weight: Tensor
    bias: Tensor
    activation: Callable[[Tensor], Tensor]

    def __call__(self, rows: Tensor) -> Tensor:
        """Give (n, M) of rows (n, V)."""
        return self.activation(torch.addmm(self.bias, rows, self.weight))


@dataclass(frozen=True, eq=False)
class Block:
    """One convolution, the layers of one voxel above it, and max pooling.

    Attributes:
        kernel: voxels of the window along X, Y, Z.
        step: voxels between neighbors of the window: the product of the poolings below.
        n_channels: C of the map below.
        layers: the convolution as a matrix, then the layers of one voxel. None at all when the block only lays out the
            last map as one vector, channel by channel.
        pool: window of the max pooling.
        normalization: of the window, before the first layer.
    """

    kernel: Triple
    step: Triple
    n_channels: int
    layers: tuple[Layer, ...]
    pool: Triple = (1, 1, 1)
    normalization: str = "none"

    @property
    def n_inputs(self) -> int:
        """V: elements of one window."""
        return prod(self.kernel) * self.n_channels

    @property
    def n_outputs(self) -> int:
        """Values that the block gives at each position."""
        return self.layers[-1].weight.shape[1] if self.layers else self.n_inputs

    @property
    def gather_cost(self) -> float:
        """Multiply-adds, or their worth in time, for one position."""
        return GATHERED_ELEMENT * self.n_inputs + sum(layer.weight.numel() for layer in self.layers)

    def fourier_cost(self, shape: Triple) -> float:
        """Multiply-adds, or their worth in time, of the first layer on a tile by Fourier transform."""
        n_points = prod(_transform_shape(shape, self.kernel))
        n_transforms = self.layers[0].weight.shape[1] + self.n_channels
        double = 1 if self.normalization == "none" else 2
        return FOURIER_POINT * n_points * log2(n_points) * n_transforms * double


def plan(stages: Sequence[ConvStage], patch_size: Triple) -> list[Block]:
    """Turn stages into blocks, or say why they do not fit on the patch."""
    blocks: list[Block] = []
    size, step = patch_size, (1, 1, 1)
    for number, stage in enumerate(stages, start=1):
        n_axes = stage.weight.ndim - 2
        if n_axes not in (2, 3):
            raise ValueError(f"stage {number} must have 2 or 3 spatial axes; its weight is {tuple(stage.weight.shape)}")
        kernel = triple(stage.weight.shape[2:])
        if stage.normalization != "none" and (number > 1 or kernel != patch_size):
            raise ValueError(f"stage {number} normalizes patches of {patch_size} but its kernel sees {kernel} of them")
        pool = triple([stage.pool] * n_axes)
        sizes = [(s - k + 1) // p for s, k, p in zip(size, kernel, pool, strict=True)]
        if min(sizes) < 1:
            raise ValueError(f"stage {number} (kernel {kernel}, pool {pool}) does not fit on patches of {patch_size}")
        size = triple(sizes)
        weight = stage.weight.detach().float().cpu().reshape(*stage.weight.shape[:2], *kernel)  # (out, in, x, y, z)
        matrix = weight.permute(2, 3, 4, 1, 0).reshape(-1, weight.shape[0]).contiguous()  # (V, out)
        layer = Layer(matrix, stage.bias.detach().float().cpu(), activation(stage.activation))
        if blocks and kernel == (1, 1, 1) and blocks[-1].pool == (1, 1, 1):
            blocks[-1] = replace(blocks[-1], layers=(*blocks[-1].layers, layer), pool=pool)
        else:
            blocks.append(Block(kernel, step, weight.shape[1], (layer,), pool, stage.normalization))
        step = triple([a * b for a, b in zip(step, pool, strict=True)])
    if size != (1, 1, 1):
        blocks.append(Block(size, step, blocks[-1].n_outputs, ()))
    return blocks


def rows_by_gathering(block: Block, window: Tensor, places: np.ndarray) -> Iterator[tuple[slice, Tensor]]:
    """Compute a block at some positions of its input map, a few thousand at a time.

    Args:
        block: what to compute.
        window: (X, Y, Z, C) contiguous float32, the map below.
        places: (n, 3) positions of the windows' first voxels.

    Yields:
        which places, and their outputs (m, M) before pooling.
    """
    view = _windows(window.numpy(), block)
    n_rows = max(64, ROW_BYTES // (4 * block.n_inputs))
    for start in range(0, len(places), n_rows):
        some = slice(start, min(start + n_rows, len(places)))
        x, y, z = places[some].T
        rows = torch.from_numpy(view[x, y, z].reshape(len(x), -1))  # (m, V)
        if not block.layers:
            rows = rows.view(len(rows), -1, block.n_channels).transpose(1, 2).flatten(1)  # channel by channel
        rows = normalize_patches(rows, block.normalization)
        for layer in block.layers:
            rows = layer(rows)
        yield some, rows


class FourierBlock:
    """The first block of an encoder by Fourier transform, for tiles in which most voxels are wanted.

    With normalization, the window's mean and variance come from box sums and everything is double precision: the
    mean is subtracted after the product, which costs digits that single precision does not have.

    Args:
        block: a first block: its window is solid (step 1).
        shape: the largest tile, in voxels.
    """

    def __init__(self, block: Block, shape: Triple) -> None:
        self.block = block
        self.shape = _transform_shape(shape, block.kernel)
        self.dtype = torch.float32 if block.normalization == "none" else torch.float64
        weight = block.layers[0].weight.to(self.dtype)
        filters = weight.T.reshape(-1, *block.kernel, block.n_channels).movedim(-1, 1)  # (M, C, *kernel)
        self.spectrum = torch.fft.rfftn(filters, s=self.shape, dim=(2, 3, 4)).conj().resolve_conj()
        self.total = weight.sum(0)  # (M,)

    @staticmethod
    def n_bytes(block: Block, shape: Triple) -> int:
        """Bytes of the filters' spectrum."""
        x, y, z = _transform_shape(shape, block.kernel)
        n_filters = block.layers[0].weight.shape[1] * block.n_channels
        return n_filters * x * y * (z // 2 + 1) * (8 if block.normalization == "none" else 16)

    def rows(self, window: Tensor, places: np.ndarray) -> Iterator[tuple[slice, Tensor]]:
        """Do what :func:`rows_by_gathering` does."""
        responses, (first, *others) = self._responses(window, places), self.block.layers
        n_rows = max(64, ROW_BYTES // (4 * len(responses)))
        for start in range(0, len(places), n_rows):
            some = slice(start, min(start + n_rows, len(places)))
            rows = first.activation(responses[:, some].T.contiguous() + first.bias)
            for layer in others:
                rows = layer(rows)
            yield some, rows

    def _responses(self, window: Tensor, places: np.ndarray) -> Tensor:
        """Give W x of the (normalized) windows at the places: (M, n)."""
        channels = window.movedim(-1, 0).to(self.dtype)  # (C, X, Y, Z)
        normalized = self.block.normalization != "none"
        typical = channels.mean() if normalized else torch.zeros((), dtype=self.dtype)
        image = torch.fft.rfftn(channels - typical, s=self.shape, dim=(1, 2, 3))
        x, y, z = torch.from_numpy(places).T
        flat = (x * self.shape[1] + y) * self.shape[2] + z
        responses = torch.empty(len(self.spectrum), len(places))
        mean, scale = self._moments(channels.numpy(), places) if normalized else (None, None)
        for start in range(0, len(self.spectrum), FILTERS_AT_ONCE):
            some = slice(start, start + FILTERS_AT_ONCE)
            product = self.spectrum[some, 0] * image[0]  # (4, *shape)
            for channel in range(1, len(image)):
                product.addcmul_(self.spectrum[some, channel], image[channel])
            answer = torch.fft.irfftn(product, s=self.shape, dim=(1, 2, 3)).flatten(1).index_select(1, flat)
            if mean is not None and scale is not None:
                answer = (answer - self.total[some, None] * (mean - typical)) * scale
            responses[some] = answer.float()
        return responses

    def _moments(self, channels: np.ndarray, places: np.ndarray) -> tuple[Tensor, Tensor]:
        """Give each window's mean and what its centered values are multiplied by, (n,) each."""
        x, y, z = places.T
        mean, variance = (torch.from_numpy(moment[x, y, z]) for moment in box_moments(channels, self.block.kernel))
        scale = (variance + PATCH_EPSILON).rsqrt() if self.block.normalization == "standardize" else None
        return mean, torch.ones_like(mean) if scale is None else scale


def pooled(window: Tensor, block: Block) -> Tensor:
    """Give the maximum over the pooling window that begins at each position of (X, Y, Z, C)."""
    for axis, (length, step) in enumerate(zip(block.pool, block.step, strict=True)):
        if length > 1:
            n = window.shape[axis] - (length - 1) * step
            best = window.narrow(axis, 0, n)
            for offset in range(1, length):
                best = torch.maximum(best, window.narrow(axis, offset * step, n))
            window = best
    return window.contiguous()


def _windows(array: np.ndarray, block: Block) -> np.ndarray:
    """View (X, Y, Z, C) as the window that begins at each position; nothing is copied."""
    (kx, ky, kz), (tx, ty, tz) = block.kernel, block.step
    _, y_length, z_length, n_channels = array.shape
    assert array.flags.c_contiguous
    sc = array.itemsize  # from the shape: NumPy leaves the stride of an axis of length 1 undefined
    sx, sy, sz = y_length * z_length * n_channels * sc, z_length * n_channels * sc, n_channels * sc
    n = [a - (k - 1) * t for a, k, t in zip(array.shape[:3], block.kernel, block.step, strict=True)]
    if tz == 1:  # z and channels are one run of memory
        run = (*n, kx, ky, kz * n_channels)
        return as_strided(array, run, (sx, sy, sz, tx * sx, ty * sy, sc), writeable=False)
    runs = (*n, kx, ky, kz, n_channels)
    return as_strided(array, runs, (sx, sy, sz, tx * sx, ty * sy, tz * sz, sc), writeable=False)


def _transform_shape(shape: Triple, kernel: Triple) -> Triple:
    return triple([next_fast_len(n + k - 1, real=True) for n, k in zip(shape, kernel, strict=True)])
