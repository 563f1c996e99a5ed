"""Meshes and their voxels against ellipsoids, half spaces and a solid angle, on oblique lattices too."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.classical.surfaces import (
    Mesh,
    face_normals,
    marched,
    neighbor_means,
    signed_distance,
    smoothed,
    transformed,
    vertex_normals,
    volume,
)
from workbench.classical.voxelization import voxelized

SHAPE = (30, 26, 22)


def affine(mirrored: bool = False) -> np.ndarray:
    """An oblique one with voxels of 1 × 1.2 × 1.5 mm."""
    rotation, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
    rotation *= np.sign(np.linalg.det(rotation)) * (-1 if mirrored else 1)
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation @ np.diag([1.0, 1.2, 1.5]), (12.0, -40.0, 3.0)
    return matrix


def ellipsoid(radii: tuple[float, float, float]) -> np.ndarray:
    """1 at the center, 0 on the ellipsoid, in voxels."""
    grid = np.indices(SHAPE) - (np.array(SHAPE) / 2 - 0.3)[:, None, None, None]
    return 1 - np.sqrt(np.square(grid / np.array(radii)[:, None, None, None]).sum(0))


@pytest.mark.parametrize("mirrored", [False, True])
def test_ellipsoid_has_its_volume_outward_normals_and_comes_back_as_mask(mirrored: bool) -> None:
    matrix, radii = affine(mirrored), (11.0, 9.0, 8.0)
    mesh = marched(ellipsoid(radii), matrix, level=0)
    exact = 4 / 3 * np.pi * np.prod(radii) * 1.2 * 1.5
    assert volume(mesh) == pytest.approx(exact, rel=0.01)
    center = transformed((np.array(SHAPE) / 2 - 0.3)[None], matrix)
    assert (np.einsum("vi,vi->v", vertex_normals(mesh), mesh.vertices - center) > 0).all()
    mask = voxelized(mesh, SHAPE, matrix)
    assert mask.sum() * 1.8 == pytest.approx(exact, rel=0.01)
    assert np.count_nonzero(mask != (ellipsoid(radii) > 0)) <= 0.002 * mask.sum()
    assert np.array_equal(voxelized(Mesh(mesh.vertices, mesh.faces[:, ::-1]), SHAPE, matrix), mask)


def test_voxels_are_those_about_which_the_mesh_winds() -> None:
    """Against the solid angle of the mesh, summed over its faces (van Oosterom & Strackee 1983)."""
    rng = np.random.default_rng(2)
    mesh = marched(ellipsoid((8, 9, 6)) + 0.15 * rng.normal(size=SHAPE), np.eye(4), level=0.2)
    points = rng.integers((7, 5, 5), (24, 22, 18), (300, 3))
    a, b, c = (mesh.vertices[mesh.faces[:, k]][None] - points[:, None] for k in range(3))
    lengths = [np.linalg.norm(x, axis=2) for x in (a, b, c)]
    top = np.einsum("pfi,pfi->pf", a, np.cross(b, c))
    pairs = [
        np.einsum("pfi,pfi->pf", x, y) * z for x, y, z in ((a, b, lengths[2]), (b, c, lengths[0]), (c, a, lengths[1]))
    ]
    angle = 2 * np.arctan2(top, np.prod(lengths, 0) + sum(pairs)).sum(1)
    inside = voxelized(mesh, SHAPE, np.eye(4))[*points.T]
    assert np.array_equal(inside, angle > 2 * np.pi) and 20 < inside.sum() < 280


def test_voxel_centers_on_edges_and_vertices_do_not_leak() -> None:
    """A box with whole corners: half-open, so that boxes side by side cover each voxel once."""
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], float)
    quads = [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
    faces = np.array([half for a, b, c, d in quads for half in ((a, b, c), (a, c, d))])
    low, high = (Mesh(corners * (4, 5, 3) + shift, faces) for shift in ((2, 3, 4), (6, 3, 4)))
    assert volume(low) == pytest.approx(60)
    masks = [voxelized(mesh, (14, 12, 10), np.eye(4)) for mesh in (low, high)]
    assert masks[0].sum() == masks[1].sum() == 60 and not (masks[0] & masks[1]).any()


def test_mesh_beyond_the_lattice_is_cut() -> None:
    mesh = marched(ellipsoid((11, 9, 8)), np.eye(4), level=0)
    whole = voxelized(mesh, SHAPE, np.eye(4))
    shift = np.eye(4)
    shift[:3, 3] = (14, 12, 10)
    np.testing.assert_array_equal(voxelized(mesh, (8, 8, 8), shift), whole[14:22, 12:20, 10:18])


def test_every_edge_is_shared_by_two_faces_even_at_the_border() -> None:
    mesh = marched(np.ones((4, 5, 6)), np.eye(4))
    edges = np.sort(np.concatenate([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]], mesh.faces[:, [2, 0]]]), 1)
    assert (np.unique(edges, axis=0, return_counts=True)[1] == 2).all()
    assert np.linalg.norm(face_normals(mesh).sum(0)) < 1e-9


def test_smoothing_calms_noise_and_keeps_volume() -> None:
    mesh = marched(ellipsoid((11, 10, 8)) > 0, np.eye(4))
    calm = smoothed(mesh)

    def roughness(m: Mesh) -> float:
        return float(np.linalg.norm(neighbor_means(m.faces, len(m.vertices)) @ m.vertices - m.vertices, axis=1).mean())

    assert roughness(calm) < 0.6 * roughness(mesh)
    assert volume(calm) == pytest.approx(volume(mesh), rel=0.02)


def test_signed_distance_of_a_half_space_is_exact() -> None:
    mask = np.zeros((20, 12, 12), bool)
    mask[:9] = True
    distance = signed_distance(mask, np.array([2.0, 2.0, 2.0]))
    np.testing.assert_allclose(distance[5:13, 6, 6], 2 * (8.5 - np.arange(5, 13)), atol=0.05)


def test_without_a_surface_there_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"no voxel .* above 0.5"):
        marched(np.zeros((4, 4, 4)), np.eye(4))
