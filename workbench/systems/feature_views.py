"""What a trained feature learner shows of itself: filters, reconstructions, and the drawings of Figures 2a and 4."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from workbench.figures.diagrams import EncoderDecoder
from workbench.models.layers import DEAD_BELOW
from workbench.models.stack import Stack
from workbench.runs.run import Run
from workbench.systems.feature_scores import reconstruction_scores
from workbench.systems.features_base import FeatureLearning


@dataclass(frozen=True)
class FilterBank:
    """The weights of one layer, as patterns of the input.

    Attributes:
        weights: (n_units, C, *spatial); a deeper layer's are its linear back-projection W_l … W_2 W_1.
        mean_activation: (n_units,) over held-out patches, 0 to 1.
        dead: (n_units,) bool, mean activation below 0.001.
        norms: (n_units,) Euclidean norm of each pattern.
        spacing_mm: edge of a voxel of the patterns; 0 when images kept their own.
        layers: ``"layer 1 (512 units)"``, ….
        depth: which layer this is, from 1.
        sparsity_target: the wanted mean activation.
    """

    weights: np.ndarray
    mean_activation: np.ndarray
    dead: np.ndarray
    norms: np.ndarray
    spacing_mm: float
    layers: list[str]
    depth: int
    sparsity_target: float

    @property
    def is_back_projection(self) -> bool:
        """Whether the patterns are products of several layers' weights."""
        return self.depth > 1


@dataclass(frozen=True)
class Reconstructions:
    """Held-out patches and what the network makes of them, in the network's units.

    Attributes:
        patches, rebuilt: (n, C, *spatial).
        scores: mean squared error and explained variance over these patches.
    """

    patches: np.ndarray
    rebuilt: np.ndarray
    scores: dict[str, float]


def filter_bank(system: FeatureLearning, run: Run, depth: int) -> FilterBank:
    """Give the filters of a layer, counted from 1; a depth beyond the last gives the last."""
    stack = system.stack(run)
    depth = min(max(1, depth), stack.n_layers)
    weights = stack.back_projection(depth).numpy()
    use = run.load_arrays("units")[f"layer_{depth}"]
    names = [f"layer {i + 1} ({stack.layer(i).n_hidden} units)" for i in range(stack.n_layers)]
    norms = np.sqrt((weights.reshape(len(weights), -1) ** 2).sum(1))
    return FilterBank(weights, use, use < DEAD_BELOW, norms, system.spacing_mm, names, depth, system.sparsity_target)


def reconstructions(system: FeatureLearning, run: Run, n: int) -> Reconstructions:
    """Give n held-out patches with their reconstructions."""
    stack = system.stack(run)
    patches = torch.from_numpy(run.load_arrays("patches")["patches"][:n])
    rebuilt = stack(patches)
    return Reconstructions(stack.normalize(patches).numpy(), rebuilt.numpy(), reconstruction_scores(stack, patches))


def encoder_decoder_parts(system: FeatureLearning, run: Run, n_shown: int = 12) -> EncoderDecoder:
    """Give what Figures 2a and 4 draw, from the live model and the most varied of the kept patches."""
    stack = system.stack(run)
    patches = torch.from_numpy(run.load_arrays("patches")["patches"])
    patches = patches[patches.flatten(1).std(1).argsort(descending=True)][:n_shown]
    filters = stack.back_projection(1)
    varied = filters.flatten(1).std(1).argsort(descending=True)[:n_shown]
    layers = [stack.layer(i) for i in range(stack.n_layers)]
    return EncoderDecoder(
        sizes=[int(np.prod(stack.patch_shape)), *(layer.n_hidden for layer in layers)],
        patches=stack.normalize(patches).numpy(),
        activations=[_code(stack, patches[:1], d) for d in range(1, stack.n_layers + 1)],
        rebuilt=stack(patches[:1])[0].numpy(),
        filters=filters[varied].numpy(),
        weights=[layer.weight.detach()[:24, :24].numpy() for layer in layers],
    )


def _code(stack: Stack, patch: torch.Tensor, depth: int) -> np.ndarray:
    """Give the activations of one patch at a depth, (n_units,); maps are averaged over places."""
    return stack.encode(patch, depth).reshape(stack.layer(depth - 1).n_hidden, -1).mean(1).numpy()
