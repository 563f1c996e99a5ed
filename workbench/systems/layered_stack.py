"""A stack of auto-encoders as layers of units, for Figure 2a."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor

from workbench.models.layers import activation_rate
from workbench.models.stacked_autoencoder import StackedAutoEncoder
from workbench.systems.layered import Link


class StackLayers:
    """A stack of fully connected auto-encoders as the views see it: see :class:`workbench.systems.layered.Layered`.

    Args:
        stack: trained.
        blocks: names and bounds of the parts of a flattened example; one part, or none, is called v.
    """

    kind = "sae"

    def __init__(self, stack: StackedAutoEncoder, blocks: dict[str, tuple[int, int]]) -> None:
        self.stack = stack
        layers = [stack.layer(i) for i in range(stack.n_layers)]
        self.blocks = blocks if len(blocks) > 1 else {"v": (0, layers[0].weight.shape[1])}
        self.data = {name: end - begin for name, (begin, end) in self.blocks.items()}
        self.sizes = {f"h{i + 1}": layer.n_hidden for i, layer in enumerate(layers)}
        self.unit_names: dict[str, str] = {name: layer.hidden for name, layer in zip(self.sizes, layers, strict=True)}

    def patterns(self, name: str) -> Tensor:
        """Give the weights of a layer, or their linear product back to the data: (n, *shape)."""
        return self.stack.back_projection(list(self.sizes).index(name) + 1)

    def activations(self, x: Tensor, name: str) -> Tensor:
        """Give how active the units of a layer are, as training counts it."""
        depth = list(self.sizes).index(name) + 1
        return activation_rate(self.stack.encode(x, depth), self.stack.layer(depth - 1).hidden)

    def links(self) -> list[Link]:
        """Give the encoders' weights; the decoders' lead back."""
        weights = [self.stack.layer(i).weight.detach() for i in range(self.stack.n_layers)]
        names = list(self.sizes)
        found = [Link(n, names[0], weights[0][:, a:b], "both") for n, (a, b) in self.blocks.items()]
        return found + [Link(a, b, w, "both") for (a, b), w in zip(pairwise(names), weights[1:], strict=True)]
