"""From intensities to what a network's visible units expect: a map learnt from the training examples alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from workbench.errors import CohortError, SettingsError

ScalingName = Literal["unit", "binary", "standardize", "whiten", "none"]
WHITEN_EPSILON = 0.1
"""Added to each eigenvalue of the covariance of standardized values, so that noise is not blown up."""
MAX_WHITENED = 4096
FLAT = 1e-6


@dataclass(frozen=True, eq=False)
class Scaling:
    """A map from raw examples (N, *shape) to scaled ones of the same shape.

    ``unit``: to 0..1 by the smallest and largest training value, of each column of a table, else of each channel.
    ``binary``: the same, then 1 from one half upwards. ``standardize``: mean 0, variance 1, by the same rule.
    ``whiten``: standardized, then decorrelated elementwise (ZCA), the covariance being that of the training examples.

    Attributes:
        name: which of them.
        shift, scale: broadcast over (N, *shape): ``(x - shift) / scale``.
        whitener, dewhitener: (V, V) symmetric, or None.
    """

    name: ScalingName
    shift: Tensor
    scale: Tensor
    whitener: Tensor | None = None
    dewhitener: Tensor | None = None

    @classmethod
    def learn(cls, x: Tensor, name: ScalingName) -> Scaling:
        """Learn from training examples (N, *shape); missing entries (nan) do not count.

        Raises:
            SettingsError: no scaling of that name, or too many elements to whiten.
            CohortError: no finite value at all.
        """
        if name not in get_args(ScalingName):
            raise SettingsError(f"The scaling is one of {', '.join(get_args(ScalingName))}; got {name!r}.")
        if not bool(torch.isfinite(x).any()):
            raise CohortError("The training examples hold no finite number, so nothing can be learnt from them.")
        axes = 0 if x.ndim == 2 else (0, *range(2, x.ndim))
        finite = np.where(torch.isfinite(x).numpy(), x.numpy(), np.nan)
        shift, scale = _range_of(finite, axes) if name in ("unit", "binary") else _moments(finite, axes)
        if name == "none":
            shift, scale = np.zeros_like(shift), np.ones_like(scale)
        found = cls(name, torch.from_numpy(shift), torch.from_numpy(scale))
        return found._with_whitener(x) if name == "whiten" else found

    def apply(self, x: Tensor) -> Tensor:
        """Scale examples (N, *shape); a missing entry takes the training mean (0.5 of a range, 0 of a z-score)."""
        scaled = (x - self.shift) / self.scale
        middle = 0.5 if self.name in ("unit", "binary") else 0.0
        scaled = torch.where(torch.isfinite(scaled), scaled, torch.full_like(scaled, middle))
        if self.name == "unit":
            return scaled.clamp(0, 1)
        if self.name == "binary":
            return (scaled >= 0.5).to(x.dtype)
        return self._through(scaled, self.whitener)

    def undo(self, x: Tensor) -> Tensor:
        """Give scaled examples (N, *shape) in their own units again; what ``binary`` and clipping took stays gone."""
        return self._through(x, self.dewhitener) * self.scale + self.shift

    def pattern(self, weights: Tensor) -> Tensor:
        """Give weights (n, *shape) on scaled values as patterns of the image: what each unit looks for, unscaled.

        Whitening emphasizes noise in the weights; the pattern is the dewhitened weight vector.
        """
        return self._through(weights, self.dewhitener)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Give plain arrays; :meth:`from_arrays` reads them."""
        arrays = {"name": np.array(self.name), "shift": self.shift.numpy(), "scale": self.scale.numpy()}
        if self.whitener is not None and self.dewhitener is not None:
            arrays |= {"whitener": self.whitener.numpy(), "dewhitener": self.dewhitener.numpy()}
        return arrays

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> Scaling:
        """Read what :meth:`to_arrays` gave."""
        tensors = {k: torch.from_numpy(np.asarray(v)) for k, v in arrays.items() if k != "name"}
        return cls(str(arrays["name"]), **tensors)  # type: ignore[arg-type]

    def _with_whitener(self, x: Tensor) -> Scaling:
        n_elements = int(np.prod(x.shape[1:]))
        if n_elements > MAX_WHITENED:
            raise SettingsError(
                f"Whitening takes at most {MAX_WHITENED:,} elements an example and these have {n_elements:,}; choose "
                "smaller patches, or standardize."
            )
        values = self.apply(x).flatten(1).double()  # (N, V)
        centered = values - values.mean(0)
        eigenvalues, vectors = torch.linalg.eigh(centered.T @ centered / len(values))
        root = (eigenvalues.clamp_min(0) + WHITEN_EPSILON).sqrt()
        down, up = (vectors / root) @ vectors.T, (vectors * root) @ vectors.T
        return Scaling(self.name, self.shift, self.scale, down.float(), up.float())

    def _through(self, x: Tensor, matrix: Tensor | None) -> Tensor:
        return x if matrix is None else (x.flatten(1) @ matrix.to(x.dtype)).reshape(x.shape)


def _range_of(x: np.ndarray, axes: int | tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    low, high = (_seen(f, x, axes) for f in (np.fmin, np.fmax))
    return low, np.where(high - low > FLAT, high - low, 1).astype(np.float32)


def _seen(smaller: np.ufunc, x: np.ndarray, axes: int | tuple[int, ...]) -> np.ndarray:
    """Reduce over finite entries; a column without any gives 0."""
    return np.nan_to_num(smaller.reduce(x, axis=axes, keepdims=True)[0]).astype(np.float32)


def _moments(x: np.ndarray, axes: int | tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    known = np.isfinite(x)
    n = np.maximum(known.sum(axes, keepdims=True), 1)
    filled = np.where(known, x, 0).astype(np.float64)
    mean = filled.sum(axes, keepdims=True) / n
    deviation = np.sqrt((np.where(known, filled - mean, 0) ** 2).sum(axes, keepdims=True) / n)
    return mean[0].astype(np.float32), np.where(deviation > FLAT, deviation, 1)[0].astype(np.float32)
