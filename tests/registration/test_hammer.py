from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from workbench.errors import Cancelled, GeometryError, SettingsError
from workbench.imaging.displacements import compose, exponential, jacobian_determinant, pull
from workbench.registration.attributes import attribute_rows
from workbench.registration.feature_rows import FeatureRows, patch_rows, unit_rows
from workbench.registration.half_maps import HalfMaps
from workbench.registration.hammer import hammer
from workbench.registration.hammer_settings import HammerSettings
from workbench.registration.hammer_stage import at_nodes
from workbench.registration.key_points import choose_key_points, row_saliency
from workbench.registration.row_pyramid import row_level

SHAPE = (24, 26, 22)
QUICK = HammerSettings(
    shrink=(2, 1), n_iterations=(4, 4), key_share=(0.5, 0.1), search_radius=(2, 2), max_spline_points=300
)


@pytest.fixture(scope="module")
def pair():
    """A texture, and what is seen of it through a known map and its inverse."""
    rng = np.random.default_rng(0)
    texture = gaussian_filter(rng.normal(size=SHAPE), 1.5)
    texture = (texture / texture.std()).astype(np.float32)
    velocity = np.stack([gaussian_filter(rng.normal(size=SHAPE), 5) for _ in range(3)]).astype(np.float32)
    velocity *= 2.5 / np.linalg.norm(velocity, axis=0).max()
    truth, back = exponential(velocity), exponential(-velocity)
    moving = pull(texture[None], back)[0]  # fixed(x) = moving(x + truth(x))
    return texture, moving, truth


@pytest.fixture(scope="module")
def described(pair):
    return tuple(patch_rows(image, np.ones(SHAPE, bool), 5) for image in pair[:2])


@pytest.fixture(scope="module")
def found(described):
    return hammer(*described, settings=QUICK)


def error(u: np.ndarray, truth: np.ndarray) -> float:
    inner = (slice(None), *[slice(3, -3)] * 3)
    return float(np.linalg.norm((u - truth)[inner], axis=0).mean())


def test_a_known_field_is_recovered(found, pair) -> None:
    before = error(np.zeros_like(pair[2]), pair[2])
    assert error(found.forward, pair[2]) < min(0.5, 0.4 * before)


def test_map_and_inverse_undo_each_other_and_never_fold(found) -> None:
    both = np.linalg.norm(compose(found.forward, found.inverse), axis=0)
    assert both.mean() < 0.5
    assert jacobian_determinant(found.forward).min() > 0 and jacobian_determinant(found.inverse).min() > 0


def test_the_energy_falls_within_each_stage(found) -> None:
    for stage in {row.stage for row in found.energy}:
        line = [row.energy for row in found.energy if row.stage == stage]
        assert line[-1] < line[0]


def test_the_matched_points_obey_the_truth(found, pair) -> None:
    fixed, moving = torch.from_numpy(found.points[:, :3]), found.points[:, 3:]
    there = fixed + HalfMaps(SHAPE, torch.from_numpy(pair[2])).at(torch.from_numpy(pair[2]), fixed)
    assert np.median(np.linalg.norm(there.numpy() - moving, axis=1)) < 0.5


def test_equal_images_stay_where_they_are(described) -> None:
    u = hammer(described[0], described[0], settings=QUICK).forward
    assert np.linalg.norm(u, axis=0).max() < 0.05


def test_exchanging_the_images_exchanges_the_maps(described, found) -> None:
    other = hammer(described[1], described[0], settings=QUICK)
    assert np.linalg.norm(other.forward - found.inverse, axis=0).mean() < 0.1


@pytest.mark.parametrize("kind", ["attributes", "l2"])
def test_other_rows_drive_it_too(kind, pair) -> None:
    mask = np.ones(SHAPE, bool)
    if kind == "attributes":
        rows = [attribute_rows(image, mask, radii_mm=(1.5, 3.0)) for image in pair[:2]]
    else:
        rows = [FeatureRows(mask, patch_rows(image, mask, 3).rows, "l2") for image in pair[:2]]
    assert error(hammer(*rows, settings=QUICK).forward, pair[2]) < 0.8 * error(np.zeros_like(pair[2]), pair[2])


