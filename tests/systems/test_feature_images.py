"""Preparation: what the network sees is what was promised, and nothing of the reference subject but its histogram."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from workbench.errors import CohortError, GeometryError
from workbench.imaging.files import write_volume
from workbench.imaging.subject import Subject
from workbench.imaging.volume import Volume
from workbench.systems.feature_images import ImagePreparation, foreground

PLAIN = ImagePreparation(modality="", spacing_mm=0.0, bias_correction=False, by_gradient=True, dimensions=3)
RNG = np.random.default_rng(3)


def subject(folder: Path, data: np.ndarray, spacing: float = 1.0, name: str = "a") -> Subject:
    write_volume(Volume.from_array(data, np.diag([spacing, spacing, spacing, 1])), folder / f"{name}.nii.gz")
    return Subject(name, {"T1": folder / f"{name}.nii.gz"})


def ball(n: int = 24, radius: float = 9.0) -> np.ndarray:
    grid = np.stack(np.meshgrid(*[np.arange(n) - (n - 1) / 2] * 3, indexing="ij"))
    inside = (grid**2).sum(0) < radius**2
    return inside * RNG.uniform(100, 900, inside.shape).astype(np.float32)


def test_image_is_zero_to_one_and_zero_outside_the_mask(tmp_path: Path) -> None:
    volume, mask = PLAIN.image(subject(tmp_path, ball()))
    assert volume.data.min() == 0 and volume.data.max() == 1
    assert not volume.data[0][~mask].any() and (mask == (ball() > 0)).all()


def test_a_monotone_change_of_contrast_is_undone_by_matching(tmp_path: Path) -> None:
    data = ball()
    first = subject(tmp_path, data)
    changed = subject(tmp_path, np.sqrt(data) * 31, name="b")
    quantiles = PLAIN.quantiles(first)
    a, mask = PLAIN.image(first, quantiles)
    before = PLAIN.image(changed)[0]
    after = PLAIN.image(changed, quantiles)[0]
    assert (
        np.abs(after.data[0][mask] - a.data[0][mask]).mean()
        < 0.2 * np.abs(before.data[0][mask] - a.data[0][mask]).mean()
    )


def test_resampling_keeps_places_and_the_mask_volume(tmp_path: Path) -> None:
    found, mask = ImagePreparation("T1", 2.0, False, False, 3).image(subject(tmp_path, ball(32, 12.0)))
    np.testing.assert_allclose(found.spacing, 2.0)
    center = found.to_mm(np.argwhere(mask)).mean(0)
    np.testing.assert_allclose(center, [15.5] * 3, atol=0.3)
    assert abs(mask.sum() * 8 / (ball(32, 12.0) > 0).sum() - 1) < 0.1


def test_patches_are_likelier_at_edges_and_never_outside(tmp_path: Path) -> None:
    step = np.full((24, 24, 24), 1.0, np.float32)
    step[12:] = 2.0
    step[0] = 0.0
    volume, mask = PLAIN.image(subject(tmp_path, step))
    weights = PLAIN.weights(volume, np.ones_like(mask))
    assert weights is not None
    assert weights[11:13].mean() > 50 * weights[18:].mean()
    assert not (PLAIN.weights(volume, mask)[~mask]).any()  # type: ignore[index]
    assert ImagePreparation("", 0.0, False, False, 3).weights(volume, mask) is None


def test_foreground_is_everything_in_a_cropped_image() -> None:
    assert foreground(np.arange(27.0).reshape(3, 3, 3)).all()
    skull_stripped = ball()
    assert (foreground(skull_stripped) == (skull_stripped > 0)).all()
    assert foreground(np.ones((3, 3, 3))).all()


def test_several_time_points_and_pictures_are_refused_in_a_sentence(tmp_path: Path) -> None:
    write_volume(Volume.from_array(RNG.random((4, 6, 6, 6))), tmp_path / "series.nii.gz")
    with pytest.raises(CohortError, match="has 4 time points or channels"):
        PLAIN.image(Subject("s", {"bold": tmp_path / "series.nii.gz"}))
    with pytest.raises(GeometryError, match="needs a 3-D image"):
        PLAIN.image(subject(tmp_path, RNG.random((9, 9, 1)).astype(np.float32)))
    with pytest.raises(CohortError, match="has no T2; it has T1"):
        ImagePreparation("T2", 0, False, False, 3).modality_of(Subject("s", {"T1": tmp_path}))


def test_foreground_of_a_noisy_head_leaves_the_air_out() -> None:
    inside = ball(32, 11.0) > 0
    noisy = np.abs(RNG.normal(0, 0.03, inside.shape)) + inside * (0.6 + RNG.normal(0, 0.03, inside.shape))
    noisy[16, 16, 16] = 0.0  # a dark ventricle belongs to the head
    assert (foreground(noisy) == inside).mean() > 0.999 and foreground(noisy)[16, 16, 16]
