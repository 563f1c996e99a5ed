"""Dense encoding equals patchwise encoding, in every way through it, in bounded memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from workbench.errors import Cancelled, WorkbenchError
from workbench.inference import dense
from workbench.inference.blocks import Block, FourierBlock, plan, rows_by_gathering
from workbench.inference.dense import choose_tiles, encode_voxels
from workbench.models.conv_autoencoder import ConvolutionalAutoEncoder, ConvStageSettings
from workbench.models.layers import ConvStage
from workbench.models.stacked_autoencoder import StackedAutoEncoder
from workbench.patches.gather import gather

ROOT = Path(__file__).resolve().parents[2]
POOLED = [ConvStageSettings(3, 5, 2), ConvStageSettings(2, 6, 3), ConvStageSettings(1, 4, 1)]  # 10 → 8 → 4 → 3 → 1
DEEP = [ConvStageSettings(2, 4, 2), ConvStageSettings(2, 5, 1), ConvStageSettings(2, 6, 2), ConvStageSettings(2, 3, 1)]

STACKS = {
    "whole patch": StackedAutoEncoder((1, 5, 5, 5), [12, 7], hidden="tanh"),
    "uneven patch": StackedAutoEncoder((2, 5, 4, 3), [12], hidden="linear", normalization="center"),
    "standardized": StackedAutoEncoder((2, 5, 5, 5), [12, 7], hidden="relu", normalization="standardize"),
    "picture": StackedAutoEncoder((3, 5, 5), [12], normalization="standardize"),
    "pooled": ConvolutionalAutoEncoder((1, 10, 10, 10), POOLED, hidden="tanh"),
    "pooled, deeper": ConvolutionalAutoEncoder((2, 13, 13, 13), DEEP, hidden="tanh"),
    "pooled last": ConvolutionalAutoEncoder((1, 9, 9, 9), [ConvStageSettings(6, 4, 2), ConvStageSettings(1, 5, 2)]),
    "pooled picture": ConvolutionalAutoEncoder((3, 10, 10), POOLED, hidden="relu"),
    "Wu 2016": ConvolutionalAutoEncoder((1, 21, 21, 21), hidden="tanh"),
}


def image_for(stack, seed=0):
    """An image with borders on all sides of its patches, and with offsets that make variances awkward."""
    shape = (20, 18, 3) if len(stack.patch_shape) == 3 else (14, 12, 13)
    noise = np.random.default_rng(seed).normal(size=(stack.patch_shape[0], *shape))
    return (noise + 3 * np.linspace(0, 1, shape[0])[:, None, None] + 2).astype(np.float32)


def patchwise(stack, image, voxels, depth=None):
    size = (*stack.patch_shape[1:], 1)[:3]
    patches = torch.from_numpy(gather(image, voxels, size)).reshape(len(voxels), *stack.patch_shape)
    with torch.no_grad():
        return stack.encode(patches, depth).numpy()


@pytest.fixture(params=["gathering", "Fourier", "cheaper"])
def way(request, monkeypatch):
    """Make one way through the first layer free, or neither."""
    if request.param == "gathering":
        monkeypatch.setattr(Block, "fourier_cost", lambda self, shape: 1e30)
    elif request.param == "Fourier":
        monkeypatch.setattr(Block, "fourier_cost", lambda self, shape: 0.0)
    return request.param


@pytest.mark.parametrize("name", STACKS)
@pytest.mark.parametrize("memory_mb", [0.01, 100])
def test_equals_patchwise_encoding(name, way, memory_mb):
    stack = STACKS[name]
    image = image_for(stack)
    mask = np.random.default_rng(1).random(image.shape[1:]) < (0.03 if name == "Wu 2016" else 0.3)
    mask[:2], mask[-1, -1, -1] = False, True
    voxels = np.argwhere(mask)
    found = encode_voxels(stack.as_convolutions(), image, stack.patch_shape[1:], mask, memory_mb=memory_mb)
    np.testing.assert_allclose(found, patchwise(stack, image, voxels), atol=1e-5)


def test_all_voxels_and_any_order_and_repeats():
    stack = STACKS["pooled"]
    image = image_for(stack)
    voxels = np.argwhere(np.ones(image.shape[1:], bool))
    whole = encode_voxels(stack.as_convolutions(), image, (10, 10, 10), voxels)
    some = np.random.default_rng(0).integers(0, len(voxels), 50)
    few = encode_voxels(stack.as_convolutions(), image, (10, 10, 10), voxels[some])
    np.testing.assert_allclose(few, whole[some], atol=1e-5)


@pytest.mark.parametrize("depth", [1, 2])
def test_a_last_map_of_several_voxels_is_laid_out_as_the_stack_does(depth):
    stack = STACKS["pooled, deeper"]
    image, voxels = image_for(stack), np.array([[0, 0, 0], [13, 11, 12], [6, 7, 5]])
    found = encode_voxels(stack.as_convolutions(depth), image, (13, 13, 13), voxels)
    np.testing.assert_allclose(found, patchwise(stack, image, voxels, depth), atol=1e-5)


def test_where_windows_are_left_over_the_first_rows_count():
    """Torch's pooling drops the rows that fill no window; so must the dilated form: 8 → 6 → 3 (of 6) and 7 → 5 → 2."""
    generator = torch.Generator().manual_seed(0)
    stages = [
        ConvStage(torch.randn(3, 1, 3, 3, 3, generator=generator), torch.randn(3, generator=generator), "tanh", 2),
        ConvStage(torch.randn(4, 3, 2, 2, 2, generator=generator), torch.randn(4, generator=generator), "linear"),
    ]
    image = np.random.default_rng(0).normal(size=(1, 9, 8, 7)).astype(np.float32)
    voxels = np.argwhere(np.ones((9, 8, 7), bool))
    patches = torch.from_numpy(gather(image, voxels, (7, 7, 7)))
    hidden = torch.nn.functional.conv3d(patches, stages[0].weight, stages[0].bias).tanh()
    hidden = torch.nn.functional.max_pool3d(hidden, 2)
    expected = torch.nn.functional.conv3d(hidden, stages[1].weight, stages[1].bias).flatten(1)
    np.testing.assert_allclose(encode_voxels(stages, image, (7, 7, 7), voxels), expected, atol=1e-5)


