"""Bias corrected images kept on the disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from workbench.imaging.intensity import correct_bias
from workbench.imaging.volume import Volume
from workbench.systems import corrected_images
from workbench.systems.corrected_images import corrected


@pytest.fixture
def shaded() -> tuple[Volume, np.ndarray]:
    rng = np.random.default_rng(0)
    x = np.linspace(-1, 1, 16)[:, None, None]
    data = np.stack([(100 + 30 * k) * np.exp(0.3 * x) * np.ones((16, 17, 18)) for k in range(2)])
    data += rng.normal(0, 1, data.shape)
    return Volume.from_array(data.astype(np.float32), np.diag([4.0, 4, 4, 1]), "T1"), np.ones((16, 17, 18), bool)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Count corrections, and make them fast ones."""
    found: list[tuple[int, ...]] = []

    def counted(volume: Volume, mask: np.ndarray) -> Volume:
        found.append(volume.data.shape)
        return volume.with_data(volume.data / 2)

    monkeypatch.setattr(corrected_images, "correct_bias", counted)
    return found


def test_kept_or_not_it_is_the_correction_itself(shaded: tuple[Volume, np.ndarray]) -> None:
    volume, mask = shaded
    volume = volume.with_data(volume.data[:1])
    wanted = correct_bias(volume, mask).data
    for _ in range(2):
        np.testing.assert_array_equal(corrected(volume, mask).data, wanted)
    assert wanted[0].std() < 0.5 * volume.data[0].std(), "and that takes the shading away"


def test_each_channel_is_corrected_once(shaded: tuple[Volume, np.ndarray], calls: list[tuple[int, ...]]) -> None:
    volume, mask = shaded
    first = corrected(volume, mask)
    np.testing.assert_array_equal(first.data, volume.data / 2)
    again = corrected(volume.with_data(volume.data[1:]), mask)
    np.testing.assert_array_equal(again.data, first.data[1:])
    assert len(calls) == 2, "the second channel alone was on the disk"


def test_other_voxels_another_mask_or_lattice_are_corrected_anew(
    shaded: tuple[Volume, np.ndarray], calls: list[tuple[int, ...]]
) -> None:
    volume, mask = shaded
    one = volume.with_data(volume.data[:1])
    part = mask.copy()
    part[:3] = False
    changed = one.data.copy()
    changed[0, 5, 5, 5] += 1
    stretched = Volume.from_array(one.data, np.diag([4.0, 4, 8, 1]), "T1")
    for other, where in ((one, mask), (one, part), (one.with_data(changed), mask), (stretched, mask), (one, mask)):
        corrected(other, where)
    assert len(calls) == 4


def test_a_damaged_file_is_made_again(
    shaded: tuple[Volume, np.ndarray], calls: list[tuple[int, ...]], data_root: Path
) -> None:
    volume, mask = shaded
    first = corrected(volume, mask)
    for file in (data_root / "cache" / "corrected").iterdir():
        file.write_bytes(file.read_bytes()[:100])
    np.testing.assert_array_equal(corrected(volume, mask).data, first.data)
    assert len(calls) == 4
