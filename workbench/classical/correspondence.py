"""One template mesh laid onto many masks, so that vertex k means the same place in every shape.

Every mask becomes a smooth signed distance, brought to unit size: its centroid at 0, its volume 1. The zero level of
their mean is the template. For each shape the template is scaled and moved back, then drawn to the surface: each
vertex looks for the nearest surface point whose normal agrees with its own (iterative closest points), and the wished
displacements are smoothed over the mesh by a linear system whose stiffness falls from step to step (Amberg et al.,
CVPR 2007, without its rotations). Last, vertices are put on the zero level along the distance's gradient while the
deviation from the best affine image of the template is relaxed within the surface. The combination is ours;
orientation is not normalized, as images in RAS+ show an organ upright.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import ndimage, sparse
from scipy.sparse.linalg import splu
from scipy.spatial import cKDTree

from workbench.classical.surfaces import (
    Mesh,
    face_normals,
    marched,
    neighbor_means,
    signed_distance,
    transformed,
    vertex_normals,
)
from workbench.progress import Progress, silent

STIFFNESS = np.geomspace(50, 0.3, 14)
NORMAL_WEIGHT = 0.25  # a normal turned by 90° counts like this many shape sizes
N_SETTLING = 25


class Surfaces(NamedTuple):
    """Shapes in correspondence.

    Attributes:
        template: the mean shape, its vertices in mm about 0.
        vertices: (n, V, 3) of each shape, mm in its own world.
    """

    template: Mesh
    vertices: np.ndarray

    def mesh(self, n: int) -> Mesh:
        """Give the n-th shape."""
        return Mesh(self.vertices[n], self.template.faces)


class Shape:
    """A mask as a smooth signed distance that can be asked anywhere, in mm.

    Attributes:
        center: (3,) centroid in mm.
        size: cube root of the volume in mm.
        affine: (4, 4) voxel to mm; its axes must be orthogonal.
    """

    def __init__(self, mask: np.ndarray, affine: np.ndarray) -> None:
        mask = np.asarray(mask, bool)
        if mask.ndim != 3 or np.count_nonzero(mask) < 8:
            raise ValueError(f"expected a mask (X, Y, Z) of 8 voxels or more; got {mask.shape}, {mask.sum()} voxels")
        spacing = np.linalg.norm(affine[:3, :3], axis=0)
        self.affine, self._inverse = affine, np.linalg.inv(affine)
        self.center = transformed(np.argwhere(mask).mean(0)[None], affine)[0]
        self.size = float((mask.sum() * abs(np.linalg.det(affine[:3, :3]))) ** (1 / 3))
        self.reach = transformed(np.argwhere(mask), affine) - self.center  # mm of each voxel about the centroid
        self._margin = 3
        self._distance = signed_distance(np.pad(mask, self._margin), spacing)
        self._gradient = np.stack(np.gradient(self._distance))

    def surface(self) -> Mesh:
        """Give the zero level as a mesh."""
        shifted = self.affine.copy()
        shifted[:3, 3] -= self.affine[:3, :3] @ np.full(3, self._margin)
        return marched(self._distance, shifted, level=0.0)

    def distance(self, points: np.ndarray) -> np.ndarray:
        """Give mm to the surface, positive inside, at points (n, 3); beyond the lattice the distance to it is added."""
        at = transformed(points, self._inverse).T + self._margin
        limits = np.array(self._distance.shape)[:, None] - 1
        beyond = self.affine[:3, :3] @ (at - np.clip(at, 0, limits))
        values = ndimage.map_coordinates(self._distance, at, order=1, mode="nearest")
        return values - np.linalg.norm(beyond, axis=0)

    def gradient(self, points: np.ndarray) -> np.ndarray:
        """Give the distance's gradient (n, 3), which points inward."""
        at = transformed(points, self._inverse).T + self._margin
        steps = np.stack([ndimage.map_coordinates(g, at, order=1, mode="nearest") for g in self._gradient], 1)
        return steps @ self._inverse[:3, :3]

    def projected(self, points: np.ndarray, n_steps: int = 3) -> np.ndarray:
        """Move points (n, 3) onto the surface along the gradient."""
        for _ in range(n_steps):
            slope = self.gradient(points)
            step = self.distance(points)[:, None] * slope / np.maximum(np.square(slope).sum(1, keepdims=True), 0.1)
            points = points - np.clip(step, -self.size / 5, self.size / 5)
        return points


