"""The deformable model: finds a clear boundary, bridges a missing one, comes to rest."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from scipy import ndimage

from workbench.classical.deformable_model import DeformableSettings, deformed, placed_mean, sought_boundary
from workbench.classical.shape_dictionary import ShapeDictionary, aligned_dictionary
from workbench.classical.surfaces import Mesh, marched, vertex_normals, volume
from workbench.classical.voxelization import voxelized
from workbench.errors import Cancelled, WorkbenchError

SHAPE = (44, 40, 28)
AFFINE = np.array([[1.25, 0, 0, -31], [0, 1.25, 0, 12], [0, 0, 1.75, -40], [0, 0, 0, 1]])
MIDDLE = AFFINE[:3, :3] @ (np.array(SHAPE) / 2) + AFFINE[:3, 3]


@cache
def ball() -> Mesh:
    grid = np.indices((17, 17, 17)) - 8.0
    mesh = marched(6.5 - np.sqrt(np.square(grid).sum(0)), np.eye(4), level=0)
    vertices = mesh.vertices - mesh.vertices.mean(0)
    return Mesh(vertices / np.linalg.norm(vertices, axis=1, keepdims=True), mesh.faces)


def egg(seed: int) -> Mesh:
    """A bent, tapered ellipsoid near the middle; vertex k means the same place in each."""
    rng, x = np.random.default_rng(seed), ball().vertices
    x = x * np.array([18, 15, 16]) * np.exp(0.1 * rng.normal(size=3))
    x[:, 2] += 0.006 * rng.normal() * (x[:, 0] ** 2 - 80)
    x[:, 1] *= 1 + 0.1 * rng.normal() * x[:, 2] / 16
    return Mesh(x + MIDDLE + 1.5 * rng.normal(size=3), ball().faces)


@cache
def dictionary() -> ShapeDictionary:
    return aligned_dictionary(np.stack([egg(s).vertices for s in range(20)]), ball().faces)


def likelihood(truth: np.ndarray, erased: str, seed: int) -> np.ndarray:
    """Smooth and noisy; on 30 % of the directions the boundary's 10 mm are without information."""
    rng = np.random.default_rng(seed)
    soft = ndimage.gaussian_filter(truth.astype(float), 0.8)
    if erased != "nothing":
        places = np.moveaxis(np.indices(SHAPE), 0, -1) @ AFFINE[:3, :3].T
        away = places - places[truth].mean(0)
        side = rng.normal(size=3)
        sector = away @ side > 0.4 * np.linalg.norm(away, axis=-1) * np.linalg.norm(side)  # (1 − 0.4) / 2 of the sphere
        inner, outer = (ndimage.distance_transform_edt(m, sampling=np.diag(AFFINE)[:3]) for m in (truth, ~truth))
        band = np.maximum(inner, outer) < 5
        soft = np.where(sector & band, rng.random(SHAPE) if erased == "noise" else 0.5, soft)
    return np.clip(soft + 0.05 * rng.normal(size=SHAPE), 0, 1)


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * float((a & b).sum()) / float(a.sum() + b.sum())


@pytest.mark.parametrize("erased", ["flat", "noise"])
@pytest.mark.parametrize("seed", range(3))
def test_a_missing_third_of_the_boundary_is_bridged(erased: str, seed: int) -> None:
    truth = voxelized(egg(100 + seed), SHAPE, AFFINE)
    values = likelihood(truth, erased, seed)
    found = deformed(values, AFFINE, dictionary())
    assert dice(found.mask, truth) > dice(values > 0.5, truth) + 0.03
    assert dice(found.mask, truth) > 0.93
    assert found.steps[-1].seen < 0.95


@pytest.mark.parametrize("boundary", ["crossing", "gradient"])
def test_a_clear_boundary_is_found(boundary: str) -> None:
    truth = voxelized(egg(203), SHAPE, AFFINE)
    settings = DeformableSettings(boundary=boundary)  # type: ignore[arg-type]
    found = deformed(likelihood(truth, "nothing", 0), AFFINE, dictionary(), settings=settings)
    assert dice(found.mask, truth) > 0.96 > dice(voxelized(found.start, SHAPE, AFFINE), truth)
    assert volume(found.mesh) == pytest.approx(volume(egg(203)), rel=0.06)


def test_it_rests_before_the_last_turn_and_reach_and_prior_shrink() -> None:
    truth = voxelized(egg(201), SHAPE, AFFINE)
    told: list[float] = []
    found = deformed(likelihood(truth, "nothing", 1), AFFINE, dictionary(), progress=lambda f, s: told.append(f))
    assert len(told) == len(found.steps) < 40
    assert found.steps[-1].move_mm < 0.1 < found.steps[0].move_mm
    assert (found.steps[0].reach_mm, found.steps[-1].reach_mm) == (8, 2)
    assert (found.steps[0].prior, found.steps[-1].prior) == (0.9, 0.3)


def test_the_start_has_centroid_and_volume_of_the_largest_piece() -> None:
    truth = voxelized(egg(5), SHAPE, AFFINE).astype(np.float32)
    truth[:3, :3, :3] = 1  # a smaller piece far off
    start = placed_mean(truth, AFFINE, dictionary())
    assert volume(start) == pytest.approx(volume(egg(5)), rel=0.02)
    assert np.linalg.norm(start.vertices.mean(0) - egg(5).vertices.mean(0)) < 1


@pytest.mark.parametrize("boundary", ["crossing", "gradient"])
def test_search_finds_a_plane_where_it_is_and_nothing_where_it_is_not(boundary: str) -> None:
    """Likelihood falls from 1 to 0 at x = 20.5 voxels; a ball's pole looks at it from 3 mm away."""
    values = np.zeros(SHAPE)
    values[:21] = 1
    pole = AFFINE[0, 0] * 20.5 + AFFINE[0, 3] - 3
    mesh = Mesh(ball().vertices * 10 + (pole - 10, MIDDLE[1], MIDDLE[2]), ball().faces)
    settings = DeformableSettings(boundary=boundary)  # type: ignore[arg-type]
    found, seen = sought_boundary(values, AFFINE, mesh, 5.0, settings)
    facing = vertex_normals(mesh)[:, 0] > 0.9
    assert seen[facing].all() and np.abs(found[facing, 0] - pole - 3).max() < 0.4
    away = vertex_normals(mesh)[:, 0] < 0
    assert not seen[away].any() and np.array_equal(found[away], mesh.vertices[away])


def test_an_empty_likelihood_is_told_and_cancel_goes_through() -> None:
    with pytest.raises(WorkbenchError, match=r"nowhere above 0.5 \(its largest value is 0.30\)"):
        deformed(np.full(SHAPE, 0.3), AFFINE, dictionary())

    def stop(fraction: float, message: str) -> None:
        raise Cancelled(message)

    with pytest.raises(Cancelled):
        deformed(voxelized(egg(1), SHAPE, AFFINE), AFFINE, dictionary(), progress=stop)
    with pytest.raises(ValueError, match="prior's share"):
        DeformableSettings(prior=(0.2, 0.5))
