"""What learnt subspaces, or principal axes, show of themselves: filters, what excites deeper units, what is kept."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from workbench.models.layers import DEAD_BELOW
from workbench.models.principal_axes import PrincipalCode
from workbench.models.stacked_isa import StackedISA
from workbench.runs.run import Run
from workbench.systems.views import FilterBank, Reconstructions

N_EXCITING = 32
"""Of so many held-out patches that excite a unit of the second layer most, the mean is drawn."""


def unit_arrays(model: StackedISA | PrincipalCode, patches: Tensor) -> dict[str, np.ndarray]:
    """Give the mean response of every unit over patches (N, C, *spatial): ``layer_1``, …, each (n_units,).

    Principal scores have both signs and a mean of 0; their mean size is taken, in standard deviations.
    """
    if isinstance(model, PrincipalCode):
        return {"layer_1": (model.encode(patches).abs().mean(0) / model.variances.sqrt()).numpy()}
    return {f"layer_{depth}": model.responses(patches, depth).mean(0).numpy() for depth in (1, 2)}


def exciting_patterns(stack: StackedISA, patches: Tensor) -> np.ndarray:
    """Give what excites each unit of the second layer: the mean of its best patches minus the mean of all.

    A deeper unit has no weights of the input that could be drawn: what it adds up are sizes, not signed responses.

    Returns:
        (n_units, C, *spatial).
    """
    best = stack.responses(patches, 2).topk(min(N_EXCITING, len(patches)), dim=0).indices  # (n, n_units)
    return (patches[best].mean(0) - patches.mean(0)).numpy()


def filter_bank(model: StackedISA | PrincipalCode, run: Run, depth: int, spacing_mm: float) -> FilterBank:
    """Give the filters of a layer, counted from 1, the filters of a subspace side by side as channels."""
    use = run.load_arrays("units")
    names = {"layer_1": "axes"} if isinstance(model, PrincipalCode) else dict.fromkeys(use, "subspaces")
    depth = min(max(1, depth), len(names))
    if isinstance(model, PrincipalCode):
        weights = model.axes.reshape(-1, *model.patch_shape).numpy()
        drawn = "the principal axes, the one of largest variance first"
    elif depth == 1:
        weights, drawn = model.filters().numpy(), "the filters of each subspace side by side"
    else:
        weights = run.load_arrays("patterns")["layer_2"]
        drawn = f"the mean of the {N_EXCITING} held-out patches that excite a unit most, minus the mean of all"
    mean = use[f"layer_{depth}"]
    return FilterBank(
        weights=weights,
        mean_activation=mean,
        dead=mean < DEAD_BELOW,
        norms=np.sqrt((weights.reshape(len(weights), -1) ** 2).sum(1)),
        spacing_mm=spacing_mm,
        layers=[f"layer {i} ({len(use[name])} {what})" for i, (name, what) in enumerate(names.items(), 1)],
        depth=depth,
        sparsity_target=None,
        linear=depth == 1,
        drawn=drawn,
    )


def reconstructions(model: StackedISA | PrincipalCode, run: Run, n: int) -> Reconstructions:
    """Give held-out patches, or their middles that the first layer sees, and what the kept components say of them."""
    patches = torch.from_numpy(run.load_arrays("patches")["patches"][:n])
    shown, rebuilt = _rebuilt(model, patches)
    return Reconstructions(shown.numpy(), rebuilt.numpy(), component_scores(model, patches))


def component_scores(model: StackedISA | PrincipalCode, patches: Tensor) -> dict[str, float]:
    """Give the share of variance that the kept components explain, and how sparse each layer's responses are.

    Sparseness is the mean over units of Hoyer's measure over patches, (√N - ‖r‖₁ / ‖r‖₂) / (√N - 1): 0 for a unit that
    always says the same, 1 for one that answers to a single patch.
    """
    target, rebuilt = _rebuilt(model, patches)
    error, variance = (rebuilt - target).square().mean(), (target - target.mean(0)).square().mean()
    scores = {"mse": float(error), "explained_variance": float(1 - error / variance) if variance else 0.0}
    if isinstance(model, PrincipalCode):
        return scores
    return scores | {f"sparseness_{depth}": _hoyer(model.responses(patches, depth)) for depth in (1, 2)}


def _rebuilt(model: StackedISA | PrincipalCode, patches: Tensor) -> tuple[Tensor, Tensor]:
    """Give what is to be rebuilt and what is, both (N, C, *spatial)."""
    if isinstance(model, PrincipalCode):
        return model.rows(patches).reshape(patches.shape), model.rebuild(patches)
    return model.rebuild(patches)


def _hoyer(responses: Tensor) -> float:
    root = len(responses) ** 0.5
    ratio = responses.sum(0) / responses.square().sum(0).sqrt().clamp_min(1e-12)
    return float(((root - ratio) / (root - 1)).mean()) if len(responses) > 1 else 0.0
