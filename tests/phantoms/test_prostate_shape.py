from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from workbench.phantoms.prostate_shape import (
    CAPSULES,
    LIMIT,
    MODES,
    GlandShape,
    capsule_weights,
    central_ellipsoid,
    draw_capsule,
    draw_shape,
    gland_coordinates,
    sector_numbers,
    signed_distance,
)

EDGE = 2.0
LINE = np.arange(-44, 44.1, EDGE, dtype=np.float32)
POINTS = np.stack(np.meshgrid(LINE, LINE, LINE, indexing="ij"))
MEAN = GlandShape()


def radius_of(shape: GlandShape) -> np.ndarray:
    own = gland_coordinates(shape, POINTS)
    return np.sqrt(sum((c / np.float32(r)) ** 2 for c, r in zip(own, shape.radii_mm, strict=True)))


def gland(**coefficients: float) -> np.ndarray:
    return radius_of(replace(MEAN, **coefficients)) < 1


def extent(inside: np.ndarray, axis: int) -> float:
    return float(np.ptp(np.flatnonzero(inside.any(axis=tuple(a for a in range(3) if a != axis)))) * EDGE)


def test_the_modes_are_the_fields() -> None:
    assert tuple(f.name for f in fields(GlandShape)) == MODES


def test_size_scales_the_volume_by_its_law() -> None:
    small, large = gland(size=-2).sum(), gland(size=2).sum()
    assert large / small == pytest.approx(np.exp(3 * 0.105 * 4), rel=0.12)


def test_width_trades_breadth_for_depth_at_equal_volume() -> None:
    flat, deep = gland(width=2), gland(width=-2)
    assert extent(flat, 0) > extent(deep, 0) + 8 and extent(flat, 1) < extent(deep, 1) - 4
    assert flat.sum() / deep.sum() == pytest.approx(1, abs=0.06)


def test_taper_narrows_the_apex() -> None:
    def ratio(inside: np.ndarray) -> float:
        return float(inside[..., (LINE < -10)].sum() / inside[..., (LINE > 8) & (LINE < 16)].sum())

    assert ratio(gland(taper=2)) < 0.8 * ratio(gland(taper=-2))


def test_asymmetry_moves_volume_to_the_right_and_its_opposite_mirrors_it() -> None:
    right = gland(asymmetry=2)
    share = right[LINE > 0].sum() / right[LINE != 0].sum()
    mirrored = gland(asymmetry=-2)
    assert share > 0.53
    assert mirrored[LINE < 0].sum() / mirrored[LINE != 0].sum() == pytest.approx(share, abs=0.02)
    np.testing.assert_array_equal(gland(), gland()[::-1])


def test_the_bladder_sinks_into_the_base_or_a_lobe_rises() -> None:
    middle = len(LINE) // 2

    def top(inside: np.ndarray) -> float:
        return float(LINE[np.flatnonzero(inside[middle, middle])[-1]])

    assert top(gland(indentation=2)) < top(gland()) < top(gland(indentation=-2))
    sunk = replace(MEAN, indentation=2.0)
    assert top(gland(indentation=2)) == pytest.approx(sunk.radii_mm[2] - sunk.dip_mm, abs=EDGE)


