"""Principal axes of patches: the whitening below independent subspaces, and the linear code they are compared with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.linalg import eigh
from torch import Tensor, nn

from workbench.models.layers import ConvStage, normalize_patches

FLOOR = 1e-7
"""Variances below this share of the largest count as it: a direction in which nothing varies is not blown up."""


@dataclass(frozen=True, eq=False)
class PrincipalAxes:
    """The directions in which rows vary most.

    Attributes:
        mean: (V,) float32.
        axes: (K, V) float32, orthonormal rows, the largest variance first.
        variances: (K,) float32 along the axes, none below ``FLOOR`` of the largest.
        total: variance of the rows along all V directions.
    """

    mean: Tensor
    axes: Tensor
    variances: Tensor
    total: float


def principal_axes(chunks: Iterable[Tensor], n_axes: int) -> PrincipalAxes:
    """Find the principal axes of rows that are seen in pieces, once.

    Products are taken in single precision about the first piece's mean and added up in double precision. The sign of
    an axis makes its largest element positive, so that equal rows give equal axes.

    Args:
        chunks: pieces (B, V) of the rows.
        n_axes: K.

    Raises:
        ValueError: there are no more rows than axes, or fewer elements than axes.
    """
    n_rows, shift = 0, torch.zeros(0)
    total, products = torch.zeros(0, dtype=torch.float64), torch.zeros(0, dtype=torch.float64)
    for rows in chunks:
        if not n_rows:
            shift, width = rows.mean(0), rows.shape[1]
            total, products = shift.new_zeros(width).double(), shift.new_zeros((width, width)).double()
        moved = rows - shift
        products += moved.T @ moved
        total += moved.sum(0, dtype=torch.float64)
        n_rows += len(rows)
    if n_rows <= n_axes or len(shift) < n_axes:
        raise ValueError(
            f"{n_axes} principal axes need more rows and at least as many elements; got {n_rows} rows of {len(shift)}"
        )
    offset = total / n_rows
    covariance = (products / n_rows - torch.outer(offset, offset)).cpu().numpy()
    first = len(shift) - n_axes
    variances, axes = eigh(covariance, subset_by_index=(first, len(shift) - 1), overwrite_a=True, check_finite=False)
    variances, axes = variances[::-1], axes.T[::-1]
    signs = np.sign(axes[np.arange(n_axes), np.abs(axes).argmax(1)])
    kept = np.maximum(variances, max(variances[0], np.finfo(float).tiny) * FLOOR)
    return PrincipalAxes(
        shift + offset.float(),
        torch.from_numpy((axes * signs[:, None]).astype(np.float32)).to(shift),
        torch.from_numpy(kept.astype(np.float32)).to(shift),
        float(np.trace(covariance)) if not first else float((products / n_rows).trace() - offset.square().sum()),
    )


class PrincipalCode(nn.Module):
    """Give the scores of a patch on the principal axes of many: PCA as a patch encoder.

        patch (C, *spatial) ─normalize, flatten─► (V) ─minus mean, times axes─► (K) = code

    Args:
        patch_shape: (C, *spatial).
        n_axes: K.
        normalization: of each patch, see :func:`workbench.models.layers.normalize_patches`.
    """

    mean: Tensor
    axes: Tensor
    variances: Tensor

    def __init__(self, patch_shape: Sequence[int], n_axes: int, *, normalization: str = "none") -> None:
        super().__init__()
        self.patch_shape, self.normalization = tuple(int(n) for n in patch_shape), normalization
        width = int(np.prod(self.patch_shape))
        if not 1 <= n_axes <= width:
            raise ValueError(f"a patch of {width} elements has 1 to {width} principal axes; got {n_axes}")
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("axes", torch.eye(n_axes, width))
        self.register_buffer("variances", torch.ones(n_axes))

    @property
    def code_size(self) -> int:
        """Numbers in a code."""
        return len(self.axes)

    def rows(self, x: Tensor) -> Tensor:
        """Give patches (B, C, *spatial) as the code sees them: normalized, flat (B, V)."""
        if tuple(x.shape[1:]) != self.patch_shape:
            raise ValueError(f"patches of shape {self.patch_shape} were expected; got {tuple(x.shape[1:])}")
        return normalize_patches(x, self.normalization).flatten(1)

    def take(self, found: PrincipalAxes) -> None:
        """Become the code on these axes."""
        self.mean.copy_(found.mean)
        self.axes.copy_(found.axes)
        self.variances.copy_(found.variances)

    def encode(self, x: Tensor) -> Tensor:
        """Give the scores (B, K) of patches (B, C, *spatial)."""
        return (self.rows(x) - self.mean) @ self.axes.T

    def rebuild(self, x: Tensor) -> Tensor:
        """Give the normalized patches (B, C, *spatial) that the scores stand for."""
        return (self.mean + self.encode(x) @ self.axes).reshape(x.shape)

    def as_convolutions(self) -> list[ConvStage]:
        """Give the one stage to slide over an image."""
        weight = self.axes.reshape(-1, *self.patch_shape)
        return [ConvStage(weight, -(self.axes @ self.mean), "linear", normalization=self.normalization)]