def corresponding_surfaces(
    masks: Sequence[np.ndarray],
    affines: Sequence[np.ndarray],
    *,
    n_vertices: int = 1500,
    progress: Progress = silent,
) -> Surfaces:
    """Lay one template onto every mask.

    Args:
        masks: (X, Y, Z) bool each, one piece without holes; their lattices may differ.
        affines: (4, 4) voxel to mm each, with orthogonal axes.
        n_vertices: about how many.
        progress: told after each shape.
    """
    if not masks or len(masks) != len(affines):
        raise ValueError(f"expected as many affines as masks, at least 1; got {len(affines)} and {len(masks)}")
    shapes = [Shape(mask, np.asarray(affine, float)) for mask, affine in zip(masks, affines, strict=True)]
    template = mean_surface(shapes, n_vertices)
    vertices = []
    for n, shape in enumerate(shapes):
        vertices.append(laid_onto(template, shape))
        progress((n + 1) / len(shapes), f"Corresponding surfaces: {n + 1} of {len(shapes)} shapes")
    size = float(np.mean([shape.size for shape in shapes]))
    return Surfaces(Mesh(template.vertices * size, template.faces), np.stack(vertices))


def mean_surface(shapes: Sequence[Shape], n_vertices: int) -> Mesh:
    """Give the zero level of the mean signed distance at unit size, with about so many evenly spread vertices."""
    reach = max(float(np.abs(s.reach).max()) / s.size for s in shapes) * 1.1
    step = reach / 12
    for _ in range(2):  # the first lattice measures the area that the second one's step needs
        mesh = _mean_level(shapes, reach, step)
        area = np.linalg.norm(face_normals(mesh), axis=1).sum() / 2
        step = float(np.sqrt(1.5 * area / n_vertices))  # a lattice cuts a surface in 1.5 edges a step²
    mesh = _mean_level(shapes, reach, step)
    means, vertices = neighbor_means(mesh.faces, len(mesh.vertices)), mesh.vertices
    for _ in range(10):
        normals = vertex_normals(Mesh(vertices, mesh.faces))
        vertices = vertices + 0.5 * _tangential(means @ vertices - vertices, normals)
    return Mesh(vertices, mesh.faces)


def laid_onto(template: Mesh, shape: Shape) -> np.ndarray:
    """Give the vertices (V, 3) in mm of a template at unit size, drawn to a shape's surface."""
    start = shape.center + shape.size * template.vertices
    surface, normal_weight = shape.surface(), NORMAL_WEIGHT * shape.size
    tree = cKDTree(np.concatenate([surface.vertices, normal_weight * vertex_normals(surface)], 1))
    means = neighbor_means(template.faces, len(start))
    laplacian = sparse.eye_array(len(start)) - means
    x = start
    for stiffness in STIFFNESS:
        normals = vertex_normals(Mesh(x, template.faces))
        _, nearest = tree.query(np.concatenate([x, normal_weight * normals], 1))
        wished = surface.vertices[nearest] - x
        x = x + splu((sparse.eye_array(len(x)) + stiffness * laplacian).tocsc()).solve(wished)
    for _ in range(N_SETTLING):
        x = shape.projected(x, 1)
        inward = shape.gradient(x)
        inward /= np.maximum(np.linalg.norm(inward, axis=1, keepdims=True), 1e-12)
        deviation = x - _affine_image(start, x)
        x = x + 0.5 * _tangential(means @ deviation - deviation, inward)
    return shape.projected(x)


def flipped_faces(mesh: Mesh, shape: Shape) -> np.ndarray:
    """Tell which faces (F,) of a mesh on a shape's surface look inward."""
    inward = shape.gradient(mesh.vertices[mesh.faces].mean(1))
    return np.einsum("fi,fi->f", face_normals(mesh), inward) >= 0


def _mean_level(shapes: Sequence[Shape], reach: float, step: float) -> Mesh:
    """Cut the mean signed distance of shapes at unit size, sampled every `step`, at 0."""
    axis = np.arange(-reach, reach + step, step)
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    mean = np.mean([s.distance(s.center + s.size * grid) / s.size for s in shapes], 0)
    affine = np.diag([step, step, step, 1.0])
    affine[:3, 3] = -reach
    return marched(mean.reshape([len(axis)] * 3), affine, level=0.0)


def _tangential(steps: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Take the part along the normals off steps (V, 3)."""
    return steps - np.einsum("vi,vi->v", steps, normals)[:, None] * normals


def _affine_image(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Give source points (V, 3) under the affine map that brings them nearest to the target."""
    rows = np.column_stack([source, np.ones(len(source))])
    return rows @ np.linalg.lstsq(rows, target, rcond=None)[0]
