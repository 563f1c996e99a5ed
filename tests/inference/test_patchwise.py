"""Patch by patch: the patch about each voxel, inside a mask, or one for a block as a preview."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from workbench.errors import Cancelled, SettingsError
from workbench.inference.patchwise import patchwise_probabilities
from workbench.inference.whole_volume import dense_probabilities

from .segmentation_networks import by_voxel, kleesiek, lively, zhang


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def padded_network(n_channels: int = 4, size: int = 9) -> nn.Sequential:
    """Pereira's kind: padded convolutions, overlapping pooling."""
    torch.manual_seed(2)
    n = (size - 3) // 2 + 1
    layers = [nn.Conv2d(n_channels, 6, 3, padding=1), nn.LeakyReLU(0.333), nn.MaxPool2d(3, 2)]
    return lively(nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.3), nn.Linear(6 * n * n, 5)))


@pytest.mark.parametrize(("plane", "cube"), [("axial", (9, 8, 1)), ("coronal", (9, 1, 8)), ("sagittal", (1, 9, 8))])
def test_padded_networks_see_the_patch_about_each_voxel(plane, cube):
    torch.manual_seed(2)
    layers = [nn.Conv2d(2, 6, 3, padding=1), nn.LeakyReLU(0.333), nn.MaxPool2d(3, 2)]
    network = lively(nn.Sequential(*layers, nn.Flatten(), nn.Linear(6 * 4 * 3, 5)))
    image = noise(2, 7, 6, 5)
    got = patchwise_probabilities(network, image, patch=(9, 8), plane=plane, fill=-0.4, batch_size=7)
    voxels = np.argwhere(np.ones((7, 6, 5)))[::3]
    assert np.abs(got[:, *voxels.T].T - by_voxel(network, image, cube, -0.4, voxels)).max() < 1e-5


def test_equals_dense_evaluation_where_that_is_exact():
    network, image = kleesiek(0.2, 2, (4, 3, 3)), noise(2, 6, 5, 4)
    patchwise = patchwise_probabilities(network, image, patch=(13, 13, 13), fill=0.3)
    assert np.abs(patchwise - dense_probabilities(network, image, fill=0.3)).max() < 1e-5
    even, picture = zhang(0.1, pooled=True), noise(3, 6, 5, 2)
    patchwise = patchwise_probabilities(even, picture, patch=(22, 22), plane="axial")
    assert np.abs(patchwise - dense_probabilities(even, picture, patch=(22, 22), plane="axial")).max() < 1e-5


def test_a_mask_keeps_the_values_inside():
    network, image = padded_network(), noise(4, 9, 8, 3)
    mask = np.zeros((9, 8, 3), np.int16)
    mask[2:5, 3:6, 1], mask[8, 0, 2] = 1, 7
    seen: list[int] = []
    network.register_forward_pre_hook(lambda _, batch: seen.append(len(batch[0])))
    some = patchwise_probabilities(network, image, patch=(9, 9), mask=mask, plane="axial", batch_size=4)
    assert sum(seen) == 10 and max(seen) == 4
    whole = patchwise_probabilities(network, image, patch=(9, 9), plane="axial")
    assert np.allclose(some[:, mask > 0], whole[:, mask > 0], atol=1e-6)
    assert (some[0, mask == 0] == 1).all() and (some[1:, mask == 0] == 0).all()
    empty = patchwise_probabilities(network, image, patch=(9, 9), mask=0 * mask, plane="axial")
    assert empty.shape == some.shape and (empty[0] == 1).all()


@pytest.mark.parametrize("plane", ["axial", "sagittal"])
def test_a_preview_repeats_one_true_voxel_of_each_block(plane):
    network, image = padded_network(), noise(4, 9, 8, 7)
    mask = np.random.default_rng(1).random((9, 8, 7)) < 0.4
    full = patchwise_probabilities(network, image, patch=(9, 9), mask=mask, plane=plane)
    n_patches: list[int] = []
    network.register_forward_pre_hook(lambda _, batch: n_patches.append(len(batch[0])))
    preview = patchwise_probabilities(network, image, patch=(9, 9), mask=mask, plane=plane, stride=3)
    step = (3, 3, 1) if plane == "axial" else (1, 3, 3)
    voxels = np.argwhere(mask)
    blocks: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
    for voxel in voxels.tolist():
        blocks.setdefault(tuple(v // s for v, s in zip(voxel, step, strict=True)), []).append(tuple(voxel))
    assert sum(n_patches) == len(blocks) < 0.5 * len(voxels)
    for block, members in blocks.items():
        middle = np.array(block) * step + (np.array(step) - 1) / 2
        away = [np.square(np.array(v) - middle).sum() for v in members]
        source = next(v for v in members if np.allclose(preview[:, *v], full[:, *v], atol=1e-6))
        nearest = [v for v, d in zip(members, away, strict=True) if d == min(away)]
        assert any(np.allclose(preview[:, *source], full[:, *v], atol=1e-6) for v in nearest)
        assert all(np.array_equal(preview[:, *v], preview[:, *source]) for v in members)


def test_modes_progress_and_cancel():
    network, image = padded_network().train(), noise(4, 6, 5, 2)
    told: list[float] = []
    runs = [
        patchwise_probabilities(
            network, image, patch=(9, 9), plane="axial", batch_size=16, progress=lambda f, _: told.append(f)
        )
        for _ in range(2)
    ]
    assert np.array_equal(*runs) and network.training  # dropout was off
    assert len(told) == 8 and told[3] == told[-1] == 1

    def stop(fraction: float, text: str) -> None:
        raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        patchwise_probabilities(network, image, patch=(9, 9), plane="axial", progress=stop)


def test_a_single_output_and_wrong_channels():
    network = nn.Sequential(nn.Conv3d(1, 1, 3, padding=1), nn.Flatten(), nn.Linear(27, 1), nn.Flatten(0))
    got = patchwise_probabilities(network, noise(1, 4, 4, 4), patch=(3, 3, 3), activation="sigmoid")
    assert got.shape == (1, 4, 4, 4) and 0 < got.min() < got.max() < 1
    with pytest.raises(SettingsError, match="choose the modalities"):
        patchwise_probabilities(network, noise(2, 4, 4, 4), patch=(3, 3, 3))
