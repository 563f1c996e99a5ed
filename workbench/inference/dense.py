"""Encode every voxel of a mask, tile by tile, equal to encoding patch by patch.

The code of a voxel is that of the patch about it, zero outside the image, as ``stack.encode(gather(...))`` gives. A
tile is a box of voxels whose maps fit in memory together; within it every map value that two patches share is
computed once (Sermanet et al., OverFeat, ICLR 2014). Each tile takes the cheaper way through the first layer: where
few voxels are wanted, gathered windows and one matrix product; where most are, a Fourier transform.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np
import torch
from torch import Tensor

from workbench.errors import WorkbenchError
from workbench.inference.blocks import Block, FourierBlock, plan, pooled, rows_by_gathering
from workbench.inference.boxes import Triple, grow, pad_about, triple
from workbench.models.layers import ConvStage
from workbench.progress import Progress, silent

TILE_SIZES = (8, 12, 16, 24, 32, 40, 48, 64, 96, 128)
TILE_OVERHEAD = 5e7
"""Worth of starting a tile, in the multiply-adds of ``blocks.py``."""
PAGES_BYTES = 64 * 2**20
"""How much of a memory-mapped result may stay in memory before its pages are given back."""


def encode_voxels(
    stages: Sequence[ConvStage],
    image: np.ndarray,
    patch_size: Sequence[int],
    voxels: np.ndarray,
    *,
    out: np.ndarray | None = None,
    memory_mb: float = 1024,
    progress: Progress = silent,
) -> np.ndarray:
    """Give the code of each voxel's patch.

    Runs on the CPU, on as many threads as torch is allowed.

    Args:
        stages: the encoder, from ``stack.as_convolutions()``. Stages with two spatial axes see axial planes.
        image: (C, X, Y, Z).
        patch_size: the patch shape the encoder was made for, without channels, in voxels: 3 sizes or 2.
        voxels: (N, 3) voxel indices in any order, or an (X, Y, Z) bool mask, whose voxels are taken in C order.
        out: where to write, (N, M) of any float type, for example a float16 memory map, whose pages are given back as
            the work goes on. Without it the result is float32 in memory.
        memory_mb: about how much working memory to use beside image and result.
        progress: told after each tile.

    Returns:
        (N, M), ``out`` if it was given. M is the code size; a last map of several voxels is laid out as (M, *map).

    Raises:
        ValueError: the stages, the image, the voxels or ``out`` do not fit together.
        WorkbenchError: a code is too large for the type of ``out``.
    """
    size = triple(patch_size)
    blocks = plan(stages, size)
    if image.ndim != 4 or len(image) != blocks[0].n_channels:
        raise ValueError(f"expected an image ({blocks[0].n_channels}, X, Y, Z); got an array {image.shape}")
    places = as_voxels(voxels, triple(image.shape[1:]))
    shape = (len(places), blocks[-1].n_outputs)
    if out is None:
        out = np.empty(shape, np.float32)
    elif out.shape != shape:
        raise ValueError(f"expected an output array {shape}; got {out.shape}")
    if len(places) == 0:
        return out
    tiles = choose_tiles(blocks, places, memory_mb * 2**20)
    encoder = _TileEncoder(blocks, tiles)
    padded = np.ascontiguousarray(np.moveaxis(pad_about(image.astype(np.float32, copy=False), size), 0, -1))
    n_done = n_fresh = 0
    with torch.no_grad():
        for rows, low in tiles:
            window = padded[tuple(slice(a, a + n) for a, n in zip(low, encoder.window_shape, strict=True))]
            for some, codes in encoder(torch.from_numpy(np.ascontiguousarray(window)), places[rows] - low):
                _store(out, rows[some], codes)
            n_done, n_fresh = n_done + len(rows), n_fresh + len(rows)
            if n_fresh * out.strides[0] > PAGES_BYTES:
                n_fresh = 0
                _give_back_pages(out)
            progress(n_done / len(places), f"encoded {n_done:,} of {len(places):,} voxels")
    return out


def as_voxels(voxels: np.ndarray, shape: Triple) -> np.ndarray:
    """Give (N, 3) int64 indices of a bool mask (X, Y, Z) or of indices, checked against the image's shape."""
    if voxels.dtype == bool:
        if voxels.shape != shape:
            raise ValueError(f"the mask is {voxels.shape} but the image is {shape}")
        return np.argwhere(voxels)
    if voxels.ndim != 2 or voxels.shape[1] != 3 or not np.issubdtype(voxels.dtype, np.integer):
        raise ValueError(f"expected a bool mask or (N, 3) integer indices; got {voxels.dtype} {voxels.shape}")
    places = voxels.astype(np.int64, copy=False)
    if len(places) and (places.min() < 0 or (places >= shape).any()):
        raise ValueError(f"voxels must lie inside the image {shape}; they span {places.min(0)} to {places.max(0)}")
    return places