def test_standardizing_by_fourier_keeps_its_digits_far_from_zero(way):
    stack = STACKS["standardized"]
    image = image_for(stack) * 10 + 1000
    voxels = np.argwhere(np.ones(image.shape[1:], bool))
    with torch.no_grad():
        exact = stack.double().encode(torch.from_numpy(gather(image, voxels, (5, 5, 5))).double()).numpy()
    stack.float()
    found = encode_voxels(stack.as_convolutions(), image, (5, 5, 5), voxels)
    np.testing.assert_allclose(found, exact, atol=2e-4)  # float32 patches themselves are this far from exact


def test_both_ways_give_the_same_rows():
    stack = STACKS["standardized"]
    (block,) = plan(stack.as_convolutions(), (5, 5, 5))
    window = torch.randn(9, 8, 10, 2, generator=torch.Generator().manual_seed(0))
    places = np.array([[0, 0, 0], [4, 3, 5], [2, 2, 2]])
    _, a = next(rows_by_gathering(block, window, places))
    _, b = next(FourierBlock(block, (5, 4, 6)).rows(window, places))
    torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


def test_tiles_hold_every_voxel_once():
    stack = STACKS["pooled"]
    voxels = np.argwhere(np.random.default_rng(0).random((40, 30, 20)) < 0.1) + 5
    tiles = choose_tiles(plan(stack.as_convolutions(), (10, 10, 10)), voxels, 2e5)
    assert np.prod(tiles.grid) > 1
    seen = []
    for rows, low in tiles:
        assert ((voxels[rows] >= low) & (voxels[rows] < low + tiles.shape)).all()
        seen += rows.tolist()
    assert sorted(seen) == list(range(len(voxels)))


def test_more_memory_allows_larger_tiles():
    blocks = plan(STACKS["Wu 2016"].as_convolutions(), (21, 21, 21))
    voxels = np.argwhere(np.ones((64, 64, 64), bool))
    small, large = (np.prod(choose_tiles(blocks, voxels, megabytes * 2**20).shape) for megabytes in (32, 512))
    assert small < large


