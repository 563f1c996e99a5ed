"""A template laid onto masks: on the surface, nothing flipped, the same place in every shape."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree

from workbench.classical.correspondence import Shape, Surfaces, corresponding_surfaces, flipped_faces
from workbench.classical.surfaces import marched, volume
from workbench.classical.voxelization import voxelized
from workbench.errors import Cancelled

SHAPE = (30, 28, 26)
SPACING = np.array([1.0, 1.0, 1.5])


def lattice(seed: int) -> np.ndarray:
    affine = np.diag([*SPACING, 1.0])
    affine[:3, 3] = np.random.default_rng(seed).normal(size=3) * 30
    return affine


def egg(seed: int) -> np.ndarray:
    """An ellipsoid with its own radii, bend and taper."""
    rng = np.random.default_rng(seed)
    radii = np.array([11, 9, 10]) * np.exp(0.1 * rng.normal(size=3))
    x, y, z = (
        np.indices(SHAPE).reshape(3, -1).T * SPACING - (np.array(SHAPE) - 1) * SPACING / 2 + rng.normal(size=3)
    ).T
    z = z + 0.01 * rng.normal() * (x**2 - 30)
    y = y * (1 + 0.1 * rng.normal() * z / 10)
    return (np.square(np.stack([x, y, z], 1) / radii).sum(1) < 1).reshape(SHAPE)


@pytest.fixture(scope="module")
def eggs() -> tuple[list[np.ndarray], list[np.ndarray], Surfaces]:
    masks, affines = [egg(s) for s in range(6)], [lattice(s) for s in range(6)]
    return masks, affines, corresponding_surfaces(masks, affines, n_vertices=600)


def test_every_vertex_lies_on_the_surface_and_no_face_flips(
    eggs: tuple[list[np.ndarray], list[np.ndarray], Surfaces],
) -> None:
    masks, affines, surfaces = eggs
    assert 450 < len(surfaces.template.vertices) < 800
    for n, (mask, affine) in enumerate(zip(masks, affines, strict=True)):
        own = marched(mask, affine)
        places = np.concatenate([own.vertices, own.vertices[own.faces].mean(1)])
        far, _ = cKDTree(places / SPACING).query(surfaces.vertices[n] / SPACING)
        assert far.max() < 0.7  # voxels
        assert not flipped_faces(surfaces.mesh(n), Shape(mask, affine)).any()
        back = voxelized(surfaces.mesh(n), SHAPE, affine)
        assert 2 * (back & mask).sum() / (back.sum() + mask.sum()) > 0.97


def test_turned_faces_are_noticed(eggs: tuple[list[np.ndarray], list[np.ndarray], Surfaces]) -> None:
    masks, affines, surfaces = eggs
    mesh = surfaces.mesh(0)
    turned = mesh._replace(faces=np.concatenate([mesh.faces[:5, ::-1], mesh.faces[5:]]))
    assert flipped_faces(turned, Shape(masks[0], affines[0])).sum() == 5


def test_shifted_and_scaled_copies_correspond_vertex_by_vertex() -> None:
    mask, affine = egg(3), lattice(3)
    moved = np.diag([1.3, 1.3, 1.3, 1.0]) @ affine
    moved[:3, 3] += (5, -7, 20)
    surfaces = corresponding_surfaces([mask, np.roll(mask, 1, 0)], [affine, moved], n_vertices=500)
    expected = 1.3 * (surfaces.vertices[0] + (1.0, 0, 0)) + (5, -7, 20)
    np.testing.assert_allclose(surfaces.vertices[1], expected, atol=0.15)


def test_corresponding_vertices_point_the_same_way(
    eggs: tuple[list[np.ndarray], list[np.ndarray], Surfaces],
) -> None:
    """A vertex near the tip of one egg is near the tip of every other."""
    surfaces = eggs[2]
    centered = surfaces.vertices - surfaces.vertices.mean(1, keepdims=True)
    directions = centered / np.linalg.norm(centered, axis=2, keepdims=True)
    angle = np.degrees(np.arccos(np.clip((directions * directions.mean(0)).sum(2), -1, 1)))
    assert np.percentile(angle, 95) < 12
    assert volume(surfaces.template) == pytest.approx(np.mean([volume(surfaces.mesh(n)) for n in range(6)]), rel=0.05)


def test_distance_is_positive_inside_and_grows_beyond_the_lattice() -> None:
    shape = Shape(egg(0), lattice(0))
    points = shape.center + np.array([[0, 0, 0], [40, 0, 0], [80, 0, 0]], float)
    inside, near, far = shape.distance(points)
    assert inside > 5 and near < -20 and far == pytest.approx(near - 40, abs=0.5)


def test_mistakes_and_cancel() -> None:
    with pytest.raises(ValueError, match="8 voxels or more"):
        corresponding_surfaces([np.zeros((5, 5, 5), bool)], [np.eye(4)])
    with pytest.raises(ValueError, match="as many affines as masks"):
        corresponding_surfaces([egg(0)], [])

    def stop(fraction: float, message: str) -> None:
        raise Cancelled(message)

    with pytest.raises(Cancelled, match="1 of 2 shapes"):
        corresponding_surfaces([egg(0), egg(1)], [lattice(0)] * 2, n_vertices=200, progress=stop)