@dataclass(frozen=True, eq=False)
class Tiles:
    """Boxes that cover the wanted voxels.

    Attributes:
        origin: (3,) the lowest voxel of all.
        shape: voxels of a tile.
        index: (N,) the tile of each voxel; neighbors along Z have neighboring numbers.
        grid: tiles along each axis.
        use_fourier: whether memory allows the first layer by Fourier transform.
    """

    origin: np.ndarray
    shape: Triple
    index: np.ndarray
    grid: Triple
    use_fourier: bool = False

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Give, for each tile that has any, the rows of its voxels (n,) in rising order, and its lowest voxel (3,)."""
        order = np.argsort(self.index, kind="stable")
        numbers, starts = np.unique(self.index[order], return_index=True)
        for number, rows in zip(numbers, np.split(order, starts[1:]), strict=True):
            yield rows, self.origin + np.array(np.unravel_index(number, self.grid)) * self.shape


def choose_tiles(blocks: Sequence[Block], places: np.ndarray, n_bytes: float) -> Tiles:
    """Give the tiles of the least estimated cost among those that fit in memory; the smallest if none does."""
    origin, extent = places.min(0), np.ptp(places, axis=0) + 1
    best: tuple[float, Tiles] | None = None
    for nominal in TILE_SIZES:
        n_tiles = -(-extent // nominal)
        shape = triple(-(-extent // n_tiles))  # equal tiles rather than a thin last one
        need = _memory(blocks, shape)
        if best is not None and need > n_bytes:
            break
        index = np.ravel_multi_index(tuple(((places - origin) // shape).T), tuple(n_tiles))
        use_fourier = need + _fourier_memory(blocks, shape) <= n_bytes
        cost = _cost(blocks, shape, np.bincount(index), use_fourier)
        if best is None or cost < best[0]:
            best = cost, Tiles(origin, shape, index, triple(n_tiles), use_fourier)
    assert best is not None
    return best[1]


class _TileEncoder:
    """The blocks, for tiles of one shape."""

    def __init__(self, blocks: Sequence[Block], tiles: Tiles) -> None:
        self.blocks, self.tiles = blocks, tiles
        self.maps, self.window_shape = _extents(blocks, tiles.shape)

    @cached_property
    def fourier(self) -> FourierBlock:
        return FourierBlock(self.blocks[0], self.maps[0])

    def __call__(self, window: Tensor, places: np.ndarray) -> Iterator[tuple[slice, Tensor]]:
        """Encode a tile.

        Args:
            window: (X, Y, Z, C) of the padded image, beginning at the tile; shorter at the far border.
            places: (n, 3) wanted voxels, counted from the tile's first.

        Yields:
            which places, and their codes (m, M).
        """
        for block, wanted in zip(self.blocks, self._demand(places), strict=True):
            if block is self.blocks[-1] and block.pool == (1, 1, 1):
                yield from self._rows(block, window, places)
                return
            spots = np.argwhere(wanted)
            window_above = torch.zeros((*wanted.shape, block.n_outputs))
            flat, where = window_above.view(-1, block.n_outputs), torch.from_numpy(np.flatnonzero(wanted))
            for some, rows in self._rows(block, window, spots):
                flat[where[some]] = rows
            window = pooled(window_above, block)
        x, y, z = places.T
        yield slice(0, len(places)), window[x, y, z]

    def _demand(self, places: np.ndarray) -> list[np.ndarray]:
        """Say which values of each block's output are needed, before pooling."""
        wanted = np.zeros(places.max(0) + 1, bool)
        wanted[tuple(places.T)] = True
        demand = []
        for block in reversed(self.blocks):
            wanted = grow(wanted, block.pool, block.step)
            demand.append(wanted)
            wanted = grow(wanted, block.kernel, block.step)
        return demand[::-1]

    def _rows(self, block: Block, window: Tensor, places: np.ndarray) -> Iterator[tuple[slice, Tensor]]:
        may = block is self.blocks[0] and self.tiles.use_fourier
        if may and block.fourier_cost(self.maps[0]) < len(places) * block.gather_cost:
            return self.fourier.rows(window, places)
        return rows_by_gathering(block, window, places)


