"""The deep belief network (Section 2.3.2, Equation 4, Figure 2b; Hinton, Osindero and Teh, Neural Comput. 2006).

    v ─RBM 1─ h_1 ─RBM 2─ h_2 ─ … ─RBM L─ h_L

The RBMs are trained one after the other on what the layers below make of the data; the whole is then one model, in
which only the last RBM is undirected. Each lower RBM serves as recognition upwards and as generation downwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from workbench.models.belief_layers import Affine, down_affine, up_affine
from workbench.models.belief_net import BeliefNet
from workbench.models.layers import NormalizationName
from workbench.models.rbm import RBM
from workbench.models.units import Units

Propagation = Literal["mean", "sample"]


class DBN(BeliefNet):
    """Stack RBMs to a deep belief network.

    The RBMs themselves are held, not copies: training one trains the network.

    Args:
        rbms: from the input upwards; the hidden units of one are the visible units of the next. The last may be a
            :class:`workbench.models.class_rbm.ClassRBM`, whose labels then belong to the top.
        shape: (C, *spatial) of a patch, or (V,) for plain vectors.
        normalization: of each patch, before the first layer.
    """

    def __init__(self, rbms: Sequence[RBM], shape: Sequence[int], *, normalization: NormalizationName = "none") -> None:
        if not rbms:
            raise ValueError("a deep belief network needs at least one RBM; rbms is empty")
        if normalization != "none" and rbms[0].visible_units.name != "gaussian":
            raise ValueError(f"bernoulli visible units need inputs in [0, 1], which {normalization} patches are not")
        for index, (below, above) in enumerate(pairwise(rbms)):
            if below.n_hidden != above.n_visible:
                raise ValueError(
                    f"layer {index} has {below.n_hidden} hidden units but the layer above it {above.n_visible} visible"
                )
        super().__init__(shape, normalization, [rbms[0].n_visible, *(rbm.n_hidden for rbm in rbms)])
        self.layers = nn.ModuleList(rbms)

    def layer(self, index: int) -> RBM:
        """Give the RBM of layer ``index``, counted from 0."""
        rbm = self.layers[index]
        assert isinstance(rbm, RBM)
        return rbm

    @property
    def top(self) -> RBM:
        """The last RBM."""
        return self.layer(self.n_layers - 1)

    def recognition_units(self, level: int) -> Units:
        """Give the hidden units of the RBM below a level."""
        return self.layer(level - 1).hidden_units

    def generative_units(self, level: int) -> Units:
        """Give the visible units of the RBM above a level."""
        return self.layer(level).visible_units

    def up_input(self, index: int, below: Tensor) -> Tensor:
        """Give the hidden net input (B, M) of an RBM."""
        return self.layer(index).hidden_input(below)

    def down_input(self, index: int, above: Tensor) -> Tensor:
        """Give the visible net input (B, V) of an RBM."""
        return self.layer(index).visible_input(above)

    def up_affine(self, index: int) -> Affine:
        """Give the hidden net input of an RBM as a map (M, V)."""
        return up_affine(self.layer(index))

    def down_affine(self, index: int) -> Affine:
        """Give the visible net input of an RBM as a map (V, M)."""
        return down_affine(self.layer(index))

    @torch.no_grad()
    def set_base_rates(self, index: int, x: Tensor) -> None:
        """Start the visible biases of a layer at the mean of what it will see, of patches (N, C, *spatial)."""
        v = self.layer_input(x, index)
        self.layer(index).set_base_rates(v.mean(0), None)

    @torch.no_grad()
    def initialize_from_below(self, index: int) -> None:
        """Start a layer as the transpose of the one below, which leaves log p(v) as it is.

        From there on, training the layer on samples of the layers below raises the bound whenever it makes those more
        probable (Hinton, Osindero and Teh 2006, Section 4).

        Raises:
            ValueError: the sizes or the units of the two layers do not mirror each other.
        """
        if not 1 <= index < self.n_layers:
            raise ValueError(f"layers 1 to {self.n_layers - 1} have one below; got {index}")
        below, layer = self.layer(index - 1), self.layer(index)
        if layer.n_hidden != below.n_visible or layer.hidden_units.name != below.visible_units.name:
            raise ValueError(
                f"a transposed start needs as many hidden units as the layer below has visible ones, of the same kind; "
                f"got {layer.n_hidden} {layer.hidden_units.name} and {below.n_visible} {below.visible_units.name}"
            )
        below = below if layer.centered else below.uncentered()
        mirrored = {
            "weight": below.weight.T,
            "visible_bias": below.hidden_bias,
            "hidden_bias": below.visible_bias,
            "visible_offset": below.hidden_offset,
            "hidden_offset": below.visible_offset,
        }
        for name, value in mirrored.items():
            getattr(layer, name).copy_(value)
        layer.up_factor, layer.down_factor = below.down_factor, below.up_factor


class Below:
    """Map patches to the visible values of one layer, for the task that trains it (steps 2 and 4 of the review).

    Not a module on purpose: the layers below belong to the network, not to the state of the layer's training.

    Args:
        dbn: with trained layers below ``index``.
        index: the layer that learns.
        propagate: ``mean`` propagates mean activations; ``sample`` draws, anew at each call.
    """

    def __init__(self, dbn: DBN, index: int, propagate: Propagation = "mean") -> None:
        if propagate not in ("mean", "sample"):
            raise LookupError(f"activations are propagated as mean or sample; got {propagate!r}")
        self.dbn, self.index, self.propagate = dbn, index, propagate

    def __call__(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Give (B, V_index) of patches (B, C, *spatial); ``sample`` needs the generator."""
        if self.propagate == "sample" and generator is None:
            raise ValueError("sampled propagation draws hidden units; it needs a generator")
        return self.dbn.layer_input(x, self.index, generator if self.propagate == "sample" else None)
