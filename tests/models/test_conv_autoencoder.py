"""The convolutional stack: map sizes, sub-patches, decoding by overlap, and dense equality with dilation."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from workbench.models.conv_autoencoder import (
    SUBPATCHES,
    WU_2016_STAGES,
    ConvolutionalAutoEncoder,
    ConvStageSettings,
)
from workbench.models.layers import ConvStage, activation, run_stages
from workbench.models.stack import activation_maximization

SMALL = (ConvStageSettings(4, 5, 2), ConvStageSettings(2, 4, 2), ConvStageSettings(1, 3, 1))  # 9 → 6/2=3 → 2/2=1 → 1


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def slide(stages: list[ConvStage], image: torch.Tensor) -> torch.Tensor:
    """Encode every patch of (C, X, Y, Z) at once: convolve and pool with stride 1, dilating by the poolings below."""
    x, dilation = image[None], 1
    for stage in stages:
        x = activation(stage.activation)(F.conv3d(x, stage.weight, stage.bias, dilation=dilation))
        x = F.max_pool3d(x, stage.pool, stride=1, dilation=dilation)
        dilation *= stage.pool
    return x[0]


@pytest.mark.parametrize("n_axes", [2, 3])
def test_shapes(n_axes: int) -> None:
    stack = ConvolutionalAutoEncoder((2, *[9] * n_axes), SMALL)
    x = torch.rand(3, 2, *[9] * n_axes, generator=generator())
    assert stack.map_sizes == [9, 3, 1, 1] and stack.code_size == 3
    assert stack.encode(x).shape == (3, 3) and stack(x).shape == x.shape
    assert stack.encode(x, 1).shape == (3, 5 * 3**n_axes)
    for depth in range(4):
        assert stack.decode(stack.encode(x, depth), depth).shape == x.shape
    assert stack.receptive_field(1) == (5,) * n_axes and stack.receptive_field() == (9,) * n_axes
    assert stack.back_projection(1).shape == (5, 2, *[4] * n_axes)
    assert stack.back_projection(2).shape == (4, 2, *[7] * n_axes)
    assert stack.back_projection(3).shape == (3, 2, *[9] * n_axes)


def test_default_stages_turn_21_voxels_into_a_code_of_128() -> None:
    stack = ConvolutionalAutoEncoder((1, 21, 21, 21))
    assert stack.map_sizes == [21, 7, 3, 1, 1] and stack.stages == WU_2016_STAGES
    assert stack.receptive_field() == (21, 21, 21)
    assert stack.encode(torch.zeros(1, 1, 21, 21, 21)).shape == (1, 128)


def test_sliding_over_an_image_equals_encoding_its_patches() -> None:
    stack = ConvolutionalAutoEncoder((1, 9, 9, 9), SMALL, seed=3)
    image = torch.rand(1, 13, 12, 11, generator=generator())
    dense = slide(stack.as_convolutions(), image)  # (3, 5, 4, 3): patches that lie inside
    windows = image.unfold(1, 9, 1).unfold(2, 9, 1).unfold(3, 9, 1)  # (1, 5, 4, 3, 9, 9, 9)
    codes = stack.encode(windows.flatten(1, 3).movedim(1, 0)).T.reshape(dense.shape)
    assert torch.allclose(dense, codes, atol=1e-6)


def test_stages_in_patch_form_give_the_map_of_each_depth() -> None:
    stack = ConvolutionalAutoEncoder((1, 9, 9), SMALL)
    x = torch.rand(2, 1, 9, 9, generator=generator())
    for depth in (1, 2, 3):
        assert torch.allclose(run_stages(stack.as_convolutions(depth), x).flatten(1), stack.encode(x, depth))


def test_layer_input_holds_the_windows_of_the_map_below() -> None:
    stack = ConvolutionalAutoEncoder((2, 9, 9, 9), SMALL)
    x = torch.rand(2, 2, 9, 9, 9, generator=generator())
    v = stack.layer_input(x, 0)
    assert v.shape == (2 * 6**3, 2 * 4**3) and not v.requires_grad
    assert torch.equal(v[0], x[0, :, :4, :4, :4].flatten())
    assert torch.equal(v[6**3 + 7], x[1, :, :4, 1:5, 1:5].flatten())
    below = stack.encode(x, 1).reshape(2, 5, 3, 3, 3)
    assert torch.equal(stack.layer_input(x, 1)[1], below[0, :, :2, :2, 1:3].flatten())
    hidden = stack.layer(1).encode(stack.layer_input(x, 1)).reshape(2, 8, 4).amax(1)
    assert torch.allclose(hidden, stack.encode(x, 2), atol=1e-6)


def test_a_generator_chooses_places_the_same_way_every_time() -> None:
    stack = ConvolutionalAutoEncoder((1, 9, 9, 9), SMALL)
    x = torch.rand(3, 1, 9, 9, 9, generator=generator())
    chosen = stack.layer_input(x, 0, generator(4))
    assert chosen.shape == (3 * SUBPATCHES, 64)
    assert torch.equal(chosen, stack.layer_input(x, 0, generator(4)))
    everywhere = {tuple(row.tolist()) for row in stack.layer_input(x[1:2], 0)}
    assert all(tuple(row.tolist()) in everywhere for row in chosen[SUBPATCHES : 2 * SUBPATCHES])
    assert stack.layer_input(x, 1, generator()).shape == (3 * 8, 40)


def test_decoding_averages_overlapping_subpatches() -> None:
    """Without pooling, a linear stage that reproduces its input decodes to exactly the patch."""
    stack = ConvolutionalAutoEncoder((1, 5, 5), (ConvStageSettings(3, 9), ConvStageSettings(3, 2)), hidden="linear")
    with torch.no_grad():
        stack.layer(0).weight.copy_(torch.eye(9))
        stack.layer(0).visible_bias.fill_(0.25)
    x = torch.rand(2, 1, 5, 5, generator=generator())
    assert torch.allclose(stack.decode(stack.encode(x, 1), 1), x + 0.25, atol=1e-6)


def test_decoding_agrees_with_each_subpatch_where_there_is_no_overlap() -> None:
    stack = ConvolutionalAutoEncoder((1, 4, 4), (ConvStageSettings(4, 6),), visible="sigmoid", tied=False)
    x = torch.rand(3, 1, 4, 4, generator=generator())
    assert torch.allclose(stack(x).flatten(1), stack.layer(0)(x.flatten(1)), atol=1e-6)


def test_unpooling_copies_to_the_whole_window() -> None:
    stack = ConvolutionalAutoEncoder((1, 4, 4), (ConvStageSettings(1, 1, 2), ConvStageSettings(2, 2)), hidden="linear")
    with torch.no_grad():
        stack.layer(0).weight.fill_(1)
    decoded = stack.decode(torch.tensor([[1.0, 2, 3, 4]]), 1)
    assert decoded[0, 0].tolist() == [[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4]]


def test_back_projection_of_linear_unpooled_stages_is_exact() -> None:
    stack = ConvolutionalAutoEncoder((1, 5, 5), (ConvStageSettings(3, 4), ConvStageSettings(3, 2)), hidden="linear")
    x = torch.rand(2, 1, 5, 5, generator=generator())
    assert torch.allclose(stack.encode(x), x.flatten(1) @ stack.back_projection(2).flatten(1).T, atol=1e-6)


def test_activation_maximization_works_before_the_units_own_pooling() -> None:
    stack = ConvolutionalAutoEncoder((1, 9, 9), SMALL, seed=2)
    first = activation_maximization(stack, 1, [2], n_steps=60)
    weight = stack.layer(0).weight.detach()[2]
    assert torch.allclose(first.flatten(), weight / weight.norm(), atol=1e-4)
    assert activation_maximization(stack, 3, [0, 1], n_steps=3).shape == (2, 1, 9, 9)


def test_same_seed_same_weights() -> None:
    first, again = (ConvolutionalAutoEncoder((1, 9, 9), SMALL, seed=1) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize(
    "shape,stages,sentence",
    [
        (
            (1, 21, 21, 21),
            [(9, 8, 3)],
            r"stage 1 gives .* 21 - 9 \+ 1 = 13 voxels a side, which its pooling of 3",
        ),
        ((1, 9, 9), [(4, 5, 2), (4, 5, 1)], r"stage 2 .* does not fit on a map of 3 voxels a side"),
        ((1, 9, 9), [(4, 5, 2)], r"leaves 3; make the patch smaller.*map sizes: \[9, 3\]"),
        ((1, 9, 7), [(4, 5, 2)], r"square or cubic patches .* got \(1, 9, 7\)"),
        ((1, 9, 9), [], "at least one stage"),
    ],
)
def test_sizes_that_do_not_fit_are_explained(shape: tuple[int, ...], stages: list, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        ConvolutionalAutoEncoder(shape, [ConvStageSettings(*stage) for stage in stages])
