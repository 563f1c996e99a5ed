"""Which layers keep dense evaluation from being equal to evaluation patch by patch (Section 1, strategy e).

A unit of a patch may only depend on its receptive field, and on nothing but what lies there in the image too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.nn.modules import batchnorm, conv, dropout, instancenorm

from workbench.errors import SettingsError
from workbench.models.receptive_field import ADAPTIVE, PADDINGS, POOLINGS, is_local, kind_of

_PADDING_NAMES = {"zeros": "zeros", "reflect": "its mirror image", "replicate": "copies of its border"}
_LAST = (nn.Softmax, nn.LogSoftmax, nn.Softmin, nn.GLU)


@dataclass(frozen=True)
class Inexact:
    """One layer that breaks the equality.

    Attributes:
        layer: its name, as in ``named_modules``; empty for a network that is a single layer.
        reason: half a sentence that goes after the name.
        mode: whether ``network.eval()`` mends it.
    """

    layer: str
    reason: str
    mode: bool = False

    def __str__(self) -> str:
        return f"{self.layer or 'the layer'} {self.reason}"


def explain_inexact(network: nn.Module) -> list[Inexact]:
    """Name every layer for which dense evaluation differs from evaluation patch by patch, and why.

    An empty list is a promise for a CNN or an ``nn.Sequential``: what ``to_fcn``, ``dilate`` and ``shift_and_stitch``
    make of it equals patchwise evaluation, or they say what they cannot turn. Of other modules only the layers are
    seen, not what their ``forward`` does besides.

    Args:
        network: any module; its layers are taken in the order of ``named_modules``.
    """
    found, flat = [], False
    for name, layer in network.named_modules():
        if next(layer.children(), None) is not None or isinstance(layer, nn.Sequential):
            continue
        found += [Inexact(name, *reason) for reason in _reasons(layer, flat)]
        flat = flat or isinstance(layer, nn.Flatten)
    return found


def require_exact(network: nn.Module, *, in_eval_mode: bool = True) -> None:
    """Refuse a network that :func:`explain_inexact` finds fault with.

    Args:
        network: the network.
        in_eval_mode: whether layers that only need ``network.eval()`` count.

    Raises:
        SettingsError: names the layers.
    """
    faults = [fault for fault in explain_inexact(network) if in_eval_mode or not fault.mode]
    if faults:
        raise SettingsError(
            "Evaluating the network on a whole image would not equal evaluating its patches: "
            f"{'; '.join(str(fault) for fault in faults)}. "
            + ("Call eval() first." if all(fault.mode for fault in faults) else "Evaluate patch by patch instead.")
        )


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Put a network into eval mode for a while, and every module back into its own mode after."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def _reasons(layer: nn.Module, flat: bool) -> Iterator[tuple[str, bool]]:
    """Give (reason, whether it is the mode) of one layer; ``flat``: whether it gets vectors."""
    if kind_of(layer) in ("convolution", "pooling", "padding"):
        for reason in _window_reasons(layer):
            yield reason, False
    elif isinstance(layer, (nn.Linear, nn.Flatten)):
        if isinstance(layer, nn.Flatten) and (layer.start_dim, layer.end_dim) != (1, -1):
            yield "flattens other axes than those after the batch", False
        if isinstance(layer, nn.Linear) and not flat:
            yield "connects the positions of the last axis, with no nn.Flatten before it", False
    elif isinstance(layer, (batchnorm._BatchNorm, instancenorm._InstanceNorm)):
        yield from _normalization_reasons(layer)
    elif isinstance(layer, (nn.GroupNorm, nn.LayerNorm, getattr(nn, "RMSNorm", nn.LayerNorm))):
        yield "normalizes by statistics over all positions, which in an image are others than in a patch", False
    elif isinstance(layer, (dropout._DropoutNd, nn.RReLU)):
        if layer.training and getattr(layer, "p", 1) > 0:
            yield "is random in training mode", True
    elif isinstance(layer, _LAST):
        if layer.dim != 1 and not (flat and layer.dim == -1):
            yield f"works along axis {layer.dim}, which is not that of the channels", False
    elif not is_local(layer):
        yield f"is a {type(layer).__name__}, of which it is not known what its units see", False


def _window_reasons(layer: nn.Module) -> Iterator[str]:
    if isinstance(layer, PADDINGS):
        name = type(layer).__name__
        if any(layer.padding):
            how = next((text for key, text in _PADDINGS_BY_LAYER.items() if key in name), "a constant")
            yield f"{_pads(layer.padding)} with {how}, where an image goes on"
        return
    if isinstance(layer, ADAPTIVE):
        if layer.output_size != 1 and set(_sizes(layer.output_size)) != {1}:
            yield f"pools every map to {layer.output_size}, so its windows grow with the image"
        else:
            yield "pools the whole map, which in an image is larger than in a patch (to_fcn gives it a fixed window)"
        return
    if isinstance(layer, conv._ConvNd):
        if layer.padding == "same" and max(layer.kernel_size) > 1:
            yield f"pads the patch with {_padding_name(layer)} to keep its size, where an image goes on"
        elif not isinstance(layer.padding, str) and any(layer.padding):
            yield f"{_pads(layer.padding)} with {_padding_name(layer)}, where an image goes on"
    if isinstance(layer, POOLINGS):
        if any(_sizes(layer.padding)):
            yield f"{_pads(layer.padding)} before it pools, where an image goes on"
        if layer.ceil_mode:
            yield "keeps windows that stick out of the patch (ceil_mode), which an image fills"
        if getattr(layer, "return_indices", False):
            yield "gives indices beside its values"


_PADDINGS_BY_LAYER = {"Reflection": "its mirror image", "Replication": "copies of its border",
                      "Circular": "its opposite side", "Zero": "zeros"}  # fmt: skip


def _padding_name(layer: conv._ConvNd) -> str:
    return _PADDING_NAMES.get(layer.padding_mode, "its opposite side")


def _pads(rows: Any) -> str:
    sizes = sorted(set(_sizes(rows)) - {0})
    return f"pads the patch by {' or '.join(map(str, sizes))}"


def _sizes(value: Any) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


def _normalization_reasons(layer: nn.Module) -> Iterator[tuple[str, bool]]:
    whole = isinstance(layer, instancenorm._InstanceNorm)
    over = "each patch's own positions" if whole else "the batch"
    if layer.running_mean is None:
        yield f"normalizes by the mean and variance of {over} (it keeps no running ones)", False
    elif layer.training:
        yield f"normalizes by the mean and variance of {over} in training mode", True
