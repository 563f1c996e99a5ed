"""Hand-designed features of the patch about a voxel: Haar-like box differences, gradient histograms, binary patterns.

They are what learnt features replace in Section 3.1 (Figure 7b, References 90 and 92). Whatever is summed over a box is
read from an integral image at its eight corners, so a feature costs the same for boxes of any size. A box that reaches
beyond the image is cut at its border; of one that lies wholly outside the nearest voxels are left.

Haar-like: Viola and Jones, CVPR 2001; here the mean of one box less that of another, or of none, placed by chance.
HOG: Dalal and Triggs, CVPR 2005, as scikit-image computes it in a plane; in space the orientations are the six axes of
an icosahedron. LBP: Ojala et al., TPAMI 2002, uniform patterns by scikit-image; in space in three orthogonal planes
(Zhao and Pietikäinen, TPAMI 2007).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from skimage.feature import local_binary_pattern

from workbench.classical.descriptors import CLIP, icosahedron, orientations
from workbench.progress import Progress, silent

Size = tuple[int, int, int]
N_PATTERNS = 10
N_GRAY_LEVELS = 256
N_SPATIAL_ORIENTATIONS = 6
EPSILON = 1e-5


@dataclass(frozen=True, eq=False)
class BoxPairs:
    """Differences of two boxes about a voxel.

    Attributes:
        first, second: (K, 2, 3) int: first and one past the last voxel along X, Y, Z, counted from the voxel.
        weight: (K,) of the second box: 1, or 0 where the feature is the first box alone.
    """

    first: np.ndarray
    second: np.ndarray
    weight: np.ndarray

    def __len__(self) -> int:
        return len(self.weight)


def random_boxes(
    n_features: int, patch: Sequence[int] = (15, 15, 9), *, edges: Sequence[int] = (1, 3, 5), seed: int = 0
) -> BoxPairs:
    """Place pairs of boxes in a patch by chance; a third has one box only.

    Args:
        n_features: K.
        patch: voxels along X, Y, Z, in which all boxes lie.
        edges: edges of a box in voxels; along each axis one of those that fit into the patch.
        seed: the same gives the same boxes.
    """
    if n_features < 1 or min(patch) < 1 or min(edges) < 1:
        raise ValueError(f"features, patch and edges are at least 1; got {n_features}, {tuple(patch)}, {tuple(edges)}")
    rng = np.random.default_rng([seed, n_features])
    boxes = [_random_box(rng, n_features, patch, edges) for _ in range(2)]
    weight = (rng.random(n_features) >= 1 / 3).astype(np.float32)
    return BoxPairs(boxes[0], boxes[1], weight)


def haar_features(
    image: np.ndarray, voxels: np.ndarray, pairs: BoxPairs | None = None, *, progress: Progress = silent
) -> np.ndarray:
    """Give Haar-like features of voxels: mean of one box less ``weight`` times the mean of another.

    Args:
        image: (X, Y, Z).
        voxels: (N, 3) indices.
        pairs: of boxes; None takes :func:`random_boxes` of 64 in 15 × 15 × 9 voxels.
        progress: told after each feature.

    Returns:
        (N, K) float32, in the image's unit.
    """
    pairs = random_boxes(64) if pairs is None else pairs
    means = _BoxMeans(image.shape, voxels)
    integral = integral_image(image)
    features = np.empty((len(voxels), len(pairs)), np.float32)
    for k, (first, second, weight) in enumerate(zip(pairs.first, pairs.second, pairs.weight, strict=True)):
        found = means.of(integral, first)
        features[:, k] = found - weight * means.of(integral, second) if weight else found
        progress((k + 1) / len(pairs), f"Haar-like features, {k + 1} of {len(pairs)}")
    return features


def hog_features(
    image: np.ndarray,
    voxels: np.ndarray,
    *,
    cell: Size = (5, 5, 1),
    n_cells: Size = (3, 3, 1),
    n_axes: Literal[2, 3] = 2,
    n_orientations: int = 9,
    spacing_mm: Sequence[float] = (1.0, 1.0, 1.0),
) -> np.ndarray:
    """Give histograms of gradient orientations in the cells of a block about each voxel.

    Orientations count without their sign. The block is scaled to length 1, clipped at 0.2 and scaled again. With two
    axes and isotropic pixels this is ``skimage.feature.hog`` with ``L2-Hys`` for the block about the voxel.

    Args:
        image: (X, Y, Z).
        voxels: (N, 3) indices.
        cell: voxels of a cell along X, Y, Z.
        n_cells: cells of a block along X, Y, Z.
        n_axes: 2 for gradients in the plane of X and Y, 3 for gradients in space.
        n_orientations: bins of 180° with two axes; with three there are always 6.
        spacing_mm: voxel size along X, Y, Z; gradients are per mm.

    Returns:
        (N, product of n_cells times orientations) float32, orientations fastest.
    """
    means = _BoxMeans(image.shape, voxels)
    maps = _orientation_maps(image, n_axes, n_orientations, spacing_mm)
    boxes = _cells(cell, n_cells)
    features = np.empty((len(voxels), len(boxes), maps.shape[-1]), np.float32)
    for o in range(maps.shape[-1]):
        integral = integral_image(maps[..., o])
        for c, box in enumerate(boxes):
            features[:, c, o] = means.of(integral, box)
    block = _unit(features.reshape(len(voxels), -1))  # (N, cells · orientations)
    return _unit(np.minimum(block, CLIP))


def lbp_features(
    image: np.ndarray, voxels: np.ndarray, *, patch: Size = (15, 15, 1), n_axes: Literal[2, 3] = 2
) -> np.ndarray:
    """Give how often each uniform local binary pattern occurs in the patch about each voxel.

    The image is rounded to 256 levels first, so that noise of the last digit makes no pattern.

    Args:
        image: (X, Y, Z).
        voxels: (N, 3) indices.
        patch: voxels along X, Y, Z.
        n_axes: 2 for patterns in the plane of X and Y, 3 for patterns in the three planes, one after the other.

    Returns:
        (N, 10) or (N, 30) float32; each ten sum to 1.
    """
    means, box = _BoxMeans(image.shape, voxels), _centered(patch)
    columns = []
    for fixed in (2, 1, 0)[: 1 if n_axes == 2 else 3]:
        codes = binary_patterns(image, fixed)
        columns += [means.of(integral_image(codes == p), box) for p in range(N_PATTERNS)]
    return np.stack(columns, axis=1).astype(np.float32)


def hand_designed_features(
    image: np.ndarray,
    voxels: np.ndarray,
    *,
    patch: Size = (15, 15, 9),
    n_haar: int = 64,
    spacing_mm: Sequence[float] = (1.0, 1.0, 1.0),
    seed: int = 0,
    progress: Progress = silent,
) -> np.ndarray:
    """Give Haar-like features, HOG and LBP of the patch about each voxel, side by side.

    Args:
        image: (X, Y, Z).
        voxels: (N, 3) indices.
        patch: voxels along X, Y, Z; a block of 3 × 3 × 3 cells fills it as far as it divides, and has no layers of
            cells along an axis of less than 3 voxels.
        n_haar: Haar-like features.
        spacing_mm: voxel size along X, Y, Z.
        seed: of the boxes.
        progress: told after each kind.

    Returns:
        (N, :func:`hand_designed_size`) float32. The kinds have units of their own: scale the columns before comparing.
    """
    haar = haar_features(image, voxels, random_boxes(n_haar, patch, seed=seed))
    progress(1 / 3, "Haar-like features")
    cell, n_cells = _block_of(patch)
    hog = hog_features(image, voxels, cell=cell, n_cells=n_cells, n_axes=3, spacing_mm=spacing_mm)
    progress(2 / 3, "Histograms of gradients")
    lbp = lbp_features(image, voxels, patch=patch, n_axes=3)
    progress(1.0, "Local binary patterns")
    return np.concatenate([haar, hog, lbp], axis=1)


def hand_designed_size(patch: Size = (15, 15, 9), n_haar: int = 64) -> int:
    """Give how many numbers :func:`hand_designed_features` says of a voxel."""
    return n_haar + int(np.prod(_block_of(patch)[1])) * N_SPATIAL_ORIENTATIONS + 3 * N_PATTERNS


def integral_image(image: np.ndarray) -> np.ndarray:
    """Give the sums over all voxels before each corner, (X + 1, Y + 1, Z + 1) float64, of an image (X, Y, Z)."""
    if image.ndim != 3:
        raise ValueError(f"expected an image (X, Y, Z); got the shape {image.shape}")
    integral = np.zeros([n + 1 for n in image.shape])
    inner = integral[1:, 1:, 1:]
    np.cumsum(image, axis=0, out=inner, dtype=np.float64)
    np.cumsum(inner, axis=1, out=inner)
    np.cumsum(inner, axis=2, out=inner)
    return integral


def binary_patterns(image: np.ndarray, fixed_axis: int) -> np.ndarray:
    """Give the uniform local binary pattern (8 neighbors at distance 1; codes 0 to 9) of each voxel in its plane.

    Args:
        image: (X, Y, Z).
        fixed_axis: across the planes.
    """
    low, high = float(image.min()), float(image.max())
    gray = np.rint((image - low) / ((high - low) or 1.0) * (N_GRAY_LEVELS - 1)).astype(np.uint8)
    planes = np.moveaxis(gray, fixed_axis, 0)
    codes = np.stack([local_binary_pattern(plane, 8, 1, method="uniform") for plane in planes])
    return np.moveaxis(codes.astype(np.uint8), 0, fixed_axis)


class _BoxMeans:
    """Means over boxes about the same voxels, of any integral image of one shape."""

    def __init__(self, shape: Sequence[int], voxels: np.ndarray) -> None:
        if voxels.ndim != 2 or voxels.shape[1] != 3:
            raise ValueError(f"expected voxels (N, 3); got the shape {voxels.shape}")
        self.shape, self.voxels = shape, np.asarray(voxels, np.int64)
        self.strides = ((shape[1] + 1) * (shape[2] + 1), shape[2] + 1, 1)
        self.known: dict[tuple[int, int, int], np.ndarray] = {}

    def of(self, integral: np.ndarray, box: np.ndarray) -> np.ndarray:
        """Give the means (N,) float64 over a box (2, 3), cut at the border of the image."""
        ends = [(self._corner(a, int(box[0, a]), 0), self._corner(a, int(box[1, a]), 1)) for a in range(3)]
        (x0, x1), (y0, y1), (z0, z1) = ends
        flat = integral.ravel()
        total = flat[x1 + y1 + z1] - flat[x1 + y1 + z0] - flat[x1 + y0 + z1] + flat[x1 + y0 + z0]
        total -= flat[x0 + y1 + z1] - flat[x0 + y1 + z0] - flat[x0 + y0 + z1] + flat[x0 + y0 + z0]
        size = (x1 - x0) // self.strides[0] * ((y1 - y0) // self.strides[1]) * (z1 - z0)
        return total / size

    def _corner(self, axis: int, offset: int, end: int) -> np.ndarray:
        """Give where a box begins (end 0) or ends (end 1) along an axis, in steps of the flat integral image."""
        key = (axis, offset, end)
        if key not in self.known:
            place = np.clip(self.voxels[:, axis] + offset, end, self.shape[axis] - 1 + end)
            self.known[key] = place * self.strides[axis]
        return self.known[key]


def _random_box(rng: np.random.Generator, n: int, patch: Sequence[int], edges: Sequence[int]) -> np.ndarray:
    """Give n boxes (n, 2, 3) within a patch."""
    boxes = np.empty((n, 2, 3), np.int64)
    for axis, size in enumerate(patch):
        fitting = [e for e in edges if e <= size] or [size]
        edge = rng.choice(fitting, size=n)
        boxes[:, 0, axis] = rng.integers(0, size - edge + 1) - size // 2
        boxes[:, 1, axis] = boxes[:, 0, axis] + edge
    return boxes


def _orientation_maps(image: np.ndarray, n_axes: int, n_orientations: int, spacing_mm: Sequence[float]) -> np.ndarray:
    """Give the length of the gradient in the bin of its orientation, (X, Y, Z, bins) float32; 0 at the border."""
    gradient = np.zeros((*image.shape, n_axes), np.float32)
    for axis in range(n_axes):
        here = np.moveaxis(image, axis, 0)
        there = np.moveaxis(gradient[..., axis], axis, 0)
        there[1:-1] = (here[2:] - here[:-2]) / np.float32(spacing_mm[axis])
    if n_axes == 3:
        vertices = icosahedron()
        half = np.flatnonzero([tuple(v) > tuple(-v) for v in vertices])
        other = [int(np.argmin(vertices @ vertices[v])) for v in half]
        shared = orientations(gradient.reshape(-1, 3))  # the share of both ends of an axis counts for it
        return (shared[:, half] + shared[:, other]).reshape(*image.shape, len(half))
    length = np.hypot(gradient[..., 0], gradient[..., 1])
    angle = np.rad2deg(np.arctan2(gradient[..., 0].astype(float), gradient[..., 1])) % 180
    which = np.minimum(angle // (180 / n_orientations), n_orientations - 1)
    return np.where(which[..., None] == np.arange(n_orientations), length[..., None], 0).astype(np.float32)


def _cells(cell: Size, n_cells: Size) -> list[np.ndarray]:
    """Give the boxes (2, 3) of the cells of a block about a voxel, Z fastest."""
    start = np.array([-(c * n // 2) for c, n in zip(cell, n_cells, strict=True)])
    begins = [start + np.array(place) * cell for place in np.ndindex(*n_cells)]
    return [np.stack([begin, begin + cell]) for begin in begins]


def _block_of(patch: Size) -> tuple[Size, Size]:
    """Give cells and their numbers that fill a patch with three layers along each axis that has room for them."""
    cells = [(size // 3, 3) if size >= 3 else (size, 1) for size in patch]
    (cx, nx), (cy, ny), (cz, nz) = cells
    return (cx, cy, cz), (nx, ny, nz)


def _centered(patch: Size) -> np.ndarray:
    start = -(np.array(patch) // 2)
    return np.stack([start, start + patch])


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.sqrt(np.square(rows).sum(1, keepdims=True) + EPSILON**2)
