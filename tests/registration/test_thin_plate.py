import numpy as np
import pytest
from scipy.interpolate import RBFInterpolator

from workbench.registration.thin_plate import fit_thin_plate

RNG = np.random.default_rng(0)
POINTS = RNG.uniform(0, 30, (40, 3))
VALUES = RNG.normal(size=(40, 3))
KERNELS = (("r", "linear"), ("r² ln r", "thin_plate_spline"))


@pytest.mark.parametrize("kernel", ["r", "r² ln r"])
def test_its_points_are_interpolated_exactly(kernel) -> None:
    assert np.abs(fit_thin_plate(POINTS, VALUES, kernel=kernel)(POINTS) - VALUES).max() < 1e-9


@pytest.mark.parametrize(("kernel", "theirs"), KERNELS)
@pytest.mark.parametrize("smoothing", [0.0, 0.7])
def test_equals_scipy(kernel, theirs, smoothing) -> None:
    shift = POINTS.mean(axis=0)
    scale = np.sqrt(((POINTS - shift) ** 2).sum(axis=1).mean())  # their smoothing knows no unit of length
    oracle = RBFInterpolator((POINTS - shift) / scale, VALUES, kernel=theirs, degree=1, smoothing=smoothing)
    at = RNG.uniform(-5, 35, (50, 3))
    ours = fit_thin_plate(POINTS, VALUES, kernel=kernel, smoothing=smoothing)(at)
    assert np.allclose(ours, oracle((at - shift) / scale), atol=1e-8)


def test_an_affine_map_is_reproduced_everywhere_whatever_the_smoothing() -> None:
    matrix, offset = RNG.normal(size=(3, 3)), RNG.normal(size=3)
    plate = fit_thin_plate(POINTS, POINTS @ matrix + offset, smoothing=5.0)
    far = RNG.uniform(-100, 100, (20, 3))
    assert np.allclose(plate(far), far @ matrix + offset, atol=1e-7)


@pytest.mark.parametrize("kernel", ["r", "r² ln r"])
def test_points_in_a_plane_say_nothing_of_the_way_out_of_it(kernel) -> None:
    turn = np.linalg.qr(RNG.normal(size=(3, 3)))[0]
    flat = POINTS * [1, 1, 0] @ turn + [5, 6, 7]
    slope = turn.T @ np.diag([0.3, -0.2, 0.0])
    plate = fit_thin_plate(flat, flat @ slope, kernel=kernel, smoothing=5.0)
    beside = flat + 20 * turn[2]
    assert np.allclose(plate(flat), flat @ slope, atol=1e-7) and np.allclose(plate(beside), plate(flat), atol=1e-7)
    assert np.allclose(fit_thin_plate(flat, VALUES, kernel=kernel)(flat), VALUES, atol=1e-7)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_few_points_are_interpolated_too(n) -> None:
    plate = fit_thin_plate(POINTS[:n], VALUES[:n])
    assert np.allclose(plate(POINTS[:n]), VALUES[:n], atol=1e-7) and np.isfinite(plate(POINTS + 50)).all()


def test_no_points_are_refused() -> None:
    with pytest.raises(ValueError, match="expected points"):
        fit_thin_plate(POINTS[:0], VALUES[:0])
