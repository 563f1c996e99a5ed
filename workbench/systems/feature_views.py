"""What a trained feature learner shows of itself: filters, reconstructions, and the drawings of Figures 2a and 4."""

from __future__ import annotations

import numpy as np
import torch

from workbench.figures.diagrams import EncoderDecoder
from workbench.models.layers import DEAD_BELOW
from workbench.models.stack import Stack
from workbench.runs.run import Run
from workbench.systems.feature_scores import reconstruction_scores
from workbench.systems.views import FilterBank, Reconstructions


def filter_bank(stack: Stack, run: Run, depth: int, spacing_mm: float, sparsity_target: float) -> FilterBank:
    """Give the filters of a layer, counted from 1; a depth beyond the last gives the last."""
    depth = min(max(1, depth), stack.n_layers)
    weights = stack.back_projection(depth).numpy()
    use = run.load_arrays("units")[f"layer_{depth}"]
    return FilterBank(
        weights=weights,
        mean_activation=use,
        dead=use < DEAD_BELOW,
        norms=np.sqrt((weights.reshape(len(weights), -1) ** 2).sum(1)),
        spacing_mm=spacing_mm,
        layers=[f"layer {i + 1} ({stack.layer(i).n_hidden} units)" for i in range(stack.n_layers)],
        depth=depth,
        sparsity_target=sparsity_target,
        linear=depth == 1,
    )


def reconstructions(stack: Stack, run: Run, n: int) -> Reconstructions:
    """Give n held-out patches with their reconstructions."""
    patches = torch.from_numpy(run.load_arrays("patches")["patches"][:n])
    rebuilt = stack(patches)
    return Reconstructions(stack.normalize(patches).numpy(), rebuilt.numpy(), reconstruction_scores(stack, patches))


def encoder_decoder_parts(stack: Stack, run: Run, n_shown: int = 12) -> EncoderDecoder:
    """Give what Figures 2a and 4 draw, from the live model and the most varied of the kept patches."""
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
