"""Which part of an input an output rests on, for one input at a time.

    gradient           by how much the output changes with each voxel, per channel
    saliency           its absolute value, the largest over channels (Simonyan et al., ICLR Workshop 2014)
    input_x_gradient   each voxel's share of the output, exact for a linear network
    occlusion          how much of the output is lost when a window is hidden (Zeiler and Fergus, ECCV 2014)

All run in eval mode and leave the network as it was. MONAI's ``OcclusionSensitivity`` is not used: its list indexing is
of a kind that torch announces it will read differently.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import torch
from torch import Tensor, nn

from workbench.models.exactness import evaluating


def gradient(network: nn.Module, x: Tensor, output: int | None = None) -> Tensor:
    """Give the gradient of one output with respect to the input.

    Args:
        network: (1, C, *spatial) → (1, K) or (1,). Dense scores (1, K, *map) are summed over the map.
        x: (C, *spatial).
        output: which of the K; the largest by default.

    Returns:
        (C, *spatial), in units of the output per unit of the input.
    """
    x = x.detach().clone().requires_grad_(True)
    with evaluating(network), torch.enable_grad():
        scores = _scores(network, x[None])[0]
        (slope,) = torch.autograd.grad(scores[_chosen(scores, output)], x)
    return slope


def saliency(network: nn.Module, x: Tensor, output: int | None = None) -> Tensor:
    """Give the largest absolute gradient over the channels of each voxel: (C, *spatial) → (*spatial)."""
    return gradient(network, x, output).abs().amax(0)


def input_x_gradient(network: nn.Module, x: Tensor, output: int | None = None) -> Tensor:
    """Give the sum over channels of value times gradient: (C, *spatial) → (*spatial), in units of the output.

    Over all voxels of a network without biases whose units are linear or rectified, it adds up to the output.
    """
    return (x.detach() * gradient(network, x, output)).sum(0)


def occlusion(
    network: nn.Module,
    x: Tensor,
    output: int | None = None,
    *,
    window: int | Sequence[int] = 3,
    fill: float | None = None,
    batch_size: int = 64,
) -> Tensor:
    """Give by how much an output falls when a window is hidden, averaged over all windows that hide a voxel.

    Windows lie at every position inside the image; the voxels at its border are in fewer of them.

    Args:
        network: as for :func:`gradient`.
        x: (C, *spatial).
        output: which of the K; the one that is largest for the whole input by default.
        window: voxels along each axis, one number or one for each.
        fill: what a hidden voxel holds; by default its channel's mean over the input.
        batch_size: hidden inputs at once.

    Returns:
        (*spatial), in units of the output; positive where the output rests on what was hidden.
    """
    spatial = x.shape[1:]
    sizes = (window,) * len(spatial) if isinstance(window, int) else tuple(window)
    if len(sizes) != len(spatial) or any(not 1 <= w <= n for w, n in zip(sizes, spatial, strict=True)):
        raise ValueError(f"expected a window of 1 to {tuple(spatial)} voxels; got {sizes}")
    means = x.detach().flatten(1).mean(1) if fill is None else x.new_full((len(x),), fill)
    hidden_value = means.reshape(-1, *[1] * len(spatial))
    boxes = [
        tuple(slice(a, a + w) for a, w in zip(corner, sizes, strict=True))
        for corner in product(*(range(n - w + 1) for n, w in zip(spatial, sizes, strict=True)))
    ]
    lost, counts = x.new_zeros(spatial), x.new_zeros(spatial)
    with evaluating(network), torch.no_grad():
        whole = _scores(network, x[None])[0]
        chosen = _chosen(whole, output)
        for start in range(0, len(boxes), batch_size):
            some = boxes[start : start + batch_size]
            batch = x.repeat(len(some), *[1] * x.ndim)  # (n, C, *spatial)
            for row, place in zip(batch, some, strict=True):
                row[(slice(None), *place)] = hidden_value
            falls = whole[chosen] - _scores(network, batch)[:, chosen]
            for fall, place in zip(falls, some, strict=True):
                lost[place] += fall
                counts[place] += 1
    return lost / counts


def _scores(network: nn.Module, x: Tensor) -> Tensor:
    """Give outputs as (B, K): a single number as K = 1, dense scores summed over their map."""
    y = network(x)
    return y[:, None] if y.ndim == 1 else y.flatten(2).sum(2) if y.ndim > 2 else y


def _chosen(scores: Tensor, output: int | None) -> int:
    """Give the output to explain among (K,)."""
    if output is not None and not 0 <= output < len(scores):
        raise LookupError(f"the network has {len(scores)} outputs; there is no output {output}")
    return int(scores.argmax()) if output is None else output
