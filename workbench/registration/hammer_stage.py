"""One stage of HAMMER: its key points, and one round of matching, spline and update."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch.nn.functional import interpolate

from workbench.registration.half_maps import HalfMaps
from workbench.registration.hammer_settings import HammerSettings
from workbench.registration.key_points import choose_key_points, level_saliency
from workbench.registration.match import EnergyRow
from workbench.registration.matching import Correspondence, assign, search_plan, similarities, spread
from workbench.registration.row_pyramid import RowLevel, numbered
from workbench.registration.thin_plate import fit_thin_plate

LEAST_WEIGHT = 0.02


class Stage:
    """The key points of both images at one level of the pyramid.

    Args:
        levels: rows of the fixed and of the moving image.
        saliencies: of both, (X, Y, Z) at full resolution.
        spacing: mm along each axis.
        settings: all of HAMMER's.
        index: of this stage.
    """

    def __init__(
        self, levels: tuple[RowLevel, RowLevel], saliencies: Sequence[np.ndarray], spacing: np.ndarray,
        settings: HammerSettings, index: int,
    ) -> None:  # fmt: skip
        self.levels, self.settings, self.spacing = levels, settings, spacing
        self.shrink = levels[0].shrink
        self.center = (self.shrink - 1) / 2
        self.name = f"stage {index + 1} of {settings.n_stages}"
        self.radius = settings.search_radius[index]
        self.voxels = _centers(levels[0])
        self.plan = search_plan(self.radius, settings.neighbor_radius, settings.neighbor_step)
        self.keys = [
            torch.from_numpy(self._chosen(level, saliency, settings.key_share[index]))
            for level, saliency in zip(levels, saliencies, strict=True)
        ]

    def iterate(self, maps: HalfMaps, temperature: float, iteration: int) -> tuple[HalfMaps, EnergyRow, np.ndarray]:
        """Match all key points, spline their displacements, and update the maps.

        Returns:
            The new maps; the energy before the update; the pairs that now match best, (N, 6) voxels.
        """
        middles, halves, weights, pairs = [], [], [], []
        cost, n_keys = 0.0, 0
        for side in (0, 1):  # key points of the fixed image search the moving one, then the other way round
            keys = self.keys[side] * self.shrink + self.center  # (P, 3) voxels of their image
            whole, half = (maps.forward, maps.to_moving) if side == 0 else (maps.inverse, maps.to_fixed)
            found = self._search(maps, whole, side, temperature)
            goals = keys + found.offset
            goals = goals + maps.at(whole, goals)  # where they lie in the other image
            middles.append(keys + maps.at(half, keys) + found.offset / 2)
            halves.append(found.offset / 2 if side == 0 else -found.offset / 2)
            weights.append(found.best.clamp(min=0) * found.certainty)
            pairs.append(torch.cat([keys, goals] if side == 0 else [goals, keys], dim=1))
            cost += float((1 - found.now).sum())
            n_keys += len(keys)
        change = self._splined(maps, torch.cat(middles), torch.cat(halves), torch.cat(weights))
        bending = _bending(maps)
        row = EnergyRow(self.name, iteration, cost / max(n_keys, 1) + self.settings.stiffness * bending, n_keys)
        new = maps.updated(change * self.settings.step, self.settings.velocity_smoothing)
        return new, row, torch.cat(pairs).numpy().astype(np.float32)

    def _chosen(self, level: RowLevel, saliency: np.ndarray, share: float) -> np.ndarray:
        described = (level.places < len(level.rows) - 1).numpy()
        return choose_key_points(level_saliency(saliency, self.shrink), described, share)

    def _search(self, maps: HalfMaps, whole: torch.Tensor, side: int, temperature: float) -> Correspondence:
        """Match one image's key points; offsets are in voxels of that image."""
        mine, theirs = self.levels[side], self.levels[1 - side]
        places, rounding = self._warped(maps, whole, theirs)
        nodes = self.keys[side]
        scores = similarities(mine.rows, theirs.rows, mine.places, places, nodes, self.plan, mine.similarity)
        shape = torch.tensor(places.shape)
        candidates = nodes[:, None] + self.plan.candidates  # (P, C, 3)
        inside = ((candidates >= 0) & (candidates < shape)).all(dim=2)
        flat = (torch.minimum(candidates.clamp(min=0), shape - 1) * torch.tensor(places.stride())).sum(dim=2)
        # a row was taken from the nearest node, so it lies a little beside the candidate: its place counts
        positions = self.plan.candidates * self.shrink + rounding[flat] * inside[..., None]
        unit = max(temperature * spread(scores), 1e-6)
        return assign(scores, positions, unit, self.settings.reach * self.radius * self.shrink, self.plan, self.shrink)

    def _warped(self, maps: HalfMaps, whole: torch.Tensor, level: RowLevel) -> tuple[torch.Tensor, torch.Tensor]:
        """Bring the rows of one image to the nodes of the other, each the nearest.

        Returns:
            The row at each node (X', Y', Z'); and how far beside the wanted place it lies, (X' · Y' · Z', 3) voxels.
        """
        shape = level.places.shape
        exact = self.voxels + maps.at(whole, self.voxels)
        nearest = ((exact - self.center) / self.shrink).round()
        held = torch.minimum(nearest.clamp(min=0), torch.tensor(shape) - 1)
        inside = (held == nearest).all(dim=1)
        flat = (held.long() * torch.tensor(level.places.stride())).sum(dim=1)
        rows = torch.where(inside, level.places.reshape(-1).index_select(0, flat), len(level.rows) - 1)
        return rows.reshape(shape), nearest * self.shrink + self.center - exact

    def _splined(
        self, maps: HalfMaps, middles: torch.Tensor, halves: torch.Tensor, weights: torch.Tensor
    ) -> np.ndarray:
        """Carry the key points' displacements to the nodes of the velocity: (3, X', Y', Z') voxels."""
        points, values, mass = averaged(
            middles.numpy(), halves.numpy(), weights.numpy() + LEAST_WEIGHT, self.settings.max_spline_points
        )
        smoothing = self.settings.smoothing * mass.mean() / mass
        plate = fit_thin_plate(points * self.spacing, values, kernel=self.settings.kernel, smoothing=smoothing)
        change = at_nodes(maps, lambda places: plate(places * self.spacing))
        if self.settings.detail > 0:
            left = (halves - maps.sampled(torch.from_numpy(change), middles)).numpy()
            change = change + spread_locally(maps, middles.numpy(), left, weights.numpy(), self.settings.detail)
        return change


