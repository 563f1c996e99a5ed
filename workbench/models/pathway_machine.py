"""A deep Boltzmann machine on examples: pathways for their parts, and Gaussian RBMs below it for real values.

    example ─┬─ part 1 ── (Gaussian RBM ── code) ── h1 ──┐
             └─ part 2 ── (Gaussian RBM ── code) ── h1 ──┴── shared ── (label)

Gaussian visible units trained jointly with a deep machine are unstable; a Gaussian RBM that is trained first and then
kept turns real values into binary codes (Section 3.5, Reference 29).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from workbench.models.boltzmann_machine import State
from workbench.models.dbm import DBM
from workbench.models.rbm import RBM


class PathwayMachine(nn.Module):
    """Encode and rebuild examples (B, *shape) by a machine on their parts.

    Args:
        shape: of one example.
        blocks: input layer of the machine → (begin, end) of its part of a flattened example, side by side.
        machine: its input layers are the names of ``blocks``.
        coders: input layer → RBM that makes binary codes of its part; without one the part itself is the layer.
    """

    def __init__(
        self,
        shape: Sequence[int],
        blocks: Mapping[str, tuple[int, int]],
        machine: DBM,
        coders: Mapping[str, RBM] | None = None,
    ) -> None:
        super().__init__()
        self.shape, self.blocks, self.machine = tuple(shape), dict(blocks), machine
        self.coders = nn.ModuleDict(dict(coders or {}))
        if set(self.blocks) != set(machine.graph.inputs):
            raise ValueError(f"parts are {', '.join(blocks)}; the machine's inputs {', '.join(machine.graph.inputs)}")
        bounds = [0, *(n for block in sorted(self.blocks.values()) for n in block), math.prod(self.shape)]
        if bounds[::2] != bounds[1::2] or any(a >= b for a, b in self.blocks.values()):
            raise ValueError(f"parts {self.blocks} do not cover an example of shape {self.shape}")

    def coder(self, name: str) -> RBM | None:
        """Give the RBM below an input layer, or None."""
        if name not in self.coders:
            return None
        found = self.coders[name]
        assert isinstance(found, RBM)
        return found

    @torch.no_grad()
    def codes(self, x: Tensor, only: Sequence[str] | None = None) -> State:
        """Give the values of the machine's input layers, (B, n) by layer; codes are means.

        Args:
            x: (B, *shape).
            only: parts that are known; all by default.
        """
        v = x.flatten(1)
        found = {}
        for name in only if only is not None else self.blocks:
            begin, end = self.blocks[name]
            coder = self.coder(name)
            found[name] = v[:, begin:end] if coder is None else coder.hidden_mean(v[:, begin:end])
        return found

    @torch.no_grad()
    def image(self, state: Mapping[str, Tensor]) -> Tensor:
        """Give examples (B, *shape) of values of the input layers."""
        parts = []
        for name in sorted(self.blocks, key=lambda n: self.blocks[n]):
            coder = self.coder(name)
            parts.append(state[name] if coder is None else coder.visible_mean(state[name]))
        return torch.cat(parts, 1).reshape(-1, *self.shape)  # (B, *shape)

    def posterior(self, x: Tensor, only: Sequence[str] | None = None) -> State:
        """Give the mean-field state of all layers; parts that are not known are inferred."""
        return self.machine.mean_field(self.codes(x, only)).state

    def encode(self, x: Tensor) -> Tensor:
        """Give the means of the top hidden layer (B, M)."""
        return self.posterior(x)[self.machine.graph.top]

    @torch.no_grad()
    def forward(self, x: Tensor, only: Sequence[str] | None = None) -> Tensor:
        """Give the mean reconstruction (B, *shape): what the hidden layers' means expect of every input layer.

        With ``only`` some parts, those that are not known are predicted from them.
        """
        state = self.posterior(x, only)
        return self.image(self.visible_means(state))

    def visible_means(self, state: Mapping[str, Tensor]) -> State:
        """Give the means of the input layers given all other layers."""
        machine = self.machine
        return {name: machine.kinds[name].mean(machine.net_input(name, state)) for name in machine.graph.inputs}

    @torch.no_grad()
    def back_projection(self, layer: str) -> Tensor:
        """Give the units of a layer as patterns of an example, (n_units, *shape), by the linear product of weights.

        Parts that a pathway does not reach stay 0.
        """
        if layer in self.coders:
            return self._placed(layer, self._to_part(layer, torch.eye(self.machine.graph.sizes[layer])))
        total = torch.zeros(self.machine.graph.sizes[layer], *self.shape)
        for name in self.blocks:
            if self._reaches(name, layer):
                total += self._placed(name, self._to_part(name, self.machine.back_projection(layer, name)))
        return total

    def _reaches(self, name: str, layer: str) -> bool:
        """Say whether a layer stands on an input without passing down again through another pathway."""
        route = self.machine.graph.route(name, layer)
        return not any(other in self.blocks for other in route[1:]) and _rises(route, self.machine.graph.edges)

    def _to_part(self, name: str, patterns: Tensor) -> Tensor:
        coder = self.coder(name)
        return patterns if coder is None else patterns @ coder.weight

    def _placed(self, name: str, patterns: Tensor) -> Tensor:
        begin, end = self.blocks[name]
        whole = torch.zeros(len(patterns), math.prod(self.shape))
        whole[:, begin:end] = patterns
        return whole.reshape(-1, *self.shape)  # (n_units, *shape)


def _rises(route: Sequence[str], edges: Sequence[tuple[str, str]]) -> bool:
    return all((a, b) in edges for a, b in pairwise(route))
