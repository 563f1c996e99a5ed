"""Encoding all voxels of a mask plane by plane equals encoding patch by patch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from workbench.inference import subspaces
from workbench.inference.subspaces import encode_subspaces
from workbench.models.stacked_isa import StackedISA, learn_stack
from workbench.patches.gather import gather

FORMS = {
    "cube": ((1, 7, 7, 7), 5, 2, "center"),
    "three a side": ((1, 9, 9, 9), 3, 3, "none"),
    "standardized": ((1, 7, 7, 7), 3, 4, "standardize"),
    "picture": ((1, 9, 9), 5, 4, "center"),
    "one place": ((1, 5, 5, 5), 5, 1, "center"),
}


def image(shape: tuple[int, ...] = (13, 11, 12)) -> np.ndarray:
    noise = np.random.default_rng(0).random((1, *shape)).astype(np.float32)
    return noise + np.linspace(0, 1, shape[0], dtype=np.float32)[:, None, None]


def trained(name: str) -> StackedISA:
    shape, kernel, stride, normalization = FORMS[name]
    stack = StackedISA(shape, kernel, stride, (12, 6), normalization=normalization)
    rng = np.random.default_rng(1)
    centers = rng.integers(0, (13, 11, 12), (300, 3))
    learn_stack(stack, gather(image(), centers, (*shape[1:], 1)[:3]).reshape(300, *shape), n_steps=5)
    return stack


def patchwise(stack: StackedISA, voxels: np.ndarray) -> np.ndarray:
    size = (*stack.patch_shape[1:], 1)[:3]
    return stack.encode(
        torch.from_numpy(gather(image(), voxels, size)).reshape(len(voxels), *stack.patch_shape)
    ).numpy()


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("row_bytes", [1, 2**24])
def test_equals_patchwise_encoding(name: str, row_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subspaces, "ROW_BYTES", row_bytes)
    stack = trained(name)
    mask = np.random.default_rng(2).random((13, 11, 12)) < 0.3
    mask[4], mask[-1, -1, -1], mask[0, 0, 0] = False, True, True  # an empty plane, and corners
    np.testing.assert_allclose(
        encode_subspaces(stack, image(), mask), patchwise(stack, np.argwhere(mask)), atol=1e-5 * 5, rtol=1e-5
    )


def test_any_order_repeats_and_one_voxel() -> None:
    stack = trained("cube")
    voxels = np.random.default_rng(0).integers(0, (13, 11, 12), (40, 3))
    voxels = np.concatenate([voxels, voxels[:3]])
    np.testing.assert_allclose(encode_subspaces(stack, image(), voxels), patchwise(stack, voxels), atol=5e-5)
    np.testing.assert_allclose(encode_subspaces(stack, image(), voxels[:1]), patchwise(stack, voxels[:1]), atol=5e-5)
    assert encode_subspaces(stack, image(), np.zeros((13, 11, 12), bool)).shape == (0, 9)


def test_writes_into_float16_and_tells_how_far_it_is() -> None:
    stack, told = trained("cube"), []
    out = np.empty((13 * 11 * 12, 9), np.float16)
    mask = np.ones((13, 11, 12), bool)
    assert encode_subspaces(stack, image(), mask, out=out, progress=lambda f, m: told.append(f)) is out
    np.testing.assert_allclose(out, encode_subspaces(stack, image(), mask), atol=0.02, rtol=0.01)
    assert told == sorted(told) and told[-1] == 1.0


def test_what_does_not_fit_is_named() -> None:
    stack = trained("cube")
    with pytest.raises(ValueError, match="expected an image"):
        encode_subspaces(stack, image()[0], np.zeros((0, 3), int))
    with pytest.raises(ValueError, match="output array"):
        encode_subspaces(stack, image(), np.zeros((2, 3), int), out=np.empty((2, 3)))
