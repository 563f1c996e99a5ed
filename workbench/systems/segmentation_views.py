"""What a trained segmenting network shows of itself, and what it costs: any network, looked at while it works."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from workbench.models.layers import DEAD_BELOW
from workbench.runs.run import Run
from workbench.systems.label_classes import IGNORED
from workbench.systems.views import FilterBank

CONVOLUTIONS = (nn.Conv2d, nn.Conv3d)
COUNTED = (*CONVOLUTIONS, nn.ConvTranspose2d, nn.ConvTranspose3d, nn.Linear)
N_SHOWN = 64
N_LOOKED_AT = 8
MOST_NUMBERS = 2e7
VIEWS = ("Slice", "Select", "View", "Alias", "Clone", "Pad", "AsStrided", "Split", "Unsqueeze", "Squeeze", "Index")


def leave_examples(run: Run, network: nn.Module, batches: Sequence[dict[str, Tensor]]) -> None:
    """Keep some held-out patches, and the mean activation of every map of every convolution over them."""
    first = batches[0]["image"]
    patches = torch.cat([b["image"] for b in batches if b["image"].shape[1:] == first.shape[1:]][:N_SHOWN])[:N_SHOWN]
    patches = patches[: max(1, int(MOST_NUMBERS / patches[0].numel()))]
    run.save_arrays("patches", patches=patches.numpy())
    with torch.no_grad():
        used = {
            name: y.abs().reshape(len(y), y.shape[1], -1).mean((0, 2)).numpy()
            for name, (_, y) in _seen(network, patches[:N_LOOKED_AT]).items()
        }
    run.save_arrays("units", **{f"layer_{i}": u for i, u in enumerate(used.values(), 1)})
    run.save_arrays("convolutions", names=np.array(list(used)))


class HeldOut(NamedTuple):
    """What a network says of held-out voxels.

    Attributes:
        table: (K, K) how many voxels of each true class, the rows, got each answer; ignored ones left out.
        said: the classes that it says of any voxel at all.
    """

    table: Tensor
    said: frozenset[int]

    @property
    def only_class(self) -> int | None:
        """The class that it says of every voxel; None where it says several."""
        return next(iter(self.said)) if len(self.said) == 1 else None

    def scores(self, names: Sequence[str], *, background: bool) -> dict[str, float]:
        """Give the accuracy and the Dice coefficient of each class.

        Patches drawn evenly from a region estimate the whole volumes' scores without segmenting them. A class that
        neither occurs nor is predicted has no score, and neither has the background.

        Args:
            names: of the network's outputs.
            background: whether the first of these is the background.
        """
        counts = self.table.double()
        scores = {"voxel accuracy": float(counts.diag().sum() / counts.sum().clamp_min(1))}
        dice = 2 * counts.diag() / (counts.sum(0) + counts.sum(1))
        return scores | {
            f"dice {names[k]}": float(dice[k]) for k in range(int(background), len(names)) if torch.isfinite(dice[k])
        }


@torch.no_grad()
def held_out(network: nn.Module, batches: Sequence[dict[str, Tensor]], n_outputs: int) -> HeldOut:
    """Ask a trained network about batches with images and labels."""
    table, said = torch.zeros(n_outputs, n_outputs, dtype=torch.long), set[int]()
    for batch in batches:
        predicted, truth = classes_of_output(network(batch["image"])).reshape(-1), batch["label"].reshape(-1)
        said.update(int(k) for k in predicted.unique())
        known = truth != IGNORED
        places = truth[known] * n_outputs + predicted[known]
        table += torch.bincount(places, minlength=n_outputs**2).reshape(n_outputs, n_outputs)
    return HeldOut(table, frozenset(said))


def classes_of_output(output: Tensor) -> Tensor:
    """Give the likeliest class of logits (B, K, *s) or of one probability (B, 1, *s): (B, *s) int64."""
    return (output[:, 0] > 0.5).long() if output.shape[1] == 1 else output.argmax(1)


def first_kernels(network: nn.Module, run: Run, depth: int, spacing_mm: float) -> FilterBank:
    """Give the kernels of one convolution, or what its maps answer to where it does not look at the image itself.

    Of a deeper map the gradient of its middle unit at the mean held-out patch is shown, cut to where it is not 0.

    Args:
        network: trained.
        run: with the patches that training left.
        depth: of the convolutions in the order in which the network uses them, from 1.
        spacing_mm: edge of a voxel, 0 if images keep their own.
    """
    kept = run.load_arrays("units")
    layers = [str(n) for n in run.load_arrays("convolutions")["names"]]
    depth = min(max(1, depth), len(layers))
    name = layers[depth - 1]
    patches = torch.from_numpy(run.load_arrays("patches")["patches"])
    x = patches.mean(0, keepdim=True).requires_grad_(True)
    with torch.enable_grad():
        before, after = _seen(network, x)[name]
        module = network.get_submodule(name)
        assert isinstance(module, CONVOLUTIONS)
        linear = module.in_channels <= x.shape[1] and _is_view_of_input(before)
        weights = module.weight.detach() if linear else _answers(x, after)
    shown, use = weights.numpy(), kept[f"layer_{depth}"]
    return FilterBank(
        weights=shown,
        mean_activation=use,
        dead=use < DEAD_BELOW,
        norms=np.sqrt((shown.reshape(len(shown), -1) ** 2).sum(1)),
        spacing_mm=spacing_mm,
        layers=[f"{n} ({len(kept[f'layer_{i}'])} maps)" for i, n in enumerate(layers, 1)],
        depth=depth,
        sparsity_target=None,
        linear=linear,
    )


def multiplications(network: nn.Module, shape: tuple[int, ...]) -> tuple[float, float]:
    """Count what one pass of one example (C, *spatial) takes: multiplications, and numbers that are kept."""
    total, kept = [0.0], [0.0]

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        weight: Tensor = module.weight  # type: ignore[assignment]
        places = inputs[0] if isinstance(module, (nn.ConvTranspose2d, nn.ConvTranspose3d)) else output
        spatial = float(np.prod(places.shape[2:]))
        total[0] += spatial * weight.numel()
        kept[0] += float(output.numel())

    hooks = [m.register_forward_hook(count) for m in network.modules() if isinstance(m, COUNTED)]
    try:
        with torch.no_grad(), _evaluating(network.to("meta")) as ghost:
            ghost(torch.zeros((1, *shape), device="meta"))
    finally:
        for hook in hooks:
            hook.remove()
    return total[0], kept[0]


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[nn.Module]:
    was = network.training
    try:
        yield network.eval()
    finally:
        network.train(was)


def _seen(network: nn.Module, x: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """Run a network and give what goes into and comes out of each convolution, in the order of the work."""
    found: dict[str, tuple[Tensor, Tensor]] = {}
    hooks = []
    for name, module in network.named_modules():
        if isinstance(module, CONVOLUTIONS):

            def look(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor, name: str = name) -> None:
                found[name] = (inputs[0], output)

            hooks.append(module.register_forward_hook(look))
    try:
        with _evaluating(network):
            network(x)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _is_view_of_input(x: Tensor) -> bool:
    """Say whether a tensor is the input or a piece of it."""
    function = x.grad_fn
    while function is not None:
        name = type(function).__name__
        if name == "AccumulateGrad":
            return True
        if not any(view in name for view in VIEWS):
            return False
        function = function.next_functions[0][0] if function.next_functions else None
    return x.is_leaf


def _answers(x: Tensor, maps: Tensor) -> Tensor:
    """Give the gradient of the middle unit of each map (M, C, *spatial), cut to the box where any is not 0."""
    middle = tuple(n // 2 for n in maps.shape[2:])
    rows = [torch.autograd.grad(maps[(0, m, *middle)], x, retain_graph=True)[0][0] for m in range(maps.shape[1])]
    found = torch.stack(rows)
    used = found.abs().amax((0, 1)) > 0
    if not bool(used.any()):
        return found
    places = used.nonzero()
    low, high = places.min(0).values, places.max(0).values + 1
    return found[(slice(None), slice(None), *(slice(int(a), int(b)) for a, b in zip(low, high, strict=True)))]
