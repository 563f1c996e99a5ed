"""The deep belief network with untied weights, and the wake-sleep rule that trains all of it at once (Section 2.3.2).

Contrastive wake-sleep or "up-down": Hinton, Osindero and Teh, Neural Comput. 2006, Appendix B; wake-sleep itself is
Hinton et al., Science 1995, the review's Reference 75.

    wake    h_1 … h_{L-1} ~ recognition of data     → generative weights learn to give each level from the one above
    top     h_{L-1} → k Gibbs steps in the top RBM  → the top learns by contrastive divergence
    sleep   from the end of that chain downwards    → recognition weights learn to find what was dreamt
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from workbench.models.belief_layers import Affine, down_affine, up_affine
from workbench.models.belief_likelihood import log_probability
from workbench.models.belief_net import BeliefNet
from workbench.models.class_rbm import ClassRBM
from workbench.models.dbn import DBN
from workbench.models.rbm import RBM
from workbench.models.units import Bernoulli, Gaussian, Units, units

_BERNOULLI = Bernoulli()


@dataclass(frozen=True, eq=False)
class UpDownStep:
    """What one wake-sleep step found.

    Attributes:
        gradient: of each parameter by its name; going against it is learning.
        end: (n, V_top) where the chains of the top RBM ended.
        wake: mean over the data of -log p(h_l | h_{l+1}) summed over the directed layers, in nats.
        sleep: mean over the dreams of -log q(h_{l+1} | h_l) summed over the directed layers, in nats.
        contrast: mean free energy of the top at the data minus that at the chains' ends, in nats.
    """

    gradient: dict[str, Tensor]
    end: Tensor
    wake: Tensor
    sleep: Tensor
    contrast: Tensor


class UpDown(BeliefNet):
    """Untie the recognition and the generative weights of a DBN below its top RBM.

    At the start both are those of the DBN, so that bound, samples and codes are the same. Offsets and sigmas of the
    RBMs are folded into the weights; the DBN that was given is copied and stays as it is.

    Args:
        dbn: with Bernoulli units at the levels 1 to L - 1, and at least two layers.

    Attributes:
        recognition_weights: (M, V) of each directed layer, from the input upwards, with ``recognition_biases`` (M,).
        generative_weights: (V, M) of each, with ``generative_biases`` (V,).
        rbm: the top.
    """

    sigma: Tensor

    def __init__(self, dbn: DBN) -> None:
        super().__init__(dbn.patch_shape, dbn.normalization, dbn.sizes)
        if dbn.n_layers < 2:
            raise ValueError("wake-sleep trains the directed layers below the top RBM; this network has none")
        for level in range(1, dbn.n_layers):
            kinds = {dbn.recognition_units(level).name, dbn.generative_units(level).name}
            if kinds != {"bernoulli"}:
                raise ValueError(f"wake-sleep needs bernoulli units at level {level}; got {', '.join(sorted(kinds))}")
        below = range(dbn.n_layers - 1)
        up, down = [dbn.up_affine(i) for i in below], [dbn.down_affine(i) for i in below]
        self.recognition_weights = nn.ParameterList(nn.Parameter(a.weight.clone()) for a in up)
        self.recognition_biases = nn.ParameterList(nn.Parameter(a.bias.clone()) for a in up)
        self.generative_weights = nn.ParameterList(nn.Parameter(a.weight.clone()) for a in down)
        self.generative_biases = nn.ParameterList(nn.Parameter(a.bias.clone()) for a in down)
        self.rbm = copy.deepcopy(dbn.top)
        self._visible_kind = dbn.layer(0).visible
        self.register_buffer("sigma", dbn.layer(0).sigma.clone())

    @property
    def top(self) -> RBM:
        """The top RBM."""
        return self.rbm

    def recognition_units(self, level: int) -> Units:
        """Give Bernoulli units, and at level L the hidden units of the top."""
        return self.rbm.hidden_units if level == self.n_layers else _BERNOULLI

    def generative_units(self, level: int) -> Units:
        """Give Bernoulli units, and at level 0 the visible units with their sigma."""
        if level:
            return _BERNOULLI
        return Gaussian(self.sigma) if self._visible_kind == "gaussian" else units(self._visible_kind)

    def up_input(self, index: int, below: Tensor) -> Tensor:
        """Give the net input (B, M) of a level by the recognition weights."""
        if index == self.n_layers - 1:
            return self.rbm.hidden_input(below)
        return F.linear(below, self.recognition_weights[index], self.recognition_biases[index])

    def down_input(self, index: int, above: Tensor) -> Tensor:
        """Give the net input (B, V) of a level by the generative weights."""
        if index == self.n_layers - 1:
            return self.rbm.visible_input(above)
        return F.linear(above, self.generative_weights[index], self.generative_biases[index])

    def up_affine(self, index: int) -> Affine:
        """Give the recognition weights as they are; of the top as its RBM has them."""
        if index == self.n_layers - 1:
            return up_affine(self.rbm)
        return Affine(self.recognition_weights[index].detach(), self.recognition_biases[index].detach())

    def down_affine(self, index: int) -> Affine:
        """Give the generative weights as they are; of the top as its RBM has them."""
        if index == self.n_layers - 1:
            return down_affine(self.rbm)
        return Affine(self.generative_weights[index].detach(), self.generative_biases[index].detach())

    @torch.no_grad()
    def wake_sleep(
        self, x: Tensor, k: int, generator: torch.Generator, *, chains: Tensor | None = None,
        classes: Tensor | None = None,
    ) -> UpDownStep:  # fmt: skip
        """Give one contrastive wake-sleep step; nothing is changed.

        Args:
            x: (B, C, *spatial) patches.
            k: Gibbs steps of the top's chains.
            generator: of all draws.
            chains: (n, *) states of the top's persistent chains, as ``end`` gave them; without them the chains start
                at the data's h_{L-1} (contrastive divergence).
            classes: (B,) int64 of the patches, where the top is a :class:`ClassRBM`; those that are not known are
                drawn.
        """
        levels = [self.flatten(x)]
        for index in range(self.n_layers - 1):
            levels.append(self.recognition_units(index + 1).sample(self.up_input(index, levels[-1]), generator))
        gradient, wake = self._wake(levels)
        data = self._top_state(levels[-1], classes, generator)
        end = self.rbm.gibbs(data if chains is None else chains, k, generator)
        gradient |= {f"rbm.{name}": value for name, value in self.rbm.gradient(data, end).items()}
        contrast = self.rbm.free_energy(data).mean() - self.rbm.free_energy(end).mean()
        sleeping, sleep = self._sleep(end[:, : self.rbm.n_visible], generator)
        return UpDownStep(gradient | sleeping, end, wake, sleep, contrast)

    @torch.no_grad()
    def first_chains(self, n: int, x: Tensor, generator: torch.Generator) -> Tensor:
        """Give ``n`` states (n, *) of the top, recognized from patches (B, C, *spatial), to begin chains with."""
        h = self.layer_input(x, self.n_layers - 1, generator)
        return self._top_state(h[torch.arange(n, device=h.device) % len(h)], None, generator)

    def _wake(self, levels: list[Tensor]) -> tuple[dict[str, Tensor], Tensor]:
        """Give the gradient of -log P(h_l | h_{l+1}) by the generative parameters, and its value."""
        gradient, total = {}, levels[0].new_zeros(())
        for index, (below, above) in enumerate(pairwise(levels)):
            kind, net_input = self.generative_units(index), self.down_input(index, above)
            error = kind.precision * (kind.mean(net_input) - below)  # (B, V)
            gradient[f"generative_weights.{index}"] = error.T @ above / len(above)
            gradient[f"generative_biases.{index}"] = error.mean(0)
            total = total - log_probability(kind, below, net_input).mean()
        return gradient, total

    def _sleep(self, h: Tensor, generator: torch.Generator) -> tuple[dict[str, Tensor], Tensor]:
        """Dream down from h_{L-1}; give the gradient of -log q(h_{l+1} | h_l) by the recognition parameters."""
        gradient, total = {}, h.new_zeros(())
        for index in reversed(range(self.n_layers - 1)):
            below = self.generative_units(index).sample(self.down_input(index, h), generator)
            kind, net_input = self.recognition_units(index + 1), self.up_input(index, below)
            error = kind.mean(net_input) - h  # (B, M)
            gradient[f"recognition_weights.{index}"] = error.T @ below / len(below)
            gradient[f"recognition_biases.{index}"] = error.mean(0)
            total = total - log_probability(kind, h, net_input).mean()
            h = below
        return gradient, total

    def _top_state(self, h: Tensor, classes: Tensor | None, generator: torch.Generator) -> Tensor:
        """Give visible states of the top (B, *) from h_{L-1}, with the classes where it has a label group."""
        return self.rbm.complete(h, classes, generator) if isinstance(self.rbm, ClassRBM) else h
