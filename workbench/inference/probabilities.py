"""What every way from an image to class probabilities shares: checks, planes, windows, activations, the mask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from workbench.errors import GeometryError, SettingsError, WorkbenchError
from workbench.inference.boxes import Triple
from workbench.models.receptive_field import kind_of
from workbench.progress import Progress

ActivationName = Literal["softmax", "sigmoid", "none"]
PlaneName = Literal["axial", "coronal", "sagittal"]
Fill = float | Sequence[float]
FIXED_AXIS: dict[str, int] = {"axial": 2, "coronal": 1, "sagittal": 0}
"""The image axis that a plane stays on."""


def activate(scores: Tensor, activation: ActivationName) -> Tensor:
    """Turn scores (B, K, …) into probabilities; ``none`` leaves them."""
    if activation == "softmax":
        return scores.softmax(1)
    if activation not in ("sigmoid", "none"):
        raise LookupError(f"unknown activation {activation!r}; known are softmax, sigmoid, none")
    return scores.sigmoid() if activation == "sigmoid" else scores


def checked(network: nn.Module, image: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    """Give the image (C, X, Y, Z) as float32 if the network can take it.

    Raises:
        SettingsError: the network wants another number of channels.
        GeometryError: the mask is not (X, Y, Z) of the image.
        WorkbenchError: the image holds values that are not numbers, which would spread over every patch they touch.
    """
    if image.ndim != 4:
        raise ValueError(f"expected an image (C, X, Y, Z); got an array of shape {image.shape}")
    first = next((m.in_channels for m in network.modules() if kind_of(m) == "convolution"), len(image))
    wanted = getattr(network, "n_channels", first)  # said by networks whose first convolution sees some of them alone
    if wanted != len(image):
        raise SettingsError(
            f"The network was made for {wanted} image channel(s) but got {len(image)}; choose the modalities that it "
            "was trained on."
        )
    if mask is not None and mask.shape != image.shape[1:]:
        raise GeometryError(
            f"The mask has {mask.shape} voxels but the image has {image.shape[1:]}; resample the mask first."
        )
    image = np.asarray(image, np.float32)
    if not np.isfinite(image).all():
        n = int((~np.isfinite(image)).sum())
        raise WorkbenchError(
            f"The image holds {n:,} values that are not finite numbers; replace them, by the background's for example."
        )
    return image


def plane_axes(n_axes: int, plane: PlaneName | None) -> tuple[int, ...]:
    """Give the image axes in the order in which the network sees them, the fixed one of a plane last.

    Args:
        n_axes: spatial axes of the network.
        plane: what a 2-D network sees; None for a 3-D network.
    """
    if plane is not None and plane not in FIXED_AXIS:
        raise LookupError(f"unknown plane {plane!r}; known are {', '.join(FIXED_AXIS)}")
    if (n_axes == 2) != (plane is not None):
        raise ValueError(f"a network of {n_axes} spatial axes cannot be run with plane={plane!r}")
    fixed = 2 if plane is None else FIXED_AXIS[plane]
    return (*(a for a in range(3) if a != fixed), fixed)


def to_batch(window: np.ndarray, axes: Sequence[int], n_axes: int) -> Tensor:
    """Give (C, X, Y, Z) as a network sees it: (1, C, X, Y, Z), or (planes, C, *plane)."""
    turned = window.transpose(0, *(1 + a for a in axes))
    return torch.from_numpy(np.ascontiguousarray(turned[None] if n_axes == 3 else np.moveaxis(turned, 3, 0)))


def from_batch(scores: Tensor, axes: Sequence[int], n_axes: int) -> np.ndarray:
    """Undo :func:`to_batch` for the scores (B, K, …): (K, X, Y, Z)."""
    array = scores.cpu().numpy()
    turned = array[0] if n_axes == 3 else np.moveaxis(array, 0, 3)
    return turned.transpose(0, *(1 + i for i in np.argsort(axes)))


def cut(image: np.ndarray, low: Sequence[int], shape: Triple, fill: Fill) -> np.ndarray:
    """Copy a window that may stick out of the image.

    Args:
        image: (C, X, Y, Z).
        low: its first voxel; may be negative.
        shape: its voxels along X, Y, Z.
        fill: value outside the image, one or one for each channel.
    """
    out = np.empty((len(image), *shape), np.float32)
    out[...] = _per_channel(fill, len(image))
    spans = [
        (max(a, 0), min(a + n, size)) for a, n, size in zip(low, shape, image.shape[1:], strict=True)
    ]  # in the image
    if all(a < b for a, b in spans):
        inner = tuple(slice(a - first, b - first) for (a, b), first in zip(spans, low, strict=True))
        out[(slice(None), *inner)] = image[(slice(None), *(slice(a, b) for a, b in spans))]
    return out


def in_image(sizes: Sequence[int], axes: Sequence[int], fixed: int) -> Triple:
    """Give what a network's axes have as X, Y, Z, and ``fixed`` along the axis that a plane stays on."""
    out = [fixed] * 3
    for axis, n in zip(axes, sizes, strict=False):
        out[axis] = int(n)
    return out[0], out[1], out[2]


def label_offset(patch: Sequence[int]) -> tuple[int, ...]:
    """Give the voxel of a patch that its scores belong to: the middle, just below it for even sizes."""
    return tuple((int(n) - 1) // 2 for n in patch)


def background(n_classes: int, shape: Sequence[int], activation: ActivationName) -> np.ndarray:
    """Give (K, X, Y, Z) as it is where nothing was asked: class 0 for a softmax of several classes, else all 0."""
    out = np.zeros((n_classes, *shape), np.float32)
    if activation == "softmax" and n_classes > 1:
        out[0] = 1
    return out


def clear_outside(probabilities: np.ndarray, mask: np.ndarray | None, activation: ActivationName) -> np.ndarray:
    """Put the background outside a mask (X, Y, Z), in place."""
    if mask is not None:
        outside = mask == 0
        probabilities[:, outside] = 0
        if activation == "softmax" and len(probabilities) > 1:
            probabilities[0, outside] = 1
    return probabilities


class Parts:
    """What has been done of several equal parts, told to a progress callback as it grows."""

    def __init__(self, progress: Progress, n_parts: int, noun: str) -> None:
        self.progress, self.n_parts, self.noun = progress, n_parts, noun
        self.n_ended, self.done, self.total = 0, 0.0, 1.0

    def begin(self, total: float) -> None:
        """Start a part whose ticks will add up to about ``total``."""
        self.done, self.total = 0.0, total

    def tick(self, done: float) -> None:
        """Count some of the part as done."""
        self.done += done
        self._tell(min(self.done / self.total, 1.0))

    def end(self) -> None:
        """Count the part as done, whatever its ticks added up to."""
        self.n_ended, self.done = self.n_ended + 1, 0.0
        self._tell(0.0)

    def _tell(self, within: float) -> None:
        number = min(self.n_ended + 1, self.n_parts)
        self.progress(min((self.n_ended + within) / self.n_parts, 1.0), f"{self.noun} {number} of {self.n_parts}")


def _per_channel(fill: Fill, n_channels: int) -> np.ndarray:
    values = np.atleast_1d(np.asarray(fill, np.float32))
    if values.shape not in ((1,), (n_channels,)):
        raise ValueError(f"expected one fill value or one for each of {n_channels} channels; got {fill}")
    return values[:, None, None, None]
