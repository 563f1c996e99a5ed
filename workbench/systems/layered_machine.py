"""Deep Boltzmann machines as layers of units, for Figures 2c and 9 and the filters."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from workbench.models.layer_graph import LABEL
from workbench.models.pathway_machine import PathwayMachine
from workbench.systems.layered import Link

NAMES = {"bernoulli": "binary", "gaussian": "Gaussian", "softmax": "softmax"}


class MachineLayers:
    """A machine on pathways as the views see it: see :class:`workbench.systems.layered.Layered`.

    Where Gaussian RBMs stand below, their codes are layers of their own, called ``<part> code``.

    Args:
        net: trained.
        classes: of the label layer, or empty.
    """

    def __init__(self, net: PathwayMachine, classes: Sequence[str] = ()) -> None:
        graph = net.machine.graph
        self.net, self.classes = net, tuple(classes)
        self.kind = "multimodal dbm" if len(net.blocks) > 1 else "dbm"
        self.data = {name: end - begin for name, (begin, end) in net.blocks.items()}
        coded = {f"{name} code": graph.sizes[name] for name in net.coders}
        self.sizes = coded | {name: graph.sizes[name] for name in graph.hidden}
        self.unit_names = {name: "binary" for name in self.sizes}
        self.unit_names |= {n: "Gaussian" if n in net.coders else NAMES[graph.kind(n)] for n in net.blocks}
        if graph.n_classes:
            self.data[LABEL] = graph.n_classes
            self.unit_names[LABEL] = "softmax"

    def patterns(self, name: str) -> Tensor:
        """Give the linear product of the weights down to the data: (n, *shape)."""
        return self.net.back_projection(self._layer(name))

    def activations(self, x: Tensor, name: str) -> Tensor:
        """Give posterior means after mean field."""
        return self.net.posterior(x)[self._layer(name)]

    def links(self) -> list[Link]:
        """Give the weights, all undirected."""
        machine, found = self.net.machine, []
        for name in self.net.coders:
            coder = self.net.coder(name)
            assert coder is not None
            found.append(Link(name, f"{name} code", coder.weight))
        for a, b in machine.graph.edges:
            below = f"{a} code" if a in self.net.coders else a
            found.append(Link(below, b, machine.weight(a, b)))
        return found

    def _layer(self, name: str) -> str:
        return name.removesuffix(" code")
