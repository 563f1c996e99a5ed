"""A patch network made to score every voxel of a window: shift-and-stitch that shares the layers below each stride.

    image window (B, C, *n + r - 1) ─ layers ─► maps ─┬─ from voxel 0 ─ strided layer ─ … ─► every 2nd score
                                                     └─ from voxel 1 ─ strided layer ─ … ─► those between

The scores equal those of ``models.fcn.dilate`` and ``models.fcn.shift_and_stitch`` (Giusti et al., ICIP 2013). Of the
dilated form it has the number of multiply-adds, as maps below a stride are computed once; of shift-and-stitch it has
the small maps, as only one fragment above a stride is held at a time. Maps are laid out channels last, which is faster
than torch's own layout on a CPU (``benchmarks/segmentation_inference.py`` measures all of these).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from itertools import product
from math import prod

import numpy as np
import torch
from torch import Tensor, nn

from workbench.models.exactness import require_exact
from workbench.models.fcn import to_fcn
from workbench.models.receptive_field import ADAPTIVE, Ints, chain, kind_of, tuples, walk

Tick = Callable[[float], None]
"""Told the multiply-adds of each step when it is done; may raise to stop."""
ANY = 10**9
"""Voxels of an image too long to end within a receptive field."""
NORM_COPIES = 4
"""Maps that a local response normalization makes of one."""
SPARE = 1.3
"""What the allocator and the convolutions' own buffers take besides the maps."""
_ACTIVATIONS = (nn.ReLU, nn.LeakyReLU, nn.ELU, nn.Hardtanh)  # those that can work in place


@dataclass(frozen=True, eq=False)
class Step:
    """One layer of the chain.

    Attributes:
        layer: with weights.
        stride: voxels of the map below from one position to the next.
        field: voxels of the image that one of its units sees.
        n_maps: that it gives.
        weight: multiply-adds for one position of all maps.
        n_made: maps that it makes; none if it works in place.
    """

    layer: nn.Module
    stride: Ints
    field: Ints
    n_maps: int
    weight: float
    n_made: int


