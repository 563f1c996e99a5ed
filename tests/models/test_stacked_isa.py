"""The stacked form: which part of a patch each layer sees, and what is learnt of it."""

from __future__ import annotations

import pytest
import torch

from workbench.errors import Cancelled
from workbench.models.layers import normalize_patches
from workbench.models.stacked_isa import StackedISA, learn_stack, whitened_rows


def patches(n: int = 400, size: int = 7, seed: int = 0, n_axes: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(n, 1, *[size + 2] * n_axes, generator=generator)
    pool = torch.nn.functional.avg_pool3d if n_axes == 3 else torch.nn.functional.avg_pool2d
    return pool(x, 3, 1)


def small(seed: int = 0) -> StackedISA:
    return StackedISA((1, 7, 7, 7), 5, 2, (20, 12), seed=seed)


def test_sub_patches_fill_the_patch_and_the_middle_has_the_center() -> None:
    stack = StackedISA((1, 21, 21, 21), 13, 8)
    assert stack.offsets == [(a, b, c) for a in (0, 8) for b in (0, 8) for c in (0, 8)] and stack.middle == (4, 4, 4)
    assert stack.layer(0).whitening.shape == (200, 2197) and stack.layer(1).whitening.shape == (100, 800)
    assert stack.code_size == 150
    x = torch.arange(21**3, dtype=torch.float32).reshape(1, 1, 21, 21, 21)
    middle = StackedISA((1, 21, 21, 21), 13, 8, (4, 4)).sub_patch(x, stack.middle)
    assert float(middle.reshape(13, 13, 13)[6, 6, 6]) == float(x[0, 0, 10, 10, 10])


@pytest.mark.parametrize(("shape", "kernel", "stride"), [((1, 7, 7, 7), 5, 2), ((1, 9, 9), 5, 4), ((1, 9, 9, 9), 3, 3)])
def test_code_is_the_equation_written_out(shape: tuple[int, ...], kernel: int, stride: int) -> None:
    stack = StackedISA(shape, kernel, stride, (6, 4), normalization="center")
    n_axes = len(shape) - 1
    x = patches(60, shape[-1], n_axes=n_axes)
    learn_stack(stack, x, n_steps=3)

    def response(index: int, rows: torch.Tensor) -> torch.Tensor:
        layer = stack.layer(index)
        y = layer.weight @ (layer.whitening @ (rows - layer.mean).T)
        return torch.stack([(y[k] ** 2 + y[k + 1] ** 2 + 1e-4).sqrt() for k in range(0, len(y), 2)], 1)

    def cut(begin: tuple[int, ...]) -> torch.Tensor:
        part = x[(slice(None), slice(None), *[slice(b, b + kernel) for b in begin])]
        return normalize_patches(part, "center").flatten(1)

    grid = torch.cartesian_prod(*[torch.arange(0, shape[-1] - kernel + 1, stride)] * n_axes)
    below = torch.cat([response(0, cut(tuple(b.tolist()))) for b in grid], 1)
    both = torch.cat([response(0, cut(((shape[-1] - kernel) // 2,) * n_axes)), response(1, below)], 1)
    torch.testing.assert_close(stack.encode(x), both, atol=1e-4, rtol=1e-4)


def test_first_layer_learns_from_sub_patches_of_the_patches() -> None:
    stack, x = small(), patches(50)
    rows = stack.layer_input(x, 0, torch.Generator().manual_seed(3))
    everywhere = torch.stack(
        [stack.sub_patch(x, (a, b, c)) for a in range(3) for b in range(3) for c in range(3)]
    )  # (27, 50, 125)
    distance = (everywhere - rows).abs().amax(2)
    assert (distance.min(0).values < 1e-6).all()
    assert len(distance.argmin(0).unique()) > 10, "places are drawn"


def test_learning_lowers_the_mean_response_of_both_layers() -> None:
    stack, x = small(), patches()
    told: list[float] = []
    curves = learn_stack(stack, x, n_steps=30, progress=lambda fraction, message: told.append(fraction))
    assert len(curves) == 2 and all(c == sorted(c, reverse=True) and c[-1] < c[0] for c in curves)
    assert told == sorted(told) and told[-1] == 1.0
    for depth in (1, 2):
        assert float(stack.responses(x, depth).mean()) == pytest.approx(curves[depth - 1][-1], rel=0.1)


def test_same_seed_same_stack_and_progress_can_stop_it() -> None:
    a, b = small(2), small(2)
    for stack in (a, b):
        learn_stack(stack, patches(), n_steps=4, seed=5)
    assert all(bool((p == q).all()) for p, q in zip(a.buffers(), b.buffers(), strict=True))

    def stop(fraction: float, message: str) -> None:
        raise Cancelled("stop")

    with pytest.raises(Cancelled):
        learn_stack(small(), patches(), n_steps=4, progress=stop)


def test_whitening_is_of_what_the_layer_sees() -> None:
    stack, x = small(), patches(3000)
    z = whitened_rows(stack, 0, lambda: iter(x.split(700)), 0)
    torch.testing.assert_close(z.T @ z / len(z), torch.eye(20), atol=2e-3, rtol=0)
    with torch.no_grad():
        z = whitened_rows(stack, 1, lambda: iter(x.split(700)), 0)
    torch.testing.assert_close(z.T @ z / len(z), torch.eye(12), atol=2e-3, rtol=0)


@pytest.mark.parametrize(
    ("shape", "kernel", "stride", "words"),
    [
        ((1, 8, 8, 8), 5, 1, "odd edges"),
        ((1, 7, 7, 7), 4, 1, "odd edges"),
        ((1, 11, 11, 11), 7, 3, "multiple of the stride"),
        ((2, 7, 7, 7), 5, 2, "patches are"),
    ],
)
def test_sizes_that_do_not_fit_are_named(shape: tuple[int, ...], kernel: int, stride: int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        StackedISA(shape, kernel, stride, (4, 4))
