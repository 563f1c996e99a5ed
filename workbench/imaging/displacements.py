"""Displacement fields: pulled, composed, integrated, inverted, measured.

A field u moves every voxel x of its lattice to x + u(x), where another image is read: out(x) = in(x + u(x)). Here u is
(3, X, Y, Z) in **voxels** of that lattice, unless a name says mm; `to_mm` and `to_voxels` convert by the affine, which
may be oblique. Beyond the border every field goes on with its outermost value.

What goes in comes out: NumPy arrays give NumPy arrays and tensors give tensors, float32 both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeVar

import numpy as np
import torch
from scipy.ndimage import binary_dilation, gaussian_filter, gaussian_filter1d
from torch.nn.functional import grid_sample, interpolate, pad

INSIDE = 0.5 + 1e-4  # an image reaches half a voxel beyond the centers of its outer voxels
N_SIMPLE = 15  # rounds of the fixed point before Newton
NEWTON_REACH = 0.2  # voxels, of the differences that give a slope
LARGEST_STEP = 0.5  # voxels, before the first squaring
FEW_POINTS = 4096  # read by one thread
SLAB_VOXELS = 2**21  # of a determinant, which needs 100 bytes a voxel

Array = TypeVar("Array", np.ndarray, torch.Tensor)


def pull(
    maps: Array, displacement: Array, mode: Literal["linear", "nearest"] = "linear", fill: float | None = None
) -> Array:
    """Give maps at x + displacement(x).

    Args:
        maps: (K, X, Y, Z).
        displacement: (3, X', Y', Z') in voxels; its lattice begins at the first voxel of the maps and may be smaller
            or larger than theirs.
        mode: of interpolation.
        fill: the value more than half a voxel beyond the border; without it the outermost value goes on.

    Returns:
        (K, X', Y', Z') float32.
    """
    field = _tensor(displacement)
    axes = [torch.arange(n, dtype=torch.float32, device=field.device) for n in field.shape[1:]]
    position = torch.stack([field[a] + axes[a].view([-1 if b == a else 1 for b in range(3)]) for a in range(3)])
    moved = _at(_tensor(maps), position, mode)
    if fill is not None:
        moved[:, _beyond(position, maps.shape[1:])] = fill
    return _like(maps, moved)


def pull_at(maps: Array, positions: Array, mode: Literal["linear", "nearest"] = "linear") -> Array:
    """Give maps (K, X, Y, Z) at fractional voxels (3, …): (K, …) float32, the outermost value beyond the border."""
    where = _tensor(positions)
    moved = _at_points(_tensor(maps), where.reshape(3, -1), mode)
    return _like(maps, moved.reshape(-1, *where.shape[1:]))


def compose(outer: Array, inner: Array) -> Array:
    """Give the field of x → outer map(inner map(x)): inner(x) + outer(x + inner(x)), in voxels of one lattice."""
    return inner + pull(outer, inner)


def exponential(velocity: Array, n_squarings: int | None = None) -> Array:
    """Integrate a stationary velocity for unit time by scaling and squaring (Arsigny 2006).

    Args:
        velocity: (3, X, Y, Z) voxels per unit time.
        n_squarings: of a step of velocity / 2ⁿ; by default the fewest whose largest step stays below half a voxel.
    """
    step = _tensor(velocity)
    if n_squarings is None:
        largest = float(_length(step).max())
        n_squarings = max(int(np.floor(np.log2(largest / LARGEST_STEP))) + 1, 0) if largest > 0 else 0
    step = step / 2**n_squarings
    for _ in range(n_squarings):
        step = compose(step, step)  # φ∘φ: x + u(x) + u(x + u(x))
    return _like(velocity, step)


def invert(displacement: Array, n_iterations: int = 50, tolerance: float = 0.01) -> Array:
    """Give v with x + v(x) + u(x + v(x)) = x, by the fixed point v ← v - (v + u(x + v)) (Chen 2008).

    It needs a map that nowhere stretches or turns much. Voxels that it has not reached after 15 rounds go on by
    Newton steps. Whatever the step, it is halved in a voxel whose error would grow, and only voxels that are not
    there yet are looked at.

    Args:
        displacement: u (3, X, Y, Z) in voxels; where it folds, v is the nearest fit that was met.
        n_iterations: at most.
        tolerance: largest error that is good enough, in voxels.
    """
    field = _tensor(displacement)
    axes = [torch.arange(n, dtype=torch.float32, device=field.device) for n in field.shape[1:]]
    start = torch.stack(torch.meshgrid(*axes, indexing="ij")).reshape(3, -1)
    inverse, error = torch.zeros_like(start), field.reshape(3, -1).clone()
    least, damping = _length(error), torch.ones_like(start[0])
    for turn in range(n_iterations):
        active = torch.nonzero(least >= tolerance)[:, 0]
        if not len(active):
            break
        if turn == N_SIMPLE:
            damping[:] = 1
        here, v, e = start[:, active], inverse[:, active], error[:, active]
        step = e if turn < N_SIMPLE else _newton(field, here + v, e)
        tried = v - damping[active] * step
        left = tried + _at_points(field, here + tried)
        length = _length(left)
        better = length < least[active]
        inverse[:, active], error[:, active] = torch.where(better, tried, v), torch.where(better, left, e)
        least[active] = torch.where(better, length, least[active])
        damping[active] = torch.where(better, (1.5 * damping[active]).clamp_max(1), damping[active] / 2)
    return _like(displacement, inverse.reshape(field.shape))


def jacobian_determinant(displacement: Array) -> Array:
    """Give det(I + ∂u/∂x) by central differences, one-sided at the border: (X, Y, Z) float32; > 0 where unfolded.

    The determinant of a map on an oblique or anisotropic lattice is that of its displacement in voxels.
    """
    field = _tensor(displacement)
    determinant = torch.empty(field.shape[1:])
    deep = max(SLAB_VOXELS // max(field[0, 0].numel(), 1), 1)
    for low in range(0, field.shape[1], deep):
        high = min(low + deep, field.shape[1])
        around = slice(max(low - 1, 0), min(high + 1, field.shape[1]))
        slab = _determinant(field[:, around].double())
        determinant[low:high] = slab[low - around.start :][: high - low]
    return _like(displacement, determinant)


def folded_share(displacement: np.ndarray | torch.Tensor) -> float:
    """Give the share of voxels where the map turns space inside out: det J ≤ 0."""
    return float((jacobian_determinant(_tensor(displacement)) <= 0).float().mean())


def unfold(displacement: Array, least: float = 0.05, n_rounds: int = 20) -> Array:
    """Smooth a field around its folds until every determinant reaches ``least``, and nowhere else.

    Args:
        displacement: (3, X, Y, Z) in voxels.
        least: determinant to be reached everywhere.
        n_rounds: at most; each smooths wider than the one before.
    """
    field = _tensor(displacement).numpy().copy()
    for turn in range(n_rounds):
        folded = jacobian_determinant(field) < least
        if not folded.any():
            break
        near = binary_dilation(folded, iterations=2 + turn).astype(np.float32)
        weight = gaussian_filter(near, 1.0 + turn / 4)
        field = field + weight * (smooth(field, 1.0 + turn / 4) - field)
    return _like(displacement, torch.from_numpy(field))


def smooth(displacement: Array, sigma_voxels: float | Sequence[float]) -> Array:
    """Smooth maps (K, X, Y, Z) by a Gaussian whose standard deviation, one or three, is in voxels; 0 leaves an axis."""
    out = _tensor(displacement).numpy().copy()
    for axis, sigma in enumerate(np.broadcast_to(np.asarray(sigma_voxels, float), 3)):
        if sigma > 0 and out.shape[axis + 1] > 1:
            out = gaussian_filter1d(out, sigma, axis=axis + 1, mode="nearest", truncate=3.0)
    return _like(displacement, torch.from_numpy(out))


def resize(displacement: Array, shape: Sequence[int]) -> Array:
    """Bring a field to a lattice of other voxels over the same extent, and its vectors to those voxels.

    Args:
        displacement: (3, X, Y, Z) in voxels.
        shape: (X', Y', Z'). Voxel j of the new lattice lies at (j + ½) X / X' - ½ of the old one.
    """
    field = _tensor(displacement)
    if tuple(field.shape[1:]) == tuple(shape):
        return _like(displacement, field.clone())
    ratio = torch.tensor([new / old for new, old in zip(shape, field.shape[1:], strict=True)])
    finer = interpolate(field[None], size=tuple(shape), mode="trilinear", align_corners=False)[0]
    return _like(displacement, finer * ratio.view(3, 1, 1, 1))


def resample_field(
    field_mm: np.ndarray, affine: np.ndarray, shape: Sequence[int], new_affine: np.ndarray
) -> np.ndarray:
    """Bring a field in mm to another lattice.

    Args:
        field_mm: (3, X, Y, Z) mm RAS on the lattice of ``affine``.
        affine: (4, 4).
        shape: (X', Y', Z') of the new lattice.
        new_affine: (4, 4) of the new lattice.

    Returns:
        (3, X', Y', Z') float32 mm RAS.
    """
    return pull_at(np.asarray(field_mm, np.float32), lattice_positions(shape, np.linalg.inv(affine) @ new_affine))


def lattice_positions(shape: Sequence[int], matrix: np.ndarray) -> np.ndarray:
    """Give matrix (4, 4) times every voxel of a lattice: (3, X, Y, Z) float32."""
    lines = [
        np.arange(n, dtype=np.float64).reshape([-1 if b == a else 1 for b in range(3)]) for a, n in enumerate(shape)
    ]
    return np.stack([sum((row[a] * lines[a] for a in range(3)), row[3]).astype(np.float32) for row in matrix[:3]])


def to_mm(displacement: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Turn vectors (3, …) in voxels of a lattice into mm RAS."""
    return np.tensordot(affine[:3, :3], displacement, 1).astype(np.float32)


def to_voxels(displacement_mm: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Turn vectors (3, …) in mm RAS into voxels of a lattice."""
    return np.tensordot(np.linalg.inv(affine[:3, :3]), displacement_mm, 1).astype(np.float32)


def _length(field: torch.Tensor) -> torch.Tensor:
    """Euclidean length of vectors (3, …); torch's own norm is many times slower along the first axis."""
    return torch.sqrt(field[0] * field[0] + field[1] * field[1] + field[2] * field[2])


def _newton(field: torch.Tensor, positions: torch.Tensor, error: torch.Tensor) -> torch.Tensor:
    """The steps (3, n) that would undo errors (3, n) at positions (3, n) if the map were linear there."""
    columns = []
    for axis in range(3):
        reach = torch.zeros(3, 1)
        reach[axis] = NEWTON_REACH
        column = (_at_points(field, positions + reach) - _at_points(field, positions - reach)) / (2 * NEWTON_REACH)
        column[axis] += 1
        columns.append(column)
    a, b, c = columns
    rows = [torch.linalg.cross(b, c, dim=0), torch.linalg.cross(c, a, dim=0), torch.linalg.cross(a, b, dim=0)]
    determinant = (a * rows[0]).sum(0)  # where it is 0 the step is not finite, and not taken
    return torch.stack([(row * error).sum(0) for row in rows]) / determinant


def _determinant(field: torch.Tensor) -> torch.Tensor:
    """det(I + ∂u/∂x) of one slab; an axis of a single voxel has no derivative."""
    columns = []
    for axis in range(3):
        one = field.shape[axis + 1] == 1
        column = torch.zeros_like(field) if one else torch.gradient(field, dim=axis + 1)[0]
        column[axis] += 1
        columns.append(column)
    (a, d, g), (b, e, h), (c, f, i) = columns
    return a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)


def _at(maps: torch.Tensor, position: torch.Tensor, mode: str) -> torch.Tensor:
    """Interpolate maps (K, X, Y, Z) at fractional voxels (3, X', Y', Z')."""
    span = torch.tensor([max(n - 1, 1) for n in maps.shape[1:]], dtype=torch.float32, device=position.device)
    # grid_sample wants the fastest axis first and -1 … 1 between the outermost voxel centers
    grid = (position * (2 / span).view(3, 1, 1, 1) - 1).flip(0).permute(1, 2, 3, 0)[None]
    how = "bilinear" if mode == "linear" else "nearest"
    n, n_parts = grid[..., 0].numel(), torch.get_num_threads()
    if n_parts == 1 or n < FEW_POINTS or position.device.type != "cpu":
        return grid_sample(maps[None], grid, mode=how, padding_mode="border", align_corners=True)[0]
    # on a processor each image of a batch is read by one thread, so the same image is given once a thread
    size = -(-n // n_parts)
    parts = pad(grid.reshape(n, 3), (0, 0, 0, size * n_parts - n)).view(n_parts, size, 1, 1, 3)
    copies = maps.expand(n_parts, *maps.shape)
    found = grid_sample(copies, parts, mode=how, padding_mode="border", align_corners=True)[..., 0, 0]
    return found.transpose(0, 1).reshape(len(maps), -1)[:, :n].reshape(len(maps), *position.shape[1:])


def _at_points(maps: torch.Tensor, positions: torch.Tensor, mode: str = "linear") -> torch.Tensor:
    """Interpolate maps (K, X, Y, Z) at fractional voxels (3, n): (K, n)."""
    return _at(maps, positions[:, None, None], mode)[:, 0, 0]


def _beyond(position: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    """Mark positions (3, …) more than half a voxel outside a lattice."""
    beyond = torch.zeros_like(position[0], dtype=torch.bool)
    for where, n in zip(position, shape, strict=True):
        beyond |= (where < -INSIDE) | (where > n - 1 + INSIDE)
    return beyond


def _tensor(array: np.ndarray | torch.Tensor) -> torch.Tensor:
    """The same numbers as a float32 tensor, not copied where that is possible; a tensor cannot be read-only."""
    if isinstance(array, torch.Tensor):
        return array.to(torch.float32)
    values = np.ascontiguousarray(array, np.float32)
    return torch.from_numpy(values if values.flags.writeable else values.copy())


def _like(given: Array, result: torch.Tensor) -> Array:
    """The result in the kind of array that was given."""
    return result.numpy() if isinstance(given, np.ndarray) else result
