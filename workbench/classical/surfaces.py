"""Triangle meshes in mm: from masks by marching cubes, their normals, neighbors and smoothing.

Faces turn counter-clockwise seen from outside, so normals point outward whatever the handedness of the affine.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import ndimage, sparse
from skimage.measure import marching_cubes


class Mesh(NamedTuple):
    """A closed surface of triangles.

    Attributes:
        vertices: (V, 3) float64, mm.
        faces: (F, 3) int, rows of `vertices`.
    """

    vertices: np.ndarray
    faces: np.ndarray


def transformed(points: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Bring points (n, 3) through an affine (4, 4)."""
    return points @ affine[:3, :3].T + affine[:3, 3]


def marched(values: np.ndarray, affine: np.ndarray, *, level: float = 0.5, outside: float | None = None) -> Mesh:
    """Give the surface at which values cross a level; what is above the level lies inside.

    Args:
        values: (X, Y, Z) mask, likelihood or any scalar.
        affine: (4, 4) voxel to mm.
        level: where the surface lies.
        outside: value beyond the lattice, below the level so that the surface is closed; by default the smallest.

    Raises:
        ValueError: nothing is above the level.
    """
    values = np.asarray(values, np.float32)
    if values.ndim != 3 or not (values > level).any():
        raise ValueError(f"no voxel of the volume of shape {values.shape} lies above {level}, so there is no surface")
    beyond = min(float(values.min()), level - 0.5) if outside is None else outside
    padded = np.pad(values, 1, constant_values=beyond)
    vertices, faces, _, _ = marching_cubes(padded, level, allow_degenerate=False)
    mesh = Mesh(transformed(vertices.astype(np.float64) - 1, affine), faces.astype(np.int64))
    return mesh if volume(mesh) > 0 else Mesh(mesh.vertices, mesh.faces[:, ::-1])


def signed_distance(mask: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Give mm to the boundary of a mask, positive inside, from voxel centers half a voxel off it, smoothed a little.

    The mask's stairs are taken off by a Gaussian of 0.7 voxel, which moves a flat boundary not at all.
    """
    mask = np.pad(np.asarray(mask, bool), 2)
    inner, outer = (ndimage.distance_transform_edt(m, sampling=spacing) for m in (mask, ~mask))
    half = float(np.min(spacing)) / 2
    distance = np.where(mask, inner - half, half - outer)
    return ndimage.gaussian_filter(distance, 0.7)[2:-2, 2:-2, 2:-2]


def volume(mesh: Mesh) -> float:
    """Give the enclosed volume in mm³, negative where the faces turn the wrong way."""
    a, b, c = np.moveaxis(mesh.vertices[mesh.faces], 1, 0)
    return float(np.einsum("fi,fi->", a, np.cross(b, c)) / 6)


def face_normals(mesh: Mesh) -> np.ndarray:
    """Give outward normals (F, 3), as long as twice the face's area in mm²."""
    a, b, c = np.moveaxis(mesh.vertices[mesh.faces], 1, 0)
    return np.cross(b - a, c - a)


def vertex_normals(mesh: Mesh) -> np.ndarray:
    """Give outward unit normals (V, 3): the mean of the faces' about a vertex, weighted by their areas."""
    normals, sums = face_normals(mesh), np.zeros_like(mesh.vertices)
    for corner in range(3):
        np.add.at(sums, mesh.faces[:, corner], normals)
    return sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)


def neighbor_means(faces: np.ndarray, n_vertices: int) -> sparse.csr_array:
    """Give the matrix (V, V) that replaces values at vertices by the mean over the neighbors along edges."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    both = np.unique(np.concatenate([edges, edges[:, ::-1]]), axis=0)
    links = sparse.coo_array((np.ones(len(both)), (both[:, 0], both[:, 1])), shape=(n_vertices, n_vertices)).tocsr()
    return (sparse.diags_array(1 / np.maximum(links.sum(1), 1)) @ links).tocsr()


def smoothed(mesh: Mesh, n_iterations: int = 10, *, shrink: float = 0.5, inflate: float = 0.53) -> Mesh:
    """Smooth a mesh without shrinking it: steps toward the neighbors' mean and away from it (Taubin, SIGGRAPH 1995)."""
    means, vertices = neighbor_means(mesh.faces, len(mesh.vertices)), mesh.vertices
    for _ in range(n_iterations):
        for step in (shrink, -inflate):
            vertices = vertices + step * (means @ vertices - vertices)
    return Mesh(vertices, mesh.faces)
