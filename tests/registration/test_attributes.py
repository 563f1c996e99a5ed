import numpy as np
import pytest

from workbench.registration.attributes import attribute_rows, ball_moments, edge_types
from workbench.registration.tissue import tissue_fractions


def three_shells(n: int = 24) -> np.ndarray:
    grid = np.indices((n,) * 3) - (n - 1) / 2
    r = np.sqrt((grid**2).sum(axis=0))
    return (r < 10).astype(int) + (r < 6)


def test_tissues_of_a_noisy_biased_phantom_are_found() -> None:
    truth = three_shells()
    rng = np.random.default_rng(0)
    bias = 1 + 0.15 * np.linspace(-1, 1, 24)[:, None, None]
    image = np.array([30, 60, 100.0])[truth] * bias + rng.normal(0, 7, truth.shape)
    fractions = tissue_fractions(image, np.ones(truth.shape, bool))
    assert np.allclose(fractions.sum(axis=0), 1, atol=1e-5)
    nearest = np.abs(image[..., None] - [30, 60, 100.0]).argmin(axis=-1)
    ours = (fractions.argmax(axis=0) == truth).mean()
    assert ours > 0.97 and ours > (nearest == truth).mean()


def test_edges_are_named_by_the_tissues_on_both_sides() -> None:
    labels = np.zeros((5, 5, 5), int)
    labels[2:] = 1
    labels[4:] = 2
    fractions = (labels == np.arange(3)[:, None, None, None]).astype(np.float32)
    assert edge_types(fractions)[:, 2, 2].tolist() == [0, 3, 3, 1, 1]


def test_moments_of_a_ball_equal_sums_over_it() -> None:
    rng = np.random.default_rng(2)
    fractions = rng.dirichlet(np.ones(3), (9, 9, 9)).transpose(3, 0, 1, 2).astype(np.float32)
    spacing, radius = (1.0, 2.0, 1.0), 3.0
    mask = np.zeros((9, 9, 9), bool)
    mask[4, 4, 4] = True
    offsets = (np.indices((9, 9, 9)) - 4) * np.array(spacing)[:, None, None, None]
    ball = (offsets**2).sum(axis=0) <= radius**2
    shares = [f[ball].mean() for f in fractions]
    arms = [
        np.linalg.norm((offsets * t)[:, ball].sum(axis=1)) / ball.sum() / radius for t in (fractions[0], fractions[2])
    ]
    assert np.allclose(np.ravel(ball_moments(fractions, mask, radius, spacing)), [*shares, *arms], atol=1e-5)


def test_attributes_do_not_see_contrast_and_brightness() -> None:
    truth = three_shells()
    image = truth + np.random.default_rng(3).normal(0, 0.05, truth.shape)
    mask = np.ones(truth.shape, bool)
    a, b = attribute_rows(image, mask).rows, attribute_rows(7 * image + 100, mask).rows
    assert a.shape[1] == 1 + 3 + 5 * 3 and a[:, 1:].min() >= 0 and a[:, 1:].max() <= 1
    assert np.abs(a - b).max() < 1e-3


@pytest.mark.real
@pytest.mark.slow
def test_tissues_of_a_real_brain_beat_intensity_alone(real_data) -> None:
    from workbench.imaging.nifti import read_nifti

    folder = real_data / "adult_oasis_malf"
    image, tissue, mask = (
        read_nifti(folder / f"1000_{what}.nii.gz").data[0][:, :, 70:100] for what in ("SS", "tissues", "mask")
    )
    ours = tissue_fractions(image, mask > 0).argmax(axis=0) + 1
    dice = [
        2 * ((ours == k) & (tissue == k) & (mask > 0)).sum() / (((ours == k) & (mask > 0)).sum() + (tissue == k).sum())
        for k in (1, 2, 3)
    ]
    assert np.mean(dice) > 0.88, dice