class DenseNetwork:
    """A chain of valid convolutions and poolings, made from a patch network, that scores every position.

    Attributes:
        n_channels: C.
        n_axes: spatial axes, 2 or 3.
        n_outputs: K.
        field: voxels of the receptive field along each spatial axis.
        patch: spatial shape of the patch: the field, or larger by rows that its poolings leave over.
        steps: the layers.
    """

    def __init__(self, network: nn.Module, patch: Sequence[int] | None = None) -> None:
        """Copy the network, in eval mode.

        Args:
            network: ``models.cnn.CNN`` or an ``nn.Sequential`` of standard layers, patch → scores.
            patch: spatial shape of the patch. A CNN knows it; fully convolutional networks need none.

        Raises:
            SettingsError: a layer forbids dense evaluation; it is named.
        """
        first = next((layer for _, layer in chain(network) if kind_of(layer) == "convolution"), None)
        if first is None:
            raise ValueError("expected an nn.Sequential with a convolution that can slide over an image")
        self.n_channels, self.n_axes = int(first.in_channels), len(first.kernel_size)  # type: ignore[arg-type]
        shape = tuple(int(n) for n in (patch if patch is not None else getattr(network, "shape", (0,))[1:]))
        if not shape and any(isinstance(layer, (nn.Linear, nn.Flatten, *ADAPTIVE)) for _, layer in chain(network)):
            raise ValueError("a network with fully connected layers is turned at its patch shape; give `patch`")
        fcn = to_fcn(network, (self.n_channels, *(shape or (ANY,) * self.n_axes))).eval().float()
        require_exact(fcn)
        self._layout = torch.channels_last_3d if self.n_axes == 3 else torch.channels_last
        self.steps = _steps(fcn.to(memory_format=self._layout), self.n_channels, self.n_axes)  # type: ignore[call-overload]
        self.field, self.n_outputs = self.steps[-1].field, self.steps[-1].n_maps
        self.patch: Ints = shape or self.field

    @torch.inference_mode()
    def __call__(self, window: Tensor, tick: Tick = lambda done: None) -> Tensor:
        """Score every position of a window.

        Args:
            window: (B, C, *image) float32, no smaller than the receptive field.
            tick: told the multiply-adds of each step when it is done.

        Returns:
            (B, K, *image - field + 1), on the network's device.
        """
        counts = tuple(n - r + 1 for n, r in zip(window.shape[2:], self.field, strict=True))
        device = next((p.device for step in self.steps for p in step.layer.parameters()), window.device)
        return self._scores(0, window.to(device).contiguous(memory_format=self._layout), counts, tick)

    def cost(self, tiles: np.ndarray) -> np.ndarray:
        """Give the multiply-adds for boxes of scored voxels, (n, n_axes) → (n,)."""
        total = np.zeros(len(tiles))
        for step in self.steps:
            total += step.weight * np.prod(tiles + np.subtract(self.field, step.field), axis=1, dtype=float)
        return total

    @property
    def n_features(self) -> float:
        """Float32 numbers held at the fullest moment, for each voxel of the window, at most."""
        kept = float(self.n_channels + self.n_outputs)  # the window and the scores
        density, below, most = 1.0, float(self.n_channels), kept + 2 * self.n_outputs
        for step in self.steps:
            density /= prod(step.stride)
            most = max(most, kept + below + step.n_made * density)
            kept += below if prod(step.stride) > 1 else 0  # the other fragments still want it
            below = step.n_maps * density
        return SPARE * most

    def _scores(self, start: int, x: Tensor, counts: Ints, tick: Tick) -> Tensor:
        """Run the layers from ``start`` on, for as many positions as ``counts`` says."""
        for number in range(start, len(self.steps)):
            step = self.steps[number]
            if max(step.stride) > 1:
                return self._stitched(number, x, counts, tick)
            x = step.layer(x)
            tick(step.weight * x[:, 0].numel())
        return x

    def _stitched(self, number: int, x: Tensor, counts: Ints, tick: Tick) -> Tensor:
        """Run a strided layer from each voxel of its stride on, and all above it, and interleave the scores."""
        step, out = self.steps[number], None
        for shift in product(*(range(min(s, n)) for s, n in zip(step.stride, counts, strict=True))):
            some = tuple(-(-(n - a) // s) for n, a, s in zip(counts, shift, step.stride, strict=True))
            fragment = step.layer(_every(x, shift, (1,) * len(shift)))
            tick(step.weight * fragment[:, 0].numel())
            scores = self._scores(number + 1, fragment, some, tick)
            if out is None:
                out = scores.new_empty((*scores.shape[:2], *counts))
            _every(out, shift, step.stride).copy_(scores)
        assert out is not None
        return out


def _steps(fcn: nn.Module, n_channels: int, n_axes: int) -> list[Step]:
    steps: list[Step] = []
    n_maps = n_channels
    for _, layer, field in walk(fcn, (n_channels, *(ANY,) * n_axes)):
        kind = kind_of(layer)
        n_maps = int(getattr(layer, "out_channels", n_maps))
        stride = tuples(layer.stride, n_axes) if kind in ("convolution", "pooling") else (1,) * n_axes
        weight, n_made = float(n_maps), n_maps
        if kind == "convolution":
            weight = float(layer.weight.numel())  # type: ignore[operator]
        elif kind == "pooling":
            weight = float(n_maps * prod(tuples(layer.kernel_size, n_axes)))
        elif isinstance(layer, _ACTIVATIONS) and steps:
            layer, n_made = copy(layer), 0
            layer.inplace = True
        elif isinstance(layer, nn.LocalResponseNorm):
            weight, n_made = float(n_maps * layer.size), n_maps * NORM_COPIES
        steps.append(Step(layer, stride, field.size, n_maps, weight, n_made))
    return steps


def _every(x: Tensor, start: Ints, step: Ints) -> Tensor:
    """View every ``step``-th voxel of (B, C, *spatial) from ``start`` on."""
    index: tuple[slice, ...] = tuple(slice(a, None, s) for a, s in zip(start, step, strict=True))
    return x[(slice(None), slice(None), *index)]