def _centers(level: RowLevel) -> torch.Tensor:
    """Give where the nodes of a level lie: (X' · Y' · Z', 3) float32 voxels."""
    lines = [torch.arange(n, dtype=torch.float32) for n in level.places.shape]
    nodes = torch.stack(torch.meshgrid(*lines, indexing="ij"), dim=-1).reshape(-1, 3)
    return nodes * level.shrink + (level.shrink - 1) / 2


def at_nodes(maps: HalfMaps, values: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Give a smooth function of places (N, 3) in voxels at the nodes of the velocity: (3, X', Y', Z') float32.

    It is asked at every other node and linear between them: a spline of a few hundred points bends little from one to
    the next, and asking everywhere takes a third of all time.
    """
    shape, pitch = maps.velocity.shape[1:], maps.voxels_per_node.numpy()
    coarse = [n // 2 + 1 for n in shape]
    places = (np.indices(coarse).reshape(3, -1).T * 2 + 0.5) * pitch - 0.5
    asked = torch.from_numpy(values(places).T.reshape(1, 3, *coarse).astype(np.float32))
    between = interpolate(asked, size=tuple(2 * n - 1 for n in coarse), mode="trilinear", align_corners=True)[0]
    found: np.ndarray = between[:, : shape[0], : shape[1], : shape[2]].numpy()
    return found


def spread_locally(
    maps: HalfMaps, points: np.ndarray, values: np.ndarray, weights: np.ndarray, sigma: float
) -> np.ndarray:
    """Give the Gaussian-weighted mean of scattered values about each node, fading to 0 far from all: (3, X', Y', Z').

    Args:
        maps: whose nodes are meant.
        points: (P, 3) voxels.
        values: (P, 3).
        weights: (P,).
        sigma: standard deviation in voxels.
    """
    pitch, shape = maps.voxels_per_node.numpy(), np.array(maps.velocity.shape[1:])
    node = np.clip(np.round((points + 0.5) / pitch - 0.5), 0, shape - 1).astype(np.int64)
    flat = np.ravel_multi_index(tuple(node.T), tuple(shape))
    columns = [weights, *(weights[:, None] * values).T]
    sums = np.stack([np.bincount(flat, c, int(shape.prod())).reshape(shape) for c in columns])
    sums = gaussian_filter(sums, [0, *(sigma / pitch)], mode="constant")
    fade = 0.1 * np.median(sums[0])
    local: np.ndarray = sums[1:] / np.maximum(sums[0] + fade, 1e-12)
    return local


def averaged(
    points: np.ndarray, values: np.ndarray, weights: np.ndarray, most: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Average points, values and weights in cells that grow until at most so many are left.

    Cells never grow beyond a third of the points' extent along an axis, so that a slab keeps its thickness.

    Returns:
        Points (n, 3), values (n, 3), and the weights (n,) summed.
    """
    edge, low = 1.0, points.min(axis=0)
    thirds = np.maximum(np.ptp(points, axis=0) / 3, 1e-6)
    while True:
        cells = np.floor((points - low) / np.minimum(edge, thirds)).astype(np.int64)
        _, owner, counts = numbered(np.ravel_multi_index(tuple(cells.T), tuple(cells.max(axis=0) + 1)))
        n = len(counts)
        if n <= most:
            break
        edge *= max(1.1, (n / most) ** (1 / 3))
    mass = np.bincount(owner, weights, n)
    mean = [
        np.stack([np.bincount(owner, weights * column, n) for column in array.T], axis=1) / mass[:, None]
        for array in (points, values)
    ]
    return mean[0], mean[1], mass


def _bending(maps: HalfMaps) -> float:
    """Give the mean squared Laplacian of the whole map's displacement, in voxels."""
    u = 2 * maps.velocity * maps.voxels_per_node.view(3, 1, 1, 1)
    inner = u[:, 1:-1, 1:-1, 1:-1]
    if inner.numel() == 0:
        return 0.0
    total = -6 * inner
    for axis in (1, 2, 3):
        beside = u
        for other in {1, 2, 3} - {axis}:
            beside = beside.narrow(other, 1, u.shape[other] - 2)
        n = inner.shape[axis]
        total += beside.narrow(axis, 0, n)
        total += beside.narrow(axis, 2, n)
    return float((total**2).sum(dim=0).mean())
