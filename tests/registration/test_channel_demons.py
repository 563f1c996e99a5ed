from __future__ import annotations

import numpy as np
import pytest
import torch
from pair_maker import deformed_pair, dice
from scipy.ndimage import gaussian_filter

from workbench.errors import Cancelled, FileError, SettingsError
from workbench.imaging.displacements import compose, jacobian_determinant
from workbench.registration.channel_demons import DemonsSettings, _solve, channel_demons, itk_gaussian
from workbench.registration.itk_images import field_from_itk, spaced
from workbench.registration.pyramid import comparable, pyramid
from workbench.registration.warped_labels import labels_at

CUBE = (1.0, 1.0, 1.0)


def moved_dice(pair, field: np.ndarray) -> float:
    return dice(pair.fixed_labels, labels_at(pair.moving_labels, np.indices(pair.fixed.shape) + field))


def one_level(n: int, **more) -> DemonsSettings:
    return DemonsSettings(n_levels=1, n_iterations=n, tolerance=0, unfolded=False, **more)


def simpleitk(pair, spacing, n: int, sigma: float) -> np.ndarray:
    import SimpleITK as sitk

    demons = sitk.DiffeomorphicDemonsRegistrationFilter()
    demons.SetNumberOfIterations(n)
    demons.SetSmoothDisplacementField(True)
    demons.SetStandardDeviations(sigma)
    images = comparable(pair.fixed[None], pair.moving[None])
    return field_from_itk(demons.Execute(*(spaced(i[0], spacing) for i in images)))


@pytest.mark.parametrize(("seed", "sigma"), [(0, 1.0), (1, 1.5), (2, 1.5), (3, 2.0)])
def test_one_channel_is_simpleitks_filter(seed: int, sigma: float) -> None:
    pair = deformed_pair(seed)
    ours = channel_demons(pair.fixed, pair.moving, CUBE, one_level(20, diffusion=sigma)).forward
    theirs = simpleitk(pair, CUBE, 20, sigma)
    assert abs(moved_dice(pair, ours) - moved_dice(pair, theirs)) <= 0.01
    assert 1 - moved_dice(pair, ours) < 0.75 * (1 - moved_dice(pair, 0 * ours))
    inside = pair.fixed_labels > 0
    assert np.linalg.norm(ours - theirs, axis=0)[inside].mean() < 0.05


def test_spacing_means_what_it_means_to_simpleitk() -> None:
    pair, spacing = deformed_pair(4), (1.0, 1.0, 2.0)
    # ITK smooths by voxels along each axis, these demons by the mean edge; without smoothing both take the same step
    ours = channel_demons(pair.fixed, pair.moving, spacing, one_level(1, diffusion=0.0)).forward
    import SimpleITK as sitk

    demons = sitk.DiffeomorphicDemonsRegistrationFilter()
    demons.SetNumberOfIterations(1)
    demons.SetSmoothDisplacementField(False)
    images = comparable(pair.fixed[None], pair.moving[None])
    theirs = field_from_itk(demons.Execute(*(spaced(i[0], spacing) for i in images)))
    inside = (slice(None), *3 * [slice(3, -3)])
    np.testing.assert_allclose(ours[inside], theirs[inside], atol=0.02)


def test_a_doubled_channel_is_the_channel_itself() -> None:
    # (2 J Jᵀ + 2 λ) u = 2 d J
    pair = deformed_pair(5)
    one = channel_demons(pair.fixed, pair.moving, CUBE, one_level(8)).forward
    two = channel_demons(np.stack(2 * [pair.fixed]), np.stack(2 * [pair.moving]), CUBE, one_level(8)).forward
    assert np.abs(two - one).mean() < 1e-3 < 0.1 < np.abs(one).mean()


def test_every_channel_helps_where_it_sees() -> None:
    # each channel shows one half of the image: only both together recover the whole map
    pair = deformed_pair(6)
    left = np.linspace(1, 0, pair.fixed.shape[0]).round()[:, None, None]
    hide = [gaussian_filter(np.broadcast_to(m, pair.fixed.shape).astype(np.float32), 1.0) for m in (left, 1 - left)]
    both = [np.stack([image * h for h in hide]) for image in (pair.fixed, pair.moving)]
    settings = DemonsSettings(n_levels=2, n_iterations=20)
    whole = moved_dice(pair, channel_demons(*both, CUBE, settings).forward)
    halves = [moved_dice(pair, channel_demons(both[0][c], both[1][c], CUBE, settings).forward) for c in (0, 1)]
    assert whole > max(halves) + 0.02


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_known_deformation_is_recovered_without_folds(seed: int) -> None:
    pair = deformed_pair(seed)
    match = channel_demons(pair.fixed, pair.moving, CUBE)
    inside = pair.fixed_labels > 0
    before = np.linalg.norm(pair.field, axis=0)[inside].mean()
    assert np.linalg.norm(match.forward - pair.field, axis=0)[inside].mean() < 0.6 * before
    assert jacobian_determinant(match.forward).min() > 0
    assert np.linalg.norm(compose(match.forward, match.inverse), axis=0).max() < 0.05
    assert np.linalg.norm(compose(match.inverse, match.forward), axis=0).max() < 0.5
    first = [row.energy for row in match.energy if row.stage == "level 1 of 3"]
    assert first[-1] < 0.8 * first[0]
    assert len({row.stage for row in match.energy}) == len({row.n_points for row in match.energy}) == 3


