"""The stacked convolutional form of independent subspace analysis (Wu et al., MICCAI 2013; Kim, Wu, Shen, MLMI 2013).

Reference 52 and 92 of the review; the architecture is that of Le, Zou, Yeung, Ng (CVPR 2011).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product

import numpy as np
import torch
from torch import Tensor, nn

from workbench.models.isa import ISA, projected_step, regrouped
from workbench.models.layers import normalize_patches, step_generator
from workbench.models.principal_axes import principal_axes
from workbench.progress import Progress, silent

CHUNK = 1024
REGROUP_EVERY = 25


class StackedISA(nn.Module):
    """Two layers: one on small patches, one on what it says of several of them within a larger patch.

        patch (1, 21³) ─sub-patches of 13³ at stride 8─► 8 × (2197) ─ISA─► 8 × (100) ─side by side─► (800)
                       ─ISA─► (50)
        its middle (13³) ─the first ISA─► (100);  code = [middle (100), second layer (50)]

    The sub-patches lie on a regular grid that fills the patch exactly, and the middle one has a voxel in its center,
    so the code of every voxel of an image comes from one map of first-layer responses: see
    :func:`workbench.inference.subspaces.encode_subspaces`.

    Args:
        patch_shape: (1, n, n, n) or (1, n, n), n odd.
        sub_patch_size: edge of what the first layer sees, odd, in voxels.
        stride: voxels between neighboring sub-patches.
        n_components: kept by the whitening of either layer; also its number of filters.
        subspace_size: filters in a subspace, of both layers.
        normalization: of each sub-patch.
        seed: of the initial filters.
    """

    def __init__(
        self,
        patch_shape: Sequence[int],
        sub_patch_size: int,
        stride: int,
        n_components: tuple[int, int] = (200, 100),
        *,
        subspace_size: int = 2,
        normalization: str = "none",
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.patch_shape, self.sub_patch_size = tuple(int(n) for n in patch_shape), sub_patch_size
        self.stride, self.normalization = stride, normalization
        size, n_axes = self.patch_shape[-1], len(self.patch_shape) - 1
        _check_sizes(self.patch_shape, sub_patch_size, stride)
        starts = range(0, size - sub_patch_size + 1, stride)
        self.offsets = list(product(starts, repeat=n_axes))
        """Where each sub-patch begins within the patch."""
        self.middle = ((size - sub_patch_size) // 2,) * n_axes
        first = ISA(sub_patch_size**n_axes, n_components[0], subspace_size=subspace_size, seed=2 * seed)
        wide = len(self.offsets) * first.n_units
        second = ISA(wide, n_components[1], subspace_size=subspace_size, seed=2 * seed + 1)
        self.layers = nn.ModuleList([first, second])

    @property
    def n_layers(self) -> int:
        """Two."""
        return len(self.layers)

    @property
    def code_size(self) -> int:
        """Numbers in a code: the units of both layers."""
        return sum(self.layer(i).n_units for i in range(self.n_layers))

    def layer(self, index: int) -> ISA:
        """Give layer ``index``, counted from 0."""
        layer = self.layers[index]
        assert isinstance(layer, ISA)
        return layer

    def sub_patch(self, x: Tensor, offset: Sequence[int]) -> Tensor:
        """Give the normalized sub-patch that begins at an offset, flat: (B, C, *spatial) → (B, V)."""
        for axis, start in enumerate(offset, start=2):
            x = x.narrow(axis, start, self.sub_patch_size)
        return normalize_patches(x, self.normalization).flatten(1)

    def layer_input(self, x: Tensor, index: int, generator: torch.Generator | None = None) -> Tensor:
        """Give what a layer learns from, one row a patch (B, V_index), without gradient.

        Args:
            x: (B, C, *spatial) patches.
            index: 0 takes one sub-patch of each, 1 the first layer's responses to all that are on the grid.
            generator: chooses the sub-patch; without one it is the middle.
        """
        if tuple(x.shape[1:]) != self.patch_shape:
            raise ValueError(f"patches of shape {self.patch_shape} were expected; got {tuple(x.shape[1:])}")
        with torch.no_grad():
            if index:
                return torch.cat([self.layer(0)(self.sub_patch(x, offset)) for offset in self.offsets], 1)
            if generator is None:
                return self.sub_patch(x, self.middle)
            places = torch.randint(self.middle[0] * 2 + 1, (len(x), len(self.middle)), generator=generator)
            for axis in range(len(self.middle)):
                x = x.unfold(2 + axis, self.sub_patch_size, 1)  # (B, C, *places, *sub-patch)
            chosen = x[(torch.arange(len(x)), slice(None), *places.T)]
            return normalize_patches(chosen, self.normalization).flatten(1)

    def responses(self, x: Tensor, depth: int) -> Tensor:
        """Give the responses (B, n_units) of a layer, counted from 1, to patches (B, C, *spatial); the first's to
        their middles."""
        return self.layer(depth - 1)(self.layer_input(x, depth - 1))

    def encode(self, x: Tensor) -> Tensor:
        """Give the codes (B, M) of patches (B, C, *spatial): both layers' responses side by side."""
        return torch.cat([self.responses(x, depth) for depth in (1, 2)], 1)

    def rebuild(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Give the normalized middles of patches, and what the first layer's components say of them.

        Returns:
            twice (B, C, *sub-patch).
        """
        rows = self.sub_patch(x, self.middle)
        shape = (-1, self.patch_shape[0], *[self.sub_patch_size] * len(self.middle))
        return rows.reshape(shape), self.layer(0).rebuild(rows).reshape(shape)

    def filters(self) -> Tensor:
        """Give the first layer's filters by subspace, (n_units, subspace_size, *sub-patch)."""
        first = self.layer(0)
        return first.filters().reshape(first.n_units, first.subspace_size, *[self.sub_patch_size] * len(self.middle))


def learn_stack(
    stack: StackedISA,
    patches: np.ndarray | Tensor,
    *,
    n_steps: int = 200,
    seed: int = 0,
    progress: Progress = silent,
) -> list[list[float]]:
    """Learn both layers from patches, in place: whiten, then go down the projected gradient over all of them.

    Args:
        stack: changed; its earlier filters are where the descent begins.
        patches: (N, *patch_shape), of training images alone.
        n_steps: of each layer, at most; it ends where no step helps.
        seed: of the sub-patch that the first layer sees of each patch.
        progress: told after each step.

    Returns:
        The objective after each step, a list a layer.
    """
    x = torch.as_tensor(patches)
    curves = []
    for index in range(stack.n_layers):
        z = whitened_rows(stack, index, lambda: iter(x.split(CHUNK)), seed)
        curve = []
        for step in range(n_steps):
            before, after = descend(stack.layer(index), z, step)
            curve.append(after)
            done = (index * n_steps + step + 1) / (stack.n_layers * n_steps)
            progress(done, f"layer {index + 1}: step {step + 1} of {n_steps}, mean response {after:.4f}")
            if after >= before and step % REGROUP_EVERY == REGROUP_EVERY - 1:
                break
        curves.append(curve)
    return curves


def descend(layer: ISA, z: Tensor, step: int) -> tuple[float, float]:
    """Take one step of a layer on whitened rows (N, K), every 25th with filters put together anew.

    Returns:
        The objective before and after.
    """
    with torch.no_grad():
        found = projected_step(layer.weight, z, layer.subspace_size, float(layer.step_size))
        layer.weight.copy_(found.weight)
        layer.step_size.fill_(found.step_size)
        if step % REGROUP_EVERY != REGROUP_EVERY - 1:
            return found.before, found.after
        layer.weight.copy_(regrouped(layer.weight, z, layer.subspace_size))
        return found.before, layer.objective(z)


def whitened_rows(stack: StackedISA, index: int, chunks: Callable[[], Iterator[Tensor]], seed: int) -> Tensor:
    """Learn the whitening of a layer from patches, and give its whitened input rows, (N, K).

    Args:
        stack: the layers below are trained.
        index: layer, counted from 0.
        chunks: gives the patches (B, *patch_shape) in pieces, the same each time; it is called twice.
        seed: of the sub-patches.
    """

    def rows() -> Iterator[Tensor]:
        for number, x in enumerate(chunks()):
            yield stack.layer_input(x, index, step_generator(seed, number))

    layer = stack.layer(index)
    layer.whiten_like(principal_axes(rows(), len(layer.weight)))
    return torch.cat([layer.whiten(some) for some in rows()])


def check_components(n_components: Sequence[int], subspace_size: int, n_patches: int) -> None:
    """Make sure that either layer has whole subspaces, and that its whitening can be learnt from so many patches.

    Raises:
        ValueError: it cannot.
    """
    if any(not subspace_size <= n <= 4096 for n in n_components):
        raise ValueError(f"either layer needs {subspace_size} to 4096 components; got {n_components}")
    if max(n_components) >= n_patches:
        raise ValueError(f"whitening to {max(n_components)} components needs more patches than that")


def _check_sizes(patch_shape: tuple[int, ...], sub_patch_size: int, stride: int) -> None:
    size, *others = patch_shape[1:]
    if len(patch_shape) not in (3, 4) or patch_shape[0] != 1 or any(n != size for n in others):
        raise ValueError(f"patches are (1, n, n) or (1, n, n, n); got {patch_shape}")
    room = size - sub_patch_size
    if size % 2 == 0 or sub_patch_size % 2 == 0 or room < 0:
        raise ValueError(
            "patch and sub-patch need odd edges, the patch the longer one, so that both have a voxel in the middle; "
            f"got {size} and {sub_patch_size}"
        )
    if stride < 1 or room % stride:
        raise ValueError(
            f"sub-patches of {sub_patch_size} at stride {stride} do not fill a patch of {size}: {size} - "
            f"{sub_patch_size} = {room} must be a multiple of the stride"
        )
