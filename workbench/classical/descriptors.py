"""Dense SIFT-like descriptors in two and three dimensions: the review's hand-designed rival in Figure 5.

About each voxel lies a block of n_cells³ cells. Each cell holds a histogram of gradient orientations, weighted by
gradient magnitude, by a Gaussian window about the voxel, and by how near the gradient lies to the cell's center
(trilinear). The vector is normalized, clipped at 0.2 and normalized again (Lowe, IJCV 2004). In three dimensions the
orientations are the 12 vertices of an icosahedron and a gradient is shared among the three corners of the face it
passes through, as Rister et al. (IEEE TIP 2017) do; Scovanner et al. (ACM Multimedia 2007) made the first 3-D form.

*Departs from SIFT in* having no scale space, no key points and no rotation to a dominant orientation: it describes
every voxel, upright, at one scale, for images that are already affinely aligned. A rotation of the image by 90° is a
symmetry of the eight orientations of the plane but not of an icosahedron, so in three dimensions only flips, turns by
180° and cyclic changes of the axes permute the descriptor exactly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
import torch

from workbench.progress import Progress, silent

CLIP = 0.2
N_ANGLES = 8
ROWS_AT_ONCE = 1024
_GOLDEN = (1 + 5**0.5) / 2


def sift_size(shape: Sequence[int], n_cells: int = 4) -> int:
    """Give the length of the descriptor for images of that shape: 12 n_cells³, or 8 n_cells² for a single slice."""
    return N_ANGLES * n_cells**2 if shape[2] == 1 else 12 * n_cells**3


def dense_sift(
    image: np.ndarray,
    mask: np.ndarray,
    *,
    spacing_mm: Sequence[float] = (1.0, 1.0, 1.0),
    cell: int = 3,
    n_cells: int = 4,
    out: np.ndarray | None = None,
    progress: Progress = silent,
) -> np.ndarray:
    """Describe every voxel of a mask.

    Args:
        image: (X, Y, Z); Z = 1 gives the two-dimensional descriptor. Nothing is known of gradients outside, so they
            count as 0.
        mask: (X, Y, Z) bool.
        spacing_mm: voxel size along X, Y, Z: gradients are per mm.
        cell: edge of a cell in voxels.
        n_cells: cells along each axis, usually 2 or 4. The Gaussian's standard deviation is half the block's edge.
        out: where to write, (N, D) of any float type; without it the result is float16 in memory.
        progress: told after each plane.

    Returns:
        (N, D), voxels in C order, D = :func:`sift_size` in the order cell x, y, z, orientation. Rows have length 1, or
        are 0 where there is no gradient.
    """
    if image.ndim != 3 or mask.shape != image.shape:
        raise ValueError(f"expected an image and a mask (X, Y, Z); got {image.shape} and {mask.shape}")
    if cell < 1 or n_cells < 1 or min(spacing_mm) <= 0:
        raise ValueError(f"cells, their number and the spacing must be positive; got {cell}, {n_cells}, {spacing_mm}")
    shape = (int(np.count_nonzero(mask)), sift_size(image.shape, n_cells))
    if out is None:
        out = np.empty(shape, np.float16)
    elif out.shape != shape:
        raise ValueError(f"expected an output array {shape}; got {out.shape}")
    if not mask.any():
        return out
    block = _Block(_gradient(image, spacing_mm), mask, cell, n_cells)
    n_done = 0
    for x in np.flatnonzero(mask.any((1, 2))):
        for rows in block.rows(int(x)):
            described = torch.from_numpy(normalize_descriptors(rows))
            if out.dtype == np.float16:
                described = described.half()  # ten times faster than NumPy's conversion
            out[n_done : n_done + len(rows)] = described.numpy()
            n_done += len(rows)
        progress(n_done / shape[0], f"described {n_done:,} of {shape[0]:,} voxels")
    return out


def cell_windows(cell: int, n_cells: int) -> np.ndarray:
    """Give each cell's weights along one axis, (n_cells, 2 r + 1), for voxels -r … r about the described one.

    A cell's weight falls linearly from 1 at its center to 0 one cell away, times the Gaussian about the voxel.
    """
    radius = (n_cells + 1) * cell // 2
    u = np.arange(-radius, radius + 1)
    centers = (np.arange(n_cells) - (n_cells - 1) / 2) * cell
    linear = np.maximum(0, 1 - np.abs(u - centers[:, None]) / cell)
    return linear * np.exp(-0.5 * (u / (0.5 * n_cells * cell)) ** 2)


def normalize_descriptors(rows: np.ndarray) -> np.ndarray:
    """Scale rows (n, D) to length 1, clip at ``CLIP``, and scale again; rows of zeros stay. Changes ``rows``."""
    rows /= _lengths(rows)
    np.minimum(rows, CLIP, out=rows)
    rows /= _lengths(rows)
    return rows


def icosahedron() -> np.ndarray:
    """Give the 12 vertices of an icosahedron as unit vectors (12, 3): (0, ±1, ±φ) and their cyclic changes."""
    corners = [(0.0, a, b * _GOLDEN) for a in (1, -1) for b in (1, -1)]
    vertices = [np.roll(c, shift) for shift in range(3) for c in corners]
    return np.array(vertices) / np.sqrt(1 + _GOLDEN**2)


def orientations(gradient: np.ndarray) -> np.ndarray:
    """Share the length of each gradient among orientations.

    Args:
        gradient: (n, 3) for the 12 vertices of an icosahedron, or (n, 2) for 8 angles, 0° being the first axis.

    Returns:
        (n, 12) or (n, 8) float32, not negative; each row sums to the gradient's length.
    """
    return _in_space(gradient) if gradient.shape[1] == 3 else _in_plane(gradient)


def _gradient(image: np.ndarray, spacing_mm: Sequence[float]) -> np.ndarray:
    """Give (X, Y, Z, 2 or 3) float32 by central differences per mm, scaled so that the largest component is 1."""
    axes = [axis for axis in range(3) if axis < 2 or image.shape[2] > 1]
    gradient = np.zeros((*image.shape, len(axes)), np.float32)
    for axis in axes:
        if image.shape[axis] > 1:
            gradient[..., axis] = np.gradient(image.astype(np.float32, copy=False), spacing_mm[axis], axis=axis)
    largest = np.abs(gradient).max()
    return gradient / largest if largest > 0 else gradient


class _Block:
    """The weighted sums of orientation maps, plane by plane along X: sums along Z and Y are kept, X is summed last."""

    def __init__(self, gradient: np.ndarray, mask: np.ndarray, cell: int, n_cells: int) -> None:
        self.gradient, self.mask = gradient, mask
        self.windows = cell_windows(cell, n_cells).astype(np.float32)
        flat = mask.shape[2] == 1
        self.n_bins = N_ANGLES if flat else len(icosahedron())
        self.y, self.z = (_span(np.any(mask, axis=axes)) for axes in ((0, 2), (0, 1)))
        depth = np.ones((1, 1), np.float32) if flat else self.windows
        self.along_y = _band(self.windows, self.y, mask.shape[1])  # (Y', n_cells, Y)
        self.along_z = _band(depth, self.z, mask.shape[2])
        self.planes: dict[int, np.ndarray] = {}

    def rows(self, x: int) -> Iterator[np.ndarray]:
        """Give the sums (m, D) of the masked voxels of a plane, a piece at a time; x must not fall."""
        radius = self.windows.shape[1] // 2
        inside = [u for u in range(-radius, radius + 1) if 0 <= x + u < len(self.mask)]
        for old in [k for k in self.planes if k < x - radius]:
            del self.planes[old]
        for u in inside:
            if x + u not in self.planes:
                self.planes[x + u] = self._plane(x + u)
        weights = self.windows[:, [u + radius for u in inside]]  # (n_cells, L)
        places = np.flatnonzero(self.mask[x, self.y, self.z])
        for some in np.array_split(places, -(-len(places) // ROWS_AT_ONCE)):
            near = np.stack([self.planes[x + u][some] for u in inside])  # (L, m, D / n_cells)
            sums = weights @ near.reshape(len(inside), -1)  # (n_cells, m · D / n_cells)
            yield sums.reshape(len(weights), len(some), -1).swapaxes(0, 1).reshape(len(some), -1)  # (m, D)

    def _plane(self, x: int) -> np.ndarray:
        """Sum the orientations of one plane along Z, then Y: (Y' · Z', n_cells · n_cells · n_bins)."""
        n_y, n_z = self.mask.shape[1:]
        histogram = orientations(self.gradient[x].reshape(n_y * n_z, -1)).reshape(n_y, n_z, self.n_bins)
        (y, cy, _), (z, cz, _) = self.along_y.shape, self.along_z.shape
        sums = self.along_z.reshape(z * cz, n_z) @ histogram.swapaxes(0, 1).reshape(n_z, -1)
        sums = sums.reshape(z * cz, n_y, self.n_bins).swapaxes(0, 1).reshape(n_y, -1)  # (Y, Z' · cz · bins)
        sums = (self.along_y.reshape(y * cy, n_y) @ sums).reshape(y, cy, z, cz, self.n_bins)
        return sums.transpose(0, 2, 1, 3, 4).reshape(y * z, -1)


def _band(windows: np.ndarray, span: slice, n: int) -> np.ndarray:
    """Give the matrices that apply each window about each position of a span, (len(span), n_cells, n)."""
    radius = windows.shape[1] // 2
    offset = np.arange(n) - np.arange(span.start, span.stop)[:, None] + radius  # (len(span), n)
    inside = (offset >= 0) & (offset < windows.shape[1])
    return np.where(inside, windows[:, np.clip(offset, 0, windows.shape[1] - 1)], 0).swapaxes(0, 1)


def _span(used: np.ndarray) -> slice:
    places = np.flatnonzero(used)
    return slice(int(places[0]), int(places[-1]) + 1)


def _in_plane(gradient: np.ndarray) -> np.ndarray:
    """Share between the two nearest of eight angles, linearly in the angle."""
    length = np.hypot(gradient[:, 0], gradient[:, 1])
    angle = np.arctan2(gradient[:, 1], gradient[:, 0]) / (2 * np.pi / N_ANGLES)
    below = np.floor(angle)
    above = angle - below
    row, histogram = np.arange(len(gradient)), np.zeros((len(gradient), N_ANGLES), np.float32)
    histogram[row, below.astype(int) % N_ANGLES] = length * (1 - above)
    histogram[row, (below.astype(int) + 1) % N_ANGLES] = length * above
    return histogram


def _in_space(gradient: np.ndarray) -> np.ndarray:
    """Share among the corners of the face that the gradient passes through, by barycentric coordinates."""
    corners, inverses = _faces()
    shares = (gradient @ inverses).reshape(-1, len(corners), 3)  # on every face; not negative on the right one
    row = np.arange(len(gradient))
    face = np.minimum(np.minimum(shares[:, :, 0], shares[:, :, 1]), shares[:, :, 2]).argmax(1)
    share = np.maximum(shares[row, face], 0)  # (n, 3)
    total = share.sum(1)
    share *= (np.sqrt(np.square(gradient).sum(1)) / np.where(total > 0, total, 1))[:, None]
    histogram = np.zeros((len(gradient), 12), np.float32)
    np.put_along_axis(histogram, corners[face], share, axis=1)
    return histogram


def _faces() -> tuple[np.ndarray, np.ndarray]:
    """Give the 20 faces' corners (20, 3), and the matrices side by side (3, 60) that express a vector by them."""
    vertices = icosahedron()
    is_edge = vertices @ vertices.T > 0.4  # neighbors have cosine 1 / sqrt 5, others at most -1 / sqrt 5
    faces = [t for t in combinations(range(12), 3) if all(is_edge[a, b] for a, b in combinations(t, 2))]
    inverses = [np.linalg.inv(vertices[list(t)]) for t in faces]  # g = share @ corners
    return np.array(faces), np.concatenate(inverses, axis=1).astype(np.float32)


def _lengths(rows: np.ndarray) -> np.ndarray:
    lengths = np.sqrt(np.einsum("nd,nd->n", rows, rows))[:, None]
    return np.where(lengths > 0, lengths, 1)