def test_equal_images_stay_where_they_are() -> None:
    image = np.random.default_rng(0).standard_normal((3, 12, 12, 12)).astype(np.float32)
    np.testing.assert_array_equal(channel_demons(image, image, CUBE).forward, 0)


@pytest.mark.slow
def test_a_level_ends_when_nothing_improves() -> None:
    pair = deformed_pair(7)
    patient, hasty = (
        channel_demons(pair.fixed, pair.moving, CUBE, DemonsSettings(n_levels=1, n_iterations=40, tolerance=tolerance))
        for tolerance in (0, 0.2)
    )
    assert len(patient.energy) == 40 > 1.2 * len(hasty.energy)
    assert abs(moved_dice(pair, hasty.forward) - moved_dice(pair, patient.forward)) < 0.05


def test_fluid_smoothing_makes_the_first_step_smoother() -> None:
    pair = deformed_pair(8)
    sharp, soft = (
        channel_demons(pair.fixed, pair.moving, CUBE, one_level(1, diffusion=0.0, fluid=f)).forward for f in (0.0, 2.0)
    )
    assert np.abs(np.diff(soft, axis=1)).mean() < 0.5 * np.abs(np.diff(sharp, axis=1)).mean()


@pytest.mark.parametrize("seed", range(3))
def test_the_solver_is_numpys(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((4, 3, 50))
    full = np.einsum("cin,cjn->nij", rows, rows)
    slope, damping = rng.standard_normal((3, 50)), rng.uniform(0.01, 1, 50)
    six = np.stack([full[:, i, j] for i, j in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))])
    got = _solve(*(torch.from_numpy(a.astype(np.float32)) for a in (six, damping, slope)))
    expected = np.linalg.solve(full + damping[:, None, None] * np.eye(3), slope.T[:, :, None])[:, :, 0].T
    np.testing.assert_allclose(got.numpy(), expected, rtol=2e-3, atol=1e-4)


@pytest.mark.parametrize("sigma", [0.7, 1.0, 1.5, 3.0])
def test_the_kernel_is_that_of_itk(sigma: float) -> None:
    import SimpleITK as sitk

    line = np.zeros((41, 41, 41), np.float32)
    line[20, 20, 20] = 1
    # the filter's fourth argument is the largest error, which its operator shares with the demons'
    smoothed = sitk.DiscreteGaussian(
        sitk.GetImageFromArray(line), [sigma**2, 1e-9, 1e-9], maximumKernelWidth=30, maximumError=[0.1] * 3
    )
    theirs = sitk.GetArrayFromImage(smoothed)[20, 20]
    kernel, half = itk_gaussian(sigma), len(itk_gaussian(sigma)) // 2
    np.testing.assert_allclose(theirs[20 - half : 21 + half] / theirs.sum(), kernel, atol=1e-4)
    assert kernel.sum() == pytest.approx(1)


def test_a_pyramid_halves_the_short_edges_first() -> None:
    image = np.zeros((2, 64, 64, 16), np.float32)
    levels = pyramid(image, image, (1.0, 1.0, 4.0), 4)
    assert [level.fixed.shape for level in levels] == [(2, 8, 8, 8), (2, 16, 16, 16), (2, 32, 32, 16), (2, 64, 64, 16)]
    assert levels[0].spacing == (8.0, 8.0, 8.0) and levels[-1].fixed is image


def test_a_pyramid_keeps_places() -> None:
    x = np.broadcast_to(np.arange(32, dtype=np.float32)[:, None, None], (32, 32, 32))[None]
    coarse = pyramid(x, x, CUBE, 2)[0].fixed
    np.testing.assert_allclose(coarse[0, 2:-2, 8, 8], 2 * np.arange(2, 14) + 0.5, atol=0.01)


def test_what_cannot_be_registered_is_refused() -> None:
    pair = deformed_pair(0)
    with pytest.raises(FileError, match="in every voxel"):
        channel_demons(pair.fixed, np.zeros_like(pair.moving), CUBE)
    with pytest.raises(ValueError, match="same channels"):
        channel_demons(np.stack([pair.fixed] * 2), pair.moving, CUBE)
    with pytest.raises(SettingsError, match="at least one level"):
        DemonsSettings(n_levels=0)
    with pytest.raises(SettingsError, match="negative"):
        DemonsSettings(diffusion=-1)

    def stop(fraction: float, message: str) -> None:
        if fraction > 0.1:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        channel_demons(pair.fixed, pair.moving, CUBE, progress=stop)
