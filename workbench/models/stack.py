"""What every stack of auto-encoders can do, whether it sees whole patches or slides over them.

Depth counts layers from the input: depth 0 is the patch, depth ``n_layers`` the code. The layers hold no dropout and
no batch statistics, so a frozen layer computes the same in train and in eval mode.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from workbench.models.autoencoder import AutoEncoder
from workbench.models.layers import ConvStage, normalize_patches, run_stages


class Stack(nn.Module, ABC):
    """Encode patches through layers of auto-encoders and decode them back.

    Attributes:
        layers: one :class:`AutoEncoder` a layer, from the input upwards.
        patch_shape: (C, *spatial) of one patch, or (V,) for plain vectors.
        normalization: what happens to each patch before the first layer.
    """

    layers: nn.ModuleList
    patch_shape: tuple[int, ...]
    normalization: str

    @property
    def n_layers(self) -> int:
        """Layers of the encoder."""
        return len(self.layers)

    @property
    def visible(self) -> str:
        """The activation of the reconstruction: that of the first layer's visible units."""
        return self.layer(0).visible

    @property
    def code_size(self) -> int:
        """Elements of the code of one patch."""
        return self.layer(self.n_layers - 1).n_hidden

    def layer(self, index: int) -> AutoEncoder:
        """Give the auto-encoder of layer ``index``, counted from 0."""
        layer = self.layers[index]
        assert isinstance(layer, AutoEncoder)
        return layer

    def normalize(self, x: Tensor) -> Tensor:
        """Give the patches (B, C, *spatial) as the network sees them: the target of a reconstruction."""
        if tuple(x.shape[1:]) != self.patch_shape:
            raise ValueError(f"patches of shape {self.patch_shape} were expected; got {tuple(x.shape[1:])}")
        return normalize_patches(x, self.normalization)

    def forward(self, x: Tensor) -> Tensor:
        """Give the reconstruction (B, C, *spatial) of patches, in the normalized units of :meth:`normalize`."""
        return self.decode(self.encode(x))

    @abstractmethod
    def layer_input(self, x: Tensor, index: int, generator: torch.Generator | None = None) -> Tensor:
        """Give what layer ``index`` learns from, (N, V_index): clean, without gradient, the layers below frozen.

        Args:
            x: (B, C, *spatial) patches.
            index: layer, counted from 0.
            generator: chooses where a convolutional layer looks; without one it looks everywhere.
        """

    @abstractmethod
    def encode(self, x: Tensor, depth: int | None = None) -> Tensor:
        """Give the activations (B, M) after ``depth`` layers of patches (B, C, *spatial); all layers if None."""

    @abstractmethod
    def decode(self, code: Tensor, depth: int | None = None) -> Tensor:
        """Give the patches (B, C, *spatial) that activations (B, M) at ``depth`` stand for."""

    @abstractmethod
    def as_convolutions(self, depth: int | None = None) -> list[ConvStage]:
        """Give the encoder up to ``depth`` as stages to slide over an image; weights without gradient."""

    @abstractmethod
    def back_projection(self, depth: int) -> Tensor:
        """Give the input pattern of each unit at ``depth`` through linearized layers, (n_units, C, *spatial)."""

    @abstractmethod
    def receptive_field(self, depth: int | None = None) -> tuple[int, ...]:
        """Give how many voxels along each axis one activation at ``depth`` depends on."""

    def _depth(self, depth: int | None) -> int:
        """Fill in the default and refuse a depth that is not there."""
        depth = self.n_layers if depth is None else depth
        if not 0 <= depth <= self.n_layers:
            raise ValueError(f"the stack has {self.n_layers} layers; depth {depth} is not one of 0 to {self.n_layers}")
        return depth


def activation_maximization(
    stack: Stack, depth: int, units: Sequence[int], *, n_steps: int = 200, seed: int = 0, norm: float = 1.0
) -> Tensor:
    """Find the input that excites each unit most, among inputs of one norm (Erhan et al. 2009).

    Projected gradient ascent on what enters the unit's activation function, from a random start. For the first
    layer the answer is known, norm * w / ||w|| (centered w when patches are centered), and the ascent finds it.
    Deeper, the answer depends on ``norm``: give that of a typical normalized patch to see what the unit sees.

    Args:
        stack: a trained stack.
        depth: 1 to the number of layers.
        units: which units at that depth.
        n_steps: steps of the ascent.
        seed: of the random start.
        norm: Euclidean norm of the input, in the units of normalized patches.

    Returns:
        (len(units), C, *spatial); spatial is the receptive field of a unit before its own pooling.
    """
    stages = stack.as_convolutions(depth)
    stages[-1] = replace(stages[-1], activation="linear", pool=1)
    generator = torch.Generator().manual_seed(seed)
    shape = (len(units), *stack.back_projection(depth).shape[1:])
    x = torch.randn(shape, generator=generator).to(stages[0].weight)
    row, unit = torch.arange(len(units)), torch.as_tensor(list(units))
    x = _to_norm(x, norm)
    for step in range(n_steps):
        x.requires_grad_(True)
        response = run_stages(stages, x).flatten(1)[row, unit].sum()
        (gradient,) = torch.autograd.grad(response, x)
        stride = 1.0 - 0.95 * step / n_steps
        x = _to_norm(x.detach() + stride * _to_norm(gradient, norm), norm)
    return x


def _to_norm(x: Tensor, norm: float) -> Tensor:
    """Scale each of (B, ...) to the Euclidean norm; what is 0 stays 0."""
    lengths = x.flatten(1).norm(dim=1).clamp_min(1e-12).view(-1, *[1] * (x.ndim - 1))
    return x * (norm / lengths)
