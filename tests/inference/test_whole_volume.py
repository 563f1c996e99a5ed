"""Every voxel gets what its own patch gives, however the volume is cut into tiles."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.inferers import sliding_window_inference
from torch import nn

from workbench.errors import Cancelled, GeometryError, SettingsError, WorkbenchError
from workbench.inference.dense_network import DenseNetwork
from workbench.inference.probabilities import label_offset
from workbench.inference.whole_volume import dense_probabilities, sliding_probabilities, whole_probabilities
from workbench.models.cnn import CNN, ConvBlock
from workbench.models.fcn import dilate, shift_and_stitch, to_fcn

from .segmentation_networks import by_voxel, kleesiek, zhang

ROOT = Path(__file__).resolve().parents[2]
SHORT = (4, 3, 3)  # Kleesiek's layout with 13³ voxels of field


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def some_voxels(shape: tuple[int, ...], n: int = 6) -> np.ndarray:
    """Both extreme corners and some others."""
    drawn = np.random.default_rng(3).integers(0, shape, (n, 3))
    return np.concatenate([[[0, 0, 0]], [[s - 1 for s in shape]], drawn])


def test_the_published_networks_have_their_published_sizes():
    assert sum(p.numel() for p in kleesiek().parameters()) == 1_005_870
    assert DenseNetwork(kleesiek()).field == (53, 53, 53)
    assert sum(p.numel() for p in zhang().parameters()) == 5_332_995
    assert DenseNetwork(zhang(0.1), (13, 13)).field == (13, 13)


CASES = {
    "Kleesiek's layout": (lambda: kleesiek(0.2, 2, SHORT), None, None, (13, 13, 13), (2, 9, 7, 12)),
    "Zhang 13, axial": (lambda: zhang(0.1), (13, 13), "axial", (13, 13, 1), (3, 15, 9, 4)),
    "Zhang 13, coronal": (lambda: zhang(0.1), (13, 13), "coronal", (13, 1, 13), (3, 15, 4, 9)),
    "Zhang 13, sagittal": (lambda: zhang(0.1), (13, 13), "sagittal", (1, 13, 13), (3, 4, 15, 9)),
    "Zhang 22, an even patch": (lambda: zhang(0.1, pooled=True), (22, 22), "axial", (22, 22, 1), (3, 15, 9, 2)),
    "two strides, rows left over": (
        lambda: CNN((1, 12, 11, 10), [ConvBlock(3, 2, pool=2), ConvBlock(4, 2, pool=(2, 2, 1))], [5], 4, seed=1),
        None, None, (12, 11, 10), (1, 7, 8, 5),
    ),
    "strided convolution, averages": (
        lambda: CNN((2, 9, 9), [ConvBlock(3, 3, stride=2, pool=2)], [], 3, pooling="average", batch_norm=True),
        None, "axial", (9, 9, 1), (2, 8, 11, 3),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_dense_equals_every_voxels_own_patch(name):
    make, patch, plane, cube, shape = CASES[name]
    network, image = make(), noise(*shape)
    got = dense_probabilities(network, image, patch=patch, plane=plane, fill=0.7)
    voxels = some_voxels(shape[1:])
    expected = by_voxel(network, image, cube, 0.7, voxels)
    assert got.shape[1:] == shape[1:] and got.dtype == np.float32
    assert np.abs(got[:, *voxels.T].T - expected).max() < 1e-5
    assert np.ptp(expected, axis=0).max() > 1e-2  # the network says different things of different voxels


def test_kleesieks_field_at_full_depth():
    network, image = kleesiek(0.25), noise(1, 6, 3, 4)
    got = dense_probabilities(network, image)
    voxels = some_voxels((6, 3, 4), 0)
    cut = np.pad(image, [(0, 0), (26, 26), (26, 26), (26, 26)])
    for x, y, z in voxels:
        with torch.no_grad():
            alone = network.eval()(torch.from_numpy(cut[None, :, x : x + 53, y : y + 53, z : z + 53].copy()))
        assert np.abs(got[:, x, y, z] - alone.softmax(1).numpy().ravel()).max() < 1e-5


@pytest.mark.parametrize("name", ["Kleesiek's layout", "Zhang 13, coronal", "two strides, rows left over"])
def test_tile_size_does_not_change_the_result(name):
    make, patch, plane, _, shape = CASES[name]
    network, image = make(), noise(*shape)
    whole = dense_probabilities(network, image, patch=patch, plane=plane)
    told: list[str] = []
    for memory in (3e6, 3e5, 1.0):
        parts = dense_probabilities(
            network, image, patch=patch, plane=plane, memory_bytes=memory, progress=lambda _, text: told.append(text)
        )
        assert np.abs(parts - whole).max() < 1e-6
    assert any(text.startswith("tile 2 of") for text in told)  # it was cut indeed


def test_dense_equals_the_dilated_and_the_stitched_network():
    network = kleesiek(0.2, 1, SHORT).eval()
    x = torch.randn(2, 1, 19, 18, 16)
    with torch.no_grad():
        got = DenseNetwork(network)(x)
        assert torch.allclose(got, dilate(network)(x), atol=1e-5)
        assert torch.allclose(got, shift_and_stitch(network, x), atol=1e-5)
        pooled = CNN((2, 14, 14), [ConvBlock(3, 3, pool=2), ConvBlock(4, 2, pool=2)], [6], 3).eval()
        y = torch.randn(1, 2, 17, 20)
        assert torch.allclose(DenseNetwork(pooled)(y), dilate(to_fcn(pooled))(y), atol=1e-5)


def test_scoring_leaves_input_and_network_as_they_were():
    network, x = nn.Sequential(nn.ReLU(), nn.Conv2d(1, 2, 3), nn.ReLU()), torch.randn(1, 1, 5, 5)
    before, image = x.clone(), noise(1, 5, 5, 1)
    DenseNetwork(network)(x)
    dense_probabilities(network, image, plane="axial")
    assert torch.equal(x, before) and np.array_equal(image, noise(1, 5, 5, 1))
    assert network.training and not network[2].inplace


def test_fill_may_differ_by_channel():
    network, image = kleesiek(0.2, 2, SHORT), noise(2, 4, 4, 4)
    image[1] += 5
    got = dense_probabilities(network, image, fill=(0.0, 5.0))
    moved = image.copy()
    moved[1] -= 5
    padded = np.pad(moved, [(0, 0), (6, 6), (6, 6), (6, 6)])
    padded[1] += 5
    with torch.no_grad():
        expected = shift_and_stitch(network.eval(), torch.from_numpy(padded)[None])[0].softmax(0)
    assert np.allclose(got, expected, atol=1e-5)
    with pytest.raises(ValueError, match="one for each of 2 channels"):
        dense_probabilities(network, image, fill=(1.0, 2.0, 3.0))


def test_a_mask_keeps_the_values_inside_and_puts_background_outside():
    network, image = kleesiek(0.2, 1, SHORT), noise(1, 14, 9, 8)
    mask = np.zeros((14, 9, 8), np.uint8)
    mask[1:3, 2:4, 1:5], mask[12, 8, 7] = 1, 1
    whole = dense_probabilities(network, image)
    for memory in (1e9, 1e6):
        some = dense_probabilities(network, image, mask=mask, memory_bytes=memory)
        assert np.allclose(some[:, mask > 0], whole[:, mask > 0], atol=1e-6)
        assert (some[0, mask == 0] == 1).all() and (some[1, mask == 0] == 0).all()
    nothing = dense_probabilities(network, image, mask=np.zeros_like(mask))
    assert (nothing[0] == 1).all() and (nothing[1] == 0).all()
    maps = dense_probabilities(network, image, mask=mask, activation="sigmoid")
    assert (maps[:, mask == 0] == 0).all() and (maps[:, mask > 0] > 0).all()


def test_scores_without_activation_are_the_networks_own():
    network, image = kleesiek(0.2, 1, SHORT), noise(1, 5, 5, 5)
    scores = dense_probabilities(network, image, activation="none")
    assert scores.min() < 0
    assert np.allclose(torch.from_numpy(scores).softmax(0), dense_probabilities(network, image), atol=1e-6)
    with pytest.raises(LookupError, match="known are softmax"):
        dense_probabilities(network, image, activation="relu")


def test_progress_rises_to_one_and_can_cancel():
    network, image = kleesiek(0.2, 1, SHORT), noise(1, 9, 9, 9)
    told: list[float] = []
    dense_probabilities(network, image, memory_bytes=1e6, progress=lambda fraction, _: told.append(fraction))
    assert told == sorted(told) and told[-1] == 1 and len(told) > 50

    def stop(fraction: float, text: str) -> None:
        if fraction > 0.3:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        dense_probabilities(network, image, progress=stop)


def test_networks_that_pad_are_refused_by_name():
    padded = nn.Sequential(nn.Conv3d(1, 2, 3, padding=1), nn.ReLU(), nn.Conv3d(2, 2, 3))
    with pytest.raises(SettingsError, match=r"0 pads the patch by 1 with zeros.*patch by patch"):
        dense_probabilities(padded, noise(1, 6, 6, 6))
    with pytest.raises(ValueError, match="give `patch`"):
        dense_probabilities(zhang(0.1), noise(3, 6, 6, 1), plane="axial")
    with pytest.raises(ValueError, match="2 spatial axes"):
        dense_probabilities(zhang(0.1), noise(3, 6, 6, 1), patch=(13, 13))


def test_images_that_do_not_fit_get_a_sentence():
    network = kleesiek(0.2, 2, SHORT)
    with pytest.raises(SettingsError, match=r"made for 2 image channel\(s\) but got 3"):
        dense_probabilities(network, noise(3, 6, 6, 6))
    with pytest.raises(GeometryError, match="resample the mask"):
        dense_probabilities(network, noise(2, 6, 6, 6), mask=np.ones((6, 6, 5)))
    broken = noise(2, 6, 6, 6)
    broken[0, 1, 1, 1] = np.nan
    with pytest.raises(WorkbenchError, match="1 values that are not finite"):
        dense_probabilities(network, broken)


def same_size(n_axes: int, n_channels: int = 1, k: int = 3) -> nn.Sequential:
    torch.manual_seed(1)
    conv = nn.Conv3d if n_axes == 3 else nn.Conv2d
    return nn.Sequential(conv(n_channels, 4, 3, padding=1), nn.ReLU(), conv(4, k, 3, padding=1))


def test_sliding_windows_are_monais():
    network, image = same_size(3), noise(1, 20, 9, 13)
    got = sliding_probabilities(network, image, window=(8, 9, 8), overlap=0.5)
    with torch.no_grad():
        expected = sliding_window_inference(
            torch.from_numpy(image)[None], (8, 9, 8), 4, lambda x: network.eval()(x).softmax(1), 0.5, "gaussian"
        )
    assert np.allclose(got, expected[0], atol=1e-6) and np.allclose(got.sum(0), 1, atol=1e-5)


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_planes_are_run_one_by_one(plane):
    network, image = same_size(2, 2), noise(2, 10, 7, 9)
    axis = {"axial": 3, "coronal": 2, "sagittal": 1}[plane]
    with torch.no_grad():
        planes = [
            network(torch.from_numpy(image.take([i], axis).squeeze(axis))[None])[0] for i in range(image.shape[axis])
        ]
    expected = torch.stack(planes, axis).softmax(0)
    whole = whole_probabilities(network, image, plane=plane, activation="softmax", batch_size=3)
    assert np.allclose(whole, expected, atol=1e-6)
    size = [n for i, n in enumerate(image.shape[1:], start=1) if i != axis]
    windows = sliding_probabilities(network, image, window=size, plane=plane)
    assert np.abs(windows - whole).max() < 1e-6


def test_images_smaller_than_the_window_are_padded():
    network, image = same_size(3)[:1], noise(1, 5, 9, 4)  # one convolution, which pads with zeros too
    windows = sliding_probabilities(network, image, window=(8, 8, 8), overlap=0.25)
    whole = whole_probabilities(network, image, activation="softmax")
    assert windows.shape == (4, 5, 9, 4) and np.abs(windows - whole)[:, :, 2:7].max() < 1e-6


def test_windows_tell_progress_and_may_be_cancelled():
    told: list[float] = []
    sliding_probabilities(
        same_size(3), noise(1, 20, 8, 8), window=(8, 8, 8), batch_size=1, progress=lambda f, _: told.append(f)
    )
    assert told == sorted(told) and told[-1] == 1 and len(told) >= 4

    def stop(fraction: float, text: str) -> None:
        raise Cancelled("stopped")

    for run in (whole_probabilities, lambda *a, **k: sliding_probabilities(*a, window=(8, 8, 8), **k)):
        with pytest.raises(Cancelled):
            run(same_size(3), noise(1, 9, 8, 8), progress=stop)


def test_a_pass_over_the_whole_image_tells_of_each_layer_and_leaves_no_hooks():
    network, told = same_size(3), []
    whole_probabilities(network, noise(1, 6, 6, 6), progress=lambda fraction, _: told.append(fraction))
    assert told == pytest.approx([1 / 3, 2 / 3, 1, 1])

    def stop(fraction: float, text: str) -> None:
        if fraction > 0.5:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        whole_probabilities(network, noise(1, 6, 6, 6), progress=stop)
    assert not any(layer._forward_hooks for layer in network.modules())


def test_whole_images_are_padded_to_a_multiple_and_cut_back():
    network = nn.Sequential(nn.Conv3d(1, 3, 2, stride=2), nn.ReLU(), nn.ConvTranspose3d(3, 1, 2, stride=2))
    image = noise(1, 7, 6, 5)
    got = whole_probabilities(network, image, multiple_of=2, fill=0.5)
    padded = np.pad(image, [(0, 0), (0, 1), (0, 0), (0, 1)], constant_values=0.5)
    with torch.no_grad():
        expected = network(torch.from_numpy(padded)[None])[0].sigmoid()[:, :7, :6, :5]
    assert np.allclose(got, expected, atol=1e-6)
    with pytest.raises(ValueError, match="map of the input's"):
        whole_probabilities(network, image)
    assert network.training  # put back into its own mode


def test_dropout_is_off_while_predicting():
    network = nn.Sequential(nn.Conv3d(1, 8, 1), nn.Dropout(0.5), nn.Conv3d(8, 2, 1)).train()
    image = noise(1, 6, 6, 6)
    for run in (dense_probabilities, whole_probabilities, lambda n, i: sliding_probabilities(n, i, window=(4, 4, 4))):
        assert np.array_equal(run(network, image), run(network, image))
    assert network.training


def test_the_label_belongs_to_the_middle_of_the_patch():
    assert label_offset((53, 13, 22, 1)) == (26, 6, 10, 0)


MEMORY = """
import json, sys, torch, numpy as np
from pathlib import Path
from tests.inference.segmentation_networks import kleesiek
from workbench.inference.whole_volume import dense_probabilities
torch.set_num_threads(1)
network, image = kleesiek(), np.zeros((1, 64, 40, 40), np.float32)
dense_probabilities(network, image[:, :1, :1, :1])
rows = lambda: dict(row.split(":") for row in Path("/proc/self/status").read_text().splitlines())
before = int(rows()["VmHWM"].split()[0])
told = []
dense_probabilities(network, image, memory_bytes=float(sys.argv[1]), progress=lambda _, text: told.append(text))
print(json.dumps([(int(rows()["VmHWM"].split()[0]) - before) * 1024, told[-1]]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_working_memory_stays_near_what_was_allowed():
    grown = {}
    for n_bytes in (8e7, 1.6e8):
        done = subprocess.run(
            [sys.executable, "-c", MEMORY, str(n_bytes)], capture_output=True, text=True, cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"}, check=True,
        )  # fmt: skip
        grown[n_bytes], told = json.loads(done.stdout)
        # a convolution library holds up to 40 MB of its own, by the machine's instructions, whatever the tile's size
        assert grown[n_bytes] < n_bytes + 4e7 and not told.endswith("of 1"), (grown, told)
    assert grown[1.6e8] > 0.3 * 1.6e8  # allowed memory is used, and seen
