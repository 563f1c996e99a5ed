"""Networks that give a map of their input's size: in MONAI's overlapping windows, or on the whole image at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import ceil
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from workbench.inference.probabilities import (
    ActivationName,
    Parts,
    PlaneName,
    activate,
    checked,
    from_batch,
    plane_axes,
    to_batch,
)
from workbench.models.exactness import evaluating
from workbench.progress import Progress, silent


def sliding_probabilities(
    network: nn.Module,
    image: np.ndarray,
    *,
    window: Sequence[int],
    overlap: float = 0.5,
    weighting: Literal["gaussian", "constant"] = "gaussian",
    fill: float = 0.0,
    activation: ActivationName = "softmax",
    plane: PlaneName | None = None,
    batch_size: int = 4,
    progress: Progress = silent,
) -> np.ndarray:
    """Give the class probabilities of every voxel, averaged over the windows that see it, by MONAI.

    Args:
        network: (B, C, *window) → (B, K, *window).
        image: (C, X, Y, Z); smaller ones than the window are padded.
        window: spatial shape, two sizes for a 2-D network and three for a 3-D one.
        overlap: of neighboring windows, as a fraction from 0 to below 1.
        weighting: ``gaussian`` trusts the middle of a window more than its border.
        fill: value outside the image.
        activation: applied to each window's scores, so that probabilities are averaged.
        plane: that a 2-D network sees.
        batch_size: windows at once, and planes at once.
        progress: told after each batch of windows; may raise to cancel.

    Returns:
        (K, X, Y, Z) float32.
    """
    from monai.inferers import sliding_window_inference

    if not 0 <= overlap < 1:
        raise ValueError(f"windows overlap by a fraction from 0 to below 1; got {overlap}")
    image = checked(network, image)
    axes = plane_axes(len(window), plane)
    counts = [
        ceil(max(image.shape[1 + a] - w, 0) / max(int(w * (1 - overlap)), 1)) + 1
        for a, w in zip(axes, window, strict=False)
    ]  # windows along each axis

    def run(planes: Tensor, told: Parts) -> Tensor:
        def predict(windows: Tensor) -> Tensor:
            scores = activate(_same_size(network, windows), activation)
            told.tick(len(windows))
            return scores

        told.begin(float(np.prod(counts) * len(planes)))
        return sliding_window_inference(
            planes, tuple(window), batch_size, predict, overlap, weighting, cval=fill, progress=False
        )  # type: ignore[return-value]

    return _by_planes(network, image, axes, len(window), batch_size, run, progress)


def whole_probabilities(
    network: nn.Module,
    image: np.ndarray,
    *,
    multiple_of: int | Sequence[int] = 1,
    fill: float = 0.0,
    activation: ActivationName = "sigmoid",
    plane: PlaneName | None = None,
    batch_size: int = 4,
    progress: Progress = silent,
) -> np.ndarray:
    """Give the class probabilities of every voxel from the whole image, or from whole planes, at once.

    Args:
        network: (B, C, *image) → (B, K, *image).
        image: (C, X, Y, Z).
        multiple_of: sizes that the network can take, one number or one for each of its axes; the image is padded
            behind its last voxel and the result cut back.
        fill: value of the padding.
        activation: what makes probabilities of scores; ``none`` for a network that gives probabilities.
        plane: that a 2-D network sees.
        batch_size: planes at once.
        progress: told after each layer; may raise to cancel.

    Returns:
        (K, X, Y, Z) float32.
    """
    image = checked(network, image)
    n_axes = 3 if plane is None else 2
    axes = plane_axes(n_axes, plane)
    multiples = (multiple_of,) * n_axes if isinstance(multiple_of, int) else tuple(multiple_of)

    def run(planes: Tensor, told: Parts) -> Tensor:
        sizes = planes.shape[2:]
        rests = [-n % int(m) for n, m in zip(sizes, multiples, strict=True)]
        padding = [rows for rest in reversed(rests) for rows in (0, rest)]  # torch begins with the last axis
        with _ticking(network, told):
            scores = _same_size(network, nn.functional.pad(planes, padding, value=fill))
        index: list[slice] = [slice(None), slice(None), *(slice(n) for n in sizes)]
        return activate(scores, activation)[tuple(index)]

    return _by_planes(network, image, axes, n_axes, batch_size, run, progress)


def _by_planes(
    network: nn.Module,
    image: np.ndarray,
    axes: Sequence[int],
    n_axes: int,
    batch_size: int,
    run: Callable[[Tensor, Parts], Tensor],
    progress: Progress,
) -> np.ndarray:
    """Run on the whole image, or on some of its planes at a time."""
    n_planes = 1 if n_axes == 3 else image.shape[1 + axes[2]]
    step = 1 if n_axes == 3 else batch_size
    told = Parts(progress, -(-n_planes // step), "image" if n_axes == 3 else "planes")
    device = next((p.device for p in network.parameters()), torch.device("cpu"))
    out: np.ndarray | None = None
    with evaluating(network), torch.inference_mode():
        for start in range(0, n_planes, step):
            where: list[slice] = [slice(None)] * 4
            if n_axes == 2:
                where[1 + axes[2]] = slice(start, start + step)
            some = from_batch(run(to_batch(image[tuple(where)], axes, n_axes).to(device), told), axes, n_axes)
            if out is None:
                out = np.empty((len(some), *image.shape[1:]), np.float32)
            out[tuple(where)] = some
            told.end()
    assert out is not None
    return out


@contextmanager
def _ticking(network: nn.Module, told: Parts) -> Iterator[None]:
    """Tell of each layer when it has run, so that one long pass can be followed and cancelled."""
    layers = [layer for layer in network.modules() if next(layer.children(), None) is None]
    told.begin(float(len(layers)))
    hooks = [layer.register_forward_hook(lambda *_: told.tick(1.0)) for layer in layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _same_size(network: nn.Module, x: Tensor) -> Tensor:
    scores: Tensor = network(x).float()
    if scores.shape[2:] != x.shape[2:]:
        raise ValueError(
            f"expected a map of the input's {tuple(x.shape[2:])} voxels; the network gave {tuple(scores.shape[2:])}"
        )
    return scores