@pytest.mark.parametrize("deep", [2, 5, 9])
def test_thin_slabs_are_registered_along_their_slices(deep, pair) -> None:
    fixed, moving, truth = pair
    slab = slice(9, 9 + deep)
    rows = [patch_rows(image[..., slab], np.ones((*SHAPE[:2], deep), bool), 5) for image in (fixed, moving)]
    thin = HammerSettings((3, 2, 1), (3, 3, 3), (0.5, 0.3, 0.1), (2, 2, 2), max_spline_points=100)
    match = hammer(*rows, settings=thin)
    inner = (slice(0, 2), slice(3, -3), slice(3, -3))
    left, was = (np.linalg.norm(u[inner], axis=0).mean() for u in (match.forward - truth[..., slab], truth[..., slab]))
    assert left < 0.7 * was
    assert jacobian_determinant(match.forward).min() > 0


def test_a_wild_update_does_not_fold() -> None:
    wild = 30 * np.random.default_rng(1).normal(size=(3, 8, 8, 8))
    forward, inverse = HalfMaps.identity((16, 16, 16), 2).updated(wild, 0.0).whole()
    assert np.abs(forward).max() > 0.01
    assert jacobian_determinant(forward).min() > 0 and jacobian_determinant(inverse).min() > 0


@pytest.mark.parametrize("shape", [(35, 51, 36), (2, 20, 9), (1, 7, 8)])
def test_what_is_linear_is_exact_at_every_node(shape) -> None:
    maps = HalfMaps.identity(shape, control_spacing=2)
    turn = np.array([[1.1, 0.2, 0], [-0.3, 0.9, 0.1], [0, 0.4, 1]])
    asked = at_nodes(maps, lambda places: places @ turn.T + 3)
    nodes = (np.indices(asked.shape[1:]).reshape(3, -1).T + 0.5) * maps.voxels_per_node.numpy() - 0.5
    assert asked == pytest.approx((nodes @ turn.T + 3).T.reshape(asked.shape), abs=1e-4)


def test_key_points_are_the_most_salient_of_their_cells() -> None:
    saliency = np.zeros((8, 8, 8), np.float32)
    saliency[3, 3, 3], saliency[3, 3, 2], saliency[6, 1, 1] = 3, 2, 1
    chosen = choose_key_points(saliency, np.ones(saliency.shape, bool), 0.03)
    assert chosen[0].tolist() == [3, 3, 3] and chosen[1].tolist() == [6, 1, 1]
    assert [3, 3, 2] not in chosen.tolist()


def test_an_odd_voxel_is_salient() -> None:
    image = np.random.default_rng(2).normal(0, 0.01, (9, 9, 9))
    rows = unit_rows(np.tile(np.array([1, 2, 4, 8.0], np.float32), (729, 1)) + image.reshape(-1, 1).astype(np.float32))
    rows[364] = -rows[364]
    saliency = row_saliency(FeatureRows(np.ones((9, 9, 9), bool), rows))
    assert np.unravel_index(saliency.argmax(), saliency.shape) == (4, 4, 4)


def test_blocks_hold_the_mean_of_their_rows() -> None:
    mask = np.ones((4, 4, 4), bool)
    rows = np.random.default_rng(3).random((64, 3)).astype(np.float32)
    level = row_level(FeatureRows(mask, rows, "l2"), 2)
    expected = rows.reshape(4, 4, 4, 3)[2:, :2, 2:].mean(axis=(0, 1, 2))
    assert np.allclose(level.rows[level.places[1, 0, 1]], expected, atol=1e-6)
    assert not level.rows[-1].any()


def test_what_does_not_fit_is_said(described) -> None:
    small = patch_rows(np.zeros((5, 5, 5)), np.ones((5, 5, 5), bool), 5)
    with pytest.raises(GeometryError, match="fixed lattice"):
        hammer(described[0], small)
    with pytest.raises(SettingsError, match="each of its schedules"):
        HammerSettings(shrink=(2, 1))
    with pytest.raises(SettingsError, match="cools"):
        replace(QUICK, temperature_end=5.0)


def test_it_can_be_canceled(described) -> None:
    def stop(fraction: float, message: str) -> None:
        if fraction > 0.3:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        hammer(*described, settings=QUICK, progress=stop)
