"""Registrations that are kept: made once, read back as they were, made again where the file is damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from workbench.errors import Cancelled
from workbench.imaging.volume import Volume
from workbench.registration import atlas_warps
from workbench.registration.atlas_warps import brought, turned_round


def blob(center: tuple[float, float, float], shape: tuple[int, int, int], spacing: float) -> Volume:
    places = np.moveaxis(np.indices(shape), 0, -1) * spacing - center
    inside = (np.linalg.norm(places / (8, 6, 5), axis=-1) < 1) + (np.linalg.norm(places - (2, 1, 2), axis=-1) < 2)
    noise = 0.02 * np.random.default_rng(0).normal(size=shape)
    return Volume.from_array(gaussian_filter(inside.astype(float), 1) + noise, np.diag([spacing, spacing, spacing, 1]))


@pytest.fixture(scope="module")
def pair() -> tuple[Volume, Volume]:
    return blob((14, 13, 12), (28, 26, 24), 1.0), blob((17, 14, 13), (22, 20, 18), 1.5)


def test_a_pair_is_registered_once(pair: tuple[Volume, Volume], monkeypatch: pytest.MonkeyPatch) -> None:
    first = brought(*pair, "demons")
    monkeypatch.setattr(atlas_warps, "register", lambda *_, **__: pytest.fail("registered again"))
    again = brought(*pair, "demons")
    for name in ("linear", "field", "inverse"):
        np.testing.assert_array_equal(getattr(again, name), getattr(first, name))
    assert (again.folded_share, again.seconds, again.notes) == (first.folded_share, first.seconds, first.notes)
    assert again.fixed is pair[0] and again.moving is pair[1]


def test_another_method_or_image_is_another_pair(pair: tuple[Volume, Volume], data_root: Path) -> None:
    fixed, moving = pair
    brought(fixed, moving, "affine")
    brought(fixed, moving.with_data(moving.data + 1), "affine")
    brought(moving, fixed, "affine")
    assert len(list((data_root / "cache" / "warps").glob("*.npz"))) == 3


def test_a_damaged_file_is_made_again(pair: tuple[Volume, Volume], data_root: Path) -> None:
    first = brought(*pair, "affine")
    (file,) = (data_root / "cache" / "warps").glob("*.npz")
    file.write_bytes(file.read_bytes()[:200])
    np.testing.assert_array_equal(brought(*pair, "affine").field, first.field)


def test_cancelled_keeps_nothing(pair: tuple[Volume, Volume], data_root: Path) -> None:
    def stop(fraction: float, message: str) -> None:
        raise Cancelled("enough")

    with pytest.raises(Cancelled):
        brought(*pair, "affine", stop)
    assert not list(data_root.rglob("*.npz"))


def test_turned_round_is_the_way_back(pair: tuple[Volume, Volume]) -> None:
    there = brought(*pair, "diffeomorphic demons")
    back = turned_round(there)
    points = np.array([[14.0, 13, 12], [18, 14, 12], [14, 10, 14]])
    moved = there.warp_points(points)
    assert np.abs(moved - points).max() > 1
    assert np.linalg.norm(back.warp_points(moved) - points, axis=1).max() < 0.5
    np.testing.assert_allclose(back.warped().data, there.warped_fixed().data, atol=1e-5)
    np.testing.assert_allclose(turned_round(back).linear, there.linear, atol=1e-9)
