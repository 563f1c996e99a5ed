"""The multilayer perceptron (Section 2.1, Equations 1-3, Figure 1b; Section 2.6 as switches).

    v (B, V) ─ W1, b1 ─► f ─► phi_1 (B, M1) ─ … ─► phi_L (B, ML) ─ W, b ─► y (B, K)

Outputs are logits or numbers: the output activation of Equation 1 belongs to the loss, where it is exact.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from copy import deepcopy
from itertools import pairwise
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_linear_bn_eval

from workbench.models import layers
from workbench.models.dropconnect import DropConnectLinear, expected
from workbench.models.initialization import InitializationName, initialize

NetworkActivation = Literal["relu", "leaky_relu", "sigmoid", "tanh"]
ErrorName = Literal["squared", "logistic", "softmax"]


class MLP(nn.Module):
    """A feed-forward network of fully connected layers.

    Each hidden layer is: linear → batch normalization → activation → dropout, where chosen. With a single output the
    numbers are (B,), else (B, K).

    Args:
        shape: of the input without the batch, (V,) or (C, *spatial); it is laid out as a vector.
        n_hidden: units of each hidden layer, from the input upwards; none gives a linear model.
        n_outputs: K.
        activation: of the hidden units.
        dropout: share of hidden units that is dropped in training; the others grow by 1 / (1 - dropout).
        input_dropout: the same of the input.
        dropconnect: share of the hidden layers' weights that is dropped in training, for each sample anew.
        n_draws: how the DropConnect layers infer: 0 uses mean weights, else this many draws of the moment-matched
            Gaussian.
        batch_norm: normalize over the batch before each activation; the layer's own bias is then of no effect.
        initialization: see :mod:`workbench.models.initialization`; the output layer is drawn alike.
        seed: of the weights.
    """

    def __init__(
        self,
        shape: Sequence[int],
        n_hidden: Sequence[int],
        n_outputs: int,
        *,
        activation: NetworkActivation = "relu",
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        dropconnect: float = 0.0,
        n_draws: int = 0,
        batch_norm: bool = False,
        initialization: InitializationName = "glorot",
        seed: int = 0,
    ) -> None:
        super().__init__()
        if n_outputs < 1 or any(n < 1 for n in (*shape, *n_hidden)):
            raise ValueError(f"layers have at least one unit; got {tuple(shape)}, {tuple(n_hidden)} and {n_outputs}")
        layers.activation(activation)
        self.shape, self.n_hidden = tuple(int(n) for n in shape), tuple(int(n) for n in n_hidden)
        self.n_outputs, self.n_draws = n_outputs, n_draws
        self.activation, self.dropout, self.seed = activation, dropout, seed
        sizes = [math.prod(self.shape), *self.n_hidden]
        self.hidden = nn.ModuleList(
            DropConnectLinear(below, above, drop=dropconnect) if dropconnect else nn.Linear(below, above)
            for below, above in pairwise(sizes)
        )
        self.norms = nn.ModuleList(nn.BatchNorm1d(n) if batch_norm else nn.Identity() for n in self.n_hidden)
        self.output = nn.Linear(sizes[-1], n_outputs)
        self.drop_input, self.drop = nn.Dropout(input_dropout), nn.Dropout(dropout)
        generator = torch.Generator().manual_seed(seed)
        for layer in self.hidden:
            initialize(layer, initialization, generator, activation=activation)
        initialize(self.output, initialization, generator)

    @property
    def n_layers(self) -> int:
        """Hidden layers."""
        return len(self.hidden)

    def features(self, x: Tensor, depth: int | None = None) -> Tensor:
        """Give phi(v) of Equation 2: the hidden activations (B, M) after ``depth`` layers, of all by default.

        Args:
            x: (B, *shape).
            depth: 0 is the input as a vector (B, V).
        """
        if depth is not None and not 0 <= depth <= self.n_layers:
            raise LookupError(f"the network has {self.n_layers} hidden layers; there is no depth {depth}")
        h = self.drop_input(x.flatten(1))
        for index in range(self.n_layers if depth is None else depth):
            h = self.drop(self._hidden(index, h))
        return h

    def forward(self, x: Tensor) -> Tensor:
        """Give the outputs of (B, *shape): (B, K), or (B,) of a single one."""
        y = self.output(self.features(x))
        return y.squeeze(1) if self.n_outputs == 1 else y

    def folded(self) -> MLP:
        """Give a network without normalization or DropConnect that infers the same (with mean weights); a copy.

        What the running statistics do to a layer's output goes into its weights and bias.
        """
        plain = MLP(self.shape, self.n_hidden, self.n_outputs, activation=self.activation, dropout=self.dropout)
        plain = plain.to(self.output.weight).eval()
        for index, (layer, norm) in enumerate(zip(self.hidden, self.norms, strict=True)):
            copy, layer = cast(nn.Linear, plain.hidden[index]), cast(nn.Linear, layer)
            weight = layer.effective_weight if isinstance(layer, DropConnectLinear) else layer.weight
            copy.load_state_dict({"weight": weight, "bias": layer.bias})
            if isinstance(norm, nn.BatchNorm1d):
                plain.hidden[index] = fuse_linear_bn_eval(copy, deepcopy(norm).eval())
        plain.output.load_state_dict(self.output.state_dict())
        return plain

    def _hidden(self, index: int, below: Tensor) -> Tensor:
        """Give the activations (B, M) of one layer."""
        layer, norm, f = self.hidden[index], self.norms[index], layers.activation(self.activation)
        if self.n_draws and not self.training and isinstance(layer, DropConnectLinear):
            return expected(layer, below, lambda u: f(norm(u)), self.n_draws)
        return f(norm(layer(below)))


def backpropagate(network: MLP, x: Tensor, target: Tensor, error: ErrorName) -> dict[str, Tensor]:
    """Give the gradient of Equation 3 by the equations of back-propagation, without automatic differentiation.

    With a_l = W_l h_(l-1) + b_l and h_l = f(a_l): delta at the output is y - t for each of the three errors, below it
    delta_l = (W_(l+1)' delta_(l+1)) f'(a_l), and dE/dW_l = delta_l h_(l-1)'. For networks without dropping and
    normalization.

    Args:
        network: as it is; nothing is changed.
        x: (B, *shape).
        target: (B, K), or (B,) for a single output; one-hot for ``softmax``.
        error: half the squared error, or the cross-entropy of logistic or softmax outputs; summed over outputs and
            averaged over the batch.

    Returns:
        The gradients by the names of ``named_parameters()``.
    """
    with torch.no_grad():
        below = [network.features(x, depth) for depth in range(network.n_layers + 1)]
        y = _OUTPUTS[error](network.output(below[-1]))
        delta = (y - target.reshape(y.shape)) / len(x)
        gradients = _layer_gradients("output", delta, below[-1])
        weight = network.output.weight
        for index in reversed(range(network.n_layers)):
            delta = (delta @ weight) * _slope(below[index + 1], network.activation)
            gradients |= _layer_gradients(f"hidden.{index}", delta, below[index])
            weight = cast(nn.Linear, network.hidden[index]).weight
    return gradients


_OUTPUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "squared": lambda y: y,
    "logistic": torch.sigmoid,
    "softmax": lambda y: y.softmax(1),
}


def _layer_gradients(name: str, delta: Tensor, below: Tensor) -> dict[str, Tensor]:
    return {f"{name}.weight": delta.T @ below, f"{name}.bias": delta.sum(0)}


def _slope(h: Tensor, activation: str) -> Tensor:
    """Give f'(a) from h = f(a)."""
    if activation == "sigmoid":
        return h * (1 - h)
    if activation == "tanh":
        return 1 - h.square()
    return torch.ones_like(h).where(h > 0, layers.LEAK if activation == "leaky_relu" else 0.0)
