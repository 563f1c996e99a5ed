"""The convolutional neural network (Section 2.5, Equation 9, Figure 3; LeCun et al., Proc. IEEE 1998).

    x (B, C, *spatial) ─[ k * ─► norm ─► f ─► pool ]─► … ─► maps ─ flatten ─► phi (B, M) ─► … ─ W, b ─► y (B, K)
                         local field, shared     subsampling                 as in an MLP
                         weights

Equation 9, A_j = f(sum_i A_i * k_ij + b_j), convolves; torch cross-correlates. The review's kernel is therefore torch's
turned about in every spatial axis, ``weight.flip(2, 3)`` or ``weight.flip(2, 3, 4)``. For learnt weights this is only a
matter of drawing; for weights from a program that convolves see ``flipped`` in :mod:`workbench.models.transfer`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Any, Literal

import torch
from torch import Tensor, nn

from workbench.errors import SettingsError
from workbench.models.initialization import InitializationName, initialize

ActivationLayer = Literal["relu", "leaky_relu", "sigmoid", "tanh"]
PoolingName = Literal["max", "average"]
PerAxis = int | tuple[int, ...]
Named = tuple[str, nn.Module]

CONVOLUTIONS: dict[int, Any] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
"""The convolution layer of each number of spatial axes."""
BATCH_NORMS: dict[int, Any] = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
"""The batch normalization of each number of spatial axes; vectors have that of one."""
_POOLINGS = {
    ("max", 2): nn.MaxPool2d, ("average", 2): nn.AvgPool2d, ("max", 3): nn.MaxPool3d, ("average", 3): nn.AvgPool3d,
}  # fmt: skip
_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU, "leaky_relu": nn.LeakyReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh,
}  # fmt: skip


@dataclass(frozen=True)
class ConvBlock:
    """One convolution and the pooling above it; each length is one number or one for each spatial axis.

    Attributes:
        n_maps: feature maps that it gives.
        kernel: voxels of the local receptive field.
        pool: window of the subsampling and its stride; 1 is none. What a window does not fill is left out.
        stride: voxels from one unit's field to the next one's.
        padding: rows of zeros about the map below. Other than 0 it forbids dense evaluation (``exactness.py``).
        dilation: voxels between neighbors of the kernel.
    """

    n_maps: int
    kernel: PerAxis
    pool: PerAxis = 1
    stride: PerAxis = 1
    padding: PerAxis = 0
    dilation: PerAxis = 1

    def map_shapes(self, spatial: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Give the shapes of the map before and after pooling, from that of the map below."""
        n = len(spatial)
        lengths = (per_axis(v, n) for v in (self.kernel, self.stride, self.padding, self.dilation))
        rows = zip(spatial, *lengths, strict=True)
        before = tuple((a + 2 * p - d * (k - 1) - 1) // s + 1 for a, k, s, p, d in rows)
        return before, tuple(a // p for a, p in zip(before, per_axis(self.pool, n), strict=True))


class CNN(nn.Sequential):
    """Convolution blocks, then fully connected layers: in 2-D or 3-D.

    A chain of standard layers named ``conv1``, ``norm1``, ``activation1``, ``pool1``, ``conv2``, …, ``flatten``,
    ``full1``, ``full_norm1``, ``full_activation1``, ``dropout1``, …, ``output``; those that are switched off are
    missing. With a single output the numbers are (B,), else (B, K).

    Args:
        shape: (C, *spatial) of the input, two or three spatial axes.
        blocks: from the input upwards.
        n_fully: units of each fully connected hidden layer; none puts the output right on the maps.
        n_outputs: K.
        activation: f of every hidden layer; ``leaky_relu`` has slope 0.01.
        batch_norm: normalize over the batch before each activation; the layer's own bias is then of no effect.
        dropout: share of the fully connected hidden units that is dropped in training.
        pooling: what represents a window.
        initialization: see :mod:`workbench.models.initialization`; the output layer is drawn alike.
        seed: of the weights.

    Raises:
        SettingsError: a block does not fit on the map below it.
    """

    def __init__(
        self,
        shape: Sequence[int],
        blocks: Sequence[ConvBlock],
        n_fully: Sequence[int],
        n_outputs: int,
        *,
        activation: ActivationLayer = "relu",
        batch_norm: bool = False,
        dropout: float = 0.0,
        pooling: PoolingName = "max",
        initialization: InitializationName = "he",
        seed: int = 0,
    ) -> None:
        _check(shape, [block.n_maps for block in blocks], n_fully, n_outputs)
        if activation not in _ACTIVATIONS or (pooling, 2) not in _POOLINGS:
            raise LookupError(
                f"unknown {activation=} or {pooling=}; known are {', '.join(_ACTIVATIONS)}, and max, average"
            )
        maps = map_shapes(shape, blocks)
        f = _ACTIVATIONS[activation]
        layers: list[Named] = []
        for number, (block, below) in enumerate(zip(blocks, maps, strict=False), start=1):
            layers += _convolution(number, block, below, f, batch_norm)
            layers += _pooling(number, block, pooling, len(shape) - 1)
        layers.append(("flatten", nn.Flatten()))
        sizes = [prod(maps[-1]), *n_fully]
        for number, (below_units, units) in enumerate(pairwise(sizes), start=1):
            layers += _fully_connected(number, (below_units, units), f, batch_norm, dropout)
        layers.append(("output", nn.Linear(sizes[-1], n_outputs)))
        super().__init__(OrderedDict(layers))
        self.shape, self.blocks, self.n_outputs = tuple(int(n) for n in shape), tuple(blocks), n_outputs
        self.map_shapes = maps[1:]  # (n_maps, *spatial) after each block
        self._ends = list(_ends([name for name, _ in layers]))
        generator = torch.Generator().manual_seed(seed)
        for name, layer in layers:
            initialize(layer, initialization, generator, activation="linear" if name == "output" else activation)

    @property
    def n_layers(self) -> int:
        """Hidden layers: blocks and fully connected ones."""
        return len(self._ends)

    def feature_maps(self, x: Tensor) -> list[Tensor]:
        """Give the maps (B, n_maps, *spatial) after each block, pooled, for inputs (B, C, *spatial)."""
        maps = []
        for start, end in pairwise([0, *self._ends[: len(self.blocks)]]):
            x = self[start:end](x)
            maps.append(x)
        return maps

    def features(self, x: Tensor, depth: int | None = None) -> Tensor:
        """Give phi(x) (B, M): the activations after ``depth`` hidden layers as vectors, of all by default.

        Args:
            x: (B, C, *spatial).
            depth: blocks and fully connected layers count alike; 0 is the input.
        """
        if depth is not None and not 0 <= depth <= self.n_layers:
            raise LookupError(f"the network has {self.n_layers} hidden layers; there is no depth {depth}")
        n = self.n_layers if depth is None else depth
        return self[: self._ends[n - 1]](x).flatten(1) if n else x.flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        """Give the outputs of (B, C, *spatial): (B, K), or (B,) of a single one."""
        y: Tensor = super().forward(x)
        return y.squeeze(1) if self.n_outputs == 1 else y

    def __getitem__(self, index: int | slice) -> nn.Module:
        """Give a layer, or a plain ``nn.Sequential`` of some of them that shares their weights."""
        if isinstance(index, slice):
            return nn.Sequential(OrderedDict(list(self.named_children())[index]))
        return super().__getitem__(index)


def per_axis(value: PerAxis, n_axes: int) -> tuple[int, ...]:
    """Give a length for each spatial axis, from one for all of them or one for each."""
    lengths = (value,) * n_axes if isinstance(value, int) else tuple(int(n) for n in value)
    if len(lengths) != n_axes:
        raise ValueError(f"expected one length or one for each of {n_axes} axes; got {lengths}")
    return lengths


def map_shapes(shape: Sequence[int], blocks: Sequence[ConvBlock]) -> list[tuple[int, ...]]:
    """Give (C, *spatial) of the input and (n_maps, *spatial) after each block.

    Raises:
        SettingsError: a block does not fit.
    """
    shapes = [tuple(int(n) for n in shape)]
    for number, block in enumerate(blocks, start=1):
        below = shapes[-1][1:]
        _, after = block.map_shapes(below)
        if min(after) < 1:
            raise SettingsError(
                f"Convolution block {number} (kernel {block.kernel}, pooling {block.pool}) does not fit on a map of "
                f"{below} voxels. Use a larger patch, smaller kernels, or less pooling."
            )
        shapes.append((block.n_maps, *after))
    return shapes


def _check(shape: Sequence[int], n_maps: Sequence[int], n_fully: Sequence[int], n_outputs: int) -> None:
    if len(shape) not in (3, 4):
        raise ValueError(f"the input shape is (C, *spatial) with two or three spatial axes; got {tuple(shape)}")
    if n_outputs < 1 or any(n < 1 for n in (*shape, *n_maps, *n_fully)):
        raise ValueError(f"layers have at least one unit; got {tuple(shape)}, {n_maps}, {n_fully}, {n_outputs}")


def _convolution(
    number: int, block: ConvBlock, below: Sequence[int], f: Callable[[], nn.Module], batch_norm: bool
) -> Iterator[Named]:
    n_axes = len(below) - 1
    kernel, stride, padding, dilation = (
        per_axis(value, n_axes) for value in (block.kernel, block.stride, block.padding, block.dilation)
    )
    yield f"conv{number}", CONVOLUTIONS[n_axes](below[0], block.n_maps, kernel, stride, padding, dilation)
    if batch_norm:
        yield f"norm{number}", BATCH_NORMS[n_axes](block.n_maps)
    yield f"activation{number}", f()


def _pooling(number: int, block: ConvBlock, pooling: str, n_axes: int) -> Iterator[Named]:
    window = per_axis(block.pool, n_axes)
    if prod(window) > 1:
        layer: Callable[[Any], nn.Module] = _POOLINGS[pooling, n_axes]
        yield f"pool{number}", layer(window)


def _fully_connected(
    number: int, sizes: tuple[int, int], f: Callable[[], nn.Module], batch_norm: bool, dropout: float
) -> Iterator[Named]:
    yield f"full{number}", nn.Linear(*sizes)
    if batch_norm:
        yield f"full_norm{number}", nn.BatchNorm1d(sizes[1])
    yield f"full_activation{number}", f()
    if dropout:
        yield f"dropout{number}", nn.Dropout(dropout)


def _ends(names: Sequence[str]) -> Iterator[int]:
    """Give the index after the last layer of each block and of each fully connected hidden layer."""
    begins = [i for i, name in enumerate(names) if name.startswith("conv") or name in ("flatten", "output")]
    flatten = names.index("flatten")
    yield from [i for i in begins[1:] if i <= flatten]
    full = [i for i, name in enumerate(names) if name.startswith("full") and name[4:].isdigit()]
    yield from [*full[1:], names.index("output")][: len(full)]