def test_bend_moves_the_ends_against_the_middle() -> None:
    def bow(inside: np.ndarray) -> float:
        places = np.array([np.average(LINE, weights=inside[..., k].sum(axis=0) + 1e-9) for k in range(len(LINE))])
        ends = [k for k, z in enumerate(LINE) if 12 < abs(z) < 16]
        return float(places[ends].mean() - places[len(LINE) // 2])

    assert bow(gland(bend=2)) > bow(gland()) + 1 > bow(gland(bend=-2)) + 2


def test_the_central_gland_grows_inside() -> None:
    small, large = (central_ellipsoid(replace(MEAN, central=c))[1] for c in (-2.0, 2.0))
    np.testing.assert_allclose(large / small, 1.5, rtol=1e-6)


@pytest.mark.parametrize("seed", range(6))
def test_gland_coordinates_never_fold(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = GlandShape(*rng.choice([-2.4, 2.4], len(MODES)))
    own = gland_coordinates(shape, POINTS)
    matrix = np.stack([np.stack(np.gradient(c, EDGE), axis=-1) for c in own], axis=-2)
    near = radius_of(shape) < 1.4
    assert np.linalg.det(matrix)[near].min() > 0.2


@pytest.mark.parametrize("seed", range(3))
def test_signed_distance_is_the_distance_near_the_surface(seed: int) -> None:
    shape = draw_shape(np.random.default_rng(seed), 1.0)
    radius = radius_of(shape)
    found = signed_distance(radius, float(shape.radii_mm[1]), (EDGE, EDGE, EDGE))
    inside = radius < 1
    # a distance transform counts to voxel centers of the other side, half an edge too far
    brute = (distance_transform_edt(~inside) - distance_transform_edt(inside)) * EDGE
    brute = brute - np.sign(brute) * EDGE / 2
    near = np.abs(found) < 5
    assert np.abs(found - brute)[near].max() < 1.3 * EDGE and np.abs(found - brute)[near].mean() < 0.35 * EDGE
    np.testing.assert_array_equal(found < 0, inside)


def test_every_mode_is_drawn_within_the_limit_and_varies() -> None:
    drawn = np.array([list(vars(draw_shape(np.random.default_rng(s), 1.0)).values()) for s in range(300)])
    assert np.abs(drawn).max() < LIMIT
    np.testing.assert_allclose(drawn.std(axis=0), 0.88, atol=0.13)  # of a normal cut at two
    np.testing.assert_allclose(drawn.mean(axis=0), 0, atol=0.2)
    assert np.abs(np.corrcoef(drawn.T) - np.eye(len(MODES))).max() < 0.2
    assert draw_shape(np.random.default_rng(0), 0.0) == MEAN


def test_sectors_by_hand() -> None:
    rx, ry, rz = MEAN.radii_mm
    own = np.array([[1, ry, -rz], [rx, 1, 0], [rx, -1, 0], [-1, -ry, rz], [-1, ry, rz]], np.float32).T
    # just right of the front at the apex, front and back of the right side, left of the back and of the front above
    assert sector_numbers(MEAN, own).tolist() == [1, 1 + 8 + 1, 1 + 8 + 2, 1 + 16 + 4, 1 + 16 + 7]


@pytest.mark.parametrize("seed", range(3))
def test_weights_follow_the_table_and_sum_to_one(seed: int) -> None:
    capsule = draw_capsule(np.random.default_rng(seed), 0.3)
    angles = np.radians(22.5 + 45 * np.arange(8))
    rx, ry, rz = MEAN.radii_mm
    for level, z in enumerate((-0.67, 0.0, 0.67)):
        own = np.stack([rx * np.sin(angles), ry * np.cos(angles), np.full(8, z * rz)]).astype(np.float32)
        weight = capsule_weights(capsule, MEAN, own)
        np.testing.assert_allclose(sum(weight.values()), 1, atol=1e-5)
        for k in range(8):
            assert weight[capsule[level][k]][k] > 0.95
    scattered = np.random.default_rng(seed).uniform(-25, 25, (3, 500)).astype(np.float32)
    np.testing.assert_allclose(sum(capsule_weights(capsule, MEAN, scattered).values()), 1, atol=1e-5)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_absent_share_is_kept_and_bright_and_dark_both_occur(share: float) -> None:
    drawn = np.array([draw_capsule(np.random.default_rng(s), share) for s in range(60)])
    absent = (drawn == "absent").sum(axis=(1, 2))
    assert np.abs(absent - 24 * share).max() < 1 and absent.mean() == pytest.approx(24 * share, abs=0.25)
    assert set(np.unique(drawn)) <= set(CAPSULES)
    if share < 1:
        bright = (drawn == "bright").sum(axis=(1, 2)) / np.maximum(24 - absent, 1)
        assert 0.4 < bright.mean() < 0.6 and bright.std() > 0.12  # patients lean to one or the other
