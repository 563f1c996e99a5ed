"""What a trained convolutional network shows of itself: kernels, what units answer to, and Figure 3."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from workbench.figures.convolution_parts import ConvolutionParts, MapLayer
from workbench.models.cnn import CNN
from workbench.models.layers import DEAD_BELOW
from workbench.models.receptive_field import LayerField, box, walk
from workbench.runs.run import Run
from workbench.systems.examples_base import Record
from workbench.systems.views import FilterBank

N_MAPS_SHOWN = 8
N_AT_ONCE = 256


@torch.no_grad()
def leave_map_use(run: Run, network: CNN, x: Tensor) -> None:
    """Keep the mean activation of every map and fully connected unit over held-out examples (N, C, *spatial)."""
    sums: dict[str, Tensor] = {}
    for part in x.split(N_AT_ONCE):
        for depth in range(1, network.n_layers + 1):
            h = network.features(part, depth).abs()
            h = h.reshape(len(part), _n_units(network, depth), -1).mean(2).sum(0)
            sums[f"layer_{depth}"] = sums.get(f"layer_{depth}", 0) + h
    run.save_arrays("units", **{name: (total / len(x)).numpy() for name, total in sums.items()})


def kernel_bank(network: CNN, record: Record, run: Run, depth: int) -> FilterBank:
    """Give the first convolution's kernels, or what deeper units answer to, counted from 1.

    Of a deeper unit the gradient at the mean held-out example is shown: of a map, that of its middle unit, cut to the
    part of the input that it sees.
    """
    depth = min(max(1, depth), network.n_layers)
    if depth == 1 and network.blocks:
        weights = network.get_parameter("conv1.weight").detach()
    else:
        mean = torch.from_numpy(run.load_arrays("patches")["patches"]).mean(0, keepdim=True)
        weights = _gradients(network, mean, depth)
    use = run.load_arrays("units")[f"layer_{depth}"]
    shown = weights.numpy()
    return FilterBank(
        weights=shown,
        mean_activation=use,
        dead=use < DEAD_BELOW,
        norms=np.sqrt((shown.reshape(len(shown), -1) ** 2).sum(1)),
        spacing_mm=record.source.spacing_mm if record.source.kind == "patches" else 0.0,
        layers=[_name(network, d) for d in range(1, network.n_layers + 1)],
        depth=depth,
        sparsity_target=None,
        linear=depth == 1,
    )


@torch.no_grad()
def convolution_parts(network: CNN, example: Tensor) -> ConvolutionParts:
    """Give the live network on one example (C, *spatial); of volumes the middle axial slices are drawn."""
    x = example[None]
    found: dict[str, tuple[torch.nn.Module, LayerField, Tensor]] = {}
    for _, module, field in walk(network, network.shape):
        x = module(x)
        if not isinstance(module, torch.nn.Flatten):  # activations overwrite what they activate
            window = found[field.name][0] if field.name in found else module
            found[field.name] = (window, field, x)
    layers = [_layer(name, *parts) for name, parts in found.items()]
    return ConvolutionParts(_slice(example[0]).numpy(), layers, len(network.shape) - 1, "held-out example")


def _layer(name: str, module: torch.nn.Module, field: LayerField, x: Tensor) -> MapLayer:
    maps = x[0]
    order = torch.argsort(maps.flatten(1).std(1) if maps.ndim > 1 else maps.abs(), descending=True)[:N_MAPS_SHOWN]
    order = order.sort().values
    shown = torch.stack([_slice(maps[i]) for i in order]) if maps.ndim > 1 else maps[order][:, None, None]
    weight = getattr(module, "weight", None)
    kernels = None
    if field.kind == "convolution" and isinstance(weight, Tensor):
        kernels = torch.stack([_slice(weight[i, 0]) for i in order]).numpy()
    kernel = tuple(weight.shape[2:]) if isinstance(weight, Tensor) and weight.ndim > 2 else ()
    if field.kind == "pooling":
        kernel = _ints(module.kernel_size, len(field.size))
    stride = _ints(getattr(module, "stride", 1), len(field.size)) if field.kind != "fully connected" else ()
    return MapLayer(
        name=name, kind=field.kind, map_shape=tuple(maps.shape[1:]), n_maps=len(maps), maps=shown.numpy(),
        shown=order.tolist(), size=field.size, jump=field.jump, start=field.start, kernel=kernel, stride=stride,
        kernels=kernels,
    )  # fmt: skip


def _gradients(network: CNN, mean: Tensor, depth: int) -> Tensor:
    """Give the gradient of each unit of a layer at the mean example: (n, C, *spatial), cut to its field."""
    n_units = _n_units(network, depth)
    x = mean.repeat(n_units, 1, *[1] * (mean.ndim - 2)).requires_grad_(True)
    with torch.enable_grad():
        h = network.features(x, depth).reshape(n_units, n_units, -1)
        middle = h[torch.arange(n_units), torch.arange(n_units)]
        if depth <= len(network.blocks):
            spatial = network.map_shapes[depth - 1][1:]
            place = int(np.ravel_multi_index([n // 2 for n in spatial], spatial))
            middle = middle[:, place : place + 1]
        found = torch.autograd.grad(middle.sum(), x)[0].detach()
    if depth > len(network.blocks):
        return found
    field = [f for _, _, f in walk(network, network.shape) if f.map_shape == network.map_shapes[depth - 1][1:]][-1]
    low, high = box(field, [n // 2 for n in field.map_shape], network.shape[1:])
    return found[(slice(None), slice(None), *(slice(a, b) for a, b in zip(low, high, strict=True)))]


def _n_units(network: CNN, depth: int) -> int:
    n_blocks = len(network.blocks)
    if depth <= n_blocks:
        return network.blocks[depth - 1].n_maps
    return len(network.get_parameter(f"full{depth - n_blocks}.bias"))


def _name(network: CNN, depth: int) -> str:
    kind, what = ("convolution", "maps") if depth <= len(network.blocks) else ("layer", "units")
    number = depth if depth <= len(network.blocks) else depth - len(network.blocks)
    return f"{'fully connected ' if kind == 'layer' else ''}{kind} {number} ({_n_units(network, depth)} {what})"


def _slice(image: Tensor) -> Tensor:
    return image[..., image.shape[-1] // 2] if image.ndim == 3 else image


def _ints(value: object, n: int) -> tuple[int, ...]:
    return tuple(int(v) for v in value) if isinstance(value, (tuple, list)) else (int(value),) * n  # type: ignore[call-overload]
