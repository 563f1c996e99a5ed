"""A multilayer perceptron as layers of units, for Figure 1 and the filters."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from workbench.models.mlp import MLP
from workbench.systems.layered import Link


class MLPLayers:
    """An MLP as the views see it: see :class:`workbench.systems.layered.Layered`.

    Args:
        network: trained.
        blocks: names and bounds of the parts of a flattened example.
        outputs: names of the outputs' classes, or empty.
        kind: the drawing, ``"mlp"`` unless the network came from another family.
    """

    def __init__(
        self, network: MLP, blocks: dict[str, tuple[int, int]], outputs: Sequence[str] = (), kind: str = "mlp"
    ) -> None:
        self.network, self.kind = network, kind
        self.blocks = blocks if len(blocks) > 1 else {"input": next(iter(blocks.values()))}
        self.data = {name: end - begin for name, (begin, end) in self.blocks.items()}
        hidden = {f"h{i + 1}": self._weight(i).shape[0] for i in range(network.n_layers)}
        self.sizes = {**hidden, "output": network.n_outputs}
        softmax = "softmax" if len(outputs) > 1 else "linear"
        self.unit_names = {**dict.fromkeys(hidden, network.activation), "output": softmax}

    def patterns(self, name: str) -> Tensor:
        """Give weights from the input, or the linear product of the layers' weights: (n, *shape)."""
        weight = torch.eye(sum(self.data.values()))
        for i, layer in enumerate(self.sizes):
            weight = self._weight(i).float() @ weight
            if layer == name:
                break
        return weight.reshape(-1, *self.network.shape)

    def activations(self, x: Tensor, name: str) -> Tensor:
        """Give hidden activations, or the outputs' probabilities."""
        if name != "output":
            return self.network.features(x, list(self.sizes).index(name) + 1)
        y = self.network(x)
        return torch.softmax(y, 1) if y.ndim == 2 else y[:, None]

    def links(self) -> list[Link]:
        """Give the weights of every layer, directed upwards."""
        first = self._weight(0)
        names = list(self.sizes)
        found = [Link(n, names[0], first[:, a:b], "up") for n, (a, b) in self.blocks.items()]
        return found + [Link(a, b, self._weight(i + 1), "up") for i, (a, b) in enumerate(pairwise(names))]

    def _weight(self, index: int) -> Tensor:
        layers = [*self.network.hidden, self.network.output]
        layer = layers[index]
        weight = getattr(layer, "effective_weight", layer.weight)  # DropConnect's of inference
        assert isinstance(weight, Tensor)
        return weight.detach()
