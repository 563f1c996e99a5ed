"""A patch classifier on whole images: Section 1, strategy (e) (References 36 and 48).

    to_fcn             fully connected layers become convolutions: a score every S voxels, S the strides' product
    shift_and_stitch   run on S^d shifted images and interleave: a score at every voxel (Giusti et al., ICIP 2013)
    dilate             stride 1 everywhere, later kernels and poolings that much sparser: the same in one pass
    patchwise          cut out every patch: what the others must equal, and the way for networks that pad

Output position i of ``to_fcn`` sees the input from i S on, as far as the receptive field reaches; position i of the
others sees it from i on. All equal patchwise evaluation when ``explain_inexact`` finds no fault. A patch can be larger
than the receptive field, by rows that its poolings leave over; those do not matter to any of them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from copy import deepcopy
from itertools import product
from math import prod

import torch
from torch import Tensor, nn
from torch.nn.modules import conv, pooling

from workbench.errors import SettingsError
from workbench.models.cnn import BATCH_NORMS, CONVOLUTIONS
from workbench.models.exactness import require_exact
from workbench.models.receptive_field import ADAPTIVE, Ints, LayerField, chain, tuples, walk

_FIXED = {
    (kind, n): getattr(nn, f"{kind}Pool{n}d") for kind in ("Avg", "Max") for n in (1, 2, 3)
}  # what replaces a global pooling


class DilatedAveragePool(pooling._AvgPoolNd):
    """Average over a window whose voxels lie apart, at every position; torch has this for maxima only.

    Args:
        kernel_size: voxels of the window along each axis.
        dilation: voxels between neighbors in the window.
        divisor: of the sum; by default the window's voxels.
    """

    def __init__(self, kernel_size: Ints, dilation: Ints, divisor: int | None = None) -> None:
        super().__init__()
        self.kernel_size, self.dilation, self.divisor = kernel_size, dilation, divisor
        self.stride, self.padding, self.ceil_mode = (1,) * len(kernel_size), (0,) * len(kernel_size), False

    def forward(self, x: Tensor) -> Tensor:
        """Give the averages of (B, C, *spatial)."""
        n = 1
        for axis, (k, d) in enumerate(zip(self.kernel_size, self.dilation, strict=True), start=2):
            length, n = x.shape[axis] - (k - 1) * d, n * k
            x = torch.stack([x.narrow(axis, i * d, length) for i in range(k)]).sum(0)
        return x / (self.divisor or n)


def to_fcn(network: nn.Module, shape: Sequence[int] | None = None) -> nn.Sequential:
    """Turn a patch network into a fully convolutional one, with copies of its weights.

    The first fully connected layer (M, C · k^d) becomes a convolution (M, C, k, …, k), k being the map that the patch
    leaves; those above it have kernel 1. Global pooling gets the window that it has on the patch.

    Args:
        network: a CNN, or an ``nn.Sequential`` of standard layers.
        shape: (C, *spatial) of the patch; a CNN knows it.

    Returns:
        (B, C, *image) → (B, K, *positions), layers named as in the network, in its mode. Networks that pad are turned
        too, but then only the patch itself gets its own score.
    """
    shape = tuple(shape if shape is not None else getattr(network, "shape", ()))
    if len(shape) not in (2, 3, 4):
        raise ValueError(f"expected the patch shape (C, *spatial); got {shape}")
    layers: dict[str, nn.Module] = {}
    below: Ints = shape[1:]
    flat = False
    for name, layer, field in walk(network, shape):
        kept = layer if isinstance(layer, nn.Flatten) else _convolutional(name, layer, below, flat)
        if kept is not layer or not isinstance(layer, nn.Flatten):
            layers[_key(name)] = kept
        flat, below = flat or isinstance(layer, nn.Flatten), field.map_shape
    if flat and max(below) > 1:
        raise ValueError("the network ends in flattened maps, with no fully connected layer to turn")
    return nn.Sequential(OrderedDict(layers)).train(network.training)


def dilate(fcn: nn.Module) -> nn.Sequential:
    """Give the network that scores every position in one pass, with copies of the weights.

    Each stride becomes 1, and the kernels and pooling windows above it are read that many voxels apart ("à trous",
    "rarefied"). Names and shapes of the weights stay, so a trained state moves over with ``load_state_dict``. Wants
    more memory than :func:`shift_and_stitch`, as every map is as fine as the image.

    Args:
        fcn: a fully convolutional chain, as from :func:`to_fcn`.

    Raises:
        SettingsError: a layer forbids it, by padding for example; it is named.
    """
    _require_convolutional(fcn)
    require_exact(fcn, in_eval_mode=False)
    layers: dict[str, nn.Module] = {}
    step: Ints = ()
    for name, layer in chain(fcn):
        spread = deepcopy(layer)
        if isinstance(layer, (conv._ConvNd, pooling._MaxPoolNd, pooling._AvgPoolNd)):
            step = step or (1,) * _n_axes(layer)
            spread, step = _spread(layer, step)
        layers[_key(name)] = spread
    return nn.Sequential(OrderedDict(layers)).train(fcn.training)


def shift_and_stitch(fcn: nn.Module, x: Tensor) -> Tensor:
    """Score every position by running on each of the S^d shifts of the image and interleaving the answers.

    Args:
        fcn: a fully convolutional chain, as from :func:`to_fcn`, in eval mode.
        x: (B, C, *image).

    Returns:
        (B, K, *positions): one for each box of the receptive field's size in the image.

    Raises:
        SettingsError: a layer forbids it, or the image is smaller than the receptive field.
    """
    _require_convolutional(fcn)
    require_exact(fcn)
    field = _reach(fcn, x.shape[2:])
    counts = tuple(n - r + 1 for n, r in zip(x.shape[2:], field.size, strict=True))
    out: Tensor | None = None
    for shift in product(*(range(min(j, n)) for j, n in zip(field.jump, counts, strict=True))):
        scores = fcn(_strided(x, shift, (1,) * len(shift)))
        if out is None:
            out = scores.new_empty((*scores.shape[:2], *counts))
        _strided(out, shift, field.jump).copy_(scores)
    assert out is not None
    return out


def patchwise(network: nn.Module, x: Tensor, patch: Sequence[int], *, stride: int = 1, batch_size: int = 256) -> Tensor:
    """Score every position by its own patch: exact for any network, and slow.

    Args:
        network: (B, C, *patch) → (B, K) or (B, K, 1, …).
        x: (B, C, *image).
        patch: spatial shape.
        stride: voxels from one patch to the next.
        batch_size: patches at once.

    Returns:
        (B, K, *positions).
    """
    windows = x
    for axis, length in enumerate(patch, start=2):
        windows = windows.unfold(axis, int(length), stride)  # (B, C, *positions, *patch)
    n_axes = len(patch)
    positions = windows.shape[2 : 2 + n_axes]
    flat = windows.movedim(1, 1 + n_axes)  # (B, *positions, C, *patch): still a view
    places = torch.unravel_index(torch.arange(flat.shape[: 1 + n_axes].numel()), flat.shape[: 1 + n_axes])
    batches = zip(*(place.split(batch_size) for place in places), strict=True)
    scores = [network(flat[some]).reshape(len(some[0]), -1) for some in batches]
    return torch.cat(scores).reshape(len(x), *positions, -1).movedim(-1, 1)


def _convolutional(name: str, layer: nn.Module, below: Ints, flat: bool) -> nn.Module:
    """Give a copy of a layer that works on maps; ``flat``: whether the layer itself gets vectors."""
    n_axes = len(below)
    if isinstance(layer, nn.Linear):
        return _linear_to_convolution(layer, below)
    if isinstance(layer, ADAPTIVE):
        if set(tuples(layer.output_size, n_axes)) != {1}:
            raise ValueError(f"layer {name!r} pools to {layer.output_size}; only pooling to a single value slides")
        kind = "Avg" if isinstance(layer, pooling._AdaptiveAvgPoolNd) else "Max"
        return _FIXED[kind, n_axes](below, stride=1)
    if not flat:
        return deepcopy(layer)
    if isinstance(layer, (nn.LayerNorm, nn.GroupNorm)) or (isinstance(layer, nn.BatchNorm1d) and max(below) > 1):
        raise ValueError(f"layer {name!r} ({type(layer).__name__}) normalizes vectors in a way that does not slide")
    if isinstance(layer, nn.BatchNorm1d):
        norm = BATCH_NORMS[n_axes](
            layer.num_features, layer.eps, layer.momentum, layer.affine, layer.track_running_stats
        )
        some = next(iter([*layer.parameters(), *layer.buffers()]), None)
        norm = norm if some is None else norm.to(some.device, some.dtype)
        norm.load_state_dict(layer.state_dict())
        return norm
    copy = deepcopy(layer)
    if isinstance(copy, (nn.Softmax, nn.LogSoftmax, nn.Softmin)):
        copy.dim = 1  # the only axis besides the batch that a vector has
    return copy


def _linear_to_convolution(layer: nn.Linear, kernel: Ints) -> nn.Module:
    n_channels, rest = divmod(layer.in_features, prod(kernel))
    if rest:
        raise ValueError(f"a layer of {layer.in_features} inputs does not fit on a map of {kernel}")
    weight = layer.weight
    made = CONVOLUTIONS[len(kernel)](
        n_channels, layer.out_features, kernel, bias=layer.bias is not None, device=weight.device, dtype=weight.dtype
    )
    with torch.no_grad():
        made.weight.copy_(weight.reshape(made.weight.shape))  # (M, C · k^d) → (M, C, k, …, k)
        if made.bias is not None:
            made.bias.copy_(layer.bias)
    for new, old in zip(made.parameters(), layer.parameters(), strict=True):
        new.requires_grad_(old.requires_grad)
    return made


def _spread(layer: nn.Module, step: Ints) -> tuple[nn.Module, Ints]:
    """Give a copy of a window layer with stride 1 and its dilation times ``step``, and the step above it."""
    n = len(step)
    above = tuple(a * b for a, b in zip(step, tuples(layer.stride, n), strict=True))
    if isinstance(layer, pooling._AvgPoolNd):
        dilation = tuple(a * b for a, b in zip(step, tuples(getattr(layer, "dilation", 1), n), strict=True))
        divisor = getattr(layer, "divisor_override", None) or getattr(layer, "divisor", None)
        return DilatedAveragePool(tuples(layer.kernel_size, n), dilation, divisor), above
    copy = deepcopy(layer)
    copy.dilation = tuple(a * b for a, b in zip(step, tuples(layer.dilation, n), strict=True))  # type: ignore[assignment]
    copy.stride = (1,) * n  # type: ignore[assignment]
    return copy, above


def _n_axes(layer: nn.Module) -> int:
    if isinstance(layer, DilatedAveragePool):
        return len(layer.kernel_size)
    kinds = {n: (CONVOLUTIONS[n], _FIXED["Max", n], _FIXED["Avg", n]) for n in CONVOLUTIONS}
    return next(n for n, known in kinds.items() if isinstance(layer, known))


def _strided(x: Tensor, start: Ints, step: Ints) -> Tensor:
    """View every ``step``-th voxel of (B, C, *spatial) from ``start`` on."""
    index: tuple[slice, ...] = tuple(slice(a, None, s) for a, s in zip(start, step, strict=True))
    return x[(slice(None), slice(None), *index)]


def _require_convolutional(fcn: nn.Module) -> None:
    if any(isinstance(layer, (nn.Linear, nn.Flatten)) for _, layer in chain(fcn)):
        raise ValueError("the network has fully connected layers; turn them into convolutions by to_fcn first")


def _reach(fcn: nn.Module, image: Sequence[int]) -> LayerField:
    """Give the field of the last layer, which must fit in the image."""
    *_, (_, _, field) = walk(fcn, (1, *[10**9] * len(image)))  # its size and jump are those of any image
    if any(n < r for n, r in zip(image, field.size, strict=True)):
        raise SettingsError(
            f"The image of {tuple(image)} voxels is smaller than the network's receptive field of {field.size}; "
            "use a larger image or pad it."
        )
    return field


def _key(name: str) -> str:
    """Give a name that a layer can have in an ``nn.Sequential``."""
    return name.replace(".", "_") or "layer"
