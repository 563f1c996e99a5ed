"""From a pretrained model to a network that is fine-tuned by back-propagation (Section 2.4).

    RBM                        → auto-encoder                       W up, its transpose down
    DBN, untied or not         → stacked auto-encoder               the network unrolled (Hinton and Salakhutdinov 2006)
    DBN or stacked auto-encoder → multilayer perceptron             encoder, then a new output layer
    DBM                        → augmented network                  see ``augmented.py``

Before its first step each network computes what the model did: mean activations upwards and, where it decodes,
downwards. Offsets, sigmas and doubled inputs are folded into weights and biases. Weights are copied: fine-tuning
leaves the model as it is. The output layer alone is new and drawn from the seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, cast

import torch
from torch import Tensor, nn

from workbench.models.augmented import AugmentedNetwork
from workbench.models.autoencoder import AutoEncoder, VisibleName
from workbench.models.belief_layers import Affine, down_affine, up_affine
from workbench.models.belief_net import ACTIVATION_OF, BeliefNet, hidden_activation
from workbench.models.dbm import DBM
from workbench.models.dropconnect import DropConnectLinear
from workbench.models.layers import ActivationName, ConvStage, NormalizationName, normalize_patches
from workbench.models.mlp import MLP, NetworkActivation
from workbench.models.rbm import RBM
from workbench.models.stack import Stack
from workbench.models.stacked_autoencoder import StackedAutoEncoder
from workbench.models.units import Units


def rbm_to_autoencoder(rbm: RBM, *, tied: bool = False) -> AutoEncoder:
    """Give the auto-encoder whose code and reconstruction are the RBM's mean activations.

    Args:
        rbm: with Bernoulli or Gaussian units.
        tied: keep the decoder the transpose of the encoder; possible only where the RBM's two directions have the
            same weights: no Gaussian units with a sigma other than 1, no input doubled in one direction only.
    """
    return _autoencoder(up_affine(rbm), down_affine(rbm), rbm.hidden_units, rbm.visible_units, tied)


def dbn_to_stack(dbn: BeliefNet, *, tied: bool = False) -> StackedAutoEncoder:
    """Unroll a belief network into a deep auto-encoder of the same codes and reconstructions.

    Args:
        dbn: tied or untied; recognition becomes the encoder, generation the decoder.
        tied: as of :func:`rbm_to_autoencoder`. Untied is how Hinton and Salakhutdinov (Science 2006) fine-tune.
    """
    layers = [
        _autoencoder(dbn.up_affine(i), dbn.down_affine(i), dbn.recognition_units(i + 1), dbn.generative_units(i), tied)
        for i in range(dbn.n_layers)
    ]
    normalization = cast(NormalizationName, dbn.normalization)
    stack = StackedAutoEncoder(dbn.patch_shape, dbn.sizes[1:], tied=tied, normalization=normalization)
    stack.layers = nn.ModuleList(layers)
    return stack


class NormalizedMLP(MLP):
    """A multilayer perceptron that normalizes each patch first, as the stack did that it was made from."""

    normalization: str = "none"

    def features(self, x: Tensor, depth: int | None = None) -> Tensor:
        """Give the hidden activations (B, M) of patches (B, C, *spatial)."""
        return super().features(normalize_patches(x, self.normalization), depth)


def dbn_to_network(
    dbn: BeliefNet, n_outputs: int, *, dropout: float = 0.0, input_dropout: float = 0.0, dropconnect: float = 0.0,
    seed: int = 0,
) -> MLP:  # fmt: skip
    """Put an output layer on a belief network's recognition.

    Args:
        dbn: with one kind of hidden units in all layers.
        n_outputs: K classes, or numbers.
        dropout: see :class:`MLP`; with all three at 0 or in evaluation the features are the belief network's codes.
        input_dropout: see :class:`MLP`.
        dropconnect: see :class:`MLP`.
        seed: of the output layer.

    Returns:
        patches (B, C, *spatial) → logits or numbers (B, K).
    """
    devices = {"dropout": dropout, "input_dropout": input_dropout, "dropconnect": dropconnect}
    return _network(dbn, n_outputs, seed, devices)


def stack_to_network(
    stack: Stack, n_outputs: int, *, dropout: float = 0.0, input_dropout: float = 0.0, dropconnect: float = 0.0,
    seed: int = 0,
) -> MLP:  # fmt: skip
    """Put an output layer on the encoder of a stacked auto-encoder of whole patches; see :func:`dbn_to_network`."""
    devices = {"dropout": dropout, "input_dropout": input_dropout, "dropconnect": dropconnect}
    return _network(stack, n_outputs, seed, devices)


def dbm_to_network(dbm: DBM, n_outputs: int, *, seed: int = 0) -> AugmentedNetwork:
    """Put an output layer on a deep Boltzmann machine whose input is augmented by its posterior (Section 2.4).

    Args:
        dbm: any graph of layers; a label layer counts as one more layer above.
        n_outputs: K classes, or numbers.
        seed: of the output layer.
    """
    return AugmentedNetwork(dbm, n_outputs, seed=seed)


def _autoencoder(up: Affine, down: Affine, hidden: Units, visible: Units, tied: bool) -> AutoEncoder:
    if visible.name not in ACTIVATION_OF:
        raise ValueError(f"{visible.name} visible units have no auto-encoder; use bernoulli or gaussian units")
    if tied and not torch.allclose(up.weight, down.weight.T, rtol=1e-6, atol=0):
        raise ValueError(
            "the two directions of this model have different weights, so that its auto-encoder cannot be tied; "
            "choose tied=False"
        )
    n_hidden, n_visible = up.weight.shape
    layer = AutoEncoder(
        n_visible, n_hidden, tied=tied,
        hidden=cast(ActivationName, hidden_activation(hidden)), visible=cast(VisibleName, ACTIVATION_OF[visible.name]),
    ).to(up.weight)  # fmt: skip
    with torch.no_grad():
        layer.weight.copy_(up.weight)
        layer.hidden_bias.copy_(up.bias)
        layer.visible_bias.copy_(down.bias)
        if layer.free_decoder_weight is not None:
            layer.free_decoder_weight.copy_(down.weight)
    return layer


def _network(model: BeliefNet | Stack, n_outputs: int, seed: int, devices: dict[str, Any]) -> MLP:
    """Give the network of the model's encoder, which is one of plain layers on the whole patch."""
    stages = model.as_convolutions()
    names = {stage.activation for stage in stages}
    if len(names) > 1:
        raise ValueError(f"a network has one activation in all hidden layers; got {', '.join(sorted(names))}")
    _check_plain(model, stages)
    kind = MLP if model.normalization == "none" else NormalizedMLP
    network = kind(
        model.patch_shape, [len(stage.bias) for stage in stages], n_outputs,
        activation=cast(NetworkActivation, names.pop()), seed=seed, **devices,
    ).to(stages[0].weight)  # fmt: skip
    if isinstance(network, NormalizedMLP):
        network.normalization = model.normalization
    with torch.no_grad():
        for layer, stage in zip(network.hidden, stages, strict=True):
            assert isinstance(layer, nn.Linear)
            keep = layer.keep if isinstance(layer, DropConnectLinear) else 1.0
            layer.weight.copy_(stage.weight.flatten(1) / keep)  # DropConnect infers with keep * weight
            layer.bias.copy_(stage.bias)
    return network


def _check_plain(model: BeliefNet | Stack, stages: Sequence[ConvStage]) -> None:
    whole = tuple(stages[0].weight.shape[1:]) == model.patch_shape
    chained = all(above.weight[0].numel() == len(below.bias) for below, above in pairwise(stages))
    if not (whole and chained and all(stage.pool == 1 for stage in stages)):
        raise ValueError("only layers on whole patches make a multilayer perceptron; this model slides over its patch")
