"""From a closed mesh to the voxels whose centers it encloses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from workbench.classical.surfaces import Mesh, transformed, volume


def voxelized(mesh: Mesh, shape: Sequence[int], affine: np.ndarray) -> np.ndarray:
    """Give the mask (X, Y, Z) of the voxels whose center lies inside a mesh in mm.

    Each column of voxels along z is cut with the faces above and below it, and a center is inside where the faces above
    it wind around it once or more. The winding of a face about a column is summed from its edges by one half-open rule,
    evaluated identically for both faces that share the edge, so nothing leaks where a column meets an edge or a vertex.

    Args:
        mesh: closed; parts that overlap count as inside, parts turned inside out do not.
        shape: of the lattice.
        affine: (4, 4) voxel to mm.
    """
    corners = transformed(mesh.vertices, np.linalg.inv(affine))
    turned = np.sign(volume(Mesh(corners, mesh.faces)))
    faces, columns = _face_columns(corners, mesh.faces, shape)
    triangles, points = mesh.faces[faces], columns.astype(float)
    edges = [(triangles[:, k], triangles[:, (k + 1) % 3]) for k in range(3)]
    winding = np.sum([_edge_crossing(corners, *edge, points) for edge in edges], 0)
    hit = winding != 0
    triangles, points, columns, winding = triangles[hit], points[hit], columns[hit], winding[hit]
    above = np.clip(np.ceil(_heights(corners[triangles], points)), 0, shape[2]).astype(
        int
    )  # voxels z < above lie below
    sums = np.zeros((shape[0], shape[1], shape[2] + 1))
    np.add.at(sums, (columns[:, 0], columns[:, 1], above), winding)
    below_faces = np.cumsum(sums[..., ::-1], -1)[..., ::-1][..., 1:]
    return turned * below_faces > 0.5


def _face_columns(corners: np.ndarray, faces: np.ndarray, shape: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Give pairs of face numbers (n,) and columns (n, 2) int such that the column meets the face's bounding box."""
    flat = corners[faces][..., :2]  # (F, 3, 2)
    low = np.clip(np.ceil(flat.min(1)), 0, None).astype(int)
    high = np.minimum(np.floor(flat.max(1)), np.array(shape[:2]) - 1).astype(int)
    size = np.maximum(high - low + 1, 0)
    count = size.prod(1)
    face = np.repeat(np.arange(len(faces)), count)
    rank = np.arange(len(face)) - np.repeat(np.cumsum(count) - count, count)
    offset = np.stack([rank // size[face, 1], rank % size[face, 1]], 1) if len(face) else np.zeros((0, 2), int)
    return face, low[face] + offset


def _edge_crossing(corners: np.ndarray, start: np.ndarray, end: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Give +1 or −1 where a ray from a point toward +x crosses an edge upward or downward in y, else 0."""
    first, second = np.minimum(start, end), np.maximum(start, end)  # the same arithmetic for both faces of an edge
    a, b = corners[first, :2], corners[second, :2]
    upward = (a[:, 1] <= points[:, 1]) & (b[:, 1] > points[:, 1])
    downward = (b[:, 1] <= points[:, 1]) & (a[:, 1] > points[:, 1])
    rise = np.where(upward | downward, b[:, 1] - a[:, 1], 1)
    at = a[:, 0] + (points[:, 1] - a[:, 1]) / rise * (b[:, 0] - a[:, 0])
    crossing = (upward.astype(int) - downward.astype(int)) * (at > points[:, 0])
    return np.where(start == first, crossing, -crossing)


def _heights(triangles: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Give z where the columns at points (n, 2) pass through the planes of triangles (n, 3, 3)."""
    a, b, c = np.moveaxis(triangles, 1, 0)
    normal = np.cross(b - a, c - a)
    steep = np.abs(normal[:, 2]) < 1e-12
    slope = ((points - a[:, :2]) * normal[:, :2]).sum(1) / np.where(steep, 1, normal[:, 2])
    return np.where(steep, triangles[:, :, 2].mean(1), a[:, 2] - slope)
