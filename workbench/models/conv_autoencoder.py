"""The convolutional stack of auto-encoders with max pooling (Wu et al., IEEE TBME 2016; the review's Reference 28)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from workbench.models.autoencoder import AutoEncoder, VisibleName
from workbench.models.layers import ActivationName, ConvStage, activation, convolve, max_pool
from workbench.models.stack import Stack

SUBPATCHES = 8
"""How many places a layer learns from in each map it is shown, when a generator chooses them."""


@dataclass(frozen=True)
class ConvStageSettings:
    """One auto-encoder that slides over the map below, and the max pooling above it.

    Attributes:
        kernel: voxels along each axis of the sub-patch that it encodes.
        n_hidden: its hidden units: the channels of its map.
        pool: kernel and stride of the pooling; 1 is none.
    """

    kernel: int
    n_hidden: int
    pool: int = 1


WU_2016_STAGES = (
    ConvStageSettings(8, 64, 2),
    ConvStageSettings(2, 128, 2),
    ConvStageSettings(2, 256, 2),
    ConvStageSettings(1, 128, 1),
)
"""Our arithmetic for a patch of 21 voxels a side and a code of 128: 21 →8→ 14 →/2→ 7 →2→ 6 →/2→ 3 →2→ 2 →/2→ 1 →1→ 1.
The paper's own sizes are to be read there. With windows that do not overlap and leave nothing over, four poolings
are only possible with kernels 6, 1, 1, 1, and a first kernel of 9 only without pooling above it."""


class ConvolutionalAutoEncoder(Stack):
    """Stack auto-encoders that each slide over the map below, with max pooling between them.

        patch (C, 21³) ─AE 8³─► (64, 14³) ─pool 2─► (64, 7³) ─AE 2³─► (128, 6³) ─pool 2─► … ─► (128, 1³) = code
                       ◄─ decode and average ◄─ unpool 2 ◄─ …

    Layer l learns from sub-patches (n_{l-1} · kernel^d values) of the pooled map below. To decode, every map value is
    copied to its whole pooling window, each sub-patch is decoded, the values that overlapping sub-patches give for
    one voxel (before the visible activation) are averaged, and the activation is applied. Patches are not normalized
    one by one: scale the images.

    *Size constraint*: each map after a kernel must divide exactly by its pooling, and the last map must be a single
    voxel. Then sliding the encoder over an image, dilated by the poolings, gives the same code at every voxel as
    cutting out the patch, because the windows of patch and image begin at the same row.

    Args:
        patch_shape: (C, *spatial), two or three spatial axes of the same length.
        stages: from the input upwards.
        hidden: activation of every hidden layer.
        visible: activation of the reconstruction; deeper layers as in
            :class:`workbench.models.stacked_autoencoder.StackedAutoEncoder`.
        tied: whether each decoder is its encoder transposed.
        seed: of the initial weights.
    """

    def __init__(
        self,
        patch_shape: Sequence[int],
        stages: Sequence[ConvStageSettings] = WU_2016_STAGES,
        *,
        hidden: ActivationName = "sigmoid",
        visible: VisibleName = "linear",
        tied: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.patch_shape, self.normalization = tuple(int(n) for n in patch_shape), "none"
        self.stages = tuple(stages)
        self.map_sizes = _map_sizes(self.patch_shape, self.stages)
        generator = torch.Generator().manual_seed(seed)
        deeper: VisibleName = "sigmoid" if hidden == "sigmoid" else "linear"
        channels = [self.patch_shape[0], *(stage.n_hidden for stage in self.stages)]
        self.layers = nn.ModuleList(
            AutoEncoder(
                channels[index] * stage.kernel**self._n_axes,
                stage.n_hidden,
                hidden=hidden,
                visible=deeper if index else visible,
                tied=tied,
                generator=generator,
            )
            for index, stage in enumerate(self.stages)
        )

    @property
    def _n_axes(self) -> int:
        return len(self.patch_shape) - 1

    def layer_input(self, x: Tensor, index: int, generator: torch.Generator | None = None) -> Tensor:
        """Give sub-patches (N, V_index) of the pooled map below layer ``index``.

        With a generator N is at most ``SUBPATCHES`` · B: places are drawn with replacement, the same number from each
        map. Without one every place is taken, in the order patch, then place.
        """
        with torch.no_grad():
            windows = self._windows(self._encode_map(x, index), self.stages[index].kernel)
            side, n_places = windows.shape[1], windows.shape[1] ** self._n_axes
            if generator is None or n_places <= SUBPATCHES:
                return windows.flatten(1 + self._n_axes).flatten(0, self._n_axes)  # (B · places, V)
            place = torch.randint(side, (self._n_axes, len(x), SUBPATCHES), generator=generator, device=x.device)
            patch = torch.arange(len(x), device=x.device)[:, None]
            return windows[(patch, *place)].flatten(2).flatten(0, 1)  # (B · SUBPATCHES, V)

    def encode(self, x: Tensor, depth: int | None = None) -> Tensor:
        """Give the flat pooled map (B, n · map^d) after ``depth`` layers; at full depth the code (B, n)."""
        return self._encode_map(x, self._depth(depth)).flatten(1)

    def decode(self, code: Tensor, depth: int | None = None) -> Tensor:
        """Give the patches (B, C, *spatial) of flat maps (B, n · map^d) at ``depth``."""
        depth = self._depth(depth)
        channels = self.stages[depth - 1].n_hidden if depth else self.patch_shape[0]
        h = code.reshape(-1, channels, *[self.map_sizes[depth]] * self._n_axes)  # (B, n, *map)
        for index in reversed(range(depth)):
            h = self._decode_stage(self._unpool(h, self.stages[index].pool), index)
        return h

    def as_convolutions(self, depth: int | None = None) -> list[ConvStage]:
        """Give one stage a layer; slide it with each later stage dilated by the product of the poolings below."""
        return [
            ConvStage(
                self._kernel(index, self.layer(index).weight.detach()),
                self.layer(index).hidden_bias.detach(),
                self.layer(index).hidden,
                self.stages[index].pool,
            )
            for index in range(self._depth(depth))
        ]

    def back_projection(self, depth: int) -> Tensor:
        """Give the input pattern of each unit before its own pooling, with max pooling taken as the mean.

        At depth 1 these are the weights. Returns (n_units, C, *spatial), spatial growing with depth.
        """
        depth = self._depth(depth)
        n_units = self.stages[depth - 1].n_hidden if depth else self.patch_shape[0]
        patterns = torch.eye(n_units).reshape(n_units, n_units, *[1] * self._n_axes)
        for index in reversed(range(depth)):
            weight = self._kernel(index, self.layer(index).weight.detach())
            patterns = self._spread(patterns.to(weight), weight)
            if index:
                pool = self.stages[index - 1].pool
                patterns = self._unpool(patterns, pool) / pool**self._n_axes
        return patterns

    def receptive_field(self, depth: int | None = None) -> tuple[int, ...]:
        """Give the voxels along each axis that one value of the pooled map at ``depth`` depends on."""
        size = 1
        for stage in reversed(self.stages[: self._depth(depth)]):
            size = size * stage.pool + stage.kernel - 1
        return (size,) * self._n_axes

    def _encode_map(self, x: Tensor, depth: int) -> Tensor:
        """Give the pooled map (B, n, *map) after ``depth`` layers."""
        h = self.normalize(x)
        for index in range(depth):
            layer = self.layer(index)
            h = convolve(h, self._kernel(index, layer.weight), layer.hidden_bias)
            h = max_pool(activation(layer.hidden)(h), self.stages[index].pool)
        return h

    def _decode_stage(self, h: Tensor, index: int) -> Tensor:
        """Decode every sub-patch of (B, n, *map) and average where they overlap: (B, n_below, *map_below)."""
        layer = self.layer(index)
        weight = self._kernel(index, layer.decoder_weight.T)
        bias = self._kernel(index, layer.visible_bias[None])
        everywhere = torch.ones_like(h[:1, :1])
        n_covering = self._spread(everywhere, torch.ones_like(bias[:, :1]))
        total = self._spread(h, weight) + self._spread(everywhere, bias)
        return activation(layer.visible)(total / n_covering)

    def _kernel(self, index: int, flat: Tensor) -> Tensor:
        """Shape (M, V) as (M, n_below, *kernel)."""
        channels = self.stages[index - 1].n_hidden if index else self.patch_shape[0]
        return flat.reshape(-1, channels, *[self.stages[index].kernel] * self._n_axes)

    def _windows(self, h: Tensor, kernel: int) -> Tensor:
        """View every window of (B, n, *map) as (B, *places, n, *kernel), without a copy."""
        for axis in range(2, 2 + self._n_axes):
            h = h.unfold(axis, kernel, 1)  # (B, n, *places, *kernel)
        return h.movedim(1, 1 + self._n_axes)

    def _spread(self, h: Tensor, weight: Tensor) -> Tensor:
        """Add up the sub-patches that a map stands for: the transpose of the convolution."""
        return F.conv_transpose2d(h, weight) if self._n_axes == 2 else F.conv_transpose3d(h, weight)

    def _unpool(self, h: Tensor, pool: int) -> Tensor:
        """Copy each value of (B, n, *map) to its whole pooling window."""
        for axis in range(2, 2 + self._n_axes):
            h = h.repeat_interleave(pool, axis) if pool > 1 else h
        return h


def _map_sizes(patch_shape: tuple[int, ...], stages: Sequence[ConvStageSettings]) -> list[int]:
    """Give voxels along an axis of the patch and of each pooled map, or say which stage does not fit."""
    spatial = patch_shape[1:]
    if len(spatial) not in (2, 3) or len(set(spatial)) != 1:
        raise ValueError(f"a convolutional stack needs square or cubic patches (C, n, n[, n]); got {patch_shape}")
    if not stages:
        raise ValueError("a stack needs at least one stage; stages is empty")
    sizes = [spatial[0]]
    for number, stage in enumerate(stages, start=1):
        full = sizes[-1] - stage.kernel + 1
        if min(stage.kernel, stage.n_hidden, stage.pool) < 1 or full < 1:
            raise ValueError(f"stage {number} ({stage}) does not fit on a map of {sizes[-1]} voxels a side")
        if full % stage.pool:
            raise ValueError(
                f"stage {number} gives a map of {sizes[-1]} - {stage.kernel} + 1 = {full} voxels a side, which its "
                f"pooling of {stage.pool} does not divide; change its kernel, its pooling or the patch size"
            )
        sizes.append(full // stage.pool)
    if sizes[-1] != 1:
        raise ValueError(
            f"the last map must be a single voxel, but a patch of {sizes[0]} voxels a side leaves {sizes[-1]}; make "
            f"the patch smaller, or a kernel or pooling larger (map sizes: {sizes})"
        )
    return sizes