def test_writes_float16_to_a_memory_map_and_gives_pages_back(tmp_path, monkeypatch):
    monkeypatch.setattr(dense, "PAGES_BYTES", 4096)
    stack = STACKS["pooled"]
    image, mask = image_for(stack), np.ones((14, 12, 13), bool)
    out = np.lib.format.open_memmap(tmp_path / "f.npy", mode="w+", dtype=np.float16, shape=(int(mask.sum()), 4))
    assert encode_voxels(stack.as_convolutions(), image, (10, 10, 10), mask, out=out, memory_mb=0.01) is out
    whole = encode_voxels(stack.as_convolutions(), image, (10, 10, 10), mask)
    out.flush()
    np.testing.assert_allclose(np.load(tmp_path / "f.npy"), whole, atol=1e-3)


def test_progress_rises_to_one_and_can_cancel():
    stack = STACKS["pooled"]
    image, told = image_for(stack), []
    encode_voxels(
        stack.as_convolutions(), image, (10, 10, 10), np.ones((14, 12, 13), bool),
        memory_mb=0.01, progress=lambda fraction, message: told.append((fraction, message)),
    )  # fmt: skip
    fractions = [fraction for fraction, _ in told]
    assert len(told) > 1 and fractions == sorted(fractions) and fractions[-1] == 1
    assert told[-1][1] == "encoded 2,184 of 2,184 voxels"

    def stop(fraction, message):
        raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        encode_voxels(stack.as_convolutions(), image, (10, 10, 10), np.ones((14, 12, 13), bool), progress=stop)


def test_no_voxels_give_no_rows():
    stack = STACKS["pooled"]
    assert encode_voxels(stack.as_convolutions(), image_for(stack), (10, 10, 10), np.zeros((0, 3), int)).shape == (0, 4)


def test_what_float16_cannot_hold_is_a_sentence():
    stack = STACKS["uneven patch"]
    out = np.empty((1, 12), np.float16)
    with pytest.raises(WorkbenchError, match="too large for float16; scale the images"):
        encode_voxels(stack.as_convolutions(), image_for(stack) * 1e6, (5, 4, 3), np.array([[5, 5, 5]]), out=out)


def test_mistakes_are_named():
    stages, image = STACKS["pooled"].as_convolutions(), image_for(STACKS["pooled"])
    with pytest.raises(ValueError, match=r"expected an image \(1, X, Y, Z\)"):
        encode_voxels(stages, image[0], (10, 10, 10), np.array([[0, 0, 0]]))
    with pytest.raises(ValueError, match="must lie inside the image"):
        encode_voxels(stages, image, (10, 10, 10), np.array([[14, 0, 0]]))
    with pytest.raises(ValueError, match="the mask is"):
        encode_voxels(stages, image, (10, 10, 10), np.ones((3, 3, 3), bool))
    with pytest.raises(ValueError, match="integer indices"):
        encode_voxels(stages, image, (10, 10, 10), np.array([[0.5, 0, 0]]))
    with pytest.raises(ValueError, match="does not fit on patches"):
        encode_voxels(stages, image, (5, 5, 5), np.array([[0, 0, 0]]))
    with pytest.raises(ValueError, match="expected an output array"):
        encode_voxels(stages, image, (10, 10, 10), np.array([[0, 0, 0]]), out=np.zeros((1, 3)))
    with pytest.raises(ValueError, match="2 or 3 spatial axes"):
        encode_voxels(StackedAutoEncoder((7,), [3]).as_convolutions(), image, (10, 10, 10), np.array([[0, 0, 0]]))
    with pytest.raises(ValueError, match="normalizes patches"):
        encode_voxels(STACKS["picture"].as_convolutions(), image_for(STACKS["picture"]), (7, 7), np.array([[0, 0, 0]]))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_whole_brain_at_one_millimeter_stays_under_four_gibibytes():
    """400 units on 11³ patches of some 1.9 million voxels: 1.5 GB of float16 features."""
    code = [sys.executable, "benchmarks/dense.py", "memory", "--json"]
    environment = os.environ | {"OMP_NUM_THREADS": "2", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(code, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    measured = json.loads(done.stdout)
    assert measured["voxels"] > 1_800_000
    assert measured["peak_gib"] < 4
