"""RBMs and deep belief networks as layers of units, for Figures 2b and 9 and the filters."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from workbench.models.belief_net import BeliefNet
from workbench.models.class_rbm import ClassRBM
from workbench.systems.layered import Link

NAMES = {"bernoulli": "binary", "gaussian": "Gaussian", "noisy_relu": "noisy rectified", "softmax": "softmax"}


class BeliefLayers:
    """A belief network as the views see it: see :class:`workbench.systems.layered.Layered`.

    Args:
        net: trained.
        blocks: names and bounds of the parts of a flattened example.
        classes: of the label group at the top, or empty.
    """

    def __init__(self, net: BeliefNet, blocks: dict[str, tuple[int, int]], classes: Sequence[str] = ()) -> None:
        self.net = net
        self.kind = "rbm" if net.n_layers == 1 else "dbn"
        self.blocks = blocks if len(blocks) > 1 else {"v": next(iter(blocks.values()))}
        self.data = {name: end - begin for name, (begin, end) in self.blocks.items()}
        self.sizes = {f"h{i + 1}": net.sizes[i + 1] for i in range(net.n_layers)}
        visible = NAMES[net.generative_units(0).name]
        hidden = {f"h{i + 1}": NAMES[net.recognition_units(i + 1).name] for i in range(net.n_layers)}
        self.unit_names = {**dict.fromkeys(self.data, visible), **hidden}
        self.classes = tuple(classes)
        if self.classes and isinstance(net.top, ClassRBM):
            self.data = {**self.data, "label": len(self.classes)}
            self.unit_names["label"] = "softmax"

    def patterns(self, name: str) -> Tensor:
        """Give the generative weights of a layer, or their linear product down to the data: (n, *shape)."""
        return self.net.back_projection(list(self.sizes).index(name) + 1)

    def activations(self, x: Tensor, name: str) -> Tensor:
        """Give posterior means, bottom up."""
        return self.net.encode(x, list(self.sizes).index(name) + 1)

    def links(self) -> list[Link]:
        """Give the generative weights: the top pair undirected, those below directed downwards."""
        found = []
        for i, name in enumerate(self.sizes):
            is_top = i == self.net.n_layers - 1
            weight = self.net.down_affine(i).weight.T  # (n above, n below)
            below = self.blocks if i == 0 else {f"h{i}": (0, weight.shape[1])}
            found += [Link(n, name, weight[:, a:b], "none" if is_top else "down") for n, (a, b) in below.items()]
        top = self.net.top
        if "label" in self.data and isinstance(top, ClassRBM):
            found.append(Link("label", f"h{self.net.n_layers}", top.label_weight, "none"))
        return found
