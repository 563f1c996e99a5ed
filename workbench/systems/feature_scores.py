"""What is counted of a stack of auto-encoders: errors, the use of its units, the work of a pass."""

from __future__ import annotations

import numpy as np
import torch

from workbench.models.layers import activation_rate
from workbench.models.stack import Stack


def reconstruction_scores(stack: Stack, patches: torch.Tensor) -> dict[str, float]:
    """Give mean squared error a voxel, and the share of the patches' variance about their mean that is explained."""
    with torch.no_grad():
        target = torch.cat([stack.normalize(p) for p in patches.split(256)])
        rebuilt = torch.cat([stack(p) for p in patches.split(256)])
    error = float((rebuilt - target).square().mean())
    variance = float((target - target.mean(0)).square().mean())
    return {"mse": error, "explained_variance": 1 - error / variance if variance else 0.0}  # 0: a single example


def finite(interval: tuple[float, float, float]) -> list[float | None]:
    """Give (mean, low, high) with None where one subject alone allows no interval, as JSON needs it."""
    return [float(v) if np.isfinite(v) else None for v in interval]


def unit_use(stack: Stack, patches: torch.Tensor, depth: int) -> np.ndarray:
    """Give how active every unit at a depth is over patches, (n_units,), as training counts it; maps are averaged."""
    n_units, hidden = stack.layer(depth - 1).n_hidden, stack.layer(depth - 1).hidden
    h = torch.cat([activation_rate(stack.encode(p, depth), hidden) for p in patches.split(256)])
    return h.reshape(len(patches), n_units, -1).mean((0, 2)).numpy()


def weights_and_places(stack: Stack) -> list[tuple[int, int]]:
    """Give for each layer its weights, and the number of places of a patch where they are used."""
    found, size = [], list(stack.patch_shape[1:])
    for stage in stack.as_convolutions():
        size = [n - k + 1 for n, k in zip(size, stage.weight.shape[2:], strict=True)]
        found.append((stage.weight.numel(), int(np.prod(size))))
        size = [n // stage.pool for n in size]
    return found
