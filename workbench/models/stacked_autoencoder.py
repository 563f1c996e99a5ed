"""The stacked auto-encoder on whole patches (Section 2.3.1, Figure 2a; Section 3.1, Figure 4), and its classifier."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from workbench.models.autoencoder import AutoEncoder, VisibleName
from workbench.models.layers import ActivationName, ConvStage, NormalizationName, activation, normalize_patches
from workbench.models.stack import Stack


class StackedAutoEncoder(Stack):
    """Stack auto-encoders: the activations of one are the input of the next.

        patch (C, *spatial) ─flatten─► V ─► M1 ─► … ─► ML = code
                                       V ◄─ M1 ◄─ … ◄─ ML

    The first layer's visible units are chosen; a deeper layer's follow what it reconstructs: sigmoid (cross-entropy)
    above sigmoid units, whose activations lie in (0, 1), and linear (squared error) above any other.

    Args:
        patch_shape: (C, *spatial), or (V,) for plain vectors.
        n_hidden: units of each layer, from the input upwards.
        hidden: activation of every hidden layer.
        visible: activation of the reconstruction. ``sigmoid`` needs intensities in [0, 1].
        tied: whether each decoder is its encoder transposed.
        normalization: what happens to each patch first (:func:`workbench.models.layers.normalize_patches`).
        seed: of the initial weights.
    """

    def __init__(
        self,
        patch_shape: Sequence[int],
        n_hidden: Sequence[int],
        *,
        hidden: ActivationName = "sigmoid",
        visible: VisibleName = "linear",
        tied: bool = True,
        normalization: NormalizationName = "none",
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not n_hidden:
            raise ValueError("a stack needs at least one hidden layer; n_hidden is empty")
        if visible == "sigmoid" and normalization != "none":
            raise ValueError(f"sigmoid visible units need inputs in [0, 1], which {normalization} patches are not")
        self.patch_shape, self.normalization = tuple(int(n) for n in patch_shape), normalization
        generator = torch.Generator().manual_seed(seed)
        sizes = [_size(self.patch_shape), *n_hidden]
        deeper: VisibleName = "sigmoid" if hidden == "sigmoid" else "linear"
        self.layers = nn.ModuleList(
            AutoEncoder(
                below, above, hidden=hidden, visible=deeper if index else visible, tied=tied, generator=generator
            )
            for index, (below, above) in enumerate(pairwise(sizes))
        )

    def layer_input(self, x: Tensor, index: int, generator: torch.Generator | None = None) -> Tensor:
        """Give the activations (B, V_index) below layer ``index``; nothing is drawn from the generator."""
        with torch.no_grad():
            return self.encode(x, index)

    def encode(self, x: Tensor, depth: int | None = None) -> Tensor:
        """Give the activations (B, M) after ``depth`` layers; the flat normalized patch at depth 0."""
        h = self.normalize(x).flatten(1)
        for index in range(self._depth(depth)):
            h = self.layer(index).encode(h)
        return h

    def decode(self, code: Tensor, depth: int | None = None) -> Tensor:
        """Give the patches (B, C, *spatial) of activations (B, M) at ``depth``, in normalized units."""
        for index in reversed(range(self._depth(depth))):
            code = self.layer(index).decode(code)
        return code.reshape(-1, *self.patch_shape)  # (B, C, *spatial)

    def as_convolutions(self, depth: int | None = None) -> list[ConvStage]:
        """Give a first stage with the patch as its kernel, then stages of one voxel."""
        stages, kernel = [], self.patch_shape
        for index in range(self._depth(depth)):
            layer = self.layer(index)
            weight = layer.weight.detach().reshape(layer.n_hidden, *kernel)  # (out, in, *spatial)
            normalization = "none" if index else self.normalization
            stages.append(ConvStage(weight, layer.hidden_bias.detach(), layer.hidden, 1, normalization))
            kernel = (layer.n_hidden, *[1] * (len(self.patch_shape) - 1))
        return stages

    def back_projection(self, depth: int) -> Tensor:
        """Give W_depth … W_2 W_1, one pattern a unit: (n_units, C, *spatial); at depth 1 the weights themselves."""
        depth = self._depth(depth)
        patterns = torch.eye(self.layer(max(depth - 1, 0)).n_hidden if depth else _size(self.patch_shape))
        for index in reversed(range(depth)):
            weight = self.layer(index).weight.detach()
            patterns = patterns.to(weight) @ weight
        return patterns.reshape(-1, *self.patch_shape)

    def receptive_field(self, depth: int | None = None) -> tuple[int, ...]:
        """Give the whole patch: every unit of every layer sees all of it."""
        return self.patch_shape[1:]


class PatchVector(nn.Module):
    """Normalize patches (B, C, *spatial) and lay each out as a vector (B, V)."""

    def __init__(self, normalization: str) -> None:
        super().__init__()
        self.normalization = normalization

    def forward(self, x: Tensor) -> Tensor:
        """Give (B, V)."""
        return normalize_patches(x, self.normalization).flatten(1)


class Layer(nn.Module):
    """A fully connected layer and its activation: one module is one layer of the review. Weights are copied in."""

    def __init__(self, weight: Tensor, bias: Tensor, hidden: str) -> None:
        super().__init__()
        self.hidden = hidden
        self.weight = nn.Parameter(weight.detach().clone())
        self.bias = nn.Parameter(bias.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        """Give activations (B, M) of (B, V)."""
        return activation(self.hidden)(F.linear(x, self.weight, self.bias))


def to_classifier(stack: StackedAutoEncoder, n_classes: int, seed: int = 0) -> nn.Sequential:
    """Put an output layer on top of the encoder (Section 2.4), to be fine-tuned on class labels.

    The weights are copies: training the classifier leaves the stack as it is.

    Returns:
        patches (B, C, *spatial) → class scores (B, K), not normalized. All but the last module give the code.
    """
    if n_classes < 2:
        raise ValueError(f"a classifier tells at least 2 classes apart; got {n_classes}")
    copies = [Layer(a.weight, a.hidden_bias, a.hidden) for a in map(stack.layer, range(stack.n_layers))]
    output = AutoEncoder(stack.code_size, n_classes, generator=torch.Generator().manual_seed(seed))
    return nn.Sequential(PatchVector(stack.normalization), *copies, Layer(output.weight, output.hidden_bias, "linear"))


def _size(shape: Sequence[int]) -> int:
    return int(torch.Size(shape).numel())
