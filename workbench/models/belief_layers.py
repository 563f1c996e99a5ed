"""What makes up a belief network: directed layers under an RBM, each with a way up and a way down.

Levels count from the input: level 0 is v, level L the code. Layer ``index`` joins level ``index`` and the one above.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor, nn

from workbench.models.class_rbm import ClassRBM
from workbench.models.rbm import RBM
from workbench.models.units import Units


class Affine(NamedTuple):
    """The map x → weight x + bias: ``weight`` (out, in) and ``bias`` (out,), as of :class:`torch.nn.Linear`."""

    weight: Tensor
    bias: Tensor


@torch.no_grad()
def up_affine(rbm: RBM) -> Affine:
    """Give the net input of an RBM's hidden units as a map (M, V): offsets, sigma and doubled inputs are folded in."""
    if isinstance(rbm, ClassRBM):
        raise ValueError("hidden units beside a label group depend on the class too; no single layer computes them")
    weight = rbm.up_factor * rbm.weight * rbm.visible_units.precision
    return Affine(weight, rbm.hidden_input(weight.new_zeros(1, rbm.n_visible))[0])


@torch.no_grad()
def down_affine(rbm: RBM) -> Affine:
    """Give the net input of an RBM's visible units as a map (V, M): offsets and doubled inputs are folded in."""
    weight = rbm.down_factor * rbm.weight.T
    return Affine(weight, rbm.visible_input(weight.new_zeros(1, rbm.n_hidden))[0])


class BeliefLayers(nn.Module, ABC):
    """The layers of a belief network and the units of its levels (Section 2.3.2, Figure 2b).

    Attributes:
        patch_shape: (C, *spatial) of one patch, or (V,) for plain vectors.
        normalization: what happens to each patch first (:func:`workbench.models.layers.normalize_patches`).
        sizes: units of each level, from the input upwards.
    """

    def __init__(self, shape: Sequence[int], normalization: str, sizes: Sequence[int]) -> None:
        super().__init__()
        self.patch_shape, self.normalization = tuple(int(n) for n in shape), normalization
        self.sizes = tuple(int(n) for n in sizes)
        if prod(self.patch_shape) != self.sizes[0]:
            raise ValueError(f"patches of shape {self.patch_shape} do not lie out as {self.sizes[0]} visible units")

    @property
    @abstractmethod
    def top(self) -> RBM:
        """The undirected layer at the top, joining the levels L - 1 and L."""

    @abstractmethod
    def recognition_units(self, level: int) -> Units:
        """Give the units that recognition draws at a level, 1 to L."""

    @abstractmethod
    def generative_units(self, level: int) -> Units:
        """Give the units that are generated at a level, 0 to L - 1."""

    @abstractmethod
    def up_input(self, index: int, below: Tensor) -> Tensor:
        """Give the net input (B, M) of level ``index`` + 1 from values (B, V) at level ``index``."""

    @abstractmethod
    def down_input(self, index: int, above: Tensor) -> Tensor:
        """Give the net input (B, V) of level ``index`` from values (B, M) at level ``index`` + 1."""

    @abstractmethod
    def up_affine(self, index: int) -> Affine:
        """Give recognition as a map (M, V), without gradient."""

    @abstractmethod
    def down_affine(self, index: int) -> Affine:
        """Give generation as a map (V, M), without gradient."""

    @property
    def n_layers(self) -> int:
        """Layers of the encoder, the top RBM among them."""
        return len(self.sizes) - 1

    def flatten(self, x: Tensor) -> Tensor:
        """Give the normalized patches (B, C, *spatial) as visible vectors (B, V), in the type of the weights."""
        return self.normalize(x).flatten(1).to(self.top.weight.dtype)

    @abstractmethod
    def normalize(self, x: Tensor) -> Tensor:
        """Give the patches (B, C, *spatial) as the network sees them."""