def _extents(blocks: Sequence[Block], shape: Triple) -> tuple[list[Triple], Triple]:
    """Give the shape of each block's output before pooling, and of the image below, for a tile of codes."""
    maps = []
    for block in reversed(blocks):
        shape = triple([n + (p - 1) * t for n, p, t in zip(shape, block.pool, block.step, strict=True)])
        maps.append(shape)
        shape = triple([n + (k - 1) * t for n, k, t in zip(shape, block.kernel, block.step, strict=True)])
    return maps[::-1], shape


def _memory(blocks: Sequence[Block], shape: Triple) -> float:
    """Bytes of the largest two neighboring maps and a copy for pooling."""
    maps, _ = _extents(blocks, shape)
    sizes = [4.0 * prod(m) * b.n_outputs for m, b in zip(maps, blocks, strict=True)]
    sizes[-1] = sizes[-1] if blocks[-1].pool != (1, 1, 1) else 0.0
    below = [0.0, *sizes[:-1]]
    return max(a + 2 * b for a, b in zip(below, sizes, strict=True))


def _fourier_memory(blocks: Sequence[Block], shape: Triple) -> float:
    """Bytes of the filters' spectrum and of the responses."""
    maps, _ = _extents(blocks, shape)
    return FourierBlock.n_bytes(blocks[0], maps[0]) + 4.0 * prod(maps[0]) * blocks[0].layers[0].weight.shape[1]


def _cost(blocks: Sequence[Block], shape: Triple, counts: np.ndarray, use_fourier: bool) -> float:
    """Estimate the multiply-adds, or their worth in time, of all tiles from the voxels wanted in each."""
    maps, _ = _extents(blocks, shape)
    counts = counts[counts > 0].astype(float)
    total = TILE_OVERHEAD * len(counts)
    for block, extent in zip(blocks, maps, strict=True):
        reach = prod(n - t + 1 for n, t in zip(extent, shape, strict=True))
        cost = np.minimum(counts * reach, prod(extent)) * block.gather_cost
        if block is blocks[0] and use_fourier:
            fourier = block.fourier_cost(extent)
            total += fourier * bool((cost > fourier).any())  # once for the filters
            cost = np.minimum(cost, fourier)
        total += float(cost.sum())
    return total


def _store(out: np.ndarray, rows: np.ndarray, codes: Tensor) -> None:
    """Write codes (n, M) to rows of the output, in its type."""
    if out.dtype == np.float16:
        largest = float(codes.abs().max())
        if largest > float(np.finfo(np.float16).max):
            raise WorkbenchError(
                f"Features reach {largest:.3g}, too large for float16; scale the images to 0..1 first."
            )
        codes = codes.half()  # ten times faster than NumPy's conversion
    out[rows] = codes.numpy()


def _give_back_pages(array: np.ndarray) -> None:
    """Let the system write out a memory map's pages and forget them; other arrays are left alone."""
    pages = getattr(array, "_mmap", None)
    if isinstance(pages, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        pages.madvise(mmap.MADV_DONTNEED)
