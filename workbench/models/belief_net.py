"""Directed layers under an RBM: what a deep belief network can do, with tied or with untied weights.

h_L ══════ h_{L-1} ──► … ──► h_1 ──► h_0 = v          generative: the top two levels undirected, the rest down
           h_{L-1} ◄── … ◄── h_1 ◄── h_0 = v          recognition: q(h_{l+1} | h_l), bottom up
"""

from __future__ import annotations

import torch
from torch import Tensor

from workbench.models import belief_likelihood
from workbench.models.belief_layers import BeliefLayers
from workbench.models.class_rbm import ClassRBM
from workbench.models.layers import ConvStage, normalize_patches
from workbench.models.units import Units

ACTIVATION_OF = {"bernoulli": "sigmoid", "gaussian": "linear"}
"""The function whose value is the mean of a unit."""


class BeliefNet(BeliefLayers):
    """Encode vectors bottom up and generate them top down (Section 2.3.2, Eq. 4; Hinton, Osindero and Teh 2006).

        P(v, h_1, …, h_L) = prod_{l=0}^{L-2} P(h_l | h_{l+1}) P(h_{L-1}, h_L),  h_0 = v

    It offers what a :class:`workbench.models.stack.Stack` offers: patches in, codes out, convolutions, patterns.
    """

    @property
    def code_size(self) -> int:
        """Units of the top level."""
        return self.sizes[-1]

    @property
    def n_classes(self) -> int:
        """Classes of the label group at the top; 0 without one."""
        return self.top.n_classes if isinstance(self.top, ClassRBM) else 0

    @property
    def visible(self) -> str:
        """The activation of the reconstruction: linear for Gaussian visible units, sigmoid for Bernoulli ones."""
        return ACTIVATION_OF[self.generative_units(0).name]

    def normalize(self, x: Tensor) -> Tensor:
        """Give the patches (B, C, *spatial) as the network sees them: the target of a reconstruction."""
        if tuple(x.shape[1:]) != self.patch_shape:
            raise ValueError(f"patches of shape {self.patch_shape} were expected; got {tuple(x.shape[1:])}")
        return normalize_patches(x, self.normalization)

    def forward(self, x: Tensor) -> Tensor:
        """Give the reconstruction (B, C, *spatial) of patches by mean activations up and down."""
        return self.decode(self.encode(x))

    def encode(self, x: Tensor, depth: int | None = None) -> Tensor:
        """Give the mean activations (B, M) after ``depth`` layers; the flat normalized patch at depth 0."""
        h = self.flatten(x)
        for index in range(self._depth(depth)):
            if index == self.n_layers - 1:
                h = self.top.hidden_mean(h)  # with a label group the mean over the classes, not a mere sigmoid
            else:
                h = self.recognition_units(index + 1).mean(self.up_input(index, h))
        return h

    def decode(self, code: Tensor, depth: int | None = None) -> Tensor:
        """Give the patches (B, C, *spatial) of activations (B, M) at ``depth``, by means all the way down."""
        for index in reversed(range(self._depth(depth))):
            code = self.generative_units(index).mean(self.down_input(index, code))
        return code.reshape(-1, *self.patch_shape)  # (B, C, *spatial)

    @torch.no_grad()
    def layer_input(self, x: Tensor, index: int, generator: torch.Generator | None = None) -> Tensor:
        """Give what layer ``index`` learns from (step 2 of the review's greedy procedure), (B, V_index).

        Args:
            x: (B, C, *spatial) patches.
            index: layer, counted from 0.
            generator: draws the hidden units of every layer below, a fresh sample each call; without one their means
                are propagated. The patch itself is never drawn.
        """
        h = self.flatten(x)
        for below in range(self._layer(index)):
            units, net_input = self.recognition_units(below + 1), self.up_input(below, h)
            h = units.mean(net_input) if generator is None else units.sample(net_input, generator)
        return h

    @torch.no_grad()
    def sample(
        self,
        n: int,
        n_gibbs: int,
        generator: torch.Generator,
        classes: Tensor | None = None,
        *,
        start: Tensor | None = None,
        drawn: bool = False,
    ) -> Tensor:
        """Draw patches: a Gibbs chain in the top RBM, then one ancestral pass down.

        Args:
            n: patches.
            n_gibbs: steps of each chain; a thousand or more from a blind start.
            generator: of all draws.
            classes: (n,) int64, held fixed at the label group of the top, which is then a :class:`ClassRBM`.
            start: (n, C, *spatial) patches whose recognition starts the chains; without it they start blindly.
            drawn: whether the visible units are drawn too; else their means given h_1 are shown.

        Returns:
            (n, C, *spatial) in normalized units.
        """
        net_input = self._chain(self._start(n, generator, start), n_gibbs, generator, classes)
        for index in reversed(range(self.n_layers - 1)):
            h = self.generative_units(index + 1).sample(net_input, generator)
            net_input = self.down_input(index, h)
        kind = self.generative_units(0)
        v = kind.sample(net_input, generator) if drawn else kind.mean(net_input)
        return v.reshape(n, *self.patch_shape)  # (n, C, *spatial)

    def _start(self, n: int, generator: torch.Generator, start: Tensor | None) -> Tensor:
        if start is not None:
            return self.layer_input(start, self.n_layers - 1, generator)
        weight = self.top.weight
        coins = torch.rand(n, self.code_size, generator=generator, dtype=weight.dtype, device=weight.device) < 0.5
        return self.top.visible_units.sample(self.top.visible_input(coins.to(weight.dtype)), generator)

    def _chain(self, v: Tensor, n_gibbs: int, generator: torch.Generator, classes: Tensor | None) -> Tensor:
        """Give the net input of level L - 1 at the end of the top's chains."""
        if n_gibbs < 1:
            raise ValueError(f"n_gibbs is at least 1; got {n_gibbs}")
        top = self.top
        if classes is not None and not isinstance(top, ClassRBM):
            raise ValueError("classes can be held fixed only where the top is a ClassRBM; this one has no label group")
        net_input = self._gibbs_input(v, generator, classes)
        for _ in range(n_gibbs - 1):
            net_input = self._gibbs_input(top.visible_units.sample(net_input, generator), generator, classes)
        return net_input

    def _gibbs_input(self, v: Tensor, generator: torch.Generator, classes: Tensor | None) -> Tensor:
        top = self.top
        state = top.joint(v, classes) if isinstance(top, ClassRBM) and classes is not None else v
        return top.visible_input(top.sample_hidden(state, generator))

    @torch.no_grad()
    def class_probabilities(self, x: Tensor) -> Tensor:
        """Give p(class | mean h_{L-1}) (B, K), exact in the top :class:`ClassRBM`, of patches (B, C, *spatial)."""
        if not isinstance(self.top, ClassRBM):
            raise ValueError("only a ClassRBM at the top knows classes; this top has no label group")
        return self.top.class_probabilities(self.layer_input(x, self.n_layers - 1))

    def as_convolutions(self, depth: int | None = None) -> list[ConvStage]:
        """Give the encoder up to ``depth``: a first stage with the patch as its kernel, then stages of one voxel."""
        stages, kernel = [], self.patch_shape
        for index in range(self._depth(depth)):
            weight, bias = self.up_affine(index)
            name = hidden_activation(self.recognition_units(index + 1))
            normalization = "none" if index else self.normalization
            stages.append(ConvStage(weight.reshape(-1, *kernel), bias, name, 1, normalization))  # (out, in, *spatial)
            kernel = (len(bias), *[1] * (len(self.patch_shape) - 1))
        return stages

    @torch.no_grad()
    def back_projection(self, depth: int) -> Tensor:
        """Give the input pattern of each unit at ``depth`` through linearized generation, (n_units, C, *spatial)."""
        patterns = torch.eye(self.sizes[self._depth(depth)]).to(self.top.weight)
        for index in reversed(range(self._depth(depth))):
            patterns = patterns @ self.down_affine(index).weight.T
        return patterns.reshape(-1, *self.patch_shape)  # (n_units, C, *spatial)

    def receptive_field(self, depth: int | None = None) -> tuple[int, ...]:
        """Give the whole patch: every unit of every layer sees all of it."""
        return self.patch_shape[1:]

    def bound(self, x: Tensor, log_z_top: float | Tensor, generator: torch.Generator, n_samples: int = 100) -> Tensor:
        """Estimate the variational bound on log p (B,) in nats; see :func:`belief_likelihood.bound`."""
        return belief_likelihood.bound(self, x, log_z_top, generator, n_samples)

    def importance_weighted(
        self, x: Tensor, log_z_top: float | Tensor, generator: torch.Generator, n_samples: int = 100
    ) -> Tensor:
        """Estimate log p (B,) in nats more tightly; see :func:`belief_likelihood.importance_weighted`."""
        return belief_likelihood.importance_weighted(self, x, log_z_top, generator, n_samples)

    def exact_log_likelihood(self, x: Tensor) -> Tensor:
        """Give log p (B,) in nats of a tiny net; see :func:`belief_likelihood.exact_log_likelihood`."""
        return belief_likelihood.exact_log_likelihood(self, x)

    def _depth(self, depth: int | None) -> int:
        depth = self.n_layers if depth is None else depth
        if not 0 <= depth <= self.n_layers:
            raise ValueError(f"the net has {self.n_layers} layers; depth {depth} is not one of 0 to {self.n_layers}")
        return depth

    def _layer(self, index: int) -> int:
        if not 0 <= index < self.n_layers:
            raise ValueError(f"the net has {self.n_layers} layers, counted from 0; there is no layer {index}")
        return index


def hidden_activation(units: Units) -> str:
    """Name the activation whose value is the mean of these hidden units.

    Raises:
        ValueError: softmax groups and noisy rectified units, whose mean is none of our activations.
    """
    if units.name not in ACTIVATION_OF:
        raise ValueError(f"the mean of {units.name} hidden units is none of our activations; use bernoulli units")
    return ACTIVATION_OF[units.name]
